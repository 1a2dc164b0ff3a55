"""Any tree of image files with one folder a class, as torchvision's ImageFolder reads it.

    photos/CLASS/.../IMAGE                                        a fifth of every class is set aside for testing
    photos/train/CLASS/.../IMAGE, photos/test/CLASS/.../IMAGE     (or val) where the split is given

Classes are numbered by their folders' names, sorted; images come in the order of their paths.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

import limbeck.options
from limbeck.data import Dataset, DataSpec, RawData, channel_statistics
from limbeck.errors import DataError
from limbeck_plugins.datasets.own_files import NAMED, held_out, locate, quoted, shown
from limbeck_plugins.datasets.pictures import SUFFIXES, Unreadable, read_picture

TEST_FOLDERS = ("test", "val")

_logger = logging.getLogger(__name__)


class Folder(Dataset):
    """Image files of your own, one folder a class.

    Each is resized to ``size`` along its shorter side (bilinear, antialiased) and cut to the square in its centre,
    in RGB or grey. Mean and std are measured on the training images.
    """

    class Options(limbeck.options.Options):
        """Where the files lie and what becomes of them."""

        path: Path = Field(description="folder of class folders; a relative path is also looked for in the data root")
        size: int = Field(32, ge=1, description="side of the square images, in pixels")
        channels: Literal[1, 3] = Field(3, description="3 for colour, 1 for grey")
        test_share: float = Field(
            0.2, gt=0, lt=1, description="share of each class set aside for testing, where there is no test folder"
        )
        skip_unreadable: bool = Field(False, description="leave out files that cannot be read, with a warning")
        mirror: bool = Field(True, description="whether a horizontal flip keeps an image's class")

    def load(self, root: Path, *, download: bool) -> RawData:
        """Read the tree; nothing is ever fetched.

        Raises:
            DataError: no class folders, one without images, or files that cannot be read.
        """
        tree = read_tree(locate(self.options.path, root, "folder"))
        train, test = self._part(tree.train, tree), self._part(tree.test, tree)
        _check_unreadable(tree, [*train.unreadable, *test.unreadable], skip=self.options.skip_unreadable)
        labels, test_labels = torch.tensor(train.labels), torch.tensor(test.labels)
        counts = torch.bincount(labels, minlength=len(tree.classes)).tolist()
        for name, count in zip(tree.classes, counts, strict=True):
            if not count:
                raise DataError(f"class folder '{name}' of {tree.name} has no image that can be read.")
        images, test_images = train.images, test.images
        if not tree.is_split:
            is_test = held_out(labels, self.options.test_share, tree.classes, tree.name)
            test_images, test_labels = images[is_test], labels[is_test]
            images, labels = images[~is_test], labels[~is_test]
        elif not len(test_labels):
            raise DataError(f"the test folder of {tree.name} has no image that can be read.")
        mean, std = channel_statistics(images)
        shape = (self.options.channels, self.options.size, self.options.size)
        spec = DataSpec("folder", shape, len(tree.classes), tree.classes, mean, std, self.options.mirror)
        return RawData(spec, images, labels, test_images, test_labels)

    def problems(self, root: Path) -> list[str]:
        """Return a line for every file that cannot be read."""
        tree = read_tree(locate(self.options.path, root, "folder"))
        return [*self._part(tree.train, tree).unreadable, *self._part(tree.test, tree).unreadable]

    def _part(self, files: Sequence[tuple[Path, int]], tree: Tree) -> _Part:
        """Read the files of one part."""
        size, channels = self.options.size, self.options.channels
        images = torch.empty(len(files), channels, size, size, dtype=torch.uint8)
        labels: list[int] = []
        unreadable: list[str] = []
        for path, label in files:
            try:
                images[len(labels)] = read_picture(path, size, channels)
                labels.append(label)
            except Unreadable as reason:
                unreadable.append(f"{shown(path.relative_to(tree.place))} {reason}")
        return _Part(images[: len(labels)], labels, unreadable)


@dataclass(frozen=True)
class Tree:
    """What a folder holds, before any file is opened.

    Attributes:
        place: the folder.
        classes: names in label order.
        train: files and their labels.
        test: likewise; empty where the test part is still to be chosen.
        is_split: whether there are folders for training and test.
    """

    place: Path
    classes: tuple[str, ...]
    train: list[tuple[Path, int]]
    test: list[tuple[Path, int]]
    is_split: bool

    @property
    def name(self) -> str:
        """The place as it is named in messages."""
        return shown(self.place)


@dataclass(frozen=True)
class _Part:
    images: Tensor
    labels: list[int]
    unreadable: list[str]


def read_tree(place: Path) -> Tree:
    """List the classes and files below ``place``.

    Raises:
        DataError: it is no folder of class folders, or one of them has no images.
    """
    if not place.is_dir():
        raise DataError(f"{shown(place)} is a file; give the folder that holds one folder a class, or use 'tensors'.")
    folders = _folders(place)
    training = _folders(folders["train"]) if "train" in folders else {}
    if not training:
        return _tree(place, folders, {}, is_split=False)
    parts = {name: _folders(folders[name]) for name in TEST_FOLDERS if name in folders}
    if not parts and len(folders) == 1:
        return _tree(place, training, {}, is_split=False)
    if not parts:
        raise DataError(
            f"{shown(place)} has a folder 'train' with folders in it, and neither 'test' nor 'val' beside it. Add one, "
            "or set the option 'path' to the folder that holds one folder a class."
        )
    test = next((found for found in parts.values() if found.keys() & training.keys()), None)
    if test is None:
        raise DataError(
            f"no folder in {' or '.join(shown(place / name) for name in parts)} is named like a class of "
            f"{shown(place / 'train')}; each class needs a folder of the same name in both."
        )
    strangers = [shown(name) for name in test if name not in training]
    if strangers:
        raise DataError(f"class '{strangers[0]}' of {shown(place)} has test images, but none in 'train'.")
    return _tree(place, training, test, is_split=True)


def _tree(place: Path, training: dict[str, Path], test: dict[str, Path], *, is_split: bool) -> Tree:
    if not training:
        raise DataError(f"{shown(place)} has no folders in it; put the images of each class into one named like it.")
    empty = [shown(name) for name, folder in training.items() if next(_images(folder), None) is None]
    if empty:
        raise DataError(
            f"class folder {quoted(empty)} of {shown(place)} has no images ({' '.join(SUFFIXES)}). Fill or delete it."
        )
    label = {name: number for number, name in enumerate(training)}
    files, test_files = (
        [(path, label[name]) for name, folder in folders.items() for path in _images(folder)]
        for folders in (training, test)
    )
    return Tree(place, tuple(map(shown, training)), files, test_files, is_split)


def _folders(place: Path) -> dict[str, Path]:
    """Return the folders in ``place`` by name, sorted; links are followed, hidden ones left out."""
    return {path.name: path for path in _entries(place) if path.is_dir()}


def _images(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the image files below ``folder`` in the order of their paths; a link to a folder above is not followed."""
    real = folder.resolve()
    if real in above:
        return
    for path in _entries(folder):
        if path.is_dir():
            yield from _images(path, above | {real})
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _entries(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{shown(place)} cannot be read: {error.strerror}.") from error


def _check_unreadable(tree: Tree, unreadable: Sequence[str], *, skip: bool) -> None:
    """Refuse files that cannot be read, or say that they are left out."""
    if not unreadable:
        return
    total = len(tree.train) + len(tree.test)
    more = f"; and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
    found = (
        f"{len(unreadable)} of {total:,} files in {tree.name} cannot be read: {'; '.join(unreadable[:NAMED])}{more}."
    )
    if not skip:
        raise DataError(f"{found} Repair or delete them, or leave them out with skip_unreadable=true.")
    _logger.warning("%s They are left out.", found)
