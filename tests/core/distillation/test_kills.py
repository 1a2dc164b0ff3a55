"""A process killed at any moment leaves a folder that can be used and continued to the same bits."""

from __future__ import annotations

import pytest
import torch

from limbeck.distillation import checkpoint
from limbeck.files import folder_lock
from limbeck.synthetic import SyntheticSet

RUNS = {
    "dc": "--method dc --steps 7 --networks 1 --set source.outer=3 --set source.inner=2 "
    "--set evaluation.protocol.epochs=1",
    "dm": "--method dm --steps 9 --networks 1 --set evaluation.protocol.epochs=1",
    "evaluation": "--method dm --steps 2 --networks 3 --set evaluation.protocol.epochs=3",
    "extension": "--method dm --steps 9 --networks 1 --set evaluation.protocol.epochs=1",
}
WALK = "--set source.outer=3 --set source.inner=1"
SEEN = "--networks 1 --set evaluation.protocol.epochs=1 --steps 6"
POOL = "--set source.networks=2 --set source.epochs=1 --set source.images=100"
EXPERTS = (
    "--set source.train=true --set source.experts=2 --set source.epochs=3 --set source.batch_size=20 "
    "--set source.lr=0.3 --set matcher.steps=3 --set matcher.max_start=2 --set matcher.batch_syn=6 "
    "--set optimiser.lr_lr=0.001"
)
METHODS = {
    "dcc": f"--method dcc {SEEN} {WALK} --set matcher.outer_warmup=1 --set matcher.inner_warmup=2",
    "dsac": f"--method dsac {SEEN} {WALK} --set matcher.outer_warmup=0 --set matcher.inner_warmup=2",
    "datadam": f"--method datadam {SEEN} --network convnet-d2-w4-in",
    "ncfm": f"--method ncfm {SEEN} {POOL} --set matcher.frequencies=32",
    "ncfm, learned frequencies": f"--method ncfm {SEEN} {POOL} --set matcher.sampling=learned",
    "idc": f"--method idc {SEEN} --set source.outer=3 --set source.real_images=40",
    "fyi-dc": f"--method fyi-dc {SEEN} {WALK} --set formation.force=true",
    "fyi-dsa": f"--method fyi-dsa {SEEN} {WALK} --set formation.force=true",
    "fyi-dm": f"--method fyi-dm {SEEN} --set formation.force=true",
    "mtt": f"--method mtt {SEEN} {EXPERTS}",
    "tesla": f"--method tesla {SEEN} {EXPERTS} --set matcher.teacher_labels=true",
    "datm": f"--method datm {SEEN} {EXPERTS} --set matcher.first_max_start=1 --set optimiser.lr_label=20",
    "learned labels": f"--method dsa {SEEN} {WALK} --set labels=learned",
    "stored labels": f"--method dm {SEEN} --set labels.name=stored --set labels.passes=2 --set labels.epochs=1",
}
"""Every other method that has a state of its own, killed while it distils and while it is measured."""
SHORT = 4
"""Steps of the finished run that is extended."""


def moment(name, *args, **options):
    return [name, list(args), options]


RENAMED = {
    "dc": [
        moment("half", "checkpoint.safetensors", 2),
        moment("rename", "synthetic.safetensors", 1),
    ],
    "dm": [
        moment("rename", "checkpoint.safetensors", 3),
        moment("rename", "checkpoint.safetensors", 3, done=True),
    ],
    "evaluation": [
        moment("rename", "synthetic.safetensors", 2),
        moment("rename", "evaluation.json", 1),
    ],
    "extension": [
        moment("half", "config.yaml", 1),
        moment("rename", "synthetic.safetensors", 1),
        moment("rename", "synthetic.safetensors", 1, done=True),
        moment("rename", "synthetic.safetensors", 2),
    ],
}
INSIDE = {
    "dc": [
        moment("function", "limbeck.training.single:Training.advance", [11]),
        moment("function", "limbeck.distillation.parameters:SyntheticParameters.move", [6]),
        moment("half_row", 2),
    ],
    "dm": [
        moment("function", "limbeck.matching.feature:FeatureEngine.image_gradient", [9]),
        moment("half", "config.yaml", 1),
        moment("half_row", 3),
    ],
    "evaluation": [
        moment("function", "limbeck.training.single:Training.advance", [4]),
        moment("function", "limbeck.execution.executors:write_json", [2]),
        moment("half", "report.html", 1),
    ],
    "extension": [moment("function", "limbeck.matching.feature:FeatureEngine.image_gradient", [4])],
}
SPREAD = 5


