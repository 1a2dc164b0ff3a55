"""LRS and ARS on accuracies made by hand, and on rows."""

import json
import math

import pytest
import torch

from limbeck.errors import UsageError
from limbeck.evaluation import (
    augmentation_robust_score,
    evaluate_with_baselines,
    label_robust_score,
    load_rows,
    rows_for_scores,
    save_rows,
    scores_of,
)

ZERO = (1 - 1 / math.e) / (math.e - 1 / math.e)
EXACT = {"rel": 0, "abs": 1e-12}


def lrs(synthetic, random, hard, whole, **weight):
    return label_robust_score(synthetic=synthetic, random=random, synthetic_hard=hard, whole=whole, **weight)


def ars(synthetic, random, synthetic_plain, random_plain, **weight):
    plain = {"synthetic_plain": synthetic_plain, "random_plain": random_plain}
    return augmentation_robust_score(synthetic=synthetic, random=random, **plain, **weight)


def test_no_gain_and_no_loss_is_the_score_of_zero():
    assert lrs(0.5, 0.5, 0.8, 0.8) == pytest.approx(ZERO, **EXACT)
    assert lrs(0.6, 0.4, 0.5, 0.7) == pytest.approx(ZERO, **EXACT)  # gains and losses cancel
    assert ars(0.5, 0.5, 0.2, 0.2) == pytest.approx(ZERO, **EXACT)
    assert pytest.approx(0.2689414213699951, **EXACT) == ZERO


def test_the_ends_are_zero_and_one():
    assert lrs(1, 0, 1, 0) == pytest.approx(1, **EXACT)
    assert lrs(0, 1, 0, 1) == pytest.approx(0, **EXACT)
    assert ars(1, 0, 1, 0) == pytest.approx(1, **EXACT)
    assert ars(0, 1, 0, 1) == pytest.approx(0, **EXACT)


@pytest.mark.parametrize(
    ("accuracies", "weight", "gain"),
    [
        ((0.55, 0.35, 0.45, 0.85), 0.5, -0.1),
        ((0.55, 0.35, 0.45, 0.85), 1.0, 0.2),
        ((0.55, 0.35, 0.45, 0.85), 0.0, -0.4),
        ((0.7, 0.3, 0.6, 0.65), 0.25, 0.0625),
    ],
)
def test_lrs_weighs_improvement_against_loss(accuracies, weight, gain):
    expected = (math.exp(gain) * math.e - 1) / (math.e**2 - 1)  # both sides of the fraction times e
    assert lrs(*accuracies, weight=weight) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(
    ("accuracies", "weight", "gain"),
    [
        ((0.6, 0.4, 0.5, 0.45), 0.5, 0.125),
        ((0.6, 0.4, 0.5, 0.45), 1.0, 0.2),
        ((0.6, 0.4, 0.5, 0.45), 0.0, 0.05),
        ((0.11, 0.14, 0.2, 0.3), 0.75, -0.0475),
    ],
)
def test_ars_weighs_two_trainings(accuracies, weight, gain):
    expected = (math.exp(gain) * math.e - 1) / (math.e**2 - 1)
    assert ars(*accuracies, weight=weight) == pytest.approx(expected, **EXACT)


def test_each_accuracy_counts_in_its_direction():
    base = {"synthetic": 0.5, "random": 0.4, "synthetic_hard": 0.45, "whole": 0.8}
    for name, rises in (("synthetic", True), ("random", False), ("synthetic_hard", True), ("whole", False)):
        assert (label_robust_score(**{**base, name: base[name] + 0.1}) > label_robust_score(**base)) == rises


@pytest.mark.parametrize("position", range(4))
def test_per_cents_are_refused(position):
    for score, names in (
        (lrs, ("synthetic", "random", "synthetic_hard", "whole")),
        (ars, ("synthetic", "random", "synthetic_plain", "random_plain")),
    ):
        accuracies = [0.5] * 4
        accuracies[position] = 54.3
        with pytest.raises(UsageError) as caught:
            score(*accuracies)
        assert str(caught.value) == (
            f"{names[position]} is 54.3: scores are made of fractions from 0 to 1. "
            "Divide accuracies in per cent by 100."
        )
        with pytest.raises(UsageError, match="weight is 2: scores are made of fractions"):
            score(0.5, 0.5, 0.5, 0.5, weight=2)


# Rows


@pytest.fixture
def soft(synthetic):
    logits = torch.eye(3)[synthetic.labels] * 2 + torch.rand(6, 3, generator=torch.Generator().manual_seed(3))
    return synthetic.with_(labels=logits.softmax(1), label_kind="probabilities")


def measure(synthetic, data, recipe, **options):
    needed = rows_for_scores(synthetic.label_kind, recipe)
    rows = evaluate_with_baselines(synthetic, data, recipe, networks=2, baselines=needed, **options)
    return {row.label: row for row in rows}


