"""Labels that are learned with the images: their gradients, where they start, and the set they end in."""

from __future__ import annotations

import itertools

import pytest
import torch

import limbeck
from limbeck.compare.plan import plan
from limbeck.configure import configure
from limbeck.data import DataSpec, RealData
from limbeck.distillation.result import recipe_of
from limbeck.errors import UsageError
from limbeck.evaluation import Recipe, evaluate_set
from limbeck.evaluation.baselines import obstacle, rows_for_scores
from limbeck.files import read_json
from limbeck.matching import Chunks
from limbeck.plugins import registry
from limbeck.preflight import check_names
from limbeck.runs import run
from limbeck.synthetic import ProjectorContext, SyntheticSet
from limbeck.testing.cases import CLASSES, SPEC, STEP, normal, tiny_network
from limbeck.training import Epochs, TrainData, fit

COUNT = 6
HARD = torch.tensor([0, 0, 1, 1, 2, 2])


pytestmark = pytest.mark.usefixtures("one_thread", "no_report")


def learned(dtype=torch.float64, state=None, labels=HARD, kind="hard", **options):
    projector = registry().create("label_projectors", {"name": "learned", **options})
    if state is not None:
        projector.load_state_dict(state)
    projector.prepare(
        ProjectorContext(
            real=RealData(torch.zeros(3, *SPEC.shape), torch.arange(3), SPEC, dtype=dtype),
            spec=SPEC,
            network=lambda name: tiny_network(),
            seed=0,
            device=torch.device("cpu"),
            labels=labels,
            label_kind=kind,
        )
    )
    return projector


def every_label(projector):
    return projector.labels(torch.zeros(COUNT), torch.arange(COUNT), 0, None)


@pytest.mark.parametrize("confidence", [0.4, 0.9, 0.99])
def test_labels_start_at_the_confidence_in_the_class_and_alike_elsewhere(confidence):
    labels = every_label(learned(confidence=confidence)).detach()
    rest = (1 - confidence) / (CLASSES - 1)
    expected = torch.full((COUNT, CLASSES), rest, dtype=torch.float64)
    expected[torch.arange(COUNT), HARD] = confidence
    torch.testing.assert_close(labels, expected, rtol=1e-12, atol=0)


def test_labels_start_where_a_set_has_them():
    logits = normal(COUNT, CLASSES)
    for kind, given in (("logits", logits), ("probabilities", logits.softmax(1))):
        torch.testing.assert_close(every_label(learned(labels=given, kind=kind)).detach(), logits.softmax(1))
    certain = torch.eye(CLASSES, dtype=torch.float64).repeat_interleave(2, 0)
    start = learned(labels=certain, kind="probabilities").parameters()["logits"]
    assert start.isfinite().all()


class Matched:
    """Batches of three groups whose labels are the projector's."""

    def __init__(self, projector, images):
        self.projector, self.images = projector, images

    def real(self, group):
        return normal(5, *SPEC.shape, owner=f"real {group}"), torch.full((5,), group)

    def synthetic(self, group):
        index = torch.tensor([2 * group, 2 * group + 1])
        return self.images[index], self.projector.labels(self.images, index, 0, None)


@pytest.mark.parametrize(
    ("chunks", "distance"),
    [
        (Chunks(64, 64), "ours"),
        (Chunks(64, 1), "ours"),
        (Chunks(64, 64, together=64), "mse"),
        (Chunks(64, 1, second_pass="forward_mode"), "cos"),
    ],
    ids=["whole", "chunked", "stacked", "forward mode"],
)
def test_the_gradient_at_the_logits_is_the_slope_of_the_distance(chunks, distance):
    network = tiny_network(torch.float64)
    state = network.initial(torch.Generator().manual_seed(0))
    matcher = registry().create("matchers", {"name": "gradient", "distance": distance})
    engine = matcher.engine(network, chunks)
    start = normal(COUNT, CLASSES, owner="logits")
    images = normal(COUNT, *SPEC.shape)

    def distance_at(logits):
        projector = learned(state={"logits": logits})
        loss = engine.accumulate(Matched(projector, images), state, STEP, range(CLASSES))
        return loss, projector.parameters()["logits"].grad

    _, gradient = distance_at(start)
    for row, column in itertools.product((0, 3), range(CLASSES)):
        step = torch.zeros_like(start)
        step[row, column] = 1e-6
        slope = (distance_at(start + step)[0] - distance_at(start - step)[0]) / 2e-6
        torch.testing.assert_close(gradient[row, column], slope, rtol=1e-5, atol=1e-9)
    assert gradient.abs().min() > 0


