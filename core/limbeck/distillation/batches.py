"""One step's images, drawn, formed and augmented when the matcher asks for them."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.augment import Augmentation, Draw
from limbeck.data import RealData
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.execution.memory import Headroom
from limbeck.seeding import Generators
from limbeck.synthetic import Formation, LabelProjector


class StepBatches:
    """Images of one step; real and synthetic images of a group share one augmentation draw (siamese).

    Args:
        real: the real training set.
        parameters: what is being learned.
        formation: makes training images of stored ones.
        projector: gives learned labels their say.
        augmentation: applied to both sides, or None.
        batch_real: real images of a group.
        generators: ``data`` draws images, ``augment`` the transforms.
        headroom: looked after whenever images of a group are asked for.
        batch_syn: training images of a group at most, drawn by lot from those formed; None: all of them.
    """

    def __init__(
        self,
        real: RealData,
        parameters: SyntheticParameters,
        formation: Formation,
        projector: LabelProjector,
        augmentation: Augmentation | None,
        batch_real: int,
        generators: Generators,
        headroom: Headroom | None = None,
        batch_syn: int | None = None,
    ) -> None:
        self._real, self._parameters, self._formation = real, parameters, formation
        self._projector, self._augmentation = projector, augmentation
        self._batch_real, self._generators = batch_real, generators
        self._headroom, self._batch_syn = headroom, batch_syn
        self._draw: Draw | None = None
        if augmentation is not None:
            self._draw = augmentation.draw(len(parameters.rows), generators.augment)

    def real(self, group: int) -> tuple[Tensor, Tensor]:
        """Return an augmented real batch of one group and its class ids."""
        self._keep_headroom()
        index = self._real.sample(group, self._batch_real, self._generators.data)
        return self._augment(self._real.take(index), group), self._real.labels[index]

    def synthetic(self, group: int) -> tuple[Tensor, Tensor]:
        """Return one group's augmented training images and labels, with the graph to what is learned."""
        self._keep_headroom()
        rows = self._parameters.rows[group]
        labels = self._parameters.labels[rows]
        stored = self._parameters.of_group(group)
        if self._projector.parameters():
            index = torch.arange(rows.start, rows.stop, device=stored.device)
            labels = self._projector.labels(stored, index, 0, None)
        images, index = self._formation.formed(stored, self._parameters.group[rows], "match")
        if self._batch_syn is not None and len(images) > self._batch_syn:
            generator = self._generators.data
            chosen = torch.randperm(len(images), generator=generator, device=generator.device)[: self._batch_syn]
            images, index = images[chosen], index[chosen]
        return self._augment(images, group), labels[index]

    def calibration(self, per_group: int) -> Tensor:
        """Return ``per_group`` real images of every group, without augmentation."""
        groups = self._parameters.groups
        return torch.cat([self._real.batch(group, per_group, self._generators.data) for group in groups])

    def _keep_headroom(self) -> None:
        if self._headroom is not None:
            self._headroom.keep()

    def _augment(self, images: Tensor, group: int) -> Tensor:
        if self._augmentation is None or self._draw is None:
            return images
        return self._augmentation.apply(images, self._draw.rows(torch.tensor([group])))


class Weighted:
    """Batches whose gradients count ``weight`` times.

    Args:
        batches: where images come from.
        weight: the factor.
    """

    def __init__(self, batches: StepBatches, weight: float) -> None:
        self._batches, self._weight = batches, weight

    def real(self, group: int) -> tuple[Tensor, Tensor]:
        """Return a real batch of one group: images [B, ch, h, w] and labels [B]."""
        return self._batches.real(group)

    def synthetic(self, group: int) -> tuple[Tensor, Tensor]:
        """Return one group's training images [m, ch, h, w] and labels, whose gradients will be scaled."""
        images, labels = self._batches.synthetic(group)
        return self._scaled(images), self._scaled(labels)

    def calibration(self, per_group: int) -> Tensor:
        """Return ``per_group`` real images of every group [n, ch, h, w]."""
        return self._batches.calibration(per_group)

    def _scaled(self, tensor: Tensor) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        view = tensor.view_as(tensor)
        view.register_hook(lambda gradient: gradient * self._weight)  # type: ignore[no-untyped-call]
        return view
