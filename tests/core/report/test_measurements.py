"""Measurements on the page: best tests, scores, other networks and procedures, each where it belongs."""

from __future__ import annotations

from dataclasses import replace

from limbeck.evaluation import Recipe, label_robust_score
from limbeck.evaluation.cross import Architecture, CrossTable, save_table
from limbeck.evaluation.kept import keep_other
from limbeck.evaluation.rows import load_rows, save_rows


def test_best_tests_have_a_column_and_a_note_of_their_own(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    assert "Best test" not in read(folder).text
    own, *others = load_rows(folder)
    best = [0.99] * own.networks
    curves = [[0.5, 0.99, last] for last in own.accuracies]
    save_rows(folder, [replace(own, best=best, tests=[1, 2, 3], curves=curves), *others])
    found = read(folder)
    cells = [one["data-label"] for one in found.all("td")]
    assert cells.count("Best test") == cells.count("Accuracy") == 4
    assert "Best test: best of 3 tests on the test set, optimistic." in found.text
    assert "99.0 ± 0.0" in found.text and f"{100 * own.mean:.1f} ± {100 * own.std:.1f}" in found.text
    assert found.text.count("Test accuracy while networks learn") == 1
    assert any("while networks learn" in svg["aria-label"] for svg in found.all("svg"))


def test_columns_that_do_not_vary_are_said_once(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    common = "network convnet-d2-w32-in , augmentation dsa , labels hard , reported last epoch"
    assert common in read(folder).text
    own, *others = load_rows(folder)
    save_rows(folder, [replace(own, label_kind="logits"), *others])
    found = read(folder)
    assert [one["data-label"] for one in found.all("td")].count("Labels") == 4
    assert "soft (logits)" in found.text


def test_searched_rates_are_declared(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    own, *others = load_rows(folder)
    save_rows(folder, [replace(own, lr_searched={"0.01": 0.5, "0.1": 0.25}, validation_images=140), *others])
    said = "learning rate 0.01, the best of 2 on 140 real training images kept aside (0.01: 50.0 %, 0.1: 25.0 %)"
    assert said in read(folder).text


def test_scores_stand_with_what_they_are_made_of(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    own, random, _, whole = load_rows(folder)
    value = label_robust_score(synthetic=own.mean, random=random.mean, synthetic_hard=own.mean, whole=whole.mean)
    found = read(folder).text
    assert (
        f"{value:.3f} label robust score (LRS), made of synthetic set {100 * own.mean:.1f}; random, same ipc" in found
    )
    assert "augmentation robust score" not in found
    save_rows(folder, [own])
    assert "robust score" not in read(folder).text


def test_networks_stand_side_by_side(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    own = load_rows(folder)[0]
    rows = [Architecture("convnet-d2-w32-in", 10986, own), Architecture("mlp", 26122, replace(own, accuracies=[0.25]))]
    save_table(folder, CrossTable("cross", None, "digits", rows, {"vgg11": "its smallest are <32x32>"}))
    save_table(folder, CrossTable("chosen", {"name": "mtt"}, "other", []))
    found = read(folder)
    assert "Across networks: pool cross" in found.text and "by protocol mtt and tested on other" in found.text
    assert "mlp 26,122 25.0 1 301 12 s" in found.text
    assert "vgg11 was not measured: its smallest are <32x32>" in found.text
    assert any(svg["aria-label"].endswith(": convnet-d2-w32-in, mlp") for svg in found.all("svg"))


def test_what_was_measured_otherwise_stays_out_of_the_headline(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    before = read(folder).text
    own = load_rows(folder)[0]
    keep_other(folder, Recipe(network="mlp", epochs=7), "mnist", [replace(own, accuracies=[0.125], protocol="mtt")])
    found = read(folder).text
    assert "Measured otherwise" in found and "Tested on mnist" in found
    assert found.index("12.5") > found.index("Measured otherwise")
    assert found.startswith(before[: before.index("Accuracy of each network")])
