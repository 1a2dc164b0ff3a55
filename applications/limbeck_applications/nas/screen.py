"""What a person sees while a study of architectures goes on: a bar or plain lines, and a table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from limbeck.cli.compare_screen import fitted
from limbeck.cli.follower import Follower
from limbeck.cli.screen import duration, plural
from limbeck_applications.nas.study.asked import TruthSettings
from limbeck_applications.nas.study.audience import Audience
from limbeck_applications.nas.study.kept import Outcome
from limbeck_applications.nas.study.rows import Found, Made, RankOutcome, Scored
from limbeck_applications.nas.tables.ranked import Line
from limbeck_applications.nas.tables.results import Results
from limbeck_applications.nas.tables.searches import SearchResults
from limbeck_applications.nas.tables.searches import Spread as SearchSpread
from limbeck_applications.nas.tables.statistics import Estimate
from limbeck_applications.nas.truth import Measured, Truth, differing

RANK_SPARED = ("no score", "making", "regret", "weighted", "tau-b", "images", "above params")
"""Columns that a narrow terminal goes without, the least needed first."""

SEARCH_SPARED = ("volume", "evaluations", "n", "time", "table acc. %")
"""Likewise, of searches."""

LEGEND = {
    "rho": "Spearman with full training; in brackets the middle 95 % of resampled architectures",
    "rho of scored": "the same of architectures with a score",
    "above params": "rho less that of the parameter count, with the interval of the difference",
    "regret": "points of accuracy that the best tenth by the proxy lie below the best",
    "time": "in all, that before the first architecture included",
    "making": "time before the first architecture, such as distilling",
    "no score": "architectures for which a proxy has none",
}
"""What the columns of rankings mean."""

GUESSED = "*: what has no score counts as ranked lowest, which the proxy did not say; above params leaves it out"

SEARCH_LEGEND = {
    "score": "of the proxy, the best found",
    "retrained %": "its test accuracy after training on all the images",
    "table acc. %": "its test accuracy in the table of full training",
    "volume": "hypervolume in score, parameters and FLOPs, as a share of the box that holds all trials",
    "time": "of the trials, and of what searchers train themselves",
    "n": "searches; where they are several, mean ± population standard deviation",
}
"""What the columns of searches mean."""


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
        shown, missing = _rank_table(outcome) if isinstance(outcome, RankOutcome) else _search_table(outcome)
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
            for text in (*notes, *_ties(outcome)):
                self.console.print(text)
        for text in missing:
            self.console.print(f"missing: {text}")
        self.console.print(f"done in {duration(seconds)}; open {self.folder}/report.html to see everything")
        return 1 if missing else 0


class TruthScreen(Follower):
    """Progress of full training; use as a context manager.

    Args:
        folder: where the table goes.
        console: where it is written; standard output when None.
    """

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        super().__init__(console)
        self.folder = folder

    def title(self, settings: TruthSettings) -> None:
        """Say what is about to happen."""
        training, seeds = settings.training, plural(settings.seeds, "seed")
        self.console.print(f"{settings.space.name} on {settings.data}: {plural(training.epochs, 'epoch')}, {seeds}")
        self.console.print(f"everything goes into {self.folder}")

    def trained(self, done: int, total: int, measured: Measured) -> None:
        """Move the bar."""
        news = f"{measured.architecture}, seed {measured.seed}: {100 * measured.test:.2f} %"
        self.follow("training", total, done, f"{done}/{total} {news}")
        self.say(f"{done} of {plural(total, 'network')} trained; {news}", last=done == total)

    def done(self, truth: Truth, seconds: float) -> None:
        """Say what the table holds."""
        self.close()
        best = max(truth.mean().items(), key=lambda each: each[1])
        self.console.print(f"best of {plural(len(truth.mean()), 'architecture')}: {best[0]}, {100 * best[1]:.2f} %")
        self.console.print(f"done in {duration(seconds)}; the table is {self.folder}/truth.csv")


Shown = tuple[dict[str, list[str]], tuple[str, ...], dict[str, str], list[str]]
"""Columns, those that are spared, what they mean, and notes."""


def _rank_table(outcome: RankOutcome) -> tuple[Shown, list[str]]:
    results = Results.of(outcome)
    missing = [
        f"{each.proxy}, seed {each.seed}: {reason}"
        for each in outcome.rankings
        if (reason := each.failed or _lost(list(each.scores.values())))
    ]
    floor, notes = results.floor, list[str]()
    if floor is not None and floor.value is not None:
        notes.append(f"full training from another seed: rho {_interval(floor)}")
    if results.lead is not None:
        notes.append(_verdict(results, *results.lead))
    if results.truth is not None and not all(line.whole for line in results.lines):
        notes.append(GUESSED)
    return (rank_columns(results), RANK_SPARED, LEGEND, notes), missing


def _verdict(results: Results, second: Line, lead: Estimate) -> str:
    """Return whether the best is told from the second."""
    said = "is not told apart from" if second in results.alike else "ranks best, above"
    return f"{results.ordered[0].proxy} {said} {second.proxy}: {_above(lead)}"


def rank_columns(results: Results) -> dict[str, list[str]]:
    """Return the columns of a ranking's table."""
    lines, baseline = results.lines, results.baseline
    tenth = results.numbers[min(1, len(results.numbers) - 1)] if results.outcome.architectures else 1
    return {
        "proxy": [line.proxy for line in lines],
        "rho": [_interval(line.spearman) + ("" if line.whole or line.truth is None else "*") for line in lines],
        "rho of scored": [_of_scored(line) for line in lines],
        "above params": [_above(results.above(line)) if line is not baseline else "" for line in lines],
        "tau-b": [_number(line.kendall) for line in lines],
        "weighted": [_number(line.weighted) for line in lines],
        "regret": [f"{100 * top.regret:.2f}" if (top := line.top(tenth)) else "" for line in lines],
        "time": [_seconds(line.seconds) for line in lines],
        "making": [_seconds(line.making) if line.making else "" for line in lines],
        "images": [f"{line.images:,}" if line.images else "" for line in lines],
        "no score": [f"{line.undefined}" if line.undefined else "" for line in lines],
    }


