"""What is asked of a ranking, a search or a table of truth: every number that its figures depend on."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from limbeck.config import Spec
from limbeck.options import Options
from limbeck_applications.nas.training import Training


class ProblemSettings(Options):
    """The images, and what all three have in common."""

    space: Spec = Field(Spec(name="convnet72"), description="registered search space")
    data: str = Field("digits", description="registered data set")
    images: int | None = Field(None, ge=1, description="training images in all; what validation leaves when not given")
    validation: int | None = Field(
        None, ge=1, description="training images kept aside to rank on; a fifth, at most 5,000, when not given"
    )
    network: str = Field("convnet-d3-w32-in", description="registered network that sets are distilled with")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1")
    executor: Spec = Field(
        Spec(name="serial"), description="where architectures are scored; on a CPU it changes no score"
    )


class RankSettings(ProblemSettings):
    """How well do proxies rank the architectures of a space?"""

    proxies: tuple[Spec, ...] = Field((), description="registered proxies")
    truth: str = Field("", description="table of full training; the one that comes with Limbeck when empty")
    sample: int | None = Field(None, ge=2, description="architectures taken by lot; all when not given")
    seeds: int = Field(1, ge=1, description="times that each proxy is made and scored anew, numbered from 0")
    top: tuple[int, ...] = Field((), description="best architectures that figures are given for beside 5, 10, 20 %")

    @field_validator("proxies", "top", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict | int) else value


class SearchSettings(ProblemSettings):
    """Which architecture do searchers find within a number of evaluations?"""

    searchers: tuple[Spec, ...] = Field((Spec(name="random"),), description="registered searchers")
    proxy: Spec = Field(Spec(name="distilled"), description="registered proxy")
    evaluations: int = Field(40, ge=1, description="architectures that each search may score")
    seeds: int = Field(1, ge=1, description="searches by each searcher, numbered from 0")
    retrain: int = Field(1, ge=0, description="best architectures of each search that are trained on all the images")
    training: Training = Field(Training.model_validate({}), description="how those are trained")

    @field_validator("searchers", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict) else value


class TruthSettings(ProblemSettings):
    """What does full training give, for each architecture of a space?"""

    sample: int | None = Field(None, ge=1, description="architectures taken by lot; all when not given")
    seeds: int = Field(2, ge=1, description="trainings of each architecture, numbered from 0")
    training: Training = Field(Training.model_validate({}), description="how each is trained")
