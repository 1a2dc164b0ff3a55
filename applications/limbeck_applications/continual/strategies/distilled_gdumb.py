"""GDumb with a distilled memory: after each experience a fresh network learns the memory alone.

Paper: Zhao, Bilen: Dataset Condensation with Distribution Matching (arXiv:2110.04181), section 4.3, which puts
synthetic images in place of the real ones of Prabhu et al.: GDumb (ECCV 2020).
Code: VICO-UoE/DatasetCondensation, CL_DM.py (MIT).
The same: a network from scratch after each experience, SGD whose rate falls once, one augmentation for every memory,
plain top-1 over one head, tested on the classes seen.
Differs: the memory is distilled by any method and kept in any number format; soft labels learn by soft cross-entropy.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from limbeck.data import DataSpec
from limbeck.networks import FunctionalNetwork
from limbeck.training import Epochs, FitResult, StepSchedule, TrainData, accuracy, fit
from limbeck_applications.continual.bridge.batches import augmentation_of
from limbeck_applications.continual.bridge.strategy import diverged, is_finite
from limbeck_applications.continual.settings import Retraining
from limbeck_applications.continual.strategy import Context, FromMemory, Retrained, Row
from limbeck_applications.continual.stream import Stream


class DistilledGDumb(FromMemory):
    """Train a fresh network on the whole memory after each experience."""

    def retrain(self, networks: Sequence[Retrained], context: Context) -> list[Row]:
        """Train and test networks that do not depend on each other; see the base class.

        Raises:
            DivergenceError: a weight of one of them stopped being a finite number; no row of the call is given.
        """
        rows: list[Row] = []
        together = context.retraining.networks_a_call
        for first in range(0, len(networks), together):
            rows += self._together(networks[first : first + together], context)
        return rows

    def _together(self, networks: Sequence[Retrained], context: Context) -> list[Row]:
        stream, started = networks[0].stream, time.perf_counter()
        network = context.build(stream)
        result = trained(network, networks, stream.spec, context.retraining)
        seconds = (time.perf_counter() - started) / len(networks)
        if ruined := sum(not is_finite(state.values()) for state in result.states):
            who = f"'{self.name}'" if len(networks) == 1 else f"{ruined} of {len(networks)} networks of '{self.name}'"
            raise diverged(who, networks[0].position, f"--set retraining.lr={context.retraining.lr / 10:g}")
        pairs = zip(networks, result.states, strict=True)
        return [self._row(network, each, state, seconds) for each, state in pairs]

    def _row(self, network: FunctionalNetwork, each: Retrained, state: dict[str, torch.Tensor], seconds: float) -> Row:
        tested = tested_on(network, state, each.stream)
        memory = each.memory
        return Row(tested, seconds, memory.bytes, memory.stored, memory.distilling)


def trained(network: FunctionalNetwork, networks: Sequence[Retrained], spec: DataSpec, how: Retraining) -> FitResult:
    """Train fresh networks on their memories, all in one call."""
    soft = networks[0].memory.labels.ndim == 2
    return fit(
        network,
        start=[each.seed for each in networks],
        data=[_on(network.device, each) for each in networks],
        lr=how.lr,
        momentum=how.momentum,
        weight_decay=how.weight_decay,
        loss="soft_ce" if soft else "ce",
        budget=Epochs(how.epochs),
        batch_size=how.batch_size,
        schedule=StepSchedule((how.falls_after,), 0.1, reset_momentum=True),
        augmentation=augmentation_of(how.augmentation, spec),
    )


def tested_on(network: FunctionalNetwork, state: dict[str, torch.Tensor], stream: Stream) -> tuple[float, ...]:
    """Return the accuracy on the test images of every experience, in [0, 1]."""
    return tuple(accuracy(network, state, experience.test).overall for experience in stream.experiences)


def _on(device: torch.device, each: Retrained) -> TrainData:
    return TrainData(each.memory.images.to(device), each.memory.labels.to(device))
