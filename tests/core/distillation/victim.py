"""One warm process that forks a child for every run, and lets it be killed at a chosen moment.

Reads a JSON object a line: ``args`` of the command line, ``cache``, ``output`` (a file for what it says), ``kill`` (the
name of a moment with its arguments) and whether to write a ``report``. Answers each with how the child ended.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path

PACKAGES = ("/limbeck/", "/limbeck_plugins/")
WARM = (
    "limbeck.cli.main",
    "limbeck.cli.distill",
    "limbeck.cli.screen",
    "limbeck.runs",
    "limbeck.report.run",
    "limbeck_plugins.datasets.digits",
    "limbeck_plugins.matchers.gradient",
    "limbeck_plugins.matchers.distribution",
    "limbeck_plugins.network_sources.inner",
    "limbeck_plugins.networks.convnet",
    "limbeck_plugins.augmentations.dsa",
    "matplotlib.figure",
    "sklearn.datasets",
    "torch._dynamo",
)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(number, *, after="", tally=None):
    """Die at the n-th call of a function of Limbeck's, counted from the first call of ``after``; 0 only counts."""
    count, is_open = 0, not after

    def watch(frame, event, argument):
        nonlocal count, is_open
        if event != "call" or not any(package in frame.f_code.co_filename for package in PACKAGES):
            return
        is_open = is_open or frame.f_code.co_name == after
        count += is_open
        if number and count == number:
            die()
        if tally is not None and frame.f_code.co_name == "report_failures":
            Path(tally).write_text(str(count))

    sys.setprofile(watch)


def at_function(name, numbers, sign="SIGKILL"):
    """Get a signal on entering ``module:Class.function`` for the n-th time, for each of the numbers."""
    module, _, path = name.partition(":")
    owner = importlib.import_module(module)
    *classes, function = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    original, count = getattr(owner, function), 0

    def watched(*args, **kwargs):
        nonlocal count
        count += 1
        for _ in range(numbers.count(count)):
            signal.raise_signal(getattr(signal, sign))
        return original(*args, **kwargs)

    setattr(owner, function, watched)


def at_rename(name, number, *, done=False):
    """Die just before (or after) a file takes this name for the n-th time."""
    original, count = Path.replace, 0

    def watched(self, target):
        nonlocal count
        count += Path(target).name == name
        if count == number and Path(target).name == name:
            if done:
                original(self, target)
            die()
        return original(self, target)

    Path.replace = watched


def at_half(name, number):
    """Die when half of a file has been written under its temporary name for the n-th time."""
    original, count = os.fsync, 0

    def watched(descriptor):
        nonlocal count
        count += f".{name}." in str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if count == number:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die()
        return original(descriptor)

    os.fsync = watched


def at_half_row(number):
    """Die when half of a lot of the log has been written for the n-th time."""
    log, count = importlib.import_module("limbeck.distillation.log"), 0
    original = log.append

    def watched(path, text):
        nonlocal count
        count += 1
        original(path, text[: len(text) // 2] if count == number else text)
        if count == number:
            die()

    log.append = watched


MOMENTS = {
    "call": at_call,
    "function": at_function,
    "rename": at_rename,
    "half": at_half,
    "half_row": at_half_row,
    "small_disk": lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
}


def child(order):
    with Path(order["output"]).open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.environ["LIMBECK_CACHE"] = order["cache"]
    if not order.get("report"):
        importlib.import_module("limbeck.report").write_report = lambda folder: None
    if order.get("kill"):
        name, args, options = order["kill"]
        MOMENTS[name](*args, **options)
    status = 70
    try:
        status = importlib.import_module("limbeck.cli.main").main(order["args"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main():
    for name in WARM:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if not process:
            child(order)
        _, status = os.waitpid(process, 0)
        sys.stdout.write(json.dumps({"status": os.waitstatus_to_exitcode(status)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
