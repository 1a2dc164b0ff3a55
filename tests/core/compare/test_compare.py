"""A comparison outlives what ends it, does nothing twice, and no row ends the others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from limbeck.compare import RUNS, Audience, Outcome, Rows, compare, rows
from limbeck.distillation.run import Interrupted
from limbeck.errors import LimbeckError, UnknownNameError, UsageError
from limbeck.runs import Listener
from limbeck.synthetic import SyntheticSet


class Killed(BaseException):
    """Ends a comparison where it stands, as a signal would that nobody can catch."""


class Watch(Audience):
    """Notes what it is told, and kills a run at a step."""

    def __init__(self, kill_at=None):
        self.begun, self.heard, self.kill_at = [], [], kill_at

    def begins(self, entry, number, left):
        self.begun.append((entry.name, left))

    def listener(self):
        return Listener(progress=self._progress)

    def _progress(self, news):
        if news.step == self.kill_at:
            raise Killed

    def ends(self, entry, row):
        self.heard.append(("ends", entry.method))

    def restarts(self, entry, error):
        self.heard.append(("restarts", entry.method, str(error)))

    def failed(self, entry, error):
        self.heard.append(("failed", entry.method, str(error)))


def state(folder):
    """Content of every file, and when it was written, but for those that gather the others."""
    gathered = ("rows.csv", "table.csv", "comparison.json", ".lock")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in gathered]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def copy_without_rows(folder, place, *lost):
    """Copy a comparison of which the rows and runs of some methods are lost."""
    shutil.copytree(folder, place)
    path = place / "rows.jsonl"
    kept = [line for line in path.read_text().splitlines() if json.loads(line)["method"] not in lost]
    path.write_text("".join(f"{line}\n" for line in kept))
    for method in lost:
        for run in (place / RUNS).glob(f"{method}-*"):
            shutil.rmtree(run)
    return place


def test_what_is_killed_twice_and_continued_comes_to_the_same_rows(whole, rows_of, tmp_path, monkeypatch):
    asked, undisturbed = whole
    folder = tmp_path / "it"
    with pytest.raises(Killed):  # between two steps of dm
        compare(asked, folder, audience=Watch(kill_at=2))
    assert [row["method"] for row in rows_of(folder)] == ["random"]

    def half(path, content):
        """Die with half a line beside the file, before it takes its place."""
        path.with_name(f".{path.name}.1.part").write_bytes(content[: len(content) // 2])
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(rows, "write_atomic", half)
        compare(asked, folder)
    assert [row["method"] for row in rows_of(folder)] == ["random"]
    watch = Watch()
    compare(asked, folder, audience=watch)
    assert [what for what, *_ in watch.heard] == ["ends"] * 3
    assert rows_of(folder) == rows_of(undisturbed)
    assert not list(folder.rglob("*.part"))
    sets = [SyntheticSet.load(place / RUNS / rows_of(place)[1]["run"]) for place in (folder, undisturbed)]
    assert torch.equal(sets[0].images, sets[1].images)


def test_rows_stand_in_the_order_of_the_methods(whole, rows_of):
    assert [row["method"] for row in rows_of(whole[1])] == ["random", "dm", "k_center", "whole"]
    assert all(row["cost"]["evaluating"] > 0 for row in map(vars, Rows(whole[1]).all()))


def test_a_second_call_does_no_work(whole):
    asked, folder = whole
    before, watch = state(folder), Watch()
    outcome = compare(asked, folder, audience=watch)
    assert (watch.begun, watch.heard) == ([], [])
    assert state(folder) == before
    assert len(outcome.table.rows) == 4


def test_a_line_that_was_cut_off_is_measured_again(whole, rows_of, tmp_path):
    asked, undisturbed = whole
    folder = tmp_path / "it"
    shutil.copytree(undisturbed, folder)
    path = folder / "rows.jsonl"
    path.write_text(path.read_text()[:-100])
    assert len(rows_of(folder)) == 3
    watch = Watch()
    compare(asked, folder, audience=watch)
    assert watch.heard == [("ends", "whole")]
    assert rows_of(folder) == rows_of(undisturbed)


def test_rows_of_other_settings_are_kept_beside(whole, planned, rows_of, tmp_path):
    folder = copy_without_rows(whole[1], tmp_path / "it")
    outcome = compare(planned("random", budget={"steps": 9}), folder)
    assert rows_of(folder) == rows_of(whole[1])
    assert [line.method for line in outcome.table.lines] == ["random", "whole"]


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "plan.json"])
def test_a_damaged_checkpoint_begins_its_row_anew(whole, rows_of, tmp_path, name):
    asked, undisturbed = whole
    folder = copy_without_rows(undisturbed, tmp_path / "it", "dm")
    with pytest.raises(Killed):
        compare(asked, folder, audience=Watch(kill_at=3))
    (damaged,) = (folder / RUNS).glob(f"dm-*/{name}")
    damaged.write_bytes(damaged.read_bytes()[:50])
    watch = Watch()
    compare(asked, folder, audience=watch)
    assert [(what, method) for what, method, *_ in watch.heard] == [("restarts", "dm"), ("ends", "dm")]
    assert "altered" in watch.heard[0][2]
    measured = {row["method"]: row for row in rows_of(folder)}
    assert measured == {row["method"]: row for row in rows_of(undisturbed)}


def test_other_images_under_the_same_name_are_not_set_beside(whole, tmp_path):
    asked, undisturbed = whole
    folder = copy_without_rows(undisturbed, tmp_path / "it", "dm")
    for row in Rows(folder).all():
        Rows(folder).add(replace(row, data="another"))
    with pytest.raises(UsageError, match="random, ipc 1, seed 0"):
        compare(asked, folder)


BAD = """
    from limbeck import hookimpl
    from limbeck.errors import LimbeckError, UsageError
    from limbeck.matching import FeatureMatcher

    class Diverges(FeatureMatcher):
        def taps(self, network):
            return ["embedding"]

        def signal(self, maps):
            return maps

        def discrepancy(self, syn, real, step):
            return (syn["embedding"] - real["embedding"]).sum() * float("nan")

    class Refuses(Diverges):
        def taps(self, network):
            raise UsageError("this network has no such layer.")

    class FillsTheDisk(Diverges):
        def taps(self, network):
            raise LimbeckError("cannot write it: No space left on device.") from OSError(28, "No space left on device")

    def method(matcher):
        return {"title": matcher, "summary": "s", "settings": {
            "matcher": matcher, "source": "fresh", "network": "convnet-d1-w4", "budget": {"steps": 3},
            "evaluation": {"networks": 1, "protocol": "dc"}}, "profiles": {"small": []}}

    @hookimpl
    def register_matchers(register):
        register("diverges", Diverges)
        register("refuses", Refuses)
        register("fills_the_disk", FillsTheDisk)

    @hookimpl
    def register_methods(register):
        register("diverges", method("diverges"))
        register("refuses", method("refuses"))
        register("fills_the_disk", method("fills_the_disk"))
