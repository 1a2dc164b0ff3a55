"""The only door to Avalanche: it is imported when something of it is used, and leaves the process as it was."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from limbeck.errors import MissingExtraError

PARTS = (
    "benchmarks",
    "benchmarks.scenarios",
    "benchmarks.utils",
    "benchmarks.utils.data_loader",
    "benchmarks.utils.flat_data",
    "evaluation.metrics",
    "logging",
    "models",
    "models.dynamic_optimizers",
    "training",
    "training.plugins",
    "training.storage_policy",
    "training.supervised",
    "training.templates",
)
"""What is loaded with it, so that ``avalanche().training.storage_policy`` needs no further import."""


ANNOUNCED = "(removal in version "
"""What its announcements of methods that it will remove have in common."""


def avalanche() -> Any:
    """Return the package ``avalanche`` with its parts loaded; the first call in a process takes some seconds.

    The warning filters stay as they were, and nobody is told that no solver of quadratic programs is installed,
    which only one of its strategies needs.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="no QP solver found", category=UserWarning)
            for part in PARTS:
                importlib.import_module(f"avalanche.{part}")
            return importlib.import_module("avalanche")
    except ModuleNotFoundError as error:
        raise _missing(error.name or "avalanche") from error


def require() -> None:
    """Refuse, in no time, what will need Avalanche where it is not installed.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("avalanche") is None:
        raise _missing("avalanche")


def _missing(library: str) -> MissingExtraError:
    return MissingExtraError(
        f"continual learning on Avalanche needs '{library}', which is not installed. "
        "Type: pip install 'limbeck[continual]'"
    )


@contextmanager
def unheard() -> Iterator[None]:
    """Run Avalanche's code without its announcements of its own next version; other warnings are heard.

    Its decorator of deprecated methods also changes the filters of the whole process, even where they turn warnings
    into errors; they are put back.
    """
    with warnings.catch_warnings():
        heard = warnings.showwarning

        def show(message: Any, category: Any, *where: Any, **how: Any) -> None:
            if not (issubclass(category, DeprecationWarning) and ANNOUNCED in str(message)):
                heard(message, category, *where, **how)

        warnings.showwarning = show
        yield
