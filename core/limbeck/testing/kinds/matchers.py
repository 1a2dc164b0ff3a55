"""What a matcher promises: an exact gradient, however the work is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.matching import Chunks, FeatureMatcher, GradientMatcher, Matcher, MatcherContext
from limbeck.networks import State
from limbeck.seeding import generator
from limbeck.testing.cases import (
    CLASSES,
    STEP,
    TinyBatches,
    require_close,
    require_slope,
    tiny_batches,
    tiny_network,
)
from limbeck.testing.general import names_its_source
from limbeck.testing.randomness import require_same_twice
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = Matcher
WHOLE = Chunks(10**6, 10**6)
CUT = Chunks(2, 2)


@dataclass
class Trial:
    """A matcher ready for steps on tiny images in float64."""

    matcher: Matcher
    state: State
    owner: torch.Generator

    def step(self, batches: TinyBatches, chunks: Chunks = WHOLE) -> tuple[Tensor, Tensor]:
        """Return the distance, a scalar, and its gradient at the synthetic images [3, n, ch, h, w]."""
        batches.leaf.grad = None
        for tensor in self.learned().values():
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
        self.matcher.prepare(MatcherContext(self._network, CLASSES, CLASSES, self.owner))


def trial(subject: Subject, *, dead: bool = False) -> Trial:
    """Return the matcher before its first step, the same every time; through a network of zeros if ``dead``."""
    state = tiny_network(torch.float64).initial(generator(1, "tiny", "init"))
    if dead:
        state = {name: torch.zeros_like(value) for name, value in state.items()}
    return Trial(subject.make(), state, generator(0, "tiny", "match"))


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
    _, gradient = trial(subject).step(batches)

    def distance(leaf: Tensor) -> Tensor:
        return trial(subject).step(TinyBatches(leaf.requires_grad_(), batches.reals))[0]

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
    if not isinstance(subject.make(), GradientMatcher):
        raise NotApplicable("only the gradient family has two")
    _agree(subject, Chunks(10**6, 10**6, second_pass="forward_mode"), "forward mode and double backward")
    _agree(subject, Chunks(10**6, 10**6, together=10**6), "groups together and alone")


def order_is_of_no_consequence(subject: Subject) -> None:
    """The order of a group's images is of no consequence."""
    if not subject.cls.permutation_invariant:
        raise NotApplicable("it declares permutation_invariant = False")
    batches, order = tiny_batches(), torch.tensor([2, 0, 1])
    loss, gradient = trial(subject).step(batches)
    shuffled = TinyBatches(batches.leaf.detach()[:, order].requires_grad_(), batches.reals.flip(1))
    other, moved = trial(subject).step(shuffled)
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


def _agree(subject: Subject, chunks: Chunks, what: str) -> None:
    loss, gradient = trial(subject).step(tiny_batches())
    other, pieces = trial(subject).step(tiny_batches(), chunks)
    require_close(other, loss, f"distance, {what}")
    require_close(pieces, gradient, f"gradient, {what}")


def _require_finite(ready: Trial, batches: TinyBatches) -> None:
    loss, gradient = ready.step(batches)
    require(bool(loss.isfinite()), f"the distance is {float(loss):g}")
    require(bool(gradient.isfinite().all()), "the gradient holds infinite or NaN numbers")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    names_its_source,
    distance_is_sane,
    gradient_is_the_slope,
    own_tensors_get_their_slope,
    chunks_change_nothing,
    second_passes_agree,
    order_is_of_no_consequence,
    survives_equal_sides,
    survives_a_dead_network,
    is_deterministic,
    state_survives_a_checkpoint,
)
