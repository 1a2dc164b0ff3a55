"""The words every matcher family shares.

One identity serves them all. For a signal a(x) and any distance D(a), with v = dD/da held constant,

    dD/dx = d<a(x), v>/dx.

A matcher therefore writes D on plain leaf tensors and never sees a second-order graph; the family's engine
takes v from it and makes one more pass over the images, whole or in chunks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from limbeck.component import Component
from limbeck.execution.device import mixed_precision
from limbeck.networks import FunctionalNetwork, State

SecondPass = Literal["auto", "double_backward", "forward_mode"]


@dataclass(frozen=True)
class StepContext:
    """Where the run stands.

    Attributes:
        iteration: networks started so far, from 0.
        outer: step within this network, from 0.
        num_outer: steps each network serves.
        step: flat counter of updates of the synthetic set, from 0.
        is_trial: whether it is only measured what the step costs, and its gradients are thrown away.
    """

    iteration: int
    outer: int
    num_outer: int
    step: int
    is_trial: bool = False


class Trajectories(Protocol):
    """Weights that experts had in the course of their training.

    Attributes:
        experts: how many there are.
        epochs: how long each was trained; weights exist after epochs 0, which is before the first, to this.
    """

    @property
    def experts(self) -> int:
        """Number of experts."""
        ...

    @property
    def epochs(self) -> int:
        """Epochs every expert was trained for."""
        ...

    def weights(self, expert: int, epoch: int) -> Tensor:
        """Return all weights of an expert after an epoch as one vector [P], on the network's device."""
        ...


@dataclass(frozen=True)
class MatcherContext:
    """What a matcher may know before the first step.

    Attributes:
        network: the structure that is looked through.
        num_classes: width of its head.
        num_groups: groups the synthetic set is matched by.
        generator: the matcher's own random stream, on the run's device.
        seed: the run's, for draws that follow from it and the step alone.
        num_images: synthetic images as they are formed for matching.
        trajectories: the experts of the matcher's network source, or None where it has none.
    """

    network: FunctionalNetwork
    num_classes: int
    num_groups: int
    generator: torch.Generator
    seed: int = 0
    num_images: int = 0
    trajectories: Trajectories | None = None


Minibatch = Callable[[], tuple[Tensor, Tensor]]
"""Gives the images [m, ch, h, w] and labels of one update of a student, the same whenever it is asked."""

Relabelling = Callable[[Tensor, Tensor], Tensor]
"""Gives images [m, ch, h, w] with labels other labels, [m] or [m, C]."""


class Batches(Protocol):
    """One step's images, drawn, formed and augmented, group by group."""

    def real(self, group: int) -> tuple[Tensor, Tensor]:
        """Return a real batch of one group: images [B, ch, h, w] and labels [B]."""
        ...

    def synthetic(self, group: int) -> tuple[Tensor, Tensor]:
        """Return all training images of one group [m, ch, h, w] and their labels [m] or [m, C].

        Both keep the graph to the synthetic parameters.
        """
        ...

    def calibration(self, per_group: int) -> Tensor:
        """Return ``per_group`` real images of every group, without augmentation."""
        ...

    def students(self, steps: int, size: int | None, relabel: Relabelling | None = None) -> list[Minibatch]:
        """Return what a student learns in each of its updates, drawn without replacement pass by pass.

        Args:
            steps: updates.
            size: training images of an update at most; None: all of them.
            relabel: gives training images, not augmented, other labels, which are constants.

        Returns:
            For each update what gives its images and labels with the graph to the synthetic parameters, augmented
            alike whenever it is asked; each image with parameters of its own, not siamese.
        """
        ...

    def syn_lr(self) -> Tensor:
        """Return the learning rate of students, a scalar, with the graph to what is learned of it."""
        ...


@dataclass(frozen=True)
class Chunks:
    """How many images go through the network in one pass.

    Attributes:
        real: images of a real pass.
        synthetic: images of a synthetic pass (it holds two to three times the memory an image).
        together: groups are matched each on its own, but in one pass as long as they have at most this many images;
            few images a group make a pass too small to keep a processor busy.
        training: images of a pass that trains a network between steps; None: whole batches.
        second_pass: how the second pass is differentiated; all give the same numbers, and ``auto`` takes the faster.
        real_precision: what real passes are computed in; synthetic ones and distances stay in float32.
        firm: whether these are a limit, of memory or the user's; else what runs fastest, and a batch that cannot be
            cut may exceed it.
    """

    real: int
    synthetic: int
    together: int = 1
    training: int | None = None
    second_pass: SecondPass = "auto"
    real_precision: Literal["float32", "bfloat16"] = "float32"
    firm: bool = True

    def at_most(self, images: int) -> Chunks:
        """Return these settings with no more than ``images`` a pass, and as many where that is allowed."""
        together = min(self.together, images)
        return replace(self, real=images, synthetic=images, training=images, together=together, firm=True)


