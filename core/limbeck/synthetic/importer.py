"""Importers: readers of synthetic sets that other projects published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.component import Component
from limbeck.data import DataSpec
from limbeck.errors import ArtifactError, LimbeckError, UsageError
from limbeck.evaluation import Protocol, Recipe
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.synthetic.sets import LabelKind, SyntheticSet


@dataclass(frozen=True)
class Published:
    """What an importer found: tensors as they are in the files, and how their authors used them.

    Attributes:
        images: [n, ch, h, w]: floats normalised as ``spec`` says, or uint8 pixels.
        labels: class ids [n] of any integer type (or floats that are whole), or soft labels [n, C].
        spec: the real data's, with the mean and deviation (or the whitening) of *that* project.
        files: name and SHA-256 of every file that was read.
        network: what its authors trained on it.
        protocol: how they measured it, a component with options.
        augmentation: of the training images, likewise; None for none.
        learned_lr: the learning rate that was learned with the images, or None.
        label_kind: what ``labels`` hold; when None, whole numbers are classes, rows that sum to 1 probabilities, and
            others logits.
        group: of each image, int64 [n]; the class when None.
        recipe: a whole recipe in place of network, protocol and augmentation, where the files hold one.
        method: that made the set, where the files say so.
        provenance: where it came from, beside what ``import_set`` adds.
        figures: accuracies that the files state.
        component_state: tensors of components that travel with the set.
    """

    images: Tensor
    labels: Tensor
    spec: DataSpec
    files: Mapping[str, str]
    network: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Mapping[str, Any] | None = None
    learned_lr: float | None = None
    label_kind: LabelKind | None = None
    group: Tensor | None = None
    recipe: Mapping[str, Any] | None = None
    method: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    component_state: Mapping[str, Tensor] = field(default_factory=dict)


class Importer(Component, ABC):
    """Reads the files of one project; shapes, labels and numbers are checked by ``import_set``."""

    @property
    def preprocessing(self) -> str:
        """How the real data must be loaded for this set: ``"standard"``, or ``"zca"`` where it was whitened."""
        return "standard"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Tell whether ``path`` looks like this project's, from names and keys, without loading anything."""
        return False

    def described(self, path: Path) -> DataSpec | None:
        """Return the data's specification where the files hold it, so that no data set need be named."""
        return None

    @abstractmethod
    def read(self, path: Path, spec: DataSpec) -> Published:
        """Read the files at ``path``.

        Args:
            path: file or folder.
            spec: of the real data that the user named, or what ``described`` returned.

        Raises:
            ArtifactError: the files are damaged or hold code.
            UsageError: they are not this project's.
        """


def import_set(
    path: str | Path,
    importer: str | Mapping[str, Any] | None = None,
    spec: DataSpec | None = None,
    *,
    network: str | None = None,
    protocol: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> SyntheticSet:
    """Read a synthetic set that another project published.

    Args:
        path: file or folder.
        importer: who reads it, by name, or with options; when None, the only one that recognises it.
        spec: of the real data it was made from (``load_dataset("cifar10").spec``).
        network: another network than its authors trained on it.
        protocol: another way to measure it than theirs.
        data: how that real data is loaded again (``{"name": "cifar10", ...}``); ``spec.name`` when None.

    Raises:
        ArtifactError: files that are damaged or hold code.
        UsageError: files of another sort, or tensors that do not fit the data.
    """
    path = Path(path)
    chosen = importer or guess(path)
    reader: Importer = registry().create("importers", chosen)
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}. Give the set that was published.")
    own = reader.described(path)
    agreed = _agreed(own, spec, path)
    if agreed.preprocessing != reader.preprocessing and own is None:
        raise UsageError(
            f"this set is read for data with preprocessing={reader.preprocessing}, but '{agreed.name}' was loaded with "
            f"preprocessing={agreed.preprocessing}. Load it with preprocessing={reader.preprocessing}."
        )
    found = reader.read(path, agreed)
    images, space = _images(found, path)
    labels, kind = _labels(found, path, is_whole=own is None)
    group = labels if labels.dim() == 1 else labels.argmax(1)
    return SyntheticSet(
        images=images,
        labels=labels,
        label_kind=kind,
        group=(group if found.group is None else found.group).to(torch.int64).clone(),
        spec=found.spec,
        space="unit" if space == "uint8" else "normalised",
        storage="uint8" if space == "uint8" else "float32",
        recipe=_recipe(found, network, protocol).to_dict(),
        provenance={**_provenance(found, reader, data), **found.provenance},
        figures=dict(found.figures),
        component_state=dict(found.component_state),
    )


def guess(path: Path) -> str:
    """Return the name of the only importer that recognises ``path``.

    Raises:
        UsageError: none does, or several do.
    """
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}. Give the set that was published.")
    names = [name for name in registry().names("importers") if _recognises(name, path)]
    if len(names) == 1:
        return names[0]
    known = ", ".join(names or registry().names("importers"))
    problem = "could be a set of several projects" if names else "is like no set that an importer knows"
    raise UsageError(f"{path} {problem}. Say whose it is with --from: {known}.")


def _recognises(name: str, path: Path) -> bool:
    try:
        cls, _ = registry().load("importers", name)
    except LimbeckError:
        return False
    return issubclass(cls, Importer) and cls.recognises(path)


