"""One validated configuration per run: from a method's file, a user's YAML and ``section.key=value``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from limbeck.errors import UsageError
from limbeck.options import Options, parse


class Spec(BaseModel):
    """A component by name, with whatever options it takes (checked when it is created)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def options(self) -> dict[str, Any]:
        """Return the options without the name."""
        return dict(self.model_extra or {})


def names_in(spec: Spec | Mapping[str, Any] | None) -> list[str]:
    """Return the name of a component and of those of its kind among its options, such as ``before`` of a mixing one."""
    if spec is None:
        return []
    values = spec.model_dump() if isinstance(spec, Spec) else spec
    inner = [value for value in values.values() if isinstance(value, Mapping) and "name" in value]
    return [str(values["name"]), *(name for value in inner for name in names_in(value))]


class View(Options):
    """Which part of a data set is used, and what networks see of it."""

    classes: tuple[int | str, ...] | None = Field(
        None, description="keep these classes only, by number or name; they are numbered anew in this order"
    )
    imbalance: float | None = Field(
        None, ge=1, description="largest class over smallest: training classes shrink exponentially, the first stays"
    )
    max_per_class: int | None = Field(None, ge=1, description="keep at most this many training images a class")
    preprocessing: Literal["standard", "zca"] = Field(
        "standard", description="mean and std of each channel, or ZCA whitening fitted on the training images"
    )

    @field_validator("classes")
    @classmethod
    def _distinct(cls, value: tuple[int | str, ...] | None) -> tuple[int | str, ...] | None:
        chosen = value or ()
        twice = [each for position, each in enumerate(chosen) if each in chosen[:position]]
        if twice:
            raise ValueError(f"names class {twice[0]!r} twice")
        if value is not None and len(chosen) < 2:
            raise ValueError("needs 2 classes or more")
        return value


class DataSection(View):
    """The real data, by name with options of its own, and how much of it each step sees."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    name: str = Field("digits", description="registered data set")
    batch_real: int = Field(256, ge=1, description="real images a class in each step")
    batch_syn: int | None = Field(
        None, ge=1, description="synthetic images a class in each step, drawn by lot; all when not given"
    )

    def options(self) -> dict[str, Any]:
        """Return the options of the data set itself (checked when it is created)."""
        return dict(self.model_extra or {})

    def source(self) -> dict[str, Any]:
        """Return what ``load_dataset`` needs to find the same images: name, options, and the view on them."""
        settings = self.model_dump(mode="json", exclude_defaults=True, exclude={"batch_real", "batch_syn"})
        return {"name": self.name, **settings}


class InitSection(Options):
    """What the synthetic images start from."""

    model_config = ConfigDict(populate_by_name=True)

    origin: Literal["real", "noise", "selector", "classified", "file"] = Field(
        "real",
        alias="from",
        description="random real images, noise, a selector's choice, real images that trained networks of the source "
        "classify rightly, or another set",
    )
    selector: Spec | None = None
    path: Path | None = Field(None, description="artifact folder, for 'file'")

    @model_validator(mode="after")
    def _complete(self) -> InitSection:
        if self.origin == "selector" and self.selector is None:
            raise ValueError("starting from a selector needs init.selector.name")
        if self.origin == "file" and self.path is None:
            raise ValueError("starting from a file needs init.path")
        return self


SYN_LR = (1e-6, 10.0)
"""Where the learning rate of students lies."""


class OptimiserSection(Options):
    """How the synthetic parameters move."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr_img: float = Field(0.1, gt=0, description="learning rate of the images")
    lr_label: float = Field(0.1, gt=0, description="learning rate of learned labels")
    lr_matcher: float = Field(0.001, gt=0, description="learning rate of a matcher's own parameters")
    lr_adversary: float = Field(0.001, gt=0, description="learning rate of a matcher's adversary")
    momentum: float = Field(0.5, ge=0, lt=1, description="momentum of sgd")
    momentum_label: float | None = Field(
        None, ge=0, lt=1, description="momentum of learned labels; the images' when not given"
    )
    syn_lr: float | None = Field(
        None, ge=SYN_LR[0], le=SYN_LR[1], description="learning rate of students at the start, kept with the set"
    )
    lr_lr: float | None = Field(
        None, gt=0, description="learning rate of syn_lr, which is learned as a logarithm; it stays when not given"
    )
    weight_decay: float | None = Field(
        None, ge=0, description="decay of the images' pixels; none, and for adamw 0.01, when not given"
    )
    order: Literal["joint", "groupwise"] = Field("joint", description="one update for all groups, or one a group")
    clamp: bool = Field(False, description="keep images inside the range of real ones after every update")
    space: Literal["unit"] | None = Field(
        None, description="what lr_img moves: pixels in [0, 1] with 'unit', else what networks see of them"
    )
    plateau: int | None = Field(
        None,
        ge=1,
        description="halve the images' rate when the loss has not fallen for more than so many steps",
    )
    ema: float | None = Field(None, gt=0, lt=1, description="decay of a moving average that becomes the result")


