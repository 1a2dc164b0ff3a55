"""Continual learning with distilled memories: what this application offers. Strings only, nothing heavy."""

from __future__ import annotations

import importlib
from typing import Any

from limbeck.hookspecs import Register, hookimpl

__all__ = ["DistilledBuffer", "DistilledGDumb", "DistilledReplay"]

HERE = "limbeck_applications.continual"
_LAZY = {
    "DistilledBuffer": "bridge.buffer",
    "DistilledGDumb": "bridge.gdumb",
    "DistilledReplay": "bridge.replay",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module '{HERE}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{HERE}.{_LAZY[name]}"), name)


@hookimpl
def register_applications(register: Register) -> None:
    """Offer the application and the kinds that it declares."""
    register(
        "continual",
        HERE,
        summary="learn a stream of classes one after the other, with a few stored images of the past",
        extra="continual",
        hookspecs=f"{HERE}.hookspecs",
    )


@hookimpl
def register_commands(register: Register) -> None:
    """Offer the command."""
    register("continual", f"{HERE}.cli:continual", summary="learn a stream of classes from distilled memories")


@hookimpl
def register_continual_benchmarks(register: Register) -> None:
    """Offer what ships: streams made of real data sets."""
    for name, data, what in (
        ("digits", "Digits", "8x8 handwritten digits"),
        ("mnist", "MNIST", "handwritten digits"),
        ("fashion_mnist", "FashionMNIST", "articles of clothing"),
        ("cifar10", "CIFAR10", "photographs of 10 classes"),
        ("cifar100", "CIFAR100", "photographs of 100 classes"),
    ):
        target = f"{HERE}.benchmarks.split:Split{data}"
        register(f"split_{name}", target, summary=f"{what}, some classes in each experience")
    register(
        "permuted_mnist",
        f"{HERE}.benchmarks.permuted:PermutedMNIST",
        summary="handwritten digits, their pixels in another order in each experience",
        paper="arXiv:1312.6211",
    )


@hookimpl
def register_continual_strategies(register: Register) -> None:
    """Offer what ships: ways to learn a stream."""
    for name, place, summary, paper in (
        ("naive", "naive:Naive", "nothing but the experience at hand: the floor", ""),
        ("joint", "joint:Joint", "all images so far, from scratch after each experience: the ceiling", ""),
        ("replay_reservoir", "replay_reservoir:ReplayReservoir", "replay of a reservoir sample", "arXiv:1902.10486"),
        (
            "replay_balanced",
            "replay_balanced:ReplayBalanced",
            "replay of equally many a class",
            "arXiv:1902.10486",
        ),
        ("replay_herding", "replay_herding:ReplayHerding", "replay of images near class means", "arXiv:1611.07725"),
        ("gdumb", "gdumb:GDumb", "a network from its first weights, on random images alone", ""),
        ("er_ace", "er_ace:ErAce", "replay with an asymmetric cross-entropy", "arXiv:2104.05025"),
        ("der_pp", "der_pp:DerPlusPlus", "replay of images with the logits they had", "arXiv:2004.07211"),
        ("icarl", "icarl:ICaRL", "herded exemplars, distillation and nearest class means", "arXiv:1611.07725"),
        ("lwf", "lwf:Lwf", "distilling the network before into the next, no memory", "arXiv:1606.09282"),
        ("ewc", "ewc:Ewc", "holding weights that mattered, no memory", "arXiv:1612.00796"),
        (
            "nearest_mean",
            "nearest_mean:NearestMean",
            "class means under a frozen encoder",
            "arXiv:2210.04428",
        ),
        (
            "napa_vq",
            "napa_vq:NapaVQ",
            "quantisation with neighbours and prototypes",
            "arXiv:2308.09297",
        ),
        (
            "distilled_replay",
            "distilled_replay:DistilledReplay",
            "replay of distilled images, soft labels included",
            "arXiv:2103.15851",
        ),
        (
            "distilled_gdumb",
            "distilled_gdumb:DistilledGDumb",
            "a fresh network after each experience, trained on the distilled memory alone",
            "arXiv:2110.04181",
        ),
    ):
        register(name, f"{HERE}.strategies.{place}", summary=summary, paper=paper, extra="continual")
