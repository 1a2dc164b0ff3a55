"""A study: cells learned once, kept as they come, and continued to the same figures after anything."""

from __future__ import annotations

import json

import pytest
import torch

from limbeck import SyntheticSet
from limbeck.data import load_dataset
from limbeck.errors import UnknownNameError, UsageError
from limbeck.networks import build_network
from limbeck.testing.randomness import moved_generators
from limbeck_applications.continual.memory.budget import image_bytes
from limbeck_applications.continual.strategies.naive import Naive
from limbeck_applications.continual.strategies.nearest_mean import NearestMean
from limbeck_applications.continual.strategy import Row
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.study.audience import Audience
from limbeck_applications.continual.study.plan import plan
from limbeck_applications.continual.study.rows import NAME, Rows
from limbeck_applications.continual.study.run import MEMORIES, run_study

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "benchmark": "split_digits",
    "network": "convnet-d1-w8-in",
    "max_per_class": 20,
    "images": 2,
    "training": {"epochs": 1},
    "retraining": {"epochs": 10, "augmentation": None},
}
DM = {"method": "dm", "steps": 3}


def settings(strategies=("distilled_gdumb",), memories=(DM,), **changes):
    return StudySettings.model_validate({**SMALL, "strategies": strategies, "memories": memories, **changes})


