"""What a data set plugin writes, and what the rest of Limbeck gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from limbeck.component import Component
from limbeck.data.real import RealData
from limbeck.data.spec import DataSpec
from limbeck.errors import DataError


@dataclass(frozen=True)
class RawData:
    """A data set as it was read, on the CPU.

    Attributes:
        spec: what the images are.
        train_images: uint8 [N, ch, h, w].
        train_labels: int64 [N].
        test_images: uint8 [M, ch, h, w].
        test_labels: int64 [M].
    """

    spec: DataSpec
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass(frozen=True)
class DataSet:
    """A data set ready for use: both parts on one device.

    Attributes:
        spec: what the images are.
        train: the images distillation may see.
        test: the images accuracy is measured on.
    """

    spec: DataSpec
    train: RealData
    test: RealData


class Dataset(Component, ABC):
    """A named data set that can be read from disk."""

    @abstractmethod
    def load(self, root: Path, *, download: bool) -> RawData:
        """Read the whole set; the result is validated by the caller.

        Args:
            root: the folder of all data sets.
            download: whether missing files may be fetched. Without it, nothing is asked of the network.

        Raises:
            DataError: files are missing (see ``missing_data``) or damaged.
        """

    def problems(self, root: Path) -> list[str]:
        """Return what is wrong with the files, one line each, for ``limbeck data check``; ``load`` is tried besides.

        Worth writing where more can be told than the first error of ``load``: every altered or unreadable file.

        Args:
            root: the folder of all data sets.

        Raises:
            DataError: the files cannot be looked at.
        """
        return []


def missing_data(name: str, root: Path, reason: str = "its files are not there") -> DataError:
    """Build the error for data that could not be read: where it was looked for, and what to type.

    Args:
        name: the data set.
        root: the folder it was looked for in.
        reason: what was found instead.
    """
    return DataError(
        f"data set '{name}' cannot be read from {root}: {reason}. Name its folder with --data-root or "
        "LIMBECK_DATA, or add --download to fetch it."
    )
