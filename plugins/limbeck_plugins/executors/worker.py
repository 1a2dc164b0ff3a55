"""The other end of the executor ``processes``: reads jobs from a pipe and answers each with its result."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

import torch
from safetensors.torch import load_file

from limbeck.errors import LimbeckError
from limbeck.execution.device import compute_settings, keep_freed_memory
from limbeck.execution.executors import Job
from limbeck.plugins import load_files


def main(descriptor: int) -> None:
    """Serve jobs until the pipe closes."""
    connection = Connection(descriptor)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    settings = inbox.get()
    load_files(settings["plugins"])
    keep_freed_memory()
    torch.set_float32_matmul_precision(settings["matmul"])
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with compute_settings(place, threads=settings["threads"], deterministic=settings["deterministic"]):
        while True:
            connection.send(_answer(*inbox.get()))


def _listen(connection: Connection, inbox: queue.SimpleQueue[Any]) -> None:
    """Pass messages on, and end this process in the middle of whatever it does once the pipe is closed."""
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def _answer(function: str, config: dict[str, Any], files: dict[str, str], name: str) -> Any:
    """Return a job's result, or what it raised."""
    try:
        tensors = {key: load_file(path)["tensor"] for key, path in files.items()}
        return Job(function, config, tensors, name).run()
    except Exception as error:
        return _portable(error)


def _portable(error: Exception) -> Exception:
    """Return the error, or a RuntimeError of the same words where it cannot travel."""
    trace = traceback.format_exc()
    try:
        travelled: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        travelled = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(travelled, LimbeckError):
        travelled.add_note(f"raised in a worker process:\n{trace}")
    return travelled


if __name__ == "__main__":
    main(int(sys.argv[1]))
