"""What a searcher promises: no more evaluations than it may, the same ones from the same seed, also after a kill."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.testing.general import names_its_source
from limbeck.testing.suite import Broken, NotApplicable, Subject, require
from limbeck_applications.nas.candidates.lab import KeptLab
from limbeck_applications.nas.searcher import Child, Lab, Plan, Searcher, Trial
from limbeck_applications.nas.testing.cases import SIZE, SPACE, TRAINED, UNTRAINED, asked, tiny_lab, tiny_plan

BASE = Searcher
RECORDS = (Lab, Trial, Child, Plan)
"""What authors are handed and hand out, for the page of the kind."""

OUTSIDE = 20_210_806


class Killed(Exception):
    """Stands for a kill in the middle of a search."""


class Fragile(KeptLab):
    """A lab in which a search is killed before one of its requests; ``last`` counts those before it."""

    last = 0

    def _ask(self, request: Callable[[], Any]) -> Any:
        if self.last == 0:
            raise Killed
        self.last -= 1
        return request()

    def score(self, architectures: Sequence[Any], **notes: Any) -> list[Trial]:
        """Score, or be killed."""
        return self._ask(lambda: super(Fragile, self).score(architectures, **notes))  # type: ignore[no-any-return]

    def grow(self, children: Sequence[Child]) -> list[Trial]:
        """Score children, or be killed."""
        return self._ask(lambda: super(Fragile, self).grow(children))  # type: ignore[no-any-return]

    def keep(self, name: str, state: Mapping[str, torch.Tensor]) -> None:
        """Keep tensors, or be killed."""
        self._ask(lambda: super(Fragile, self).keep(name, state))


def _ground(subject: Subject) -> dict[str, Any]:
    """Return the first space and the cheapest proxy that the searcher does not refuse, as ``tiny_lab`` takes them."""

    def find() -> dict[str, Any]:
        reason = ""
        for space in _spaces():
            for proxy in (UNTRAINED, TRAINED):
                try:
                    subject.make().check(tiny_plan(evaluations=SIZE, space=space, proxy=proxy))
                except UsageError as error:
                    require("\n" not in str(error), "the message has several lines")
                    reason = str(error)
                else:
                    return {"space": space, "proxy": proxy}
        raise NotApplicable(reason)

    return subject.keep("ground", find)  # type: ignore[no-any-return]


def _spaces() -> Iterator[dict[str, Any]]:
    yield SPACE
    for name in registry().names("nas_spaces"):
        cls, variant = registry().load("nas_spaces", name)
        yield {"name": name, **cls.trial_options, **variant}


def _searched(
    subject: Subject, folder: Path, cls: type[KeptLab] = KeptLab, evaluations: int = SIZE, requests: int = 10**9
) -> KeptLab:
    """Return the lab after a search in it, which ``Killed`` may have ended."""
    lab = tiny_lab(folder, evaluations=evaluations, cls=cls, **_ground(subject))
    if isinstance(lab, Fragile):
        lab.last = requests
    with suppress(Killed):
        subject.make().search(lab)
    return lab


def _whole(subject: Subject) -> Fragile:
    def search() -> KeptLab:
        with tempfile.TemporaryDirectory() as folder:
            return _searched(subject, Path(folder), Fragile)

    return subject.keep("whole", search)  # type: ignore[no-any-return]


def keeps_to_its_evaluations(subject: Subject) -> None:
    """It scores architectures, and no more of them than it may."""
    lab = _whole(subject)
    require(lab.trials, "it scored nothing")
    require(lab.remaining >= 0, f"{len(lab.trials)} architectures of {lab.evaluations} that it may score")


def stops_where_few_remain(subject: Subject) -> None:
    """With two evaluations it scores two, or refuses them in one line of its check, before anything is computed."""
    try:
        subject.make().check(tiny_plan(evaluations=2, **_ground(subject)))
    except UsageError as error:
        require("\n" not in str(error), "the message has several lines")
        raise NotApplicable(str(error)) from None
    with tempfile.TemporaryDirectory() as folder:
        try:
            lab = _searched(subject, Path(folder), evaluations=2)
        except UsageError as error:
            raise Broken(f"its check lets 2 evaluations pass, and its search does not: {error}") from None
        require(len(lab.trials) == 2, f"{len(lab.trials)} architectures of 2 that it may score")


def scores_what_fits(subject: Subject) -> None:
    """It asks for architectures of the space alone, by the genomes under which they are known."""
    lab = _whole(subject)
    for trial in lab.trials:
        again = lab.space.decode(trial.architecture.genome)
        require(again == trial.architecture, f"'{trial.architecture.name}' is known as '{again.name}'")


def notes_are_plain(subject: Subject) -> None:
    """What it notes of a trial are JSON values."""
    for trial in _whole(subject).trials:
        written = json.loads(json.dumps(dict(trial.notes)))
        require(written == dict(trial.notes), f"the notes {trial.notes} are not the same when written as JSON")


def is_deterministic(subject: Subject) -> None:
    """The same seed asks for the same architectures, whatever was drawn elsewhere before."""
    state = torch.get_rng_state()
    torch.set_rng_state(torch.Generator().manual_seed(OUTSIDE).get_state())
    try:
        with tempfile.TemporaryDirectory() as folder:
            again = _searched(subject, Path(folder))
    finally:
        torch.set_rng_state(state)
    require(asked(again) == asked(_whole(subject)), "other architectures the second time")


def goes_on_after_a_kill(subject: Subject) -> None:
    """A search that was killed between its requests and is continued finds what one without a kill finds."""
    whole = _whole(subject)
    requests = 10**9 - whole.last
    with tempfile.TemporaryDirectory() as folder:
        for last in sorted({0, requests // 2, requests - 1}):
            _searched(subject, Path(folder), Fragile, requests=last)
        continued = _searched(subject, Path(folder))
    require(asked(continued) == asked(whole), "other architectures than without the kill")


CHECKS = (
    names_its_source,
    keeps_to_its_evaluations,
    stops_where_few_remain,
    scores_what_fits,
    notes_are_plain,
    is_deterministic,
    goes_on_after_a_kill,
)
