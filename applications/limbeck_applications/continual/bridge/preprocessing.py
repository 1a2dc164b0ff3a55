"""What a stream of Avalanche does to its images before a network sees them, read from its transforms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from limbeck.errors import UsageError

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

FLIP = "RandomHorizontalFlip"
NORMALIZE = "Normalize"
HOW = "Say it yourself: mean=(0.5,), std=(0.5,), one number a channel."


def transforms_of(dataset: Any, group: str) -> list[Any]:
    """Return single transforms of a data set's images, innermost first.

    Those of Avalanche's transform groups are found, and those of the torchvision data sets underneath, in whatever
    nest of ``Compose``, tuples and lists.

    Args:
        dataset: a data set of Avalanche or of torch.
        group: ``"train"`` or ``"eval"``, of Avalanche's groups.
    """
    found: list[Any] = []
    seen: set[int] = set()
    for part in _layers(dataset, seen):
        for attribute in ("_frozen_transform_groups", "_transform_groups"):
            groups = getattr(part, attribute, None)
            found += [] if groups is None else _flat(groups[group])
        found += _flat(getattr(part, "transform", None) if not hasattr(part, "_flat_data") else None)
    return found


def roots(dataset: Any) -> list[Any]:
    """Return the data sets that lie underneath all of Avalanche's and torch's wrappers."""
    return [part for part in _layers(dataset, set()) if not _inside(part)]


def statistics_of(dataset: Any) -> Statistics | None:
    """Return mean and std of the one ``Normalize`` in a data set's transforms for evaluation, or None.

    Raises:
        UsageError: there are several that differ.
    """
    steps = transforms_of(dataset, "eval")
    found = {_statistics(step) for step in steps if type(step).__name__ == NORMALIZE}
    if len(found) > 1:
        raise UsageError(f"the stream's evaluation transforms normalise in {len(found)} ways. {HOW}")
    return found.pop() if found else None


def is_mirrored(dataset: Any) -> bool:
    """Whether the stream itself flips its training images, so that a flip keeps their class."""
    return any(type(step).__name__ == FLIP for step in transforms_of(dataset, "train"))


def random_steps(dataset: Any) -> list[str]:
    """Return the names of transforms for evaluation that draw random numbers, as torchvision calls them."""
    names = [type(step).__name__ for step in transforms_of(dataset, "eval")]
    return [name for name in names if name.startswith("Random")]


def given_statistics(mean: Sequence[float] | None, std: Sequence[float] | None) -> Statistics | None:
    """Return what the user gave, or None.

    Raises:
        UsageError: one without the other.
    """
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise UsageError(f"mean and std belong together, but only {'std' if mean is None else 'mean'} was given. {HOW}")
    return tuple(map(float, mean)), tuple(map(float, std))


def for_channels(statistics: Statistics | None, channels: int) -> Statistics:
    """Return mean and std of each channel; 0 and 1 where nothing is normalised.

    Raises:
        UsageError: another number of channels.
    """
    mean, std = ((0.0,), (1.0,)) if statistics is None else statistics
    if {len(mean), len(std)} - {1, channels}:
        raise UsageError(
            f"the stream's images have {channels} channels, but mean has {len(mean)} numbers and std {len(std)}. {HOW}"
        )
    return mean * (channels // len(mean)), std * (channels // len(std))


def _statistics(step: Any) -> Statistics:
    mean, std = ([float(value) for value in _listed(given)] for given in (step.mean, step.std))
    return tuple(mean), tuple(std)


def _listed(given: Any) -> Any:
    given = given.flatten().tolist() if hasattr(given, "flatten") else given
    return given if isinstance(given, Sequence) else [given]


def _inside(part: Any) -> list[Any]:
    """Return the data sets that one is made of."""
    if hasattr(part, "_flat_data"):
        return [part._flat_data]
    if hasattr(part, "_datasets"):
        return list(part._datasets)
    if hasattr(part, "datasets"):
        return list(part.datasets)
    inner = getattr(part, "dataset", getattr(part, "_dataset", None))
    return [] if inner is None or inner is part else [inner]


def _layers(part: Any, seen: set[int]) -> Iterator[Any]:
    """Yield a data set and all that it is made of, each once, innermost first."""
    if id(part) in seen:
        return
    seen.add(id(part))
    for inner in _inside(part):
        yield from _layers(inner, seen)
    yield part


def _flat(transform: Any) -> list[Any]:
    """Return the steps of a nest of transforms that apply to images."""
    if transform is None:
        return []
    if type(transform).__name__ == "TupleTransform":
        return _flat(next(iter(transform.transforms), None))
    if isinstance(transform, tuple):
        return _flat(transform[0]) if transform else []
    inner = transform if isinstance(transform, list) else getattr(transform, "transforms", None)
    if inner is not None:
        return [step for each in inner for step in _flat(each)]
    wrapped = getattr(transform, "__dict__", {}).get("transform")
    if wrapped is not None:
        return _flat(wrapped)
    children = list(transform.children()) if type(transform).__name__ == "Sequential" else None
    return [transform] if children is None else [step for each in children for step in _flat(each)]
