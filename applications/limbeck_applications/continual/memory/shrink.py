"""Two ways to make a piece of a memory smaller: drop what matters least, or distil it once more.

Both are for memories of fixed size, in which the share of old classes falls with every experience. The real images of
an old experience are gone by then, so distilling again learns from the old synthetic images, and what they lack stays
lost. It takes a run for each old piece; dropping takes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from limbeck.data import RealData
from limbeck.errors import UsageError
from limbeck.files import format_bytes
from limbeck_applications.continual.memory.piece import Piece

if TYPE_CHECKING:
    from limbeck_applications.continual.memory.distiller import Distiller


def keep_best(piece: Piece, ipc: int) -> Piece:
    """Return a piece of the first ``ipc`` images of each class, which are its most important ones.

    What travels with the images, such as a formation's weights, stays.

    Args:
        piece: class by class, the most important images first.
        ipc: images a class; a piece with no more is returned as it is.

    Raises:
        UsageError: less than one image.
    """
    _check(ipc)
    if max(piece.counts) <= ipc:
        return piece
    group = piece.made.group
    kept = [(group == place).nonzero().flatten()[:ipc] for place in range(len(piece.classes))]
    return _told(
        piece.subset(torch.cat(kept)), piece, f"the {ipc} most important of {max(piece.counts)} images a class"
    )


def fitting(piece: Piece, share: int) -> int:
    """Return how many images a class ``share`` bytes for each class hold, with what travels with them.

    Raises:
        UsageError: not one.
    """
    made, classes = piece.made, len(piece.classes)
    travelling = sum(tensor.nbytes for tensor in made.component_state.values())
    cost = (made.bytes - travelling) // len(made) * classes
    fits = (share * classes - travelling) // cost
    if fits < 1:
        with_them = f" with the {format_bytes(travelling)} that travel with them" if travelling else ""
        raise UsageError(
            f"{classes} classes may take {format_bytes(share * classes)}, but one image of each takes "
            f"{format_bytes(cost + travelling)}{with_them}. Allow more, for example --images 10, keep less a number "
            "with storage=uint8, or take a method that keeps images and labels alone."
        )
    return fits


def redistil(piece: Piece, ipc: int, distiller: Distiller, seed: int) -> Piece:
    """Return a new piece whose real images are the training images that the old one forms.

    The old images become pixels first: 256 levels between 0 and 1, as real images have them. Soft labels become the
    class that each image stands for, and are learned anew where the method learns labels.

    Args:
        piece: what is there of the experience.
        ipc: images a class.
        distiller: of the memory.
        seed: of the run.

    Raises:
        UsageError: less than one image, or a method that these few images do not suffice for.
    """
    _check(ipc)
    made = distiller.distil(as_real(piece), piece.classes, ipc, seed, piece.experience)
    if "shrunk" in made.made.provenance:
        return made
    told = _told(made, piece, f"distilled again from {max(piece.counts)} synthetic images a class")
    return distiller.save(told, made.name)


def as_real(piece: Piece) -> RealData:
    """Return the training images that a piece forms as real ones, labelled with the classes of the stream."""
    images, stored = piece.training_images()
    spec, highest = piece.made.spec, max(piece.classes)
    names = dict(zip(piece.classes, spec.class_names, strict=True))
    known = replace(
        spec, num_classes=highest + 1, class_names=tuple(names.get(c, f"class {c}") for c in range(highest + 1))
    )
    labels = torch.tensor(piece.classes)[piece.made.group[stored]]
    return RealData(known.denormalise(images).clamp(0, 1), labels, known)


def _check(ipc: int) -> None:
    if ipc < 1:
        raise UsageError(f"a memory cannot shrink to {ipc} images a class; it keeps at least 1 of each.")


def _told(smaller: Piece, before: Piece, what: str) -> Piece:
    """Return the smaller piece with a note of what was done, after those of what had been done before."""
    notes = [*before.made.provenance.get("shrunk", []), what]
    return replace(smaller, made=smaller.made.with_(provenance={**smaller.made.provenance, "shrunk": notes}))