def matrices(outcome):
    return {cell.title: [row.accuracies for row in rows] for cell, rows in outcome.cells.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study of two strategies, two orders and two seeds that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run_study(settings(["distilled_gdumb", "naive"], orders=2, seeds=2), folder)


class Stopping(Audience):
    """Ctrl-C after the row of an experience."""

    def __init__(self, position, strategy="distilled_gdumb"):
        self.position, self.strategy = position, strategy

    def row(self, cell, position, row):
        if position == self.position and cell.strategy == self.strategy:
            raise KeyboardInterrupt


class Counting(Audience):
    """What is done, by name."""

    def __init__(self):
        self.made, self.learned = [], []

    def distilled(self, memory, order, experience, seconds):
        self.made.append((memory, order, experience))

    def row(self, cell, position, row):
        self.learned.append((cell.title, position))


def test_every_cell_has_a_row_for_every_experience(whole):
    outcome = whole[1]
    assert len(outcome.cells) == 2 * 2 * 2
    assert all(len(rows) == 5 for rows in outcome.cells.values())
    assert all(len(row.accuracies) == 5 for rows in outcome.cells.values() for row in rows)
    assert outcome.failures == {}


def test_classes_that_have_not_come_yet_are_never_answered(whole):
    for cell, rows in whole[1].cells.items():
        if cell.strategy == "distilled_gdumb":
            assert all(set(row.accuracies[t + 1 :]) <= {0.0} for t, row in enumerate(rows))


def test_orders_and_seeds_differ(whole):
    found = [rows for name, rows in matrices(whole[1]).items() if name.startswith("distilled_gdumb")]
    assert len({json.dumps(rows) for rows in found}) == len(found)


def test_a_memory_grows_by_its_share_and_never_above_it(whole):
    cost = image_bytes(load_dataset("digits").spec)
    for cell, rows in whole[1].cells.items():
        if cell.memory:
            assert [row.images for row in rows] == [4, 8, 12, 16, 20]
            assert [row.bytes for row in rows] == [4 * t * cost for t in range(1, 6)]


@pytest.mark.parametrize("position", [0, 1, 4])
def test_a_study_that_is_stopped_comes_to_the_same_matrix(whole, tmp_path, position):
    asked = settings(["distilled_gdumb", "naive"], orders=2, seeds=2)
    with pytest.raises(KeyboardInterrupt):
        run_study(asked, tmp_path, audience=Stopping(position))
    again = Counting()
    outcome = run_study(asked, tmp_path, audience=again)
    assert matrices(outcome) == matrices(whole[1])
    assert again.made == []
    assert ("distilled_gdumb [dm], order 0, seed 0", position) not in again.learned


def test_a_study_that_is_stopped_in_a_memory_comes_to_the_same_matrix(whole, tmp_path):
    class Stop(Audience):
        def distilled(self, memory, order, experience, seconds):
            if experience == 2:
                raise KeyboardInterrupt

    asked = settings(["distilled_gdumb", "naive"], orders=2, seeds=2)
    with pytest.raises(KeyboardInterrupt):
        run_study(asked, tmp_path, audience=Stop())
    again = Counting()
    assert matrices(run_study(asked, tmp_path, audience=again)) == matrices(whole[1])
    assert ("dm", 0, 2) not in again.made
    assert ("dm", 0, 3) in again.made


def test_a_finished_study_does_nothing_again(whole):
    folder, outcome = whole
    again = Counting()
    lines = (folder / NAME).read_text()
    assert matrices(run_study(outcome.settings, folder, audience=again)) == matrices(outcome)
    assert (again.made, again.learned) == ([], [])
    assert (folder / NAME).read_text() == lines


def test_more_seeds_leave_the_rows_that_are_there(whole, tmp_path):
    run_study(settings(seeds=1), tmp_path)
    again = Counting()
    grown = run_study(settings(seeds=2, orders=2), tmp_path, audience=again)
    expected = {name: rows for name, rows in matrices(whole[1]).items() if name.startswith("distilled")}
    assert matrices(grown) == expected
    assert not any("order 0, seed 0" in title for title, _ in again.learned)


def test_worker_processes_come_to_the_same_matrix(whole, tmp_path):
    outcome = run_study(settings(seeds=2, executor={"name": "processes", "workers": 1}), tmp_path)
    expected = matrices(whole[1])
    assert matrices(outcome) == {name: expected[name] for name in matrices(outcome)}


def test_networks_a_call_change_nothing(whole, tmp_path):
    changed = {**SMALL["retraining"], "networks_a_call": 1}
    outcome = run_study(settings(orders=2, seeds=2, retraining=changed), tmp_path)
    assert matrices(outcome) == {k: v for k, v in matrices(whole[1]).items() if k.startswith("distilled")}


def test_no_class_is_dropped_by_experiences_of_unequal_size(tmp_path):
    benchmark = {"name": "split_digits", "experiences": 3, "uneven": True}
    outcome = run_study(settings(benchmark=benchmark), tmp_path)
    assert [len(names) for names in outcome.experiences[0]] == [4, 3, 3]
    assert sorted(name for names in outcome.experiences[0] for name in names) == [str(c) for c in range(10)]
    rows = next(iter(outcome.cells.values()))
    assert [row.images for row in rows] == [8, 14, 20]


def test_global_generators_stay_as_they_were(tmp_path):
    with moved_generators() as moved:
        run_study(settings(["naive"], []), tmp_path)
    assert moved == []


def test_a_row_cut_off_in_the_middle_is_lost_alone(whole, tmp_path):
    outcome = run_study(settings(), tmp_path)
    path = tmp_path / NAME
    text = path.read_text()
    path.write_text(text[: len(text) - 40])
    again = Counting()
    assert matrices(run_study(settings(), tmp_path, audience=again)) == matrices(outcome)
    assert again.learned == [("distilled_gdumb [dm], order 0, seed 0", 4)]
    cell = next(iter(outcome.cells))
    assert len(Rows(tmp_path).of(cell)) == 5


def test_a_damaged_piece_is_made_again(whole, tmp_path):
    outcome = run_study(settings(), tmp_path)
    piece = outcome.memories["dm", 0][1]
    (piece / "synthetic.safetensors").write_bytes(b"nothing")
    (tmp_path / NAME).unlink()
    again = Counting()
    assert matrices(run_study(settings(), tmp_path, audience=again)) == matrices(outcome)
    assert again.made == [("dm", 0, 1)]


def test_a_memory_that_cannot_be_made_leaves_the_others(tmp_path):
    outcome = run_study(settings(memories=[{"method": "mtt"}, {"method": "random"}]), tmp_path)
    assert [len(rows) for rows in outcome.cells.values()] == [0, 5]
    (reason,) = outcome.failures.values()
    assert "limbeck experts train" in reason


def test_pieces_are_artifacts(whole):
    folder, outcome = whole
    (first, *_) = outcome.memories["dm", 1]
    assert first.parent == folder / MEMORIES
    made = SyntheticSet.load(first)
    assert made.storage == "uint8"
    assert made.provenance["method"] == "dm"


REFUSED = [
    ({"strategies": []}, "name strategies"),
    ({"strategies": ["distilled_gdum"]}, "distilled_gdumb"),
    ({"memories": []}, "--memory dm"),
    ({"strategies": ["naive"]}, "no strategy uses the memory 'dm'"),
    ({"strategies": ["distilled_gdumb", "distilled_gdumb"]}, "asked for twice"),
    ({"memories": [{"method": "dm"}, {"method": "dm", "storage": "uint8"}]}, "the memory dm is asked for twice"),
    ({"memories": [{"method": "dn"}]}, "dm"),
    ({"memories": [{"method": "dm", "ipc": 9}]}, "Drop ipc"),
    ({"memories": [{"method": "dm", "storage": "float32"}], "images": 1}, "storage=uint8"),
    ({"benchmark": {"name": "split_digits", "experiences": 3}}, "uneven"),
    ({"benchmark": {"name": "split_digits", "class_order": [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]}}, "class_order"),
    ({"network": "convnett"}, "convnet"),
]


@pytest.mark.parametrize(("changes", "hint"), REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_is_written(tmp_path, changes, hint):
    with pytest.raises((UsageError, UnknownNameError)) as refused:
        run_study(settings(**changes), tmp_path / "study")
    assert hint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "study").exists()


def test_the_budget_is_that_of_the_largest_memory_when_nobody_says():
    cost = image_bytes(load_dataset("digits").spec)
    wide = image_bytes(load_dataset("digits").spec, "float32")
    asked = {"images": None, "memories": [{"method": "dm", "ipc": 3}, {"method": "dm", "ipc": 2, "storage": "float32"}]}
    assert plan(settings(**asked)).budget.per_class == 2 * wide
    assert plan(settings(images=None)).budget.per_class == 10 * cost


def test_a_memory_with_more_room_than_a_class_has_images_takes_all_there_are(tmp_path):
    outcome = run_study(settings(memories=[{"method": "random"}], images=30, grows=False), tmp_path)
    assert outcome.failures == {}
    rows = next(iter(outcome.cells.values()))
    assert [row.images for row in rows] == [20 * 2 * t for t in range(1, 6)]


def keys(**changes):
    return {cell.name: cell.key for cell in plan(settings(["naive", "distilled_gdumb", "gdumb"], **changes)).cells}


def test_a_setting_changes_the_keys_of_those_that_read_it():
    before = keys()
    assert set(before) == {"naive", "distilled_gdumb [dm]", "gdumb"}
    changed = {
        "training": {"training": {"epochs": 2}},
        "retraining": {"retraining": {"epochs": 11, "augmentation": None}},
        "budget": {"images": 3},
        "data": {"max_per_class": 19},
        "call": {"retraining": {**SMALL["retraining"], "networks_a_call": 3}},
        "executor": {"executor": "processes"},
    }
    found = {
        what: {name for name, key in keys(**change).items() if key != before[name]} for what, change in changed.items()
    }
    assert found == {
        "training": {"naive"},
        "retraining": {"distilled_gdumb [dm]", "gdumb"},
        "budget": {"distilled_gdumb [dm]", "gdumb"},
        "data": set(before),
        "call": set(),
        "executor": set(),
    }


def test_a_strategy_is_told_only_what_it_reads():
    made = plan(settings(["naive"], [], training={"epochs": 3}, retraining={"epochs": 7}))
    context = made.context(made.parts[0], None, None)
    assert (context["training"]["epochs"], context["retraining"], context["budget"]["per_class"]) == (3, {}, 0)


def test_an_encoder_is_part_of_what_a_row_depends_on(tmp_path):
    weights = tmp_path / "weights.pt"
    asked = {"name": "nearest_mean", "encoder": "convnet-d1-w8-in", "weights": str(weights)}
    found = []
    for seed in (0, 1):
        network = build_network("convnet-d1-w8-in", load_dataset("digits").spec)
        torch.save(network.initial(torch.Generator().manual_seed(seed)), weights)
        found += [cell.key for cell in plan(settings([asked], [])).cells]
    assert found[0] != found[1]


def test_other_data_are_looked_for_where_the_user_says(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(NearestMean, "check", lambda self, stream, context: asked.append(context.data_root))
    monkeypatch.setattr(NearestMean, "identity", lambda self, stream, context: None)
    plan(settings(["nearest_mean"], []), data_root=tmp_path)
    assert asked == [tmp_path]


WRONG = {
    "too few rows": lambda: [Row((0.5,) * 5, 0.0)],
    "too few accuracies": lambda: [Row((0.5,) * 4, 0.0)] * 5,
    "percentages": lambda: [Row((50.0,) * 5, 0.0)] * 5,
    "a bug": lambda: {}["row"],
}


@pytest.mark.parametrize("what", WRONG)
def test_a_strategy_that_breaks_its_promise_leaves_the_others(tmp_path, monkeypatch, what):
    monkeypatch.delenv("LIMBECK_STRICT", raising=False)
    monkeypatch.setattr(Naive, "run", lambda self, stream, context: iter(WRONG[what]()))
    outcome = run_study(settings(["naive", "distilled_gdumb"]), tmp_path)
    assert [(cell.strategy, len(rows)) for cell, rows in outcome.cells.items()] == [
        ("naive", 0),
        ("distilled_gdumb", 5),
    ]
    (reason,) = outcome.failures.values()
    assert "\n" not in reason


def test_rows_of_another_memory_of_the_same_settings_are_not_mixed(tmp_path):
    outcome = run_study(settings(), tmp_path)
    (piece,) = (tmp_path / MEMORIES).glob(f"{outcome.memories['dm', 0][2].name}")
    made = SyntheticSet.load(piece)
    made.with_(images=made.images.flip(0)).save(piece)  # as if made again within a limit of time
    again = Counting()
    run_study(settings(), tmp_path, audience=again)
    assert [position for _, position in again.learned] == [2, 3, 4]


def test_bytes_that_are_no_text_cost_their_row_alone(tmp_path):
    outcome = run_study(settings(), tmp_path)
    path = tmp_path / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\xff" + lines[1][5:], *lines[2:]]))
    again = Counting()
    assert matrices(run_study(settings(), tmp_path, audience=again)) == matrices(outcome)
    assert [position for _, position in again.learned] == [1]
