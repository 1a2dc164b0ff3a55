"""Networks of other libraries by name: adapted, untrained, and drawn from our generators alone."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from limbeck.data import DataSpec
from limbeck.errors import MissingExtraError, UnknownNameError, UsageError
from limbeck.networks import Dropout, build_network
from limbeck.plugins import registry
from limbeck_plugins.networks.library import LibraryNetwork

SMALL = "torchvision-shufflenet_v2_x0_5"


def spec(channels=1, side=32, classes=5):
    names = tuple(map(str, range(classes)))
    return DataSpec("tiny", (channels, side, side), classes, names, (0.5,) * channels, (0.5,) * channels, False)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("weights were to be downloaded")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


@pytest.mark.parametrize("name", [SMALL, "torchvision-mobilenet_v3_small"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.usefixtures("no_network")
def test_classes_and_channels_follow_the_data(name, channels):
    net = build_network(name, spec(channels))
    images = torch.randn(2, channels, 32, 32, generator=rng())
    state = net.initial(rng())
    before = torch.get_rng_state()
    logits = net(state, images, dropout=rng())
    assert logits.shape == (2, 5) and logits.isfinite().all()
    assert torch.equal(before, torch.get_rng_state())
    assert net.features(state, images, ["embedding"], train=False)["embedding"].shape[0] == 2


def test_only_the_first_convolution_is_changed_for_grey_images():
    grey, colour = (
        dict(registry().create("networks", SMALL).build((channels, 32, 32), 5).named_parameters())
        for channels in (1, 3)
    )
    assert {key for key in grey if grey[key].shape != colour[key].shape} == {"network.conv1.0.weight"}
    assert grey["network.conv1.0.weight"].shape[1:] == (1, *colour["network.conv1.0.weight"].shape[2:])


def test_fresh_weights_are_torchvisions_drawn_by_our_generator():
    """Those of a residual network are normal with the variance of its outputs, unlike PyTorch's default."""
    net = build_network("torchvision-resnet18", spec(3))
    before = torch.get_rng_state()
    first, again, other = net.initial(rng(1)), net.initial(rng(1)), net.initial(rng(2))
    assert torch.equal(before, torch.get_rng_state())
    assert set(first) == {*net.parameter_names, *net.buffer_names}
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    weight = first["network.layer2.1.conv1.weight"]
    assert not torch.equal(weight, other["network.layer2.1.conv1.weight"])
    assert weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.05)
    generator = rng(1)
    assert not torch.equal(net.initial(generator)["network.fc.weight"], net.initial(generator)["network.fc.weight"])


def test_weights_come_in_the_networks_precision():
    state = build_network(SMALL, spec(), dtype=torch.float64).initial(rng())
    assert {value.dtype for value in state.values()} == {torch.float64, torch.int64}


@pytest.mark.parametrize(
    "name", ["torchvision-mobilenet_v3_small", "torchvision-mobilenet-v3-small", "torchvision_mobilenet_v3-small"]
)
def test_hyphens_and_underscores_are_alike(name):
    assert registry().create("networks", name).options.model == "mobilenet_v3_small"


def test_a_misspelt_name_gets_the_closest_and_all():
    message = (
        r"no network 'mobilenet-v3-smal'. Did you mean 'torchvision-mobilenet_v3_small'\? Known: alexnet, .*resnet18"
    )
    with pytest.raises(UnknownNameError, match=message):
        registry().create("networks", "torchvision-mobilenet_v3_smal")
    with pytest.raises(UnknownNameError, match="Did you mean 'torchvision-resnet18'"):
        build = registry().create("networks", {"name": "torchvision", "model": "resnet_18"}).build
        build((3, 32, 32), 10)


@pytest.mark.parametrize(("name", "reason"), [
    ("torchvision-squeezenet1_1", r"network 'torchvision-squeezenet1_1' has no linear classifier"),
    ("torchvision-alexnet", r"does not take images of 1x32x32"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(name, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        build_network(name, spec())
    assert "\n" not in str(caught.value)


def test_stochastic_depth_has_an_owner():
    net = build_network("torchvision-efficientnet_b0", spec(3))
    owned = [module for module in net.module.modules() if isinstance(module, Dropout)]
    assert {module.axes for module in owned} == {None, 1}
    assert sum(module.p > 0 for module in owned) > 5


class Attending(nn.Module):
    """Attention as other libraries call it."""

    def __init__(self):
        super().__init__()
        self.mixed, self.classifier = nn.Linear(4, 12), nn.Linear(4, 2)

    def forward(self, images):
        queries, keys, values = self.mixed(images.flatten(1, 2)).chunk(3, 2)
        mixed = nn.functional.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None])
        return self.classifier(mixed.mean((1, 2)))


def test_attention_of_other_libraries_has_second_derivatives():
    with torch.random.fork_rng(devices=[]):
        network = LibraryNetwork(Attending, lambda _: None).double()
    images = torch.randn(2, 1, 3, 4, generator=rng(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(network, images)


# timm, which need not be installed


@pytest.fixture
def without_timm_models(monkeypatch):
    """Forget the module that imports timm, before and after."""
    monkeypatch.delitem(sys.modules, "limbeck_plugins.networks.timm_models", raising=False)
    yield
    sys.modules.pop("limbeck_plugins.networks.timm_models", None)


@pytest.mark.usefixtures("without_timm_models")
def test_timm_names_what_to_install_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        MissingExtraError, match=r"needs 'timm', which is not installed. Type: pip install 'limbeck\[timm\]'"
    ):
        registry().create("networks", "timm-resnet18")


class DropPath(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop_prob, self.scale_by_keep = 0.2, True

    def forward(self, values):
        return nn.functional.dropout(values, self.drop_prob, self.training)


@pytest.fixture
def asked(monkeypatch, without_timm_models):
    """Stand in for timm: two networks, one of which takes an image size, and what they were asked for with."""
    calls = []

    def create_model(name, **settings):
        if name == "plain_net" and "img_size" in settings:
            raise TypeError("unexpected keyword argument 'img_size'")
        calls.append((name, settings))
        side = settings.get("img_size", (8, 8))[0]
        return nn.Sequential(
            nn.Flatten(), DropPath(), nn.Linear(settings["in_chans"] * side**2, settings["num_classes"])
        )

    timm, layers = ModuleType("timm"), ModuleType("timm.layers")
    timm.list_models = lambda: ["plain_net", "vit_tiny_patch16_224", *(f"other{i}" for i in range(200))]
    timm.create_model, timm.layers, layers.DropPath = create_model, layers, DropPath
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.layers", layers)
    return calls


@pytest.mark.parametrize(("name", "settings"), [
    ("plain_net", {}),
    ("vit_tiny_patch16_224", {"img_size": (8, 8)}),
])  # fmt: skip
def test_timm_is_asked_for_an_untrained_network_of_the_datas_shape(asked, name, settings):
    net = build_network(f"timm-{name}", spec(1, 8))
    assert asked == [(name, {"pretrained": False, "num_classes": 5, "in_chans": 1, **settings})]
    assert net.drops and [m.p for m in net.module.modules() if isinstance(m, Dropout)] == [0.2]
    assert net.initial(rng())["network.2.weight"].shape == (5, 64)


@pytest.mark.usefixtures("asked")
def test_of_many_names_only_the_near_ones_are_listed():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'timm-plain_net'\? Near it: plain_net") as caught:
        registry().create("networks", "timm-plain_nett")
    assert len(str(caught.value)) < 200
