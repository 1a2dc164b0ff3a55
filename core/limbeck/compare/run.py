"""Measuring a comparison row by row; what is finished is never done again, what was begun is continued."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from limbeck.compare.asked import RUNS
from limbeck.compare.plan import Comparison, Entry
from limbeck.compare.rows import BASELINE, WHOLE, Row, Rows
from limbeck.compare.table import Outcome, tabulate
from limbeck.continued import run_on
from limbeck.data import load_dataset
from limbeck.data.selector import check_sizes
from limbeck.distillation.run import Interrupted
from limbeck.errors import LimbeckError, UsageError
from limbeck.evaluation import Evaluation
from limbeck.files import folder_lock
from limbeck.runs import CONFIG, Finished, Listener

PAGE_SECONDS = 60
"""Least time between two pages while rows are still missing."""


class Audience:
    """Told of everything that happens; what it does not override is nothing."""

    def planned(self, number: int, finished: int) -> None:
        """Called first: how many rows there are, and how many of them are finished already."""

    def begins(self, entry: Entry, number: int, left: float | None) -> None:
        """Called before a row: its number from 1, and the seconds all missing rows may take, None if nobody knows."""

    def listener(self) -> Listener:
        """Return who is told of the run of the row that began last."""
        return Listener()

    def restarts(self, entry: Entry, error: LimbeckError) -> None:
        """Called when what a row's run left cannot be continued, and the run begins anew."""

    def ends(self, entry: Entry, row: Row) -> None:
        """Called after a row was kept."""

    def failed(self, entry: Entry, error: LimbeckError) -> None:
        """Called when a row came to nothing; the others go on."""

    def tabled(self, outcome: Outcome) -> None:
        """Called with what there is now and then, and at the end."""


def compare(
    comparison: Comparison,
    folder: Path,
    *,
    data_root: Path | None = None,
    download: bool = False,
    cache: Path | None = None,
    audience: Audience | None = None,
) -> Outcome:
    """Measure every row that ``folder`` does not hold yet.

    Each row is a run in a folder of its own, whose name ends with the content address of its settings. A row is written
    once its run is measured; a run that was cut off goes on from its checkpoint. So a comparison that was killed is
    continued by the same call, and comes to the same rows as one that was not.

    Args:
        comparison: the rows.
        folder: keeps ``rows.jsonl``, ``rows.csv``, ``table.csv``, ``comparison.json`` and the run folders.
        data_root: where data sets lie.
        download: whether missing data may be fetched.
        cache: folder for what does not depend on a row, such as a selector's trained network; ``folder`` when None.
        audience: who is told.

    Returns:
        The table, and the rows that came to nothing: whatever ends one run leaves the others be.

    Raises:
        Interrupted: stopped by the user.
        LimbeckError: what would end every row: data that is missing, a full disk, a request that even the baseline
            refuses.
    """
    told = audience or Audience()
    with folder_lock(folder):
        if (folder / CONFIG).exists():
            raise UsageError(
                f"{folder} holds a run of 'limbeck distill'. Give the comparison a folder of its own: --out."
            )
        digest = _data_digest(comparison, data_root, download)
        rows, failures = Rows(folder), dict[str, str]()
        entries, shown = comparison.entries, time.monotonic()
        _check_rows(comparison, rows, digest, folder)
        told.planned(len(entries), sum(entry.key in rows for entry in entries))
        for number, entry in enumerate(entries, 1):
            if entry.key in rows:
                continue
            told.begins(entry, number, _left(entries, rows))
            try:
                row = _measured(entry, folder, data_root, download, cache or folder / "cache", told)
            except (Interrupted, KeyboardInterrupt):
                raise _stopped(entry, comparison, rows, folder) from None
            except LimbeckError as error:
                if _ends_all(error, entry):
                    raise
                failures[entry.name] = str(error)
                told.failed(entry, error)
                continue
            rows.add(replace(row, data=digest))
            told.ends(entry, row)
            outcome = Outcome(tabulate(comparison.asked, rows), failures)
            outcome.save(folder)
            if time.monotonic() - shown > PAGE_SECONDS:
                told.tabled(outcome)
                shown = time.monotonic()
        outcome = Outcome(tabulate(comparison.asked, rows), failures)
        outcome.save(folder)
        told.tabled(outcome)
        return outcome


