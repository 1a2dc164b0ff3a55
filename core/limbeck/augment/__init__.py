"""Augmentation: drawn once, applied to real and synthetic images alike."""

from limbeck.augment.base import Augmentation, Draw
from limbeck.augment.boxes import Boxes, place, stretch
from limbeck.augment.geometry import pick, rotation, shift, warp
from limbeck.augment.rows import Operation, by_operation, check_strategy, choose, on_host, whole

__all__ = [
    "Augmentation",
    "Boxes",
    "Draw",
    "Operation",
    "by_operation",
    "check_strategy",
    "choose",
    "on_host",
    "pick",
    "place",
    "rotation",
    "shift",
    "stretch",
    "warp",
    "whole",
]