def test_a_hard_set_without_augmentation_needs_the_usual_rows(synthetic, data, recipe):
    rows = measure(synthetic, data, recipe)
    assert list(rows) == ["synthetic", "random", "whole"]
    found = scores_of(list(rows.values()))
    own, random, whole = (rows[label].mean for label in ("synthetic", "random", "whole"))
    assert found["lrs"]["value"] == lrs(own, random, own, whole)
    assert found["lrs"]["inputs"] == {"synthetic": own, "random": random, "whole": whole}
    assert found["lrs"]["note"] == (
        "last pass, random images drawn anew for each network; all real images by 30 epochs of sgd, learning rate 0.1, "
        "batches of 64, augmentation none"
    )
    assert "ars" not in found


def test_augmentation_is_left_out_for_ars(synthetic, data, recipe):
    augmented = recipe.with_(augmentation={"name": "dsa", "strategy": "crop_cutout"})
    rows = measure(synthetic, data, augmented)
    assert set(rows) == {"synthetic", "random", "random_plain", "synthetic_plain", "whole"}
    for label in ("synthetic_plain", "random_plain"):
        assert rows[label].recipe == {**rows[label.removesuffix("_plain")].recipe, "augmentation": None}
    found = scores_of(list(rows.values()))
    means = [rows[label].mean for label in ("synthetic", "random", "synthetic_plain", "random_plain")]
    assert found["ars"]["value"] == ars(*means)
    assert found["ars"]["note"] == "last pass, random images drawn anew for each network"
    assert found["lrs"]["value"] == lrs(means[0], means[1], means[0], rows["whole"].mean)


def test_random_images_get_the_same_teacher_and_the_set_its_classes(synthetic, data, recipe):
    taught = recipe.with_(labels={"name": "teacher", "epochs": 2}, loss="kl", temperature=2.0)
    jobs = {}

    class Spy(type(_serial())):
        def execute(self, given, report):
            jobs.update({job.name.split(",")[0]: job for job in given})
            super().execute(given, report)

    rows = measure(synthetic, data, taught, executor=Spy())
    assert set(rows) == {"synthetic", "random", "random_soft", "synthetic_hard", "whole"}
    assert [rows[label].labels for label in ("synthetic", "random_soft")] == ["teacher"] * 2
    assert [rows[label].recipe["loss"] for label in rows] == ["kl", "ce", "kl", "ce", "ce"]
    weights = [
        {name: value for name, value in jobs[label].tensors.items() if name.startswith("projector.")}
        for label in ("synthetic", "random_soft")
    ]
    assert weights[0] and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert rows["random_soft"].bytes - rows["random"].bytes == rows["synthetic"].bytes - synthetic.bytes > 0
    found = scores_of(list(rows.values()))["lrs"]
    means = [rows[label].mean for label in ("synthetic", "random_soft", "synthetic_hard", "whole")]
    assert found["value"] == lrs(*means)
    assert set(found["inputs"]) == {"synthetic", "random_soft", "synthetic_hard", "whole"}


def _serial():
    from limbeck.plugins import registry

    return registry().create("executors", "serial")


def test_stored_soft_labels_have_no_like_and_no_score(soft, data, recipe):
    assert rows_for_scores(soft.label_kind, recipe) == ("random", "synthetic_hard", "whole")
    rows = measure(soft, data, recipe)
    hard = rows["synthetic_hard"]
    assert (hard.label_kind, hard.images, hard.recipe["labels"]) == ("hard", 6, {"name": "hard"})
    assert hard.bytes == rows["synthetic"].bytes - 6 * (3 * 4 - 1)
    classes = soft.with_(labels=soft.labels.argmax(1), label_kind="hard")
    from limbeck.evaluation import evaluate_set

    assert hard.accuracies == evaluate_set(classes, data, recipe, networks=2, label="synthetic_hard").accuracies
    assert scores_of(list(rows.values())) == {}


@pytest.mark.parametrize(
    ("label", "is_soft", "reason"),
    [
        ("random_soft", False, "the set's labels are classes already"),
        ("synthetic_hard", False, "the set's labels are classes already"),
        ("synthetic_plain", False, "the recipe has no augmentation to leave out"),
        ("random_plain", False, "the recipe has no augmentation to leave out"),
        ("random_soft", True, "the soft labels belong to the set's own images, and nothing gives random ones the like"),
    ],
)
def test_rows_that_do_not_exist_are_refused(label, is_soft, reason, synthetic, soft, data, recipe):
    with pytest.raises(UsageError) as caught:
        evaluate_with_baselines(soft if is_soft else synthetic, data, recipe, baselines=(label,))
    assert str(caught.value) == f"row '{label}' cannot be measured: {reason}. Leave it out of evaluation.baselines."


def test_scores_stand_beside_the_rows_in_the_file(synthetic, data, recipe, tmp_path):
    rows = list(measure(synthetic, data, recipe).values())
    save_rows(tmp_path, rows)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["scores"] == scores_of(rows) == scores_of(load_rows(tmp_path))
    save_rows(tmp_path, rows[:2])
    assert json.loads((tmp_path / "evaluation.json").read_text())["scores"] == {}


def test_no_score_is_made_of_rows_on_different_networks(synthetic, data, recipe):
    rows = measure(synthetic, data, recipe)
    other = evaluate_with_baselines(
        synthetic, data, recipe.with_(network="convnet-d1-w5-in"), networks=1, baselines=("random",)
    )
    assert scores_of([rows["synthetic"], other[1], rows["whole"]]) == {}
    assert scores_of([]) == {}
