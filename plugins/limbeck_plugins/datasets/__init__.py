"""Real data sets."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl

_READERS = "limbeck_plugins.datasets.torchvision_sets"


@hookimpl
def register_datasets(register: Register) -> None:
    """Offer the small image sets that most papers report."""
    register(
        "digits",
        "limbeck_plugins.datasets.digits:Digits",
        summary="1,797 handwritten digits, 8x8 grey; comes with scikit-learn, nothing to download",
    )
    register("mnist", f"{_READERS}:MNIST", summary="70,000 handwritten digits, 28x28 grey")
    register(
        "fashion_mnist",
        f"{_READERS}:FashionMNIST",
        summary="70,000 articles of clothing, 28x28 grey",
        paper="arXiv:1708.07747",
    )
    register("cifar10", f"{_READERS}:CIFAR10", summary="60,000 photographs of 10 classes, 32x32 colour")
