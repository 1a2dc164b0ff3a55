"""Soft labels kept with the views they belong to: a teacher judges every view once, and students see the same views.

Paper: Shen and Xing, "A Fast Knowledge Distillation Framework for Visual Recognition" (FKD, arXiv:2112.01528),
section 3: for every image some augmented views are drawn, their parameters and the teacher's judgement of them are
kept, and training replays both, without a teacher. As SRe2L relabels its images (arXiv:2306.13092, section 3.3; public
code VILA-Lab/SRe2L, ``relabel``): for each of 300 passes the draw of every image and the teacher's logits in 16 bits.
Written from the definitions.

The same: a draw and one row of float16 logits for each image and pass; the label is softmax(z / T), so T can be chosen
when a student trains; the teacher is in eval mode and sees exactly what the student will see.

Different: views are those of the augmentation that the set's recipe names, with one operation a pass where it chooses
between operations (training without kept labels has one a batch); augmentations that mix images of a batch are
refused, where SRe2L keeps the composition of batches; numbers of a draw stay in 32 bits, or the views would be others;
students shuffle their batches as they like. Training longer than ``passes`` begins again with the first one. While
images are made, labels are those the set has then: there is no finished image to judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augment.base import Augmentation, Draw
from limbeck.errors import UsageError
from limbeck.execution.memory import available_memory, format_bytes
from limbeck.seeding import generator
from limbeck.synthetic import LabelProjector, ProjectorContext
from limbeck_plugins.label_projectors.hard import HardLabels
from limbeck_plugins.label_projectors.teacher import TeacherLabels

TOGETHER = 1024
"""Views that the teacher judges in one pass."""


class StoredLabels(LabelProjector):
    """The logits of a teacher for the views of every training image, in as many passes as are kept."""

    labels_views = True

    class Options(TeacherLabels.Options):
        """Which network teaches, how it is trained, and how many passes are kept."""

        passes: int = Field(300, ge=1, description="passes over the set whose views and labels are kept")

    trial_options: ClassVar = {"passes": 3, "epochs": 1}

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._kept: dict[str, Tensor] = {}

    def prepare(self, context: ProjectorContext) -> None:
        """Check what was loaded against the set and what students will train with.

        Raises:
            UsageError: it belongs to other images, classes or views, or more is to be kept than there is memory for.
        """
        self._refuse_too_many(context)
        self._before = HardLabels()
        self._before.prepare(context)
        self._device = context.device
        if self._kept:
            self._check(context)
            self._place(self._kept)

    def _refuse_too_many(self, context: ProjectorContext) -> None:
        """Refuse passes whose logits alone, two bytes each, are more than the memory that is free."""
        images, passes, free = len(context.labels), self.options.passes, available_memory(context.device)
        needed = 2 * passes * images * context.spec.num_classes
        if free is not None and needed > free:
            raise UsageError(
                f"labels.passes={passes} over {images} images are {format_bytes(needed)} of labels, and "
                f"{format_bytes(free)} of memory are free. Type fewer: --set labels.passes=300"
            )

    def finish(self, context: ProjectorContext) -> None:
        """Train the teacher and let it judge every view of every pass.

        Raises:
            UsageError: no real images to train it on, or views that are made of several images.
        """
        self.check_augmentation(context.augmentation)
        teacher = TeacherLabels(self.options)
        teacher.name = self.name
        teacher.prepare(context)
        if context.images is None:
            raise UsageError(f"label projector '{self.name}' labels finished images, and there are none yet.")
        self._place(self._judged(context.images, context.augmentation, teacher, context.seed))

    @property
    def by_training_image(self) -> bool:
        """True once labels are kept: images formed from one stored image have labels of their own."""
        return bool(self._kept)

    def plan(self, index: Tensor, epoch: int, generator: torch.Generator) -> Draw | None:
        """Return the draw kept for these images and this pass; none where the views are the images themselves."""
        if "u" not in self._kept:
            return None
        turn = epoch % len(self._kept["logits"])
        op = self._op[turn]
        rows = op[:1].expand(len(index)) if self._is_one_op[turn] else op[index.cpu()]
        return Draw(rows, self._kept["u"][turn, index])

    def labels(self, images: Tensor, index: Tensor, epoch: int, draw: Draw | None) -> Tensor:
        """Return softmax(z / T) of what the teacher made of these views [n, C]; the set's own labels before that."""
        if not self._kept:
            return self._before.labels(images, index, epoch, draw)
        kept = self._kept["logits"]
        logits = kept[epoch % len(kept), index].to(torch.promote_types(images.dtype, torch.float32))
        return torch.softmax(logits / self.options.temperature, dim=1).to(images.dtype)

    def bytes(self) -> int:
        """Return the size of all that is kept: logits, draws, and the augmentation they belong to."""
        return sum(int(tensor.nbytes) for tensor in self._kept.values())

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is kept; empty before there is anything.

        ``logits`` float16 [passes, m, C], each row's greatest 0; ``op`` [passes, m] and ``u`` [passes, m, columns] of
        the draws and ``augmentation``, a JSON text in bytes, where students see augmented views.
        """
        return dict(self._kept)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what was kept; nothing is trained or judged then."""
        self._kept = {name: value.detach().clone() for name, value in state.items()}
        if self._kept and hasattr(self, "_device"):
            self._place(self._kept)

    def _judged(
        self, images: Tensor, augmentation: Augmentation | None, teacher: TeacherLabels, seed: int
    ) -> dict[str, Tensor]:
        """Return the state for images [m, ch, h, w]."""
        if augmentation is None:
            return {"logits": _compact(_logits(images, teacher))[None]}
        stream = generator(seed, "views", device=images.device)
        draws = [augmentation.draw(len(images), stream, one_op=True) for _ in range(self.options.passes)]
        op = torch.stack([draw.op for draw in draws])
        return {
            "logits": torch.stack([_compact(_logits(images, teacher, augmentation, draw)) for draw in draws]),
            "op": op.to(torch.uint8) if int(op.max()) < 256 else op,
            "u": torch.stack([draw.u for draw in draws]),
            "augmentation": torch.frombuffer(bytearray(_described(augmentation).encode()), dtype=torch.uint8),
        }

    def _place(self, state: Mapping[str, Tensor]) -> None:
        """Keep the state where students train, and operations where they are chosen, on the CPU."""
        self._kept = {name: value.to(self._device) for name, value in state.items()}
        if "op" in state:
            self._op = state["op"].to("cpu", torch.int64)
            self._is_one_op = (self._op == self._op[:, :1]).all(1).tolist()

    def _check(self, context: ProjectorContext) -> None:
        logits, found = self._kept["logits"], bytes(self._kept.get("augmentation", torch.empty(0)).tolist()).decode()
        images, classes = logits.shape[1], context.spec.num_classes
        expected = images if context.images is None else len(context.images)
        if [images, logits.shape[-1]] != [expected, classes]:
            raise UsageError(
                f"labels '{self.name}' are kept for {images} images and {logits.shape[-1]} classes, but students train "
                f"on {expected} images with a head of {classes} classes. Distil again, or take labels=teacher."
            )
        asked = _described(context.augmentation)
        if found != asked:
            raise UsageError(
                f"labels '{self.name}' belong to views of augmentation {found or 'none'}, but students would train "
                f"with {asked or 'none'}. Leave the augmentation to the set's own recipe, or take labels=teacher."
            )


def _logits(
    images: Tensor, teacher: TeacherLabels, augmentation: Augmentation | None = None, draw: Draw | None = None
) -> Tensor:
    """Return what the teacher makes of images [m, ch, h, w] under a draw of m rows, [m, C], a few at a time."""
    found = []
    for index in torch.split(torch.arange(len(images)), TOGETHER):
        views = images[index.to(images.device)]
        if augmentation is not None and draw is not None:
            views = augmentation.apply(views, draw.rows(index))
        found.append(teacher.logits(views))
    return torch.cat(found)


def _compact(logits: Tensor) -> Tensor:
    """Return logits [m, C] in 16 bits, the greatest of a row at 0, where these are finest."""
    return (logits - logits.amax(1, keepdim=True)).half()


def _described(augmentation: Augmentation | None) -> str:
    """Name an augmentation and the options that differ from its defaults; nothing for none."""
    if augmentation is None:
        return ""
    options = augmentation.options.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"name": augmentation.name, **options}, sort_keys=True)
