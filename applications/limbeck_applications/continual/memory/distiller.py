"""Making pieces: one experience's images in, a synthetic set out, through the ordinary engine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from limbeck.config import RunConfig, flatten, merge
from limbeck.configure import configure
from limbeck.continued import run_on
from limbeck.data import DataSet, DataSpec, RealData
from limbeck.distillation.start import formation_of
from limbeck.errors import ArtifactError, UsageError
from limbeck.files import content_key, read_json, write_json
from limbeck.networks import build_network
from limbeck.options import Options
from limbeck.runs import Finished, Listener, run
from limbeck.seeding import generator
from limbeck.synthetic import SyntheticSet
from limbeck.synthetic.sets import Storage
from limbeck_applications.continual.memory.budget import image_bytes
from limbeck_applications.continual.memory.importance import by_importance
from limbeck_applications.continual.memory.labels import check_kept, projector_of
from limbeck_applications.continual.memory.piece import Piece

RUN, PIECE = "run", "piece.json"


class MemorySpec(Options):
    """A memory, as users name it: a method, and how its images are kept."""

    method: str = Field(description="registered method that makes the images; random and herding pick real ones")
    ipc: int | None = Field(None, ge=1, description="images a class; as many as the budget holds when not given")
    storage: Storage = Field("uint8", description="number format of the pixels kept")
    profile: Literal["published", "small"] = Field("small", description="the method's settings")
    seconds: float | None = Field(None, gt=0, description="time for distilling each experience")
    steps: int | None = Field(None, ge=1, description="updates for each experience; the method's own when not given")
    network: str | None = Field(None, description="network to look through; the one that learns when not given")
    shrink: Literal["importance", "redistil"] = Field(
        "importance", description="when the share of old classes falls: drop the least important, or distil again"
    )
    settings: dict[str, Any] = Field({}, description="further sections of the run, such as optimiser")

    @property
    def name(self) -> str:
        """What tables call it where no other memory of its study would be called the same."""
        short = {key.removesuffix(".name").rpartition(".")[2]: value for key, value in flatten(self.settings).items()}
        return self._named({"method", "settings", "seconds", "steps"}, short)

    @property
    def full_name(self) -> str:
        """Everything that differs from the defaults, such as ``dm 500 steps`` or ``dm float32 optimiser.lr_img=1``."""
        return self._named({"method", "settings"}, flatten(self.settings))

    def _named(self, left_out: set[str], settings: Mapping[str, Any]) -> str:
        given = self.model_dump(exclude_defaults=True, exclude=left_out)
        units = {"seconds": "{:g} s", "steps": "{} steps"}
        parts = (units.get(key, "{}").format(value) for key, value in given.items())
        return " ".join([self.method, *parts, *(f"{key}={written(value)}" for key, value in settings.items())])


class Distiller:
    """Makes pieces by one method.

    Args:
        spec: the method, and how its images are kept.
        network: to look through where ``spec`` names none.
        device: where to compute.
        folder: keeps every piece under a name made of its settings and its real images, so that none is made twice and
            one that was cut off goes on from its checkpoint. Without it nothing is written.
        cache: for networks that do not depend on the piece alone, such as a selector's.

    Raises:
        UsageError: an unknown method, or settings that it does not take.
    """

    def __init__(
        self,
        spec: MemorySpec,
        *,
        network: str | None = None,
        device: torch.device | str = "cpu",
        folder: Path | None = None,
        cache: Path | None = None,
    ) -> None:
        self.spec, self.network, self.device = spec, spec.network or network, torch.device(device)
        self.folder, self.cache = folder, cache

    def config(self, data: str, ipc: int, seed: int) -> RunConfig:
        """Return the run that makes a piece.

        Pixels that are kept as bytes are held in [0, 1] from the start, unless the settings say otherwise: what lies
        outside would be cut off at the end.
        """
        spec = self.spec
        asked: dict[str, Any] = {
            "ipc": ipc,
            "seed": seed,
            "data": {"name": data},
            "storage": spec.storage,
            "evaluation": {"networks": 0},
            "execution": {"device": str(self.device)},
        }
        if self.network:
            asked["network"] = self.network
        if spec.storage == "uint8":
            asked["optimiser"] = {"clamp": True}
        limits = {key: value for key in ("seconds", "steps") if (value := getattr(spec, key)) is not None}
        found = configure(spec.method, None, spec.profile, merge(asked, spec.settings))
        if limits and found.matcher is not None:
            found = configure(spec.method, None, spec.profile, merge(merge(asked, spec.settings), {"budget": limits}))
        return found

    def cost(self, spec: DataSpec, classes: int) -> int:
        """Return the bytes of one image with its label in a piece of ``classes`` classes."""
        soft = classes if projector_of(self.config(spec.name, 1, 0)).learns() else 0
        return image_bytes(spec, self.spec.storage, soft)

    def most(self, real: RealData, classes: Sequence[int]) -> int:
        """Return how many images of each of these classes there are real ones to start from, at least 1."""
        formation = formation_of(self.config(real.spec.name, 1, 0), real.spec)
        sizes = torch.bincount(real.labels, minlength=real.spec.num_classes)[list(classes)]
        return max(1, int(sizes.min()) // formation.starts_from)

    def distil(self, real: RealData, classes: Sequence[int], ipc: int, seed: int, experience: int = 0) -> Piece:
        """Make a piece of one experience.

        Args:
            real: its training images; labels are the stream's.
            classes: which of the stream's classes they are.
            ipc: images a class.
            seed: of the run.
            experience: its number in the stream.

        Raises:
            UsageError: the method refuses these images or settings.
            DivergenceError: the loss stopped being finite.
        """
        data = of_classes(real, classes)
        config = self.config(data.spec.name, ipc, seed)
        projector_of(config)
        key = self.key(config, data.train.digest(), classes)
        kept = self.load(key)
        if kept is not None:
            return replace(kept, experience=experience)
        made = _of_classes(check_kept(self._run(config, data, key).synthetic), classes)
        seconds = made.provenance["seconds"] + float(made.provenance.get("features_seconds") or 0.0)
        piece = Piece(made, tuple(classes), experience, seconds)
        return self.save(piece if config.matcher is None else self.ordered(piece, real, config), key)

    def stored(self, real: RealData, classes: Sequence[int], ipc: int, seed: int) -> bool:
        """Whether the piece that ``distil`` would return is there already."""
        data = of_classes(real, classes)
        return self.load(self.key(self.config(data.spec.name, ipc, seed), data.train.digest(), classes)) is not None

    def key(self, config: RunConfig, digest: str, classes: Sequence[int]) -> str:
        """Return a short name that changes with every setting and image a piece depends on."""
        budget = config.budget.model_dump(mode="json", exclude_none=True)
        identity = [config.identity(), budget, digest, list(classes), self.device.type]
        return f"{self.spec.method}-{content_key(identity)[:12]}"

    def load(self, key: str) -> Piece | None:
        """Return a stored piece, or None where there is none that can be read."""
        if self.folder is None or not (self.folder / key / PIECE).exists():
            return None
        try:
            stated = read_json(self.folder / key / PIECE)
            made = SyntheticSet.load(self.folder / key)
        except (ArtifactError, ValueError, OSError):
            return None
        return Piece(made, tuple(stated["classes"]), stated["experience"], stated["seconds"], key)

    def save(self, piece: Piece, key: str) -> Piece:
        """Store a piece; the file with its name is written last."""
        if self.folder is None:
            return piece
        piece.made.save(self.folder / key)
        write_json(
            self.folder / key / PIECE,
            {"classes": list(piece.classes), "experience": piece.experience, "seconds": piece.seconds},
        )
        return replace(piece, name=key)

    def ordered(self, piece: Piece, real: RealData, config: RunConfig) -> Piece:
        """Return the piece with the images of each class in the order of falling importance; it counts as making it.

        Not asked for real images that a selector picked: they stay in the order they were picked in.
        """
        started = time.perf_counter()
        network = build_network(config.network, piece.made.spec, self.device)
        rows = by_importance(piece, real, network, generator(config.seed, "importance", device=self.device))
        return replace(piece.subset(rows), seconds=piece.seconds + time.perf_counter() - started)

    def _run(self, config: RunConfig, data: DataSet, key: str) -> Finished:
        if self.folder is None:
            return run(config, data, cache=self.cache, listener=Listener(warned=lambda text: None))
        return run_on(config, data, folder=self.folder / key / RUN, cache=self.cache, page=False)


def written(value: Any) -> str:
    """Return a setting as it is typed."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _of_classes(made: SyntheticSet, classes: Sequence[int]) -> SyntheticSet:
    """Say of which classes of its data set a set is made, so that it is measured on those."""
    source = {**made.provenance["data"], "classes": list(classes)}
    return made.with_(provenance={**made.provenance, "data": source})


def of_classes(real: RealData, classes: Sequence[int]) -> DataSet:
    """Return images of some classes as a data set of their own, classes numbered from 0; nothing is tested on it.

    Raises:
        UsageError: a class without images.
    """
    names = real.spec.class_names
    spec = replace(real.spec, num_classes=len(classes), class_names=tuple(names[c] for c in classes))
    own = torch.full((real.spec.num_classes,), -1, device=real.device)
    own[torch.tensor(classes, device=real.device)] = torch.arange(len(classes), device=real.device)
    labels = own[real.labels]
    for position, c in enumerate(classes):
        if not bool((labels == position).any()):
            raise UsageError(f"there is no image of class {c} ('{names[c]}') to distil.")
    kept = (labels >= 0).nonzero().flatten()
    held = RealData(real.images[kept], labels[kept], spec, device=real.device, dtype=real.dtype)
    return DataSet(spec, held, held)
