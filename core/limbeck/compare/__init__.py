"""Comparisons: several methods at equal conditions, row by row into one table."""

from __future__ import annotations

from limbeck.compare.asked import RUNS, Asked, Place
from limbeck.compare.plan import Comparison, Entry, plan
from limbeck.compare.rows import BASELINE, WHOLE, Row, Rows
from limbeck.compare.rows import FILE as ROWS
from limbeck.compare.run import Audience, compare
from limbeck.compare.table import Line, Outcome, Table, tabulate

__all__ = [
    "BASELINE",
    "ROWS",
    "RUNS",
    "WHOLE",
    "Asked",
    "Audience",
    "Comparison",
    "Entry",
    "Line",
    "Outcome",
    "Place",
    "Row",
    "Rows",
    "Table",
    "compare",
    "plan",
    "tabulate",
]
