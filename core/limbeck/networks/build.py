"""From a network's name to a network for the images of one data set."""

from __future__ import annotations

import torch

from limbeck.data.spec import DataSpec
from limbeck.networks.functional import FunctionalNetwork, Network
from limbeck.plugins import registry


def build_network(
    name: str, spec: DataSpec, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> FunctionalNetwork:
    """Build a registered network for the images of ``spec``.

    Modules draw initial weights when they are made; these are never used, and global random numbers stay as they were.

    Raises:
        UsageError: an unknown name, or a structure that does not take these images.
    """
    family: Network = registry().create("networks", name)
    with torch.random.fork_rng(devices=[]):
        module = family.build(spec.shape, spec.num_classes)
    return FunctionalNetwork(module, spec.shape, device=device, dtype=dtype, name=name).fitting()
