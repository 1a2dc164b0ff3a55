"""The one trainer: everything in Limbeck that trains a network calls ``fit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from limbeck.augment.base import Augmentation
from limbeck.errors import UsageError
from limbeck.networks.functional import FunctionalNetwork, State
from limbeck.synthetic.labels import LabelProjector
from limbeck.training.arguments import make_streams, make_tasks, per_network, start_state
from limbeck.training.data import Samples
from limbeck.training.losses import Loss, MaskNorm, Objective
from limbeck.training.metrics import Accuracy, accuracy
from limbeck.training.schedule import Budget, Constant, Schedule
from limbeck.training.sharpness import Sharpness
from limbeck.training.single import Training
from limbeck.training.stackable import groups, is_worth_trying, may_stack
from limbeck.training.stacked import Stack
from limbeck.training.task import Optimiser, Settings, Streams
from limbeck.training.teacher import Teacher


@dataclass(frozen=True)
class Snapshot:
    """One network at one moment.

    Attributes:
        step: updates made so far.
        state: its weights and buffers then.
        metrics: its accuracy on each evaluation set, where that was asked for.
    """

    step: int
    state: State
    metrics: dict[str, Accuracy] = field(default_factory=dict)


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` returns; every list has one entry per network.

    Attributes:
        states: weights and buffers at the end.
        losses: mean training loss of each finished pass, [epochs], on the device.
        metrics: accuracy on each evaluation set at the end.
        snapshots: the moments asked for, in order; a resumed training has those after its resumption.
        checkpoint: named tensors from which ``fit(resume_from=...)`` goes on to a longer budget.
    """

    states: list[State]
    losses: list[Tensor]
    metrics: list[dict[str, Accuracy]]
    snapshots: list[list[Snapshot]]
    checkpoint: dict[str, Tensor]


@dataclass(frozen=True)
class Progress:
    """A pass has ended; given to ``on_epoch``.

    Attributes:
        network: which of the networks, counted from 0.
        epoch: its finished passes.
        step: its updates.
        loss: mean training loss of the pass, a scalar left on the device.
        state: its weights and buffers, not copied: read them now.
        checkpoint: returns copies of all that ``resume_from`` needs, the finished networks included.
    """

    network: int
    epoch: int
    step: int
    loss: Tensor
    state: State
    checkpoint: Callable[[], dict[str, Tensor]]


