"""Trajectory matching: the exact gradient at one step's memory, the truncated one, and the unroll they stand for."""

from types import SimpleNamespace

import pytest
import torch

from limbeck.config import OptimiserSection
from limbeck.distillation.batches import StepBatches
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.errors import UsageError
from limbeck.matching import Chunks, MatcherContext, Segment, StepContext, TrajectoryMatcher
from limbeck.networks import FunctionalNetwork
from limbeck.seeding import Generators, generator
from limbeck.synthetic import ProjectorContext
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


class Setting:
    """Students of a small set that see it augmented, some images more often than others, as a run makes them."""

    def __init__(self, *, mirrored=False, soft=False, teacher=False):
        self.network = tiny_network(torch.float64)
        group = torch.arange(3).repeat_interleave(3)
        images = torch.randn(9, *SPEC.shape, generator=generator(0, "images"), dtype=torch.float64)
        section = OptimiserSection(syn_lr=0.05, lr_lr=1e-5)
        self.parameters = SyntheticParameters(images, group, group, num_groups=3, spec=SPEC, section=section)
        self.projector = LearnedLabels() if soft else HardLabels()
        if soft:
            real = SimpleNamespace(dtype=torch.float64)
            cpu = torch.device("cpu")
            context = ProjectorContext(real, SPEC, lambda name: self.network, 0, cpu, group)
            self.projector.prepare(context)
        self.formation = Flip() if mirrored else Identity()
        self.matcher_class = Taught if teacher else Along

    def step(self, gradient, chunks=WHOLE, second=1.0):
        """Return loss and gradients at images, labels and log rate of a step of five updates of four images."""
        generators = Generators(3)
        batches = StepBatches(tiny_data(), self.parameters, self.formation, self.projector, DSA(), 4, generators)
        starts = [self.network.initial(generator(seed, "expert")) for seed in (0, 1)]
        experts = OneExpert(*(self.network.flatten(start).double() for start in starts))
        matcher = self.matcher_class(Along.Options(steps=5, batch_syn=4, gradient=gradient))
        matcher.prepare(MatcherContext(self.network, 3, 3, generator(0), 0, 9, experts))
        loss = matcher.engine(self.network, chunks).accumulate(batches, {}, STEP, range(3))
        learned = [self.parameters.images, *self.projector.parameters().values(), self.parameters.log_lr]
        found = [tensor.grad.clone() for tensor in learned]
        for tensor in learned:
            tensor.grad = None
        return [loss, *found]


class Flat(torch.nn.Linear):
    """A classifier of flattened images."""

    def __init__(self):
        super().__init__(192, 3)

    def forward(self, images):
        """Return logits."""
        return super().forward(images.flatten(1))


class Taught(Along):
    """Students learn what the expert they aim at makes of the images."""

    def labels(self, images, labels, target):
        return torch.softmax(target(images), dim=1)


SETTINGS = {
    "plain": {},
    "mirrored": {"mirrored": True},
    "soft labels": {"soft": True},
    "teacher's labels": {"mirrored": True, "teacher": True},
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_augmented_and_recurring_images_get_the_gradient_of_the_whole_unroll(setting, plan):
    case = Setting(**SETTINGS[setting])
    for found, expected in zip(case.step("exact", PLANS[plan]), case.step("unrolled"), strict=True):
        close(found, expected)


@pytest.mark.parametrize("slope", [-3000.0, -1.0, 1.0, 3000.0])
def test_the_rate_moves_as_papers_move_it_and_never_reaches_zero(slope):
    case = Setting()
    parameters = case.parameters
    parameters.make_optimiser(HardLabels(), Identity(), [])
    before = float(parameters.syn_lr)
    (slope * parameters.student_lr()).backward()
    parameters.move()
    published = before - 1e-5 * slope
    mirrored = before**2 / (before + 1e-5 * slope)
    expected = published if slope < 0 else mirrored
    assert float(parameters.syn_lr) == pytest.approx(expected, rel=1e-9)
    assert float(parameters.syn_lr) > 0


class Lost(Along):
    """Students whose first update is the last that is finite."""

    def labels(self, images, labels, target):
        return torch.full((len(labels), 3), float("nan"), dtype=torch.float64)


def lost(threshold, *, is_trial=False):
    """Return the loss of a student that gets lost, and whether anything would move."""
    case = Setting()
    generators = Generators(3)
    batches = StepBatches(tiny_data(), case.parameters, case.formation, case.projector, None, 4, generators)
    start = case.network.flatten(case.network.initial(generator(0, "expert"))).double()
    matcher = Lost(Along.Options(steps=2, threshold=threshold))
    matcher.prepare(MatcherContext(case.network, 3, 3, generator(0), 0, 9, OneExpert(start, start + 1)))
    step = StepContext(0, 0, 1, 0, is_trial=is_trial)
    loss = matcher.engine(case.network, WHOLE).accumulate(batches, {}, step, range(3))
    return float(loss), case.parameters.images.grad is not None


def test_a_lost_student_moves_nothing_and_is_logged_as_the_threshold():
    assert lost(1.5) == (1.5, False)


def test_without_a_threshold_a_lost_student_is_told():
    loss, moves = lost(None)
    assert loss != loss
    assert moves


def test_what_a_step_costs_is_measured_whatever_its_loss():
    assert lost(1.5, is_trial=True)[1]


def test_an_unroll_says_that_smaller_passes_save_nothing():
    network = tiny_network(torch.float64)
    for gradient, refusal in (("exact", ""), ("truncated", ""), ("unrolled", "matcher.gradient=unrolled")):
        assert Along(Along.Options(gradient=gradient)).engine(network, WHOLE).refusal == refusal


def test_experts_label_nothing_through_batch_norm():
    network = FunctionalNetwork(torch.nn.Sequential(torch.nn.BatchNorm2d(3), Flat()), SPEC.shape, name="bn")
    with pytest.raises(UsageError, match=r"batch norm.*instance norm"):
        Taught().prepare(MatcherContext(network, 3, 3, generator(0), 0, 9, OneExpert(torch.ones(1))))
