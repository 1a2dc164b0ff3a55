"""What makes two networks of one structure: their weights can then be exchanged, and stacked."""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck.files import content_key

PLAIN = (bool, int, float, str, type(None))


def signature(module: nn.Module) -> str:
    """Return a short text that two modules share when one computes what the other does with its weights.

    It is made of every submodule's name, class and plain settings, and of every tensor's name, shape and type. PyTorch's
    own stacking compares shapes alone, and runs a sigmoid network as a ReLU one.

    Args:
        module: on any device; its mode and its numbers do not matter.
    """
    parts = [
        [name, type(child).__module__, type(child).__qualname__, _settings(child)]
        for name, child in module.named_modules()
    ]
    tensors = [
        [name, list(value.shape), str(value.dtype), value.requires_grad]
        for name, value in (*module.named_parameters(), *module.named_buffers())
    ]
    return content_key([parts, tensors])


def _settings(module: nn.Module) -> dict[str, str]:
    return {
        name: repr(value)
        for name, value in sorted(vars(module).items())
        if not name.startswith("_") and name != "training" and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, tuple | list) and all(map(_is_plain, value)))
