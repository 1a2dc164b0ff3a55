"""Attention matching: its maps, the layers it looks at, exact image gradients, and what is refused in which words."""

import pytest
import torch
from torch import nn

from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.matching import Chunks, StepContext
from limbeck.networks import FunctionalNetwork, build_network
from limbeck.seeding import generator
from limbeck.testing import cases
from limbeck_plugins.matchers.attention import Attention, attention
from limbeck_plugins.matchers.distribution import Distribution

STEP = StepContext(0, 0, 1, 0)
WHOLE = Chunks(10**6, 10**6)


def spec(side):
    return DataSpec("pictures", (3, side, side), 3, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3, mirror=True)


def network(name, side=8):
    return build_network(name, spec(side), "cpu", dtype=torch.float64)


def matcher(**options):
    return Attention(Attention.Options(**options))


def matched(matcher, batches, net, chunks=WHOLE):
    """Return the distance and its gradient at the synthetic images."""
    batches.leaf.grad = None
    state = net.initial(generator(1, "init"))
    engine = matcher.engine(net, chunks)
    loss = engine.accumulate(batches, state, STEP, range(cases.CLASSES))
    return loss, batches.leaf.grad


@pytest.mark.parametrize("exponent", [1, 2, 4])
def test_maps_follow_the_formula(exponent):
    maps = cases.normal(2, 4, 3, 5)
    found = attention(maps, exponent)
    for sample, got in zip(maps, found, strict=True):
        sums = [sum(abs(float(v)) ** exponent for v in sample[:, y, x]) for y in range(3) for x in range(5)]
        length = sum(value**2 for value in sums) ** 0.5
        torch.testing.assert_close(got, torch.tensor([value / length for value in sums], dtype=torch.float64))


@pytest.mark.parametrize("exponent", [1, 2, 4])
@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_maps_do_not_depend_on_how_strong_activations_are(exponent, size):
    maps = cases.normal(2, 4, 3, 5, dtype=torch.float32)
    expected = attention(maps, exponent)
    torch.testing.assert_close(attention(maps * size, exponent), expected)
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("exponent", [1, 2, 4])
def test_maps_of_zeros_stay_zeros_and_harm_nobody(exponent):
    maps = cases.normal(3, 4, 3, 5, dtype=torch.float32)
    maps[1] = 0
    maps.requires_grad_()
    found = attention(maps, exponent)
    found.square().mul(torch.arange(15)).sum().backward()
    assert not found[1].any() and not maps.grad[1].any()
    assert maps.grad.isfinite().all() and maps.grad[0].any() and maps.grad[2].any()


@pytest.mark.parametrize("name", ["in", "bn", "ln", "gn-swish", "nonorm-sigmoid", "bn-leaky-max"])
@pytest.mark.parametrize("exponent", [1, 4])
def test_the_gradient_is_the_slope(name, exponent):
    net, batches = network(f"convnet-d2-w4-{name}"), cases.tiny_batches()
    _, gradient = matched(matcher(exponent=exponent), batches, net)

    def distance(leaf):
        return matched(matcher(exponent=exponent), cases.TinyBatches(leaf.requires_grad_(), batches.reals), net)[0]

    cases.require_slope(distance, batches.leaf, gradient)


@pytest.mark.parametrize("exponent", [1, 2, 4])
def test_batch_norm_sees_all_classes_of_a_side_at_once(exponent):
    net, batches = network("convnet-d2-w4-bn"), cases.tiny_batches()
    loss, gradient = matched(matcher(exponent=exponent, weight=0.5), batches, net)
    module = net.module.train()
    module.load_state_dict(net.initial(generator(1, "init")))
    images = batches.leaf.detach().clone().requires_grad_()

    def means(images):
        maps = module.features[:3](images.flatten(0, 1))
        looks = nn.functional.normalize(maps.abs().pow(exponent).sum(1).flatten(1), dim=1)
        embedding = module.features[3:](maps).flatten(1)
        return [found.unflatten(0, images.shape[:2]).mean(1) for found in (looks, embedding)]

    pairs = zip(means(images), means(batches.reals), strict=True)
    looked, embedded = ((one - other.detach()).square().sum() for one, other in pairs)
    expected = looked + 0.5 * embedded
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, images)[0])


def test_the_weight_is_that_of_distribution_matching():
    net, batches = network("convnet-d2-w4-in"), cases.tiny_batches()
    looked, _ = matched(matcher(weight=0), batches, net)
    embedded, _ = matched(Distribution(), batches, net)
    both, _ = matched(matcher(), batches, net)
    torch.testing.assert_close(both, looked + 0.01 * embedded)
    assert looked > 0


@pytest.mark.parametrize(
    "name, side, count",
    [
        *((f"convnet-d3-w4-{kind}", 16, 2) for kind in ("relu", "sigmoid", "leaky", "swish", "bn", "nopool")),
        ("lenet", 16, 1),
        ("alexnet", 16, 4),
        ("vgg11", 32, 7),
        ("resnet18", 16, 16),
    ],
)
def test_every_activation_but_the_last_is_looked_at(name, side, count):
    net = network(name, side)
    *layers, last = matcher().taps(net)
    assert (len(layers), last) == (count, "embedding")
    activations = [key for key, module in net.module.named_modules() if "activation" in type(module).__module__]
    assert layers == [key for key in activations if key in layers]
    blank = torch.zeros(2, *net.shape, dtype=torch.float64)
    maps = net.features(net.initial(generator(0)), blank, layers)
    assert all(out.ndim == 4 for out in maps.values())


def test_layers_can_be_named():
    net = network("convnet-d2-w4-in")
    assert matcher(layers=("features.4", "features.0")).taps(net) == ["features.4", "features.0", "embedding"]
    batches = cases.tiny_batches()
    usual, other = matched(matcher(), batches, net), matched(matcher(layers=["features.2"]), batches, net)
    assert usual[0] == other[0]
    assert matched(matcher(layers=["features.0"]), batches, net)[0] != usual[0]


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("convnet-d2-w4", {"layers": ["features.22"]}, ["'features.22'", "Did you mean 'features.2'", "features.6"]),
        ("convnet-d2-w4", {"layers": ["features.2", "classifier"]}, ["unknown layer 'classifier'", "features.2"]),
        ("convnet-d2-w4", {"layers": ["embedding"]}, ["unknown layer 'embedding'", "have maps"]),
        ("convnet-d1-w4", {}, ["no two activations", "matcher.layers=[features.0]", "features.3"]),
        ("mlp", {}, ["'mlp' has no layers with maps", "--network"]),
        ("mlp", {"layers": ["features.0"]}, ["'mlp' has no layers with maps"]),
        ("vit-p4-d1-w8-h2-m8", {}, ["no layers with maps"]),
    ],
)
def test_layers_that_cannot_be_looked_at_are_refused_before_the_first_step(name, options, words):
    net, chosen = network(name), matcher(**options)
    with pytest.raises(UsageError) as caught:
        chosen.engine(net, WHOLE)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_softmaxes_are_no_activations():
    parts = [
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Softmax2d(),
        nn.Conv2d(4, 4, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(64, 3),
    ]
    net = FunctionalNetwork(nn.Sequential(*parts), (3, 8, 8), name="own")
    assert matcher().taps(net) == ["1", "embedding"]
