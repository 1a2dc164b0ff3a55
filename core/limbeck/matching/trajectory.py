"""The trajectory family: students of the synthetic set end where experts of the real set do.

An expert is a network trained on real images, whose weights are kept after every epoch. A student starts at its
weights w_0 after epoch t and takes N steps of plain SGD on minibatches of the synthetic set; the loss is what is left
of the way to the expert's weights w* some epochs later (arXiv:2203.11932, eq. 2):

    L = |w_N - w*|^2 / |w_0 - w*|^2,        w_{i+1} = w_i - a g_i,        g_i = grad_w CE(x_i, y_i; w_i).

Only the weights w_0 ... w_N are kept. With l_N = dL/dw_N = 2 (w_N - w*) / |w_0 - w*|^2, going backwards,

    s_i = <g_i, l_{i+1}>,    dL/dx_i = -a ds_i/dx_i,    dL/dy_i = -a ds_i/dy_i,    dL/da = -sum_i s_i,
    l_i = l_{i+1} - a ds_i/dw_i,

which is the gradient through the whole unroll at the memory of one step. Leaving out the last line gives the gradient
of TESLA (arXiv:2211.10586, section 4), which takes every step's weights for constant.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck.errors import PluginError, UsageError
from limbeck.matching.base import (
    Batches,
    Chunks,
    Engine,
    Matcher,
    MatcherContext,
    Minibatch,
    Relabelling,
    StepContext,
    Trajectories,
    backward_through,
)
from limbeck.matching.teacher import Teacher
from limbeck.matching.weight_gradients import Slope, WeightGradients, joined, leaf_inputs, load_forward_rules
from limbeck.networks import FunctionalNetwork, State
from limbeck.options import Options
from limbeck.seeding import generator


@dataclass(frozen=True)
class Segment:
    """A piece of an expert's way.

    Attributes:
        expert: which of them, from 0.
        start: the epoch after which the student starts.
        end: the epoch after which the expert's weights are the student's aim.
    """

    expert: int
    start: int
    end: int


class TrajectoryMatcher(Matcher):
    """Base of matchers that send students along experts' ways. Write ``segment``.

    Write ``labels`` where students learn from other labels than the set's, such as the expert's own.
    """

    family: ClassVar[str] = "trajectory"

    class Options(Options):
        """How students learn, and how their steps are differentiated."""

        steps: int = Field(20, ge=1, description="updates of a student, N")
        batch_syn: int | None = Field(
            None, ge=1, description="synthetic images of an update, drawn pass by pass; all when not given"
        )
        gradient: Literal["exact", "truncated", "unrolled"] = Field(
            "exact",
            description="exact: the whole gradient at the memory of one update; truncated: every update's weights "
            "taken for constant, as published to save memory; unrolled: exact, all updates in memory at once",
        )
        threshold: float | None = Field(
            None, gt=0, description="a step whose loss is above this moves nothing; none when not given"
        )

    trajectories: Trajectories
    _seed: int

    @classmethod
    def joins_groups(cls) -> bool:
        """Students learn from all groups at once."""
        return True

    def prepare(self, context: MatcherContext) -> None:
        """Take up the experts.

        Raises:
            UsageError: there are none, or the set has fewer images than an update takes.
        """
        if self.relabels() and context.network.couples_samples:
            raise UsageError(
                f"labels by experts need the statistics of '{context.network.name}' 's batch norm, which experts' "
                "weights do not hold. Leave out matcher.teacher_labels, or use instance norm (-in)."
            )
        if context.trajectories is None:
            raise UsageError(f"matcher '{self.name}' follows experts, and its source has none. Type source=experts.")
        asked, there = self.options.batch_syn, context.num_images
        if asked is not None and asked > there:
            raise UsageError(
                f"matcher.batch_syn={asked} asks for more images than the set of {there} training images has. Lower "
                "it, or leave it out to take all of them in every update."
            )
        self.trajectories, self._seed = context.trajectories, context.seed

    @abstractmethod
    def segment(self, trajectories: Trajectories, step: StepContext, generator: torch.Generator) -> Segment:
        """Choose the expert, and where the student starts and should end.

        Args:
            trajectories: the experts.
            step: where the run stands.
            generator: owner of the draw, on the CPU; its own for every step.
        """

    def labels(self, images: Tensor, labels: Tensor, target: Teacher) -> Tensor:
        """Return what students learn for some images, the set's labels unless overridden.

        Args:
            images: training images before augmentation, [m, ch, h, w].
            labels: the set's, class ids [m] or probabilities [m, C].
            target: the expert at the end of the segment.

        Returns:
            Class ids [m], or probabilities [m, C], which are taken for constant.
        """
        return labels

    def relabels(self) -> bool:
        """Tell whether students learn other labels than the set's; where ``labels`` is overridden, unless you say."""
        return type(self).labels is not TrajectoryMatcher.labels

    def engine(self, network: FunctionalNetwork, chunks: Chunks) -> Engine:
        """Return the trajectory engine."""
        return TrajectoryEngine(self, network, chunks)

    def drawn(self, step: StepContext) -> Segment:
        """Return the segment of a step, checked against the experts there are.

        Raises:
            UsageError: it ends beyond the epochs that experts were trained for.
            PluginError: it is no piece of any expert's way.
        """
        there = self.trajectories
        segment = self.segment(there, step, generator(self._seed, "segment", step.step))
        if segment.end > there.epochs:
            raise UsageError(
                f"matcher '{self.name}' aims at the weights after epoch {segment.end}, but the experts were trained "
                f"for {there.epochs}. Train them for longer, source.epochs={segment.end}, or start students earlier."
            )
        if not (0 <= segment.start < segment.end and 0 <= segment.expert < there.experts):
            raise PluginError(
                f"matcher '{self.name}' chose {segment}: start at 0 or later and end after that, with an expert below "
                f"{there.experts}."
            )
        return segment


