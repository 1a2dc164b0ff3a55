"""TAS: widths and depths learned by gradients in one network that holds them all, then a result taught by the largest.

Paper: Dong and Yang, "Network Pruning via Transformable Architecture Search" (arXiv:1905.09717). Public code:
AutoDL-Projects (MIT). Written from the paper; see ``transformable``, ``supernet`` and ``sizes``.

What is the same: a cost is asked for as a share of that of the largest network, within 5 %; weights and sizes learn on
two halves of the images; the result is trained with knowledge from the largest network, (1 - a) CE + a T^2 KL with
a = 0.9 and T = 4. What differs: the space is chains; where the likeliest sizes miss the cost, the likeliest that meet
it are taken; and the result is scored as every other searcher's, trained without the teacher. Its accuracy with the
teacher, and the teacher's, stand in the notes, since both had more training than a score has.

A search spends what other searchers spend: the images of a training go through networks once for each evaluation that
it may make. The score of the result takes one, teaching three (the teacher's training, its judgement, the student's
training), and all others are left to the network that holds all sizes. ``image_passes`` of the notes counts them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field

from limbeck.errors import UsageError
from limbeck.execution.device import threads_that_pay
from limbeck.networks import FunctionalNetwork, State
from limbeck.options import Options as OptionsBase
from limbeck.training import Teacher, accuracy
from limbeck_applications.nas.candidates.job import network_of
from limbeck_applications.nas.proxies.trained import Lesson, TrainedProxy
from limbeck_applications.nas.searcher import Lab, Plan, Searcher
from limbeck_applications.nas.searchers.tas.aim import Aim
from limbeck_applications.nas.searchers.tas.supernet import Course, Supernet, updates_worth
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.staged import StagedSpace
from limbeck_applications.nas.training import trained

KEPT = 20
"""Times that the training of the sizes is kept."""

TAUGHT = 3
"""Trainings' worth of images that teaching takes."""

LEAST = 4
"""Images from which each half has two, as batch norm needs them."""


class Tas(Searcher):
    """Learns widths and depths for a number of FLOPs; all chains of the space's first norm and kernel."""

    class Options(OptionsBase):
        """The cost of the result, and how its sizes are learned."""

        flops: float = Field(0.5, gt=0, le=1, description="FLOPs of the result, as a share of the largest network's")
        tolerance: float = Field(
            0.05, gt=0, lt=1, description="how far FLOPs may be off, as a share of those asked for"
        )
        updates: int | None = Field(
            None, ge=1, description="of weights and of sizes; as many as the evaluations are worth when null"
        )
        lr: float = Field(0.05, gt=0, description="learning rate of the weights that all sizes share")
        sizes_lr: float = Field(0.02, gt=0, description="learning rate of the sizes")
        penalty: float = Field(2.0, ge=0, description="weight of the cost where it is not what was asked for")
        teach: bool = Field(True, description="whether the result is also trained with the largest network's knowledge")
        alpha: float = Field(0.9, ge=0, le=1, description="share of the teacher in the loss")
        temperature: float = Field(4.0, gt=0, description="temperature of the teacher's and the student's logits")

    def check(self, plan: Plan) -> None:
        """Refuse a space without such sizes or such a cost, a proxy without images to train on, and few evaluations.

        Raises:
            UsageError: says which it must be.
        """
        space, proxy = plan.space, plan.proxy
        if not isinstance(space, StagedSpace):
            raise UsageError(
                f"searcher 'tas' learns widths and depths of stages, as the space 'chains' has them and '{space.name}' "
                "has not: --space chains."
            )
        if not isinstance(proxy, TrainedProxy):
            raise UsageError(
                f"searcher 'tas' trains on a proxy's images, but proxy '{proxy.name}' trains no networks: give one "
                "that does, such as --proxy distilled."
            )
        Aim(plan, self.options.flops, self.options.tolerance).require()
        least = _least(self.options, proxy)
        if self.options.updates is None and plan.evaluations < least:
            raise _too_few(plan.evaluations, least)

    def search(self, lab: Lab) -> None:
        """Learn the sizes, and score what comes of it.

        Raises:
            UsageError: there are too few images.
        """
        Sizing(lab, self.options).run()


