"""The networks that a search has trained in full, as modules that anybody's code takes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from limbeck.data import DataSpec
from limbeck.errors import ArtifactError, UsageError
from limbeck.plugins import registry
from limbeck_applications.nas.candidates.job import ABOUT, data_spec
from limbeck_applications.nas.space import SearchSpace
from limbeck_applications.nas.study.kept import load_outcome
from limbeck_applications.nas.study.rows import SearchOutcome

NAMED = 5
"""Networks that are named at most where one is asked for that is not there."""


def load_network(
    folder: Path | str, architecture: str | None = None, *, seed: int | None = None
) -> tuple[nn.Module, DataSpec]:
    """Return a network that a search trained on all the images, and what the images are that it takes.

    The network takes normalised images: of pixels in [0, 1], [n, channels, height, width],
    ``network(spec.normalise(pixels))`` are the logits, [n, classes], in the order of ``spec.class_names``.

    Args:
        folder: of ``limbeck nas search``.
        architecture: its name; when None, the one of the greatest score among those that are trained.
        seed: of the search that trained it; when None, the one that scored it best.

    Returns:
        The network in eval mode, on the CPU, and the data set's shape, classes, mean and deviation.

    Raises:
        UsageError: the folder is of no search, or holds no weights of such a network.
        ArtifactError: the weights are gone, or damaged.
    """
    folder = Path(folder)
    outcome = load_outcome(folder)
    if not isinstance(outcome, SearchOutcome):
        raise UsageError(f"{folder} holds no search, and weights of nothing else are kept: 'limbeck nas search'.")
    known = [
        (found.value, found.architecture.name, own.seed, own.weights[found.architecture.name])
        for own in outcome.searches
        for found in own.found
        if found.value is not None and found.architecture.name in own.weights
    ]
    asked = [each for each in known if architecture in (None, each[1]) and seed in (None, each[2])]
    if not asked:
        which = "any network" if architecture is None else f"'{architecture}'"
        which += "" if seed is None else f" from seed {seed}"
        there = dict.fromkeys(f"'{name}' (seed {own})" for _, name, own, _ in known)
        raise UsageError(f"{folder} holds no weights of {which}{_remedy(folder, list(there), outcome)}")
    return read_network(folder / max(asked, key=lambda each: each[0])[3])


def read_network(path: Path) -> tuple[nn.Module, DataSpec]:
    """Return the network whose weights a file holds, in eval mode, and what the images are that it takes.

    Raises:
        UsageError: a plugin that offers its space is missing.
        ArtifactError: the file is gone, it is damaged, or its space makes other networks now.
    """
    again = f"limbeck nas search --resume {path.parent.parent}, which trains it again."
    if not path.exists():
        raise ArtifactError(f"{path} is gone: type {again}")
    try:
        with safe_open(path, framework="pt") as stored:
            about = json.loads(stored.metadata()[ABOUT])
            tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        spec = data_spec(about, tensors)
        space: SearchSpace = registry().create("nas_spaces", about["space"])
        with torch.random.fork_rng(devices=[]):
            network = space.build(space.decode(about["genome"]), spec.shape, spec.num_classes)
        names = [name for name, _ in (*network.named_parameters(), *network.named_buffers())]
        network.load_state_dict({name: tensors[name] for name in names}, strict=False)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ArtifactError(
            f"{path} is damaged or of another version ({' '.join(str(error).split())}). Delete it and type {again}"
        ) from None
    return network.eval(), spec


def _remedy(folder: Path, there: list[str], outcome: SearchOutcome) -> str:
    """Say what there is, and what to type for more."""
    more = "repeat the command of the search with --retrain"
    if there:
        names = ", ".join(there[:NAMED]) + (f" and {len(there) - NAMED} more" if len(there) > NAMED else "")
        return f", but of {names}: ask for one of these, or {more} {outcome.settings.retrain + 1} for more."
    if not outcome.settings.retrain:
        return f", since none was to be trained in full: {more} 1."
    if all(own.finished and own.is_flat for own in outcome.searches):
        return ", since all scores are equal and none is the best: search by another proxy."
    return f": limbeck nas search --resume {folder} trains the best."
