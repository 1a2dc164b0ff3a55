"""Searching a space by several searchers; a search that was killed is run again and finds its answers on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck.config import Spec
from limbeck.errors import LimbeckError
from limbeck.execution.device import keep_freed_memory
from limbeck.execution.executors import Executor
from limbeck.files import folder_lock
from limbeck.plugins import registry
from limbeck_applications.nas.candidates.job import STOPPED
from limbeck_applications.nas.candidates.kept import Scores
from limbeck_applications.nas.candidates.lab import KeptLab
from limbeck_applications.nas.candidates.scoring import Scorer, resolved
from limbeck_applications.nas.searcher import Plan, Searcher, Trial
from limbeck_applications.nas.study.asked import SearchSettings
from limbeck_applications.nas.study.audience import Audience, tell_broken
from limbeck_applications.nas.study.images import Images, images_of
from limbeck_applications.nas.study.kept import (
    JOBS,
    Keeper,
    check_folder,
    check_names,
    check_titles,
    earlier,
    title_of,
)
from limbeck_applications.nas.study.rows import Found, Searched, SearchOutcome
from limbeck_applications.nas.study.truth import run_trainings, training_jobs
from limbeck_applications.nas.truth import Measured, shipped


def search(
    settings: SearchSettings,
    folder: Path,
    *,
    data_root: Path | None = None,
    download: bool = False,
    cache: Path | None = None,
    audience: Audience | None = None,
    command: str = "",
) -> SearchOutcome:
    """Run every searcher from every seed, as far as ``folder`` does not hold the scores that they ask for.

    Searches share the proxy's images and their scores: what one of them has scored costs the next no time, though it
    counts among its evaluations.

    Args:
        settings: what to search, by what.
        folder: keeps scores, weights and what the proxy makes.
        data_root: where data sets lie.
        download: whether missing data may be fetched.
        cache: for what does not depend on this study alone; ``folder/cache`` when None.
        audience: who is told.
        command: what was typed.

    Raises:
        UsageError: an unknown name; a space, proxy, budget or number of evaluations that a searcher cannot work with;
            a space of which nothing fits the images.
        DataError: images that are not there or too few.
    """
    check_names(settings)
    titles = [title_of("nas_searchers", spec) for spec in settings.searchers]
    check_titles(titles, "--searcher")
    proxy_title = title_of("nas_proxies", settings.proxy)
    check_folder(folder, settings)
    told = audience or Audience()
    images = images_of(settings, data_root=data_root, download=download, cache=cache or folder / "cache")
    proxy = settings.proxy.model_dump(mode="json")
    plan = Plan(images.space, images.problem, registry().create("nas_proxies", proxy), settings.evaluations)
    plan.proxy.check(images.problem)
    for spec in settings.searchers:
        _searcher(spec).check(plan)
    images.check()
    searchers = [
        (title, _searcher(spec), seed)
        for seed in range(settings.seeds)
        for title, spec in zip(titles, settings.searchers, strict=True)
    ]
    path = shipped(settings.space.name, settings.data)
    if images.device.type == "cpu":
        keep_freed_memory()
    executor: Executor = registry().create("executors", settings.executor.model_dump())
    with folder_lock(folder):
        weights = any(searcher.continues for _, searcher, _ in searchers)
        scorer = Scorer(images, proxy, folder, Scores(folder), executor, weights=weights)
        outcome = SearchOutcome(
            settings,
            proxy_title,
            None,
            [Searched(title, seed, []) for title, _, seed in searchers],
            None if path is None else images.space.truth(path),
            "" if path is None else path.name,
            command,
            len(images.problem.train),
        )
        work = _Searches(_begun(outcome, folder), folder, told, images, scorer, executor)
        return work.run([searcher for _, searcher, _ in searchers])


def _searcher(spec: Spec) -> Searcher:
    searcher: Searcher = registry().create("nas_searchers", spec.model_dump(mode="json"))
    return searcher


def _begun(outcome: SearchOutcome, folder: Path) -> SearchOutcome:
    """Return an outcome with the searches that an earlier start has made, each until it is further in this one."""
    found = earlier(folder, outcome.settings, "searchers", "seeds", "retrain", "training")
    if not isinstance(found, SearchOutcome):
        return outcome
    known = {(each.searcher, each.seed): replace(each, failed="") for each in found.searches}
    searches = [known.get((each.searcher, each.seed), each) for each in outcome.searches]
    if found.settings.training != outcome.settings.training:
        searches = [replace(each, retrained=[], weights={}) for each in searches]
    return replace(outcome, made=found.made, searches=searches)


class _Searches:
    def __init__(
        self,
        outcome: SearchOutcome,
        folder: Path,
        told: Audience,
        images: Images,
        scorer: Scorer,
        executor: Executor,
    ) -> None:
        self.outcome, self.folder, self.told, self.keeper = outcome, folder, told, Keeper(folder, told)
        self.images, self.scorer, self.executor = images, scorer, executor

    def run(self, searchers: list[Searcher]) -> SearchOutcome:
        """Search, and keep what there is also where that is stopped."""
        self.keeper.save(self.outcome)
        self.told.planned(self.outcome)
        try:
            self._run(searchers)
        finally:
            self.keeper.save(self.outcome)
        self.told.tabled(self.outcome)
        return self.outcome

    def _run(self, searchers: list[Searcher]) -> None:
        """Prepare the proxy, search by each searcher in turn, and train the best on all the images."""
        self.told.prepares(self.outcome.proxy, 0)
        self.outcome = replace(self.outcome, made=self.scorer.made)
        self.told.prepared(self.outcome.proxy, 0, self.scorer.made)
        for place, searcher in enumerate(searchers):
            try:
                self._search(place, searcher)
                self.keeper.save(self.outcome)
                self._retrain(place)
            except LimbeckError as error:
                if error.exit_code == STOPPED:
                    raise
                self._put(place, failed=str(error))
                own = self.outcome.searches[place]
                self.told.failed(f"{own.searcher}, seed {own.seed}", str(error))

    def _search(self, place: int, searcher: Searcher) -> None:
        """Search; one that finds what it found in an earlier start stays as it is, with the seconds it took then."""
        own, settings = self.outcome.searches[place], self.outcome.settings
        self.told.searches(own.searcher, own.seed, settings.evaluations)
        found: list[Found] = []

        def told(trial: Trial) -> None:
            found.append(_found(trial))
            if len(found) > len(own.found):
                spent = sum(each.seconds for each in found)
                self._put(place, found=list(found), seconds=spent, finished=False, retrained=[], weights={})
            self.told.found(own.searcher, own.seed, found[-1], len(found), settings.evaluations)
            self.keeper.goes_on(lambda: self.outcome)

        which = settings.searchers[place % len(settings.searchers)].name
        identity = resolved("nas_searchers", which, searcher)
        lab = KeptLab(self.scorer, identity, settings.evaluations, own.seed, told, self.told.works)
        searcher.search(lab)
        tell_broken(self.told, f"{own.searcher}, seed {own.seed}", found)
        if not own.finished or own.found != found:
            spent = sum(each.seconds for each in found) + lab.own_seconds
            self._put(place, found=found, finished=True, seconds=spent)

    def _retrain(self, place: int) -> None:
        """Train the best architectures of a search on all the images, none where all scores are equal.

        It is done once for each, whoever finds it.

        One whose training comes to nothing is told of, and tried again in the next start.
        """
        own, settings = self.outcome.searches[place], self.outcome.settings
        scored = [each for each in own.found if each.value is not None and not own.is_flat]
        scored.sort(key=lambda each: -(each.value or 0.0))
        best = list({each.architecture.name: each.architecture for each in scored}.values())[: settings.retrain]
        jobs = training_jobs(
            self.images, [(each, own.seed) for each in best], settings.training.model_dump(mode="json")
        )
        rows: dict[int, Measured] = {}

        def arrived(number: int, result: dict[str, Any]) -> None:
            name, who = best[number].name, f"{own.searcher}, seed {own.seed}"
            if "failed" in result:
                self.told.failed(f"{who}: training {name} on all the images", result["failed"])
                return
            rows[number] = Measured(name, own.seed, **result)
            self.told.retrained(own.searcher, own.seed, rows[number])

        places = run_trainings(self.executor, jobs, self.folder / JOBS, arrived, weights=True)
        weights = {best[n].name: f"{JOBS}/{places[n].name}" for n in sorted(rows) if places[n].exists()}
        self._put(place, retrained=[rows[number] for number in sorted(rows)], weights=weights)

    def _put(self, place: int, **changes: object) -> None:
        self.outcome.searches[place] = replace(self.outcome.searches[place], **changes)  # type: ignore[arg-type]


def _found(trial: Trial) -> Found:
    value = trial.value if abs(trial.value) < float("inf") else None
    return Found(
        trial.number,
        trial.architecture,
        value,
        trial.cost.parameters,
        trial.cost.flops,
        trial.seconds,
        dict(trial.notes),
        trial.failed,
        trial.broken,
    )
