"""What a person sees while a study of architectures goes on: a bar or plain lines, and a table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console

from limbeck.cli.compare_screen import fitted
from limbeck.cli.follower import Follower
from limbeck.cli.screen import duration, plural
from limbeck.plugins import registry
from limbeck_applications.nas.space import LISTED, SearchSpace
from limbeck_applications.nas.study.audience import Audience
from limbeck_applications.nas.study.rows import Found, Made, Outcome, RankOutcome, Scored, SearchOutcome, TruthOutcome
from limbeck_applications.nas.tables.columns import floor_note, rank_table, search_table
from limbeck_applications.nas.tables.results import Results
from limbeck_applications.nas.tables.trainings import TruthResults
from limbeck_applications.nas.truth import Measured, differing


class StudyScreen(Follower, Audience):
    """Progress of a ranking or of searches; use as a context manager.

    Args:
        folder: of the study.
        pressed: holds something once the user asked to stop.
        console: where it is written; standard output when None.
    """

    def __init__(self, folder: Path, pressed: Sequence[int] = (), console: Console | None = None) -> None:
        super().__init__(console)
        self.folder, self.pressed = folder, pressed
        self._lost = 0

    def planned(self, outcome: Outcome) -> None:
        """Say what is about to happen, and where it goes."""
        self.console.print(_title(outcome))
        self.console.print(f"everything goes into {self.folder}")
        if isinstance(outcome, TruthOutcome):
            return
        if outcome.truth is not None:
            seeds = plural(len(outcome.truth.seeds), "seed")
            self.console.print(f"full training: {outcome.truth_name}, {seeds}")
            if warning := differing(outcome.truth, outcome.images):
                self.console.print(f"note: {warning}")
        elif isinstance(outcome, RankOutcome):
            self.console.print("no table of full training, so no correlations: --truth FILE, or 'limbeck nas truth'")

    def prepares(self, proxy: str, seed: int) -> None:
        """Show that a proxy makes what it needs."""
        self.drop()
        self._lost = 0
        self.follow(f"preparing {proxy}", 1, 0, f"seed {seed}")

    def prepared(self, proxy: str, seed: int, made: Made) -> None:
        """Say what that took, where it took something."""
        self.drop()
        if made.seconds >= 0.05:
            images = f" ({plural(made.images, 'image')})" if made.images else ""
            self.console.print(f"{proxy}, seed {seed}: prepared{images} in {duration(made.seconds)}")

    def scored(self, proxy: str, seed: int, name: str, scored: Scored, done: int, total: int) -> None:
        """Move the bar."""
        self.follow(proxy, total, done, f"seed {seed}, {done}/{total} {name}")
        self._lost += scored.broken
        count = done - self._lost
        self.say(f"{proxy}, seed {seed}: {count} of {plural(total, 'architecture')} scored", last=done == total)

    def searches(self, searcher: str, seed: int, total: int) -> None:
        """Begin a bar."""
        self.drop()
        self.follow(searcher, total, 0, f"seed {seed}")

    def found(self, searcher: str, seed: int, found: Found, done: int, total: int) -> None:
        """Move the bar."""
        value = "no score" if found.value is None else f"{found.value:.4g}"
        self.follow(searcher, total, done, f"seed {seed}, {done}/{total} {found.architecture.name}: {value}")
        self.say(f"{searcher}, seed {seed}: {done} of {plural(total, 'evaluation')}", last=done == total)

    def works(self, done: int, total: int, what: str) -> None:
        """Say how far long work between evaluations is."""
        self.say(f"{what}: {done} of {total}", last=done == total)

    def retrained(self, searcher: str, seed: int, measured: Measured) -> None:
        """Say what one of the best is worth."""
        self.drop()
        self.console.print(
            f"{searcher}, seed {seed}: {measured.architecture} reaches {100 * measured.test:.2f} % on test images"
        )

    def failed(self, what: str, reason: str) -> None:
        """Say why something is missing, or stop where the reason is that the user stopped."""
        if self.pressed:
            raise KeyboardInterrupt
        self.drop()
        self.console.print(f"{what} came to nothing: {reason}")

    def tabled(self, outcome: Outcome) -> None:
        """Write the tables and the page."""
        from limbeck_applications.nas.report.page import publish  # matplotlib only when a page is written

        publish(self.folder, outcome)

    def done(self, outcome: Outcome, seconds: float) -> int:
        """Show the table and where everything lies; return the command's exit status."""
        self.close()
        assert not isinstance(outcome, TruthOutcome)
        shown, missing = rank_table(outcome) if isinstance(outcome, RankOutcome) else search_table(outcome)
        columns, spared, legend, notes = shown
        filled = [name for name, values in columns.items() if any(values)]
        if filled:
            table = fitted(columns, self.console.width, spared)
            heads = [str(column.header) for column in table.columns]
            self.console.print()
            self.console.print(table)
            self.console.print()
            for name in heads:
                if name in legend:
                    self.console.print(f"{name}: {legend[name]}")
            absent = [name for name in filled if name not in heads]
            if absent:
                self.console.print(f"no room here for {', '.join(absent)}: all columns are in {self.folder}/table.csv")
            for text in (*notes, *_ties(outcome), *_few(outcome)):
                self.console.print(text)
        for text in missing:
            self.console.print(f"missing: {text}")
        self._end(seconds)
        return 1 if missing else 0

    def _end(self, seconds: float) -> None:
        self.console.print(f"done in {duration(seconds)}; open {self.folder}/report.html to see everything")


