"""What a matcher promises: an exact gradient, however the work is cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from limbeck.matching import (
    Chunks,
    FeatureMatcher,
    GradientMatcher,
    Matcher,
    MatcherContext,
    StepContext,
    Teacher,
    TeacherMatcher,
    TrajectoryMatcher,
)
from limbeck.networks import State
from limbeck.seeding import generator
from limbeck.testing.cases import (
    CLASSES,
    SPEC,
    STEP,
    TinyBatches,
    TinyTrajectories,
    normal,
    require_close,
    require_slope,
    tiny_batches,
    tiny_network,
)
from limbeck.testing.general import names_its_source
from limbeck.testing.randomness import require_same_twice
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = Matcher
FAMILIES = (FeatureMatcher, GradientMatcher, TeacherMatcher, TrajectoryMatcher)
WHOLE = Chunks(10**6, 10**6, second_pass="double_backward")
CUT = Chunks(2, 2)
STUDENTS = {"steps": 3, "batch_syn": 5}
"""What matchers of the trajectory family are tried with, so that images recur and a pass ends within an update."""


@dataclass
class Trial:
    """A matcher ready for steps on tiny images in float64."""

    matcher: Matcher
    state: State
    owner: torch.Generator
    dead: bool = False

    def step(self, batches: TinyBatches, chunks: Chunks = WHOLE) -> tuple[Tensor, Tensor]:
        """Return the distance, a scalar, and its gradient at the synthetic images [3, n, ch, h, w]."""
        for tensor in (*batches.learned().values(), *self.learned().values()):
            tensor.grad = None
        engine = self.matcher.engine(self._network, chunks)
        self.matcher.begin(STEP)
        loss = engine.accumulate(batches, self.state, STEP, range(CLASSES))
        require(batches.leaf.grad is not None, "no gradient reaches the synthetic images")
        return loss, torch.as_tensor(batches.leaf.grad).clone()

    def learned(self) -> dict[str, Tensor]:
        """Return the matcher's own tensors, those that go down and those that go up."""
        return {**self.matcher.parameters(), **{f"adversary.{k}": v for k, v in self.matcher.adversary().items()}}

    def __post_init__(self) -> None:
        self._network = tiny_network(torch.float64)
        experts = TinyTrajectories(self._network, dead=self.dead)
        self.matcher.prepare(
            MatcherContext(self._network, CLASSES, CLASSES, self.owner, num_images=3 * CLASSES, trajectories=experts)
        )


def trial(subject: Subject, *, dead: bool = False, **students: Any) -> Trial:
    """Return the matcher before its first step, the same every time; through a network of zeros if ``dead``.

    Args:
        subject: the matcher.
        dead: whether every signal is to be zero.
        students: options over those of a matcher of the trajectory family; others go without.
    """
    state = tiny_network(torch.float64).initial(generator(1, "tiny", "init"))
    if dead:
        state = {name: torch.zeros_like(value) for name, value in state.items()}
    options = {**STUDENTS, **subject.given(), **students} if _sends_students(subject) else {}
    return Trial(subject.make(**options), state, generator(0, "tiny", "match"), dead)


def distance_is_sane(subject: Subject) -> None:
    """The distance is finite and not negative."""
    loss, gradient = trial(subject).step(tiny_batches())
    require(loss.ndim == 0, f"it has shape {list(loss.shape)} and should be a scalar")
    require(bool(loss.isfinite()) and float(loss) >= 0, f"it is {float(loss):g}")
    require(bool(gradient.isfinite().all()), "its gradient holds infinite or NaN numbers")
    require(bool(gradient.any()), "its gradient is zero: the synthetic images would not move")


def gradient_is_the_slope(subject: Subject) -> None:
    """The image gradient equals finite differences of the distance."""
    batches = tiny_batches()
    _, gradient = trial(subject, gradient="exact").step(batches)

    def distance(leaf: Tensor) -> Tensor:
        return trial(subject, gradient="exact").step(replace(batches, leaf=leaf))[0]

    require_slope(distance, batches.leaf, gradient)


