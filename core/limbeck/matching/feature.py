"""The feature family: match group means of what a network makes of the images.

The matcher names layers, turns their outputs into signals per image, and writes a discrepancy between two group
means. With m = mean of a(x) over a group and v = dD/dm held constant, the image gradient is J'v / n: one reverse
pass, which may be cut into chunks because the mean is a sum over independent images.

Signals may depend on tensors p of the matcher's own. The same identity gives their gradient, from both sides:
dD/dp + <v_syn, dm_syn/dp> + <v_real, dm_real/dp>. Real images need no graph through the network for it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.matching.base import (
    Batches,
    Chunks,
    Engine,
    Matcher,
    StepContext,
    backward_through,
    leaves_of,
    pull_gradients,
)
from limbeck.networks import FunctionalNetwork, State

Signals = dict[str, Tensor]
Members = list[tuple[int, slice]]
"""Which rows of a pass belong to which group."""

Seen = tuple[dict[str, Tensor], Members]
"""What the taps gave of one pass over real images."""


class FeatureMatcher(Matcher):
    """Base of matchers that compare features. Write ``taps``, ``signal`` and ``discrepancy``.

    Set ``needs_whole_batch`` when the discrepancy is no function of group means: it then receives every
    image's signal [n, k] instead of the mean [k], and the batch is never cut.
    """

    family: ClassVar[str] = "feature"
    uses_labels: ClassVar[bool] = False
    needs_whole_batch: ClassVar[bool] = False

    @abstractmethod
    def taps(self, network: FunctionalNetwork) -> Sequence[str]:
        """Name the modules whose outputs are looked at; ``"embedding"`` is the classifier's input."""

    @abstractmethod
    def signal(self, maps: Mapping[str, Tensor]) -> Signals:
        """Turn outputs of the taps (first axis the n images) into signals [n, k] by key, image by image.

        What it makes of the matcher's own ``parameters`` and ``adversary`` teaches them, on both sides.
        """

    @abstractmethod
    def discrepancy(self, syn: Signals, real: Signals, step: StepContext) -> Tensor:
        """Return the scalar discrepancy of one group.

        Args:
            syn: mean signal of the group's synthetic images by key, each [k]; leaf tensors.
            real: mean signal of its real batch; constant.
            step: where the run stands.
        """

    def engine(self, network: FunctionalNetwork, chunks: Chunks) -> Engine:
        """Return the feature engine."""
        return FeatureEngine(self, network, chunks)


