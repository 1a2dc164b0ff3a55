"""What a ranking, a search or full training has found: the outcome that tables and pages are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.asked import RankSettings, SearchSettings, TruthSettings
from limbeck_applications.nas.truth import Measured, Truth


@dataclass(frozen=True)
class Scored:
    """What a proxy said of one architecture.

    Attributes:
        value: the greater the better; None where it is not finite, or where scoring failed.
        seconds: spent on it when it was scored.
        figures: further numbers, by name.
        failed: why it came to nothing, one line.
        broken: whether that is an error in a program, and not that the proxy has nothing to look at.
    """

    value: float | None
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)
    failed: str = ""
    broken: bool = False


@dataclass(frozen=True)
class Made:
    """What a proxy made before the first architecture.

    Attributes:
        seconds: what it took.
        images: stored images, 0 where it keeps none.
        bytes: of images and labels.
        folder: holds a distilled set as an artifact, or None.
    """

    seconds: float = 0.0
    images: int = 0
    bytes: int = 0
    folder: Path | None = None


@dataclass(frozen=True)
class Ranking:
    """The scores of one proxy from one seed.

    Attributes:
        proxy: its name, with its options where they are not the defaults.
        seed: of the proxy.
        made: what it made first; None where that is not done yet.
        scores: by the architecture's name; those that are finished.
        failed: why the whole proxy came to nothing, one line.
    """

    proxy: str
    seed: int
    made: Made | None
    scores: dict[str, Scored]
    failed: str = ""

    @property
    def seconds(self) -> float:
        """What it took, with what was made first."""
        return sum(each.seconds for each in self.scores.values()) + (0.0 if self.made is None else self.made.seconds)


@dataclass(frozen=True)
class RankOutcome:
    """A ranking study as far as it has come.

    Attributes:
        settings: what was asked.
        architectures: in the order of the space.
        costs: parameters and FLOPs by the architecture's name.
        rankings: one for each proxy and seed, in the order asked.
        truth: full training of these architectures, or None where there is no table.
        truth_name: of the table's file.
        command: what was typed.
        images: training images that there are; 0 where a study of an earlier version does not say.
    """

    settings: RankSettings
    architectures: list[Architecture]
    costs: dict[str, Cost]
    rankings: list[Ranking]
    truth: Truth | None = None
    truth_name: str = ""
    command: str = ""
    images: int = 0


@dataclass(frozen=True)
class Found:
    """One architecture that a search scored, as tables hold it; see ``searcher.Trial``."""

    number: int
    architecture: Architecture
    value: float | None
    parameters: int
    flops: int
    seconds: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""
    broken: bool = False


@dataclass(frozen=True)
class Searched:
    """One search.

    Attributes:
        searcher: its name, with its options where they are not the defaults.
        seed: of the search.
        found: its trials in order.
        seconds: of the trials, and of the searcher's own training.
        finished: whether it came to its end.
        failed: why it came to nothing, one line.
        retrained: its best architectures trained on all the images, best score first; those whose
            training came to nothing are missing.
        weights: files of what those have learned, from the study's folder, by the architecture's name; none in a study
            of an earlier version. ``study.network.load_network`` reads them.
    """

    searcher: str
    seed: int
    found: list[Found]
    seconds: float = 0.0
    finished: bool = False
    failed: str = ""
    retrained: list[Measured] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> Found | None:
        """The trial with the greatest score, the first of equals; None where there is none, or all scores are equal."""
        scored = [each for each in self.found if each.value is not None]
        if not scored or self.is_flat:
            return None
        return max(scored, key=lambda each: (each.value or 0.0, -each.number))

    @property
    def is_flat(self) -> bool:
        """Whether all scores are equal, of two architectures or more: then none of them is the best."""
        scored = [each for each in self.found if each.value is not None]
        return len({each.architecture.name for each in scored}) > 1 and len({each.value for each in scored}) == 1

    @property
    def tied(self) -> int:
        """How many architectures have the greatest score; 0 where there is no best."""
        best = self.best
        return len({each.architecture.name for each in self.found if best and each.value == best.value})

    @property
    def ties(self) -> str:
        """What is to be said of equal scores; nothing where one architecture is the best."""
        if self.is_flat:
            return "all scores are equal: the proxy tells nothing apart"
        return f"{self.tied} architectures tie for the best score, the first of them is shown" if self.tied > 1 else ""

    @property
    def reached(self) -> float | None:
        """Test accuracy of the best trained on all the images; None where that is not done, or came to nothing."""
        best = self.best
        return next(
            (each.test for each in self.retrained if best and each.architecture == best.architecture.name), None
        )


@dataclass(frozen=True)
class SearchOutcome:
    """A study of searches as far as it has come.

    Attributes:
        settings: what was asked.
        proxy: name of the proxy, with its options where they are not the defaults.
        made: what the proxy made first; None where that is not done yet.
        searches: one for each searcher and seed, in the order asked.
        truth: full training of the space, where there is a table of it, for figures that no searcher sees.
        truth_name: of the table's file.
        command: what was typed.
        images: training images that there are; 0 where a study of an earlier version does not say.
    """

    settings: SearchSettings
    proxy: str
    made: Made | None
    searches: list[Searched]
    truth: Truth | None = None
    truth_name: str = ""
    command: str = ""
    images: int = 0


@dataclass(frozen=True)
class TruthOutcome:
    """Full training of a space as far as it has come.

    Attributes:
        settings: what was asked.
        architectures: those asked for in the order of the space, then others that were trained before.
        costs: parameters and FLOPs by the architecture's name.
        truth: what is trained.
        truth_name: of the table's file.
        command: what was typed.
        images: training images that there are.
        failed: why trainings came to nothing, one line each.
    """

    settings: TruthSettings
    architectures: list[Architecture]
    costs: dict[str, Cost]
    truth: Truth
    truth_name: str = ""
    command: str = ""
    images: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def asked(self) -> set[tuple[str, int]]:
        """Architecture and seed of each training that was asked for."""
        own = self.architectures[: self.settings.sample]
        return {(each.name, seed) for each in own for seed in range(self.settings.seeds)}

    @property
    def planned(self) -> int:
        """Trainings in all, with those of an earlier start that were not asked for again."""
        return len(self.asked | {(row.architecture, row.seed) for row in self.truth.rows})

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train."""
        return len(self.truth.rows) + len(self.failed) == self.planned


Outcome = RankOutcome | SearchOutcome | TruthOutcome
