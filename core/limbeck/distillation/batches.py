"""One step's images, drawn, formed and augmented when the matcher asks for them."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.augment import Augmentation, Draw
from limbeck.data import RealData
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.execution.memory import Headroom
from limbeck.matching.base import Minibatch, Relabelling
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
        images, labels, index = self._formed(self._parameters.rows[group])
        if self._batch_syn is not None and len(images) > self._batch_syn:
            generator = self._generators.data
            chosen = torch.randperm(len(images), generator=generator, device=generator.device)[: self._batch_syn]
            images, index = images[chosen], index[chosen]
        return self._augment(images, group), labels[index]

    def calibration(self, per_group: int) -> Tensor:
        """Return ``per_group`` real images of every group, without augmentation."""
        groups = self._parameters.groups
        return torch.cat([self._real.batch(group, per_group, self._generators.data) for group in groups])

    def students(self, steps: int, size: int | None, relabel: Relabelling | None = None) -> list[Minibatch]:
        """Return what a student learns in each update: stored images in a fresh order, pass by pass.

        As in the published loops a pass is cut into batches that are taken from its end, and the last batch of a pass
        may be smaller.

        Args:
            steps: updates.
            size: training images of an update at most; those formed of one stored image stay together.
            relabel: gives all training images, not augmented, labels that are used in place of theirs.
        """
        count, generator = len(self._parameters.group), self._generators.data
        with torch.no_grad():
            formed, labels, stored = self._formed(torch.arange(count, device=self._parameters.group.device))
        each, given = len(formed) // count, None
        if relabel is not None:
            relabelled = relabel(formed, labels[stored])[stored.argsort(stable=True)]
            given = relabelled.reshape(count, each, *relabelled.shape[1:])
        found: list[Minibatch] = []
        rest: list[Tensor] = []
        for _ in range(steps):
            self._keep_headroom()
            if not rest:
                order = torch.randperm(count, generator=generator, device=generator.device)
                rest = list(torch.split(order, count if size is None else max(size // each, 1)))
            found.append(self._minibatch(rest.pop(), each, given))
        return found

    def _minibatch(self, rows: Tensor, each: int, given: Tensor | None) -> Minibatch:
        """Return what gives some stored images as a student learns them, augmented with numbers drawn now.

        Args:
            rows: which stored images.
            each: training images formed of one.
            given: labels in place of theirs, [stored images, each] or [stored images, each, C].
        """
        augmentation, generator = self._augmentation, self._generators.augment
        draw = None if augmentation is None else augmentation.draw(len(rows) * each, generator, one_op=True)

        def minibatch() -> tuple[Tensor, Tensor]:
            images, labels, index = self._formed(rows)
            labels = labels[index] if given is None else given[rows].flatten(0, 1)[index.argsort(stable=True).argsort()]
            return images if augmentation is None or draw is None else augmentation.apply(images, draw), labels

        return minibatch

    def syn_lr(self) -> Tensor:
        """Return the learning rate of students, a scalar whose gradient moves what is learned of it."""
        return self._parameters.student_lr()

    def _formed(self, rows: slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return training images of some stored ones [m, ch, h, w], the n labels of those, and which it was, [m]."""
        parameters = self._parameters
        stored, labels = parameters.of_rows(rows), parameters.labels[rows]
        if self._projector.parameters():
            index = torch.arange(len(parameters.group), device=stored.device)[rows]
            labels = self._projector.labels(stored, index, 0, None)
        images, index = self._formation.formed(stored, parameters.group[rows], "match")
        return images, labels, index

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

    def students(self, steps: int, size: int | None, relabel: Relabelling | None = None) -> list[Minibatch]:
        """Return what a student learns in each update, images and labels whose gradients will be scaled."""

        def scaled(minibatch: Minibatch) -> Minibatch:
            return lambda: tuple(map(self._scaled, minibatch()))  # type: ignore[return-value]

        return [scaled(minibatch) for minibatch in self._batches.students(steps, size, relabel)]

    def syn_lr(self) -> Tensor:
        """Return the learning rate of students, a scalar whose gradient will be scaled."""
        return self._scaled(self._batches.syn_lr())

    def _scaled(self, tensor: Tensor) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        view = tensor.view_as(tensor)
        view.register_hook(lambda gradient: gradient * self._weight)  # type: ignore[no-untyped-call]
        return view
