"""Contrastive matching: when all classes are compared as one, and that the image gradient is then exact."""

import pytest
import torch

from limbeck.errors import UsageError
from limbeck.matching import Chunks, StepContext
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck.testing import cases
from limbeck_plugins.matchers.contrastive import Contrastive
from limbeck_plugins.matchers.gradient import Gradient

WHOLE = Chunks(10**6, 10**6)
WAYS = {
    "whole": WHOLE,
    "chunked": Chunks(2, 2),
    "forward": Chunks(10**6, 10**6, second_pass="forward_mode"),
    "forward-chunked": Chunks(2, 2, second_pass="forward_mode"),
}
FIRST = StepContext(0, 0, 1, 0)


def network(name="convnet-d1-w4-in"):
    return build_network(name, cases.SPEC, "cpu", dtype=torch.float64)


def matched(matcher, batches, net, chunks=WHOLE, step=FIRST):
    """Return the distance and its gradient at the synthetic images."""
    batches.leaf.grad = None
    state = net.initial(generator(1, "init"))
    engine = matcher.engine(net, chunks)
    loss = engine.accumulate(batches, state, step, range(cases.CLASSES))
    return loss, batches.leaf.grad


def contrastive(outer=0, inner=0, **options):
    return Contrastive(Contrastive.Options(outer_warmup=outer, inner_warmup=inner, **options))


@pytest.mark.parametrize("iteration", [0, 2, 3, 4])
@pytest.mark.parametrize("outer", [0, 1, 2, 9])
def test_the_warm_up_has_two_levels(iteration, outer):
    scope = contrastive(outer=3, inner=2).scope(StepContext(iteration, outer, 10, 10 * iteration + outer))
    assert scope == ("group" if iteration < 3 and outer < 2 else "joint")


@pytest.mark.parametrize(
    "place, scope", [((0, 0), "group"), ((249, 9), "group"), ((249, 10), "joint"), ((250, 0), "joint")]
)
def test_the_published_warm_up_is_the_default(place, scope):
    assert Contrastive().scope(StepContext(*place, 50, 0)) == scope


@pytest.mark.parametrize("options", [{"outer": 0, "inner": 5}, {"outer": 5, "inner": 0}])
def test_a_warm_up_of_nothing_on_either_level_is_none(options):
    assert contrastive(**options).scope(FIRST) == "joint"


def test_warm_up_is_gradient_matching_and_what_follows_is_not():
    net, batches = network(), cases.tiny_batches()
    plain, warming, warm = (matched(m, batches, net) for m in (Gradient(), Contrastive(), contrastive()))
    assert torch.equal(plain[0], warming[0]) and torch.equal(plain[1], warming[1])
    assert not torch.allclose(plain[1], warm[1])


@pytest.mark.parametrize("name", ["convnet-d1-w4-in", "convnet-d1-w4-bn"])
@pytest.mark.parametrize("way", WAYS)
def test_the_gradient_of_joint_matching_is_the_slope(name, way):
    net, batches = network(name), cases.tiny_batches()
    _, gradient = matched(contrastive(), batches, net, WAYS[way])

    def distance(leaf):
        return matched(contrastive(), cases.TinyBatches(leaf.requires_grad_(), batches.reals), net)[0]

    cases.require_slope(distance, batches.leaf, gradient)


def test_gradients_are_compared_as_means_over_classes():
    """Where one class of three differs, the squared distance of the means is a ninth of the sum over classes."""
    net, reals = network(), cases.tiny_batches().reals
    images = reals.clone()
    images[0] *= 3
    batches = cases.TinyBatches(images.requires_grad_(), reals)
    alone, _ = matched(Gradient(Gradient.Options(distance="mse")), batches, net)
    joint, _ = matched(contrastive(distance="mse"), batches, net)
    torch.testing.assert_close(joint, alone / cases.CLASSES**2)


def test_updates_group_by_group_are_for_matchers_that_never_compare_all_as_one():
    assert Contrastive.joins_groups() and not Gradient.joins_groups()


def test_options_of_gradient_matching_hold_here_too():
    made = registry().create("matchers", {"name": "contrastive", "distance": "mse"})
    assert made.uses("bias", torch.zeros(3)) and not Contrastive().uses("bias", torch.zeros(3))
    with pytest.raises(UsageError, match="outer_warmup"):
        registry().create("matchers", {"name": "contrastive", "outer_warmup": -1})
