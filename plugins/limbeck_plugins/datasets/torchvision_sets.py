"""Published sets that torchvision reads from its usual folders.

Sources: MNIST (LeCun et al. 1998), Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747), CIFAR-10 and CIFAR-100
(Krizhevsky 2009), SVHN (Netzer et al. 2011), USPS (Hull 1994, in the scaling of LIBSVM's collection). Statistics are
those of the distillation literature (arXiv:2006.05929 and its reference code, MIT), as published, so that synthetic
sets stay comparable. Files whose MD5 is published are opened only when they have it: CIFAR's are pickles.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.error import URLError

import torch
from pydantic import Field
from torch import Tensor

import limbeck.options
from limbeck.data import Dataset, DataSpec, RawData, channel_statistics, missing_data
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
_DIGITS = tuple("0123456789")
_DAMAGED = (OSError, ValueError, TypeError, RuntimeError, AssertionError, LookupError, EOFError)


class TorchvisionSet(Dataset):
    """A set that torchvision reads: its reader's name, its folder, and what the images are.

    A set without a folder of its own has its files in the root.
    """

    spec: ClassVar[DataSpec]
    reader: ClassVar[str]
    folder: ClassVar[str] = ""
    checksums: ClassVar[Mapping[str, str]] = {}
    """MD5 of files that torchvision does not check, by path below the root; for ``problems`` only."""

    def load(self, root: Path, *, download: bool) -> RawData:
        """Read both parts.

        Raises:
            DataError: files are missing, damaged or could not be fetched.
        """
        reader = self._reader()
        if download and self._missing(reader, root):
            self._fetch(reader, root)
        if missing := self._missing(reader, root):
            raise missing_data(self.spec.name, root, f"{missing[0]} is missing")
        if altered := self._altered(root, self._files(reader)):
            raise self._damaged(root, altered[0])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # old pickles make newer versions of numpy warn
                sources = [self._open(reader, root, train=train) for train in (True, False)]
            (train, labels), (test, test_labels) = (self._tensors(source) for source in sources)
            spec = self._described(sources[0], train)
        except _DAMAGED as error:
            raise self._damaged(root, _one_line(error)) from error
        return RawData(spec, train, labels, test, test_labels)

    def problems(self, root: Path) -> list[str]:
        """Return a line for every file that is missing or not the published one.

        Raises:
            DataError: all are missing.
        """
        reader = self._reader()
        missing = self._missing(reader, root)
        if len(missing) == len(self._files(reader)):
            raise missing_data(self.spec.name, root)
        known = {**self._files(reader), **self.checksums}
        there = {file: md5 for file, md5 in known.items() if file not in missing}
        return [*(f"{file} is missing from {root}" for file in missing), *self._altered(root, there)]

    @abstractmethod
    def _files(self, reader: Any) -> dict[str, str | None]:
        """Return the files, as paths below the root, with the MD5 each must have before it is opened, if known."""

    def _open(self, reader: Any, root: Path, *, train: bool, download: bool = False) -> Any:
        """Return torchvision's data set of one part."""
        return reader(root, train=train, download=download)

    def _tensors(self, source: Any) -> tuple[Tensor, Tensor]:
        """Return images uint8 [N, ch, h, w] and labels int64 [N] of one part."""
        images = torch.as_tensor(source.data)
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
        return images, torch.as_tensor(source.targets, dtype=torch.int64)

    def _described(self, source: Any, train: Tensor) -> DataSpec:
        """Return what the images are, from the training part as it was read and its images."""
        return self.spec

    def _reader(self) -> Any:
        import torchvision.datasets  # slow to import

        return getattr(torchvision.datasets, self.reader)

    def _fetch(self, reader: Any, root: Path) -> None:
        try:
            for train in (True, False):
                self._open(reader, root, train=train, download=True)
        except (URLError, *_DAMAGED) as error:
            own = f"folder {self.folder}" if self.folder else f"files {', '.join(self._files(reader))}"
            raise DataError(
                f"'{self.spec.name}' could not be downloaded into {root}: {_one_line(error)}. Try again, or "
                f"copy its {own} there."
            ) from error

    def _missing(self, reader: Any, root: Path) -> list[str]:
        return [file for file in self._files(reader) if not (root / file).is_file()]

    def _altered(self, root: Path, files: Mapping[str, str | None]) -> list[str]:
        from torchvision.datasets.utils import check_integrity

        known = {file: md5 for file, md5 in files.items() if md5 is not None}
        wrong = [file for file, md5 in known.items() if not check_integrity(str(root / file), md5)]
        return [f"{file} is not the published file (MD5 {known[file]})" for file in wrong]

    def _damaged(self, root: Path, reason: str) -> DataError:
        own = [self.folder] if self.folder else self._files(self._reader())
        return DataError(
            f"data set '{self.spec.name}' in {root} is damaged: {reason}. Delete "
            f"{' and '.join(str(root / name) for name in own)} and add --download to fetch it again."
        )