def _data_digest(comparison: Comparison, data_root: Path | None, download: bool) -> str:
    """Return the digest of the real images; refuse what is not there, and more of a class than there are.

    Raises:
        DataError: says what is missing.
    """
    config = comparison.config
    real = load_dataset(config.data.source(), data_root=data_root, download=download, seed=config.seed).train
    check_sizes(real, max(comparison.asked.ipcs))
    return real.digest()


def _check_rows(comparison: Comparison, rows: Rows, digest: str, folder: Path) -> None:
    """Refuse to set rows of other images beside new ones.

    Raises:
        UsageError: names the first such row.
    """
    for entry in comparison.entries:
        row = rows.get(entry.key)
        if row is not None and row.data not in ("", digest):
            raise UsageError(
                f"{folder} holds a row ({entry.name}) measured on other images than {comparison.config.data.name} has "
                "now. Give the same data, or choose another --out."
            )


def _ends_all(error: LimbeckError, entry: Entry) -> bool:
    """Whether other rows would fail as this one did: nothing can be written, or what all share cannot be used."""
    return isinstance(error.__cause__, OSError) or (isinstance(error, UsageError) and entry.method == BASELINE)


def _stopped(entry: Entry, comparison: Comparison, rows: Rows, folder: Path) -> Interrupted:
    done, number = sum(each.key in rows for each in comparison.entries), len(comparison.entries)
    return Interrupted(
        f"stopped in row {comparison.entries.index(entry) + 1} ({entry.name}); {done} of {number} rows are finished "
        f"and nothing is lost. Continue: type the same command again, with --out {folder}."
    )


def _measured(entry: Entry, folder: Path, data_root: Path | None, download: bool, cache: Path, told: Audience) -> Row:
    """Run an entry, or continue it, and return its row; what cannot be continued begins anew."""
    place = folder / RUNS / entry.folder
    finished = run_on(
        entry.config,
        folder=place,
        restarts=partial(told.restarts, entry),
        data_root=data_root,
        download=download,
        cache=cache,
        listener=told.listener,
    )
    wanted = WHOLE if entry.method == WHOLE else "synthetic"
    return _row(entry, finished, next(row for row in finished.rows if row.label == wanted))


def _row(entry: Entry, finished: Finished, measured: Evaluation) -> Row:
    made, config = finished.synthetic.provenance, entry.config
    evaluation, evaluating = _timeless(measured)
    others = [row for row in finished.rows if row.label in config.evaluation.baselines and row is not measured]
    is_whole = entry.method == WHOLE
    learning = 0.0 if is_whole else float(made.get("features_seconds") or 0.0)
    within = learning if config.matcher is None else 0.0  # a selector's seconds hold those of its network
    return Row(
        key=entry.key,
        method=entry.method,
        ipc=entry.ipc,
        seed=entry.seed,
        run=entry.folder,
        evaluation=evaluation,
        network=config.network,
        features="" if is_whole else made.get("features", ""),
        deviations=[] if is_whole else list(config.deviations),
        published=None if is_whole else config.reference,
        beside={row.label: _timeless(row)[0] for row in others},
        cost={
            "seconds": 0.0 if is_whole else max(made["seconds"] - within, 0.0),
            "steps": 0 if is_whole else made["steps"],
            "growth": None if is_whole else made.get("growth"),
            "features": learning,
            "evaluating": evaluating,
        },
    )


def _timeless(measured: Evaluation) -> tuple[dict[str, Any], float]:
    """Return an evaluation without what a clock said, and that."""
    values = measured.to_dict()
    return values, values.pop("seconds")


def _left(entries: Sequence[Entry], rows: Rows) -> float | None:
    """Return the seconds that the missing rows may take, going by those that are finished and by their budgets."""
    known = {entry.key: row for entry in entries if (row := rows.get(entry.key)) is not None}
    missing = [entry for entry in entries if entry.key not in known]
    spent = [(row, row.cost["seconds"] + row.cost.get("features", 0.0)) for row in known.values()]
    total = 0.0
    for entry in missing:
        alike = [row.cost["evaluating"] for row in known.values() if row.ipc == entry.ipc] or [
            row.cost["evaluating"] for row in known.values() if row.method != WHOLE
        ]
        same = [seconds for row, seconds in spent if row.method == entry.method]
        making = statistics.fmean(same) if same else _budget(entry)
        if making is None or not alike:
            return None
        total += making + statistics.fmean(alike)
    return total


def _budget(entry: Entry) -> float | None:
    """Return the seconds an entry may distil for; a selector takes none worth counting."""
    if entry.config.matcher is None or entry.method in (BASELINE, WHOLE):
        return 0.0
    return entry.config.budget.seconds
