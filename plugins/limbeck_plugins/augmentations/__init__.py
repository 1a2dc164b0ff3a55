"""Augmentations, siamese or per image."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl


@hookimpl
def register_augmentations(register: Register) -> None:
    """Offer the two augmentations of gradient matching, and those that serve training alone."""
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
    register(
        "randaugment",
        "limbeck_plugins.augmentations.policies:RandAugment",
        summary="one of torchvision's 14 operations at one magnitude, on rounded pixels; evaluation only",
        paper="arXiv:1909.13719",
    )
    register(
        "autoaugment",
        "limbeck_plugins.augmentations.policies:AutoAugment",
        summary="one of 25 learned policies of two operations, on rounded pixels; evaluation only",
        paper="arXiv:1805.09501",
    )
    register(
        "imagenet_aug",
        "limbeck_plugins.augmentations.crops:ImageNetAug",
        summary="crop, flip and colour jitter, on rounded pixels; evaluation only",
        paper="arXiv:2207.09639",
    )
    register(
        "cifar_aug",
        "limbeck_plugins.augmentations.crops:CIFARAug",
        summary="crop, flip and cutout, on rounded pixels; evaluation only",
        paper="arXiv:1708.04552",
    )
    register(
        "cutmix",
        "limbeck_plugins.augmentations.cutmix:CutMix",
        summary="a box of every image is a partner's, labels mixed by area; training only",
        paper="arXiv:1905.04899",
    )
    register(
        "mixup",
        "limbeck_plugins.augmentations.mixup:Mixup",
        summary="images averaged with partners, labels too; training only",
        paper="arXiv:1710.09412",
    )
    register(
        "resized_crop",
        "limbeck_plugins.augmentations.resized_crop:ResizedCrop",
        summary="a random part of each image stretched to its size, and a flip; patches shuffled first on request",
        paper="arXiv:1409.4842",
    )
