"""Settings of papers, number by number, and what a study says when it leaves them."""

from __future__ import annotations

import pytest

from limbeck.augment import check_strategy
from limbeck.config import merge
from limbeck.errors import UnknownNameError
from limbeck.options import parse
from limbeck.plugins import registry
from limbeck.training import Epochs
from limbeck_applications.continual.protocols import PROTOCOLS, deviations, preset
from limbeck_applications.continual.settings import Retraining
from limbeck_applications.continual.strategies import distilled_gdumb
from limbeck_applications.continual.strategy import Retrained
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.testing.cases import tiny_context, tiny_stream


def settings(name, benchmark="", **over):
    return parse(StudySettings, merge(preset(name, benchmark), over), "")


def test_dm_is_as_published():
    """Zhao and Bilen's public CL_DM.py: 5 orders, 3 networks, 20 images a class, 1001 passes, rate / 10 after 502."""
    found = settings("dm")
    assert found.benchmark.model_dump() == {"name": "split_cifar100"}
    options = registry().create("continual_benchmarks", found.benchmark.model_dump()).options
    assert (options.experiences, options.class_order, options.online) == (5, "numpy", False)
    assert (found.orders, found.seeds, found.images, found.grows) == (5, 3, 20, True)
    assert [spec.name for spec in found.strategies] == ["distilled_gdumb"]
    assert [(memory.method, memory.ipc) for memory in found.memories] == [("random", 20), ("herding", 20), ("dm", 20)]
    assert found.network == "convnet-d3-w128-in"
    how = found.retraining
    assert (how.lr, how.momentum, how.weight_decay, how.batch_size, how.epochs) == (0.01, 0.9, 5e-4, 256, 1001)
    assert how.augmentation.name == "dsa"
    operations = how.augmentation.options()["strategy"]
    assert check_strategy(operations, ("color", "crop", "cutout", "flip", "scale", "rotate")) == operations
    assert operations.count("_") == 5


@pytest.mark.parametrize(("asked", "passes"), [(1000, 1001), (300, 301), (10, 11), (1, 2)])
def test_the_rate_falls_where_the_public_loop_lets_it_fall(asked, passes, monkeypatch):
    """``for ep in range(E + 1): train; if ep == E // 2 + 1: lr *= 0.1`` falls after E // 2 + 2 passes."""
    seen = {}
    monkeypatch.setattr(distilled_gdumb, "fit", lambda *_, **given: seen.update(given))
    stream = tiny_stream()
    context = tiny_context(stream)
    networks = [Retrained(stream, 0, context.memory[0], 0)]
    distilled_gdumb.trained(context.build(stream), networks, stream.spec, Retraining(epochs=passes, augmentation=None))
    finished = [ep + 1 for ep in range(asked + 1) if ep == asked // 2 + 1]
    assert [milestone for milestone in seen["schedule"].milestones if milestone <= passes] == finished
    assert seen["schedule"].reset_momentum
    assert seen["budget"] == Epochs(passes)


def test_one_per_class_is_as_published():
    """Rosasco et al.'s public config_dr.py of Split Fashion-MNIST, and of the others where they differ."""
    found = settings("one_per_class")
    how = found.training
    assert (how.iterations, how.batch_size, how.lr, how.momentum, how.weight_decay) == (80, 128, 0.05, 0.0, 0.0)
    assert (found.images, found.memories[0].ipc, found.network) == (1, 1, "lenet")
    assert found.benchmark.options() == {"class_order": "distilled_replay"}
    cifar = settings("one_per_class", "split_cifar10")
    assert (cifar.training.iterations, cifar.training.batch_size, cifar.training.lr) == (40, 1024, 0.05)
    assert cifar.benchmark.options() == settings("one_per_class", "split_mnist").benchmark.options()
    assert cifar.benchmark.options() == {"class_order": "natural"}
    pixels = settings("one_per_class", "permuted_mnist")
    assert (pixels.benchmark.options(), pixels.training.epochs, pixels.training.iterations, pixels.network) == (
        {"experiences": 10}, 3, None, "mlp",
    )  # fmt: skip


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_followed_differs_in_what_it_says_it_always_does(name):
    assert settings(name).protocol == name
    assert deviations(settings(name)) == PROTOCOLS[name].differs != ()


@pytest.mark.parametrize(("name", "other"), [(n, b) for n in PROTOCOLS for b in PROTOCOLS[n].elsewhere])
def test_another_benchmark_of_the_paper_is_no_deviation(name, other):
    assert deviations(settings(name, other)) == PROTOCOLS[name].differs


def test_every_component_that_is_named_exists():
    for name, found in PROTOCOLS.items():
        for benchmark in ("", *found.elsewhere):
            asked = settings(name, benchmark)
            registry().create("continual_benchmarks", asked.benchmark.model_dump())
            for spec in asked.strategies:
                registry().create("continual_strategies", spec.model_dump())
            for memory in asked.memories:
                registry().entry("methods", memory.method)
            registry().load("networks", asked.network)


def test_what_was_asked_for_instead_is_told():
    found = settings(
        "dm", "split_cifar10", retraining={"epochs": 50}, orders=1, memories=[{"method": "dm", "seconds": 5}]
    )
    assert deviations(found)[len(PROTOCOLS["dm"].differs) :] == (
        "benchmark: split_cifar100 -> split_cifar10",
        "memories: dm 20 published, herding 20, random 20 -> dm 5 s",
        "orders: 5 -> 1",
        "retraining.epochs: 1001 -> 50",
    )


@pytest.mark.parametrize(
    "change", [{"steps": 7}, {"seconds": 5}, {"settings": {"optimiser": {"lr_img": 2}}}, {"shrink": "redistil"}]
)
def test_whatever_is_changed_of_a_memory_is_told(change):
    given = preset("dm")["memories"]
    (told,) = deviations(settings("dm", memories=[*given[:2], given[2] | change]))[len(PROTOCOLS["dm"].differs) :]
    assert told.startswith("memories: dm 20 published, herding 20, random 20 -> dm 20 published ")
    assert deviations(settings("dm", memories=given[::-1])) == PROTOCOLS["dm"].differs


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"name": "split_cifar100-10"}, ()),
        ({"name": "split_cifar100", "experiences": 10}, ()),
        ({"name": "split_cifar100", "experiences": 5, "class_order": "numpy"}, ()),
        ({"name": "split_cifar100-20"}, ("benchmark.experiences: 5 -> 20",)),
        ({"name": "split_cifar100-10", "class_order": "natural"}, ("benchmark.class_order: numpy -> natural",)),
        ({"name": "split_cifar10-2"}, ("benchmark: split_cifar100 -> split_cifar10-2",)),
    ],
)
def test_the_papers_streams_are_told_from_others_however_they_are_typed(asked, told):
    found = parse(StudySettings, merge(preset("dm", asked["name"]), {"benchmark": asked}), "")
    assert deviations(found)[len(PROTOCOLS["dm"].differs) :] == told


def test_where_it_is_computed_and_what_stands_beside_it_is_no_deviation():
    found = settings("dm", device="cpu", strategies=["distilled_gdumb", "naive"], retraining={"networks_a_call": 3})
    assert deviations(found) == PROTOCOLS["dm"].differs


def test_without_a_protocol_there_is_nothing_to_differ_from():
    assert deviations(StudySettings()) == ()


def test_an_unknown_protocol_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown protocol 'dn'\. Did you mean 'dm'"):
        preset("dn")