def test_training_on_them_is_training_on_their_softmax():
    projector = learned(torch.float32)
    data = TrainData(normal(COUNT, *SPEC.shape, dtype=torch.float32), HARD)
    network, common = tiny_network(), {"lr": 0.1, "budget": Epochs(3), "batch_size": 4}
    asked = fit(network, start=[0], data=data, labels=projector, **common).states[0]
    given = fit(network, start=[0], data=data, labels=every_label(projector).detach(), **common).states[0]
    hard = fit(network, start=[0], data=data, **common).states[0]
    assert all(torch.equal(asked[name], given[name]) for name in given)
    assert not torch.equal(asked["0.weight"], hard["0.weight"])


SMALL = {"name": "digits", "max_per_class": 20, "batch_real": 4}


def distilled(folder=None, method="dc", steps=4, networks=0, **settings):
    protocol = {"name": "dc", "epochs": 2}
    return limbeck.distill(
        method=method,
        profile="small",
        network="convnet-d1-w4-in",
        device="cpu",
        run_dir=folder,
        **{"labels": "learned", "ipc": 2, **settings},
        data="digits",
        max_per_class=20,
        batch_real=4,
        budget={"iterations": None, "steps": steps},
        source={"name": "inner", "outer": 2, "inner": 1},
        evaluation={"networks": networks, "protocol": protocol, "baselines": ["random", "synthetic_hard"]},
    )


@pytest.mark.parametrize("storage", ["float32", "float16", "uint8"])
def test_learned_labels_are_the_labels_of_the_set(storage, tmp_path):
    made = distilled(tmp_path, storage=storage, optimiser={"lr_label": 50})
    loaded = SyntheticSet.load(tmp_path)
    assert (loaded.label_kind, loaded.recipe["labels"]) == ("probabilities", {"name": "hard"})
    assert loaded.component_state == {}
    assert loaded.provenance["settings"]["labels"] == {"name": "learned"}
    assert torch.equal(loaded.labels, made.labels)
    kept = torch.float32 if storage == "float32" else torch.float16
    assert loaded.stored_labels().dtype == kept
    assert torch.equal(loaded.labels, loaded.labels.to(kept).float())
    torch.testing.assert_close(loaded.labels.sum(1), torch.ones(20), rtol=0, atol=1e-2)
    start = torch.full((20, 10), 0.1 / 9).scatter(1, loaded.group[:, None], 0.9)
    moved = (loaded.labels - start).abs().amax(1)
    assert (moved > 1e-3).all()
    size = {"float32": 4, "float16": 2, "uint8": 1}[storage]
    assert loaded.bytes == 20 * (64 * size + 10 * max(size, 2))


def test_every_learned_label_answers_to_its_own_rate_alone():
    slow, fast = (distilled(optimiser={"lr_label": rate}).labels for rate in (1e-9, 10.0))
    start = torch.full((20, 10), 0.1 / 9).scatter(1, torch.arange(10).repeat_interleave(2)[:, None], 0.9)
    torch.testing.assert_close(slow, start, rtol=0, atol=1e-6)
    assert (fast - start).abs().max() > 1e-3


def test_groups_that_are_updated_one_by_one_learn_their_labels_too():
    still = distilled(steps=1, optimiser={"lr_label": 1e-9, "order": "groupwise"}).labels
    moved = distilled(steps=1, optimiser={"lr_label": 50, "order": "groupwise"}).labels
    assert ((moved - still).abs().amax(1) > 1e-3).all()


