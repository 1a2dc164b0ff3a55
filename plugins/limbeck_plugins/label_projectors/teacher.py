"""Online soft labels: a teacher judges each batch as the student sees it.

Knowledge distillation (Hinton, Vinyals and Dean, arXiv:1503.02531, section 2): the label of an augmented
image x is softmax(z(x) / T) with the teacher's logits z. No label is stored: the teacher's weights are what
the labels cost, and they travel with the set.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augment.base import Draw
from limbeck.data import RealData
from limbeck.errors import UsageError
from limbeck.networks.functional import FunctionalNetwork, State
from limbeck.options import Options as OptionsBase
from limbeck.seeding import derive_seed
from limbeck.synthetic import LabelProjector, ProjectorContext
from limbeck.training import Epochs, fit


class TeacherLabels(LabelProjector):
    """A network trained on the real images gives the label of every augmented training image."""

    labels_any_image = True

    class Options(OptionsBase):
        """Which network teaches, and how it is trained: SGD at a constant rate, without augmentation."""

        network: str | None = Field(None, description="the teacher's network; none: the run's own")
        epochs: int = Field(10, ge=1, description="passes over the real training set")
        lr: float = Field(0.01, gt=0, description="the teacher's learning rate")
        momentum: float = Field(0.9, ge=0, lt=1, description="the teacher's momentum")
        weight_decay: float = Field(5e-4, ge=0, description="the teacher's weight decay")
        batch_size: int = Field(256, ge=1, description="real images per update of the teacher")
        temperature: float = Field(1.0, gt=0, description="divides the teacher's logits before the softmax")

    _network: FunctionalNetwork
    _state: State | None = None

    def prepare(self, context: ProjectorContext) -> None:
        """Train the teacher, unless its weights came with the set.

        Raises:
            UsageError: there are neither weights nor real images.
        """
        self._network = context.network(self.options.network)
        if self._state is not None:
            self._place()
        elif context.real is None:
            raise UsageError(
                f"label projector '{self.name}' needs the real training set or what was stored with a set, "
                "and found neither. Name the data with --data, or use --labels hard."
            )
        else:
            self._state = self._trained(context.real, context.seed)

    def labels(self, images: Tensor, index: Tensor, epoch: int, draw: Draw | None) -> Tensor:
        """Return softmax(z / T) of the augmented images, probabilities [n, C], by a teacher in eval mode."""
        return torch.softmax(self.logits(images) / self.options.temperature, dim=1).to(images.dtype)

    def logits(self, images: Tensor) -> Tensor:
        """Return what the teacher makes of images [n, ch, h, w] as a student sees them, [n, C], in eval mode."""
        with torch.no_grad():
            return self._network(self._weights(), images.to(self._network.dtype), train=False)

    def bytes(self) -> int:
        """Return the size of the teacher's weights and buffers."""
        return sum(value.numel() * value.element_size() for value in self._weights().values())

    def state_dict(self) -> dict[str, Tensor]:
        """Return the teacher's weights and buffers by name; empty before it is trained."""
        return dict(self._state or {})

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the teacher's weights; nothing is trained then."""
        self._state = {name: value.detach().clone() for name, value in state.items()} or None
        if hasattr(self, "_network"):
            self._place()

    def _trained(self, real: RealData, seed: int) -> State:
        options = self.options
        result = fit(
            self._network,
            start=[derive_seed(seed, "teacher")],
            data=real,
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            budget=Epochs(options.epochs),
            batch_size=options.batch_size,
        )
        return result.states[0]

    def _place(self) -> None:
        """Move the weights to where the network computes, integers as they are."""
        network = self._network
        self._state = {
            name: value.to(network.device, network.dtype if value.is_floating_point() else value.dtype)
            for name, value in self._weights().items()
        }

    def _weights(self) -> State:
        if self._state is None:
            raise UsageError(f"label projector '{self.name}' has no weights yet: call prepare first.")
        return self._state
