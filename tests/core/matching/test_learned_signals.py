"""A feature matcher whose signals depend on tensors of its own: each gets the slope of the whole expression."""

import pytest
import torch

from limbeck.matching import Chunks, FeatureMatcher, StepContext
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck_plugins.matchers.distribution import Distribution

STEP = StepContext(0, 0, 1, 0)
WHOLE, CUT, ONE_SIDE = Chunks(10**6, 10**6), Chunks(3, 4), Chunks(10**6, 2)
GROUPS = 2


class Projected(FeatureMatcher):
    """Means of projected features: one projection goes down, another goes up, and a factor is in no signal."""

    def __init__(self, width, *, begins=False):
        super().__init__()
        draw = generator(5, "own")
        self.down, self.up = (torch.randn(width, 3, generator=draw, dtype=torch.float64) for _ in range(2))
        self.factor = torch.tensor(0.7, dtype=torch.float64)
        self.own = [tensor.requires_grad_() for tensor in (self.down, self.factor, self.up)]
        self.begins = begins

    def parameters(self):
        return {"down": self.down, "factor": self.factor}

    def adversary(self):
        return {"up": self.up}

    def begin(self, step):
        """What is made of own tensors once may serve every pass of a step."""
        self.once = self.up.tanh()

    def taps(self, network):
        return ["embedding"]

    def signal(self, maps):
        features = maps["embedding"]
        up = self.once if self.begins else self.up.tanh()
        return {"one": (features @ self.down).sin(), "two": (features @ up).cos()}

    def discrepancy(self, syn, real, step):
        gaps = torch.stack([self.gap(syn[key], real[key]) for key in syn])
        return gaps.sum() + self.factor**2 * gaps.prod()

    @staticmethod
    def gap(one, other):
        return (one.exp() - other).square().sum() + (one * other.square()).sum()


class WholeBatch(Projected):
    """The same of variances, which are no function of means."""

    needs_whole_batch = True

    @staticmethod
    def gap(one, other):
        return (one.var(0) - other.var(0) * other.mean(0)).square().sum()


class Batches:
    """Groups of 5 and 3 real images and of 4 and 2 synthetic ones, which are leaves."""

    def __init__(self):
        draw = generator(0, "test")
        shape = (1, 4, 4)
        self.reals = [torch.randn(n, *shape, generator=draw, dtype=torch.float64) for n in (5, 3)]
        self.leaves = [torch.randn(n, *shape, generator=draw, dtype=torch.float64) for n in (4, 2)]
        for leaf in self.leaves:
            leaf.requires_grad_()

    def real(self, group):
        return self.reals[group], torch.full((len(self.reals[group]),), group)

    def synthetic(self, group):
        return self.leaves[group], torch.full((len(self.leaves[group]),), group)


def network(norm="in"):
    module = registry().create("networks", f"convnet-d1-w2-{norm}-swish").build((1, 4, 4), GROUPS)
    return FunctionalNetwork(module, (1, 4, 4), dtype=torch.float64)


def width(net):
    return net.module.get_submodule(net.classifier_name).in_features


def initial(net):
    return net.initial(generator(1, "init"))


def accumulate(matcher, net, chunks, batches):
    for tensor in [*matcher.own, *batches.leaves]:
        tensor.grad = None
    matcher.begin(STEP)
    engine = matcher.engine(net, chunks)
    return engine.accumulate(batches, initial(net), STEP, range(GROUPS))


def whole_expression(matcher, net, batches):
    """The summed discrepancy as one graph through both sides."""
    matcher.begin(STEP)
    sides = []
    for images in (batches.leaves, batches.reals):
        maps = net.features(initial(net), torch.cat(images), ["embedding"])["embedding"]
        parts = torch.split(maps, [len(part) for part in images])
        signals = [matcher.signal({"embedding": part}) for part in parts]
        if not matcher.needs_whole_batch:
            signals = [{key: value.mean(0) for key, value in found.items()} for found in signals]
        sides.append(signals)
    return sum(matcher.discrepancy(syn, real, STEP) for syn, real in zip(*sides, strict=True))


