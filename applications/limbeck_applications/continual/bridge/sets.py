"""Synthetic sets that were made before, in place of distilling while a stream is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.files import read_json
from limbeck.synthetic import SyntheticSet
from limbeck_applications.continual.memory.budget import image_bytes
from limbeck_applications.continual.memory.distiller import PIECE, Distiller, MemorySpec
from limbeck_applications.continual.memory.labels import check_kept
from limbeck_applications.continual.memory.piece import Piece
from limbeck_applications.continual.memory.shrink import keep_best

NEAR = 1e-3
"""How far mean and std may lie apart and still be the same preprocessing: published ones differ in the fourth digit."""


class StoredSets(Distiller):
    """Gives the images of sets made before, those of an experience's classes when it arrives.

    A set numbers its classes as the stream does, or is a piece that a study stored, which says what it calls them.

    Args:
        spec: what users asked for; its method is not run.
        sets: synthetic sets, or folders of some.
        stream: of the stream's images.

    Raises:
        UsageError: a set of another shape, other classes or other preprocessing than the stream's.
        ArtifactError: a folder that holds no set.
    """

    def __init__(self, spec: MemorySpec, sets: Sequence[SyntheticSet | str | Path], stream: DataSpec) -> None:
        super().__init__(spec)
        self.pieces = [fitting(as_piece(each, stream.num_classes), stream) for each in sets]

    def cost(self, spec: DataSpec, classes: int) -> int:
        """Return the most bytes that an image of any of the sets takes with its label."""
        made = [(piece.made, classes if piece.made.label_kind != "hard" else 0) for piece in self.pieces]
        return max(image_bytes(spec, each.storage, soft) for each, soft in made)

    def distil(self, real: RealData, classes: Sequence[int], ipc: int, seed: int, experience: int = 0) -> Piece:
        """Return the images of some classes, the first ``ipc`` of each; nothing is distilled.

        Raises:
            UsageError: no set has one of the classes, or one with soft labels has others besides.
        """
        for piece in self.pieces:
            if set(classes) <= set(piece.classes):
                return keep_best(replace(_part(piece, classes), experience=experience), ipc)
        known = sorted({c for piece in self.pieces for c in piece.classes})
        raise UsageError(
            f"no given set has images of all of the classes {', '.join(map(str, classes))} of this experience; they "
            f"have {', '.join(map(str, known))}. Give one set that has them."
        )


def as_piece(given: SyntheticSet | str | Path, num_classes: int) -> Piece:
    """Return a set as a piece of a memory.

    Args:
        given: a set with the stream's classes, or a folder: of such a set, or of a piece that a study stored.
        num_classes: of the stream.

    Raises:
        UsageError: it has another number of classes, and does not say which they are.
        UsageError: its labels need more than it holds, such as a teacher.
        ArtifactError: the folder holds no set.
    """
    made = given if isinstance(given, SyntheticSet) else SyntheticSet.load(given)
    if not isinstance(given, SyntheticSet) and (Path(given) / PIECE).exists():
        return Piece(made, tuple(read_json(Path(given) / PIECE)["classes"]))
    if made.spec.num_classes != num_classes:
        raise UsageError(
            f"a set of '{made.spec.name}' has {made.spec.num_classes} classes, but the stream has {num_classes}. "
            "Give a set of the whole data set, or num_classes= of the stream."
        )
    return Piece(check_kept(made), tuple(range(num_classes)))


def fitting(piece: Piece, stream: DataSpec) -> Piece:
    """Return a piece whose images are seen exactly as the stream's are.

    Raises:
        UsageError: it has another shape, or was made with other preprocessing.
    """
    made = piece.made
    if made.spec.shape != stream.shape:
        sizes = ["x".join(map(str, spec.shape)) for spec in (made.spec, stream)]
        raise UsageError(f"the set's images are {sizes[0]}, but the stream's are {sizes[1]}.")
    apart = max(
        abs(one - other)
        for name in ("mean", "std")
        for one, other in zip(getattr(made.spec, name), getattr(stream, name), strict=True)
    )
    if made.spec.whitening is not None or apart > NEAR:
        raise UsageError(
            f"the set was made with {_named(made.spec)}, but the stream's images are seen with {_named(stream)}. "
            "Give the stream the set's Normalize, or distil from images of the stream."
        )
    own = replace(made.spec, mean=stream.mean, std=stream.std)
    images = made.images if made.space == "unit" else own.normalise(made.spec.denormalise(made.images))
    return replace(piece, made=made.with_(images=images, spec=own))


def _named(spec: DataSpec) -> str:
    if spec.whitening is not None:
        return f"preprocessing '{spec.preprocessing}'"
    shown = [", ".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std)]
    return f"mean ({shown[0]}) and std ({shown[1]})"


def _part(piece: Piece, classes: Sequence[int]) -> Piece:
    """Return the images of some of a piece's classes, numbered anew in their order."""
    if tuple(classes) == piece.classes:
        return piece
    made = piece.made
    if made.label_kind != "hard":
        raise UsageError(
            f"a set with soft labels over {len(piece.classes)} classes cannot be cut into experiences: what the labels "
            "say of the others would be lost. Give one set an experience, or one with hard labels."
        )
    places = [piece.classes.index(c) for c in classes]
    rows = [(made.labels == place).nonzero().flatten() for place in places]
    new = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(each) for each in rows]))
    names = tuple(made.spec.class_names[place] for place in places)
    spec = replace(made.spec, num_classes=len(classes), class_names=names)
    cut = made.with_(images=made.images[torch.cat(rows)], labels=new, group=new, spec=spec)
    return replace(piece, made=cut, classes=tuple(classes))