def _agreed(own: DataSpec | None, asked: DataSpec | None, path: Path) -> DataSpec:
    """Return the specification to read with: the files' own, which must not contradict the one asked for."""
    if own is None and asked is None:
        raise UsageError(f"{path} does not say which data it stands for. Name them, for example --like cifar10.")
    if own is not None and asked is not None and (own.shape, own.num_classes) != (asked.shape, asked.num_classes):
        raise UsageError(
            f"{path} states images of {_size(own)} in {own.num_classes} classes, but '{asked.name}' has {_size(asked)} "
            f"in {asked.num_classes}. Name the data it was made from, for example --like {own.name}, or none."
        )
    return own or asked  # type: ignore[return-value]


def _images(found: Published, path: Path) -> tuple[Tensor, str]:
    """Return the images as a set wants them, and "uint8" where they are pixels."""
    images, spec = found.images.detach(), found.spec
    shape, wanted = list(images.shape), list(spec.shape)
    if shape[1:] != wanted:
        last = shape[1:] == [*wanted[1:], wanted[0]] and len(shape) == 4
        told = "channels stand last in it; save images.permute(0, 3, 1, 2)" if last else "name its data with --like"
        raise UsageError(
            f"{path} holds images {shape}, but '{spec.name}' has [n, {', '.join(map(str, wanted))}]: {told}."
        )
    if not len(images):
        raise UsageError(f"{path} holds no images: its list of them is empty.")
    if images.dtype == torch.uint8:
        return images.float() / 255, "uint8"
    images = images.float().contiguous()
    bad = (~torch.isfinite(images)).flatten(1).any(1)
    if bad.any():
        raise ArtifactError(
            f"{path} holds NaN or infinite pixels in {int(bad.sum())} of {len(images)} images, first in image "
            f"{int(bad.nonzero()[0])}. Ask its publisher for another file, or take another iteration of it."
        )
    return images, "float32"


def _labels(found: Published, path: Path, *, is_whole: bool) -> tuple[Tensor, LabelKind]:
    """Return class ids int64 [n] or soft labels float32 [n, C], with their kind."""
    labels, spec, n = found.labels.detach(), found.spec, len(found.images)
    classes = spec.num_classes
    if list(labels.shape) not in ([n], [n, classes]):
        raise UsageError(
            f"{path} holds labels {list(labels.shape)} for {n} images, but '{spec.name}' has {classes} classes: "
            f"labels must be [{n}] or [{n}, {classes}]. Name its data with --like."
        )
    if labels.is_floating_point() and not torch.isfinite(labels).all():
        raise ArtifactError(f"{path} holds NaN or infinite labels. Ask its publisher for another file.")
    if labels.dim() == 2:
        soft = labels.float().contiguous()
        return soft, found.label_kind or _kind_of(soft)
    ids = labels.to(torch.int64)
    if not torch.equal(ids.to(labels.dtype), labels):
        raise UsageError(f"{path} holds labels that are neither whole numbers nor one row for each image.")
    strange = ((ids < 0) | (ids >= classes)).nonzero().flatten()
    if len(strange):
        first = int(strange[0])
        raise UsageError(
            f"{path} holds label {int(ids[first])} (image {first}), but '{spec.name}' has classes 0 to {classes - 1}. "
            "Name its data with --like."
        )
    present = int((torch.bincount(ids, minlength=classes) > 0).sum())
    if is_whole and present < classes:
        raise UsageError(
            f"{path} holds images of {present} classes, but '{spec.name}' has {classes}. Name its data with --like."
        )
    return ids.clone(), "hard"


def _kind_of(soft: Tensor) -> LabelKind:
    is_probability = bool((soft >= 0).all()) and bool(((soft.sum(1) - 1).abs() < 1e-3).all())
    return "probabilities" if is_probability else "logits"


def _recipe(found: Published, network: str | None, protocol: Mapping[str, Any] | None) -> Recipe:
    """Return how networks are to be trained on the set: the user's word, else its own, else its authors'."""
    stored = Recipe.from_dict(
        found.recipe
        or {
            "network": found.network,
            "epochs": 0,
            "augmentation": found.augmentation,
            "learned_lr": found.learned_lr,
            "made_with": found.network,
        }
    )
    name = network or stored.network
    build_network(name, found.spec)  # refuses one that does not take these images
    if found.recipe and not protocol:
        return stored.with_(network=name)
    procedure: Protocol = registry().create("protocols", {**found.protocol, **(protocol or {})})
    return procedure.recipe(name, stored).with_(learned_lr=stored.learned_lr)


def _provenance(found: Published, reader: Importer, data: Mapping[str, Any] | None) -> dict[str, Any]:
    entry = registry().entry("importers", reader.name)
    options = reader.options.model_dump(mode="json", exclude_defaults=True)
    return {
        "method": found.method,
        "data": dict(data or {"name": found.spec.name}),
        "importer": {"name": reader.name, "options": options, "files": dict(found.files)},
        "plugins": [
            {"kind": entry.kind, "name": entry.name, "distribution": entry.distribution, "version": entry.version}
        ],
    }


def _size(spec: DataSpec) -> str:
    return "x".join(map(str, spec.shape))
