"""The feature family: match group means of what a network makes of the images.

The matcher names layers, turns their outputs into signals per image, and writes a discrepancy between two group
means. With m = mean of a(x) over a group and v = dD/dm held constant, the image gradient is J'v / n: one reverse
pass, which may be cut into chunks because the mean is a sum over independent images.
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


class FeatureMatcher(Matcher):
    """Base of matchers that compare features. Write ``taps``, ``signal`` and ``discrepancy``.

    Set ``needs_whole_batch`` when the discrepancy is no function of group means: it then receives every
    image's signal [n, k] instead of the mean [k], and the batch is never cut.
    """

    family: ClassVar[str] = "feature"
    needs_whole_batch: ClassVar[bool] = False

    @abstractmethod
    def taps(self, network: FunctionalNetwork) -> Sequence[str]:
        """Name the modules whose outputs are looked at; ``"embedding"`` is the classifier's input."""

    @abstractmethod
    def signal(self, maps: Mapping[str, Tensor]) -> Signals:
        """Turn outputs of the taps (first axis the n images) into signals [n, k] by key, image by image."""

    @abstractmethod
    def discrepancy(self, syn: Signals, real: Signals, step: StepContext) -> Tensor:
        """Return the scalar discrepancy of one group.

        Args:
            syn: mean signal of the group's synthetic images by key, each [k]; leaf tensors.
            real: mean signal of its real batch; constant.
            step: where the run stands.
        """

    @classmethod
    def engine(cls, matcher: Matcher, network: FunctionalNetwork, chunks: Chunks) -> Engine:
        """Return the feature engine."""
        if not isinstance(matcher, FeatureMatcher):
            raise TypeError(f"{type(matcher).__name__} is not a FeatureMatcher")
        return FeatureEngine(matcher, network, chunks)


class FeatureEngine(Engine):
    """Gradients of a feature discrepancy with respect to images, all groups in one pass."""

    def __init__(self, matcher: FeatureMatcher, network: FunctionalNetwork, chunks: Chunks) -> None:
        super().__init__(network, chunks)
        self.matcher = matcher
        self.taps = list(matcher.taps(network))
        self.whole = matcher.needs_whole_batch or network.couples_samples

    def accumulate(self, batches: Batches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Match all groups in one pass over real and one (or, in chunks, two) over synthetic images."""
        with torch.no_grad(), self.real_pass():
            real = self._summaries((batches.real(g)[0] for g in groups), state, self.chunks.real)
        parts = [batches.synthetic(g)[0] for g in groups]
        images, counts = torch.cat(parts), [len(part) for part in parts]
        loss, gradient = self.image_gradient(state, images.detach(), counts, real, step)
        backward_through([images], [gradient])
        return loss

    def image_gradient(
        self, state: State, images: Tensor, counts: Sequence[int], real: Sequence[Signals], step: StepContext
    ) -> tuple[Tensor, Tensor]:
        """Return the summed discrepancy and its gradient at the images.

        Args:
            state: weights of the network.
            images: synthetic training images of all groups, one group after another, [sum(counts), ch, h, w].
            counts: images of each group.
            real: per group, what is to be matched.
            step: where the run stands.
        """
        groups = torch.split(images, list(counts))
        if self.whole or len(images) <= self.chunks.synthetic:
            leaf = images.detach().requires_grad_()
            syn = self._summaries(torch.split(leaf, list(counts)), state, len(images))
            loss, directions = self._discrepancies(syn, real, step)
            outputs = [summary[key] for summary in syn for key in summary]
            inward = [direction[key] for direction in directions for key in direction]
            return loss, torch.autograd.grad(outputs, leaf, inward)[0]
        with torch.no_grad():
            syn = self._summaries(groups, state, self.chunks.synthetic)
        loss, directions = self._discrepancies(syn, real, step)
        return loss, self._chunked_gradient(state, groups, directions)

    def _chunked_gradient(self, state: State, groups: Sequence[Tensor], directions: Sequence[Signals]) -> Tensor:
        pieces = []
        for part, members in _packed(groups, self.chunks.synthetic):
            leaf = part.detach().requires_grad_()
            signals = self._signals(state, leaf)
            weighted = [
                (signal[rows] * (directions[group][key] / len(groups[group]))).sum()
                for key, signal in signals.items()
                for group, rows in members
            ]
            pieces.append(torch.autograd.grad(torch.stack(weighted).sum(), leaf)[0])
        return torch.cat(pieces)

    def _summaries(self, groups: Iterable[Tensor], state: State, chunk: int) -> list[Signals]:
        """Mean signal of each group (or all signals, when the matcher needs them), in passes of ``chunk``."""
        if self.whole:
            groups = list(groups)
            total = sum(map(len, groups))
            self._refuse_small_budget(total, chunk)
            chunk = total
        found: list[Signals] = []
        pieces: dict[str, list[Tensor]] = {}
        for part, members in _packed(groups, chunk):
            signals = self._signals(state, part)
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

    def _signals(self, state: State, images: Tensor) -> Signals:
        maps = self.network.features(state, images, self.taps, dropout="off")
        return self.matcher.signal({tap: self._at_least_float32(value) for tap, value in maps.items()})

    @staticmethod
    def _at_least_float32(value: Tensor) -> Tensor:
        return value.float() if value.dtype == torch.bfloat16 else value

    def _discrepancies(
        self, syn: Sequence[Signals], real: Sequence[Signals], step: StepContext
    ) -> tuple[Tensor, list[Signals]]:
        losses, directions = [], []
        for one_syn, one_real in zip(syn, real, strict=True):
            leaves = leaves_of(one_syn)
            loss = self.matcher.discrepancy(leaves, one_real, step)
            own, adversary = self.matcher.parameters().values(), self.matcher.adversary().values()
            directions.append(pull_gradients(loss, leaves, own, adversary))
            losses.append(loss.detach())
        return torch.stack(losses).sum(), directions

    def _refuse_small_budget(self, total: int, chunk: int) -> None:
        if self.network.couples_samples and self.chunks.firm and chunk < total:
            raise UsageError(
                f"network '{self.network.name}' has batch norm, whose statistics need all {total} images in one pass, "
                f"but the memory budget allows {chunk}. Raise --memory, lower the batch, or use instance norm (-in)."
            )


def _packed(groups: Iterable[Tensor], chunk: int) -> Iterator[tuple[Tensor, list[tuple[int, slice]]]]:
    """Cut groups into passes of at most ``chunk`` images, in order, saying which rows belong to which group."""
    parts: list[Tensor] = []
    members: list[tuple[int, slice]] = []
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