"""


def test_a_method_that_comes_to_nothing_leaves_the_others_be(whole, planned, plugin_of, tmp_path):
    plugin_of(BAD)
    folder = copy_without_rows(whole[1], tmp_path / "it", "k_center")
    watch = Watch()
    outcome = compare(planned("diverges", "refuses", "k_center", "dm"), folder, audience=watch)
    assert [(what, method) for what, method, *_ in watch.heard] == [
        ("failed", "diverges"),
        ("failed", "refuses"),
        ("ends", "k_center"),
    ]
    assert [line.method for line in outcome.table.lines] == ["random", "k_center", "dm", "whole"]
    assert "loss" in outcome.failures["diverges, ipc 1, seed 0"]
    assert outcome.failures["refuses, ipc 1, seed 0"] == "this network has no such layer."
    kept = Outcome.load(folder)
    assert (kept.failures, kept.table) == (outcome.failures, outcome.table)
    assert len(kept.table.asked.places) == 6


def test_a_full_disk_ends_everything(whole, planned, plugin_of, tmp_path):
    plugin_of(BAD)
    folder = copy_without_rows(whole[1], tmp_path / "it", "k_center")
    watch = Watch()
    with pytest.raises(LimbeckError, match="No space left"):
        compare(planned("fills_the_disk", "k_center"), folder, audience=watch)
    assert watch.heard == []


def test_what_the_baseline_refuses_ends_everything(planned, monkeypatch, tmp_path):
    def refuse(*args, **options):
        raise UsageError("no.")

    monkeypatch.setattr("limbeck.continued.run", refuse)
    with pytest.raises(UsageError, match="no"):
        compare(planned("dm"), tmp_path / "it")


def test_stopping_says_how_to_continue(whole, tmp_path):
    asked, undisturbed = whole
    folder = copy_without_rows(undisturbed, tmp_path / "it", "dm")

    class Stops(Audience):
        def listener(self):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        compare(asked, folder, audience=Stops())
    said = str(stopped.value)
    assert "row 2 (dm, ipc 1, seed 0); 3 of 4 rows are finished" in said
    assert f"type the same command again, with --out {folder}." in said and "\n" not in said


def test_time_left_is_told_once_something_is_known(whole, tmp_path):
    asked, undisturbed = whole
    watch = Watch()
    compare(asked, copy_without_rows(undisturbed, tmp_path / "it", "k_center", "dm"), audience=watch)
    assert [name.partition(",")[0] for name, _ in watch.begun] == ["dm", "k_center"]
    assert watch.begun[0][1] is None  # nobody knows how long 4 steps of dm take
    spent = {row.method: row.cost for row in Rows(undisturbed).all()}
    assert watch.begun[1][1] > 0 and spent["random"]["evaluating"] > 0


# What is refused before anything is written


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"methods": ["dmm"]}, "unknown method 'dmm'. Did you mean 'dm'?"),
        ({"methods": ["dm"], "data": {"name": "digit"}}, "unknown dataset 'digit'. Did you mean 'digits'?"),
        ({"methods": ["dm"], "network": "convnett"}, "unknown network 'convnett'"),
    ],
)
def test_unknown_names_are_refused(planned, asked, named):
    with pytest.raises(UnknownNameError) as refused:
        planned(*asked.pop("methods"), **asked)
    assert named in str(refused.value)


def test_options_of_a_source_concern_the_methods_that_have_it(planned):
    asked = planned("dm", "mtt", "random", source={"experts": 2, "train": True}, matcher={"steps": 3})
    found = {str(entry.method): entry.config for entry in asked.entries if entry.ipc}
    assert found["mtt"].source.options()["experts"] == 2
    assert found["mtt"].matcher.options()["steps"] == 3
    assert "experts" not in found["dm"].source.options()
    assert found["random"].source is None


def test_an_option_of_a_source_that_no_method_has_is_refused(planned):
    with pytest.raises(UsageError, match=r"none of the methods compared has an option 'source.expertz'"):
        planned("dm", "mtt", source={"expertz": 2})


@pytest.mark.parametrize("ipc", [0, -1])
def test_an_ipc_out_of_range_is_refused(planned, ipc):
    with pytest.raises(UsageError, match="ipc"):
        planned("dm", ipcs=[ipc])


def test_more_images_than_a_class_has_are_refused_before_the_first_row(planned, tmp_path):
    with pytest.raises(UsageError, match="11"):
        compare(planned("dm", ipcs=[1, 11]), tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_nothing_to_measure_with_is_refused(planned):
    with pytest.raises(UsageError, match="--networks"):
        planned("dm", evaluation={"networks": 0})


def test_rows_of_one_column_are_measured_alike(planned):
    asked = planned("dc", "dm", "k_center", ipcs=[1, 2])
    recipes = [entry.config.evaluation.protocol for entry in asked.entries]
    assert len(set(map(str, recipes))) == 1
    assert {entry.config.network for entry in asked.entries} == {"convnet-d1-w4-in"}


OTHER = """
    from limbeck import hookimpl

    @hookimpl
    def register_methods(register):
        register("follows_its_own", {"title": "t", "summary": "s", "settings": {
            "matcher": "distribution", "source": "fresh", "network": "convnet-d1-w4", "augmentation": "dsa",
            "budget": {"steps": 3}, "evaluation": {"networks": 1, "protocol": {"name": "dc", "epochs": 7}}},
            "profiles": {"small": []}})