def _search_table(outcome: Outcome) -> tuple[Shown, list[str]]:
    assert not isinstance(outcome, RankOutcome)
    missing = [
        f"{each.searcher}, seed {each.seed}: {reason}"
        for each in outcome.searches
        if (reason := each.failed or _lost(each.found))
    ]
    return (search_columns(SearchResults.of(outcome)), SEARCH_SPARED, SEARCH_LEGEND, []), missing


def search_columns(results: SearchResults) -> dict[str, list[str]]:
    """Return the columns of a table of searches."""
    lines = results.lines
    return {
        "searcher": [line.searcher for line in lines],
        "score": [_spread(line.best, 1) for line in lines],
        "retrained %": [_spread(line.retrained, 100, 2) for line in lines],
        "table acc. %": [_spread(line.accuracy, 100, 2) for line in lines],
        "volume": [_spread(line.volume, 1, 3) for line in lines],
        "evaluations": [f"{line.evaluations:.4g}" for line in lines],
        "time": [_seconds(line.seconds) for line in lines],
        "n": [f"{len(line.searches)}" for line in lines],
    }


def _title(outcome: Outcome) -> str:
    settings = outcome.settings
    where = f"{settings.space.name} on {settings.data}"
    if isinstance(outcome, RankOutcome):
        return f"{where}: ranked by {_listed([each.proxy for each in outcome.rankings], 'proxies')}"
    names = _listed([each.searcher for each in outcome.searches], "searchers")
    each = plural(outcome.settings.evaluations, "evaluation")
    return f"{where}: searched by {names}, {each} each, by scores of {outcome.proxy}"


def _ties(outcome: Outcome) -> list[str]:
    """Return what is to be said of equal scores: of each search, or of each proxy's ranking."""
    if isinstance(outcome, RankOutcome):
        lines = Results.of(outcome).lines
        some = [f"{line.proxy} {line.tied}" for line in lines if 1 < line.tied < len(line.names)]
        said = [f"architectures that tie for the best score: {', '.join(some)}"] if some else []
        return said + [f"{line.proxy}: {line.ties}" for line in lines if 1 < line.tied == len(line.names)]
    return [f"{each.searcher}, seed {each.seed}: {each.ties}" for each in outcome.searches if each.ties]


def _lost(results: Sequence[Scored | Found]) -> str:
    number = sum(each.broken for each in results)
    return f"{number} of {plural(len(results), 'architecture')}" if number else ""


def _listed(titles: Sequence[str], what: str) -> str:
    names = list(dict.fromkeys(titles))  # one for each seed
    return ", ".join(names) if len(names) <= 6 else f"{len(names)} {what}"


def _interval(found: Estimate | None) -> str:
    if found is None:
        return ""
    if found.value is None:
        return "undefined"
    ends = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.3f}{ends}"


def _number(found: Estimate | None) -> str:
    return "" if found is None or found.value is None else f"{found.value:.3f}"


def _of_scored(line: Line) -> str:
    return "" if line.whole or line.truth is None else _interval(line.within(line.scored))


def _above(found: Estimate | None) -> str:
    if found is None or found.value is None:
        return ""
    ends = "" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return f"{found.value:+.3f}{ends}"


def _spread(spread: SearchSpread | None, factor: float, digits: int | None = None) -> str:
    if spread is None:
        return ""
    form = spread.form if digits is None else f".{digits}f"
    text = f"{factor * spread.mean:{form}}"
    return f"{text} ± {factor * spread.std:{form}}" if spread.number > 1 else text


def _seconds(value: float) -> str:
    """Write seconds with three significant digits and a unit."""
    if value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:,.0f} s" if value >= 100 else f"{value:#.3g} s"
