"""A matcher of the feature family: the engine samples, augments, cuts into chunks and differentiates. Unpublished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field
from torch import Tensor

from limbeck.matching import FeatureMatcher, StepContext
from limbeck.networks import FunctionalNetwork
from limbeck.options import Options as OptionsBase


class Moments(FeatureMatcher):
    """Match the first two moments of each embedding coordinate, class by class.

    With e(x) the embedding of an image, the discrepancy is
    Σ_k (mean e_k − mean e'_k)² + weight · Σ_k (var e_k − var e'_k)².
    At one image per class the variance of the synthetic side is zero and only the mean is matched.
    """

    class Options(OptionsBase):
        """How much the second moment counts."""

        weight: float = Field(0.1, ge=0, description="weight of the variances beside the means")

    def taps(self, network: FunctionalNetwork) -> Sequence[str]:
        """Look at what enters the classifier."""
        return ["embedding"]

    def signal(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return e and e² of each image, [n, k] each; the engine takes their means over a class."""
        embedding = maps["embedding"]
        return {"first": embedding, "second": embedding.square()}

    def discrepancy(self, syn: dict[str, Tensor], real: dict[str, Tensor], step: StepContext) -> Tensor:
        """Return the discrepancy of one class from the means [k] of e and e²; sums over k."""
        weight: float = self.options.weight
        means = (syn["first"] - real["first"]).square().sum()
        return means + weight * (_variance(syn) - _variance(real)).square().sum()


def _variance(mean: Mapping[str, Tensor]) -> Tensor:
    return mean["second"] - mean["first"].square()
