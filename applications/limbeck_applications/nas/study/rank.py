"""Ranking a space by several proxies; what is scored is never scored again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from limbeck.errors import LimbeckError, UsageError
from limbeck.execution.device import keep_freed_memory
from limbeck.execution.executors import Executor
from limbeck.files import folder_lock
from limbeck.plugins import registry
from limbeck_applications.nas.candidates.job import STOPPED
from limbeck_applications.nas.candidates.kept import Scores
from limbeck_applications.nas.candidates.scoring import Asked, Scorer
from limbeck_applications.nas.space import Architecture, SearchSpace
from limbeck_applications.nas.study.asked import ProblemSettings, RankSettings
from limbeck_applications.nas.study.audience import Audience, tell_broken
from limbeck_applications.nas.study.images import images_of
from limbeck_applications.nas.study.kept import (
    Keeper,
    check_folder,
    check_names,
    check_titles,
    earlier,
    title_of,
)
from limbeck_applications.nas.study.rows import Ranking, RankOutcome, Scored
from limbeck_applications.nas.tables.tops import check_top
from limbeck_applications.nas.truth import Truth, covering, shipped


def rank(
    settings: RankSettings,
    folder: Path,
    *,
    data_root: Path | None = None,
    download: bool = False,
    cache: Path | None = None,
    audience: Audience | None = None,
    command: str = "",
) -> RankOutcome:
    """Score the architectures of a space by every proxy, as far as ``folder`` does not hold the scores yet.

    A score is kept as soon as it is there, under a key made of all that it depends on. Whatever ends the call, the same
    call continues it.

    Args:
        settings: what to rank, and by what.
        folder: keeps scores and what proxies make.
        data_root: where data sets lie.
        download: whether missing data may be fetched.
        cache: for what does not depend on this study alone, such as a selector's network; ``folder/cache`` when None.
        audience: who is told.
        command: what was typed.

    Raises:
        UsageError: an unknown name, a proxy that cannot be had, an architecture that does not fit the images.
        DataError: images that are not there or too few, a table of truth without these architectures.
    """
    space = check_names(settings)
    if settings.truth:
        space.truth(Path(settings.truth))
    if not settings.proxies:
        raise UsageError("no proxy was asked for: name one or more with --proxy; 'limbeck list nas_proxies' shows all.")
    titles = [title_of("nas_proxies", spec) for spec in settings.proxies]
    check_titles(titles, "--proxy")
    check_folder(folder, settings)
    told = audience or Audience()
    images = images_of(settings, data_root=data_root, download=download, cache=cache or folder / "cache")
    for spec in settings.proxies:
        registry().create("nas_proxies", spec.model_dump(mode="json")).check(images.problem)
    chosen = images.architectures(settings.sample)
    for number in settings.top:
        check_top(number, len(chosen))
    truth, name = truth_of(images.space, settings, settings.truth, chosen)
    if images.device.type == "cpu":
        keep_freed_memory()
    executor: Executor = registry().create("executors", settings.executor.model_dump())
    with folder_lock(folder):
        scores = Scores(folder)
        scorers = [
            (title, Scorer(images, spec.model_dump(mode="json"), folder, scores, executor, seed=seed))
            for seed in range(settings.seeds)
            for title, spec in zip(titles, settings.proxies, strict=True)
        ]
        costs = {each.name: images.space.cost(each, images.problem.spec) for each in chosen}
        rankings = [Ranking(title, scorer.seed, None, {}) for title, scorer in scorers]
        outcome = RankOutcome(settings, chosen, costs, rankings, truth, name, command, len(images.problem.train))
        return _Ranks(_begun(outcome, folder), folder, told).run([scorer for _, scorer in scorers])


def _begun(outcome: RankOutcome, folder: Path) -> RankOutcome:
    """Return an outcome with what an earlier start has scored of these architectures."""
    found = earlier(folder, outcome.settings, "proxies", "truth", "sample", "seeds", "top")
    if not isinstance(found, RankOutcome):
        return outcome
    known = {(each.proxy, each.seed): replace(each, failed="") for each in found.rankings}
    rankings = [known.get((each.proxy, each.seed), each) for each in outcome.rankings]
    return replace(outcome, rankings=[replace(each, scores=_ordered(outcome, each.scores)) for each in rankings])


def _ordered(outcome: RankOutcome, scores: Mapping[str, Scored]) -> dict[str, Scored]:
    return {each.name: scores[each.name] for each in outcome.architectures if each.name in scores}


class _Ranks:
    def __init__(self, outcome: RankOutcome, folder: Path, told: Audience) -> None:
        self.outcome, self.told, self.keeper = outcome, told, Keeper(folder, told)

    def run(self, scorers: list[Scorer]) -> RankOutcome:
        """Score by each proxy in turn, and keep what there is also where that is stopped."""
        self.keeper.save(self.outcome)
        self.told.planned(self.outcome)
        try:
            for place, scorer in enumerate(scorers):
                self._try(place, scorer)
                self.keeper.save(self.outcome)
        finally:
            self.keeper.save(self.outcome)
        self.told.tabled(self.outcome)
        return self.outcome

    def _try(self, place: int, scorer: Scorer) -> None:
        """Score by a proxy; one that comes to nothing leaves the others alone."""
        try:
            self._rank(place, scorer)
        except LimbeckError as error:
            if error.exit_code == STOPPED:
                raise
            self._put(place, failed=str(error))
            self.told.failed(f"{self.outcome.rankings[place].proxy}, seed {scorer.seed}", str(error))

    def _rank(self, place: int, scorer: Scorer) -> None:
        title, chosen = self.outcome.rankings[place].proxy, self.outcome.architectures
        self.told.prepares(title, scorer.seed)
        self._put(place, made=scorer.made)
        self.told.prepared(title, scorer.seed, scorer.made)
        before, scores = self.outcome.rankings[place].scores, dict[str, Scored]()

        def told(position: int, scored: Scored) -> None:
            scores[chosen[position].name] = scored
            self._put(place, scores=_ordered(self.outcome, {**before, **scores}))
            self.told.scored(title, scorer.seed, chosen[position].name, scored, len(scores), len(chosen))
            self.keeper.goes_on(lambda: self.outcome)

        found = scorer.score([Asked(each) for each in chosen], told)
        tell_broken(self.told, f"{title}, seed {scorer.seed}", found)

    def _put(self, place: int, **changes: object) -> None:
        self.outcome.rankings[place] = replace(self.outcome.rankings[place], **changes)  # type: ignore[arg-type]


def truth_of(
    space: SearchSpace, settings: ProblemSettings, asked: str, chosen: list[Architecture]
) -> tuple[Truth | None, str]:
    """Return the table of truth for some architectures, the one that comes with Limbeck where none was asked for.

    Raises:
        UsageError: the table cannot be read.
        DataError: it is of another format, or lacks an architecture.
    """
    path = Path(asked) if asked else shipped(settings.space.name, settings.data)
    if path is None:
        return None, ""
    truth = space.truth(path)
    covering(truth, [each.name for each in chosen], path)
    names = {each.name for each in chosen}
    return Truth(tuple(row for row in truth.rows if row.architecture in names), truth.notes), path.name
