"""Words of docstrings, and how Markdown says them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

WIDTH = 118


class Doc(NamedTuple):
    """A docstring taken apart: paragraphs, and (name, text) pairs of each section."""

    paragraphs: list[str]
    sections: dict[str, list[tuple[str, str]]]

    @classmethod
    def of(cls, what: Any) -> Doc:
        """Read the docstring of a class or function."""
        parts = re.split(r"^(Args|Attributes|Returns|Raises|Yields):\n", inspect.getdoc(what) or "", flags=re.M)
        sections = {}
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            inner, _, after = body.partition("\n\n")
            items = re.split(r"^(?=\S)", textwrap.dedent(inner), flags=re.M)
            pairs = [words(item).partition(": ")[::2] for item in items if item.strip()]
            sections[name] = [("", words(inner))] if name == "Returns" else pairs
            parts[0] += f"\n\n{after}" if after.strip() else ""
        paragraphs = [words(text) for text in re.split(r"\n\s*\n", parts[0]) if text.strip()]
        return cls(paragraphs, sections)


def paragraphs(paragraphs: Sequence[str], first: str | None = None) -> Iterator[str]:
    """Yield paragraphs, wrapped, with a line between them and ``first`` before them."""
    for number, paragraph in enumerate(paragraphs):
        yield from [""] if number or first is not None else []
        yield from wrapped(paragraph)


def words(text: str) -> str:
    """Return a text in one line."""
    return " ".join(text.split())


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """Return the lines of a paragraph."""
    return textwrap.wrap(text.replace("``", "`"), width, break_long_words=False, break_on_hyphens=False)


def item(text: str) -> list[str]:
    """Return the lines of an item of a list."""
    return [("  " if number else "- ") + line for number, line in enumerate(wrapped(text, WIDTH - 2))]


def head(*cells: str) -> list[str]:
    """Return the first two lines of a table."""
    return [row(*cells), "|" + "---|" * len(cells)]


def row(*cells: str) -> str:
    """Return a line of a table."""
    return "|" + "|".join(f" {words(cell)} ".replace("|", "\\|") if cell else " " for cell in cells) + "|"


def paper(paper: str) -> str:
    """Return a link to a paper that has an arXiv number, or what stands there."""
    number = paper.removeprefix("arXiv:")
    return paper if number == paper else f"[{paper}](https://arxiv.org/abs/{number})"
