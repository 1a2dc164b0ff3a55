"""Pools name networks that exist, the set's own among them, and know which take the images."""

from __future__ import annotations

import pytest

from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.networks import vary
from limbeck.plugins import registry

OWN = "convnet-d3-w32-in"


def pool(name, **options):
    return registry().create("pools", {"name": name, **options})


def spec(side, channels=1):
    return DataSpec("tiny", (channels, side, side), 2, ("a", "b"), (0.5,) * channels, (0.5,) * channels, False)


MEMBERS = {
    "cross": [OWN, "mlp", "lenet", "alexnet", "vgg11", "resnet18", "vit"],
    "batch_norm": ["convnet-d3-w32-bn", "convnet-d3-w32-bn-swish", "alexnet-bn", "vgg11-bn", "resnet18-bn"],
    "width": [OWN, "convnet-d3-w64-in", "convnet-d3-w128-in", "convnet-d3-w256-in"],
    "depth": ["convnet-d1-w32-in", "convnet-d2-w32-in", OWN, "convnet-d4-w32-in"],
    "norm": [*(f"convnet-d3-w32-{norm}" for norm in ("nonorm", "bn", "ln")), OWN, "convnet-d3-w32-gn"],
    "activation": [f"{OWN}-sigmoid", OWN, f"{OWN}-leaky", f"{OWN}-swish"],
    "pooling": [f"{OWN}-nopool", f"{OWN}-max", OWN],
}


def test_every_pool_that_ships_is_listed_here():
    assert sorted(MEMBERS) == sorted(name for name, e in registry().entries("pools").items() if e.is_shipped)


@pytest.mark.parametrize(("name", "members"), MEMBERS.items())
def test_members_are_varied_from_the_sets_own_network(name, members):
    assert pool(name).members(OWN) == members


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("own", ["convnet", OWN, "convnet-bn-w64"])
def test_members_are_different_networks(name, own):
    members = pool(name).members(own)
    made = [registry().create("networks", member) for member in members]
    assert len(members) == len({(type(network), network.options) for network in made}) > 2


@pytest.mark.parametrize(("own", "first"), [
    ("convnet", ["convnet", "mlp", "lenet"]),
    ("resnet18-ap", ["resnet18-ap", "mlp", "convnet"]),
    ("vgg16", ["vgg16", "mlp", "convnet"]),
])  # fmt: skip
def test_the_sets_own_network_comes_first_and_stands_for_its_family(own, first):
    members = pool("cross").members(own)
    assert members[:3] == first and len(members) == (8 if own == "vgg16" else 7)


@pytest.mark.parametrize(("own", "first"), [
    ("convnet", "convnet-bn"),
    ("convnet-d3-w32-bn", "convnet-d3-w32-bn"),
    ("resnet18-ap", "resnet18-ap-bn"),
    ("vgg16-in", "vgg16-bn"),
    ("vit", "convnet-bn"),
])  # fmt: skip
def test_the_sets_own_network_joins_the_batch_norm_pool_where_it_can(own, first):
    members = pool("batch_norm").members(own)
    assert members[0] == first
    assert all(registry().create("networks", member).options.norm == "batch" for member in members)


def test_cross_takes_other_networks():
    assert pool("cross", networks=["mlp-w8", "convnet"]).members("convnet-d1") == ["convnet-d1", "mlp-w8"]


def test_a_network_without_the_variants_is_refused_unless_a_base_is_given():
    with pytest.raises(UsageError, match=r"'lenet' has no variants like 'w32'"):
        pool("width").members("lenet")
    assert pool("width", base="mlp").members("lenet") == ["mlp-w32", "mlp-w64", "mlp", "mlp-w256"]


def test_members_that_do_not_take_the_images_are_told_apart_with_the_reason():
    fits, left_out = pool("depth").fitting("convnet-w4", spec(8))
    assert fits == ["convnet-w4-d1", "convnet-w4-d2", "convnet-w4"]
    [(name, reason)] = left_out.items()
    assert "d4" in name and "greatest depth is 3" in reason
    fits, left_out = pool("cross", networks=["mlp", "lenet", "vgg11"]).fitting("convnet-w4", spec(8))
    assert fits == ["convnet-w4", "mlp"]
    assert all("8x8" in reason for reason in left_out.values()) and list(left_out) == ["lenet", "vgg11"]


@pytest.mark.parametrize(("network", "tokens", "expected"), [
    ("convnet", ["w64"], "convnet-w64"),
    ("convnet", ["w128"], "convnet"),
    ("convnet-w32-d2", ["w128"], "convnet-w128-d2"),
    ("convnet_d2_w32", ["d3"], "convnet-d3-w32"),
    ("convnet-d3-w32", ["bn", "swish"], "convnet-d3-w32-bn-swish"),
    ("limbeck:vit-d3", ["d2", "w64"], "limbeck:vit-d2-w64"),
])  # fmt: skip
def test_a_part_of_a_variant_is_exchanged_and_the_rest_kept(network, tokens, expected):
    assert vary(network, *tokens) == expected