class Case:
    """One sort of run and what it comes to when nothing happens."""

    def __init__(self, name, folder, victims, tiny_args, losses_of, rows_of):
        self.args, self.victims, self.name = [*tiny_args, *({**RUNS, **METHODS}[name]).split()], victims, name
        self.losses_of, self.rows_of = losses_of, rows_of
        tally = folder / "tally"
        after = "measure" if name == "evaluation" else ""
        whole = folder / "whole"
        status, said = self.run(whole, kill=moment("call", 0, after=after, tally=str(tally)))
        assert status == 0, said
        self.calls, self.after = int(tally.read_text()), after
        finished = SyntheticSet.load(whole)
        self.images, self.recipe = finished.images, finished.recipe
        self.losses, self.rows = losses_of(whole), rows_of(whole)

    def run(self, folder, **how):
        begun = (folder / "config.yaml").exists()
        longer = ["--steps", "9"] if self.name == "extension" else []
        args = ["distill", "--resume", folder, *longer] if begun else [*self.args, "--out", folder]
        return self.victims(args, cache=folder.with_suffix(".cache"), **how)

    def survives(self, kill, folder):
        """Kill a run, look at what it left, continue it; return what was found."""
        if self.name == "extension":
            short = [*self.args, "--steps", SHORT, "--out", folder]
            assert self.victims(short, cache=folder.with_suffix(".cache"))[0] == 0
        status, said = self.run(folder, kill=kill, report=True)
        assert status == -9, said
        found = self.found(folder)
        status, said = self.run(folder, report=True)
        assert status == 0, said
        continued = SyntheticSet.load(folder)
        assert torch.equal(continued.images, self.images)
        assert continued.recipe == self.recipe
        assert self.losses_of(folder) == self.losses
        assert self.rows_of(folder) == self.rows
        assert (folder / "report.html").exists()
        assert (folder / "manifest.json").exists()
        assert not list(folder.rglob("*.part"))
        return found

    def found(self, folder):
        """Check that nothing in the folder is half or held, and describe it."""
        if not folder.exists():
            return "nothing"
        parts = sorted(path.name.split(".")[1] + ".part" for path in folder.rglob("*.part"))
        with folder_lock(folder):
            start = checkpoint.load(folder)
            words = ["no checkpoint" if start is None else f"step {start[0].step}"]
            if (folder / "synthetic.safetensors").exists():
                stored = SyntheticSet.load(folder)
                rows = self.rows_of(folder) if (folder / "evaluation.json").exists() else []
                means = {row["label"]: row["mean"] for row in rows}
                assert len(stored) == 10
                if stored.figures and means:
                    assert {label: figure["mean"] for label, figure in stored.figures.items()} == means
                words.append("set" if (folder / "manifest.json").exists() else "set without manifest")
            if (folder / "networks").exists():
                words.append(f"{len(list((folder / 'networks').glob('*.json')))} networks")
            if (folder / "evaluation.json").exists():
                words.append(f"{len(self.rows_of(folder))} rows")
            return ", ".join([*words, *parts])


@pytest.fixture(scope="module")
def case(tmp_path_factory, victims, tiny_args):
    """Return the case of a name, its undisturbed run done once."""
    known = {}

    def get(name, losses_of, rows_of):
        if name not in known:
            known[name] = Case(name, tmp_path_factory.mktemp(name), victims, tiny_args, losses_of, rows_of)
        return known[name]

    return get


@pytest.mark.parametrize(
    ("name", "kill"),
    [
        ("dc", INSIDE["dc"][0]),
        ("dc", RENAMED["dc"][1]),
        ("dm", RENAMED["dm"][0]),
        ("datm", moment("function", "limbeck.matching.trajectory:TrajectoryEngine._second", [11])),
    ],
    ids=["inner training", "artifact", "checkpoint", "student"],
)
def test_killed_run_continues_to_the_same_bits(name, kill, case, losses_of, rows_of, tmp_path):
    case(name, losses_of, rows_of).survives(kill, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_run_killed_at_many_moments_continues_to_the_same_bits(
    name, case, losses_of, rows_of, tmp_path, record_property
):
    run = case(name, losses_of, rows_of)
    ends = range(1, 1 if name == "extension" else SPREAD + 1)
    spread = [moment("call", run.calls * part // (SPREAD + 1), after=run.after) for part in ends]
    for number, kill in enumerate([*spread, *INSIDE[name], *RENAMED[name]]):
        found = run.survives(kill, tmp_path / str(number))
        record_property(f"{kill[0]} {kill[1]} {kill[2] or ''}", found)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_killed_at_two_moments_continues_to_the_same_bits(name, case, losses_of, rows_of, tmp_path):
    run = case(name, losses_of, rows_of)
    for part in (1, 2):
        run.survives(moment("call", run.calls * part // 3), tmp_path / str(part))
