"""The published objectives, exactly: values and image gradients against reference tensors in float64."""

import pytest

from limbeck.matching import Chunks, StepContext
from limbeck_plugins.matchers.attention import Attention
from limbeck_plugins.matchers.contrastive import Contrastive
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


@pytest.mark.parametrize("name", ["whole", "chunked", "forward", "forward-chunked"])
def test_contrastive_matching_equals_the_published_numbers(golden, name):
    golden.check(Contrastive(Contrastive.Options(outer_warmup=0)), PLANS[name], "contrastive")


@pytest.mark.parametrize("step, distance", [((249, 9), "gradient.ours"), ((249, 10), "contrastive")])
def test_the_published_warm_up_of_contrastive_matching_is_plain_gradient_matching(golden, step, distance):
    golden.check(Contrastive(), WHOLE, distance, StepContext(*step, 50, 0))


@pytest.mark.parametrize("chunks", [WHOLE, CHUNKED], ids=["whole", "chunked"])
@pytest.mark.parametrize("exponent", [1, 2, 4])
def test_attention_matching_equals_the_published_numbers(golden, exponent, chunks):
    stored, key = golden.tensors, f"attention.p{exponent}"
    golden.tensors = {**stored, f"{key}.loss": stored[f"{key}.sam"] + 0.01 * stored[f"{key}.mmd"]}
    golden.check(Attention(Attention.Options(exponent=exponent)), chunks, key)


def test_every_golden_tensor_of_these_matchers_is_compared(golden):
    kinds = ("gradient.", "distribution.", "contrastive.", "attention.")
    keys = {key.rsplit(".", 1)[0] for key in golden.tensors if key.startswith(kinds)}
    assert keys == {
        *("gradient.ours", "gradient.mse", "gradient.cos", "distribution", "contrastive"),
        *("attention.p1", "attention.p2", "attention.p4"),
    }
