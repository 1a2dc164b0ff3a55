"""Augmentations, siamese or per image."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl


@hookimpl
def register_augmentations(register: Register) -> None:
    """Offer the two augmentations of gradient matching."""
    register(
        "dsa",
        "limbeck_plugins.augmentations.dsa:DSA",
        summary="differentiable siamese augmentation: color, crop, cutout, flip, scale or rotate",
        paper="arXiv:2102.08259",
    )
    register(
        "dc",
        "limbeck_plugins.augmentations.dc:DC",
        summary="what DC trains evaluation networks with: crop, scale, rotate or noise, chosen per image",
        paper="arXiv:2006.05929",
    )