def assert_exact(matcher, net, chunks):
    batches = Batches()
    loss = accumulate(matcher, net, chunks, batches)
    found = [tensor.grad.clone() for tensor in [*batches.leaves, *matcher.own]]
    expected = whole_expression(matcher, net, batches)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-9, atol=0)
    slopes = torch.autograd.grad(expected, [*batches.leaves, *matcher.own])
    signs = [1, 1, 1, 1, -1]
    for gradient, slope, sign in zip(found, slopes, signs, strict=True):
        assert slope.abs().max() > 1e-3
        assert (gradient - sign * slope).norm() < 1e-9 * slope.norm()


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("chunks", [WHOLE, CUT, ONE_SIDE], ids=["whole", "cut", "synthetic cut"])
def test_gradients_are_those_of_the_whole_expression(begins, chunks):
    net = network()
    assert_exact(Projected(width(net), begins=begins), net, chunks)


def test_gradients_are_exact_where_the_whole_batch_is_looked_at():
    net = network()
    assert_exact(WholeBatch(width(net)), net, CUT)


@pytest.mark.parametrize("matcher", [Projected, WholeBatch])
def test_gradients_are_exact_through_batch_norm(matcher):
    net = network("bn")
    assert_exact(matcher(width(net)), net, WHOLE)


@pytest.mark.parametrize("chunks", [WHOLE, CUT], ids=["whole", "cut"])
def test_gradients_agree_with_finite_differences(chunks):
    net, batches = network(), Batches()
    matcher = Projected(width(net))
    accumulate(matcher, net, chunks, batches)
    draw = generator(2, "directions")
    for tensor, sign in [*((leaf, 1) for leaf in batches.leaves), *zip(matcher.own, (1, 1, -1), strict=True)]:
        direction = torch.randn(tensor.shape, generator=draw, dtype=torch.float64)
        claimed = (tensor.grad * direction).sum()
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                tensor += step * direction
            values.append(accumulate(matcher, net, chunks, batches))
            with torch.no_grad():
                tensor -= step * direction
        torch.testing.assert_close(claimed, sign * (values[0] - values[1]) / 2e-6, rtol=1e-5, atol=1e-7)
        accumulate(matcher, net, chunks, batches)


class Fixed(Projected):
    """The same signals, of which nothing is learned."""

    def parameters(self):
        return {}

    def adversary(self):
        return {}


@pytest.mark.parametrize(("matcher", "signals"), [(Fixed, 2), (Projected, 3)])
def test_only_what_learns_looks_at_real_signals_again_and_no_image_goes_through_the_network_twice(matcher, signals):
    net, batches, seen = network(), Batches(), []
    made = matcher(width(net))
    look = made.signal
    made.signal = lambda maps: seen.append("signal") or look(maps)
    handle = net.module.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    accumulate(made, net, WHOLE, batches)
    handle.remove()
    assert [entry for entry in seen if entry != "signal"] == [8, 6]
    assert seen.count("signal") == signals


def test_nothing_is_learned_where_nothing_is_to_learn():
    net, batches = network(), Batches()
    made = Fixed(width(net))
    accumulate(made, net, CUT, batches)
    assert all(tensor.grad is None for tensor in made.own)


def test_signals_are_computed_in_float32_also_where_real_passes_are_not():
    class Look(Distribution):
        def signal(self, maps):
            product = maps["embedding"] @ torch.eye(maps["embedding"].shape[1])
            seen.append(product.dtype)
            return {"embedding": product}

    seen = []
    module = registry().create("networks", "convnet-d1-w2-in").build((1, 4, 4), GROUPS)
    net, batches = FunctionalNetwork(module, (1, 4, 4)), Batches()
    batches.reals = [images.float() for images in batches.reals]
    batches.leaves = [leaf.detach().float().requires_grad_() for leaf in batches.leaves]
    engine = Look().engine(net, Chunks(99, 99, real_precision="bfloat16"))
    engine.accumulate(batches, initial(net), STEP, range(GROUPS))
    assert seen == [torch.float32, torch.float32]
