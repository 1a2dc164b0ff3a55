"""``limbeck evaluate``: what is measured, where it is kept, and how much of it is trained again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.cli.evaluate import parse_counts
from limbeck.errors import UsageError
from limbeck.evaluation import job, load_rows
from limbeck.evaluation.cross import load_tables
from limbeck.evaluation.kept import load_others
from limbeck.synthetic import SyntheticSet

QUICK = ("--networks", 1, "--no-baselines", "--device", "cpu")


@pytest.fixture
def trained(monkeypatch):
    """The networks that were trained, by name."""
    names, train = [], job.train_and_test

    def counted(config, tensors):
        names.append(config["recipe"]["network"])
        return train(config, tensors)

    monkeypatch.setattr(job, "train_and_test", counted)
    return names


@pytest.fixture
def run(limbeck, tiny, no_report):
    assert limbeck(*tiny, "--set", "seed=4")[0] == 0
    return Path("run")


def test_a_set_measured_by_its_own_recipe_has_its_figures(limbeck, run):
    assert not (run / "evaluation.json").exists()
    assert limbeck("evaluate", "run", *QUICK)[0] == 0
    (row,) = load_rows(run)
    assert SyntheticSet.load(run).figures["synthetic"]["mean"] == row.mean
    assert limbeck("evaluate", "run", "--networks", 2, "--set", "epochs=1")[0] == 2
    assert load_rows(run) == [row]


def test_the_runs_seed_is_used_unless_another_is_asked_for(limbeck, run, trained):
    for seed, networks in (((), 1), (("--seed", 4), 1), (("--seed", 0), 2)):
        assert limbeck("evaluate", "run", *QUICK, *seed)[0] == 0
        assert len(trained) == networks


def test_rows_measured_otherwise_never_join_the_sets_own(limbeck, run):
    limbeck("evaluate", "run", *QUICK)
    before = (run / "evaluation.json").read_bytes()
    others = (["--network", "convnet-d1-w6"], ["--protocol", "dc", "--set", "epochs=0"], ["--data", "digits"])
    for number, options in enumerate(others, 1):
        assert limbeck("evaluate", "run", *QUICK, *options)[0] == 0
        assert len(load_others(run)) == number
    assert (run / "evaluation.json").read_bytes() == before


def test_the_page_is_written_again(limbeck, run, monkeypatch):
    written = []
    monkeypatch.setattr("limbeck.report.write_report", written.append)
    limbeck("evaluate", "run/synthetic.safetensors", *QUICK)
    limbeck("evaluate", "run", "--networks", "convnet-d1-w4=1")
    assert written == [run, run]


def test_networks_side_by_side(limbeck, run, trained):
    limbeck("evaluate", "run", *QUICK)
    line = ["evaluate", "run", "--networks", "convnet-d1-w4=2,convnet-d9=3,convnet-d1-w6=1"]
    status, out, err = limbeck(*line)
    assert (status, err) == (0, "")
    assert trained == ["convnet-d1-w4"] * 2 + ["convnet-d1-w6"]
    rows = [line.split() for line in out.splitlines() if line.startswith(" convnet")]
    assert [row[0] for row in rows] == ["convnet-d1-w4", "convnet-d1-w6"]
    assert rows[0][2:4] == [f"{100 * load_tables(run)[0].rows[0].row.mean:.2f}", "±"]
    assert "convnet-d9 was not measured: convnet of depth 9" in out
    assert limbeck(*line)[1] == out
    assert len(trained) == 3


def test_a_pool_with_counts_of_its_own(limbeck, run, loose, trained):
    file = loose(
        """
        from limbeck import hookimpl
        from limbeck.networks.pool import Pool

        class Two(Pool):
            def members(self, network):
                return [network, "convnet-d1-w6"]

        @hookimpl
        def register_pools(register):
            register("two", Two)
        """
    )
    assert limbeck("-p", file, "evaluate", "run", "--pool", "two", "--networks", "2,convnet-d1-w6=1")[0] == 0
    assert trained == ["convnet-d1-w4"] * 2 + ["convnet-d1-w6"]
    (table,) = json.loads((run / "cross_architecture.json").read_text())["tables"]
    assert (table["pool"], [row["network"] for row in table["rows"]]) == ("two", ["convnet-d1-w4", "convnet-d1-w6"])


def test_no_network_at_all_is_an_error_that_keeps_the_reasons(limbeck, refused, run):
    status, line = refused("evaluate", "run", "--networks", "convnet-d9=1")
    assert status == 1 and "no network could be measured: convnet of depth 9" in line
    assert list(load_tables(run)[0].failures) == ["convnet-d9"]


def test_scores_are_measured_and_said(limbeck, run):
    status, out, _ = limbeck("evaluate", "run", "--networks", 1, "--scores")
    assert status == 0
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    for name in ("lrs", "ars"):
        assert f"{name.upper()} {scores[name]['value']:.4f} (this set " in out


@pytest.mark.parametrize(
    "text, found",
    [("7", (7, {})), ("mlp=3,vgg11=1", (5, {"mlp": 3, "vgg11": 1})), ("1, mlp=3", (1, {"mlp": 3}))],
)
def test_numbers_of_networks(text, found):
    assert parse_counts(text) == found


@pytest.mark.parametrize("text", ["", "mlp", "0", "mlp=0", "mlp=x", "=3", "1,,2", "-1", "mlp=-2", "²"])
def test_what_is_no_number_of_networks(text):
    with pytest.raises(UsageError, match="is no number of networks"):
        parse_counts(text)


@pytest.mark.parametrize(
    "arguments, pieces",
    [
        (["--pool", "crss"], ["unknown pool 'crss'", "Did you mean 'cross'?"]),
        (["--pool", "cross", "--network", "mlp"], ["--network mlp names one network", "--pool"]),
        (["--pool", "cross", "--networks", "vgg12=1"], ["'vgg12', which is not in the pool 'cross'", "vgg11"]),
        (["--networks", "mlp=1", "--scores"], ["--scores", "leave out"]),
        (["--scores", "--no-baselines"], ["--scores", "leave out"]),
    ],
)
def test_what_contradicts_itself(arguments, pieces, refused, run):
    status, line = refused("evaluate", "run", *arguments)
    assert status == 2
    assert [piece for piece in pieces if piece not in line] == []
