"""The ConvNet family: published sizes, published parameters, names, and images it cannot take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck_plugins.networks.blocks import MeanPool
from limbeck_plugins.networks.convnet import ConvNet

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def build(shape=(3, 32, 32), classes=10, **options):
    return ConvNet(ConvNet.Options(**options)).build(shape, classes)


@pytest.mark.parametrize(
    ("shape", "classes", "depth", "parameters"),
    [
        ((3, 32, 32), 10, 3, 320_010),
        ((1, 28, 28), 10, 3, 317_706),
        ((3, 32, 32), 100, 3, 504_420),
        ((3, 64, 64), 200, 4, 857_160),
        ((3, 128, 128), 10, 5, 615_690),
    ],
)
def test_the_published_parameter_counts(shape, classes, depth, parameters):
    module = build(shape, classes, depth=depth)
    assert FunctionalNetwork(module, shape).num_parameters == parameters


@pytest.mark.parametrize(("case", "shape", "width", "classes"), [
    ("rgb32", (3, 32, 32), 6, 3),
    ("grey28", (1, 28, 28), 8, 4),
])  # fmt: skip
def test_the_authors_parameters_load_by_name(case, shape, width, classes):
    golden = load_file(GOLDEN / f"{case}.safetensors")
    stored = {key.removeprefix("net."): value for key, value in golden.items() if key.startswith("net.")}
    module = build(shape, classes, width=width)
    assert list(dict(module.named_parameters())) == list(module.state_dict())
    module.double().load_state_dict(stored, strict=True)
    logits = module(golden["synthetic"].flatten(0, 1))
    assert logits.shape == (golden["synthetic"].shape[:2].numel(), classes)


def test_blocks_are_conv_norm_activation_pooling():
    kinds = [type(layer) for layer in build(depth=1).features]
    assert kinds == [nn.Conv2d, nn.GroupNorm, nn.ReLU, MeanPool]


def test_instance_norm_treats_every_channel_of_every_image_alone():
    norm = build(width=4).features[1]
    maps = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 5 + 3
    expected = (maps - maps.mean((2, 3), keepdim=True)) / maps.var((2, 3), keepdim=True, correction=0).sqrt()
    torch.testing.assert_close(norm(maps), expected, atol=1e-5, rtol=1e-5)


def test_grey_28_gets_the_maps_of_32_and_other_images_keep_their_size():
    assert build((1, 28, 28)).classifier.in_features == 128 * 4 * 4
    assert build((3, 28, 28)).classifier.in_features == 128 * 4 * 4
    assert build((1, 32, 32)).classifier.in_features == 128 * 4 * 4
    assert build((1, 8, 8)).classifier.in_features == 128


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "instance", "group"])
@pytest.mark.parametrize("activation", ["sigmoid", "relu", "leaky_relu", "swish"])
@pytest.mark.parametrize("pooling", ["none", "max", "avg"])
def test_every_variant_computes(norm, activation, pooling):
    module = build((1, 8, 8), 3, depth=2, width=4, norm=norm, activation=activation, pooling=pooling)
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    logits = module(images)
    assert logits.shape == (2, 3) and logits.isfinite().all()


def test_layers_can_be_tapped_before_an_activation():
    module = build((1, 8, 8), 3, depth=1, width=4)
    network = FunctionalNetwork(module, (1, 8, 8))
    rng = torch.Generator().manual_seed(0)
    taps = network.features(network.initial(rng), torch.randn(2, 1, 8, 8, generator=rng), ["features.1", "features.2"])
    assert (taps["features.1"] < 0).any()
    assert torch.equal(taps["features.1"].relu(), taps["features.2"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("convnet", {}),
        ("convnet-d4-w32-bn", {"depth": 4, "width": 32, "norm": "batch"}),
        ("convnet-nonorm-swish-max", {"norm": "none", "activation": "swish", "pooling": "max"}),
        (
            "convnet-leaky-nopool-gn-d1",
            {"activation": "leaky_relu", "pooling": "none", "norm": "group", "depth": 1},
        ),
        ("convnet-ln-sigmoid-avg", {"norm": "layer", "activation": "sigmoid", "pooling": "avg"}),
    ],
)
def test_a_name_spells_its_options(name, expected):
    assert registry().create("networks", name).options == ConvNet.Options(**expected)


@pytest.mark.parametrize("name", ["convnet-iin", "convnet-d", "convnet-dx3", "convnet-3", "convnet-d-3", "convnet-"])
def test_a_wrong_variant_lists_what_is_known(name):
    with pytest.raises(UsageError, match=r"d<depth>, w<width>, in, bn"):
        registry().create("networks", name)


def test_an_option_is_spelt_once():
    with pytest.raises(UsageError, match="norm of convnet twice"):
        registry().create("networks", "convnet-in-bn")


@pytest.mark.parametrize(("shape", "depth", "deepest"), [
    ((1, 8, 8), 4, 3),
    ((1, 28, 28), 6, 5),
    ((3, 32, 20), 5, 4),
])  # fmt: skip
def test_a_network_too_deep_for_the_image_is_refused(shape, depth, deepest):
    with pytest.raises(UsageError, match=rf"{shape[1]}x{shape[2]} images; their greatest depth is {deepest}"):
        build(shape, depth=depth)
    build(shape, depth=deepest, width=4)
    build(shape, depth=depth, width=4, pooling="none")


def test_group_norm_needs_a_width_that_splits():
    with pytest.raises(UsageError, match="multiple of 4"):
        build(width=6, norm="group")


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_mean_pool_equals_average_pooling_to_the_second_derivative(size):
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps.requires_grad_()

    def up_to_second(pool):
        pooled = pool(maps)
        (first,) = torch.autograd.grad(pooled.pow(3).sum(), maps, create_graph=True)
        return pooled, first, torch.autograd.grad(first.pow(2).sum(), maps)[0]

    for ours, theirs in zip(up_to_second(MeanPool()), up_to_second(nn.AvgPool2d(2)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
