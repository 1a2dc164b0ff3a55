"""Method files: a published composition of components, with its settings per data set and ipc.

A file holds settings common to all data sets, then rules. Rules of the chosen profile apply in order wherever their
``when`` fits; a rule may state the figure published for exactly these settings, or how it deviates from the paper.
"""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from limbeck.config import merge
from limbeck.errors import PluginError
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
    ipc: int | str | list[int] | None = None

    def fits(self, data: str, ipc: int) -> bool:
        """Whether a run on ``data`` at ``ipc`` is meant."""
        return self._fits_data(data) and self._fits_ipc(ipc)

    def _fits_data(self, data: str) -> bool:
        return self.data is None or data in ([self.data] if isinstance(self.data, str) else self.data)

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


class MethodFile(_Strict):
    """A method as its file states it."""

    title: str
    paper: str = ""
    code: str = ""
    summary: str
    notes: list[str] = []
    settings: dict[str, Any]
    profiles: dict[str, list[Rule]] = {}

    def resolve(self, profile: str, data: str, ipc: int) -> tuple[dict[str, Any], Figure | None, list[str]]:
        """Return the settings of a profile for one data set and ipc, the published figure, and deviations."""
        settings, figure, deviations = dict(self.settings), None, list[str]()
        for rule in self.profiles.get(profile, []):
            if rule.when.fits(data, ipc):
                settings = merge(settings, rule.settings)
                figure = rule.figure or figure
                deviations += rule.deviations
        return settings, figure, deviations


def read_method(text: str, name: str) -> MethodFile:
    """Parse and validate a method file.

    Raises:
        PluginError: no YAML, or keys that mean nothing.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PluginError(f"method '{name}' is no valid YAML: {str(error).splitlines()[0]}.") from None
    if not isinstance(value, dict):
        raise PluginError(f"method '{name}' holds no settings.")
    return parse(MethodFile, value, f"methods.{name}")
