"""What is shown on a terminal and without one, and how numbers are written for people."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from limbeck.cli import screen as screen_module
from limbeck.cli.screen import Screen, accuracy_of, duration, memory_of, pace, plural, show, split_columns, table
from limbeck.config import build
from limbeck.distillation import trial as steps
from limbeck.distillation.run import Progress
from limbeck.distillation.trial import Estimate
from limbeck.evaluation import Evaluation

CONFIG = build({"matcher": "distribution", "source": "fresh", "budget": {"steps": 1000}})


def row(label="synthetic", accuracies=(0.5, 0.7), epochs=1001, images=100, augmentation="dsa", seconds=1.0):
    recipe = {
        "network": "convnet",
        "epochs": epochs,
        "augmentation": {"name": augmentation},
        "labels": {"name": "hard"},
    }
    return Evaluation(label, "dc", recipe, list(accuracies), [], 64 * images, images, seconds)


def parts(budget=None, **plan):
    settings = {"device": "cpu", "threads": 1, "memory": None, "changes": (), **plan}
    return SimpleNamespace(
        plan=SimpleNamespace(chunks=SimpleNamespace(synthetic=64), **settings),
        config=build({**CONFIG.to_dict(), "method": "dm", "budget": budget or {"steps": 1000}}),
        source=SimpleNamespace(num_outer=1),
        network=SimpleNamespace(device=torch.device("cpu")),
    )


@pytest.fixture
def shown():
    """A screen on a terminal of 80 columns or without one: ``shown(terminal) -> (screen, text)``."""

    def make(terminal):
        stream = io.StringIO()
        console = Console(
            file=stream,
            force_terminal=terminal,
            width=80,
            highlight=False,
            markup=False,
            soft_wrap=True,
            color_system=None,
        )
        return Screen(console), stream.getvalue

    return make


# Numbers


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.034, "0.03 s"),
        (0.5, "0.5 s"),
        (1, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (7260, "2 h 01 min"),
    ],
)
def test_lengths_of_time(seconds, text):
    assert duration(seconds) == text


def test_small_words():
    assert [plural(1, "image"), plural(2, "image"), plural(20000, "step")] == ["1 image", "2 images", "20,000 steps"]
    assert [pace(0.01234), pace(0.9), pace(1.5)] == ["12.3 ms a step", "900 ms a step", "1.5 s a step"]
    assert [accuracy_of(row()), accuracy_of(row(accuracies=[0.5]))] == ["60.00 ± 10.00", "50.00"]


def test_memory_in_use_is_a_size():
    assert memory_of(torch.device("cpu"))().split()[1] in ("MiB", "GiB")


# Tables


def test_columns_that_do_not_vary_need_no_room():
    columns, common = split_columns([row(), row("whole", epochs=10, images=60000)])
    assert columns == {
        "trained on": ["this set", "whole data set"],
        "images": ["100", "60,000"],
        "bytes": ["6.2 KiB", "3.7 MiB"],
        "accuracy, %": ["60.00 ± 10.00", "60.00 ± 10.00"],
        "epochs": ["1,001", "10"],
    }
    assert common == {"networks": "2", "augmentation": "dsa", "labels": "hard"}
    assert "augmentation" in split_columns([row(), row(augmentation="dc")])[0]


def test_the_widest_usual_table_fits_eighty_columns():
    rows = [row("synthetic"), row("random"), row("random_bytes", images=10000), row("whole", [0.9] * 5, 10, 60000)]
    console = Console(file=io.StringIO(), width=80)
    console.print(table(split_columns(rows)[0]))
    lines = console.file.getvalue().splitlines()
    assert len([line for line in lines if line.strip()]) == 2 + len(rows)
    assert all(len(line) <= 80 for line in lines)


def test_the_best_of_tests_has_a_column_of_its_own_that_says_so():
    rows = [row(), row("random"), row("whole")]
    for each, best in zip(rows, ([0.6, 0.7], [0.2, 0.4], None), strict=True):
        object.__setattr__(each, "best", best)
        object.__setattr__(each, "tests", [1, 2, 3] if best else [])
    columns, common = split_columns(rows)
    assert columns["best test, %"] == ["65.00 ± 5.00", "30.00 ± 10.00", ""]
    assert common["best test"] == "best of 3 tests on the test set, optimistic"
    assert columns["accuracy, %"] == ["60.00 ± 10.00"] * 3


def test_a_table_wider_than_the_screen_loses_nothing():
    columns = {f"column {number}": ["123456789"] * 2 for number in range(12)}
    console = Console(file=io.StringIO(), width=40)
    show(console, table(columns))
    text = console.file.getvalue()
    assert text.count("123456789") == 24 and all(name in text for name in columns)


def test_a_searched_rate_is_told_with_the_number_tried():
    rows = [row(), row("whole")]
    for each, rate, tried in zip(rows, (0.05, 0.01), ({"0.05": 0.5, "0.1": 0.4}, {}), strict=True):
        each.recipe["lr"] = rate
        object.__setattr__(each, "lr_searched", tried)
    assert split_columns(rows)[0]["rate"] == ["0.05 of 2", "0.01"]
    assert "rate" not in split_columns([row(), row()])[0]


# A run


def run_through(screen):
    with screen:
        screen.title(CONFIG, "runs/[x]")
        screen.planned(parts(), Estimate(0.01, 3 << 20))
        for step in (10, 500, 1000):
            screen.progress(Progress(step, 1000, 0.5, step / 100, step / 1000))
        screen.network("synthetic", 0, 0.5)
        screen.row(row())
        screen.measured([row(), row("random")])


def test_without_a_terminal_there_are_plain_lines(shown, monkeypatch):
    monkeypatch.setattr(screen_module, "PLAIN_SECONDS", 0)
    screen, text = shown(False)
    run_through(screen)
    lines = [line.rstrip() for line in text().splitlines() if line.strip()]
    assert "\r" not in text() and "\x1b" not in text()
    assert lines[:3] == [
        "distribution on digits, 1 image a class, network convnet-d3-w128-in",
        "everything goes into runs/[x]",
        "1,000 steps, about 10 s on cpu, 1 thread (10 ms a step, 3.0 MiB more memory)",
    ]
    assert lines[3].startswith("step 10 of 1,000, loss 0.5, 10 ms a step, ") and lines[3].endswith(", 10 s left")
    assert lines[4].endswith("5 s left") and lines[5].endswith("10 s in all")
    assert lines[6:8] == ["this set: network 1 reached 50.0 %", "this set: 60.00 ± 10.00 % (2 networks, 1 s)"]


def test_a_network_that_gives_features_is_followed(shown, monkeypatch):
    monkeypatch.setattr(screen_module, "PLAIN_SECONDS", 0)
    for terminal, expected in ((False, ["epoch 1 of 2", "epoch 2 of 2"]), (True, ["training networks", "1/2"])):
        screen, text = shown(terminal)
        screen._bars.live.auto_refresh = False
        with screen:
            tell = screen.listener().learning
            tell(1, 2)
            screen._bars.refresh()
            assert screen._bars.tasks[0].completed == 1
            tell(2, 2)
        assert not screen._bars.tasks
        assert all(part in text() for part in expected)


def test_lines_are_seldom_and_the_last_always_comes(shown):
    screen, text = shown(False)
    run_through(screen)
    assert [line.split(",")[0] for line in text().splitlines() if line.startswith("step")] == ["step 1"]
    assert "step 1,000 of 1,000" in text() and "reached" not in text()


def test_a_terminal_shows_bars_and_keeps_the_last_line(shown):
    screen, text = shown(True)
    screen._bars.live.auto_refresh = False
    with screen:
        screen.planned(parts(), Estimate(0.01, None))
        screen.progress(Progress(500, 1000, 0.25, 5.0, 0.5))
        screen._bars.refresh()
        half = text()
        screen.progress(Progress(1000, 1000, 0.25, 10.0, 1.0))
        screen.network("random", 2, 0.25)
        screen._bars.refresh()
    assert "distilling" in half and "500/1,000  loss 0.25  10 ms a step" in half
    assert "step 1,000 of 1,000, loss 0.25, 10 ms a step, " in text()
    assert "measuring" in text() and "random, same ipc: network 3 reached 25.0 %" in text()


@pytest.mark.parametrize(
    "budget, extent",
    [
        ({"steps": 1000}, "1,000 steps, about 10 s on"),
        ({"steps": 1000, "seconds": 2}, "1,000 steps, about 2 s on"),
        ({"seconds": 90}, "steps for 1 min 30 s on"),
    ],
)
def test_the_estimate_states_the_limit(shown, budget, extent):
    screen, text = shown(False)
    screen.planned(parts(budget), Estimate(0.01, None))
    assert text().startswith(extent)


@pytest.mark.parametrize("seconds, budget, hints", [(0.7, None, 1), (0.5, None, 0), (0.7, {"seconds": 5}, 0)])
def test_a_long_run_on_a_cpu_is_told_of_small_settings(shown, seconds, budget, hints):
    screen, text = shown(False)
    screen.planned(parts(budget), Estimate(seconds, None))
    assert text().count("--profile small") == hints


def test_a_memory_budget_states_its_chunk(shown):
    screen, text = shown(False)
    screen.planned(parts(memory=1 << 30), Estimate(0.01, None))
    assert text().endswith("(10 ms a step, at most 64 images a pass)\n")


def test_a_resumed_run_measures_its_own_pace(shown, monkeypatch):
    monkeypatch.setattr(screen_module, "PLAIN_SECONDS", 0)
    screen, text = shown(False)
    screen.planned(parts(), None)
    screen.progress(Progress(500, 1000, 0.5, 100.0, 0.5))
    screen.progress(Progress(510, 1000, 0.5, 100.1, 0.51))
    lines = text().splitlines()
    assert lines[0] == "continuing on cpu, 1 thread"
    assert "a step" not in lines[1] and "10 ms a step" in lines[2]


def test_the_rate_of_students_stands_beside_the_loss(shown, monkeypatch):
    monkeypatch.setattr(screen_module, "PLAIN_SECONDS", 0)
    screen, text = shown(False)
    screen.planned(parts(), Estimate(0.01, None))
    screen.progress(Progress(10, 1000, 0.5, 0.1, 0.01, syn_lr=0.012345))
    screen.progress(Progress(20, 1000, 0.5, 0.2, 0.02))
    told = text().splitlines()[1:]
    assert "loss 0.5, syn_lr 0.0123, 10 ms a step" in told[0] and "syn_lr" not in told[1]


def test_changes_of_the_plan_are_told_once(shown):
    old = {"step": 3, "reason": "out of memory", "real": 32, "synthetic": 32}
    new = {**old, "step": 7, "real": 16, "synthetic": 8}
    screen, text = shown(False)
    screen.planned(parts(changes=(old,)), None)
    for _ in range(2):
        screen.progress(Progress(10, None, 0.5, 1.0, 0.1, (old, new)))
    told = [line for line in text().splitlines() if "memory" in line]
    assert told == ["out of memory at step 7: from here at most 16 images a pass"]


# The estimate


@pytest.mark.parametrize("pauses, quick, trials", [([0.03, 0.0, 0.0], 1.0, 3), ([0.03, 0.0, 0.0], 0.01, 1)])
def test_the_best_of_quick_trials_counts(pauses, quick, trials, monkeypatch):
    taken = []

    def trial(parts, *, advance):
        taken.append(advance)
        time.sleep(pauses[len(taken) - 1])

    monkeypatch.setattr(steps, "_trial", trial)
    monkeypatch.setattr(steps, "QUICK", quick)
    cost = steps.estimate(SimpleNamespace(engine=None, network=SimpleNamespace(device=torch.device("cpu"))))
    assert taken == [True] * trials
    assert (cost.seconds < 0.03) == (trials == 3)