"""


def test_own_recipes_are_kept_only_where_asked_for(planned, plugin_of):
    plugin_of(OTHER)

    def epochs(own_recipes):
        asked = planned("follows_its_own", evaluation={"networks": 1}, own_recipes=own_recipes)
        assert asked.asked.own_recipes == own_recipes
        return {entry.method: entry.config.evaluation.protocol.options()["epochs"] for entry in asked.entries}

    assert epochs(False) == {"random": 300, "follows_its_own": 300, "whole": 300}
    assert epochs(True) == {"random": 300, "follows_its_own": 7, "whole": 300}


def test_recipes_that_differ_are_refused(planned):
    """By DC's protocol a set is augmented as it was made, unless the protocol says otherwise."""
    follows = {"networks": 1, "protocol": {"name": "dc", "augmentation": None}}
    with pytest.raises(UsageError, match=r"'random' would be measured with .*, 'dm' with .*--own-recipes"):
        planned("dm", evaluation=follows)
    assert planned("dm", evaluation=follows, own_recipes=True).asked.methods == ["random", "dm"]


def test_a_selector_has_no_budget_and_a_key_follows_what_matters(planned):
    def keys(**settings):
        return {entry.method: entry.key for entry in planned("dm", **settings).entries}

    base, longer = keys(), keys(budget={"steps": 5})
    assert base["random"] == longer["random"] and base["whole"] == longer["whole"]
    assert base["dm"] != longer["dm"]
    calmer = keys(execution={"device": "cpu", "checkpoint_seconds": 60, "flush_every": 5})
    assert calmer == base
    wider = keys(evaluation={"networks": 3, "protocol": {"epochs": 1}})
    assert not set(base.values()) & set(wider.values())


def test_seeds_and_ipcs_are_rows_of_their_own(planned):
    asked = planned("dm", ipcs=[1, 2, 1], seeds=[0, 1]).asked
    assert [(place.seed, place.ipc, place.method) for place in asked.places] == [
        *[(seed, ipc, method) for seed in (0, 1) for ipc in (1, 2) for method in ("random", "dm")],
        (0, 0, "whole"),
    ]
    assert (asked.methods, asked.ipcs) == (["random", "dm"], [1, 2])
