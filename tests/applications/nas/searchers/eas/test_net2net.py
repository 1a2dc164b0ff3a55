"""Net2Net: what is widened or deepened computes what it did, or is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck_applications.nas.searchers.eas.net2net import deeper, wider

SHAPE = (1, 16, 16)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def chain(stages, norm, dtype=torch.float64):
    space = registry().create(
        "nas_spaces", {"name": "chains", "norms": ["none", "batch"], "kernels": [1, 3, 5], "widths": [3, 4, 5, 7, 9]}
    )
    return FunctionalNetwork(space.build(space.from_stages(stages, norm), SHAPE, 6), SHAPE, dtype=dtype, name="chain")


def convnet(depth=2, **options):
    family = registry().create("networks", {"name": "convnet", "depth": depth, "width": 8, **options})
    return FunctionalNetwork(family.build(SHAPE, 6), SHAPE, dtype=torch.float64, name="convnet")


def images(dtype=torch.float64, seed=5):
    return torch.randn(12, *SHAPE, generator=chance(seed), dtype=dtype)


def walked(network):
    """Return weights whose batch norms have seen images and have scales and shifts of their own."""
    state = network.initial(chance(1))
    for key in state:
        if ".weight" in key and state[key].dim() == 1:
            state[key] = torch.rand(state[key].shape, generator=chance(2), dtype=state[key].dtype) + 0.5
        elif ".bias" in key:
            state[key] = torch.randn(state[key].shape, generator=chance(3), dtype=state[key].dtype) / 3
    network(state, images(network.dtype, 6) + 0.3)
    return state


def logits(network, state, batch, train=False):
    return network({key: value.clone() for key, value in state.items()}, batch, train=train)


STAGES = [[(3, 3)], [(4, 3), (5, 5)], [(4, 1)]]


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(("dtype", "least"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_wider_computes_the_same_in_both_modes(norm, place, dtype, least):
    network = chain(STAGES, norm, dtype)
    state, batch = walked(network), images(dtype)
    flat = [layer for stage in STAGES for layer in stage]
    flat[place] = (9, flat[place][1])
    larger = chain([flat[:1], flat[1:3], flat[3:]], norm, dtype)
    grown = wider(network, state, place, 9, chance())
    assert {key: value.shape for key, value in grown.items()} == {
        key: value.shape for key, value in larger.initial(chance()).items()
    }
    for train in (False, True):
        difference = logits(larger, grown, batch, train) - logits(network, state, batch, train)
        assert difference.abs().max() < least


def test_several_layers_are_widened_one_after_the_other():
    network = chain(STAGES, "batch")
    start, batch = walked(network), images()
    state = start
    for place, width in enumerate((4, 5, 9, 9)):
        state = wider(network, state, place, width, chance(place))
    larger = chain([[(4, 3)], [(5, 3), (9, 5)], [(9, 1)]], "batch")
    assert torch.allclose(logits(larger, state, batch), logits(network, start, batch), atol=1e-10)


def test_copies_share_what_their_original_passed_on():
    network = chain([[(3, 3)], [(3, 3)], [(3, 3)]], "none")
    state = walked(network)
    grown = wider(network, state, 0, 7, chance())
    kernel, after = grown["features.0.weight"], grown["features.3.weight"]
    assert torch.equal(kernel[:3], state["features.0.weight"])
    same = (kernel[:, None] == kernel[None]).flatten(2).all(2).double()
    assert same.sum() > 7, "four new units copied none of three"
    # Every unit passes on the same as its copies, and together they pass on what the original did.
    original = same[:, :3].argmax(1)
    assert torch.allclose(after, state["features.3.weight"][:, original] / same.sum(1)[None, :, None, None])


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("at", [(0, 0), (1, 0), (1, 1), (2, 0)])
def test_deeper_computes_the_same_in_both_modes(norm, kernel, at):
    network, batch = chain(STAGES, norm), images()
    state, (stage, layer) = walked(network), at
    larger = [list(layers) for layers in STAGES]
    larger[stage].insert(layer + 1, (larger[stage][layer][0], kernel))
    child, place = chain(larger, norm), sum(map(len, STAGES[:stage])) + layer
    grown = deeper(network, state, child, place, chance(), images=batch)
    assert {key: value.shape for key, value in grown.items()} == {
        key: value.shape for key, value in child.initial(chance()).items()
    }
    for train in (False, True):
        assert torch.allclose(logits(child, grown, batch, train), logits(network, state, batch, train), atol=1e-10)
    other = images(seed=9)
    assert torch.allclose(logits(child, grown, other), logits(network, state, other), atol=1e-10)


def test_deeper_in_float32():
    network, batch = chain(STAGES, "batch", torch.float32), images(torch.float32)
    state = walked(network)
    child = chain([[(3, 3), (3, 3)], *STAGES[1:]], "batch", torch.float32)
    grown = deeper(network, state, child, 0, chance(), images=batch)
    assert (logits(child, grown, batch) - logits(network, state, batch)).abs().max() < 1e-5


def test_without_images_a_new_batch_norm_is_the_identity_in_eval_mode_only():
    network, batch = chain(STAGES, "batch"), images()
    state, child = walked(network), chain([[(3, 3), (3, 3)], *STAGES[1:]], "batch")
    grown = deeper(network, state, child, 0, chance())
    assert torch.allclose(logits(child, grown, batch), logits(network, state, batch), atol=1e-10)
    assert not torch.allclose(logits(child, grown, batch, True), logits(network, state, batch, True), atol=1e-3)


def test_measuring_leaves_the_parents_buffers_alone():
    network = chain(STAGES, "batch")
    state = walked(network)
    before = {key: value.clone() for key, value in state.items()}
    deeper(network, state, chain([[(3, 3), (3, 3)], *STAGES[1:]], "batch"), 0, chance(), images=images())
    wider(network, state, 0, 9, chance())
    assert all(torch.equal(value, before[key]) for key, value in state.items())


def test_noise_falls_on_what_is_new_and_is_as_large_as_asked():
    network = chain(STAGES, "none")
    state = walked(network)
    plain, noisy = (wider(network, state, 1, 9, chance(), noise) for noise in (0.0, 0.01))
    moved = {key for key in plain if not torch.equal(plain[key], noisy[key])}
    assert moved == {"features.3.weight"}
    difference = (noisy["features.3.weight"] - plain["features.3.weight"])[4:]
    assert torch.equal(noisy["features.3.weight"][:4], state["features.3.weight"])
    expected = 0.01 * plain["features.3.weight"][4:].std(correction=0)
    assert difference.std() == pytest.approx(float(expected), rel=0.3)
    child = chain([[(3, 3), (3, 3)], *STAGES[1:]], "none")
    kernels = [deeper(network, state, child, 0, chance(), noise)["features.2.weight"] for noise in (0.0, 1e-3)]
    identity = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
    identity[range(3), range(3), 1, 1] = 1
    assert torch.equal(kernels[0], identity)
    assert (kernels[1] - kernels[0]).std() == pytest.approx(1e-3 * float(identity.std(correction=0)), rel=0.3)


def test_the_same_draws_give_the_same_weights():
    network = chain(STAGES, "none")
    state = walked(network)
    one, same, other = (wider(network, state, 2, 9, chance(seed))["features.5.weight"] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("norm", ["none", "instance", "batch"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "leaky_relu"])
def test_registered_convnets_are_widened_whatever_their_activation(norm, activation):
    """A norm of single channels treats a copy as the original."""
    options = {"norm": norm, "activation": activation}
    network, batch = convnet(**options), images()
    state, larger = (
        walked(network),
        FunctionalNetwork(_widened(convnet(**options).module, 12), SHAPE, dtype=torch.float64),
    )
    assert torch.allclose(logits(larger, wider(network, state, 1, 12, chance()), batch), logits(network, state, batch))


def _widened(module, width):
    """Replace the last block of a ConvNet by one of another width."""
    features = [layer for _, layer in module.features.named_children()]
    last = max(place for place, layer in enumerate(features) if isinstance(layer, nn.Conv2d))
    features[last] = nn.Conv2d(8, width, 3, padding=1)
    norm = features[last + 1]
    if isinstance(norm, nn.BatchNorm2d):
        features[last + 1] = nn.BatchNorm2d(width)
    elif isinstance(norm, nn.GroupNorm):
        features[last + 1] = nn.GroupNorm(width, width)
    module.features = nn.Sequential(*features)
    module.classifier = nn.Linear(width * module.classifier.in_features // 8, 6)
    return module


def test_a_registered_convnet_without_pooling_is_deepened():
    options = {"norm": "batch", "pooling": "none"}
    network, child, batch = convnet(**options), convnet(3, **options), images()
    state = walked(network)
    grown = deeper(network, state, child, 1, chance(), images=batch)
    assert torch.allclose(logits(child, grown, batch), logits(network, state, batch))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"norm": "none", "activation": "sigmoid", "pooling": "none"}, "Sigmoid follows .* only ReLU"),
        ({"norm": "none", "activation": "leaky_relu", "pooling": "none"}, "LeakyReLU follows"),
        ({"norm": "instance", "pooling": "none"}, "statistic of each image"),
        ({"norm": "group", "pooling": "none"}, "statistic of each image"),
        ({"norm": "layer", "pooling": "none"}, "statistic of each image"),
        ({"norm": "none"}, "differs in more than one convolution"),
    ],
)
def test_what_deepening_would_change_is_refused(options, says):
    network = convnet(**options)
    with pytest.raises(UsageError, match=f"cannot be deepened without changing what it computes: .*{says}"):
        deeper(network, walked(network), convnet(3, **options), 0, chance())


@pytest.mark.parametrize(("norm", "kind"), [("group", "GroupNorm"), ("layer", "LayerNorm")])
def test_norms_that_mix_units_are_not_widened(norm, kind):
    network = convnet(norm=norm)
    with pytest.raises(UsageError, match=f"cannot be widened .*{kind} mixes the units"):
        wider(network, walked(network), 0, 12, chance())


def test_a_child_that_changes_width_is_refused():
    network = chain(STAGES, "none")
    child = chain([[(3, 3), (4, 3)], *STAGES[1:]], "none")
    with pytest.raises(UsageError, match="differs in more than one convolution"):
        deeper(network, walked(network), child, 0, chance())


def test_narrower_and_places_that_are_not_there_are_refused():
    network = chain(STAGES, "none")
    state = walked(network)
    with pytest.raises(UsageError, match="layer 1 has 4 filters already"):
        wider(network, state, 1, 3, chance())
    with pytest.raises(UsageError, match="has 4 convolutions: give 0 to 3, not 4"):
        wider(network, state, 4, 9, chance())


@pytest.mark.parametrize("name", ["resnet18", "mlp", "lenet"])
def test_networks_that_are_no_chain_are_refused(name):
    module = registry().create("networks", name).build((3, 32, 32), 6)
    network = FunctionalNetwork(module, (3, 32, 32), name=name)
    with pytest.raises(UsageError, match=f"network '{name}' cannot be grown: .* in a row"):
        wider(network, network.initial(chance()), 0, 512, chance())
