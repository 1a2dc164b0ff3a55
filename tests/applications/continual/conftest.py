"""Studies as a folder keeps them, with made-up accuracies and real digits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits

from limbeck.data import DataSpec
from limbeck.synthetic import SyntheticSet
from limbeck_applications.continual.strategy import Row
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.study.kept import save_outcome
from limbeck_applications.continual.study.rows import Cell, Outcome, Rows

SPEC = DataSpec("digits", (1, 8, 8), 10, tuple(map(str, range(10))), (0.3,), (0.4,), False)
EXPERIENCES = 3
CLASSES = [[3, 1, 4], [0, 5, 9, 2], [6, 8, 7]]
PARTS = {("naive", ""): 0.3, ("gdumb", ""): 0.5, ("distilled_gdumb", "dm"): 0.7, ("distilled_gdumb", "<b>x</b>"): 0.6}


def rows_of(level, order, seed, experiences=EXPERIENCES, memory=""):
    """Rows whose last accuracies are ``level`` on average, a little moved by order and seed."""
    rows = []
    for t in range(experiences):
        last = [level + 0.02 * order + 0.01 * seed + 0.1 * (t - i) / (t + 1) for i in range(t + 1)]
        kept = {"bytes": 130 * 3 * (t + 1), "images": 6 * (t + 1)} if level > 0.3 else {}
        accuracies = (*(min(max(value, 0), 1) for value in last), *([0.0] * (experiences - t - 1)))
        rows.append(Row(accuracies, 1.5, distilling=20.0 if memory else 0.0, **kept))
    return rows


def piece(folder, classes):
    """Store two digits of each of some classes, as a memory's piece."""
    bunch = load_digits()
    labels = torch.tensor(bunch.target)
    index = torch.cat([(labels == k).nonzero()[:2, 0] for k in classes])
    spec = replace(SPEC, num_classes=len(classes), class_names=tuple(map(str, classes)))
    own = torch.arange(len(classes)).repeat_interleave(2)
    images = spec.normalise(torch.tensor(bunch.images / 16).float()[index][:, None])
    SyntheticSet(images, own, own, spec, storage="uint8").save(folder)
    return folder


@pytest.fixture(scope="session")
def outcome_in():
    """Make an outcome whose memories lie in a folder: ``outcome_in(folder, finished=..., orders=..., seeds=...)``.

    With ``finished=False`` the last cell lacks its last row and the one before it failed.
    """

    def make(folder, *, finished=True, orders=2, seeds=2, experiences=EXPERIENCES, parts=PARTS):
        classes = CLASSES if experiences == EXPERIENCES else [[i] for i in range(experiences)]
        settings = StudySettings(
            benchmark={"name": "split_digits", "experiences": experiences},
            strategies=[{"name": name} for name in dict.fromkeys(name for name, _ in parts)],
            memories=[{"method": memory} for _, memory in parts if memory],
            orders=orders,
            seeds=seeds,
        )
        cells = {
            Cell(name, memory, order, seed, f"{name}{memory}{order}{seed}"): rows_of(
                level, order, seed, experiences, memory
            )
            for (name, memory), level in parts.items()
            for order in range(orders)
            for seed in range(seeds)
        }
        failures = {}
        if not finished:
            *_, failed, cut = cells
            cells[cut], cells[failed], failures[failed] = cells[cut][:-1], [], "its loss is <nan>."
        memories = {("dm", 0): [piece(folder / "memories" / f"dm-{k}", each) for k, each in enumerate(classes)]}
        names = [[[str(c) for c in each] for each in classes] for _ in range(orders)]
        command = f"limbeck continual run --strategies naive --out {folder.name}"
        return Outcome(
            settings, cells, failures, names, memories, per_class=130, deviations=("epochs: 1 -> <2>",), command=command
        )

    return make


@pytest.fixture(scope="session")
def study(outcome_in, tmp_path_factory):
    """A finished study of four lines, two class orders and two seeds: its outcome and its folder."""
    folder = tmp_path_factory.mktemp("study")
    return keep(outcome_in(folder), folder), folder


@pytest.fixture(scope="session")
def greedy(study):
    """The same study, but that one strategy keeps more than is allowed."""
    return replace(
        study[0],
        cells={
            cell: [replace(row, bytes=2000) for row in rows] if cell.strategy == "gdumb" else rows
            for cell, rows in study[0].cells.items()
        },
    )


def keep(outcome, folder):
    """Write an outcome and its rows, as a study leaves them."""
    rows = Rows(folder)
    for cell, known in outcome.cells.items():
        for position, row in enumerate(known):
            rows.add(cell, position, row)
    save_outcome(folder, outcome)
    return outcome


@pytest.fixture(scope="session")
def kept():
    """Write an outcome and its rows into a folder: ``kept(outcome, folder)``."""
    return keep