class Matcher(Component, ABC):
    """What is compared between real and synthetic images. Subclass a family, not this.

    Set ``permutation_invariant`` to False where the order of a group's images counts, as when synthetic and real
    images are compared in pairs; ``limbeck plugins check`` holds all others to it. Set ``uses_labels`` to False where
    what is compared is the same whatever the images' labels are, so that nobody waits for them to be learned.
    """

    family: ClassVar[str]
    permutation_invariant: ClassVar[bool] = True
    uses_labels: ClassVar[bool] = True

    @classmethod
    def joins_groups(cls) -> bool:
        """Say whether all groups may be compared as one, which needs one update for all of them."""
        return False

    def prepare(self, context: MatcherContext) -> None:
        """Get ready for a run; called once, before the first step and before ``load_state_dict``."""
        return

    def begin(self, step: StepContext) -> None:
        """Draw what real and synthetic signals of one update share; called once before each of them."""
        return

    def parameters(self) -> dict[str, Tensor]:
        """Return tensors that are minimised together with the images, by name."""
        return {}

    def adversary(self) -> dict[str, Tensor]:
        """Return tensors that the engine moves to *raise* the distance, by name."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold beside ``parameters`` and ``adversary``."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what ``state_dict`` returned."""
        return

    @abstractmethod
    def engine(self, network: FunctionalNetwork, chunks: Chunks) -> Engine:
        """Return the family's engine for this matcher."""


class Engine(ABC):
    """The second half of a family: gradients of a matcher's distance with respect to images and labels.

    Args:
        network: the structure that is looked through.
        chunks: images a pass.

    Attributes:
        needs_state: whether it looks through the weights that the network source gives for a step.
    """

    needs_state: ClassVar[bool] = True

    @property
    def refusal(self) -> str:
        """What can be left out where smaller passes save nothing; empty where they do."""
        return ""

    def __init__(self, network: FunctionalNetwork, chunks: Chunks) -> None:
        self.network, self.chunks = network, chunks

    def real_pass(self) -> AbstractContextManager[None]:
        """Return the context in which real images go through the network."""
        return mixed_precision(self.network.device, self.chunks.real_precision)

    @abstractmethod
    def accumulate(self, batches: Batches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Add the distance's gradient to everything the batches' graphs lead to.

        Args:
            batches: this step's images.
            state: weights of the network looked through; not changed, except batch-norm statistics.
            step: where the run stands.
            groups: groups to match in this update.

        Returns:
            The distance summed over ``groups``, a detached scalar on the device.
        """


def pull_gradients(
    distance: Tensor, signals: Mapping[str, Tensor], extra: Iterable[Tensor], ascend: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Differentiate a distance at its leaves: return v for the signals, accumulate ``.grad`` on the rest.

    Where there is a rest, the graph is kept: what a matcher made of it once may serve several passes.

    Args:
        distance: scalar computed from ``signals`` and from the matcher's own tensors.
        signals: leaf tensors by name.
        extra: matcher parameters, minimised.
        ascend: adversary parameters, maximised: their gradient is added with its sign turned.
    """
    down, up = list(extra), list(ascend)
    leaves = [*signals.values(), *down, *up]
    grads = torch.autograd.grad(
        distance, leaves, retain_graph=bool(down or up), allow_unused=True, materialize_grads=True
    )
    own = grads[len(signals) :]
    for tensor, grad, sign in zip([*down, *up], own, [1.0] * len(down) + [-1.0] * len(up), strict=True):
        tensor.grad = grad * sign if tensor.grad is None else tensor.grad.add_(grad, alpha=sign)
    return dict(zip(signals, grads, strict=False))


def leaves_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return detached copies that require gradients: the plain tensors a matcher sees."""
    return {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}


def backward_through(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Send gradients at training images and labels on to the synthetic parameters behind them."""
    pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if o.requires_grad and g is not None]
    if pairs:
        torch.autograd.backward([o for o, _ in pairs], [g for _, g in pairs])
