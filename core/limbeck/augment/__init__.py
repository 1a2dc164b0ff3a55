"""Augmentation: drawn once, applied to real and synthetic images alike."""

from limbeck.augment.base import Augmentation, Draw
from limbeck.augment.geometry import pick, shift, warp
from limbeck.augment.rows import Operation, by_operation, choose

__all__ = ["Augmentation", "Draw", "Operation", "by_operation", "choose", "pick", "shift", "warp"]
