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

from limbeck.augment import Augmentation
from limbeck.data import DataSpec
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.training import Epochs, FitResult, StepSchedule, TrainData, accuracy, fit
from limbeck_applications.continual.settings import Retraining
from limbeck_applications.continual.strategy import Context, FromMemory, Retrained, Row
from limbeck_applications.continual.stream import Stream


class DistilledGDumb(FromMemory):
    """Train a fresh network on the whole memory after each experience."""

    def retrain(self, networks: Sequence[Retrained], context: Context) -> list[Row]:
        """Train and test networks that do not depend on each other; see the base class."""
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
        pairs = zip(networks, result.states, strict=True)
        return [self._row(network, each, state, seconds) for each, state in pairs]

    def _row(self, network: FunctionalNetwork, each: Retrained, state: dict[str, torch.Tensor], seconds: float) -> Row:
        tested = tested_on(network, state, each.stream)
        memory = each.memory
        return Row(tested, seconds, memory.bytes, memory.stored, memory.distilling)


def trained(network: FunctionalNetwork, networks: Sequence[Retrained], spec: DataSpec, how: Retraining) -> FitResult:
    """Train fresh networks on their memories, all in one call."""
    soft = networks[0].memory.labels.ndim == 2
    milestone = how.milestone or (how.epochs + 3) // 2  # as of a loop over epochs - 1 that makes one pass more
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
        schedule=StepSchedule((milestone,), 0.1, reset_momentum=True),
        augmentation=augmentation_of(how, spec),
    )


def tested_on(network: FunctionalNetwork, state: dict[str, torch.Tensor], stream: Stream) -> tuple[float, ...]:
    """Return the accuracy on the test images of every experience, in [0, 1]."""
    return tuple(accuracy(network, state, experience.test).overall for experience in stream.experiences)


def augmentation_of(how: Retraining, spec: DataSpec) -> Augmentation | None:
    """Return the augmentation of a memory's images, fit for the data, or none."""
    if how.augmentation is None:
        return None
    made: Augmentation = registry().create("augmentations", how.augmentation.model_dump())
    return made.for_data(spec)


def _on(device: torch.device, each: Retrained) -> TrainData:
    return TrainData(each.memory.images.to(device), each.memory.labels.to(device))
