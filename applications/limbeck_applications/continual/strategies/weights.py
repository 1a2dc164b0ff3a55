"""Weights of a network from a file of somebody else's."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork, State

HOLDERS = ("state_dict", "model", "model_state_dict")
"""Names under which files of weights hold them, where they hold more."""
PREFIXES = ("network.", "module.", "model.")
"""What stands before a weight's name in files of other libraries, or in our networks of them."""


def read_weights(path: Path, network: FunctionalNetwork) -> State:
    """Return weights of a file for a network; those of the classifier, which is not used, are zeros.

    Args:
        path: a .safetensors file, or a state that ``torch.save`` wrote (only tensors are read from it).
        network: the structure.

    Raises:
        UsageError: no such file, no weights in it, or those of another network.
    """
    held = {_stem(name): value for name, value in _tensors(path).items()}
    kinds = {**dict(network.module.named_parameters()), **dict(network.module.named_buffers())}
    state: State = {}
    for name, kind in kinds.items():
        value = held.get(_stem(name))
        is_spare = name.startswith(f"{network.classifier_name}.") or name.endswith("num_batches_tracked")
        if is_spare and (value is None or value.shape != kind.shape):
            state[name] = torch.zeros_like(kind)
        elif value is None or value.shape != kind.shape:
            found = "is missing" if value is None else f"is {list(value.shape)}"
            raise UsageError(
                f"'{path}' does not hold the weights of '{network.name}': '{name}' should be {list(kind.shape)}, "
                f"but {found}. Name the network they belong to, with shape= as it saw images: encoder=NAME"
            )
        else:
            state[name] = value.to(kind)
    return state


def _tensors(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}' with an encoder's weights: weights=FILE") from None
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"no weights can be read from '{path}': {reason}") from error
    for holder in HOLDERS:
        if isinstance(held, Mapping) and isinstance(held.get(holder), Mapping):
            held = held[holder]
    if not isinstance(held, Mapping) or not any(isinstance(value, Tensor) for value in held.values()):
        raise UsageError(f"'{path}' holds no weights by name: save a network's state_dict().")
    return {str(name): value for name, value in held.items() if isinstance(value, Tensor)}


def _stem(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
