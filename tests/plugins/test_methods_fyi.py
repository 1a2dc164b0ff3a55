"""Methods with mirror images: the methods they are built on, and what their public code does otherwise."""

from __future__ import annotations

import pytest

from limbeck.configure import configure
from limbeck.distillation.result import recipe_of
from limbeck.distillation.run import total_steps
from limbeck.matching import SourceContext
from limbeck.plugins import registry

MIRRORED = {"name": "dsa", "always": "flip", "align_corners": True}


def resolved(method, profile="published", data="cifar10", ipc=10):
    return configure(method, profile=profile, settings={"data": data, "ipc": ipc})


@pytest.mark.parametrize("base", ["dc", "dsa", "dm"])
@pytest.mark.parametrize("profile", ["published", "small"])
def test_all_else_is_the_methods_they_are_built_on(base, profile):
    for data in ("fashion_mnist", "cifar10", "cifar100", "digits"):
        for ipc in (1, 10, 30, 40):
            ours, theirs = (
                resolved(name, profile, data, ipc).model_dump(mode="json") for name in (f"fyi-{base}", base)
            )
            assert ours.pop("formation") == {"name": "flip"} and theirs.pop("formation") == {"name": "identity"}
            assert ours.pop("method") == f"fyi_{base}" and theirs.pop("method") == base
            assert ours.pop("reference") is None
            theirs.pop("reference")
            if base != "dm":
                assert ours["source"].pop("batch_train") == 512
            if base != "dc":
                assert ours.pop("augmentation") == ours["evaluation"]["protocol"].pop("augmentation") == MIRRORED
                assert theirs.pop("augmentation") == theirs["evaluation"]["protocol"].pop("augmentation")
            assert ours == theirs


def test_matching_without_augmentation_is_evaluated_without_mirror_images_too():
    config = resolved("fyi_dc")
    assert config.augmentation is None and recipe_of(config).augmentation is None
    assert recipe_of(resolved("fyi_dsa")).augmentation == MIRRORED


@pytest.mark.parametrize("method", ["fyi-dc", "fyi-dsa"])
@pytest.mark.parametrize(
    "data, ipc, loops",
    [("cifar10", 1, (1, 1)), ("cifar10", 50, (50, 10)), ("cifar100", 10, (10, 50)), ("cifar100", 50, (10, 10))],
)
def test_published_loops(method, data, ipc, loops):
    config = resolved(method, data=data, ipc=ipc)
    source = registry().create("network_sources", config.source.model_dump())
    source.prepare(SourceContext(None, ipc, None, None, None, None, None))
    assert (source.num_outer, source._epochs) == loops
    assert total_steps(config.budget, source.num_outer) == 1000 * loops[0]
