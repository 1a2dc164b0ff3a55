"""Jobs side by side, each worker a fresh interpreter with its own threads and at most one GPU.

Workers are started as commands rather than forked or re-imported, so a script needs no main guard and a
notebook works. A worker ends as soon as its pipe closes: none outlives the process that started it, however
that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from limbeck.errors import LimbeckError, UsageError
from limbeck.execution.executors import Executor, Job, OnResult, TensorDigests
from limbeck.options import Options as OptionsBase
from limbeck.plugins import registry


class Processes(Executor):
    """Run as many jobs at once as there are workers; a worker that is free takes the next job."""

    class Options(OptionsBase):
        """How many, and how wide."""

        workers: int | None = Field(
            None, ge=1, description="processes; when not given, one per GPU, or as many as the CPUs hold"
        )
        threads: int = Field(1, ge=1, description="CPU threads of each")

    trial_options: ClassVar = {"workers": 1}

    def execute(self, jobs: Sequence[Job], report: OnResult) -> None:
        """Run every job; see the base class.

        Raises:
            LimbeckError: a worker died (was killed, ran out of memory).
        """
        if not jobs:
            return
        gpus = _gpus(jobs)
        count = min(self.options.workers or len(gpus) or self._width(), len(jobs))
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="limbeck-"))
            files = _Files(Path(folder))
            idle = [stack.enter_context(self._worker(gpus, number)) for number in range(count)]
            waiting, busy = list(range(len(jobs)))[::-1], dict[Any, tuple[Worker, int]]()
            while waiting or busy:
                while idle and waiting:
                    worker, index = idle.pop(), waiting.pop()
                    worker.give(jobs[index], files.paths(jobs[index]))
                    busy[worker.connection] = worker, index
                for connection in wait(list(busy)):
                    worker, index = busy.pop(connection)
                    report(index, worker.take(jobs[index]))
                    idle.append(worker)

    def _width(self) -> int:
        return max(1, (os.cpu_count() or 1) // int(self.options.threads))

    def _worker(self, gpus: list[str], number: int) -> Worker:
        environment = {"OMP_NUM_THREADS": str(self.options.threads)}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        return Worker(_settings(self.options.threads), environment)


class Worker:
    """A process that runs one job at a time, and ends with this object.

    Args:
        settings: what the process sets before its first job.
        environment: variables it has beyond this process's own.
    """

    def __init__(self, settings: dict[str, Any], environment: dict[str, str]) -> None:
        self.connection, theirs = Pipe()
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "limbeck_plugins.executors.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path} | environment,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C reaches this process alone, which then ends its workers
            )
        self._send(settings)

    def give(self, job: Job, files: dict[str, str]) -> None:
        """Hand over a job, its tensors as files by name."""
        config = dict(job.config)
        if str(config.get("device", "")).startswith("cuda"):
            config["device"] = "cuda"  # the only one the worker sees
        self._send((job.function, config, files, job.name))

    def take(self, job: Job) -> dict[str, Any]:
        """Return the result of the job under way.

        Raises:
            LimbeckError: the worker died.
            Exception: what the job raised.
        """
        try:
            answer: dict[str, Any] | Exception = self.connection.recv()
        except (EOFError, OSError):
            raise LimbeckError(self._obituary(job)) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()
        self._process.kill()
        self._process.wait()

    def _send(self, message: Any) -> None:
        try:
            self.connection.send(message)
        except OSError:
            return  # the worker is dead, which ``take`` finds and reports with the job's name

    def _obituary(self, job: Job) -> str:
        status = self._process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
        return (
            f"{job.name}: its worker process {how}, often for lack of memory. "
            "Finished jobs are kept: run again with fewer workers, or with the executor 'serial'."
        )


class _Files:
    """Tensors as files by content, each written once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._digest = folder, TensorDigests()

    def paths(self, job: Job) -> dict[str, str]:
        """Return the file of each of the job's tensors."""
        return {name: str(self._file(tensor)) for name, tensor in job.tensors.items()}

    def _file(self, tensor: Tensor) -> Path:
        path = self._folder / f"{self._digest(tensor)}.safetensors"
        if not path.exists():
            try:
                save_file({"tensor": tensor.detach().cpu().contiguous()}, path)
            except (OSError, SafetensorError) as error:
                raise UsageError(
                    f"cannot write {path}: {error}. Name a folder with more room: export TMPDIR=..."
                ) from None
        return path


def _settings(threads: int) -> dict[str, Any]:
    """Return what must be the same in a worker as in this process, beyond its thread count."""
    return {
        "threads": threads,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "plugins": [plugin.path for plugin in registry().plugins if not plugin.version],
    }


def _gpus(jobs: Sequence[Job]) -> list[str]:
    """Return the GPUs that the jobs ask for ("cuda": all), as CUDA_VISIBLE_DEVICES takes them."""
    asked = [torch.device(job.config["device"]) for job in jobs if "device" in job.config]
    indices = {device.index for device in asked if device.type == "cuda"}
    if not indices:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    return names if None in indices else [names[index] for index in sorted(indices)]
