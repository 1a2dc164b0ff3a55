"""Comparisons: several methods at equal conditions, row by row into one table."""

from __future__ import annotations

from limbeck.compare.plan import BASELINE, WHOLE, Comparison, Entry, plan
from limbeck.compare.rows import Row, Rows
from limbeck.compare.run import Audience, Outcome, compare
from limbeck.compare.table import Line, Table, tabulate

__all__ = [
    "BASELINE",
    "WHOLE",
    "Audience",
    "Comparison",
    "Entry",
    "Line",
    "Outcome",
    "Row",
    "Rows",
    "Table",
    "compare",
    "plan",
    "tabulate",
]