def fit(
    network: FunctionalNetwork,
    *,
    start: Sequence[int] | Sequence[State],
    data: Samples | Sequence[Samples],
    lr: float | Sequence[float],
    budget: Budget,
    labels: Tensor | LabelProjector | None = None,
    sample_weights: Tensor | None = None,
    mask_norm: MaskNorm = "constant",
    class_mask: Tensor | None = None,
    weight_decay: float | Sequence[float] = 0.0,
    momentum: float = 0.0,
    loss: Loss = "ce",
    temperature: float = 1.0,
    batch_size: int = 256,
    chunk: int | None = None,
    optimiser: Optimiser = "sgd",
    schedule: Schedule = Constant(),  # noqa: B008  (frozen)
    sharpness: float | Sharpness | None = None,
    clip: float | None = None,
    teacher: Teacher | None = None,
    augmentation: Augmentation | None = None,
    order: Literal["independent", "shared"] = "independent",
    order_seed: int = 0,
    seeds: Sequence[int] | None = None,
    generators: Sequence[Streams] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    snapshots: Literal["epoch"] | Sequence[int] | None = None,
    eval_sets: Mapping[str, Samples] | None = None,
    eval_snapshots: bool = False,
    resume_from: FitResult | Mapping[str, Tensor] | None = None,
    on_epoch: Callable[[Progress], None] | None = None,
    stacked: bool | None = False,
) -> FitResult:
    """Train K networks of one structure, each independent of the others.

    A network's result depends on its own seed (or start state and generators) and data alone, never on K.
    Nothing is drawn from PyTorch's global generator, and no step waits for the device.

    Args:
        network: the structure, the same for all.
        start: one seed per network, which names the generators of its initial weights, its order and its
            augmentation; or one state per network, copied.
        data: one set for all, or one per network: ``TrainData``, a real set, anything with its three methods.
        lr: learning rate, one for all or one per network.
        budget: ``Steps(n)`` updates or ``Epochs(n)`` passes; a pass visits every sample once in a fresh order
            and keeps its last partial batch.
        labels: the data's own by default; else classes int64 [N] or [K, N], targets [N, C] or [K, N, C], or a
            projector that is asked for each batch.
        sample_weights: [N] or [K, N], 0/1 masks or any real numbers. A sample of weight 0 adds nothing to the
            loss but still takes its place in the batch and in batch norm's statistics.
        mask_norm: a batch's weighted sum of losses is divided by its size (``constant``) or by the sum of its
            weights (``sum``).
        class_mask: bool [C] or [K, C]; classes that are False leave the softmax and the predictions.
        weight_decay: L2 coefficient (decoupled for adamw), one for all or one per network.
        momentum: of sgd; adam and adamw keep PyTorch's (0.9, 0.999).
        loss: ``ce``, ``soft_ce``, ``kl`` or ``mse``; see ``losses.sample_losses``.
        temperature: divides the logits before the softmax.
        batch_size: samples an update.
        chunk: samples a pass: larger batches are cut, which saves memory and changes the gradient by rounding only
            (and dropout, whose masks are drawn pass by pass). Batch norm needs its batch whole: a network that has it
            is never cut.
        optimiser: PyTorch's optimiser of that name.
        schedule: the learning rate's course, counted in the budget's unit.
        sharpness: radius of sharpness-aware minimisation (arXiv:2010.01412), which costs a second pass; or a
            ``Sharpness``, which also knows the adaptive radius and the surrogate gap.
        clip: largest L2 norm of the whole gradient.
        teacher: a trained network that all of them learn from beside the labels (knowledge distillation); a training
            that is resumed is given it again.
        augmentation: one operation a batch with parameters of its own per image.
        order: ``independent``: each network's order comes from its own generator; ``shared``: all see the
            same batches, drawn from ``order_seed``.
        order_seed: owner of the shared order.
        seeds: one per network, owner of its order and augmentation; the start seeds by default.
        generators: in place of seeds, one pair per network (``.train`` for the order, ``.augment``), which
            the training moves on.
        device: where to train; the network's by default.
        dtype: type of weights and images, the network's by default; ``torch.bfloat16`` is mixed precision:
            weights, loss and update stay in the network's type.
        snapshots: ``"epoch"`` for the start and the end of each pass, or numbers of updates (0: the start).
        eval_sets: sets by name on which each network is tested at the end, in eval mode.
        eval_snapshots: test every snapshot as well.
        resume_from: an earlier result, or what ``Progress.checkpoint`` returned, of the same call; the budget
            may have grown.
        on_epoch: called after every pass of every network.
        stacked: whether networks advance together, which changes results by rounding only and makes small networks on
            a GPU faster; None: where that pays and can be done, see ``training.stacked``.

    Raises:
        UsageError: arguments that contradict each other or the number of networks.
        DataError: labels, weights or masks that do not fit the data.
    """
    count = len(start)
    place, kind = torch.device(device or network.device), dtype or network.dtype
    objective, flat = Objective(loss, temperature, mask_norm), Sharpness.of(sharpness)
    tasks = make_tasks(count, data, labels, sample_weights, class_mask, augmentation, place)
    streams = make_streams(tasks, start, seeds, generators, order, order_seed, place)
    rates, decays = per_network("lr", lr, count), per_network("weight_decay", weight_decay, count)
    taught_by = None if teacher is None else teacher.of(network, place)
    run = _Run(network, snapshots, dict(eval_sets or {}), eval_snapshots, on_epoch)
    saved = resume_from.checkpoint if isinstance(resume_from, FitResult) else resume_from or {}

    def training(position: int) -> Training:
        how = (budget, batch_size, objective, optimiser, momentum, schedule, flat, clip, place, kind, chunk, taught_by)
        settings = Settings(rates[position], decays[position], *how)
        return Training(network, start_state(network, start[position]), tasks[position], settings, streams[position])

    if count > 1 and is_worth_trying(stacked, place):
        members = {position: training(position) for position in range(count)}
        if may_stack(list(members.values()), is_asked=bool(stacked)):
            run.train(members, saved)
            return run.result
    for position in range(count):
        run.train({position: training(position)}, saved)
    return run.result


