"""Independent jobs, each an import path, JSON values and tensors, so that any process can run them."""

from __future__ import annotations

import hashlib
import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.component import Component
from limbeck.errors import LimbeckError
from limbeck.files import content_key, write_json

Result = dict[str, Any]
"""What a job returns: JSON values."""

OnResult = Callable[[int, Result], None]
"""Called with a job's position and its result, once per job, in the order they finish."""


@dataclass(frozen=True)
class Job:
    """One call of a function that depends on nothing but its arguments.

    Attributes:
        function: ``"module:function"``, called as ``function(config, tensors)``.
        config: JSON values.
        tensors: by name; on any device.
        name: what messages call the job; not part of its key.
    """

    function: str
    config: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    name: str = "job"

    @property
    def key(self) -> str:
        """A short name that changes with the function, any value and any tensor."""
        return job_keys([self])[0]

    def run(self) -> Result:
        """Call the function in this process.

        Raises:
            Exception: what the function raised, with the job's name in its message or its notes.
        """
        module, _, name = self.function.partition(":")
        try:
            result = getattr(importlib.import_module(module), name)(self.config, self.tensors)
            values: Result = json.loads(json.dumps(result))
        except LimbeckError as error:
            raise type(error)(f"{self.name}: {error}") from error.__cause__
        except Exception as error:
            error.add_note(f"in the job '{self.name}' ({self.function})")
            raise
        return values


class Executor(Component, ABC):
    """Runs independent jobs; where and how many at once never changes their results."""

    def run(self, jobs: Sequence[Job], cache: Path | None = None, on_result: OnResult | None = None) -> list[Result]:
        """Return the results in the order of the jobs.

        Args:
            jobs: what to run.
            cache: folder of results by content: jobs found there are not run again, however the process
                that wrote them ended.
            on_result: told of each result as it arrives, those found in the cache first.

        Raises:
            Exception: what the first failing job raised; jobs under way are given up.
        """
        keys = [""] * len(jobs) if cache is None else job_keys(jobs)
        results: dict[int, Result] = {}

        def arrive(index: int, result: Result) -> None:
            results[index] = result
            if on_result is not None:
                on_result(index, result)

        def finish(index: int, result: Result) -> None:
            if cache is not None:
                write_json(cache / f"{keys[index]}.json", result)
            arrive(index, result)

        for index, key in enumerate(keys):
            stored = None if cache is None else read_result(cache / f"{key}.json")
            if stored is not None:
                arrive(index, stored)
        missing = [index for index in range(len(jobs)) if index not in results]
        self.execute([jobs[index] for index in missing], lambda i, result: finish(missing[i], result))
        return [results[index] for index in range(len(jobs))]

    @abstractmethod
    def execute(self, jobs: Sequence[Job], report: OnResult) -> None:
        """Run every job and report each result with the job's position, in any order.

        Raises:
            Exception: what the first failing job raised, naming it.
        """


def job_keys(jobs: Sequence[Job]) -> list[str]:
    """Return every job's key; a tensor that several jobs share is read once."""
    digest = TensorDigests()
    return [
        content_key([job.function, job.config, {name: digest(value) for name, value in job.tensors.items()}])
        for job in jobs
    ]


class TensorDigests:
    """Content hashes of tensors, each computed once; use it while the tensors live and do not change."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def __call__(self, tensor: Tensor) -> str:
        """Return a hash of the tensor's type, shape and numbers."""
        if id(tensor) not in self._known:
            self._known[id(tensor)] = _digest(tensor)
        return self._known[id(tensor)]


def _digest(tensor: Tensor) -> str:
    content = hashlib.sha256(f"{tensor.dtype}{list(tensor.shape)}".encode())
    content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()


def read_result(path: Path) -> Result | None:
    """Return a stored result, or None where there is none that can be read."""
    try:
        stored: Result = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return stored
