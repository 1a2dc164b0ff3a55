"""What to type so that the experts a run follows are trained."""

from __future__ import annotations

import json
import shlex
from typing import Any

from limbeck.config import RunConfig, flatten
from limbeck.configure import configure
from limbeck.plugins import plugin_files

PLAIN = {"selector": {"name": "random"}, "source": {"name": "experts"}}
"""Settings that ``limbeck experts train`` starts from where no method is named."""


def train_command(config: RunConfig) -> str:
    """Return the ``limbeck experts train`` of a run: its method, data and network, and what differs from these."""
    section = {"data": {"name": config.data.name}, "ipc": config.ipc}
    settings = section if config.method else {**PLAIN, **section}
    start = configure(config.method, None, config.profile, settings)
    words = ["limbeck", *(word for file in plugin_files() for word in ("-p", str(file))), "experts", "train"]
    options = {
        "--method": config.method,
        "--data": config.data.name,
        "--ipc": config.ipc if config.method and config.ipc != 1 else None,
        "--profile": config.profile if config.method and config.profile != "published" else None,
        "--network": config.network if config.network != start.network else None,
        "--seed": config.seed if config.seed and _draws(config) else None,
        "--device": config.execution.device if config.execution.device != "auto" else None,
    }
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    there, asked = _deciding(start), _deciding(config)
    changed = [name for name in asked if name not in there or there[name] != asked[name]]
    words += [word for name in changed for word in ("--set", f"{name}={_written(asked[name])}")]
    return shlex.join(words)


def _draws(config: RunConfig) -> bool:
    """Whether the run's seed decides which real images are used."""
    return config.data.max_per_class is not None or config.data.imbalance is not None


def _deciding(config: RunConfig) -> dict[str, Any]:
    """Return the settings that may change experts, by the names they are typed with."""
    source = {} if config.source is None else config.source.model_dump(mode="json", exclude={"train"})
    data = config.data.model_dump(mode="json", exclude={"name", "batch_real", "batch_syn"})
    return flatten({"data": data, "source": source})


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