def own_tensors_get_their_slope(subject: Subject) -> None:
    """Its own parameters are sent down the slope, its adversary's up."""
    ready = trial(subject)
    ready.step(tiny_batches())
    if not ready.learned():
        raise NotApplicable("it has neither")
    for name, tensor in ready.learned().items():

        def distance(value: Tensor, name: str = name) -> Tensor:
            other = trial(subject)
            with torch.no_grad():
                other.learned()[name].copy_(value)
            return other.step(tiny_batches())[0]

        gradient = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        require_slope(distance, tensor, gradient, sign=-1.0 if name.startswith("adversary.") else 1.0)


def chunks_change_nothing(subject: Subject) -> None:
    """Images cut into chunks give the same distance and gradient as whole batches."""
    matcher = subject.make()
    if isinstance(matcher, FeatureMatcher) and matcher.needs_whole_batch:
        raise NotApplicable("it declares needs_whole_batch, and is never cut")
    _agree(subject, CUT, "cut and whole")


def second_passes_agree(subject: Subject) -> None:
    """Double backward and forward mode give the same gradient."""
    if not isinstance(subject.make(), GradientMatcher | TrajectoryMatcher):
        raise NotApplicable("its family has only one")
    _agree(subject, Chunks(10**6, 10**6, second_pass="forward_mode"), "forward mode and double backward")
    _agree(subject, Chunks(10**6, 10**6, together=10**6), "groups together and alone")


def order_is_of_no_consequence(subject: Subject) -> None:
    """The order of a group's images is of no consequence."""
    if not subject.cls.permutation_invariant:
        raise NotApplicable("it declares permutation_invariant = False")
    batches, order = tiny_batches(), torch.tensor([2, 0, 1])
    loss, gradient = trial(subject, batch_syn=None).step(batches)
    shuffled = TinyBatches(batches.leaf.detach()[:, order].requires_grad_(), batches.reals.flip(1))
    other, moved = trial(subject, batch_syn=None).step(shuffled)
    require_close(other, loss, "the distance after shuffling")
    require_close(moved, gradient[:, order], "the gradient after shuffling")


def survives_equal_sides(subject: Subject) -> None:
    """Distance and gradient stay finite where synthetic and real images are the same."""
    batches = tiny_batches()
    same = batches.leaf.detach()
    _require_finite(trial(subject), TinyBatches(same.clone().requires_grad_(), same))


def survives_a_dead_network(subject: Subject) -> None:
    """Distance and gradient stay finite where every signal is zero."""
    _require_finite(trial(subject, dead=True), tiny_batches())


def is_deterministic(subject: Subject) -> None:
    """The same generator seed gives the same bits."""
    require_same_twice(lambda: trial(subject).step(tiny_batches()))


def state_survives_a_checkpoint(subject: Subject) -> None:
    """A step after a checkpoint was read back equals the uninterrupted one, bit for bit."""
    first, second = trial(subject), trial(subject)
    first.step(tiny_batches())
    saved = {name: tensor.detach().clone() for name, tensor in first.matcher.state_dict().items()}
    with torch.no_grad():
        for name, tensor in first.learned().items():
            tensor += 0.1
            second.learned()[name].copy_(tensor)
    second.matcher.load_state_dict(saved)
    second.owner.set_state(first.owner.get_state())
    again = second.step(tiny_batches())
    expected = first.step(tiny_batches())
    require(all(torch.equal(a, b) for a, b in zip(again, expected, strict=True)), "the two steps differ")


def takes_the_familys_options(subject: Subject) -> None:
    """Options that its family reads are among its own."""
    own, familys = subject.cls.Options.model_fields, TrajectoryMatcher.Options.model_fields
    missing = [name for name in familys if name not in own] if _sends_students(subject) else []
    require(not missing, f"without {', '.join(missing)}: write class Options(TrajectoryMatcher.Options)")