class Sizing:
    """One search.

    Args:
        lab: where it works.
        options: of the searcher.
    """

    def __init__(self, lab: Lab, options: Tas.Options) -> None:
        assert isinstance(lab.space, StagedSpace) and isinstance(lab.proxy, TrainedProxy)
        self.lab, self.space, self.proxy, self.options = lab, lab.space, lab.proxy, options
        self.device = lab.problem.device
        self.aim = Aim(lab, options.flops, options.tolerance)

    def run(self) -> None:
        """Learn the sizes, teach the result, and score it."""
        if not self.lab.remaining:
            return
        lesson = self.proxy.lesson(self.lab.prepared, self.device)
        learned = self._learned(lesson)
        found = learned.likeliest
        assert found.within is not None
        architecture = self.aim.grid.architecture(self.space, found.within)
        one = _passes(lesson)
        passes = learned.images + one * self.proxy.options.networks
        notes: dict[str, Any] = {
            "target_flops": round(self.aim.target),
            "likeliest": found.within == found.mode,
            "updates": learned.done,
        }
        if self.options.teach:
            notes |= self._taught(lesson, architecture)
            passes += TAUGHT * one
        self.lab.score([architecture], **notes, image_passes=passes)

    def _learned(self, lesson: Lesson) -> Supernet:
        """Train the network that holds all sizes, or go on with it."""
        options, lab = self.options, self.lab
        if len(lesson.data) < LEAST:
            raise UsageError(
                f"searcher 'tas' needs {LEAST} images or more to learn from, but proxy '{self.proxy.name}' has "
                f"{len(lesson.data)}: give it a larger ipc."
            )
        updates = options.updates or self._updates(lesson)
        numbers = (options.lr, options.sizes_lr, options.penalty, *self.aim.window)
        learned = Supernet(self.aim.grid, lesson, Course(updates, *numbers, self._seed("supernet")), self.device)
        kept = lab.kept("supernet")
        if kept is not None:
            learned.restore(kept)
        every = max(1, updates // KEPT)

        def told() -> None:
            lab.tell(learned.done, updates, "sizes")
            if learned.done % every == 0 or learned.done == updates:
                lab.keep("supernet", learned.checkpoint())

        with threads_that_pay(self._network(self.aim.largest).largest_activation(), self.device):
            learned.run(told)
        return learned

    def _updates(self, lesson: Lesson) -> int:
        """Return as many updates as the evaluations are worth, less what scoring and teaching take."""
        one, options = _passes(lesson), self.options
        scored = one * self.proxy.options.networks
        left = (self.lab.remaining - 1) * scored - (TAUGHT * one if options.teach else 0)
        updates = updates_worth(len(lesson.data), lesson.training.batch_size, left)
        if updates < 1:
            raise _too_few(self.lab.remaining, max(self.lab.remaining + 1, _least(options, self.proxy)))
        return updates

    def _taught(self, lesson: Lesson, architecture: Architecture) -> dict[str, float]:
        """Train the result with the largest network's knowledge; return the accuracies of both on images kept aside."""
        large, small = self._network(self.aim.largest), self._network(architecture)
        teacher = self._trained("teacher", large, lesson)
        knowledge = Teacher(large, teacher, self.options.alpha, self.options.temperature)
        student = self._trained("taught", small, lesson, knowledge)
        aside = self.lab.problem.validation.seen_as(lesson.spec)
        with threads_that_pay(large.largest_activation(), self.device):
            return {
                "teacher": accuracy(large, teacher, aside).overall,
                "taught": accuracy(small, student, aside).overall,
            }

    def _trained(self, name: str, network: FunctionalNetwork, lesson: Lesson, teacher: Teacher | None = None) -> State:
        """Train a network as the proxy does, or take the one that was kept."""
        kept = self.lab.kept(name)
        if kept is not None:
            return {key: value.to(self.device) for key, value in kept.items()}
        self.lab.tell(0, 1, name)
        with threads_that_pay(network.largest_activation(), self.device):
            result = trained(
                network,
                [self._seed(name)],
                lesson.data,
                lesson.spec,
                lesson.training,
                labels=lesson.labels,
                teacher=teacher,
            )
        self.lab.keep(name, result.states[0])
        self.lab.tell(1, 1, name)
        return result.states[0]

    def _network(self, architecture: Architecture) -> FunctionalNetwork:
        return network_of(self.space, architecture, self.lab.problem.spec, self.device)

    def _seed(self, owner: str) -> int:
        return int(torch.randint(2**62, (), generator=self.lab.generator("tas", owner)))


def _passes(lesson: Lesson) -> int:
    """Return how many images go through a network in one training."""
    training, size = lesson.training, len(lesson.data)
    return training.epochs * size if training.updates is None else training.updates * training.batch_size


def _least(options: Tas.Options, proxy: TrainedProxy) -> int:
    """Return the evaluations that leave one training's worth of images to the sizes, which has an update or more.

    A training of less than two batches may take more of them.
    """
    return 1 + math.ceil(((TAUGHT if options.teach else 0) + 1) / int(proxy.options.networks))


def _too_few(evaluations: int, least: int) -> UsageError:
    return UsageError(
        f"{evaluations} evaluations are too few for searcher 'tas', which spends them on learning sizes: give "
        f"--evaluations {least} or more, or say how much with its option 'updates'."
    )
