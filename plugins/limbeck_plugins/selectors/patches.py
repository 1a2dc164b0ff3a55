"""RDED: crops of real images that an observer network finds easiest, several of them tiled into one image.

Paper: Sun, Shi, Yu and Lin, "On the Diversity and Realism of Distilled Dataset: An Efficient Dataset Distillation
Paradigm" (RDED, arXiv:2312.03526), section 4 and algorithm 1. Public code LINs-lab/RDED (Apache-2.0). Written from
the definitions. For each class: some real images drawn without replacement; from each some random crops of 8 to 100 %
of its area, stretched to 1 / factor of its sides; each crop alone on a canvas of the mean colour, in its middle, is
judged by an observer that was trained on the real images; the crop of an image that has the least cross-entropy
stays, and of these the ipc * factor^2 least of the class, tiled factor x factor: place by place in reading order, the
ipc best in the first place.

The same: ranges of the crops, bilinear interpolation with antialiasing, what is judged and how, ranking, places.
Different: crops have the shape of the image, which for square images is the published square; an image whose sides
the factor does not divide is refused, where the public code stretches tiles to fill it; classes smaller than
``candidates`` give all they have; the observer learns here, without augmentation, where the public code loads weights;
images are kept as numbers instead of JPEG files. A finished image is what students train on as it is: the public
code never enlarges its tiles, so no formation belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from limbeck.augment import Boxes, place, stretch
from limbeck.data import RealData
from limbeck.data.selector import Selection, check_sizes
from limbeck.errors import DataError, UsageError
from limbeck.features import TrainedFeatures, members_by_content
from limbeck.seeding import derive_seed
from limbeck.seeding import generator as make_generator
from limbeck_plugins.selectors.base import NetworkOptions, NetworkSelector, draw_seed

CHUNK = 500
"""Crops that the observer judges at once."""


class Patches(NetworkSelector):
    """Tile the crops of every group that an observer classifies with the least loss; each image gives one at most."""

    trial_options: ClassVar[dict[str, Any]] = {**NetworkSelector.trial_options, "candidates": 8, "crops": 2}

    class Options(NetworkOptions):
        """How many crops are tried, and how they are tiled."""

        factor: int = Field(1, ge=1, description="crops along each side of an image: 1, or 2 for large images")
        candidates: int = Field(300, ge=1, description="real images a class that crops are taken from")
        crops: int = Field(5, ge=1, description="random crops of each of them, of which the best stays")
        scale: tuple[float, float] = Field((0.08, 1.0), description="least and largest share of the image's area")

        @model_validator(mode="after")
        def _ordered(self) -> Patches.Options:
            if not 0 < self.scale[0] <= self.scale[1] <= 1:
                raise ValueError(f"scale {list(self.scale)} must be two shares of the area, 0 < least <= largest <= 1")
            return self

    def select(self, real: RealData, ipc: int, generator: torch.Generator) -> Selection:
        """Return ``ipc`` images of every group, which are no exact copies of real ones; see the base class.

        Raises:
            DataError: a group has fewer images than crops are needed.
            UsageError: tiles do not fit the images, or more crops are needed than ``candidates``.
        """
        needed = ipc * int(self.options.factor) ** 2
        self._check(real, ipc, needed)
        seed = draw_seed(generator)
        observer = self.trained(real, seed)
        images, owners = [], []
        for group, members in enumerate(members_by_content(real)):
            crops, index = self._best(real, members, needed, observer, derive_seed(seed, "group", group))
            images.append(tiled(crops, int(self.options.factor)))
            owners.append(index[:ipc])
        index = torch.cat(owners)
        return Selection(
            images=torch.cat(images),
            labels=real.labels[index],
            group=real.group[index],
            features=self.options.source,
            features_seconds=observer.seconds,
            spared=observer.spared,
        )

    def _check(self, real: RealData, ipc: int, needed: int) -> None:
        factor, candidates = int(self.options.factor), int(self.options.candidates)
        height, width = real.spec.shape[1:]
        if height % factor or width % factor:
            fits = [each for each in range(1, factor) if not height % each and not width % each]
            raise UsageError(
                f"selector '{self.name}' cannot tile {factor} x {factor} crops into images of {height}x{width}: the "
                f"factor must divide both sides, as {', '.join(map(str, fits))} would. "
                f"Type --set selector.factor={fits[-1]}"
            )
        if candidates < needed:
            raise UsageError(
                f"ipc {ipc} with factor {factor} takes {needed} crops a class, each of an image of its own, but "
                f"selector '{self.name}' looks at {candidates} images. Type --set selector.candidates={needed}"
            )
        check_sizes(real, ipc)
        least = min(real.group_sizes)
        if least < needed:
            raise DataError(
                f"ipc {ipc} with factor {factor} takes {needed} crops a class, each of an image of its own, but a "
                f"class of '{real.spec.name}' has {least} images. Lower --ipc, or type --set selector.factor=1"
            )

    @torch.no_grad()
    def _best(
        self, real: RealData, members: Tensor, needed: int, observer: TrainedFeatures, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return a group's crops of least loss [needed, ch, h / factor, w / factor], and the images they are of."""
        options, chance = self.options, make_generator(seed)
        drawn = torch.randperm(len(members), generator=chance)[: options.candidates]
        index = members[drawn.to(members.device)].repeat_interleave(options.crops)
        u = torch.rand(len(index), 3, generator=chance).to(members.device)
        boxes = random_boxes(u, real.spec.shape[1:], options.scale)
        losses = [
            F.cross_entropy(self._judged(crops, observer), real.labels[index[part]], reduction="none")
            for part, crops in self._crops(real, index, boxes)
        ]
        by_image = torch.cat(losses).view(-1, options.crops)
        least, which = by_image.min(1)
        first = torch.arange(len(least), device=which.device) * options.crops
        best = (first + which)[least.argsort(stable=True)[:needed]]
        crops = [crops for _, crops in self._crops(real, index[best], boxes.rows(best))]
        return torch.cat(crops), index[best]

    def _crops(self, real: RealData, index: Tensor, boxes: Boxes) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield which crops are next, int64, and the crops [n, ch, h / factor, w / factor]."""
        height, width = (side // self.options.factor for side in real.spec.shape[1:])
        for part in torch.split(torch.arange(len(index), device=index.device), CHUNK):
            yield part, stretch(real.take(index[part]), boxes.rows(part), (height, width))

    def _judged(self, crops: Tensor, observer: TrainedFeatures) -> Tensor:
        """Return the observer's logits for crops [n, ch, h, w], each in the middle of a canvas of mean colour."""
        canvas = [side * (self.options.factor - 1) for side in crops.shape[:1:-1]]
        margins = [part for spare in canvas for part in (spare // 2, spare - spare // 2)]
        network = observer.network
        return network(observer.state, F.pad(crops, margins).to(network.dtype), train=False).float()


def random_boxes(u: Tensor, size: tuple[int, int], scale: tuple[float, float]) -> Boxes:
    """Return rectangles of the image's own shape and of random area, anywhere in it.

    Args:
        u: uniform numbers in [0, 1), [n, 3]: area, and two for the place.
        size: rows and columns of the images.
        scale: least and largest share of the area, uniform between.
    """
    side = (scale[0] + u[:, 0] * (scale[1] - scale[0])).sqrt()
    height, width = ((side * whole).round().long().clamp(1, whole) for whole in size)
    return place(height, width, u[:, 1:], size)


def tiled(crops: Tensor, factor: int) -> Tensor:
    """Tile crops [n * factor^2, ch, h, w] into images [n, ch, h * factor, w * factor], n at a time for each place."""
    channels, height, width = crops.shape[1:]
    places = crops.view(factor, factor, -1, channels, height, width).permute(2, 3, 0, 4, 1, 5)
    return places.reshape(-1, channels, factor * height, factor * width)
