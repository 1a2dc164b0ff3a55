"""What an architecture costs: parameters and FLOPs, counted on a network that has no numbers in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from limbeck.errors import UsageError
from limbeck.networks.signature import signature


@dataclass(frozen=True)
class Cost:
    """What an architecture costs at one image size.

    Attributes:
        parameters: trainable numbers.
        flops: floating-point operations of one image's forward pass, two for each multiplication with its addition, in
            convolutions and linear layers.
        signature: changes with the structure; networks of equal signature can be trained in one call.
    """

    parameters: int
    flops: int
    signature: str


def measured(build: Callable[[], nn.Module], shape: tuple[int, int, int], name: str) -> Cost:
    """Count on the meta device, where tensors have shapes and no numbers.

    Args:
        build: returns the module.
        shape: (channels, height, width) of one image.
        name: what messages call it.

    Raises:
        UsageError: two images of this shape do not go through it.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")  # a forward pass says more of it
            module = build().eval()
            with FlopCounterMode(display=False) as counted, torch.no_grad():
                module(torch.empty(1, *shape))
    except (RuntimeError, ValueError, AssertionError, UsageError) as error:
        size = "x".join(map(str, shape))
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"architecture '{name}' does not fit images of {size} (channels x height x width): {reason.rstrip('.')}."
        ) from error
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Cost(parameters, int(counted.get_total_flops()), signature(module))
