"""What a network source promises: weights for every step, and the same after a checkpoint."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import torch
from torch import Tensor

from limbeck.matching import NetworkSource, SourceContext, StepContext
from limbeck.seeding import Generators
from limbeck.testing.cases import CLASSES, SPEC, normal, tiny_data, tiny_network
from limbeck.testing.general import names_its_source
from limbeck.testing.randomness import require_same_twice, same_bits
from limbeck.testing.suite import NotApplicable, Subject, require
from limbeck.training import TrainData

BASE = NetworkSource
IPC, STEPS = 2, 5


class Trial:
    """A network source that is asked for the weights of one step after the other.

    Args:
        subject: the source.
        cache: folder for what outlives a run; an empty one of its own when not given.
    """

    def __init__(self, subject: Subject, cache: Path | None = None) -> None:
        self.cache = cache or Path(tempfile.mkdtemp(prefix="limbeck-"))
        if cache is None:
            weakref.finalize(self, shutil.rmtree, self.cache, ignore_errors=True)
        self.network, self.generators = tiny_network(), Generators(0)
        labels = torch.arange(CLASSES).repeat_interleave(IPC)
        synthetic = TrainData(normal(len(labels), *SPEC.shape, dtype=torch.float32), labels)
        self.source: NetworkSource = subject.make()
        self.source.prepare(
            SourceContext(
                network=self.network,
                ipc=IPC,
                generators=self.generators,
                real=tiny_data(),
                synthetic=lambda: synthetic,
                labels=None,
                augmentation=None,
                cache=self.cache,
            )
        )

    def run(self, first: int, last: int) -> list[dict[str, Tensor]]:
        """Return copies of the weights of steps ``first`` to ``last``, the latter excluded."""
        seen, outer = [], self.source.num_outer
        for step in range(first, last):
            context = StepContext(step // outer, step % outer, outer, step)
            seen.append(_copied(self.source.state(context)))
            self.source.advance(context)
        return seen


def supplies_every_step(subject: Subject) -> None:
    """Every step gets all weights and buffers of the network, finite."""
    trial = Trial(subject)
    outer = trial.source.num_outer
    require(isinstance(outer, int) and outer >= 1, f"num_outer is {outer!r}; it counts steps, 1 or more")
    names = {*trial.network.parameter_names, *trial.network.buffer_names}
    for step, state in enumerate(trial.run(0, STEPS)):
        require(set(state) == names, f"step {step} has {len(state)} tensors, and the network {len(names)}")
        require(all(bool(value.isfinite().all()) for value in state.values()), f"step {step} is not finite")


def is_deterministic(subject: Subject) -> None:
    """The same seed gives the same networks."""
    require_same_twice(lambda: Trial(subject).run(0, STEPS))


def state_survives_a_checkpoint(subject: Subject) -> None:
    """A run continued after any step looks through the same networks, bit for bit."""
    whole = Trial(subject).run(0, STEPS)
    for cut in range(1, STEPS):
        first, second = Trial(subject), Trial(subject)
        first.run(0, cut)
        second.source.load_state_dict(_copied(first.source.state_dict()))
        second.generators.load_state_dict(first.generators.state_dict())
        rest = second.run(cut, STEPS)
        require(same_bits(rest, whole[cut:]), f"after {cut} steps and a checkpoint they differ")


def experts_have_been_everywhere(subject: Subject) -> None:
    """Its experts have finite weights after every epoch, other than those before, and the same whenever asked."""
    trial = Trial(subject)
    there, size = trial.source.trajectories, trial.network.num_parameters
    declared, found = trial.source.has_experts, "none" if there is None else "some"
    require(declared == (there is not None), f"it declares has_experts = {declared} and has {found}")
    if there is None:
        raise NotApplicable("it has no experts")
    require(there.experts >= 1 and there.epochs >= 1, f"{there.experts} experts of {there.epochs} epochs")
    for expert in {0, there.experts - 1}:
        ways = [there.weights(expert, epoch).clone() for epoch in range(there.epochs + 1)]
        wrong = [list(flat.shape) for flat in ways if flat.shape != (size,) or flat.device != trial.network.device]
        require(not wrong, f"weights {wrong[:1]}, and the network has [{size}] on {trial.network.device}")
        require(all(bool(flat.isfinite().all()) for flat in ways), f"weights of expert {expert} are not finite")
        still = [epoch for epoch in range(there.epochs) if torch.equal(ways[epoch], ways[epoch + 1])]
        require(not still, f"expert {expert} does not move in epoch {still[:1]}")
        again = [there.weights(expert, epoch) for epoch in reversed(range(there.epochs + 1))]
        require(same_bits(again[::-1], ways), f"weights of expert {expert} changed")


def teachers_are_whole(subject: Subject) -> None:
    """Trained networks that it knows have all weights and buffers, finite, and are the same whenever asked."""
    trial = Trial(subject)
    found = [_copied(state) for state in trial.source.teachers()]
    if not found:
        raise NotApplicable("it knows no trained networks")
    names = {*trial.network.parameter_names, *trial.network.buffer_names}
    for place, state in enumerate(found):
        require(set(state) == names, f"network {place} has {len(state)} tensors, and the structure {len(names)}")
        require(all(bool(value.isfinite().all()) for value in state.values()), f"network {place} is not finite")
    require(same_bits([_copied(state) for state in trial.source.teachers()], found), "asked twice they differ")


def what_is_kept_changes_nothing(subject: Subject) -> None:
    """What it keeps for other runs leads them through the same networks, bit for bit."""
    first = Trial(subject)
    if not any(first.cache.iterdir()):
        raise NotApplicable("it keeps nothing")
    require(same_bits(Trial(subject, first.cache).run(0, STEPS), first.run(0, STEPS)), "they differ")


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


CHECKS = (
    names_its_source,
    supplies_every_step,
    experts_have_been_everywhere,
    teachers_are_whole,
    what_is_kept_changes_nothing,
    is_deterministic,
    state_survives_a_checkpoint,
)
