"""Scalars of a study, read by TensorBoard itself."""

from __future__ import annotations

import pytest

from limbeck.errors import MissingExtraError, UsageError
from limbeck_applications.continual.results import Results
from limbeck_applications.continual.tensorboard import require, write_scalars


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_every_cell_is_a_run_and_writing_again_replaces_it(outcome_in, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    results = Results.of(outcome_in(tmp_path, orders=1, seeds=1, finished=False))
    for _ in range(2):
        write_scalars(tmp_path / "scalars", results)
    places = sorted(path.parent for path in (tmp_path / "scalars").rglob("events.*"))
    assert [place.relative_to(tmp_path / "scalars").as_posix() for place in places] == [
        "distilled_gdumb-b-x-b/order-0-seed-0",
        "gdumb/order-0-seed-0",
        "naive/order-0-seed-0",
    ]
    matrix, scalars = results.learned[1].matrix, read(places[1])
    assert scalars["accuracy/seen so far"] == [(t + 1, pytest.approx(v)) for t, v in enumerate(matrix.accuracies)]
    assert scalars["accuracy/of experience 2"] == [(t + 1, pytest.approx(matrix.rows[t][1])) for t in (1, 2)]
    assert scalars["stream/forgetting"] == [(3, pytest.approx(matrix.forgetting))]
    assert scalars["kept/bytes"] == [(1, 390.0), (2, 780.0), (3, 1170.0)]
    assert "stream/forgetting" not in read(places[0])  # its stream is not finished


def test_a_place_that_cannot_be_written_is_told(outcome_in, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*file.*--tensorboard"):
        write_scalars(tmp_path / "file", Results.of(outcome_in(tmp_path, orders=1, seeds=1)))


def test_without_tensorboard_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'limbeck\[track\]'"):
        require()
