"""IDC: what its networks learn between steps, how images move, what is compared, and how a set is measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from limbeck.configure import configure
from limbeck.data import DataSpec, RealData
from limbeck.distillation.batches import StepBatches
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.errors import UsageError
from limbeck.evaluation import Recipe
from limbeck.matching import MatcherContext, SourceContext, StepContext
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.preflight import check_names
from limbeck.runs import run
from limbeck.seeding import Generators, derive_seed
from limbeck.training import Steps, TrainData, fit
from limbeck_plugins.network_sources import inner

SPEC = DataSpec("toy", (1, 8, 8), 3, ("a", "b", "c"), (0.4,), (0.25,), mirror=True)
NETWORK = "convnet-d1-w4-in"
WALK = {"on": "real", "outer": 5, "real_images": 20, "batch_train": 8}
WALK |= {"lr_net": 0.05, "momentum": 0.9, "weight_decay": 0.01}
MIXED = {"name": "cutmix", "probability": 0.5, "before": {"name": "dsa", "strategy": "crop", "always": "color"}}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def real():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (30, *SPEC.shape), dtype=torch.uint8, generator=generator)
    return RealData(images, torch.arange(3).repeat(10), SPEC)


@pytest.fixture
def source(real):
    """A network source in a run of its own: ``source(**options)``."""

    def make(real=real, **options):
        made = registry().create("network_sources", {"name": "inner", **WALK, **options})
        made.prepare(
            SourceContext(
                network=build_network(NETWORK, SPEC),
                ipc=2,
                generators=Generators(7),
                real=real,
                synthetic=lambda: pytest.fail("the synthetic set was asked for"),
                labels=None,
                augmentation=registry().create("augmentations", "dsa").for_data(SPEC),
            )
        )
        return made

    return make


def at(step, outer=5):
    return StepContext(step // outer, step % outer, outer, step)


def walk(source, first, last):
    """The weights of some steps, one after the other."""
    seen = []
    for step in range(first, last):
        seen.append({name: value.clone() for name, value in source.state(at(step)).items()})
        source.advance(at(step))
    return seen


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


# What networks learn between steps


@pytest.mark.parametrize("augmentation", [MIXED, "none", None])
def test_a_network_learns_as_in_one_long_training(source, real, augmentation):
    """Momentum, order and augmentation go on from one training to the next: 3 batches of 8 make 20 images."""
    walked = source(augmentation=augmentation)
    seen = walk(walked, 0, 5)
    chosen = augmentation or "dsa"
    made = None if chosen == "none" else registry().create("augmentations", chosen).for_data(SPEC)
    fresh = Generators(7)
    start = walked.context.network.initial(fresh.init)
    options = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "batch_size": 8, "augmentation": made}
    seeds = [derive_seed(7, "train", 0)]
    whole = fit(
        walked.context.network, start=[start], data=real, budget=Steps(12), seeds=seeds, snapshots=[0, 3, 6, 9, 12],
        **options,
    )  # fmt: skip
    for step, snapshot in enumerate(whole.snapshots[0]):
        assert_same(seen[step], snapshot.state)
    again = start
    for step in range(2):
        again = fit(
            walked.context.network, start=[again], data=real, budget=Steps(3), seeds=[step], **options
        ).states[0]  # fmt: skip
    assert any(not torch.equal(again[name], seen[2][name]) for name in again)


def test_real_images_are_seen_once_a_pass(source, real, monkeypatch):
    taken = []
    original = RealData.take
    monkeypatch.setattr(RealData, "take", lambda self, index: taken.append(index.tolist()) or original(self, index))
    walk(source(), 0, 4)
    assert [len(batch) for batch in taken] == [8, 8, 8, 6] * 3
    for start in (0, 4, 8):
        assert sorted(index for batch in taken[start : start + 4] for index in batch) == list(range(30))
    assert taken[:4] != taken[4:8]


def test_epochs_between_steps_are_of_that_many_images(source, monkeypatch):
    budgets = []
    monkeypatch.setattr(
        inner, "fit", lambda *args, **options: budgets.append(options["budget"]) or fit(*args, **options)
    )
    walk(source(inner=2), 0, 3)
    assert budgets == [Steps(6), Steps(12), Steps(18)]


def test_a_new_network_starts_without_momentum_and_with_an_order_of_its_own(source):
    one = source(outer=2)
    states = []
    for step in range(4):
        states.append({k: v.clone() for k, v in one.state(at(step, 2)).items()})
        one.advance(at(step, 2))
        trained = {k: v for k, v in one.state_dict().items() if k.startswith("training.")}
        assert int(trained["training.0.step"]) == 3
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


@pytest.mark.parametrize("cut", [1, 2, 4, 5, 6])
def test_a_walk_goes_on_to_the_same_bits_after_a_checkpoint(source, cut):
    whole = walk(source(augmentation=MIXED), 0, 8)
    first, second = source(augmentation=MIXED), source(augmentation=MIXED)
    walk(first, 0, cut)
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    second.context.generators.load_state_dict(first.context.generators.state_dict())
    for step, state in enumerate(walk(second, cut, 8), cut):
        assert_same(state, whole[step])


def test_real_images_are_needed(source):
    with pytest.raises(UsageError, match=r"needs real images.*Type source\.on=synthetic"):
        source(real=None)
    with pytest.raises(UsageError, match="'crops' is no operation"):
        source(augmentation={"name": "dsa", "strategy": "crops"})


def test_training_on_the_synthetic_set_has_an_augmentation_of_its_own_too(real):
    images = TrainData(
        torch.randn(6, *SPEC.shape, generator=torch.Generator().manual_seed(1)), torch.arange(3).repeat(2)
    )

    def walked(own, runs):
        made = registry().create("network_sources", {"name": "inner", "outer": 2, "inner": 3, "augmentation": own})
        dsa = None if runs is None else registry().create("augmentations", runs).for_data(SPEC)
        made.prepare(SourceContext(build_network(NETWORK, SPEC), 2, Generators(7), real, lambda: images, None, dsa))
        return walk_two(made)

    def walk_two(made):
        made.state(at(0, 2))
        made.advance(at(0, 2))
        return made.state(at(1, 2))

    assert_same(walked("dsa", None), walked(None, "dsa"))
    assert_same(walked("none", "dsa"), walked(None, None))
    assert any(
        not torch.equal(a, b) for a, b in zip(walked(None, None).values(), walked(MIXED, None).values(), strict=True)
    )


# A whole run


def tiny(**settings):
    fixed = {
        "network": NETWORK,
        "data": {"name": "digits", "max_per_class": 12, "batch_real": 4, "batch_syn": 3},
        "source": {"outer": 3, "real_images": 10, "batch_train": 8},
        "budget": {"iterations": None, "steps": 5},
        "evaluation": {"networks": 1, "baselines": False, "protocol": {"name": "idc", "epochs": 2}},
        "execution": {"device": "cpu", "checkpoint_seconds": 0, "flush_every": 1},
    }
    return configure("idc", None, "published", {**fixed, **settings})


def test_a_run_stopped_and_continued_equals_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr("limbeck.report.write_report", lambda folder: None)
    whole = run(tiny(), folder=tmp_path / "whole")
    run(tiny(budget={"iterations": None, "steps": 2}), folder=tmp_path / "parts")
    parts = run(tiny(), folder=tmp_path / "parts", resume=True)
    assert torch.equal(parts.synthetic.images, whole.synthetic.images)
    assert whole.synthetic.recipe["augmentation"]["name"] == "cutmix"
    assert whole.synthetic.recipe["formation"] == {"name": "tiles", "factor": 2}
    pixels = whole.synthetic.unit()
    assert float(pixels.min()) >= -1e-6 and float(pixels.max()) <= 1 + 1e-6
    assert [row.accuracies for row in parts.rows] == [row.accuracies for row in whole.rows]
    assert len(whole.rows) == 1


def test_updates_class_by_class_share_one_momentum(monkeypatch):
    """Every update moves all images: those of other classes by what is left of their momentum."""
    seen = []
    original = SyntheticParameters.move

    def move(self):
        gradient, before = self.images.grad.clone(), self.images.detach().clone()
        original(self)
        seen.append((gradient, before, self.images.detach().clone()))

    monkeypatch.setattr(SyntheticParameters, "move", move)
    rate, momentum = 0.01, 0.5
    config = tiny(
        optimiser={"lr_img": rate, "clamp": False}, evaluation={"networks": 0}, budget={"iterations": None, "steps": 2}
    )
    assert (config.optimiser.momentum, config.optimiser.order, config.optimiser.space) == (
        momentum,
        "groupwise",
        "unit",
    )
    run(config)
    buffer = torch.zeros_like(seen[0][0])
    for number, (gradient, before, after) in enumerate(seen):
        others = torch.arange(len(gradient)) != number % 10
        assert not gradient[others].any() and gradient[number % 10].any()
        buffer = momentum * buffer + gradient
        torch.testing.assert_close(after, before - rate * buffer)
    assert len(seen) == 20 and buffer[[7, 8, 9]].flatten(1).any(1).all()


def test_a_step_sees_a_part_of_many_images(real):
    images = torch.randn(6, *SPEC.shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    parameters = SimpleNamespace(
        rows=[slice(0, 6)], groups=[0], labels=torch.arange(6) % 3, group=torch.zeros(6, dtype=torch.int64),
        of_rows=lambda rows: images,
    )  # fmt: skip
    tiles = registry().create("formations", "tiles")
    hard = registry().create("label_projectors", "hard")

    def batches(most, seed=1):
        return StepBatches(real, parameters, tiles, hard, None, 4, Generators(seed), batch_syn=most)

    whole, labels = batches(None).synthetic(0)
    assert len(whole) == 24 and torch.equal(batches(24).synthetic(0)[0], whole)
    some, own = batches(7).synthetic(0)
    places = [int((whole == image).flatten(1).all(1).nonzero()) for image in some]
    assert len(set(places)) == 7 and places != sorted(places)
    assert torch.equal(own, labels[places])
    assert not torch.equal(batches(7, seed=2).synthetic(0)[0], some)
    some.sum().backward()
    assert images.grad is not None


# What is compared


def matcher(**options):
    return registry().create("matchers", {"name": "gradient", **options})


def test_distances_are_sums():
    syn = {"a": torch.tensor([[1.0, -2.0]]), "b": torch.tensor([3.0])}
    real = {"a": torch.tensor([[0.0, 2.0]]), "b": torch.tensor([5.0])}
    assert matcher(distance="l1").distance(syn, real, at(0)) == 7
    assert matcher(distance="mse").distance(syn, real, at(0)) == 21


@pytest.mark.parametrize(
    ("distance", "axes"), [("ours", {2, 4}), ("mse", {1, 2, 4}), ("l1", {1, 2, 4}), ("cos", {1, 2, 4})]
)
def test_convolutions_alone_are_compared_where_that_is_asked(distance, axes):
    named = dict(build_network(NETWORK, SPEC).module.named_parameters())
    used = {weight.ndim for name, weight in named.items() if matcher(distance=distance).uses(name, weight)}
    assert used == axes
    alone = matcher(distance=distance, weights="convolutions")
    assert {weight.ndim for name, weight in named.items() if alone.uses(name, weight)} == {4}


def test_a_network_without_convolutions_is_refused():
    context = MatcherContext(build_network("mlp", SPEC), 3, 3, torch.Generator())
    matcher().prepare(context)
    with pytest.raises(UsageError, match=r"network 'mlp' has no convolutions.*matcher\.weights=all"):
        matcher(weights="convolutions").prepare(context)


def test_matching_through_blended_images_is_refused():
    config = tiny(augmentation="cutmix")
    with pytest.raises(UsageError, match=r"'cutmix' blends images.*evaluation\.protocol\.augmentation=cutmix"):
        check_names(config, Recipe(network=NETWORK, epochs=1))


# How a set is measured, and what the method's file says


def recipe(stored=None, **options):
    return registry().create("protocols", {"name": "idc", **options}).recipe(NETWORK, stored)


def test_protocol_has_the_published_numbers():
    stored = Recipe(network="x", epochs=3, augmentation={"name": "dsa"}, formation={"name": "tiles", "factor": 2})
    made = recipe(stored)
    assert (made.epochs, made.batch_size, made.lr, made.momentum, made.weight_decay) == (1000, 64, 0.01, 0.9, 5e-4)
    scales = [made.course.scale(done, 1000) for done in (0, 665, 666, 832, 833, 999)]
    assert scales == pytest.approx([1, 1, 0.2, 0.2, 0.04, 0.04])
    assert not any(made.course.restarts(done) for done in range(1000))
    assert (made.selection, made.evaluate_every) == ("best", 250)
    assert made.formation == {"name": "tiles", "factor": 2}
    assert made.augmentation["name"] == "cutmix" and made.augmentation["probability"] == 0.5
    before = registry().create("augmentations", made.augmentation["before"])
    assert (sorted(before.operations), before.always) == (["crop", "rotate", "scale"], ["flip", "color"])


def test_protocol_takes_other_numbers():
    made = recipe(epochs=9, evaluate_every=2, augmentation="none", lr=0.1)
    assert (made.epochs, made.milestones, made.evaluate_every, made.augmentation, made.lr) == (9, (6, 7), 2, None, 0.1)
    assert recipe(epochs=3).evaluate_every == 1
    assert recipe(augmentation={"name": "dsa", "always": "flip"}).augmentation == {"name": "dsa", "always": "flip"}


SIDE = {"cifar10": 32, "cifar100": 32, "svhn": 32, "mnist": 32, "fashion_mnist": 28}
"""MNIST's rate is relative to its own side in the public code, Fashion-MNIST's to 32 pixels."""


@pytest.mark.parametrize("data", SIDE)
@pytest.mark.parametrize("ipc", [1, 10, 20, 50])
def test_published_settings_per_data_set(data, ipc):
    config = configure("idc", None, "published", {"data": {"name": data}, "ipc": ipc})
    is_grey = "mnist" in data
    base = 1e-4 if is_grey else 5e-3
    assert config.optimiser.lr_img == pytest.approx(base * ipc / 10 * (SIDE[data] / 32) ** 2)
    assert config.matcher.distance == ("l1" if is_grey else "mse")
    assert config.source.real_images == (2000 if "cifar" in data else 500)
    between = registry().create("network_sources", config.source.model_dump())._augmentation
    matching = registry().create("augmentations", config.augmentation.model_dump())
    assert (matching.operations, between.mixes_labels) == (["crop"], data != "mnist")
    assert matching.always == (["color"] if data == "mnist" else ["color", "cutout"])
    made = registry().create("protocols", config.evaluation.protocol.model_dump()).recipe(config.network, None)
    assert made.augmentation["name"] == ("dsa" if data == "mnist" else "cutmix")
