"""An experience of Avalanche as tensors, and a memory's tensors as a data set of Avalanche."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from limbeck.data import DataSpec, RealData
from limbeck.errors import LimbeckWarning, UsageError
from limbeck_applications.continual.bridge import preprocessing
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.preprocessing import HOW, Statistics

CUSTOM = "custom"
"""What images of no registered data set are called."""

TOLERANCE = 1e-3
"""How far from [0, 1] a pixel may be found, by rounding, once mean and std are undone."""


@dataclass(frozen=True)
class Arrived:
    """What an experience brought, read once.

    Attributes:
        real: its images, as bytes; labels are the stream's.
        classes: that are among them, ascending.
        arity: 2 where samples are (x, y), 3 where they are (x, y, task label).
        task: its task label; 0 where there is none.
    """

    real: RealData
    classes: tuple[int, ...]
    arity: int
    task: int


@dataclass(frozen=True)
class Classes:
    """Which classes a stream has.

    Attributes:
        number: one more than the highest.
        missing: those of its data that are in none of its experiences.
        experiences: how many there are.
    """

    number: int
    missing: tuple[int, ...]
    experiences: int


def classes_of(experience: Any, asked: int | None) -> Classes:
    """Return the classes of the stream that an experience belongs to.

    Args:
        experience: of Avalanche.
        asked: how many classes the user says there are.

    Raises:
        UsageError: the stream has a class that is not below ``asked``, or lacks one that is.
    """
    stream = _stream(experience)
    found = {int(label) for each in stream for label in each.dataset.targets.uniques}
    if asked is None:
        known = _known(experience) if found <= _known(experience) else set()
        return Classes(max(found | known) + 1, tuple(sorted(known - found)), len(stream))
    if max(found) >= asked:
        raise UsageError(f"the stream has a class {max(found)}, so num_classes must be above it, not {asked}.")
    missing = tuple(sorted(set(range(asked)) - found))
    if missing and len(stream) > 1:
        raise UsageError(f"{lost(missing, len(stream))} Or give the right num_classes, here {asked}.")
    return Classes(asked, missing, len(stream))


def lost(missing: Sequence[int], experiences: int) -> str:
    """Say which classes a stream has lost, and what most likely happened."""
    named = ", ".join(map(str, missing[:5])) + (" and more" if len(missing) > 5 else "")
    return (
        f"class {named} is in none of the stream's {experiences} experiences: class_incremental_benchmark(..., "
        "num_experiences=...) drops what does not divide evenly. Type num_classes_per_exp=[4, 3, 3] in its place, "
        "with the numbers of your stream."
    )


def arrived(
    experience: Any, num_classes: int, statistics: Statistics | None, mirror: bool | None, device: torch.device
) -> Arrived:
    """Read an experience once, under its transforms for evaluation.

    Its global random numbers are the caller's to lend.

    Args:
        experience: of Avalanche.
        num_classes: of the stream.
        statistics: mean and std that its images are normalised with, as the user says; looked for when None.
        mirror: whether a horizontal flip keeps a class; looked for when None.
        device: where the images are kept.

    Raises:
        UsageError: samples of several sizes or task labels, images that are no tensors, or whose mean and std are
            neither found nor given.
    """
    dataset = experience.dataset
    statistics = preprocessing.statistics_of(dataset) if statistics is None else statistics
    if drawn := preprocessing.random_steps(dataset):
        warnings.warn(
            f"the stream's evaluation transform draws random numbers ({', '.join(drawn)}), so the memory is distilled "
            "from transformed images. Give it an eval transform of its own.",
            LimbeckWarning,
            stacklevel=2,
        )
    images, labels, tasks, arity = _read(dataset.eval())
    mean, std = preprocessing.for_channels(statistics, images.shape[1])
    mirror = preprocessing.is_mirrored(dataset) if mirror is None else mirror
    names = tuple(map(str, range(num_classes)))
    shape = (images.shape[1], images.shape[2], images.shape[3])
    spec = DataSpec(CUSTOM, shape, num_classes, names, mean, std, mirror)
    pixels = _pixels(spec.denormalise(images), statistics)
    real = RealData(pixels, labels, spec, device=device)
    return Arrived(real, tuple(sorted(set(labels.tolist()))), arity, tasks)


def check_arity(experience: Any, arity: int) -> None:
    """Refuse a sample of another size than those before.

    Raises:
        UsageError: says both, and what makes them one.
    """
    for each in _stream(experience):
        if len(each.dataset) and (found := len(each.dataset.eval()[0])) != arity:
            raise UsageError(_mixed(found, arity))


def as_dataset(images: Tensor, classes: Tensor, tasks: Tensor | None) -> Any:
    """Return tensors as a data set of Avalanche that no transform touches.

    Args:
        images: normalised [m, ch, h, w].
        classes: int64 [m].
        tasks: task labels int64 [m] for a stream of (x, y, t), or None for one of (x, y).
    """
    library = avalanche().benchmarks.utils
    samples = Samples(images, classes.tolist())
    if tasks is None:
        return library.as_classification_dataset(samples)
    attributes = [
        library.DataAttribute(samples.targets, "targets"),
        library.DataAttribute(_runs(tasks), "targets_task_labels", use_in_getitem=True),
    ]
    return library.TaskAwareSupervisedClassificationDataset([samples], data_attributes=attributes)


class Samples(Dataset[tuple[Tensor, int]]):
    """Tensors with the attribute ``targets``, which Avalanche looks for.

    Args:
        images: [m, ch, h, w].
        targets: class of each.
    """

    def __init__(self, images: Tensor, targets: list[int]) -> None:
        self.images, self.targets = images, targets

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.targets[index]


def _runs(tasks: Tensor) -> Any:
    """Return task labels as the library itself keeps them: in constant runs, which join those of an experience."""
    flat = avalanche().benchmarks.utils.flat_data
    values, counts = (each.tolist() for each in torch.unique_consecutive(tasks, return_counts=True))
    runs = [flat.ConstantSequence(value, count) for value, count in zip(values, counts, strict=True)]
    return runs[0] if len(runs) == 1 else flat.FlatData(runs)


def _stream(experience: Any) -> Sequence[Any]:
    """Return all experiences of the stream, or the one where they cannot be looked at ahead of time."""
    stream = getattr(experience, "origin_stream", None)
    return list(stream) if isinstance(stream, Sequence) else [experience]


def _known(experience: Any) -> set[int]:
    """Return the classes of the data sets underneath, where the benchmark does not check by itself."""
    if hasattr(experience, "benchmark"):
        return set()
    return {int(label) for root in preprocessing.roots(experience.dataset) for label in _targets(root)}


def _targets(root: Any) -> Iterable[Any]:
    targets = getattr(root, "targets", ())
    return set(targets.tolist() if isinstance(targets, Tensor) else targets)


def _read(dataset: Any) -> tuple[Tensor, Tensor, int, int]:
    """Return images, labels, the task label and the size of samples."""
    first = dataset[0]
    arity = len(first)
    if not isinstance(first[0], Tensor) or first[0].ndim != 3 or not first[0].is_floating_point():
        found = f"{first[0].dtype} {list(first[0].shape)}" if isinstance(first[0], Tensor) else type(first[0]).__name__
        raise UsageError(
            f"a distilled memory needs images that are float tensors [channels, height, width], but found {found}. "
            "Put ToTensor() into the stream's transforms."
        )
    images, labels, tasks = [], [], set()
    for index in range(len(dataset)):
        sample = dataset[index]
        if len(sample) != arity:
            raise UsageError(_mixed(len(sample), arity))
        images.append(sample[0])
        labels.append(int(sample[1]))
        tasks.add(int(sample[2]) if arity > 2 else 0)
    if len(tasks) > 1:
        raise UsageError(f"an experience has {len(tasks)} task labels, but a piece of a distilled memory has one.")
    return torch.stack(images).float(), torch.tensor(labels), tasks.pop(), arity


def _pixels(pixels: Tensor, statistics: Statistics | None) -> Tensor:
    """Return pixels in [0, 1], or say why they are not."""
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        how = "no Normalize was found" if statistics is None else f"mean {statistics[0]} and std {statistics[1]} undone"
        raise UsageError(f"pixels must lie in [0, 1], but with {how} they lie between {low:.3g} and {high:.3g}. {HOW}")
    return pixels.clamp(0, 1)


def _mixed(found: int, before: int) -> str:
    return (
        f"samples of the stream have {found} values here, but {before} before: (x, y) and (x, y, task label) do not "
        "mix. Make all experiences of one benchmark: with_task_labels(benchmark) gives all of them labels."
    )
