"""Every network that ships: published sizes, and what the engine asks of each."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.func import functional_call

from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork, build_network
from limbeck.plugins import registry

GREY, COLOUR, SMALL = (1, 28, 28), (3, 32, 32), (1, 8, 8)


def spec(shape, classes=10):
    channels = shape[0]
    names = tuple(map(str, range(classes)))
    return DataSpec("tiny", shape, classes, names, (0.5,) * channels, (0.5,) * channels, False)


def on_paper(name, shape, classes=10):
    """Build a network without memory or arithmetic."""
    with torch.device("meta"):
        return registry().create("networks", name).build(shape, classes)


def vit_size(shape, patch=4, width=512, depth=6, hidden=512, classes=10):
    channels, height, side = shape
    tokens = (height // patch) * (side // patch) + 1
    embed = (channels * patch**2 + 1) * width + tokens * width + width
    attention = 2 * width + 3 * width**2 + (width + 1) * width
    perceptron = 2 * width + (width + 1) * hidden + (hidden + 1) * width
    return embed + depth * (attention + perceptron) + 2 * width + (width + 1) * classes


SIZES = {
    "mlp": (118_282, 411_146),
    "lenet": (61_706, 62_006),
    "alexnet": (1_865_802, 1_872_202),
    "alexnet-bn": (1_865_802 + 1_920, 1_872_202 + 1_920),
    "vgg11": (9_229_962, 9_231_114),
    "vgg11-bn": (9_229_962, 9_231_114),
    "resnet18": (11_172_810, 11_173_962),
    "resnet18-bn": (11_172_810, 11_173_962),
    "resnet18-ap": (11_172_810 + 5_120 * 8, 11_173_962 + 5_120 * 15),
    "resnet18-bn-ap": (11_172_810 + 5_120 * 8, 11_173_962 + 5_120 * 15),
    "convnet-d3-w128": (317_706, 320_010),
    "vit": (vit_size(GREY), vit_size(COLOUR)),
}


@pytest.mark.parametrize(("name", "sizes"), SIZES.items())
def test_published_parameter_counts(name, sizes):
    found = [sum(p.numel() for p in on_paper(name, shape).parameters()) for shape in (GREY, COLOUR)]
    assert tuple(found) == sizes


def test_deeper_vggs_add_convolutions_only():
    """Each adds 3x3 convolutions between equal widths, each with a norm."""

    def size(name):
        return sum(p.numel() for p in on_paper(name, COLOUR).parameters())

    def convolution(width):
        return 9 * width**2 + 3 * width

    assert size("vgg13") - size("vgg11") == convolution(64) + convolution(128)
    assert size("vgg16") - size("vgg13") == size("vgg19") - size("vgg16") == convolution(256) + 2 * convolution(512)


TINY = {
    "mlp-w8": SMALL,
    "lenet": (1, 16, 16),
    "alexnet": SMALL,
    "alexnet-bn": SMALL,
    "vgg11": (1, 32, 32),
    "vgg11-bn": (1, 32, 32),
    "resnet18": (1, 9, 9),
    "resnet18-bn": SMALL,
    "resnet18-ap": (1, 16, 16),
    "resnet18-bn-ap": SMALL,
    "vit-d2-w16-h2-m8": SMALL,
    "vit-d1-w16-h2-m8-mean-nodrop": SMALL,
    "convnet-d2-w4-in": SMALL,
}
"""The smallest images each family takes."""


@functools.lru_cache(maxsize=1)
def built(name, shape):
    net = build_network(name, spec(shape, 3))
    return net, net.initial(rng())


@pytest.mark.parametrize(("name", "shape"), TINY.items(), scope="class")
class TestEach:
    """What the engine asks of every network."""

    @pytest.fixture
    def net(self, name, shape):
        return built(name, shape)[0]

    @pytest.fixture
    def state(self, name, shape):
        return {key: value.clone() for key, value in built(name, shape)[1].items()}

    @pytest.fixture
    def images(self, shape):
        return torch.randn(4, *shape, generator=rng(7))

    def test_every_weight_and_every_image_gets_a_gradient(self, net, state, images):
        leaves = {key: state[key].requires_grad_() for key in net.parameter_names}
        logits = net(state, images.requires_grad_(), dropout="off")
        assert logits.shape == (4, 3)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0]))
        gradients = torch.autograd.grad(loss, [images, *leaves.values()], allow_unused=True)
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        assert all(gradient.abs().sum() > 0 for gradient in gradients[:1])

    def test_images_that_differ_get_logits_that_differ(self, net, state, images):
        logits = net(state, images, dropout="off")
        assert torch.pdist(logits.detach()).min() > 1e-6

    def test_the_embedding_enters_the_last_layer(self, net, state, images):
        found = net.features(state, images, ["embedding"], train=False)["embedding"]
        weight, bias = (state[f"{net.classifier_name}.{part}"] for part in ("weight", "bias"))
        assert found.shape == (4, weight.shape[1])
        torch.testing.assert_close(found @ weight.T + bias, net(state, images, train=False))

    def test_it_computes_in_double_precision_what_it_computes_in_single(self, net, state, images):
        single = net(state, images, train=False)
        double = functional_call(net.module, {key: value.double() for key, value in state.items()}, (images.double(),))
        assert double.dtype == torch.float64
        torch.testing.assert_close(double.float(), single, rtol=1e-3, atol=1e-4)

    def test_weights_start_in_the_range_of_pytorchs_own(self, name, shape, net, state):
        """A fresh module of the same structure is drawn by PyTorch itself."""
        with torch.random.fork_rng(devices=[]):
            theirs = registry().create("networks", name).build(shape, 3).state_dict()
        assert set(state) == set(theirs) == {*net.parameter_names, *net.buffer_names}
        for key, value in theirs.items():
            drawn_by_hand = key.endswith(("tokens.position", "tokens.label"))
            if value.numel() >= 100 and not drawn_by_hand:
                assert state[key].float().std().item() == pytest.approx(value.float().std().item(), rel=0.3), key
                assert state[key].abs().max() <= value.abs().max() * 1.3

    def test_starting_and_computing_leave_the_global_generator_alone(self, net, state, images):
        before = torch.get_rng_state()
        net.initial(rng())
        net(state, images, dropout=rng())
        assert torch.equal(before, torch.get_rng_state())


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", sorted({name.partition("-")[0] for name in SIZES}))
@pytest.mark.parametrize("shape", [SMALL, (3, 16, 16), GREY, COLOUR, (3, 64, 64), (1, 24, 40)])
def test_an_image_size_is_taken_or_refused_in_one_line_with_one_that_fits(name, shape):
    try:
        module = on_paper(name, shape)
    except UsageError as error:
        assert f"{shape[1]}x{shape[2]}" in str(error) and "\n" not in str(error)
        named = str(error).partition("These take them: ")[2].rstrip(".").split(", ")
        assert "mlp" in named
        for other in named:
            assert on_paper(other, shape).eval()(torch.zeros(2, *shape, device="meta")).shape == (2, 10)
    else:
        assert module.eval()(torch.zeros(2, *shape, device="meta")).shape == (2, 10)


@pytest.mark.parametrize(("name", "smallest"), [
    ("lenet", 16), ("alexnet", 8), ("alexnet-in", 8), ("vgg11", 32), ("vgg11-bn", 32), ("resnet18", 9),
    ("resnet18-ap", 16), ("resnet18-bn-ap", 8),
])  # fmt: skip
def test_the_smallest_images_are_named_and_taken(name, smallest):
    with pytest.raises(UsageError, match=f"its smallest are {smallest}x{smallest}"):
        on_paper(name, (1, smallest - 1, smallest - 1))
    assert on_paper(name, (1, smallest, smallest))


def test_instance_norm_of_single_pixels_is_refused_since_it_would_erase_them():
    with pytest.raises(UsageError, match=r"does not take 8x8 images.*resnet18-bn"):
        on_paper("resnet18", SMALL)


@pytest.mark.parametrize(("name", "options"), [
    ("mlp-d3-w64", {"depth": 3, "width": 64}),
    ("alexnet-bn", {"norm": "batch"}),
    ("vgg16-gn", {"norm": "group"}),
    ("resnet18-ap-bn", {"norm": "batch", "halving": "avg"}),
    ("vit-p2-d3-w128-h4-m64-mean-nodrop",
     {"patch": 2, "depth": 3, "width": 128, "heads": 4, "hidden": 64, "pooling": "mean", "dropout": 0.0}),
])  # fmt: skip
def test_a_name_spells_its_options(name, options):
    component = registry().create("networks", name)
    assert component.options == type(component).Options(**options)


@pytest.mark.parametrize("name", ["mlp-bn", "alexnet-d3", "vgg11-ap", "resnet18-w3", "vit-bn"])
def test_a_wrong_variant_is_refused(name):
    with pytest.raises(UsageError, match="is not a part of a"):
        registry().create("networks", name)


def test_patches_must_cover_the_images_and_heads_share_the_width():
    with pytest.raises(UsageError, match=r"cannot cut 28x28 images into patches of 3x3.*vit-p2, vit-p4, vit-p7"):
        on_paper("vit-p3", GREY)
    with pytest.raises(UsageError, match=r"8 heads cannot share a width of 20.*vit-h5"):
        on_paper("vit-w20", GREY)


def test_the_transformer_sees_where_a_patch_is():
    """Without positions, exchanging two patches would leave the class token as it is."""
    net = build_network("vit-d1-w16-h2-m8", spec(SMALL, 3))
    state, images = net.initial(rng()), torch.randn(2, *SMALL, generator=rng(1))
    exchanged = images.roll(4, dims=3)
    blind = {**state, "embed.tokens.position": torch.zeros_like(state["embed.tokens.position"])}
    assert not torch.allclose(net(state, images, train=False), net(state, exchanged, train=False), atol=1e-3)
    torch.testing.assert_close(net(blind, images, train=False), net(blind, exchanged, train=False))


def test_positions_and_class_token_are_standard_normal():
    module = registry().create("networks", "vit-d1-w512-m8").build(GREY, 3)
    position = FunctionalNetwork(module, GREY).initial(rng())["embed.tokens.position"]
    assert position.shape == (1, 50, 512)
    assert abs(position.mean()) < 0.03 and abs(position.std() - 1) < 0.03
