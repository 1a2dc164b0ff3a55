"""Trajectory matching: the exact gradient at one step's memory, the truncated one, and the unroll they stand for."""

import pytest
import torch

from limbeck.distillation.batches import StepBatches
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.config import OptimiserSection
from limbeck.matching import Chunks, MatcherContext, Segment, StepContext, TrajectoryMatcher
from limbeck.seeding import Generators, generator
from limbeck.testing.cases import SPEC, tiny_data, tiny_network
from limbeck_plugins.augmentations.dsa import DSA
from limbeck_plugins.formations.flip import Flip
from limbeck_plugins.formations.identity import Identity
from limbeck_plugins.label_projectors.hard import HardLabels
from limbeck_plugins.label_projectors.learned import LearnedLabels

STEP = StepContext(0, 0, 1, 0)
WHOLE, CUT = Chunks(10**6, 10**6), Chunks(2, 3)
FORWARD = Chunks(10**6, 10**6, second_pass="forward_mode")
FORWARD_CUT = Chunks(3, 2, second_pass="forward_mode")
PLANS = {"whole": WHOLE, "cut": CUT, "forward": FORWARD, "forward cut": FORWARD_CUT}


class Along(TrajectoryMatcher):
    """Follow the only expert from its first weights to its last."""

    def segment(self, trajectories, step, generator):
        return Segment(0, 0, trajectories.epochs)


class OneExpert:
    """The weights of one expert, held in memory."""

    def __init__(self, *weights):
        self.experts, self.epochs, self._weights = 1, len(weights) - 1, weights

    def weights(self, expert, epoch):
        return self._weights[epoch]


class GoldenStudents:
    """The golden case's minibatches; everything learned is a leaf."""

    def __init__(self, golden, labels=None):
        self.images = golden.tensors["synthetic"].flatten(0, 1).clone().requires_grad_()
        each = golden.tensors["synthetic"].shape[1]
        hard = torch.arange(golden.classes).repeat_interleave(each)
        self.labels = hard if labels is None else labels.clone().requires_grad_()
        self.rate = golden.tensors["trajectory.student_lr"].clone().requires_grad_()
        self.rows = golden.tensors["trajectory.batches"]

    def students(self, steps, size, relabel=None):
        assert (steps, size) == tuple(self.rows.shape) and relabel is None
        return [lambda rows=rows: (self.images[rows], self.labels[rows]) for rows in self.rows]

    def syn_lr(self):
        return self.rate


def follow(golden, students, chunks, gradient):
    """Return the loss of a golden case, its gradients left on the students' leaves."""
    steps, size = students.rows.shape
    matcher = Along(Along.Options(steps=steps, batch_syn=size, gradient=gradient))
    start = golden.network.flatten(golden.state)
    target = {k.removeprefix("target."): v for k, v in golden.tensors.items() if k.startswith("target.")}
    experts = OneExpert(start, golden.network.flatten(target))
    matcher.prepare(MatcherContext(golden.network, golden.classes, golden.classes, generator(0), 0, 99, experts))
    engine = matcher.engine(golden.network, chunks)
    return engine.accumulate(students, golden.state, STEP, range(golden.classes))


def close(found, expected):
    error = (found.reshape(-1) - expected.reshape(-1)).norm() / expected.norm()
    assert error < 1e-9, f"relative error {error:.1e}"


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("gradient", ["exact", "truncated"])
def test_images_and_rate_get_the_published_gradient(golden, gradient, plan):
    students = GoldenStudents(golden)
    close(follow(golden, students, PLANS[plan], gradient), golden.tensors["trajectory.loss"])
    close(students.images.grad, golden.tensors[f"trajectory.{gradient}.image_grad"])
    if gradient == "exact":
        close(students.rate.grad, golden.tensors["trajectory.exact.lr_grad"])


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("gradient", ["exact", "unrolled"])
def test_soft_labels_get_the_published_gradient_too(golden, gradient, plan):
    students = GoldenStudents(golden, golden.tensors["trajectory.soft.labels"])
    close(follow(golden, students, PLANS[plan], gradient), golden.tensors["trajectory.soft.loss"])
    close(students.images.grad, golden.tensors["trajectory.soft.image_grad"])
    close(students.labels.grad, golden.tensors["trajectory.soft.label_grad"])
    close(students.rate.grad, golden.tensors["trajectory.soft.lr_grad"])


def test_the_truncated_gradient_is_another_one(golden):
    exact, truncated = (golden.tensors[f"trajectory.{name}.image_grad"] for name in ("exact", "truncated"))
    assert (exact - truncated).norm() / exact.norm() > 0.1


def test_every_golden_tensor_of_the_trajectory_is_compared(golden):
    found = {key for key in golden.tensors if key.startswith("trajectory.")}
    compared = {"loss", "student_lr", "batches", "exact.image_grad", "exact.lr_grad", "truncated.image_grad"}
    soft = {f"soft.{name}" for name in ("labels", "loss", "image_grad", "label_grad", "lr_grad")}
    assert found == {f"trajectory.{name}" for name in compared | soft}