class _Run:
    """The networks of one call, one after another or together."""

    def __init__(
        self,
        network: FunctionalNetwork,
        snapshots: Literal["epoch"] | Sequence[int] | None,
        eval_sets: dict[str, Samples],
        eval_snapshots: bool,
        on_epoch: Callable[[Progress], None] | None,
    ) -> None:
        self.network, self.snapshots, self.eval_sets = network, snapshots, eval_sets
        self.eval_snapshots, self.on_epoch = eval_snapshots, on_epoch
        self.result = FitResult([], [], [], [], {})
        self.taken: dict[int, list[Snapshot]] = {}

    def train(self, members: Mapping[int, Training], saved: Mapping[str, Tensor]) -> None:
        """Train networks to the end of their budget, those at the same update together, and add them to the result."""
        self.taken = {position: self._beginning(position, training, saved) for position, training in members.items()}
        for group in groups(members):
            self._advance({position: members[position] for position in group}, members)
        for position, training in members.items():
            self._finish(position, training)

    def _beginning(self, position: int, training: Training, saved: Mapping[str, Tensor]) -> list[Snapshot]:
        """Put a network where it was left, if it was; return the snapshot of the start where that is wanted."""
        wanted, prefix = self._moments(training), f"{position}."
        own = {key.removeprefix(prefix): value for key, value in saved.items() if key.startswith(prefix)}
        if own:
            training.restore(own)
        return [self._snapshot(training)] if 0 in wanted and not own else []

    def _advance(self, group: Mapping[int, Training], members: Mapping[int, Training]) -> None:
        lead = next(iter(group.values()))
        wanted = self._moments(lead)
        stack = Stack(list(group.values())) if len(group) > 1 else None
        while lead.step < lead.total:
            (stack or lead).advance()
            is_told = self.on_epoch is not None and lead.is_between_epochs
            if stack is not None and (lead.step in wanted or is_told or lead.step == lead.total):
                stack.settle()
            for position, training in group.items():
                if training.step in wanted:
                    self.taken[position].append(self._snapshot(training))
                if self.on_epoch is not None and is_told:
                    self.on_epoch(self._progress(position, training, members))

    def _finish(self, position: int, training: Training) -> None:
        result = self.result
        result.states.append(training.state())
        result.losses.append(training.loss_history())
        result.metrics.append(self._test(training))
        result.snapshots.append(self.taken[position])
        result.checkpoint.update(_prefixed(f"{position}.", training.checkpoint()))

    def _progress(self, position: int, training: Training, members: Mapping[int, Training]) -> Progress:
        def checkpoint() -> dict[str, Tensor]:
            saved = dict(self.result.checkpoint)
            for place, own in members.items():
                if own.step:
                    saved.update(_prefixed(f"{place}.", own.checkpoint()))
            return saved

        return Progress(
            network=position,
            epoch=training.epoch,
            step=training.step,
            loss=training.losses[-1],
            state=training.state(),
            checkpoint=checkpoint,
        )

    def _moments(self, training: Training) -> set[int]:
        if self.snapshots == "epoch":
            return set(range(0, training.total + 1, training.steps_per_epoch))
        moments = set(self.snapshots or ())
        if moments and max(moments) > training.total:
            asked, end = max(moments), training.total
            raise UsageError(f"a snapshot after step {asked} was asked for, but the budget ends at {end}.")
        return moments

    def _snapshot(self, training: Training) -> Snapshot:
        state = {name: value.clone() for name, value in training.state().items()}
        return Snapshot(training.step, state, self._test(training) if self.eval_snapshots else {})

    def _test(self, training: Training) -> dict[str, Accuracy]:
        mask, dtype = training.task.class_mask, training.settings.dtype
        return {
            name: accuracy(self.network, training.state(), data, class_mask=mask, dtype=dtype)
            for name, data in self.eval_sets.items()
        }


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in tensors.items()}
