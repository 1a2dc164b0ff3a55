"""The two families carry methods they were not written for, and agree with finite differences."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.matching import Chunks, FeatureMatcher, GradientMatcher, StepContext
from limbeck.matching.weight_gradients import WeightGradients
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck_plugins.matchers.distribution import Distribution
from limbeck_plugins.matchers.gradient import Gradient, ours

STEP = StepContext(0, 0, 1, 0)
WHOLE = Chunks(10**6, 10**6)


class Batches:
    """Two groups of tiny images; synthetic ones are a leaf."""

    def __init__(self, size=8, groups=2, per_group=3, soft=False):
        draw = generator(0, "test")
        self.reals = torch.randn(groups, 5, 1, size, size, generator=draw, dtype=torch.float64)
        self.leaf = torch.randn(groups, per_group, 1, size, size, generator=draw, dtype=torch.float64)
        self.leaf.requires_grad_()
        self.soft = torch.randn(groups, per_group, groups, generator=draw, dtype=torch.float64) if soft else None
        if self.soft is not None:
            self.soft.requires_grad_()

    def real(self, group):
        return self.reals[group], torch.full((5,), group)

    def synthetic(self, group):
        images = self.leaf[group]
        if self.soft is not None:
            return images, self.soft[group].softmax(1)
        return images, torch.full((len(images),), group)

    def calibration(self, per_group):
        return self.reals.flatten(0, 1)


def network(name="convnet-d2-w4-in", size=8, groups=2):
    module = registry().create("networks", name).build((1, size, size), groups)
    return FunctionalNetwork(module, (1, size, size), dtype=torch.float64, name=name)


def loss_and_gradient(matcher, batches, net, chunks=WHOLE):
    state = net.initial(generator(1, "init"))
    batches.leaf.grad = None
    engine = matcher.engine(net, chunks)
    return engine.accumulate(batches, state, STEP, range(2)), batches.leaf.grad


def assert_finite_differences(matcher, batches, net, leaf, chunks=WHOLE):
    """Compare the gradient left on ``leaf`` with central differences along three random directions."""
    loss_and_gradient(matcher, batches, net, chunks)
    gradient = leaf.grad.clone()
    draw = generator(2, "directions")
    for _ in range(3):
        direction = torch.randn(leaf.shape, generator=draw, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                leaf += sign * 1e-6 * direction
            values.append(loss_and_gradient(matcher, batches, net, chunks)[0])
            with torch.no_grad():
                leaf -= sign * 1e-6 * direction
        slope = (values[0] - values[1]) / 2e-6
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-5, atol=1e-7)


STACKED = Chunks(10**6, 10**6, together=10**6)


@pytest.mark.parametrize("norm", ["in", "bn", "ln", "gn", "nonorm"])
@pytest.mark.parametrize("distance", ["ours", "mse", "cos"])
def test_gradient_family_agrees_with_finite_differences(distance, norm):
    batches = Batches()
    matcher = Gradient(Gradient.Options(distance=distance))
    net = network(f"convnet-d1-w4-{norm}-swish")
    assert_finite_differences(matcher, batches, net, batches.leaf)
    alone = loss_and_gradient(matcher, batches, net)
    torch.testing.assert_close(loss_and_gradient(matcher, batches, net, STACKED), alone)


@pytest.mark.parametrize("name", ["vit-d1-w8-h2-m8", "convnet-d1-w4-ln-swish"])
@pytest.mark.parametrize("way", ["whole", "double", "forward", "stacked"])
def test_layer_norm_and_attention_agree_with_finite_differences(name, way):
    """PyTorch's own layer norm is wrong stacked and in forward mode, and fused attention has no second derivative."""
    batches = Batches()
    assert_finite_differences(Gradient(), batches, network(name), batches.leaf, {"whole": WHOLE, **CUT}[way])


def test_transformers_stack():
    net = network("vit-d1-w8-h2-m8")
    assert WeightGradients(net, net.parameter_names).stacks()


def test_dropout_is_left_out_of_matching():
    with_dropout, without = (network(f"vit-d1-w8-h2-m8{end}") for end in ("", "-nodrop"))
    assert with_dropout.drops and not without.drops
    for matcher in (Gradient(), Distribution()):
        found = loss_and_gradient(matcher, Batches(), with_dropout)
        torch.testing.assert_close(found, loss_and_gradient(matcher, Batches(), without), rtol=0, atol=0)


def foreign_layer_norm():
    """A network with PyTorch's own layer norm."""
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.LayerNorm(6), nn.SiLU(), nn.Linear(6, 2))
    return FunctionalNetwork(layers, (1, 8, 8), dtype=torch.float64, name="foreign")


def test_what_pytorch_differentiates_wrongly_is_not_stacked_and_refused_in_forward_mode():
    net, batches = foreign_layer_norm(), Batches()
    assert_finite_differences(Gradient(), batches, net, batches.leaf, STACKED)
    with pytest.raises(UsageError, match=r"'foreign' has layers.*Leave out execution.second_pass=forward_mode"):
        loss_and_gradient(Gradient(), batches, net, CUT["forward"])


CUT = {
    "double": Chunks(10**6, 2),
    "forward": Chunks(10**6, 2, second_pass="forward_mode"),
    "stacked": STACKED,
}


