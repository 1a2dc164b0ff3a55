"""The published objectives, exactly: values and image gradients against reference tensors in float64."""

import pytest

from limbeck.matching import Chunks
from limbeck_plugins.matchers.distribution import Distribution
from limbeck_plugins.matchers.gradient import Gradient

WHOLE = Chunks(real=10**6, synthetic=10**6)
CHUNKED = Chunks(real=3, synthetic=2)
FORWARD = Chunks(real=10**6, synthetic=10**6, second_pass="forward_mode")
FORWARD_CHUNKED = Chunks(real=5, synthetic=1, second_pass="forward_mode")
STACKED = Chunks(real=10**6, synthetic=10**6, together=10**6)
PAIRS = Chunks(real=10**6, synthetic=10**6, together=7)
PLANS = {
    "whole": WHOLE,
    "chunked": CHUNKED,
    "forward": FORWARD,
    "forward-chunked": FORWARD_CHUNKED,
    "stacked": STACKED,
    "some-stacked": PAIRS,
}


@pytest.mark.parametrize("chunks", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("distance", ["ours", "mse", "cos"])
def test_gradient_matching_equals_the_published_numbers(golden, distance, chunks):
    golden.check(Gradient(Gradient.Options(distance=distance)), chunks, f"gradient.{distance}")


@pytest.mark.parametrize("chunks", [WHOLE, CHUNKED], ids=["whole", "chunked"])
def test_distribution_matching_equals_the_published_numbers(golden, chunks):
    golden.check(Distribution(), chunks, "distribution")


def test_every_golden_tensor_of_these_matchers_is_compared(golden):
    keys = {key.rsplit(".", 1)[0] for key in golden.tensors if key.startswith(("gradient.", "distribution."))}
    assert keys == {"gradient.ours", "gradient.mse", "gradient.cos", "distribution"}
