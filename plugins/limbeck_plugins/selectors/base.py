"""What selectors share that look at images through a network trained on all of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck.data import RealData
from limbeck.data.selector import Selection, Selector, check_sizes, take
from limbeck.features import FeatureTraining, TrainedFeatures, members_by_content, trained_features
from limbeck.options import Options as OptionsBase
from limbeck.seeding import derive_seed


class NetworkOptions(FeatureTraining):
    """Which network is trained on the real images, and how."""

    network: str = Field("convnet-d3-w32-in", description="network trained on the real images")


class FeatureOptions(NetworkOptions):
    """What images are compared by."""

    features: Literal["trained", "pixels"] = Field(
        "trained", description="compare images by the embedding of a network trained on all of them, or by their pixels"
    )


class NetworkSelector(Selector):
    """A selector that trains a network on the real images, or finds it in the cache."""

    Options: ClassVar[type[OptionsBase]] = NetworkOptions
    trial_options: ClassVar[dict[str, Any]] = {"network": "convnet-d1-w4-in", "epochs": 2}

    def trained(self, real: RealData, seed: int) -> TrainedFeatures:
        """Return the network of this seed."""
        return trained_features(
            real, self.options, derive_seed(seed, "features"), cache=self.cache, on_epoch=self.on_epoch
        )


class FeatureSelector(NetworkSelector):
    """A selector that picks each group's images by their features alone.

    Images are taken in an order that their content decides, so a choice does not depend on how the real set is sorted,
    and one group's choice depends on no other's images once the network is given.
    """

    Options: ClassVar[type[OptionsBase]] = FeatureOptions

    def select(self, real: RealData, ipc: int, generator: torch.Generator) -> Selection:
        """Return ``ipc`` images of every group; see the base class."""
        check_sizes(real, ipc)
        seed = draw_seed(generator)
        trained = self.trained(real, seed) if self.options.features == "trained" else None
        chosen = [
            members[self.choose(_features(real, members, trained), ipc, derive_seed(seed, "group", group))]
            for group, members in enumerate(members_by_content(real))
        ]
        if trained is None:
            return take(real, torch.cat(chosen), "pixels")
        return take(real, torch.cat(chosen), self.options.source, trained.seconds, trained.spared)

    @abstractmethod
    def choose(self, features: Tensor, ipc: int, seed: int) -> Tensor:
        """Pick images of one group.

        Args:
            features: float32 [m, k], at least ``ipc`` of them.
            ipc: how many.
            seed: owner of every draw.

        Returns:
            Rows, int64 [ipc], each once.
        """


def _features(real: RealData, index: Tensor, trained: TrainedFeatures | None) -> Tensor:
    """Return the embeddings of images, or their pixels as networks see them where there is no network."""
    return real.take(index).flatten(1).float() if trained is None else trained.embed(real, index)


def draw_seed(generator: torch.Generator) -> int:
    """Draw a seed for everything else that is left to chance."""
    return int(torch.randint(2**62, (1,), generator=generator, device=generator.device))


def centred(features: Tensor) -> Tensor:
    """Return features [m, k] about their mean in double precision, so that small distances are not lost."""
    exact = features.double()
    return exact - exact.mean(0)
