"""What a comparison consists of: one configuration a row, all resolved before the first is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from limbeck.compare.asked import OF_THE_SET, Asked, Place
from limbeck.compare.rows import BASELINE, WHOLE
from limbeck.config import Baseline, RunConfig, merge
from limbeck.configure import configure
from limbeck.distillation.result import recipe_of
from limbeck.errors import UsageError
from limbeck.evaluation.baselines import obstacle
from limbeck.execution.device import resolve_device
from limbeck.files import content_key
from limbeck.plugins import registry
from limbeck.preflight import check_names
from limbeck.synthetic import LabelProjector

UNTOLD = ("checkpoint_seconds", "flush_every", "executor")
"""Settings of execution that leave results, time and memory as they are."""


@dataclass(frozen=True)
class Entry:
    """One row to be measured: a method at an ipc and a seed, or the whole data set.

    Attributes:
        method: the method's name, or ``WHOLE``.
        ipc: images per class; 0 for the whole data set.
        seed: of the run and of its evaluation.
        config: what is run; for the whole data set the run it is measured beside.
    """

    method: str
    ipc: int
    seed: int
    config: RunConfig

    @cached_property
    def key(self) -> str:
        """A short name that changes with every setting that the row depends on."""
        config = self.config
        execution = config.execution.model_dump(mode="json", exclude={*UNTOLD})
        device = resolve_device(config.execution.device).type
        return content_key(
            [
                self.method == WHOLE,
                config.identity(),
                config.budget.model_dump(mode="json"),
                config.evaluation.model_dump(mode="json", exclude={"baselines"}),
                {**execution, "device": device},
            ]
        )[:10]

    @property
    def name(self) -> str:
        """What a person calls the row."""
        return "the whole data set" if self.method == WHOLE else f"{self.method}, ipc {self.ipc}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Name of the run folder; it ends with the key."""
        key = Entry(BASELINE, self.ipc, self.seed, self.config).key if self.method == WHOLE else self.key
        return f"{self.config.method}-ipc{self.config.ipc}-seed{self.seed}-{key}"


@dataclass(frozen=True)
class Comparison:
    """Rows to be measured, in the order they are.

    Attributes:
        entries: of every seed, ipc and method; the whole data set's comes last.
        own_recipes: whether every method is measured by its own recipe; rows then do not compare directly.
        command: what was typed, to be typed again.
    """

    entries: tuple[Entry, ...]
    own_recipes: bool = False
    command: str = ""

    @property
    def asked(self) -> Asked:
        """What the folder of the comparison keeps of this."""
        budgets = {entry.config.budget for entry in self.entries if entry.config.matcher is not None}
        return Asked(
            data=self.config.data.name,
            places=tuple(Place(entry.method, entry.ipc, entry.seed, entry.key) for entry in self.entries),
            budget=budgets.pop().model_dump(mode="json", exclude_none=True) if len(budgets) == 1 else {},
            own_recipes=self.own_recipes,
            command=self.command,
        )

    @property
    def config(self) -> RunConfig:
        """The configuration of the baseline, which holds what all rows share."""
        return next(entry.config for entry in self.entries if entry.method == WHOLE)


def plan(
    methods: Sequence[str],
    ipcs: Sequence[int],
    seeds: Sequence[int],
    *,
    settings: Mapping[str, Any],
    profile: str | None = None,
    own_recipes: bool = False,
) -> Comparison:
    """Resolve the configuration of every row.

    All methods share the network and the evaluation that the baseline has at that profile, data set and ipc, with the
    user's settings over them. A selector has no budget to keep.

    Args:
        methods: names; the baseline is put in front where it is missing.
        ipcs: images per class.
        seeds: of the runs.
        settings: the user's own, nested as in ``RunConfig``.
        profile: ``published`` or ``small``.
        own_recipes: leave network and evaluation to every method's own file.

    Raises:
        UsageError: an unknown name or a value out of range in any row, or rows that would not compare.
    """
    if not methods or not ipcs or not seeds:
        raise UsageError("nothing to compare: name methods and ipc, for example --methods dm,random --ipc 1,10.")
    named = dict.fromkeys(methods)
    named = named if BASELINE in named else dict.fromkeys([BASELINE, *named])
    entries: dict[str, Entry] = {}
    for seed in dict.fromkeys(seeds):
        for ipc in dict.fromkeys(ipcs):
            asked = merge(settings, {"ipc": ipc, "seed": seed, "evaluation": {"baselines": False}})
            base = _configured(BASELINE, profile, asked)
            _check_taken(named, profile, asked)
            configs = [_like(base, method, profile, asked, own_recipes) for method in named]
            for config in configs:
                check_names(config, recipe_of(config))
            if not own_recipes:
                _check_equal(configs)
            rows = [Entry(str(config.method), ipc, seed, _beside(config)) for config in configs]
            entries |= {row.key: row for row in rows}
    first = next(entry for entry in entries.values() if entry.method == BASELINE)
    return Comparison((*entries.values(), Entry(WHOLE, 0, first.seed, _measuring(first.config, (WHOLE,)))), own_recipes)


