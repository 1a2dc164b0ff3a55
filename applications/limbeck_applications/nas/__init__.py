"""Commands: limbeck nas rank, search, truth, report. Kinds: nas_spaces, nas_proxies, nas_searchers. See docs/nas.md."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl

HERE = "limbeck_applications.nas"


@hookimpl
def register_applications(register: Register) -> None:
    """Offer the application and the kinds that it declares."""
    register(
        "nas",
        HERE,
        summary="rank and search architectures on a few distilled images in place of a whole data set",
        extra="nas",
        hookspecs=f"{HERE}.hookspecs",
    )


@hookimpl
def register_commands(register: Register) -> None:
    """Offer the command."""
    register("nas", f"{HERE}.cli:nas", summary="rank and search architectures on distilled proxies")


@hookimpl
def register_nas_spaces(register: Register) -> None:
    """Offer what ships: spaces from five choices to thirty-two."""
    for name, place, summary, paper in (
        ("convnet720", "convnets:ConvNet720", "the field's 720 ConvNets", "arXiv:2006.05929"),
        ("convnet72", "convnets:ConvNet72", "72 small ConvNets, all of which a CPU can train", "arXiv:2006.05929"),
        ("chains", "chains:Chains", "stages of convolutions whose widths and depths vary", "arXiv:1707.04873"),
        ("cells", "cells:Cells", "normal and reduction cells of ten operations", "arXiv:1707.07012"),
        ("nb201", "nb201:NasBench201", "the 15,625 cells of NAS-Bench-201", "arXiv:2001.00326"),
    ):
        register(name, f"{HERE}.spaces.{place}", summary=summary, paper=paper)


@hookimpl
def register_nas_proxies(register: Register) -> None:
    """Offer what ships: trained on few images, trained briefly, and not trained at all."""
    for name, place, summary, paper in (
        (
            "distilled",
            "distilled:Distilled",
            "accuracy after training on a set distilled by any method",
            "arXiv:2006.05929",
        ),
        ("random", "distilled:RandomSubset", "accuracy after training on a few real images taken by lot", ""),
        (
            "herding",
            "distilled:HerdingSubset",
            "accuracy after training on a few real images near their class means",
            "arXiv:1207.4712",
        ),
        ("early_stopping", "early_stopping:EarlyStopping", "accuracy after a few steps of training on all images", ""),
        ("parameters", "counts:Parameters", "size: the number of weights", ""),
        ("flops", "counts:Flops", "cost: operations of a forward pass", ""),
        (
            "synflow",
            "synflow:Synflow",
            "flow through the absolute weights of a fresh network, no data",
            "arXiv:2006.05467",
        ),
        ("snip", "snip:Snip", "loss that a fresh network's weights carry, summed over weights", "arXiv:1810.02340"),
        ("grad_norm", "grad_norm:GradNorm", "length of the loss's gradient at a fresh network", "arXiv:2101.08134"),
        ("jacov", "jacov:Jacov", "how differently images move the output of a fresh network", "arXiv:2006.04647"),
        ("nwot", "nwot:Nwot", "how differently images switch the ReLUs of a fresh network", "arXiv:2006.04647"),
    ):
        register(name, f"{HERE}.proxies.{place}", summary=summary, paper=paper)


@hookimpl
def register_nas_searchers(register: Register) -> None:
    """Offer what ships: ways to search."""
    for name, place, summary, paper, extra in (
        ("exhaustive", "exhaustive:Exhaustive", "every architecture of the space", "", ""),
        ("random", "random:Random", "architectures by lot", "arXiv:1902.07638", ""),
        ("eeea", "eeea:Eeea", "NSGA-II from a population that obeys a budget", "arXiv:2108.06156", "nas"),
        (
            "eas",
            "eas.searcher:Eas",
            "networks widened and deepened without changing what they compute",
            "arXiv:1707.04873",
            "",
        ),
        (
            "tas",
            "tas.searcher:Tas",
            "widths and depths learned in one network, then distillation",
            "arXiv:1905.09717",
            "",
        ),
    ):
        register(name, f"{HERE}.searchers.{place}", summary=summary, paper=paper, extra=extra)
