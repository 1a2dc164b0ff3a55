"""The commands that explain what there is: ``list``, ``show`` and ``plugins``."""

from __future__ import annotations
