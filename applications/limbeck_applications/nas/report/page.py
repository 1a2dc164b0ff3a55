"""Writing the tables and the page of a study."""

from __future__ import annotations

from pathlib import Path

from limbeck_applications.nas.results import Results
from limbeck_applications.nas.searches import SearchResults
from limbeck_applications.nas.study.kept import Outcome
from limbeck_applications.nas.study.rows import RankOutcome

FILE = "report.html"


def publish(folder: Path, outcome: Outcome) -> Path:
    """Write tables and page."""
    results = Results.of(outcome) if isinstance(outcome, RankOutcome) else SearchResults.of(outcome)
    results.save(folder)
    return folder / FILE