class TruthScreen(StudyScreen):
    """Progress of full training; arguments as of any study's screen."""

    def trained(self, done: int, total: int, measured: Measured) -> None:
        """Move the bar."""
        news = f"{measured.architecture}, seed {measured.seed}: {100 * measured.test:.2f} %"
        self.follow("training", total, done, f"{done}/{total} {news}")
        self.say(f"{done} of {plural(total, 'network')} trained; {news}", last=done == total)

    def done(self, outcome: Outcome, seconds: float) -> int:
        """Say what the table holds, and return the command's exit status."""
        assert isinstance(outcome, TruthOutcome)
        self.close()
        results = TruthResults.of(outcome)
        best, number = results.lines[0], plural(len(results.lines), "architecture")
        self.console.print(f"best of {number}: {best.architecture.name}, {100 * best.test.mean:.2f} %")
        for text in floor_note(results):
            self.console.print(text)
        if results.chance:
            self.console.print(f"note: {results.chance}")
        self.console.print(f"the table is {self.folder}/truth.csv")
        self._end(seconds)
        return 0


def _title(outcome: Outcome) -> str:
    settings = outcome.settings
    where = f"{settings.space.name} on {settings.data}"
    if isinstance(outcome, RankOutcome):
        return f"{where}: ranked by {_listed([each.proxy for each in outcome.rankings], 'proxies')}"
    if isinstance(outcome, TruthOutcome):
        training, seeds = outcome.settings.training, plural(outcome.settings.seeds, "seed")
        return f"{where}: {plural(training.epochs, 'epoch')}, {seeds}"
    names = _listed([each.searcher for each in outcome.searches], "searchers")
    each = plural(outcome.settings.evaluations, "evaluation")
    return f"{where}: searched by {names}, {each} each, by scores of {outcome.proxy}"


def _ties(outcome: RankOutcome | SearchOutcome) -> list[str]:
    """Return what is to be said of equal scores: of each search, or of each proxy's ranking."""
    if isinstance(outcome, RankOutcome):
        lines = Results.of(outcome).lines
        some = [f"{line.proxy} {line.tied}" for line in lines if 1 < line.tied < len(line.names)]
        said = [f"architectures that tie for the best score: {', '.join(some)}"] if some else []
        return said + [f"{line.proxy}: {line.ties}" for line in lines if 1 < line.tied == len(line.names)]
    return [f"{each.searcher}, seed {each.seed}: {each.ties}" for each in outcome.searches if each.ties]


def _few(outcome: RankOutcome | SearchOutcome) -> list[str]:
    """Return what is to be said of a space that has fewer architectures than a search might score."""
    if isinstance(outcome, RankOutcome):
        return []
    most = outcome.settings.evaluations
    space: SearchSpace = registry().create("nas_spaces", outcome.settings.space.model_dump(mode="json"))
    number = most if space.size > LISTED else sum(1 for _ in islice(space.all(), most))
    if number == most:
        return []
    return [f"{space.name} has {plural(number, 'architecture')}, fewer than {plural(most, 'evaluation')}"]


def _listed(titles: Sequence[str], what: str) -> str:
    names = list(dict.fromkeys(titles))  # one for each seed
    return ", ".join(names) if len(names) <= 6 else f"{len(names)} {what}"
