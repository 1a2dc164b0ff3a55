"""What a recipe says reaches the trainer; tests on the way change nothing, and best and last stay apart."""

from dataclasses import replace

import pytest
import torch

from limbeck.errors import UsageError
from limbeck.evaluation import evaluate_set
from limbeck.execution.device import threads_that_pay
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.seeding import derive_seed
from limbeck.training import Cosine, Epochs, TrainData, accuracy, fit


@pytest.fixture
def soft(synthetic):
    logits = 2 * torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    return synthetic.with_(labels=logits.softmax(1), label_kind="probabilities")


def direct(synthetic, data, recipe, **options):
    """The accuracy of one network by a call of the trainer with every argument spelt out."""
    network = build_network(recipe.network, data.spec, torch.device("cpu"))
    with threads_that_pay(network.largest_activation(), network.device):
        result = fit(
            network,
            start=[derive_seed(0, "eval", "synthetic", 0)],
            data=TrainData(synthetic.normalised(), synthetic.labels),
            weight_decay=recipe.weight_decay,
            budget=Epochs(recipe.epochs),
            batch_size=recipe.batch_size,
            **options,
        )
        found = accuracy(network, result.states[0], data.test)
    return found.overall, found.loss


def measured(synthetic, data, recipe):
    """The same of one network of an evaluation."""
    losses = []
    row = evaluate_set(synthetic, data, recipe, networks=1, on_result=lambda _, result: losses.append(result["loss"]))
    return row.accuracies[0], losses[0]


def test_loss_temperature_course_clip_and_optimiser_are_the_trainers(soft, data, recipe):
    told = recipe.with_(loss="kl", temperature=3.0, schedule="cosine", clip=0.5, optimiser="adamw", lr=0.01)
    options = {"lr": 0.01, "loss": "kl", "temperature": 3.0, "schedule": Cosine(), "clip": 0.5, "optimiser": "adamw"}
    expected = direct(soft, data, told, **options)
    assert measured(soft, data, told) == expected
    for changes in ({"loss": "mse", "temperature": 1.0}, {"temperature": 1.0}, {"schedule": "step"}, {"clip": 0.01}):
        assert measured(soft, data, told.with_(**changes)) != expected, changes


def test_a_recipe_that_says_no_more_than_before_trains_as_before(synthetic, data, recipe):
    plain = direct(
        synthetic, data, recipe, lr=recipe.lr, momentum=recipe.momentum, schedule=recipe.course
    )  # neither loss nor temperature nor clip is given
    assert measured(synthetic, data, recipe) == plain


def test_tests_on_the_way_change_nothing_and_are_those_of_shorter_trainings(synthetic, data, recipe):
    often = recipe.with_(epochs=5, milestones=(), evaluate_every=2, selection="best")
    row = evaluate_set(synthetic, data, often, networks=3)
    last = evaluate_set(synthetic, data, often.with_(evaluate_every=0, selection="last"), networks=3)
    assert row.accuracies == last.accuracies
    assert row.tests == [2, 4, 5]
    for position, passes in enumerate(row.tests):
        shorter = evaluate_set(synthetic, data, often.with_(epochs=passes, evaluate_every=0), networks=3)
        assert [curve[position] for curve in row.curves] == shorter.accuracies
    assert row.best == [max(curve) for curve in row.curves]
    assert [curve[-1] for curve in row.curves] == row.accuracies


def test_best_and_last_are_kept_apart_and_the_best_is_labelled(synthetic, data, recipe):
    row = evaluate_set(synthetic, data, recipe.with_(evaluate_every=1, selection="best"), networks=3)
    assert row.selection == "best"
    assert row.best_note == "best of 4 tests on the test set, optimistic"
    assert row.best_mean == pytest.approx(sum(row.best) / 3) and row.best_mean >= row.mean
    assert row.mean == pytest.approx(sum(row.accuracies) / 3)
    plain = evaluate_set(synthetic, data, recipe, networks=1)
    assert (plain.best, plain.best_mean, plain.best_note, plain.tests, plain.curves) == (None, None, "", [], [])
    assert plain.selection == "last"


def test_an_early_test_is_no_best_where_late_ones_alone_count(synthetic, data, recipe, tmp_path):
    often = recipe.with_(epochs=10, milestones=(), evaluate_every=1, selection="best")
    whole = evaluate_set(synthetic, data, often, networks=3, cache=tmp_path)
    late = evaluate_set(synthetic, data, often.with_(best_of=0.2), networks=3, cache=tmp_path)
    assert (late.curves, late.seconds) == (whole.curves, whole.seconds)  # nothing is trained anew for it
    assert late.best == [max(curve[-2:]) for curve in late.curves]
    assert late.best_note == "best of 2 tests of the last 20 % of passes on the test set, optimistic"
    assert replace(late, recipe=late.recipe | {"best_of": 0.05}).best_note.startswith("best of 1 test of the last 5 %")


def test_what_is_reported_trains_nothing_anew(synthetic, data, recipe, tmp_path):
    often = recipe.with_(evaluate_every=2)
    for selection in ("last", "best"):
        evaluate_set(synthetic, data, often.with_(selection=selection), networks=1, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_loss_that_the_labels_do_not_fit_is_refused_before_anything_is_trained(synthetic, data, recipe):
    class Never(type(registry().create("executors", "serial"))):
        def execute(self, jobs, report):
            raise AssertionError("a network is trained")

    with pytest.raises(UsageError, match="loss 'kl' compares with soft labels, but this set's labels are classes"):
        evaluate_set(synthetic, data, recipe.with_(loss="kl"), executor=Never())
