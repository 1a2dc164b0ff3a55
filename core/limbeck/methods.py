"""Method files: a published composition of components, with its settings per data set and ipc.

A file holds settings common to all data sets, then rules. Rules of the chosen profile apply in order wherever their
``when`` fits; a rule may state the figure published for exactly these settings, or how it deviates from the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from limbeck.config import merge, yaml_problem
from limbeck.errors import PluginError, UsageError
from limbeck.options import parse


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Strict):
    """An accuracy from a paper or its authors' code.

    Attributes:
        accuracy: per cent.
        std: population standard deviation in points, where it could be checked.
        source: where it stands.
    """

    accuracy: float = Field(ge=0, le=100)
    std: float | None = None
    source: str


class When(_Strict):
    """Which runs a rule is for: data set names, and ipc as numbers or ``a..b``; absent means any."""

    data: str | list[str] | None = None
    ipc: int | Annotated[str, Field(pattern=r"^\d*\.\.\d*$")] | list[int] | None = None

    def fits(self, data: str, ipc: int) -> bool:
        """Whether a run on ``data`` at ``ipc`` is meant."""
        return self._fits_data(data) and self._fits_ipc(ipc)

    def _fits_data(self, data: str) -> bool:
        named = data.replace("-", "_")
        return self.data is None or named in ([self.data] if isinstance(self.data, str) else self.data)

    def _fits_ipc(self, ipc: int) -> bool:
        if self.ipc is None or isinstance(self.ipc, int | list):
            return self.ipc is None or ipc in ([self.ipc] if isinstance(self.ipc, int) else self.ipc)
        low, _, high = self.ipc.partition("..")
        return int(low or 1) <= ipc <= int(high or ipc)


class Rule(_Strict):
    """Settings for some runs."""

    when: When = When()
    settings: dict[str, Any] = Field(default_factory=dict, alias="set")
    figure: Figure | None = None
    deviations: list[str] = []


@dataclass(frozen=True)
class Resolved:
    """What a method's file says about one run.

    Attributes:
        settings: nested as in ``RunConfig``.
        figure: what was published for exactly these settings.
        deviations: how they differ from the published ones.
    """

    settings: dict[str, Any]
    figure: Figure | None
    deviations: list[str]


class MethodFile(_Strict):
    """A method as its file states it."""

    title: str
    paper: str = ""
    code: str = ""
    summary: str
    notes: list[str] = []
    settings: dict[str, Any]
    profiles: dict[str, list[Rule]] = {}

    def resolve(self, profile: str, data: str, ipc: int) -> Resolved:
        """Return what the file says about a profile for one data set and ipc.

        Raises:
            UsageError: the file has no such profile; every method has the published one.
        """
        known = dict.fromkeys(["published", *self.profiles])
        if profile not in known:
            raise UsageError(f"{self.title} has no profile '{profile}'. Known: {', '.join(known)}.")
        settings, figure, deviations = dict(self.settings), None, list[str]()
        for rule in self.profiles.get(profile, []):
            if rule.when.fits(data, ipc):
                settings = merge(settings, rule.settings)
                figure = rule.figure or figure
                deviations += rule.deviations
        return Resolved(settings, figure, deviations)


def read_method(text: str, name: str) -> MethodFile:
    """Parse and validate a method file.

    Raises:
        PluginError: no YAML, or keys that mean nothing.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PluginError(f"the file of method '{name}' is no valid YAML: {yaml_problem(error)}.") from None
    if not isinstance(value, dict):
        raise PluginError(f"the file of method '{name}' holds no settings.")
    try:
        return parse(MethodFile, value, "")
    except UsageError as error:
        raise PluginError(f"the file of method '{name}' cannot be used: {error}") from None
