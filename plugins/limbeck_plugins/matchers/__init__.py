"""Matchers: what is compared between real and synthetic images."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_matchers(register: Register) -> None:
    """Offer the matchers that ship with Limbeck."""
    register(
        "gradient",
        "limbeck_plugins.matchers.gradient:Gradient",
        summary="distance between weight gradients of real and synthetic images",
        paper="arXiv:2006.05929",
        method="dc",
    )
    register(
        "distribution",
        "limbeck_plugins.matchers.distribution:Distribution",
        summary="squared distance of class-mean embeddings",
        paper="arXiv:2110.04181",
        method="dm",
    )
    register(
        "cross_entropy",
        "limbeck_plugins.matchers.cross_entropy:CrossEntropy",
        summary="what trained networks make of synthetic images against their labels; a term beside another matcher",
        paper="arXiv:2502.20653",
    )
    register(
        "contrastive",
        "limbeck_plugins.matchers.contrastive:Contrastive",
        summary="distance between the gradients of all classes together, after a warm-up class by class",
        paper="arXiv:2202.02916",
        method="dcc",
    )
    register(
        "attention",
        "limbeck_plugins.matchers.attention:Attention",
        summary="squared distance of class-mean attention maps, and of embeddings",
        paper="arXiv:2310.00093",
        method="datadam",
    )
    register(
        "characteristic",
        "limbeck_plugins.matchers.characteristic:Characteristic",
        summary="distance of characteristic functions of embeddings, at random or at learned frequencies",
        paper="arXiv:2502.20653",
        method="ncfm",
    )
    register(
        "trajectory",
        "limbeck_plugins.matchers.trajectory:Trajectory",
        summary="distance left to an expert's weights by a student of the synthetic set",
        paper="arXiv:2203.11932",
        method="mtt",
    )