PARTS = {"source": "network_sources", "matcher": "matchers"}
"""Sections of one component whose options, given without a name, concern the methods that have such a one."""


def _concerning(method: str, profile: str | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without options that the method's own network source or matcher does not have."""
    found = dict(asked)
    where = {key: asked[key] for key in ("data", "ipc", "network") if key in asked}
    for section in PARTS:
        if not isinstance(asked.get(section), Mapping) or "name" in asked[section]:
            continue
        spec = getattr(configure(method, None, profile, where), section)
        known = [] if spec is None else registry().load(PARTS[section], spec.name)[0].Options.model_fields
        found[section] = {key: value for key, value in asked[section].items() if key in known}
        if not found[section]:
            del found[section]
    return found


def _check_taken(methods: Iterable[str], profile: str | None, asked: Mapping[str, Any]) -> None:
    """Refuse an option of a network source or a matcher that none of the methods has.

    Raises:
        UsageError: names it.
    """
    taken = [_concerning(method, profile, asked) for method in methods]
    for section in PARTS:
        given = asked.get(section, {})
        for key in given if isinstance(given, Mapping) else ():
            if not any(key in found.get(section, {}) for found in taken):
                raise UsageError(
                    f"none of the methods compared has an option '{section}.{key}'. 'limbeck show' explains the "
                    f"{PARTS[section].replace('_', ' ')} of each."
                )


def _configured(method: str, profile: str | None, asked: Mapping[str, Any]) -> RunConfig:
    asked = _concerning(method, profile, asked)
    config = configure(method, None, profile, asked)
    if config.matcher is None:
        projector: LabelProjector = registry().create("label_projectors", config.labels.model_dump())
        moot = {"budget", "labels"} if projector.learns() else {"budget"}
        config = configure(method, None, profile, {key: value for key, value in asked.items() if key not in moot})
    if config.evaluation.networks < 1:
        raise UsageError("a comparison needs networks to measure with, but 0 were asked for. Type --networks 5.")
    return config


def _like(base: RunConfig, method: str, profile: str | None, asked: Mapping[str, Any], own_recipes: bool) -> RunConfig:
    """Return a method's configuration, with the baseline's network and evaluation unless it keeps its own."""
    if own_recipes:
        return _configured(method, profile, asked)
    shared = {"network": base.network, "evaluation": base.evaluation.model_dump(mode="json", exclude_none=True)}
    return _configured(method, profile, merge(shared, asked)).model_copy(update={"evaluation": base.evaluation})


def _beside(config: RunConfig) -> RunConfig:
    """Add what the label-robust score of a set with soft labels needs beside it, as far as that can be measured."""
    recipe = recipe_of(config)
    soft: tuple[Baseline, ...] = ("random_soft", "synthetic_hard") if recipe.has_soft_labels("hard") else ()
    return _measuring(config, tuple(label for label in soft if not obstacle(label, "hard", recipe)))


def _measuring(config: RunConfig, baselines: tuple[Baseline, ...]) -> RunConfig:
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"baselines": baselines})})


def _check_equal(configs: Sequence[RunConfig]) -> None:
    """Refuse rows of one column whose networks would be trained in different ways.

    Raises:
        UsageError: names two methods and the first number in which their recipes differ.
    """
    recipes = [recipe_of(config).to_dict() for config in configs]
    for config, recipe in zip(configs, recipes, strict=True):
        for key in {**recipes[0], **recipe}:
            base, value = recipes[0].get(key), recipe.get(key)
            if key not in OF_THE_SET and value != base:
                raise UsageError(
                    f"rows would not compare: '{configs[0].method}' would be measured with {key} "
                    f"{_short(base)}, '{config.method}' with {_short(value)}. State it for all, for example "
                    "--set evaluation.protocol.augmentation.name=none, or type --own-recipes."
                )


def _short(value: Any) -> str:
    return str(value.get("name", value)) if isinstance(value, Mapping) else "none" if value is None else str(value)
