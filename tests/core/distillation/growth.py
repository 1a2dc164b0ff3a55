"""A run in a fresh process that tells how far it grew over the loop's start, in bytes after every step."""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import torch

import limbeck.report
import limbeck.runs
from limbeck.configure import configure
from limbeck.execution.memory import release_freed_memory
from limbeck.runs import Listener, run

M_MMAP_THRESHOLD = -3


def status(field):
    """Read a line of the process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def main():
    order = json.loads(sys.argv[1])
    classes, folder = order["classes"], Path(sys.argv[2])
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (classes * 64, 1, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.arange(classes).repeat_interleave(64)
    limbeck.report.write_report = lambda folder: None
    if order["exact"]:  # freed memory goes back at once, so that growth is what is in use
        limbeck.runs.keep_freed_memory = lambda: ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 16)
    seen = {"grown": []}

    def start(parts, cost):
        release_freed_memory()
        Path("/proc/self/clear_refs").write_text("5")
        seen.update(before=status("VmRSS"), chunk=parts.plan.chunks.synthetic)

    def step(news):
        seen["grown"].append(status("VmHWM") - seen["before"])

    config = configure(order["method"], None, "small", order["settings"])
    run(config, (images, labels), folder=folder, listener=Listener(planned=start, progress=step))
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
