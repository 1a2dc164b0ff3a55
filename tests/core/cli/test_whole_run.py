"""One run with everything a run does: what it says, and what it leaves."""

from __future__ import annotations

from pathlib import Path


def test_a_run_says_what_it_does_and_leaves_everything(limbeck, tiny):
    status, out, err = limbeck(*tiny, "--ipc", 2, "--networks", 2, "--set", "evaluation.baselines=true")
    assert (status, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines() if line.strip()]
    assert lines[:2] == ["dm on digits, 2 images a class, network convnet-d1-w4", "everything goes into run"]
    assert lines[2].startswith("2 steps, about ") and "ms a step" in lines[2]
    assert lines[3].startswith("step 2 of 2, loss ") and lines[3].endswith(" s in all")
    assert lines[4].split() == ["trained", "on", "images", "bytes", "accuracy,", "%", "epochs"]
    names = ["this set", "random, same ipc", "random, same bytes", "whole data set"]
    assert [line[:19].strip() for line in lines[6:10]] == names
    assert lines[10] == "networks: 2, augmentation: dsa, labels: hard"
    assert lines[11].startswith("done in ") and lines[11].endswith("; open run/report.html to see the images")
    assert max(map(len, lines)) <= 80
    kept = {path.name for path in Path("run").iterdir()}
    assert kept == {
        ".lock", "config.yaml", "plan.json", "environment.json", "initial.safetensors", "checkpoint.safetensors",
        "log.jsonl", "events.jsonl", "losses.csv", "accuracies.csv", "synthetic.safetensors", "manifest.json",
        "preview.png", "evaluation.json", "report.html", "networks",
    }  # fmt: skip
    assert Path("run/report.html").stat().st_size > 1000