class TrajectoryEngine(Engine):
    """Gradients of the trajectory loss with respect to images, labels and the students' learning rate."""

    needs_state: ClassVar[bool] = False

    def __init__(self, matcher: TrajectoryMatcher, network: FunctionalNetwork, chunks: Chunks) -> None:
        super().__init__(network, chunks)
        self.matcher = matcher
        self.gradients = WeightGradients(network, network.parameter_names, batch_norm="batch")
        if chunks.second_pass == "forward_mode":
            load_forward_rules()

    def accumulate(self, batches: Batches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Send a student along one expert's way, and the gradient of what is left of it to all that is learned."""
        options, segment = self.matcher.options, self.matcher.drawn(step)
        start, target = (self._weights(segment.expert, epoch) for epoch in (segment.start, segment.end))
        minibatches = batches.students(options.steps, options.batch_syn, self._relabelling(target))
        way, rate = (start - target).square().sum(), batches.syn_lr()
        if options.gradient == "unrolled":
            loss = (self._unroll(minibatches, start, rate) - target).square().sum() / way
            if self._counts(loss, step):
                torch.autograd.backward(loss)
            return self._told(loss.detach())
        weights = self._walk(minibatches, start, rate.detach())
        left = weights[-1] - target
        loss = left.square().sum() / way
        if self._counts(loss, step):
            self._back(minibatches, weights, 2 * left / way, rate)
        return self._told(loss)

    @property
    def refusal(self) -> str:
        """An unroll keeps all updates of a student, whatever a pass holds."""
        return "matcher.gradient=unrolled" if self.matcher.options.gradient == "unrolled" else ""

    def _counts(self, loss: Tensor, step: StepContext) -> bool:
        """Whether a step with this loss moves anything; only a threshold makes the host wait for it."""
        threshold: float | None = self.matcher.options.threshold
        return threshold is None or step.is_trial or float(loss.detach()) <= threshold

    def _told(self, loss: Tensor) -> Tensor:
        """Return the loss as it is logged: the threshold for a student that got lost, in a step that moved nothing."""
        threshold: float | None = self.matcher.options.threshold
        return loss if threshold is None else loss.nan_to_num(nan=threshold, posinf=threshold)

    def _walk(self, minibatches: Sequence[Minibatch], start: Tensor, rate: Tensor) -> Tensor:
        """Return the student's weights before its first update and after each, [N + 1, P]."""
        weights = start.new_empty(len(minibatches) + 1, len(start))
        weights[0] = start
        for place, minibatch in enumerate(minibatches):
            with torch.no_grad():
                images, labels = minibatch()
            torch.sub(weights[place], rate * self._gradient(weights[place], images, labels), out=weights[place + 1])
        return weights

    def _back(self, minibatches: Sequence[Minibatch], weights: Tensor, slope: Tensor, rate: Tensor) -> None:
        """Go back over the updates from ``slope``, the loss's gradient [P] at the last weights."""
        is_exact, alpha, along = self.matcher.options.gradient == "exact", rate.detach(), []
        for place in reversed(range(len(minibatches))):
            images, labels = minibatches[place]()
            onward = is_exact and place > 0
            found = self._second(weights[place], images.detach(), labels.detach(), slope, onward)
            at_labels = None if found.labels is None else -alpha * found.labels
            backward_through([images, labels], [-alpha * found.images, at_labels])
            along.append(found.value)
            if onward:
                slope = slope - alpha * self.network.flatten(found.weights)
        backward_through([rate], [-torch.stack(along).sum()])

    def _unroll(self, minibatches: Sequence[Minibatch], start: Tensor, rate: Tensor) -> Tensor:
        """Return the student's last weights [P] with the graph of all its updates."""
        weights = start.detach().requires_grad_()
        for minibatch in minibatches:
            images, labels = minibatch()
            loss = self.gradients.loss(self.network.unflatten(weights), images, labels, len(images))
            weights = weights - rate * torch.autograd.grad(loss, weights, create_graph=True)[0]
        return weights

    def _gradient(self, weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient [P] of the mean cross-entropy, a chunk of the images at a time."""
        state, total = self.network.unflatten(weights), len(images)
        found = torch.zeros_like(weights)
        for part in self._parts(total, self.chunks.real):
            found += self.network.flatten(self.gradients.of_batch(state, images[part], labels[part], total))
        return found

    def _second(self, weights: Tensor, images: Tensor, labels: Tensor, along: Tensor, onward: bool) -> Slope:
        """Return <g, along> of images and its derivatives, a chunk at a time; at the weights only if ``onward``."""
        state, direction = self.network.unflatten(weights), self.network.unflatten(along)
        total, way = len(images), self.chunks.second_pass
        if way == "forward_mode":
            self.gradients.require_forward_mode()
        is_forward = way == "forward_mode" or (way == "auto" and self.gradients.has_rules())
        second = self.gradients.forward_mode if is_forward else self.gradients.double_backward
        parts = self._parts(total, self.chunks.synthetic)
        return joined(
            second(state, leaf_inputs(images[part], labels[part]), total, direction, weights=onward) for part in parts
        )

    def _parts(self, total: int, size: int) -> list[slice]:
        """Cut a batch into passes of much the same size; never where its samples depend on each other."""
        passes = 1 if self.network.couples_samples else math.ceil(total / size)
        ends = [total * number // passes for number in range(passes + 1)]
        return [slice(first, last) for first, last in pairwise(ends)]

    def _weights(self, expert: int, epoch: int) -> Tensor:
        return self.matcher.trajectories.weights(expert, epoch).to(self.network.dtype)

    def _relabelling(self, target: Tensor) -> Relabelling | None:
        """Return what gives students their labels, or None where those are the set's."""
        if not self.matcher.relabels():
            return None
        teacher = Teacher(self.network, self.network.unflatten(target))

        def relabel(images: Tensor, labels: Tensor) -> Tensor:
            with torch.no_grad():
                parts = self._parts(len(images), self.chunks.real)
                return torch.cat([self.matcher.labels(images[part], labels[part], teacher) for part in parts])

        return relabel