class FeatureEngine(Engine):
    """Gradients of a feature discrepancy with respect to images, all groups in one pass."""

    def __init__(self, matcher: FeatureMatcher, network: FunctionalNetwork, chunks: Chunks) -> None:
        super().__init__(network, chunks)
        self.matcher = matcher
        self.taps = list(matcher.taps(network))
        self.whole = matcher.needs_whole_batch or network.couples_samples

    def accumulate(self, batches: Batches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Match all groups in one pass over real and one (or, in chunks, two) over synthetic images."""
        seen: list[Seen] | None = [] if self._learns else None
        with torch.no_grad(), self.real_pass():
            real = self._summaries((batches.real(g)[0] for g in groups), state, self.chunks.real, seen)
        parts = [batches.synthetic(g)[0] for g in groups]
        images, counts = torch.cat(parts), [len(part) for part in parts]
        loss, gradient, real_directions = self.image_gradient(state, images.detach(), counts, real, step)
        backward_through([images], [gradient])
        if seen is not None:
            self._learn(seen, real_directions)
        return loss

    def image_gradient(
        self, state: State, images: Tensor, counts: Sequence[int], real: Sequence[Signals], step: StepContext
    ) -> tuple[Tensor, Tensor, list[Signals]]:
        """Return the summed discrepancy and its gradient at the images; the matcher's own tensors get theirs.

        Args:
            state: weights of the network.
            images: synthetic training images of all groups, one group after another, [sum(counts), ch, h, w].
            counts: images of each group.
            real: per group, what is to be matched.
            step: where the run stands.

        Returns:
            Discrepancy, gradient, and per group the gradient at ``real`` (none where the matcher learns nothing).
        """
        groups = torch.split(images, list(counts))
        if self.whole or len(images) <= self.chunks.synthetic:
            leaf = images.detach().requires_grad_()
            syn = self._summaries(torch.split(leaf, list(counts)), state, len(images))
            loss, directions, real_directions = self._discrepancies(syn, real, step)
            inner = [(syn[g][key] * v).sum() for g, direction in enumerate(directions) for key, v in direction.items()]
            return loss, self._pull(torch.stack(inner).sum(), {"images": leaf})["images"], real_directions
        with torch.no_grad():
            syn = self._summaries(groups, state, self.chunks.synthetic)
        loss, directions, real_directions = self._discrepancies(syn, real, step)
        return loss, self._chunked_gradient(state, groups, directions), real_directions

    def _chunked_gradient(self, state: State, groups: Sequence[Tensor], directions: Sequence[Signals]) -> Tensor:
        pieces = []
        for part, members in _packed(groups, self.chunks.synthetic):
            leaf = part.detach().requires_grad_()
            inner = self._along(self._signals(state, leaf), members, directions, [len(group) for group in groups])
            pieces.append(self._pull(inner, {"images": leaf})["images"])
        return torch.cat(pieces)

    def _learn(self, seen: Sequence[Seen], directions: Sequence[Signals]) -> None:
        """Give the matcher's own tensors the gradient that comes by way of the real signals."""
        sizes = [0] * len(directions)
        for _, members in seen:
            for group, rows in members:
                sizes[group] += rows.stop - rows.start
        for maps, members in seen:
            inner = self._along(self._signals_of(maps), members, directions, sizes)
            if inner.requires_grad:
                self._pull(inner, {})

    def _along(self, signals: Signals, members: Members, directions: Sequence[Signals], sizes: Sequence[int]) -> Tensor:
        """Return what a pass adds to the inner products of every group's summary with its direction."""
        divisors = [1] * len(sizes) if self.matcher.needs_whole_batch else sizes
        weighted = [
            (signal[rows] * (directions[group][key] / divisors[group])).sum()
            for key, signal in signals.items()
            for group, rows in members
        ]
        return torch.stack(weighted).sum()

    def _summaries(
        self, groups: Iterable[Tensor], state: State, chunk: int, seen: list[Seen] | None = None
    ) -> list[Signals]:
        """Mean signal of each group (or all signals, when the matcher needs them), in passes of ``chunk``.

        What the taps gave is added to ``seen``.
        """
        if self.whole:
            groups = list(groups)
            total = sum(map(len, groups))
            self._refuse_small_budget(total, chunk)
            chunk = total
        found: list[Signals] = []
        pieces: dict[str, list[Tensor]] = {}
        for part, members in _packed(groups, chunk):
            maps = self._maps(state, part)
            signals = self._signals_of(maps)
            if seen is not None:
                seen.append((maps, members))
            for group, rows in members:
                if group > len(found):
                    found.append({key: self._reduce(parts) for key, parts in pieces.items()})
                    pieces = {}
                for key, signal in signals.items():
                    pieces.setdefault(key, []).append(signal[rows])
        return [*found, {key: self._reduce(parts) for key, parts in pieces.items()}]

    def _reduce(self, pieces: list[Tensor]) -> Tensor:
        if self.matcher.needs_whole_batch:
            return torch.cat(pieces)
        if len(pieces) == 1:
            return pieces[0].mean(0)
        return torch.stack([piece.sum(0) for piece in pieces]).sum(0) / sum(map(len, pieces))

    def _maps(self, state: State, images: Tensor) -> dict[str, Tensor]:
        return self.network.features(state, images, self.taps, dropout="off")

    def _signals_of(self, maps: Mapping[str, Tensor]) -> Signals:
        """Return a matcher's signals, computed in float32 at least."""
        with torch.autocast(self.network.device.type, enabled=False):
            return self.matcher.signal({tap: _at_least_float32(value) for tap, value in maps.items()})

    def _signals(self, state: State, images: Tensor) -> Signals:
        return self._signals_of(self._maps(state, images))

    @property
    def _learns(self) -> bool:
        return bool(self.matcher.parameters() or self.matcher.adversary())

    def _discrepancies(
        self, syn: Sequence[Signals], real: Sequence[Signals], step: StepContext
    ) -> tuple[Tensor, list[Signals], list[Signals]]:
        """Return the sum over groups, and per group its gradients at both sides' summaries."""
        losses: list[Tensor] = []
        directions: tuple[list[Signals], list[Signals]] = ([], [])
        for one_syn, one_real in zip(syn, real, strict=True):
            sides = leaves_of(one_syn), leaves_of(one_real) if self._learns else one_real
            loss = self.matcher.discrepancy(*sides, step)
            leaves = {f"{place} {key}": leaf for place, side in enumerate(sides) for key, leaf in side.items()}
            found = self._pull(loss, {name: leaf for name, leaf in leaves.items() if leaf.requires_grad})
            for place, side in enumerate(sides):
                directions[place].append({key: found[f"{place} {key}"] for key in side if f"{place} {key}" in found})
            losses.append(loss.detach())
        return torch.stack(losses).sum(), *directions

    def _pull(self, distance: Tensor, leaves: Signals) -> Signals:
        own, adversary = self.matcher.parameters().values(), self.matcher.adversary().values()
        return pull_gradients(distance, leaves, own, adversary)

    def _refuse_small_budget(self, total: int, chunk: int) -> None:
        if self.network.couples_samples and self.chunks.firm and chunk < total:
            raise UsageError(
                f"network '{self.network.name}' has batch norm, whose statistics need all {total} images in one pass, "
                f"but the memory budget allows {chunk}. Raise --memory, lower the batch, or use instance norm (-in)."
            )


def _at_least_float32(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.bfloat16 else value


def _packed(groups: Iterable[Tensor], chunk: int) -> Iterator[tuple[Tensor, Members]]:
    """Cut groups into passes of at most ``chunk`` images, in order, saying which rows belong to which group."""
    parts: list[Tensor] = []
    members: Members = []
    room = chunk
    for group, images in enumerate(groups):
        start = 0
        while start < len(images):
            taken = min(room, len(images) - start)
            parts.append(images[start : start + taken])
            members.append((group, slice(chunk - room, chunk - room + taken)))
            start, room = start + taken, room - taken
            if room == 0:
                yield torch.cat(parts), members
                parts, members, room = [], [], chunk
    if parts:
        yield torch.cat(parts), members
