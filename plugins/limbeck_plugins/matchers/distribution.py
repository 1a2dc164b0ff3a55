"""Distribution matching: class means should coincide in the embedding of many random networks.

Paper: Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023, arXiv:2110.04181 (Eq. 4-6).
Public code: VICO-UoE/DatasetCondensation (MIT). Same numbers: squared distances are summed over features and classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from limbeck.matching import FeatureMatcher, StepContext
from limbeck.networks import FunctionalNetwork

Signals = dict[str, Tensor]


class Distribution(FeatureMatcher):
    """Squared distance of mean embeddings, summed over features and classes (arXiv:2110.04181 Eq. 6)."""

    def taps(self, network: FunctionalNetwork) -> Sequence[str]:
        """Look at what enters the classifier."""
        return ["embedding"]

    def signal(self, maps: Mapping[str, Tensor]) -> Signals:
        """Each image's embedding [n, k] is its signal."""
        return {"embedding": maps["embedding"]}

    def discrepancy(self, syn: Signals, real: Signals, step: StepContext) -> Tensor:
        """Return the squared Euclidean distance of two mean embeddings [k], a scalar."""
        return (syn["embedding"] - real["embedding"]).square().sum()
