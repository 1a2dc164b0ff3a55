"""Augmentation: drawn once, applied to real and synthetic images alike."""

from limbeck.augment.base import Augmentation, Draw

__all__ = ["Augmentation", "Draw"]
