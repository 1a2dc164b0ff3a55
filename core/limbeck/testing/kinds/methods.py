"""What a method's file promises: every profile resolves, and every component it names exists."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from limbeck.configure import DEFAULT_DATA, configure
from limbeck.errors import LimbeckError
from limbeck.methods import MethodFile, read_method
from limbeck.plugins import registry
from limbeck.testing.general import names_its_source
from limbeck.testing.suite import Subject, require

PUBLISHED = "published"


def _file(subject: Subject) -> MethodFile:
    return read_method(registry().resource(subject.kind, subject.name), subject.name)


def file_is_valid(subject: Subject) -> None:
    """Its file is YAML with a title, a summary and settings that are known."""
    found = _file(subject)
    require(found.settings, "it has no settings")


def papers_agree(subject: Subject) -> None:
    """The file and the registration name the same paper."""
    written, registered = _file(subject).paper, subject.entry.paper
    require(written == registered, f"the file says '{written}', the registration '{registered}'")


def rules_resolve(subject: Subject) -> None:
    """Every rule of every profile makes a run that could be started."""
    from limbeck.distillation.result import recipe_of
    from limbeck.preflight import check_names

    for profile, data, ipc in _cases(_file(subject)):
        try:
            config = configure(subject.name, None, profile, {"data": {"name": data}, "ipc": ipc})
            check_names(config, recipe_of(config), "data that nobody reads")
        except LimbeckError as error:
            require(False, f"profile '{profile}' on {data} at ipc {ipc}: {error}")


def figures_have_a_source(subject: Subject) -> None:
    """Published figures stand in the published profile, each with its source."""
    for profile, rules in _file(subject).profiles.items():
        for rule in rules:
            require(rule.figure is None or profile == PUBLISHED, f"profile '{profile}' states a published figure")
            require(rule.figure is None or rule.figure.source.strip(), f"{rule.when} has a figure without a source")


def deviations_are_told(subject: Subject) -> None:
    """Profiles that change published settings say how they deviate."""
    method = _file(subject)
    for profile, data, ipc in _cases(method):
        published, found = method.resolve(PUBLISHED, data, ipc), method.resolve(profile, data, ipc)
        silent = found.settings != published.settings and not found.deviations
        require(not silent, f"profile '{profile}' on {data} at ipc {ipc} changes settings and lists no deviations")


def _cases(method: MethodFile) -> Iterator[tuple[str, str, int]]:
    """Yield profile, data and ipc of a run for each rule, and of one that no rule is for."""
    for profile, rules in {PUBLISHED: [], **method.profiles}.items():
        yield profile, DEFAULT_DATA, 1
        for rule in rules:
            data, ipc = rule.when.data or DEFAULT_DATA, rule.when.ipc or 1
            names = [data] if isinstance(data, str) else data
            counts = [ipc] if isinstance(ipc, int) else _ends(ipc) if isinstance(ipc, str) else ipc
            yield from ((profile, *case) for case in itertools.product(names, counts))


def _ends(text: str) -> list[int]:
    return [int(end) for end in text.split("..") if end]


CHECKS = (names_its_source, file_is_valid, papers_agree, rules_resolve, figures_have_a_source, deviations_are_told)
