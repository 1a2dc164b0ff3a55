"""MNIST, Fashion-MNIST and CIFAR-10, read by torchvision from its usual folders.

Sources: LeCun et al. 1998; Xiao et al. 2017 (arXiv:1708.07747); Krizhevsky 2009. Statistics are those of the
distillation literature (arXiv:2006.05929 and its reference code, MIT), as published, so that synthetic sets
stay comparable. CIFAR-10's files are pickles: they are opened only when their MD5 is the published one.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import torch
from torch import Tensor

from limbeck.data import Dataset, DataSpec, RawData, missing_data
from limbeck.errors import DataError

_CLOTHES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_DAMAGED = (OSError, ValueError, TypeError, RuntimeError, AssertionError, LookupError, EOFError)


class TorchvisionSet(Dataset):
    """A set that torchvision reads: its reader's name, its folder, and what the images are."""

    spec: ClassVar[DataSpec]
    reader: ClassVar[str]
    folder: ClassVar[str]

    def load(self, root: Path, *, download: bool) -> RawData:
        """Read both parts.

        Raises:
            DataError: files are missing, damaged or could not be fetched.
        """
        import torchvision.datasets  # slow to import

        reader = getattr(torchvision.datasets, self.reader)
        if download:
            self._fetch(reader, root)
        self._check(reader, root)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # old pickles make newer versions of numpy warn
                parts = [self._tensors(reader(root, train=train)) for train in (True, False)]
        except _DAMAGED as error:
            raise self._damaged(root, str(error)) from error
        return RawData(self.spec, *parts[0], *parts[1])

    @abstractmethod
    def _files(self, reader: Any) -> dict[str, str | None]:
        """Return the files, as paths below the root, with the MD5 each must have, if known."""

    def _tensors(self, source: Any) -> tuple[Tensor, Tensor]:
        """Return images uint8 [N, ch, h, w] and labels int64 [N] of one part."""
        images = torch.as_tensor(source.data)
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
        return images, torch.as_tensor(source.targets, dtype=torch.int64)

    def _fetch(self, reader: Any, root: Path) -> None:
        try:
            reader(root, train=True, download=True)
        except (URLError, *_DAMAGED) as error:
            raise DataError(
                f"'{self.spec.name}' could not be downloaded into {root}: {_one_line(error)}. Try again, or "
                f"copy its folder {self.folder} there."
            ) from error

    def _check(self, reader: Any, root: Path) -> None:
        """Refuse missing and altered files before any is opened."""
        from torchvision.datasets.utils import check_integrity

        for file, md5 in self._files(reader).items():
            if not (root / file).is_file():
                raise missing_data(self.spec.name, root, f"{file} is missing")
            if not check_integrity(str(root / file), md5):
                raise self._damaged(root, f"{file} is not the published file (MD5 {md5})")

    def _damaged(self, root: Path, reason: str) -> DataError:
        return DataError(
            f"data set '{self.spec.name}' in {root} is damaged: {reason}. Delete {root / self.folder} and "
            "add --download to fetch it again."
        )


class MNIST(TorchvisionSet):
    """Handwritten digits."""

    reader = "MNIST"
    folder = "MNIST"
    spec = DataSpec("mnist", (1, 28, 28), 10, tuple("0123456789"), (0.1307,), (0.3081,), mirror=False)

    def _files(self, reader: Any) -> dict[str, str | None]:
        parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
        return {f"{self.folder}/raw/{part}-ubyte": None for part in parts}


class FashionMNIST(MNIST):
    """Articles of clothing."""

    reader = "FashionMNIST"
    folder = "FashionMNIST"
    spec = DataSpec(
        "fashion_mnist",
        (1, 28, 28),
        10,
        _CLOTHES,
        (0.2861,),
        (0.3530,),
        mirror=True,
    )


class CIFAR10(TorchvisionSet):
    """Photographs of animals and vehicles."""

    reader = "CIFAR10"
    folder = "cifar-10-batches-py"
    spec = DataSpec(
        "cifar10",
        (3, 32, 32),
        10,
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        (0.4914, 0.4822, 0.4465),
        (0.2023, 0.1994, 0.2010),
        mirror=True,
    )

    def _files(self, reader: Any) -> dict[str, str | None]:
        listed = [*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])]
        return {f"{self.folder}/{name}": md5 for name, md5 in listed}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
