"""What a trained network makes of real images: its embedding of each, and how often it forgot each.

Coresets are picked in the embedding of a network that was trained on the whole real set. Training it is the long part,
so its weights are what is kept; embeddings follow from them, a few images at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as pack_tensors
from torch import Tensor, nn

from limbeck.data import RealData
from limbeck.errors import DivergenceError, LimbeckError
from limbeck.files import content_key, write_atomic
from limbeck.networks import FunctionalNetwork, State, build_network
from limbeck.networks.functional import EMBEDDING
from limbeck.options import Options
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck.training import Epochs, fit

FOLDER = "features"
"""Where in a cache trained networks lie."""

OnEpoch = Callable[[int, int], None]
"""Told of finished and of all epochs."""


class FeatureTraining(Options):
    """Which network sees, and how it is trained: SGD at a constant rate, without augmentation."""

    network: str = Field(description="network trained on the real images")
    epochs: int = Field(10, ge=1, description="passes over the real images")
    lr: float = Field(0.01, gt=0, description="learning rate of that network")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of that network")
    weight_decay: float = Field(5e-4, ge=0, description="weight decay of that network")
    batch_size: int = Field(128, ge=1, description="real images in each of its updates")

    @property
    def source(self) -> str:
        """What the features come from, for tables: ``convnet-d3-w32-in, 10 epochs``."""
        return f"{self.network}, {self.epochs} epoch{'' if self.epochs == 1 else 's'}"


@dataclass(frozen=True)
class TrainedFeatures:
    """A network trained on a real set.

    Attributes:
        network: its structure.
        state: its weights and buffers.
        forgotten: forgetting events of each real image, int64 [N] (arXiv:1812.05159, section 3): how often an image
            that was classified right when it was last presented was classified wrong. An image that never was right
            has as many as there were epochs, more than any other.
        seconds: what its training took, now or when it was kept.
        is_found: whether it was found in a cache.
    """

    network: FunctionalNetwork
    state: State
    forgotten: Tensor
    seconds: float = 0.0
    is_found: bool = False

    @property
    def spared(self) -> float:
        """Seconds of training that the cache spared."""
        return self.seconds if self.is_found else 0.0

    @torch.no_grad()
    def embed(self, real: RealData, index: Tensor, chunk: int = 512) -> Tensor:
        """Return what enters the classifier for the images at ``index``.

        Args:
            real: where the images lie.
            index: int64 [n].
            chunk: images embedded at once.

        Returns:
            float32 [n, k], of a network in eval mode.
        """
        batches = (real.take(part).to(self.network.dtype) for part in torch.split(index, chunk))
        maps = [self.network.features(self.state, images, [EMBEDDING], train=False)[EMBEDDING] for images in batches]
        return torch.cat(maps).float()


def trained_features(
    real: RealData,
    training: FeatureTraining,
    seed: int,
    *,
    cache: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainedFeatures:
    """Train a network on a whole real set, or find it in the cache.

    The same images, settings and seed give the same network, in whatever order the images lie.

    Args:
        real: the images and their classes.
        training: which network, and how it is trained.
        seed: owner of its initial weights and of the order it learns in.
        cache: folder of networks trained earlier; a file there that cannot be used is written anew.
        on_epoch: told of the progress; not told when the network is found.

    Raises:
        DivergenceError: the weights stopped being finite numbers.
    """
    network = build_network(training.network, real.spec, real.device)
    path = None if cache is None else cache / FOLDER / f"{_key(real, training, seed)}.safetensors"
    found = None if path is None else _read(path, network, len(real))
    if found is not None:
        return found
    trained = _train(real, network, training, seed, on_epoch)
    if path is not None:
        with contextlib.suppress(LimbeckError):  # what was learned counts, not whether it could be kept
            _write(path, trained)
    return trained


def content_order(real: RealData) -> Tensor:
    """Return an order of the images that their pixels, classes and groups decide, not where they lie, int64 [N].

    Images are ordered by a hash in whole numbers, the same on every device. What is computed in this order does not
    depend on how the set was sorted, down to the last bit.
    """
    fixed = generator(0, "content order")
    factors = torch.randint(-(2**62), 2**62, (real.images[0].numel() + 2,), generator=fixed).to(real.device)
    keys = [(pixels.flatten(1).long() * factors[2:]).sum(1) for pixels in torch.split(real.images, 1024)]
    return (torch.cat(keys) + real.labels * factors[0] + real.group * factors[1]).argsort(stable=True)


def members_by_content(real: RealData) -> list[Tensor]:
    """Return the indices of each group's images, int64 [size] each, ordered by their content."""
    order = content_order(real)
    return list(torch.split(order[real.group[order].argsort(stable=True)], real.group_sizes))


