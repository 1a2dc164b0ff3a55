"""The training of one network: a position, a working copy of its weights, and one step after another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from limbeck.augment.base import Draw
from limbeck.errors import UsageError
from limbeck.networks.functional import FunctionalNetwork, State
from limbeck.synthetic.labels import LabelProjector
from limbeck.training.data import TrainData
from limbeck.training.losses import Objective
from limbeck.training.metrics import autocast
from limbeck.training.optimisers import gradients_of, make_optimiser
from limbeck.training.schedule import Epochs
from limbeck.training.sharpness import Sharpness
from limbeck.training.task import Settings, Streams, Task


class Training:
    """One network under training, which can stop after any step and be continued to the same bits.

    Args:
        network: the structure.
        start: the weights and buffers to begin with; copied.
        task: what is learned.
        settings: how.
        streams: owners of the order and of the augmentation; moved.
    """

    def __init__(
        self, network: FunctionalNetwork, start: State, task: Task, settings: Settings, streams: Streams
    ) -> None:
        self.network, self.task, self.settings, self.streams = network, task, settings, streams
        self.steps_per_epoch = math.ceil(len(task.data) / settings.batch_size)
        by_epoch = isinstance(settings.budget, Epochs)
        self.unit = self.steps_per_epoch if by_epoch else 1
        self.total = settings.budget.number * self.unit
        self.step = 0
        self.losses: list[Tensor] = []
        self._is_mixed = settings.dtype is torch.bfloat16
        self.working = self._leaves(start)
        self._parameters = [self.working[name] for name in network.parameter_names]
        self.optimiser = make_optimiser(self._parameters, settings)
        self._order = torch.empty(0, dtype=torch.int64)
        self.loss_sum = self._zero()

    @property
    def epoch(self) -> int:
        """Finished passes."""
        return self.step // self.steps_per_epoch

    @property
    def is_between_epochs(self) -> bool:
        """Whether a pass has just ended or not yet begun."""
        return self.step % self.steps_per_epoch == 0

    @property
    def restarts(self) -> bool:
        """Whether the optimiser forgets what it remembers before the next update."""
        return self.step % self.unit == 0 and self.settings.schedule.restarts(self.step // self.unit)

    def loss_history(self) -> Tensor:
        """Return the mean training loss of each finished pass, [epochs]."""
        if self.losses:
            return torch.stack(self.losses)
        return torch.empty(0, dtype=self.working_dtype, device=self.settings.device)

    def state(self) -> State:
        """Return the weights and buffers as they now are, not copied."""
        return {name: value.detach() for name, value in self.working.items()}

    def advance(self) -> None:
        """Make one update, with what belongs to the beginning or the end of a pass."""
        index = self.begin()
        self.loss_sum += self._learn(index) * len(index)
        self.end()

    def begin(self) -> Tensor:
        """Do what precedes an update and return the samples to learn from, int64 [n]."""
        position, size = self.step % self.steps_per_epoch, self.settings.batch_size
        if self.step % self.unit == 0:
            self._follow_schedule()
        if position == 0:
            self._begin_epoch()
        return self._order[position * size : (position + 1) * size]

    def end(self) -> None:
        """Count an update that was made, and the pass that it may have ended."""
        self.step += 1
        if self.is_between_epochs:
            self.losses.append(self.loss_sum / len(self.task.data))

    def _follow_schedule(self) -> None:
        if self.restarts:
            self.optimiser.state.clear()
        self._set_rate()

    def _set_rate(self) -> None:
        settings = self.settings
        scale = settings.schedule.scale(self.step // self.unit, settings.budget.number)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.lr * scale

    def _begin_epoch(self) -> None:
        size, generator = len(self.task.data), self.streams.train
        order = torch.randperm(size, generator=generator, device=generator.device)
        self._order = order.to(self.settings.device)
        self.loss_sum = self._zero()

    def _learn(self, index: Tensor) -> Tensor:
        """Make one update with the samples ``index`` and return their loss, detached."""
        with torch.no_grad():
            images, targets = self.batch(index)
        weights = None if self.task.weights is None else self.task.weights[index]
        loss = self._backward(images, targets, weights)
        if self.settings.sharpness is not None:
            self._backward_uphill(self.settings.sharpness, images, targets, weights)
        if self.settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)
        self.optimiser.step()
        return loss

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images [n, ch, h, w] of the samples ``index``, augmented, and their targets [n] or [n, C]."""
        task, epoch, generator = self.task, self.epoch, self.streams.augment
        labels = task.labels
        images = task.data.take(index).to(self.settings.device, self.working_dtype)
        stored = task.data.stored if isinstance(task.data, TrainData) else None
        rows = index
        if stored is not None and not (isinstance(labels, LabelProjector) and labels.by_training_image):
            rows = stored[index]
        draw: Draw | None = None
        if not isinstance(labels, Tensor):
            draw = labels.plan(rows, epoch, generator)
            if draw is not None and task.augmentation is None:
                raise UsageError(
                    "these labels belong to augmented views, but the recipe has no augmentation to make them."
                )
        if task.augmentation is not None:
            if draw is None:
                draw = task.augmentation.draw(len(index), generator, one_op=True)
            images = task.augmentation.apply(images, draw)
        if isinstance(labels, Tensor):
            return images, self._mixed(labels[index], draw)
        targets = labels.labels(images, rows, epoch, draw)
        return images, targets if labels.labels_any_image else self._mixed(targets, draw)

    def _mixed(self, targets: Tensor, draw: Draw | None) -> Tensor:
        """Blend targets [n] or [n, C] as the augmentation blended their images, where it does."""
        augmentation = self.task.augmentation
        if augmentation is None or draw is None or not augmentation.mixes_labels:
            return targets
        if not targets.is_floating_point():
            classes = torch.arange(self.network.num_classes, device=targets.device)
            targets = (targets[:, None] == classes).to(self.working_dtype)
        return augmentation.mix(targets, draw)

    def _backward(self, images: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        """Leave the gradient of the batch's loss on the parameters and return the loss, detached."""
        for parameter in self._parameters:
            parameter.grad = None
        chunk = self.settings.chunk or len(images)
        if len(images) <= chunk or self.network.couples_samples:
            return self._add_gradient(self._loss(images, targets, weights))
        divisor = self.settings.objective.divisor(len(images), weights)
        loss = self._zero()
        for start in range(0, len(images), chunk):
            part = slice(start, start + chunk)
            own = None if weights is None else weights[part]
            loss += self._add_gradient(self._loss(images[part], targets[part], own, divisor))
        return loss

    def _loss(
        self, images: Tensor, targets: Tensor, weights: Tensor | None, divisor: Tensor | int | None = None
    ) -> Tensor:
        """Return the loss of a batch, or what some samples add to that of a batch whose divisor is known."""
        logits, own, teacher = self._logits(images), self.settings.objective, self.settings.teacher
        loss = self._share(own, logits, targets, weights, divisor)
        if teacher is None:
            return loss
        taught = self._share(teacher.objective(own), logits, teacher.targets(images), weights, divisor)
        return teacher.blend(loss, taught)

    def _share(
        self,
        objective: Objective,
        logits: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        divisor: Tensor | int | None,
    ) -> Tensor:
        mask = self.task.class_mask
        if divisor is None:
            return objective(logits, targets, weights, mask)
        return objective.share(logits, targets, weights, mask, divisor)

    def _logits(self, images: Tensor) -> Tensor:
        with autocast(self.settings.device, self.settings.dtype):
            logits = self.network(self.working, images, dropout=self.streams.train)
        return logits.to(self.working_dtype)

    def _add_gradient(self, loss: Tensor) -> Tensor:
        """Add a loss's gradient to the parameters' and return the loss, detached."""
        for parameter, gradient in zip(self._parameters, gradients_of(loss, self._parameters), strict=True):
            if parameter.grad is None or gradient is None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad
            else:
                parameter.grad += gradient
        return loss.detach()

    def _backward_uphill(self, sharpness: Sharpness, images: Tensor, targets: Tensor, weights: Tensor | None) -> None:
        """Replace the gradient by what a sharpness-aware update makes of it and of the one uphill.

        Buffers move with the first pass only: statistics belong to the weights that are kept.
        """
        moved = [parameter for parameter in self._parameters if parameter.grad is not None]
        below = [parameter.grad for parameter in moved if parameter.grad is not None]
        kept = {name: value.detach().clone() for name, value in self.working.items()}
        sharpness.climb(moved, below)
        self._backward(images, targets, weights)
        sharpness.turn([parameter.grad for parameter in moved if parameter.grad is not None], below)
        with torch.no_grad():
            torch._foreach_copy_(list(self.working.values()), list(kept.values()))

    def _zero(self) -> Tensor:
        return torch.zeros((), dtype=self.working_dtype, device=self.settings.device)

    @property
    def working_dtype(self) -> torch.dtype:
        """Type of weights, images and losses; mixed precision keeps the network's."""
        return self.network.dtype if self._is_mixed else self.settings.dtype

    def _leaves(self, start: State) -> State:
        """Copy ``start``; the parameters become leaves that ask for gradients."""
        device, trained = self.settings.device, set(self.network.parameter_names)
        copies: State = {}
        for name, value in start.items():
            dtype = self.working_dtype if value.is_floating_point() else value.dtype
            copies[name] = value.detach().to(device, dtype, copy=True).contiguous().requires_grad_(name in trained)
        return copies

    def checkpoint(self) -> dict[str, Tensor]:
        """Return all that ``restore`` needs, as named tensors that later steps leave alone."""
        saved = {f"state.{name}": value.clone() for name, value in self.state().items()}
        for name, parameter in zip(self.network.parameter_names, self._parameters, strict=True):
            for key, value in self.optimiser.state[parameter].items():
                if isinstance(value, Tensor):
                    saved[f"optimiser.{key}.{name}"] = value.clone()
        return saved | {
            "step": torch.tensor(self.step),
            "order": self._order.clone(),
            "losses": self.loss_history(),
            "loss_sum": self.loss_sum.clone(),
            "generator.train": self.streams.train.get_state(),
            "generator.augment": self.streams.augment.get_state(),
        }

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Continue where ``checkpoint`` was taken; the streams are put back too."""
        device = self.settings.device
        with torch.no_grad():
            for name, value in self.working.items():
                value.copy_(saved[f"state.{name}"])
        named = dict(zip(self.network.parameter_names, self._parameters, strict=True))
        for full, value in saved.items():
            if full.startswith("optimiser."):
                _, key, name = full.split(".", 2)
                self.optimiser.state[named[name]][key] = value.to(device, copy=True)
        self.step = int(saved["step"])
        self._order = saved["order"].to(device)
        self.losses = list(saved["losses"].to(device))
        self.loss_sum = saved["loss_sum"].to(device, copy=True)
        self.streams.train.set_state(saved["generator.train"].cpu())
        self.streams.augment.set_state(saved["generator.augment"].cpu())
        self._set_rate()
