"""Limbeck in Python: what the command line does, on tensors and data sets of your own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limbeck.config import merge
from limbeck.configure import configure
from limbeck.data import DataSet, DataSpec, load_dataset
from limbeck.errors import UsageError
from limbeck.evaluation import Evaluation, Protocol, Recipe, evaluate_set
from limbeck.execution.device import resolve_device
from limbeck.plugins import registry
from limbeck.preflight import check_installed
from limbeck.runs import run
from limbeck.synthetic import SyntheticSet

__all__ = ["distill", "evaluate", "load_dataset"]

CUSTOM = "custom"
"""What images of no registered data set are called."""


def distill(
    data: Any = "digits",
    *,
    method: str | None = None,
    matcher: str | None = None,
    ipc: int = 1,
    network: str | None = None,
    profile: str = "published",
    seed: int = 0,
    device: str = "auto",
    run_dir: str | Path | None = None,
    data_root: str | Path | None = None,
    max_per_class: int | None = None,
    batch_real: int | None = None,
    **options: Any,
) -> SyntheticSet:
    """Distil a data set into ``ipc`` synthetic images per class.

    Without ``run_dir`` nothing is written and nothing printed; global random state is left alone.

    Args:
        data: a registered name, a pair ``(images [N, ch, h, w], labels [N])``, a torch ``Dataset``, or a pair of
            those for training and test.
        method: a method's name (``"dm"``); with ``matcher`` alone the matcher's own method is the start.
        matcher: a matcher that takes the place of the method's.
        ipc: images per class, 1 or more.
        network: which network to look through; the method's when None.
        profile: ``"published"`` settings, or ``"small"`` ones for a CPU.
        seed: from which every random number is derived.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        run_dir: keep a run folder there, with checkpoints, evaluation and report.
        data_root: where named data sets lie.
        max_per_class: use at most this many real images of each class.
        batch_real: real images a class in each step; the method's when None.
        **options: sections of the configuration, ``budget={"steps": 100}``.

    Raises:
        UsageError: unknown names or options, values out of range, data that cannot be used.
        DivergenceError: the loss stopped being finite.
    """
    sizes = {"max_per_class": max_per_class, "batch_real": batch_real}
    given = {
        "ipc": ipc,
        "seed": seed,
        "data": {"name": data if isinstance(data, str) else name_of(data), **_given(sizes)},
        "execution": {"device": device},
        **_given({"network": network}),
    }
    config = configure(method, matcher, profile, merge(given, options))
    finished = run(
        config,
        None if isinstance(data, str) else data,
        folder=None if run_dir is None else Path(run_dir),
        data_root=None if data_root is None else Path(data_root),
    )
    return finished.synthetic


def evaluate(
    synthetic: SyntheticSet | str | Path,
    data: Any = None,
    *,
    protocol: str | Mapping[str, Any] | None = None,
    network: str | None = None,
    networks: int = 5,
    seed: int = 0,
    device: str = "auto",
    data_root: str | Path | None = None,
) -> Evaluation:
    """Train fresh networks on a synthetic set and test them on real images.

    Args:
        synthetic: a set, or the folder of one.
        data: the real data (see ``distill``); the set's own data set by name when None.
        protocol: a named procedure whose numbers take the place of the set's recipe.
        network: another network than the recipe's.
        networks: how many are trained.
        seed: the evaluation's seed.
        device: where they train.
        data_root: where named data sets lie.

    Returns:
        Accuracies of the last epoch with mean and population standard deviation, in [0, 1].

    Raises:
        ArtifactError: the folder holds no readable set.
        UsageError: the set does not fit the data, or its recipe needs a plugin that is not installed.
    """
    found = synthetic if isinstance(synthetic, SyntheticSet) else SyntheticSet.load(synthetic)
    place = resolve_device(device)
    recipe = chosen_recipe(found, protocol, network)
    if data is None:
        real = real_data(found, data_root=data_root, device=place)
    else:
        real = load_dataset(data, data_root=data_root, device=place, seed=seed)
    return evaluate_set(found, real, recipe, networks=networks, seed=seed, device=place)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def name_of(data: Any) -> str:
    """Return what data held in memory are called."""
    spec = getattr(data, "spec", None)
    return spec.name if isinstance(spec, DataSpec) else CUSTOM


def real_data(synthetic: SyntheticSet, **settings: Any) -> DataSet:
    """Load the real data a set stands for: the same part of them, drawn by the same seed.

    Args:
        synthetic: the set.
        **settings: as of ``load_dataset``: where the files lie, and the device.

    Raises:
        UsageError: they were given in memory and have no name.
    """
    if synthetic.spec.name == CUSTOM:
        raise UsageError(
            "this set was distilled from images given in Python, which have no name. Type --data NAME, or "
            "limbeck.evaluate(set, data) in Python."
        )
    source = synthetic.provenance.get("data", {"name": synthetic.spec.name})
    seed = synthetic.provenance.get("settings", {}).get("seed", 0)
    return load_dataset(source, seed=seed, **settings)


def chosen_recipe(synthetic: SyntheticSet, protocol: str | Mapping[str, Any] | None, network: str | None) -> Recipe:
    """Return the set's own recipe, with a protocol's numbers and another network where they are asked for.

    Raises:
        UsageError: an unknown name or option, or a component of a plugin that is not installed.
    """
    recipe = Recipe.from_dict(synthetic.recipe)
    if protocol is not None:
        procedure: Protocol = registry().create("protocols", protocol)
        recipe = procedure.recipe(network or recipe.network, recipe)
    recipe = recipe.with_(network=network) if network else recipe
    check_installed(recipe, synthetic.provenance)
    return recipe