class MNIST(TorchvisionSet):
    """Handwritten digits."""

    reader = "MNIST"
    folder = "MNIST"
    spec = DataSpec("mnist", (1, 28, 28), 10, _DIGITS, (0.1307,), (0.3081,), mirror=False)
    checksums: ClassVar[Mapping[str, str]] = {
        "MNIST/raw/train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "MNIST/raw/train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "MNIST/raw/t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "MNIST/raw/t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }

    def _files(self, reader: Any) -> dict[str, str | None]:
        return dict.fromkeys(self.checksums)


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
    checksums: ClassVar[Mapping[str, str]] = {
        "FashionMNIST/raw/train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "FashionMNIST/raw/train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "FashionMNIST/raw/t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "FashionMNIST/raw/t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    }


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


class CIFAR100(CIFAR10):
    """Photographs of 100 classes, 500 training images each, named as in the published files.

    The field normalises them in two ways, and a synthetic set made for one is no valid input for the other.
    ``statistics: own`` takes CIFAR-100's (arXiv:2006.05929, DC-BENCH arXiv:2207.09639); ``statistics: cifar10`` takes
    CIFAR-10's, as do MTT (arXiv:2203.11932), TESLA (arXiv:2211.10586), DCC (arXiv:2202.02916) and DD-Ranking.
    """

    class Options(limbeck.options.Options):
        """Which convention of the field is followed."""

        statistics: Literal["own", "cifar10"] = Field(
            "own", description="whose mean and std normalise: CIFAR-100's own, or CIFAR-10's as in MTT's line of papers"
        )

    reader = "CIFAR100"
    folder = "cifar-100-python"
    spec = DataSpec(
        "cifar100",
        (3, 32, 32),
        100,
        tuple(map(str, range(100))),
        (0.5071, 0.4866, 0.4409),
        (0.2673, 0.2564, 0.2762),
        mirror=True,
    )

    def _described(self, source: Any, train: Tensor) -> DataSpec:
        chosen = self.spec if self.options.statistics == "own" else CIFAR10.spec
        return replace(self.spec, class_names=tuple(source.classes), mean=chosen.mean, std=chosen.std)


class SVHN(TorchvisionSet):
    """House numbers photographed in the street, cropped to one digit; without the 531,131 'extra' images."""

    reader = "SVHN"
    spec = DataSpec(
        "svhn",
        (3, 32, 32),
        10,
        _DIGITS,
        (0.4377, 0.4438, 0.4728),
        (0.1980, 0.2010, 0.1970),
        mirror=False,
    )

    def _files(self, reader: Any) -> dict[str, str | None]:
        return {name: md5 for _, name, md5 in (reader.split_list[part] for part in ("train", "test"))}

    def _open(self, reader: Any, root: Path, *, train: bool, download: bool = False) -> Any:
        return reader(root, split="train" if train else "test", download=download)

    def _tensors(self, source: Any) -> tuple[Tensor, Tensor]:
        return torch.as_tensor(source.data).contiguous(), torch.as_tensor(source.labels, dtype=torch.int64)


class USPS(TorchvisionSet):
    """Handwritten digits from envelopes, 16x16 grey; statistics are measured on the training images."""

    reader = "USPS"
    spec = DataSpec("usps", (1, 16, 16), 10, _DIGITS, (0.5,), (0.5,), mirror=False)

    def _files(self, reader: Any) -> dict[str, str | None]:
        return {name: md5 for _, name, md5 in reader.split_list.values()}

    def _described(self, source: Any, train: Tensor) -> DataSpec:
        mean, std = channel_statistics(train)
        return replace(self.spec, mean=mean, std=std)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
