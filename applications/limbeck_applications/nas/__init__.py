"""Architecture search on distilled proxies: what this application offers. Strings only, nothing heavy."""

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
        ("random", "distilled:RandomSubset", "the same on real images taken by lot", ""),
        ("herding", "distilled:HerdingSubset", "the same on real images near their class means", "arXiv:1207.4712"),
        ("early_stopping", "early_stopping:EarlyStopping", "accuracy after little training on all images", ""),
        ("parameters", "counts:Parameters", "number of trainable numbers", ""),
        ("flops", "counts:Flops", "operations of a forward pass", ""),
        ("synflow", "synflow:Synflow", "what flows through the absolute weights, no data", "arXiv:2006.05467"),
        ("snip", "snip:Snip", "what the loss would lose with each weight", "arXiv:1810.02340"),
        ("grad_norm", "grad_norm:GradNorm", "length of the gradient at the start", "arXiv:2101.08134"),
        ("jacov", "jacov:Jacov", "how alike the input gradients of images are", "arXiv:2006.04647"),
        ("nwot", "nwot:Nwot", "how many ways images switch the ReLUs", "arXiv:2006.04647"),
    ):
        register(name, f"{HERE}.proxies.{place}", summary=summary, paper=paper)


@hookimpl
def register_nas_searchers(register: Register) -> None:
    """Offer what ships: ways to search."""
    for name, place, summary, paper, extra in (
        ("exhaustive", "exhaustive:Exhaustive", "every architecture of the space", "", ""),
        ("random", "random:Random", "architectures by lot", "arXiv:1902.07638", ""),
        ("eeea", "eeea:Eeea", "NSGA-II from a population that obeys a budget", "arXiv:2108.06156", "nas"),
        ("eas", "eas:Eas", "networks widened and deepened without changing what they compute", "arXiv:1707.04873", ""),
        ("tas", "tas:Tas", "widths and depths learned in one network, then distillation", "arXiv:1905.09717", ""),
    ):
        register(name, f"{HERE}.searchers.{place}", summary=summary, paper=paper, extra=extra)