def students_get_their_slope(subject: Subject) -> None:
    """The gradients at soft labels and at students' learning rate equal finite differences of the distance."""
    _follower(subject)
    batches = tiny_batches(soft=True)
    trial(subject, gradient="exact").step(batches)
    found = {name: batches.learned()[name].grad for name in ("logits", "log_rate")}
    for name, gradient in found.items():
        at = batches.learned()[name]

        def distance(value: Tensor, name: str = name) -> Tensor:
            return trial(subject, gradient="exact").step(replace(batches, **{name: value}))[0]

        require_slope(distance, at, torch.zeros_like(at) if gradient is None else gradient)


def unrolling_agrees(subject: Subject) -> None:
    """The gradient taken update by update equals that of all updates unrolled."""
    _follower(subject)
    _agree(subject, WHOLE, "unrolled and update by update", {"gradient": "exact"}, {"gradient": "unrolled"})


def segments_follow_from_the_step(subject: Subject) -> None:
    """Pieces of experts' ways follow from the step alone, in whatever order they are asked for."""
    steps = [StepContext(step, 0, 1, step) for step in (0, 1, 2, 10, 1000, 10_000)]
    forth, back = _follower(subject), _follower(subject)
    expected = [forth.drawn(step) for step in steps]
    for step, segment in reversed(list(zip(steps, expected, strict=True))):
        again = back.drawn(step)
        require(again == segment, f"step {step.step} has {segment}, and asked after later ones {again}")


def students_learn_labels(subject: Subject) -> None:
    """Labels that it gives students are class ids or probabilities, image by image."""
    matcher = _follower(subject)
    network, images, ids = tiny_network(torch.float64), normal(6, *SPEC.shape), torch.arange(6) % CLASSES
    target = Teacher(network, network.initial(generator(1, "tiny", "init")))
    for labels in (ids, one_hot(ids, CLASSES).double()):
        given = matcher.labels(images, labels, target)
        soft = given.is_floating_point()
        require(given.shape == ((6, CLASSES) if soft else (6,)), f"for 6 images they have shape {list(given.shape)}")
        inside = torch.allclose(given.sum(1), given.new_ones(6)) if soft else bool((given < CLASSES).all())
        require(inside and bool((given >= 0).all()), f"they come as {given.tolist()}")
        require_close(matcher.labels(images[2:4], labels[2:4], target), given[2:4], "labels of two of the images")


def _sends_students(subject: Subject) -> bool:
    return isinstance(subject.cls, type) and issubclass(subject.cls, TrajectoryMatcher)


def _follower(subject: Subject) -> TrajectoryMatcher:
    """Return the matcher, ready for steps, if it is one of the trajectory family."""
    matcher = trial(subject).matcher
    if not isinstance(matcher, TrajectoryMatcher):
        raise NotApplicable("its family sends no students")
    return matcher


def _agree(
    subject: Subject,
    chunks: Chunks,
    what: str,
    one: Mapping[str, Any] = MappingProxyType({}),
    other: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Require a step in passes of ``chunks``, or with ``other`` options of students, to lead where a whole one does."""
    whole, pieces = tiny_batches(), tiny_batches()
    loss, gradient = trial(subject, **one).step(whole)
    again, found = trial(subject, **other).step(pieces, chunks)
    require_close(again, loss, f"distance, {what}")
    require_close(found, gradient, f"gradient, {what}")
    if whole.log_rate.grad is not None and pieces.log_rate.grad is not None:
        require_close(pieces.log_rate.grad, whole.log_rate.grad, f"gradient at the learning rate, {what}")


def _require_finite(ready: Trial, batches: TinyBatches) -> None:
    loss, gradient = ready.step(batches)
    require(bool(loss.isfinite()), f"the distance is {float(loss):g}")
    require(bool(gradient.isfinite().all()), "the gradient holds infinite or NaN numbers")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    names_its_source,
    takes_the_familys_options,
    distance_is_sane,
    gradient_is_the_slope,
    own_tensors_get_their_slope,
    students_get_their_slope,
    chunks_change_nothing,
    second_passes_agree,
    unrolling_agrees,
    segments_follow_from_the_step,
    students_learn_labels,
    order_is_of_no_consequence,
    survives_equal_sides,
    survives_a_dead_network,
    is_deterministic,
    state_survives_a_checkpoint,
)