class TermSection(Options):
    """A second objective, looked at through networks of its own."""

    matcher: Spec = Field(description="what it compares, a registered matcher")
    source: Spec = Field(
        description="which network it looks through; of the run's own source, if it has that name, come options that "
        "are not given"
    )
    weight: float = Field(1.0, gt=0, description="what its gradients are multiplied by")
    update: Literal["together", "own"] = Field(
        "together", description="moves images together with the matcher, or in an update of its own after that"
    )


class BudgetSection(Options):
    """When the run is finished: the first limit reached ends it."""

    iterations: int | None = Field(None, ge=1, description="networks started")
    steps: int | None = Field(None, ge=1, description="updates of the synthetic set")
    seconds: float | None = Field(None, gt=0, description="time spent distilling")

    @model_validator(mode="after")
    def _some_limit(self) -> BudgetSection:
        if self.iterations is None and self.steps is None and self.seconds is None:
            raise ValueError("needs iterations, steps or seconds")
        return self


Baseline = Literal[
    "random", "random_bytes", "random_soft", "random_plain", "synthetic_plain", "synthetic_hard", "whole"
]
BASELINES: tuple[Baseline, ...] = ("random", "random_bytes", "whole")
"""What is measured beside a set unless something else is asked for."""


class EvaluationSection(Options):
    """How the finished set is measured."""

    protocol: Spec = Spec(name="dc")
    networks: int = Field(5, ge=0, description="networks trained from scratch; 0 measures nothing")
    baselines: tuple[Baseline, ...] = Field(
        BASELINES, description="what is measured beside it; false measures nothing else, true the usual three"
    )

    @field_validator("baselines", mode="before")
    @classmethod
    def _all_or_none(cls, value: Any) -> Any:
        return (BASELINES if value else ()) if isinstance(value, bool) else value