@pytest.mark.parametrize("chunks", CUT.values(), ids=CUT)
def test_soft_labels_get_their_gradient(chunks):
    batches = Batches(soft=True)
    assert_finite_differences(Gradient(), batches, network("convnet-d1-w4-in-swish"), batches.soft, chunks)


@pytest.mark.parametrize("norm", ["in", "bn"])
def test_feature_family_agrees_with_finite_differences(norm):
    batches = Batches()
    assert_finite_differences(Distribution(), batches, network(f"convnet-d1-w4-{norm}-swish"), batches.leaf)


def test_batch_norm_is_never_cut_in_the_feature_family():
    with pytest.raises(UsageError, match=r"batch norm.*all 10 images.*--memory"):
        loss_and_gradient(Distribution(), Batches(), network("convnet-d1-w4-bn"), Chunks(4, 4))


def test_batch_norm_may_exceed_passes_that_are_only_fast():
    """Without a budget nobody asked for passes of any size, so the batch goes whole."""
    net = network("convnet-d1-w4-bn")
    fast = loss_and_gradient(Distribution(), Batches(), net, Chunks(4, 4, firm=False))
    whole = loss_and_gradient(Distribution(), Batches(), net, Chunks(64, 64))
    assert fast[0] == whole[0] and torch.equal(fast[1], whole[1])


class Joint(GradientMatcher):
    """All groups as one, as contrastive matching does."""

    def scope(self, step):
        return "joint"

    def uses(self, name, weight):
        return weight.ndim > 1

    def distance(self, syn, real, step):
        return ours(syn, real)


def test_joint_scope_matches_one_mean_over_all_groups():
    batches, net = Batches(), network()
    loss, gradient = loss_and_gradient(Joint(), batches, net)
    state = net.initial(generator(1, "init"))
    labels = torch.tensor([0, 1])
    images = batches.leaf.detach().clone().requires_grad_()

    def gradients(x, per_group, graph):
        weights = {k: v.detach().requires_grad_() for k, v in state.items()}
        value = nn.functional.cross_entropy(net(weights, x.flatten(0, 1)), labels.repeat_interleave(per_group))
        return dict(zip(weights, torch.autograd.grad(value, list(weights.values()), create_graph=graph), strict=True))

    expected = ours(gradients(images, 3, graph=True), gradients(batches.reals, 5, graph=False))
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, images)[0])


class Learned(FeatureMatcher):
    """A matcher with a parameter to minimise, an adversary to maximise and the whole batch in view."""

    needs_whole_batch = True

    def __init__(self):
        super().__init__()
        self.scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        self.shift = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)

    def parameters(self):
        return {"scale": self.scale}

    def adversary(self):
        return {"shift": self.shift}

    def taps(self, net):
        return [*net.names_of(nn.ReLU), "embedding"]

    def signal(self, maps):
        return {name: value.flatten(1) for name, value in maps.items()}

    def discrepancy(self, syn, real, step):
        per_key = [(self.scale * syn[k].var(0) - real[k].var(0) + self.shift).square().sum() for k in syn]
        return torch.stack(per_key).sum()


def test_own_parameters_go_down_and_the_adversary_goes_up():
    matcher, batches, net = Learned(), Batches(), network()
    assert_finite_differences(matcher, batches, net, batches.leaf)
    matcher.scale.grad = matcher.shift.grad = None
    loss_and_gradient(matcher, batches, net)
    down, up = matcher.scale.grad.clone(), matcher.shift.grad.clone()
    for tensor, gradient, sign in ((matcher.scale, down, 1), (matcher.shift, up, -1)):
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                tensor += step
            values.append(loss_and_gradient(matcher, batches, net)[0])
            with torch.no_grad():
                tensor -= step
        torch.testing.assert_close(sign * gradient, (values[0] - values[1]) / 2e-6, rtol=1e-5, atol=1e-6)


def test_equal_images_are_at_distance_zero_and_order_within_a_group_does_not_matter():
    batches, net = Batches(per_group=5), network()
    with torch.no_grad():
        batches.leaf.copy_(batches.reals)
    for matcher in (Distribution(), Gradient(Gradient.Options(distance="mse"))):
        loss, _ = loss_and_gradient(matcher, batches, net)
        assert loss.abs() < 1e-20
    batches = Batches()
    loss, gradient = loss_and_gradient(Gradient(), batches, net)
    with torch.no_grad():
        batches.leaf.copy_(batches.leaf.flip(1))
    flipped_loss, flipped = loss_and_gradient(Gradient(), batches, net)
    torch.testing.assert_close(loss, flipped_loss)
    torch.testing.assert_close(gradient, flipped.flip(1))


def test_real_passes_in_bfloat16_stay_close():
    batches = Batches()
    for name in ("reals", "leaf"):
        setattr(batches, name, getattr(batches, name).detach().float())
    batches.leaf.requires_grad_()
    module = registry().create("networks", "convnet-d2-w4-in").build((1, 8, 8), 2)
    net = FunctionalNetwork(module, (1, 8, 8))
    for matcher in (Distribution(), Gradient(Gradient.Options(distance="mse"))):
        exact, _ = loss_and_gradient(matcher, batches, net)
        rough, gradient = loss_and_gradient(matcher, batches, net, replace(WHOLE, real_precision="bfloat16"))
        assert gradient.dtype == torch.float32
        assert rough != exact
        torch.testing.assert_close(rough, exact, rtol=0.1, atol=1e-3)
