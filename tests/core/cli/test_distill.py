"""``limbeck distill`` and ``limbeck evaluate``, from what is typed to what lies in the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from limbeck.cli.distill import cache_folder, distill
from limbeck.cli.evaluate import evaluate
from limbeck.synthetic import SyntheticSet

pytestmark = pytest.mark.usefixtures("no_report")


def test_the_default_folder_names_the_run(limbeck, tiny):
    *rest, option, _ = tiny
    assert option == "--out"
    limbeck(*rest, "--ipc", 2)
    assert Path("runs/dm-digits-ipc2/synthetic.safetensors").exists()


def test_a_selector_needs_no_steps(limbeck, tiny):
    status, out, _ = limbeck(*tiny, "--method", "random", "--ipc", 3)
    assert status == 0
    assert "step" not in out
    assert SyntheticSet.load("run").counts == [3] * 10


def test_a_matcher_that_takes_the_place_of_the_methods_is_named(limbeck, tiny):
    _, out, _ = limbeck(*tiny, "--matcher", "gradient")
    assert out.startswith("dm with matcher gradient on digits, 1 image a class")


def test_a_finished_run_is_made_longer(limbeck, tiny):
    limbeck(*tiny)
    before = SyntheticSet.load("run")
    status, out, _ = limbeck("distill", "--resume", "run", "--steps", 5)
    assert status == 0
    assert "continuing on cpu" in out and "step 5 of 5" in out
    after = SyntheticSet.load("run")
    assert (before.provenance["steps"], after.provenance["steps"]) == (2, 5)
    assert "budget.steps: none -> 5" in after.provenance["deviations"]
    steps = [json.loads(line)["step"] for line in Path("run/log.jsonl").read_text().splitlines()]
    assert steps == [0, 1, 2, 3, 4]


def test_time_may_be_the_only_limit(limbeck, tiny):
    _, out, _ = limbeck(*[part for part in tiny if part not in ("--steps", 2)], "--seconds", 0.05)
    assert "steps for 0.05 s on cpu" in out


def test_the_written_configuration_repeats_the_run(limbeck, tiny):
    limbeck(*tiny, "--set", "augmentation=null", "--set", "optimiser.lr_img=1e-1")
    status, _, _ = limbeck("distill", "--config", "run/config.yaml", "--out", "again")
    assert status == 0
    one, two = (SyntheticSet.load(folder) for folder in ("run", "again"))
    assert (one.images == two.images).all()
    assert Path("run/config.yaml").read_text() == Path("again/config.yaml").read_text()
    assert yaml.safe_load(Path("run/config.yaml").read_text())["optimiser"]["lr_img"] == 0.1


def test_later_places_win(limbeck, tiny):
    Path("mine.yaml").write_text("ipc: 2\nseed: 5\nstorage: uint8\n")
    limbeck(*tiny, "--config", "mine.yaml", "--set", "seed=6", "--set", "ipc=3", "--ipc", 4)
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert (config["ipc"], config["seed"], config["storage"]) == (4, 6, "uint8")


def test_the_published_figure_stands_beside_what_differs(limbeck, tiny, loose):
    file = loose(
        """
        from limbeck import hookimpl

        METHOD = {
            "title": "Mine", "summary": "s",
            "settings": {"matcher": "distribution", "source": "fresh", "network": "convnet-d1-w4",
                         "budget": {"steps": 3}, "evaluation": {"networks": 0, "protocol": "dc"}},
            "profiles": {"published": [{"figure": {"accuracy": 61.5, "source": "Table 9"}}]},
        }

        @hookimpl
        def register_methods(register):
            register("mine", METHOD)
        """
    )
    line = ["-p", file, "distill", "--method", "mine", "--device", "cpu", "--max-per-class", 9]
    _, out, _ = limbeck(*line, "--set", "data.batch_real=4", "--out", "changed")
    assert "published: 61.5 % (Table 9); this run differs in 2 settings\n" in out


def test_evaluating_again_shows_the_same_figures(limbeck, tiny):
    limbeck(*tiny, "--networks", 2)
    rows = json.loads(Path("run/evaluation.json").read_text())["rows"]
    status, out, err = limbeck("evaluate", "run", "--networks", 2, "--no-baselines", "--device", "cpu")
    assert (status, err) == (0, "")
    assert f"{100 * rows[0]['mean']:.2f} ± {100 * rows[0]['std']:.2f}" in out
    assert "networks: 2, epochs: 2, augmentation: dsa, labels: hard" in out
    assert len(list(Path("run/networks").iterdir())) == 2


def test_evaluating_by_another_protocol_network_and_data(limbeck, tiny):
    limbeck(*tiny)
    quick = ["evaluate", "run/synthetic.safetensors", "--networks", 1, "--no-baselines", "--data", "digits"]
    status, out, _ = limbeck(*quick, "--protocol", "dc", "--set", "epochs=0", "--set", "augmentation=none")
    assert status == 0
    assert "networks: 1, epochs: 1, augmentation: none, labels: hard" in out
    assert " ± " not in out
    assert limbeck(*quick, "--network", "convnet-d1-w6")[0] == 0


def test_results_that_outlive_a_run_have_a_place(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))
    assert cache_folder() == tmp_path / "kept"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "file" / "kept"))
    assert cache_folder() is None
    monkeypatch.delenv("LIMBECK_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "limbeck"


@pytest.mark.parametrize("command", [distill, evaluate])
def test_help_shows_examples_whose_options_exist(command):
    options = {name for parameter in command.params for name in parameter.opts} | {"-p"}
    lines = [line for line in command.epilog.splitlines() if "limbeck" in line]
    assert len(lines) >= 3
    for line in lines:
        assert line.split()[:2] == ["limbeck", command.name]
        assert {word for word in line.split() if word.startswith("-")} <= options
