"""What one job does, in any process: plain values and tensors in, scores out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from limbeck.data import DataSpec, RealData
from limbeck.entries import is_strict
from limbeck.errors import LimbeckError
from limbeck.evaluation.job import PREPROCESSING
from limbeck.execution.device import threads_that_pay
from limbeck.files import write_atomic
from limbeck.networks import FunctionalNetwork, State
from limbeck.plugins import registry
from limbeck_applications.nas.proxy import Candidate, Material, Prepared, Proxy, Score
from limbeck_applications.nas.space import Architecture, SearchSpace
from limbeck_applications.nas.training import Training, trained

HERE = "limbeck_applications.nas.candidates.job"

PREPARED, START = "prepared.", "start."
"""Prefixes of the tensors among a job's that the proxy made, and of the weights that a candidate begins with."""

ABOUT = "about"
"""In the metadata of a file of weights: whose they are, and of which images, as JSON."""

STOPPED = 130
"""Exit code of what the user stopped."""


def guarded(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Score as ``score`` does, and return what ended it as ``failed`` of each candidate, so that others go on.

    Where several were scored in one call, each is then scored by itself, and bears its share of what that call took.
    LIMBECK_STRICT=1 raises what ended it.
    """
    began = time.perf_counter()
    try:
        return score(config, tensors)
    except Exception as error:
        reason, broken = _reason(error), not isinstance(error, LimbeckError)
    number = len(config["candidates"])
    share = (time.perf_counter() - began) / number
    if number == 1:
        return {"scores": [{"value": None, "seconds": share, "figures": {}, "failed": reason, "broken": broken}]}
    alone = [guarded(*_alone(config, tensors, place)) for place in range(number)]
    return {"scores": [{**found, "seconds": found["seconds"] + share} for each in alone for found in each["scores"]]}


def score(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Score architectures of one structure by a proxy.

    Args:
        config: ``space`` and ``proxy`` (specifications), ``values`` that the proxy prepared, ``candidates``, each with
            ``genome``, ``seed`` and ``weights`` (a file for what it learned, or none), ``data`` and ``device``.
        tensors: what the proxy prepared, weights that candidates begin with, validation images where it looks at them,
            and the preprocessing's own.

    Returns:
        ``scores``, one for each candidate: value, seconds, figures.
    """
    spec, device = data_spec(config, tensors), torch.device(config["device"])
    space: SearchSpace = registry().create("nas_spaces", config["space"])
    proxy: Proxy = registry().create("nas_proxies", config["proxy"])
    prepared = Prepared(under(PREPARED, tensors), config["values"])
    material = Material(spec, prepared, real_part("validation", tensors, spec, device), device)
    began = time.perf_counter()
    candidates = [
        _candidate(space, each, under(f"{START}{place}.", tensors), spec, device)
        for place, each in enumerate(config["candidates"])
    ]
    building = (time.perf_counter() - began) / len(candidates)
    with threads_that_pay(candidates[0].network.largest_activation(), device):
        scores = proxy.score(candidates, material)
    for each, found in zip(config["candidates"], scores, strict=True):
        if each["weights"] and found.state is not None:
            write_weights(Path(each["weights"]), found.state)
    return {"scores": [_plain(found, building) for found in scores]}


def guarded_train(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Train as ``train`` does, and return what ended it as ``failed``, so that others go on.

    LIMBECK_STRICT=1 raises what ended it.
    """
    try:
        return train(config, tensors)
    except Exception as error:
        return {"failed": _reason(error)}


def train(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Train an architecture on all the images and test it.

    Args:
        config: ``space``, ``genome``, ``seed``, ``training``, ``data`` and ``device``; ``weights``, a file for what is
            learned, where it is wanted.
        tensors: training, validation and test images and labels, and the preprocessing's own.

    Returns:
        ``validation`` and ``test``, accuracies in [0, 1], and the ``seconds`` of training.
    """
    spec, device = data_spec(config, tensors), torch.device(config["device"])
    space: SearchSpace = registry().create("nas_spaces", config["space"])
    network = network_of(space, space.decode(config["genome"]), spec, device)
    began, data = time.perf_counter(), real_part("train", tensors, spec, device)
    assert data is not None
    sets = {name: part for name in ("validation", "test") if (part := real_part(name, tensors, spec, device))}
    with threads_that_pay(network.largest_activation(), device):
        result = trained(
            network, [config["seed"]], data, spec, Training.model_validate(config["training"]), eval_sets=sets
        )
    found = {name: accuracy.overall for name, accuracy in result.metrics[0].items()}
    seconds = time.perf_counter() - began
    if config.get("weights"):
        about = {name: config[name] for name in ("space", "genome", "seed", "training", "data")}
        known = {"architecture": network.name, **about, **found}
        write_weights(Path(config["weights"]), {**result.states[0], **tensors_of(spec)}, known)
    return {**found, "seconds": seconds}


def network_of(
    space: SearchSpace, architecture: Architecture, spec: DataSpec, device: torch.device
) -> FunctionalNetwork:
    """Build an architecture as a function of its weights; global random numbers stay as they were.

    Raises:
        UsageError: it does not fit the images.
    """
    with torch.random.fork_rng(devices=[]):
        module = space.build(architecture, spec.shape, spec.num_classes)
    return FunctionalNetwork(module, spec.shape, device=device, name=architecture.name)


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors below a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def real_part(name: str, tensors: Mapping[str, Tensor], spec: DataSpec, device: torch.device) -> RealData | None:
    """Return one part of the real images among a job's tensors, or None where it is not there."""
    if f"{name}_images" not in tensors:
        return None
    return RealData(tensors[f"{name}_images"], tensors[f"{name}_labels"], spec, device=device)


def tensors_of(spec: DataSpec, **parts: RealData) -> dict[str, Tensor]:
    """Return real images as a job takes them, with what their preprocessing needs."""
    found = {PREPROCESSING + name: tensor for name, tensor in spec.tensors().items()}
    for name, part in parts.items():
        found |= {f"{name}_images": part.images, f"{name}_labels": part.labels}
    return found


def write_weights(path: Path, state: State, about: Mapping[str, Any] | None = None) -> None:
    """Write weights, atomically.

    Args:
        path: of the file.
        state: the weights.
        about: JSON values that say whose they are.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomic(path, save(tensors, None if about is None else {ABOUT: json.dumps(about)}))


def _reason(error: Exception) -> str:
    """Return why a job came to nothing in one line, or raise what is not to be caught."""
    if is_strict() or (isinstance(error, LimbeckError) and error.exit_code == STOPPED):
        raise error
    if isinstance(error, LimbeckError):
        return str(error)
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}. LIMBECK_STRICT=1 shows where."


def data_spec(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> DataSpec:
    """Return what the images are, from ``data`` of a job and the tensors of ``tensors_of``."""
    return DataSpec.from_dict(config["data"], under(PREPROCESSING, tensors))


def _candidate(
    space: SearchSpace, asked: Mapping[str, Any], start: State, spec: DataSpec, device: torch.device
) -> Candidate:
    architecture = space.decode(asked["genome"])
    network = network_of(space, architecture, spec, device)
    state = {name: value.to(device) for name, value in start.items()} or None
    return Candidate(architecture, network, asked["seed"], state)


def _alone(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], place: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the job of one candidate of several."""
    shared = {name: value for name, value in tensors.items() if not name.startswith(START)}
    own = {f"{START}0.{name}": value for name, value in under(f"{START}{place}.", tensors).items()}
    return {**config, "candidates": [config["candidates"][place]]}, {**shared, **own}


def _plain(found: Score, building: float) -> dict[str, Any]:
    """Return a score as JSON values; a value that is not finite is none, and a figure that is not is left out."""
    value = found.value if math.isfinite(found.value) else None
    figures = {name: figure for name, figure in found.figures.items() if math.isfinite(figure)}
    return {"value": value, "seconds": found.seconds + building, "figures": figures}
