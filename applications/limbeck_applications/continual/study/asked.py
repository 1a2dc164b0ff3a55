"""What is asked of a study: every number that its rows depend on."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from limbeck.config import Spec
from limbeck.options import Options
from limbeck_applications.continual.memory.distiller import MemorySpec
from limbeck_applications.continual.settings import Retraining, StreamTraining

IMAGES = 10
"""uint8 images a class that a memory is worth when nobody says."""


class StudySettings(Options):
    """A study: strategies on one benchmark, at equal memory, over class orders and seeds."""

    benchmark: Spec = Field(Spec(name="split_digits"), description="registered continual benchmark")
    strategies: tuple[Spec, ...] = Field((), description="registered continual strategies")
    memories: tuple[MemorySpec, ...] = Field((), description="for the strategies that keep distilled images")
    images: int | None = Field(
        None, ge=1, description="bytes of a class, in uint8 images; those of the largest memory asked for, else 10"
    )
    grows: bool = Field(True, description="whether memory grows with the classes seen, or is all there from the start")
    orders: int = Field(1, ge=1, description="class orders, numbered from 0")
    seeds: int = Field(1, ge=1, description="networks for each class order")
    network: str = Field("convnet-d3-w32-in", description="registered network that learns")
    training: StreamTraining = Field(StreamTraining.model_validate({}), description="how it learns from the stream")
    retraining: Retraining = Field(Retraining.model_validate({}), description="how it learns from a memory alone")
    max_per_class: int | None = Field(None, ge=1, description="use at most this many training images a class")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1")
    executor: Spec = Field(Spec(name="serial"), description="how cells are run; never changes a row")
    protocol: str = Field("", description="published settings it starts from, with which the page compares it")

    @property
    def memory_names(self) -> tuple[str, ...]:
        """What tables call each memory: its short name, or its full one where several have the same short name."""
        short = [memory.name for memory in self.memories]
        return tuple(memory.full_name if short.count(memory.name) > 1 else memory.name for memory in self.memories)

    @field_validator("strategies", "memories", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict) else value
