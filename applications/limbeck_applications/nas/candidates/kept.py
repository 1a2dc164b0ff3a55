"""Scores on disk: one line each, appended as they come; a kill in the middle of writing loses that line alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limbeck.files import append
from limbeck_applications.nas.study.rows import Scored

NAME = "scores.jsonl"


class Scores:
    """The scores of a folder by a key that changes with everything they depend on.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._known: dict[str, Scored] = {}
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        self._is_cut = not text.endswith("\n") and text != ""
        for line in text.splitlines():
            try:
                values = json.loads(line)
                self._known[values["key"]] = Scored(values["value"], values["seconds"], values["figures"])
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, key: str) -> Scored | None:
        """Return the score under a key, or None."""
        return self._known.get(key)

    def add(self, key: str, scored: Scored, **where: Any) -> None:
        """Keep a score; ``where`` says of what, for whoever reads the file."""
        self._known[key] = scored
        line = {"key": key, **where, "value": scored.value, "seconds": scored.seconds, "figures": dict(scored.figures)}
        append(self.path, ("\n" if self._is_cut else "") + json.dumps(line) + "\n")
        self._is_cut = False
