"""K-means: the real images nearest to the centres of clusters, as many clusters as images wanted.

One of the baselines of Cui et al., "DC-BENCH: Dataset Condensation Benchmark" (arXiv:2207.09639), whose code for it is
not published. Clustering is scikit-learn's: Lloyd's algorithm from k-means++ starts (Arthur and Vassilvitskii,
SODA 2007).
"""

from __future__ import annotations

import warnings

import torch
from pydantic import Field
from torch import Tensor

from limbeck_plugins.selectors.base import FeatureOptions, FeatureSelector, centred
from limbeck_plugins.selectors.k_center import distances


class KMeansSelector(FeatureSelector):
    """Take for every cluster of a group the image nearest to its centre."""

    class Options(FeatureOptions):
        """What images are compared by, and how they are clustered."""

        starts: int = Field(3, ge=1, description="k-means++ starts, of which the tightest clustering counts")

    def choose(self, features: Tensor, ipc: int, seed: int) -> Tensor:
        """Return rows [ipc] of features [m, k], one for each cluster; the starts come from ``seed``."""
        offsets = centred(features)
        centres = cluster_centres(offsets.cpu(), ipc, self.options.starts, seed).to(offsets.device)
        return nearest_rows(distances(centres, offsets))


def cluster_centres(features: Tensor, count: int, starts: int, seed: int) -> Tensor:
    """Return the centres [count, k] of clusters of features [m, k] on the CPU.

    One thread computes them: the order in which threads add up would decide the last bits. Where there are fewer
    distinct features than clusters, some centres coincide.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(count, n_init=starts, random_state=seed % 2**32).fit(features.numpy())
    return torch.from_numpy(found.cluster_centers_)


def nearest_rows(gaps: Tensor) -> Tensor:
    """Give every centre an image of its own: the closest pair first, then the closest of those left.

    Args:
        gaps: distances [centres, m] with m at least as many as centres.

    Returns:
        The image of each centre, int64 [centres]: its nearest, unless that one is nearer to another centre.
    """
    gaps, rows = gaps.clone(), torch.empty(len(gaps), dtype=torch.int64, device=gaps.device)
    for _ in range(len(gaps)):
        centre, image = torch.unravel_index(gaps.argmin(), gaps.shape)
        rows[centre] = image
        gaps[centre], gaps[:, image] = torch.inf, torch.inf
    return rows
