"""What is learned: images, and whatever labels, formation and matcher add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.config import OptimiserSection
from limbeck.data import DataSpec
from limbeck.distillation.plateau import Plateau
from limbeck.errors import UsageError
from limbeck.matching import Matcher
from limbeck.synthetic import Formation, LabelProjector
from limbeck.synthetic.sets import LabelKind

OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class SyntheticParameters:
    """The images being learned, ordered by group, and the optimiser that moves all that is learned.

    Args:
        images: normalised [n, ch, h, w], groups one after another.
        labels: class ids [n] or soft labels [n, C].
        group: int64 [n], ascending.
        spec: how images are normalised.
        section: how they move.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        group: Tensor,
        *,
        num_groups: int,
        spec: DataSpec,
        section: OptimiserSection,
    ) -> None:
        self._spec, self._section = spec, section
        start = images.detach().clone() if section.space is None else spec.denormalise(images.detach())
        self.images = start.requires_grad_()
        self.labels, self.group = labels, group
        counts = torch.bincount(group, minlength=num_groups).tolist()
        ends = torch.tensor(counts).cumsum(0).tolist()
        self.rows = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        self.groups = [index for index, count in enumerate(counts) if count]
        self.average: Tensor | None = None
        self.plateau: Plateau | None = None
        self.log_lr: Tensor | None = None
        if section.syn_lr is not None:
            self.log_lr = images.new_tensor(section.syn_lr).log().requires_grad_(section.lr_lr is not None)

    @property
    def syn_lr(self) -> Tensor | None:
        """The learning rate of students as it now is, a scalar, or None where none is kept."""
        return None if self.log_lr is None else self.log_lr.detach().exp()

    def make_optimiser(self, projector: LabelProjector, formation: Formation, matchers: Sequence[Matcher]) -> None:
        """Collect everything learned, each kind at its own rate."""
        section = self._section
        learned: list[tuple[Mapping[str, Tensor], float]] = [
            ({"images": self.images}, section.lr_img),
            (projector.parameters(), section.lr_label),
            (formation.parameters(), section.lr_img),
            *((matcher.parameters(), section.lr_matcher) for matcher in matchers),
            *((matcher.adversary(), section.lr_adversary) for matcher in matchers),
        ]
        groups: list[dict[str, Any]] = [
            {"params": list(tensors.values()), "lr": lr} for tensors, lr in learned if tensors
        ]
        if section.momentum_label is not None and projector.parameters():
            groups[1]["momentum"] = section.momentum_label
        if self.log_lr is not None and section.lr_lr is not None:
            groups.append({"params": [self.log_lr], "lr": section.lr_lr, "weight_decay": 0.0})
        if section.weight_decay is not None:
            groups[0]["weight_decay"] = section.weight_decay
        extra = {"momentum": section.momentum} if section.name == "sgd" else {}
        self.optimiser: torch.optim.Optimizer = OPTIMISERS[section.name](groups, **extra)
        if section.ema is not None:
            self.average = self.images.detach().clone()
        if section.plateau is not None:
            self.plateau = Plateau(self.optimiser.param_groups[0], section.plateau, self.images)

    def of_rows(self, rows: slice | Tensor) -> Tensor:
        """Return some normalised images, whose gradient is added to that of all images.

        They come from a leaf of their own: the gradient of a slice would have the size of all images, once for every
        group.

        Args:
            rows: which of them, each once.
        """
        images = self.images
        leaf = images.detach()[rows].requires_grad_()

        def add(part: Tensor) -> None:
            if images.grad is None:
                images.grad = torch.zeros_like(images)
            if part.grad is not None:
                images.grad[rows] += part.grad
            part.grad = None

        leaf.register_post_accumulate_grad_hook(add)  # type: ignore[no-untyped-call]
        return self._normalised(leaf)

    def student_lr(self) -> Tensor:
        """Return the learning rate of students, a scalar whose gradient moves its logarithm.

        With SGD, ``lr_lr`` is the rate that papers give for a itself; see ``move``.

        Raises:
            UsageError: the run has none.
        """
        log_lr = self.log_lr
        if log_lr is None:
            raise UsageError("students need a learning rate to start with. Type --set optimiser.syn_lr=0.01")
        rate = log_lr.detach().exp().requires_grad_(log_lr.requires_grad)

        def add(rate: Tensor) -> None:
            if rate.grad is not None:
                grad = rate.grad / rate.detach()
                log_lr.grad = grad if log_lr.grad is None else log_lr.grad + grad
            rate.grad = None

        if rate.requires_grad:
            rate.register_post_accumulate_grad_hook(add)  # type: ignore[no-untyped-call]
        return rate

    def move(self) -> None:
        """Apply the gradients left on everything learned, then clear them.

        A step d of log a, found with the gradient (dL/da) / a, stands for the papers' step of a to a (1 + d). Upwards
        it is that one; downwards it is its mirror, a / (1 + |d|), which never reaches zero.
        """
        before = None if self.log_lr is None else self.log_lr.detach().clone()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.log_lr is not None and before is not None:
            with torch.no_grad():
                moved = self.log_lr - before
                self.log_lr.copy_(before + moved.sign() * moved.abs().log1p())
        if self._section.clamp:
            with torch.no_grad():
                images = self.images
                images.copy_(self._spec.clamp(images) if self._section.space is None else images.clamp(0, 1))

    def update_average(self) -> None:
        """Move the running average of the images, once a step."""
        if self.average is not None and self._section.ema is not None:
            self.average.lerp_(self.images.detach(), 1 - self._section.ema)

    def bytes_to_come(self) -> int:
        """Return what the optimiser will keep of every tensor from its first update on."""
        section = self._section
        copies = (1 if section.momentum else 0) if section.name == "sgd" else 2
        learned = [tensor for group in self.optimiser.param_groups for tensor in group["params"]]
        return copies * sum(int(tensor.nbytes) for tensor in learned)

    @property
    def label_kind(self) -> LabelKind:
        """What the stored labels are."""
        return "probabilities" if self.labels.is_floating_point() else "hard"

    @property
    def normalised(self) -> Tensor:
        """The images as they now are, as networks see them, [n, ch, h, w]."""
        return self._normalised(self.images.detach())

    @property
    def result(self) -> Tensor:
        """The normalised images the run stands for, [n, ch, h, w]: their average where one is kept."""
        return self.normalised if self.average is None else self._normalised(self.average)

    def state_dict(self) -> dict[str, Tensor]:
        """Return images, average, every other learned tensor and the optimiser's state."""
        state = {"images": self.images.detach()}
        if self.average is not None:
            state["average"] = self.average
        if self.plateau is not None:
            state["plateau"] = self.plateau.state
        for index, tensor in enumerate(self._others()):
            state[f"learned.{index}"] = tensor.detach()
        for index, values in self.optimiser.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    state[f"optimiser.{index}.{key}"] = value
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what ``state_dict`` returned, into the same tensors."""
        with torch.no_grad():
            self.images.copy_(state["images"])
            for index, tensor in enumerate(self._others()):
                tensor.copy_(state[f"learned.{index}"])
        if self.average is not None:
            self.average.copy_(state["average"])
        restored: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("optimiser."):
                _, place, key = name.split(".", 2)
                restored.setdefault(int(place), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": restored, "param_groups": groups})
        if self.plateau is not None:
            self.plateau.restore(self.optimiser.param_groups[0], state["plateau"])

    def _normalised(self, images: Tensor) -> Tensor:
        return images if self._section.space is None else self._spec.normalise(images)

    def _others(self) -> list[Tensor]:
        return [tensor for group in self.optimiser.param_groups for tensor in group["params"]][1:]
