"""What can be refused before data is read or a file is written: names, options, and plugins that are absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.augment import Augmentation
from limbeck.config import DataSection, RunConfig, Spec, View, names_in
from limbeck.entries import singular
from limbeck.errors import UnknownNameError, UsageError, closest
from limbeck.evaluation import Recipe
from limbeck.matching import Matcher, NetworkSource, TrajectoryMatcher
from limbeck.networks import FunctionalNetwork
from limbeck.options import parse
from limbeck.plugins import registry
from limbeck.synthetic import LabelProjector


def check_names(config: RunConfig, recipe: Recipe, data: Any = None) -> None:
    """Make every component of a run once, so that a misspelt name or option costs no time.

    Args:
        config: the run.
        recipe: how networks will be trained on its result.
        data: real images in place of the data set that ``config`` names.

    Raises:
        UsageError: the first name or option that is not understood.
    """
    named: list[tuple[str, Spec | str | Mapping[str, Any] | None]] = [
        ("networks", config.network),
        ("network_sources", config.source),
        ("matchers", config.matcher),
        ("selectors", config.selector),
        ("selectors", config.init.selector),
        ("formations", config.formation),
        ("augmentations", config.augmentation),
        ("label_projectors", config.labels),
        ("augmentations", recipe.augmentation),
        ("executors", config.execution.executor),
        *(("observers", observer) for observer in config.observers),
    ]
    if data is None:
        check_data(config.data)
    for kind, spec in named:
        if spec is not None:
            registry().create(kind, spec.model_dump() if isinstance(spec, Spec) else spec)
    check_terms(config)
    if config.matcher is not None:
        check_matched_through(config.augmentation)
        check_order(config)
        check_students(config)
        check_teachers(config)
    check_labels(config, recipe)
    if config.selector is None and config.init.origin in ("real", "noise", "classified"):
        recipe.check_labels("hard")


def check_terms(config: RunConfig) -> None:
    """Refuse a name or an option in one of the terms, saying in which.

    Raises:
        UsageError: the first that is not understood.
    """
    for number, term in enumerate(config.terms or ()):
        try:
            registry().create("matchers", term.matcher.model_dump())
            registry().create("network_sources", term.source.model_dump())
        except UsageError as error:
            raise type(error)(f"in terms.{number}: {error}") from None


def check_matched_through(augmentation: Spec | None) -> None:
    """Refuse to match through an augmentation that has no gradient, or that blends images of one batch.

    Raises:
        UsageError: says where it can be used instead.
    """
    if augmentation is None:
        return
    made: Augmentation = registry().create("augmentations", augmentation.model_dump())
    if made.mixes_labels:
        fault = "blends images of a batch with their labels, which a matcher draws class by class"
    elif not made.differentiable:
        fault = "has no gradient, and a matcher needs one through it"
    else:
        return
    raise UsageError(
        f"augmentation '{augmentation.name}' {fault}. Match with another (augmentation.name=dsa) and train with it: "
        f"evaluation.protocol.augmentation={augmentation.name}."
    )


def cautions(config: RunConfig, network: FunctionalNetwork) -> list[str]:
    """Return what is allowed but seldom meant, a sentence each with its reason and what to type instead."""
    found = []
    if network.couples_samples and config.ipc == 1:
        found.append(
            f"network '{network.name}' has batch norm, and with --ipc 1 its statistics in training are those of one "
            "image a class, which are not those of the real images it is tested on. Use instance norm (-in), or a "
            "larger --ipc."
        )
    return found


def check_order(config: RunConfig) -> None:
    """Refuse one update a group for a matcher that compares all groups as one.

    Raises:
        UsageError: says what to leave out.
    """
    if config.optimiser.order != "groupwise":
        return
    for spec in _matchers(config):
        if _matcher(spec).joins_groups():
            raise UsageError(
                f"matcher '{spec.name}' looks at all groups as one, so they cannot be updated group by group. Leave "
                "out optimiser.order=groupwise, or match each on its own: matcher.name=gradient."
            )


def check_students(config: RunConfig) -> None:
    """Refuse students without experts to follow or a learning rate, and a rate of students where there are none.

    Raises:
        UsageError: says what to type.
    """
    pairs = [] if config.matcher is None or config.source is None else [(config.matcher, config.source)]
    pairs += [(term.matcher, term.source) for term in config.terms or ()]
    followers = [(spec, source) for spec, source in pairs if isinstance(_matcher(spec), TrajectoryMatcher)]
    for spec, source in followers:
        supply: NetworkSource = registry().create("network_sources", source.model_dump())
        if not supply.has_experts:
            raise UsageError(
                f"matcher '{spec.name}' follows experts, and source '{source.name}' has none. Type --set "
                "source=experts, or start from a method that has them: --method mtt."
            )
    if followers and config.optimiser.syn_lr is None:
        raise UsageError(
            f"matcher '{followers[0][0].name}' trains students, which need a learning rate to start with. Type "
            "--set optimiser.syn_lr=0.01"
        )
    if not followers and config.optimiser.syn_lr is not None:
        compared = ", ".join(spec.name for spec, _ in pairs)
        raise UsageError(
            f"optimiser.syn_lr={config.optimiser.syn_lr:g} is the learning rate of students, and matcher '{compared}' "
            "trains none. Type --set optimiser.syn_lr=null --set optimiser.lr_lr=null"
        )


def check_teachers(config: RunConfig) -> None:
    """Refuse to start from what trained networks make of images where the run's source knows none.

    Raises:
        UsageError: says what to type.
    """
    if config.source is None:
        return
    source: NetworkSource = registry().create("network_sources", config.source.model_dump())
    projector: LabelProjector = registry().create("label_projectors", config.labels.model_dump())
    if type(source).teachers is not NetworkSource.teachers:
        return
    if config.init.origin == "classified":
        asked, instead = (
            "init.from=classified starts from images that trained networks classify rightly",
            "init.from=real",
        )
    elif projector.asks_teachers and config.init.origin != "file":
        asked, instead = (
            f"labels '{projector.name}' start from what trained networks make of images",
            "labels.start=class",
        )
    else:
        return
    raise UsageError(f"{asked}, and source '{source.name}' has none. Type --set source=experts, or --set {instead}")


def _matcher(spec: Spec) -> Matcher:
    matcher: Matcher = registry().create("matchers", spec.model_dump())
    return matcher


def check_labels(config: RunConfig, recipe: Recipe) -> None:
    """Refuse labels that would never be learned, and kept labels of views that are made of several images.

    Raises:
        UsageError: says why, and what to take instead.
    """
    projector: LabelProjector = registry().create("label_projectors", config.labels.model_dump())
    if projector.learns() and not learns_labels(config):
        compared = [spec.name for spec in _matchers(config)]
        who = f"matcher '{compared[0]}' compares images whatever their labels" if compared else "a selector learns none"
        if config.matcher is not None and _matcher(config.matcher).uses_labels:
            raise UsageError(
                f"labels '{config.labels.name}' would never move: students learn the labels that matcher "
                f"'{compared[0]}' gives them. Leave out labels={config.labels.name}, or matcher.teacher_labels."
            )
        raise UsageError(
            f"labels '{config.labels.name}' would never move: {who}. Leave out labels={config.labels.name}, or match "
            "the gradients of labelled images: --method dsa."
        )
    if recipe.augmentation is not None:
        projector.check_augmentation(registry().create("augmentations", recipe.augmentation))


def learns_labels(config: RunConfig) -> bool:
    """Say whether labels enter what a run compares, so that they can be learned."""
    return any(_learns(_matcher(spec)) for spec in _matchers(config))


def _learns(matcher: Matcher) -> bool:
    return matcher.uses_labels and not (isinstance(matcher, TrajectoryMatcher) and matcher.relabels())


def _matchers(config: RunConfig) -> list[Spec]:
    own = [] if config.matcher is None else [config.matcher]
    return own + [term.matcher for term in config.terms or ()]


def check_data(section: DataSection) -> None:
    """Refuse an unknown data set, or a key of the section ``data`` that neither it nor the section has.

    Raises:
        UsageError: names it, and the closest that there is.
    """
    cls, variant = registry().load("datasets", section.name)
    check_keys(section.name, section.options(), DataSection)
    parse(cls.Options, {**variant, **section.options()}, "data")


def check_keys(name: str, options: Mapping[str, Any], beside: type[View]) -> None:
    """Refuse a key that is no option of the data set ``name`` and none of the settings ``beside`` them.

    Raises:
        UsageError: names it, and the closest that there is.
    """
    cls, _ = registry().load("datasets", name)
    known = [*cls.Options.model_fields, *beside.model_fields]
    for key in options:
        if key not in known:
            near = closest(key, known)
            guess = f" Did you mean '{near}'?" if near else ""
            raise UsageError(f"unknown option 'data.{key}'.{guess} Known for '{name}': {', '.join(known)}.")


def check_installed(recipe: Recipe, provenance: Mapping[str, Any]) -> None:
    """Refuse a set whose recipe names components of a plugin that is not here.

    Args:
        recipe: how networks are to be trained on the set.
        provenance: of the set; says which distributions its components came from.

    Raises:
        UnknownNameError: names the component and what to install.
    """
    needed = [
        ("networks", recipe.network),
        ("label_projectors", recipe.labels["name"]),
        ("formations", recipe.formation["name"]),
        *(("augmentations", name) for name in names_in(recipe.augmentation)),
    ]
    for kind, name in needed:
        try:
            registry().entry(kind, name)
        except UnknownNameError:
            provider = _provider(provenance, kind, name)
            if provider is None:
                raise
            raise UnknownNameError(f"the set needs the {singular(kind)} '{name}', {provider}") from None


def _provider(provenance: Mapping[str, Any], kind: str, name: str) -> str | None:
    """Say where a component came from and how to get it, or None where that is not recorded."""
    wanted = name.replace("_", "-")
    for plugin in provenance.get("plugins", []):
        known = str(plugin["name"]).replace("_", "-")
        if plugin["kind"] == kind and f"{wanted}-".startswith(f"{known}-"):
            distribution, version = plugin["distribution"], plugin["version"]
            if not version:
                return f"which came from the file {distribution}. Add it with -p {distribution}."
            return f"which {distribution} {version} offers, and it is not installed. Type: pip install {distribution}"
    return None
