"""The columns that a terminal shows of a ranking and of searches, what they mean, and what is to be said below."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.cli.screen import plural
from limbeck_applications.nas.study.rows import Found, RankOutcome, Scored, SearchOutcome
from limbeck_applications.nas.tables.ranked import Line
from limbeck_applications.nas.tables.results import Results
from limbeck_applications.nas.tables.searches import SearchResults
from limbeck_applications.nas.tables.searches import Spread as SearchSpread
from limbeck_applications.nas.tables.statistics import Estimate
from limbeck_applications.nas.tables.trained import Trained

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

Shown = tuple[dict[str, list[str]], tuple[str, ...], dict[str, str], list[str]]
"""Columns, those that are spared, what they mean, and notes."""


def rank_table(outcome: RankOutcome) -> tuple[Shown, list[str]]:
    """Return what is shown of a ranking, and what is missing in it."""
    results = Results.of(outcome)
    missing = [
        f"{each.proxy}, seed {each.seed}: {reason}"
        for each in outcome.rankings
        if (reason := each.failed or _lost(list(each.scores.values())))
    ]
    notes = floor_note(results)
    if results.lead is not None:
        notes.append(_verdict(results, *results.lead))
    if results.truth is not None and not all(line.whole for line in results.lines):
        notes.append(GUESSED)
    return (rank_columns(results), RANK_SPARED, LEGEND, notes), missing


def floor_note(results: Trained) -> list[str]:
    """Return what one seed of full training says of another, or nothing where that is not known."""
    floor = results.floor
    known = floor is not None and floor.value is not None
    return [f"full training from another seed: rho {_interval(floor)}"] if known else []


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
        "time": [seconds_text(line.seconds) for line in lines],
        "making": [seconds_text(line.making) if line.making else "" for line in lines],
        "images": [f"{line.images:,}" if line.images else "" for line in lines],
        "no score": [f"{line.undefined}" if line.undefined else "" for line in lines],
    }


def search_table(outcome: SearchOutcome) -> tuple[Shown, list[str]]:
    """Return what is shown of searches, and what is missing in them."""
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
        "time": [seconds_text(line.seconds) for line in lines],
        "n": [f"{len(line.searches)}" for line in lines],
    }


def _lost(results: Sequence[Scored | Found]) -> str:
    number = sum(each.broken for each in results)
    return f"{number} of {plural(len(results), 'architecture')}" if number else ""


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


def score_text(value: float) -> str:
    """Write one score in the digits of the means beside it."""
    return _spread(SearchSpread(value, 0.0, 1), 1)


def seconds_text(value: float) -> str:
    """Write seconds with three significant digits and a unit."""
    if value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:,.0f} s" if value >= 100 else f"{value:#.3g} s"
