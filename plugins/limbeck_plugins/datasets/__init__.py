"""Real data sets."""

from __future__ import annotations

from typing import Any

from limbeck.hookspecs import Register, hookimpl

_HERE = "limbeck_plugins.datasets"
_READERS = f"{_HERE}.torchvision_sets"


@hookimpl
def register_datasets(register: Register) -> None:
    """Offer the small image sets that most papers report, and images of the user's own."""
    register(
        "digits",
        f"{_HERE}.digits:Digits",
        summary="1,797 handwritten digits, 8x8 grey; comes with scikit-learn, nothing to download",
        facts=_facts("1x8x8", 10, 1_442, 355),
    )
    register(
        "mnist",
        f"{_READERS}:MNIST",
        summary="70,000 handwritten digits, 28x28 grey",
        facts=_facts("1x28x28", 10, 60_000, 10_000, "MNIST/raw"),
    )
    register(
        "fashion_mnist",
        f"{_READERS}:FashionMNIST",
        summary="70,000 articles of clothing, 28x28 grey",
        paper="arXiv:1708.07747",
        facts=_facts("1x28x28", 10, 60_000, 10_000, "FashionMNIST/raw"),
    )
    register(
        "usps",
        f"{_READERS}:USPS",
        summary="9,298 handwritten digits from envelopes, 16x16 grey",
        facts=_facts("1x16x16", 10, 7_291, 2_007, "usps.bz2", "usps.t.bz2"),
    )
    register(
        "svhn",
        f"{_READERS}:SVHN",
        summary="99,289 digits of house numbers, 32x32 colour",
        facts=_facts("3x32x32", 10, 73_257, 26_032, "train_32x32.mat", "test_32x32.mat"),
    )
    register(
        "cifar10",
        f"{_READERS}:CIFAR10",
        summary="60,000 photographs of 10 classes, 32x32 colour",
        facts=_facts("3x32x32", 10, 50_000, 10_000, "cifar-10-batches-py"),
    )
    register(
        "cifar100",
        f"{_READERS}:CIFAR100",
        summary="60,000 photographs of 100 classes, 32x32 colour",
        facts=_facts("3x32x32", 100, 50_000, 10_000, "cifar-100-python"),
    )
    register(
        "folder",
        f"{_HERE}.folder:Folder",
        summary="your image files, one folder a class, brought to one size",
        facts={"needs": "path=FOLDER"},
    )
    register(
        "tensors",
        f"{_HERE}.tensors:Tensors",
        summary="your images and labels in one .npz or .safetensors file",
        facts={"needs": "path=FILE"},
    )


def _facts(shape: str, classes: int, train: int, test: int, *files: str) -> dict[str, Any]:
    return {"shape": shape, "classes": classes, "train": train, "test": test, "files": list(files)}
