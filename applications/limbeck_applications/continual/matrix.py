"""The accuracy matrix, and everything that is said of a strategy by one number.

``A[t, i]`` is the accuracy on the test images of experience i after experience t was learned, both counted from 1 to T;
all of a strategy's figures are functions of it. Where published definitions differ, the name says which one it is:

- ``ACC_t = 1/t sum_{i <= t} A[t, i]``: on what has been seen so far; experiences count alike, whatever their size;
- average incremental accuracy, ``AIA = 1/T sum_t ACC_t`` (arXiv:1611.07725 averages so; the first experience counts);
- backward transfer, ``BWT = 1/(T-1) sum_{i < T} (A[T, i] - A[i, i])`` (arXiv:1706.08840);
- forgetting, ``F = 1/(T-1) sum_{i < T} (max_{l < T} A[l, i] - A[T, i])`` (arXiv:1801.10112);
- Avalanche's forgetting, ``1/(T-1) sum_{i < T} (A[i, i] - A[T, i]) = -BWT``: from the first value, not from the best.

Forward transfer is left out: it needs the accuracy of networks that learned nothing, and where every experience brings
classes of its own it measures nothing else.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

METRICS = ("accuracy", "average_incremental", "backward_transfer", "forgetting", "avalanche_forgetting")
"""Names of what is said of a finished matrix, as :meth:`AccuracyMatrix.metrics` gives them."""


@dataclass(frozen=True)
class AccuracyMatrix:
    """Accuracies after each experience, as far as a strategy got.

    Attributes:
        rows: ``A[t, i]`` in [0, 1], or NaN where nothing was tested: [t, T] with t from 1 to T. The last row
            stands for T in every formula above, so that an unfinished matrix is that of the shorter stream.

    Raises:
        ValueError: no row, rows of unequal length, more rows than experiences, or a value outside [0, 1].
    """

    rows: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(tuple(map(float, row)) for row in self.rows))
        width = len(self.rows[0]) if self.rows else 0
        if not width or any(len(row) != width for row in self.rows):
            raise ValueError(f"an accuracy matrix needs rows of equal length, not {[len(row) for row in self.rows]}")
        if len(self.rows) > width:
            raise ValueError(f"an accuracy matrix of {width} experiences cannot have {len(self.rows)} rows")
        wrong = [value for row in self.rows for value in row if not (math.isnan(value) or 0 <= value <= 1)]
        if wrong:
            raise ValueError(f"accuracies lie in [0, 1], not at {wrong[0]}")

    @property
    def learned(self) -> int:
        """Experiences learned so far."""
        return len(self.rows)

    @property
    def is_finished(self) -> bool:
        """Whether every experience has been learned."""
        return self.learned == len(self.rows[0])

    @cached_property
    def accuracies(self) -> tuple[float, ...]:
        """``ACC_t`` after each experience, [t], in [0, 1]."""
        return tuple(_mean(row[: t + 1]) for t, row in enumerate(self.rows))

    @property
    def accuracy(self) -> float:
        """``ACC`` after the last experience."""
        return self.accuracies[-1]

    @property
    def average_incremental(self) -> float:
        """Mean of ``ACC_t`` over all experiences, the first included."""
        return _mean(self.accuracies)

    @property
    def backward_transfer(self) -> float | None:
        """``BWT`` in [-1, 1], negative where learning harmed; None after one experience."""
        return _mean_or_none(self.rows[-1][i] - self.rows[i][i] for i in range(self.learned - 1))

    @property
    def forgetting(self) -> float | None:
        """``F`` in [-1, 1], from the best value before the last experience; None after one experience."""
        earlier = self.rows[:-1]
        return _mean_or_none(_greatest([row[i] for row in earlier]) - self.rows[-1][i] for i in range(self.learned - 1))

    @property
    def avalanche_forgetting(self) -> float | None:
        """What Avalanche calls forgetting, from the value just after learning; None after one experience."""
        transfer = self.backward_transfer
        return None if transfer is None else 0.0 - transfer

    def metrics(self) -> dict[str, float | None]:
        """Return every metric by its name, in the order of ``METRICS``."""
        return {name: getattr(self, name) for name in METRICS}


@dataclass(frozen=True)
class Spread:
    """A number that was measured several times.

    Attributes:
        mean: over all that are finite; NaN where none is.
        std: population standard deviation over the same.
        count: how many they are.
    """

    mean: float
    std: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Gather values; None where there is nothing to gather, as of forgetting after one experience."""
        known = [value for value in values if value is not None]
        finite = [value for value in known if math.isfinite(value)]
        if not known:
            return None
        if not finite:
            return cls(math.nan, math.nan, 0)
        return cls(statistics.fmean(finite), statistics.pstdev(finite), len(finite))


def mean_matrix(matrices: Sequence[AccuracyMatrix]) -> AccuracyMatrix:
    """Return the mean of finished matrices of one size, entry by entry; NaN where one of them has none.

    Raises:
        ValueError: no matrix, or matrices of unequal size.
    """
    sizes = {(len(matrix.rows), len(matrix.rows[0])) for matrix in matrices}
    if len(sizes) != 1:
        raise ValueError(f"the mean of accuracy matrices needs one size, not {sorted(sizes)}")
    entries = zip(*(sum(matrix.rows, ()) for matrix in matrices), strict=True)
    means, width = [_mean(entry) for entry in entries], sizes.pop()[1]
    return AccuracyMatrix(tuple(tuple(means[k : k + width]) for k in range(0, len(means), width)))


def _mean(values: Sequence[float]) -> float:
    """Return the mean, exactly rounded; NaN where one value is."""
    return math.fsum(values) / len(values)


def _mean_or_none(values: Iterable[float]) -> float | None:
    listed = list(values)
    return _mean(listed) if listed else None


def _greatest(values: Sequence[float]) -> float:
    """Return the greatest value, NaN where one of them is: ``max`` would depend on their order."""
    return math.nan if any(map(math.isnan, values)) else max(values)
