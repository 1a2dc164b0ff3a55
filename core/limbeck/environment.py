"""What made a result: versions, machine, plugins."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

import limbeck
from limbeck.plugins import registry


def environment(device: str) -> dict[str, Any]:
    """Return versions, machine and plugins as JSON values.

    Args:
        device: the run's device, as torch writes it.
    """
    plugins = [f"{plugin.distribution} {plugin.version}".strip() for plugin in registry().plugins]
    return {
        "limbeck": limbeck.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "plugins": list(dict.fromkeys(plugins)),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
