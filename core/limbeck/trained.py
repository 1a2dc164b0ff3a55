"""Networks trained on real images, each kept with the weights it began with and found again by whoever needs it.

A pool of such networks takes long to train and depends on little: the images, how it is trained, and a seed of its
own. So each is kept under a name made of just that, and runs with other seeds, methods and budgets share it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.config import Spec, names_in
from limbeck.data import RealData
from limbeck.errors import DivergenceError, LimbeckError, UnknownNameError, UsageError
from limbeck.files import content_key, write_atomic
from limbeck.networks import FunctionalNetwork, State
from limbeck.options import Options
from limbeck.plugins import registry
from limbeck.seeding import derive_seed, generator
from limbeck.training import Epochs, StepSchedule, fit

FOLDER = "networks"
"""Where in a cache they lie."""


class NetworkTraining(Options):
    """How networks are trained on real images: SGD, whose rate falls after two thirds and five sixths of the epochs."""

    epochs: int = Field(60, ge=1, description="passes over the real images")
    lr: float = Field(0.01, gt=0, description="learning rate at the start")
    decay: float = Field(0.2, gt=0, le=1, description="what it is multiplied by after 2/3 and after 5/6 of the epochs")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="L2 coefficient")
    batch_size: int = Field(128, ge=1, description="real images in each update")
    augmentation: Spec | None = Field(None, description="of the real images; none when not given")
    images: int | None = Field(None, ge=1, description="how many real images they learn from; all when not given")

    @property
    def schedule(self) -> StepSchedule:
        """The course of the learning rate."""
        moments = (2 * self.epochs // 3, 5 * self.epochs // 6)
        return StepSchedule(tuple(moment for moment in moments if moment), self.decay)


@dataclass(frozen=True, eq=False)
class Trained:
    """One network before and after its training.

    Attributes:
        key: a name that says what it learned from, and how.
        start: the weights and buffers it began with.
        state: those it ended with.
        seconds: what its training took, now or when it was kept.
    """

    key: str
    start: State
    state: State
    seconds: float


_alive: WeakValueDictionary[str, Trained] = WeakValueDictionary()
"""What somebody in this process still holds, so that two who need the same networks share them."""


@dataclass(frozen=True)
class NetworkPool:
    """Networks of one structure that learn from the same images, each from weights of its own.

    Attributes:
        network: the structure.
        real: the images they learn from, or are drawn from.
        training: how they learn.
        seed: owner of every draw.
        cache: folder of what outlives the run, or None.
    """

    network: FunctionalNetwork
    real: RealData
    training: NetworkTraining
    seed: int = 0
    cache: Path | None = None

    def take(
        self, count: int, *, chunk: int | None = None, on_epoch: Callable[[int, int], None] | None = None
    ) -> list[Trained]:
        """Return the first ``count`` networks, and train those that are not kept yet.

        Each is kept as soon as it is trained. Network i is the same whatever the count.

        Args:
            count: how many.
            chunk: images a pass of their training, which changes results by rounding only.
            on_epoch: told of finished and of all epochs; those of networks that were kept count as finished.

        Raises:
            UsageError: an augmentation that is none.
            DivergenceError: weights stopped being finite numbers.
        """
        epochs = self.training.epochs
        found = []
        for index in range(count):

            def tell(finished: int, before: int = index * epochs) -> None:
                if on_epoch is not None:
                    on_epoch(before + finished, count * epochs)

            found.append(self._find(self._key(index)) or self._keep(self._train(index, chunk, tell)))
        return found

    def _train(self, index: int, chunk: int | None, tell: Callable[[int], None]) -> Trained:
        started, how, network = time.perf_counter(), self.training, self.network
        start = network.initial(generator(self.seed, "pool", index, "init", device=network.device))
        result = fit(
            network,
            start=[start],
            data=self._images(),
            lr=how.lr,
            momentum=how.momentum,
            weight_decay=how.weight_decay,
            budget=Epochs(how.epochs),
            schedule=how.schedule,
            batch_size=how.batch_size,
            chunk=chunk,
            augmentation=self._augmentation(),
            seeds=[derive_seed(self.seed, "pool", index, "train")],
            on_epoch=lambda news: tell(news.epoch),
        )
        state = result.states[0]
        if not all(bool(torch.isfinite(value).all()) for value in state.values()):
            raise DivergenceError(
                f"'{network.name}' diverged while it learned from real images at lr {how.lr:g}. "
                f"Lower it: --set source.lr={how.lr / 10:g}"
            )
        return Trained(self._key(index), start, state, time.perf_counter() - started)

    def _images(self) -> RealData:
        asked, there = self.training.images, len(self.real)
        if asked is None or asked >= there:
            return self.real
        order = torch.randperm(there, generator=generator(self.seed, "pool", "images"))[:asked]
        return self.real.subset(order.to(self.real.device))

    def _augmentation(self) -> Augmentation | None:
        return augmentation_of(self.training.augmentation, self.real)

    def _key(self, index: int) -> str:
        network, training = self.network, self.training
        module = network.module
        tensors = [*module.named_parameters(), *module.named_buffers()]
        components = [("networks", network.name)]
        components += [("augmentations", name) for name in names_in(training.augmentation)]
        settings = training.model_dump(mode="json")
        return content_key(
            {
                "data": self.real.digest(),
                "network": [network.name, repr(module), {name: list(value.shape) for name, value in tensors}],
                "dtype": str(network.dtype),
                "training": {name: settings[name] for name in NetworkTraining.model_fields},
                "seed": [self.seed, index],
                "device": network.device.type,
                "versions": {"torch": torch.__version__} | revisions(components),
            }
        )

    def _path(self, key: str) -> Path | None:
        return None if self.cache is None else self.cache / FOLDER / f"{key}.safetensors"

    def _find(self, key: str) -> Trained | None:
        """Return a network that somebody holds or that is kept, or None; a file that cannot be used counts as none."""
        from limbeck.distillation.checkpoint import split, unsealed  # whose package imports this module

        device, path = self.network.device, self._path(key)
        found = _alive.get(f"{key} {device}")
        if found is not None or path is None:
            return found
        try:
            tensors = unsealed(path.read_bytes())[1]
            placed = {name: value.to(device) for name, value in tensors.items() if name != "seconds"}
            found = Trained(key, split(placed, "start"), split(placed, "state"), float(tensors["seconds"]))
        except (OSError, ValueError, KeyError):
            return None
        _alive[f"{key} {device}"] = found
        return found

    def _keep(self, trained: Trained) -> Trained:
        from limbeck.distillation.checkpoint import join, sealed

        _alive[f"{trained.key} {self.network.device}"] = trained
        path = self._path(trained.key)
        if path is not None:
            tensors: dict[str, Tensor] = join("start", trained.start) | join("state", trained.state)
            with contextlib.suppress(LimbeckError):  # what was learned counts, not whether it could be kept
                write_atomic(path, sealed(trained.key, tensors | {"seconds": torch.tensor(trained.seconds)}))
        return trained


def augmentation_of(spec: Spec | None, real: RealData) -> Augmentation | None:
    """Return the augmentation of a training by its name, fit for the images; None where none is named.

    Raises:
        UsageError: what is named is none.
    """
    if spec is None:
        return None
    found = registry().create("augmentations", spec.model_dump())
    if not isinstance(found, Augmentation):
        raise UsageError(f"'{spec.name}' is no augmentation. 'limbeck list augmentations' shows all.")
    return found.for_data(real.spec)


def revisions(components: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the versions of what provides them; a structure that was built by hand has none."""
    found: dict[str, str] = {}
    for kind, name in components:
        with contextlib.suppress(UnknownNameError):
            entry = registry().entry(kind, name)
            provider = f"{entry.distribution} {entry.revision}"
            if provider not in found.values():
                found[f"{kind}/{name}"] = provider
    return found