def _train(
    real: RealData, network: FunctionalNetwork, training: FeatureTraining, seed: int, on_epoch: OnEpoch | None
) -> TrainedFeatures:
    started = time.perf_counter()
    shown = _Presentations(real, content_order(real))
    handle = network.module.register_forward_hook(shown.note)
    try:
        result = fit(
            network,
            start=[seed],
            data=shown,
            lr=training.lr,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            budget=Epochs(training.epochs),
            batch_size=training.batch_size,
            on_epoch=None if on_epoch is None else lambda news: on_epoch(news.epoch, training.epochs),
        )
    finally:
        handle.remove()
    state = result.states[0]
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise DivergenceError(
            f"'{training.network}' diverged while it learned features for a selector at lr {training.lr:g}. "
            f"Lower it: --set selector.lr={training.lr / 10:g}"
        )
    return TrainedFeatures(network, state, shown.events(training.epochs), time.perf_counter() - started)


class _Presentations:
    """The real images in an order of their own, with a note of each whenever it is shown to a network in training.

    Correctness is that of the very pass an update is made from, before the update, as in algorithm 1 of
    arXiv:1812.05159. It costs no pass of its own.
    """

    def __init__(self, real: RealData, order: Tensor) -> None:
        self.labels = real.labels[order]
        self._real, self._order = real, order
        self._shown = order[:0]
        self._was_right, self._was_ever_right = (torch.zeros_like(order, dtype=torch.bool) for _ in range(2))
        self._events = torch.zeros_like(order)

    def __len__(self) -> int:
        return len(self._order)

    def take(self, index: Tensor) -> Tensor:
        """Return normalised images [n, ch, h, w] at ``index``, int64 [n]."""
        self._shown = index
        return self._real.take(self._order[index])

    def note(self, module: nn.Module, _: Any, logits: Tensor) -> None:
        """Compare the logits of the images shown last with their classes."""
        if not module.training:
            return
        shown, is_right = self._shown, logits.detach().argmax(1) == self.labels[self._shown]
        self._events[shown] += self._was_right[shown] & ~is_right
        self._was_right[shown] = is_right
        self._was_ever_right[shown] |= is_right

    def events(self, epochs: int) -> Tensor:
        """Return the forgetting events of the real images where they lie, int64 [N]."""
        counts = torch.where(self._was_ever_right, self._events, epochs)
        return torch.empty_like(counts).scatter_(0, self._order, counts)


def _key(real: RealData, training: FeatureTraining, seed: int) -> str:
    entry = registry().entry("networks", training.network)
    return content_key(
        {
            "data": real.digest(),
            "training": {name: getattr(training, name) for name in FeatureTraining.model_fields},
            "seed": seed,
            "device": real.device.type,
            "versions": {"torch": torch.__version__, entry.distribution: entry.revision},
        }
    )


def _write(path: Path, trained: TrainedFeatures) -> None:
    tensors = {f"state.{name}": value.cpu().contiguous() for name, value in trained.state.items()}
    tensors |= {"forgotten": trained.forgotten.cpu(), "seconds": torch.tensor(trained.seconds)}
    write_atomic(path, pack_tensors({**tensors, "checksum": _checksum(tensors)}))


def _read(path: Path, network: FunctionalNetwork, size: int) -> TrainedFeatures | None:
    """Return what a file holds, or None where there is none or it is damaged or of another network."""
    try:
        tensors = parse_tensors(path.read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError, OverflowError):
        return None
    stored = tensors.pop("checksum", None)
    if stored is None or stored.tolist() != _checksum(tensors).tolist():
        return None
    forgotten, seconds = tensors.pop("forgotten").to(network.device), float(tensors.pop("seconds"))
    state = {name.removeprefix("state."): value.to(network.device) for name, value in tensors.items()}
    module = network.module
    wanted = {name: value.shape for name, value in (*module.named_parameters(), *module.named_buffers())}
    if {name: value.shape for name, value in state.items()} != wanted or len(forgotten) != size:
        return None
    return TrainedFeatures(network, state, forgotten, seconds, is_found=True)


def _checksum(tensors: dict[str, Tensor]) -> Tensor:
    return torch.tensor(list(hashlib.sha256(pack_tensors(tensors)).digest()), dtype=torch.uint8)