def test_a_set_is_measured_with_its_labels_beside_what_is_fair(tmp_path):
    distilled(tmp_path, networks=1, optimiser={"lr_label": 50})
    stored = SyntheticSet.load(tmp_path)
    rows = {row["label"]: row for row in read_json(tmp_path / "evaluation.json")["rows"]}
    assert {label: row["labels"] for label, row in rows.items()} == {
        "synthetic": "soft",
        "random": "hard",
        "synthetic_hard": "hard",
    }
    assert rows["synthetic_hard"]["bytes"] == 20 * (64 * 4 + 1)
    recipe = Recipe.from_dict(stored.recipe)
    assert "random ones the like" in obstacle("random_soft", stored.label_kind, recipe)
    assert rows_for_scores(stored.label_kind, recipe) == ("random", "synthetic_hard", "whole")
    row = evaluate_set(stored, limbeck.load_dataset(SMALL["name"], max_per_class=20), recipe, networks=1)
    assert row.accuracies == rows["synthetic"]["accuracies"]


def test_a_run_goes_on_learning_the_labels_of_a_set(tmp_path):
    first = distilled(tmp_path)
    second = distilled(init={"from": "file", "path": str(tmp_path)}, optimiser={"lr_label": 1e-9})
    torch.testing.assert_close(second.labels, first.labels, rtol=1e-4, atol=1e-5)


def config(method, **settings):
    return configure(method, None, "small", {"labels": "learned", "data": SMALL, **settings})


@pytest.mark.parametrize(
    ("method", "reason"),
    [("dm", "matcher 'distribution' compares images whatever their labels"), ("random", "a selector learns none")],
)
def test_labels_that_would_never_move_are_refused_before_data_are_read(method, reason, monkeypatch, tmp_path):
    monkeypatch.setattr("limbeck.runs.load_dataset", lambda *a, **k: pytest.fail("data were read"))
    with pytest.raises(UsageError, match=f"labels 'learned' would never move: {reason}.*--method dsa") as error:
        run(config(method), folder=tmp_path / "run")
    assert "\n" not in str(error.value)


def test_a_term_that_looks_at_labels_is_enough():
    term = {"matcher": "cross_entropy", "source": {"name": "fresh"}}
    made = config("dm", terms=[term])
    check_names(made, recipe_of(made))
    unlabelled = config("dm", terms=[{"matcher": "distribution", "source": {"name": "fresh"}}])
    with pytest.raises(UsageError, match="would never move"):
        check_names(unlabelled, recipe_of(unlabelled))


def test_in_a_comparison_selectors_have_classes_and_other_matchers_are_refused():
    settings = {"labels": "learned", "data": SMALL, "evaluation": {"networks": 1}}
    rows = plan(["dsa"], [1], [0], settings=settings, profile="small").entries
    assert {row.method: row.config.labels.name for row in rows} == {
        "random": "hard",
        "dsa": "learned",
        rows[-1].method: "hard",
    }
    assert {row.method: row.config.evaluation.baselines for row in rows}["dsa"] == ("synthetic_hard",)
    with pytest.raises(UsageError, match="'distribution' compares images"):
        plan(["dsa", "dm"], [1], [0], settings=settings, profile="small")


def test_a_start_that_would_be_another_class_is_refused():
    with pytest.raises(UsageError, match=r"'labels.confidence' is 0.2, below the chance of 3 classes.*0.333 or more"):
        learned(confidence=0.2)


@pytest.mark.parametrize("shape", [(COUNT, CLASSES + 1), (COUNT + 1, CLASSES)], ids=["head", "images"])
def test_a_state_of_another_set_is_refused_in_a_line(shape):
    with pytest.raises(UsageError, match=rf"are \[{shape[0]}, {shape[1]}\], but the set has 6 images.*3 classes"):
        learned(state={"logits": torch.zeros(shape)})


def test_soft_labels_of_another_head_are_refused_by_training():
    data = TrainData(normal(COUNT, *SPEC.shape, dtype=torch.float32), torch.full((COUNT, 4), 0.25))
    with pytest.raises(UsageError, match=r"soft labels have 4 classes, but the network's head has 3"):
        fit(tiny_network(), start=[0], data=data, lr=0.1, budget=Epochs(1))


def test_an_artifact_with_labels_of_another_head_is_refused():
    with pytest.raises(UsageError, match=r"labels that are numbers \[n, 2\]"):
        SyntheticSet(
            images=torch.zeros(2, 1, 4, 4),
            labels=torch.full((2, 3), 1 / 3),
            group=torch.arange(2),
            spec=DataSpec("bars", (1, 4, 4), 2, ("a", "b"), (0.5,), (0.5,), True),
            label_kind="probabilities",
        )