class ExecutionSection(Options):
    """Where and how it is computed; nothing here changes what is computed beyond rounding."""

    device: str = Field("auto", description="auto, cpu, cuda or cuda:1")
    memory: str | None = Field(None, description="growth allowed to the loop, such as 2GiB")
    chunk: int | None = Field(None, ge=1, description="images a pass; chosen by memory when not given")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="bfloat16 computes real gradients and features, and evaluation, in mixed precision; with float32, "
        "CUDA convolutions use TF32 as PyTorch does by default",
    )
    second_pass: Literal["auto", "double_backward", "forward_mode"] = Field(
        "auto", description="how second derivatives are found; all give the same numbers, and auto takes the faster"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; the machine's when not given")
    deterministic: bool = Field(False, description="refuse CUDA kernels that add in varying order")
    executor: Spec = Spec(name="serial")
    checkpoint_seconds: float = Field(30, ge=0, description="least time between two checkpoints; 0: every flush")
    flush_every: int = Field(10, ge=1, description="steps between two looks at the losses")


OBSERVERS = ("jsonl", "csv")
"""What writes every run down; more can be asked for."""

CHANGEABLE = ("budget", "evaluation", "execution", "observers")
"""Sections that may differ between the parts of one run."""


class RunConfig(Options):
    """Everything that decides a run."""

    method: str | None = None
    profile: Literal["published", "small"] = "published"
    seed: int = Field(0, ge=0)
    ipc: int = Field(1, ge=1, description="synthetic images per class")
    data: DataSection = DataSection.model_validate({})
    network: str = "convnet-d3-w128-in"
    source: Spec | None = None
    init: InitSection = InitSection.model_validate({})
    matcher: Spec | None = None
    terms: tuple[TermSection, ...] | None = Field(None, description="further objectives beside the matcher")
    selector: Spec | None = None
    formation: Spec = Spec(name="identity")
    augmentation: Spec | None = None
    labels: Spec = Spec(name="hard")
    optimiser: OptimiserSection = OptimiserSection.model_validate({})
    budget: BudgetSection = BudgetSection.model_validate({"iterations": 1000})
    storage: Literal["float32", "float16", "uint8"] = "float32"
    evaluation: EvaluationSection = EvaluationSection.model_validate({})
    execution: ExecutionSection = ExecutionSection.model_validate({})
    observers: tuple[Spec, ...] = Field(
        tuple(Spec(name=name) for name in OBSERVERS), description="what writes the run down"
    )
    reference: dict[str, Any] | None = Field(None, description="the figure published for the method's own settings")
    deviations: tuple[str, ...] = Field((), description="how this run differs from the published settings")

    @model_validator(mode="after")
    def _matcher_or_selector(self) -> RunConfig:
        if self.matcher is None and self.selector is None:
            raise ValueError("no method and no matcher: type for example --method dm; 'limbeck list methods' shows all")
        if self.matcher is not None and self.source is None:
            raise ValueError("a matcher needs a network source: type --set source.name=fresh")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values; what is not set is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_yaml(self) -> str:
        """Return the configuration as YAML that ``limbeck distill --config`` reads back.

        What is not set is written as null, so that it also takes the place of what a method sets.
        """
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)

    def identity(self) -> dict[str, Any]:
        """Return what two runs must share for one to continue the other: all but the changeable sections."""
        free = (*CHANGEABLE, "reference", "deviations")
        return {key: value for key, value in self.to_dict().items() if key not in free}


def build(*layers: Mapping[str, Any]) -> RunConfig:
    """Merge layers of settings, later ones winning, and validate the result.

    Raises:
        UsageError: an unknown key (the closest match is named), or a value out of range.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer)
    return parse(RunConfig, merged, "")


NAMED = ("source", "matcher", "selector", "formation", "augmentation", "before", "labels", "protocol", "executor")
"""Sections that are one component, whose options mean nothing to another one."""


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested settings, ``over`` winning.

    Where a mapping meets a plain string, the string stands for a name. A section that names another component
    starts afresh.
    """
    result = dict(base)
    for key, value in over.items():
        old, new = result.get(key), value
        if isinstance(old, Mapping) and isinstance(new, str):
            new = {"name": new}
        if isinstance(new, Mapping) and isinstance(old, str):
            old = {"name": old}
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            result[key] = new
        elif key in NAMED and "name" in new and new["name"] != old.get("name", new["name"]):
            result[key] = dict(new)
        else:
            result[key] = merge(old, new)
    return result


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one mapping from ``section.key`` to value."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found.update(flatten(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def assignments(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn ``["optimiser.lr_img=0.1", ...]`` into nested settings; values are read as YAML.

    Raises:
        UsageError: a pair without an equals sign, or a value that is no YAML.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise UsageError(f"--set {pair!r} is not SECTION.KEY=VALUE, for example --set optimiser.lr_img=0.1")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UsageError(
                f"--set {pair!r}: the value cannot be read. Quote it, for example 'key=\"text\"'."
            ) from None
        nested: Any = value
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        settings = merge(settings, nested)
    return settings


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        UsageError: missing, no YAML, or not a mapping.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}. Give --config a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no valid YAML: {yaml_problem(error)}. Correct it there.") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no settings: write a mapping such as 'ipc: 10'.")
    return value


def yaml_problem(error: Exception) -> str:
    """Say in one line what is wrong with a YAML text, and where."""
    mark = getattr(error, "problem_mark", None)
    what = " ".join(str(getattr(error, "problem", None) or error).split())
    return what if mark is None else f"{what} in line {mark.line + 1}, column {mark.column + 1}"
