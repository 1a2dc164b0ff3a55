"""Search spaces: sets of architectures, each written as one whole number per choice."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from limbeck.component import Component
from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck_applications.nas.cost import Cost, measured
from limbeck_applications.nas.drawing import SHOWN, Drawing, column, layers
from limbeck_applications.nas.truth import Truth, read_truth

Genome = tuple[int, ...]
"""For each gene of a space the position of the value chosen."""

TRIES = 200
"""Draws after which a space counts as having nothing that fits the images."""

LISTED = 100_000
"""Architectures up to which a space is gone through from beginning to end."""


@dataclass(frozen=True)
class Gene:
    """One choice.

    Attributes:
        name: what is chosen, such as "width".
        values: what there is to choose from, at least one.
    """

    name: str
    values: tuple[str | int | float, ...]


@dataclass(frozen=True)
class Architecture:
    """One point of a search space.

    Attributes:
        name: unique in its space, and the same on every machine: tables and files hold it.
        genome: its choices.
        traits: what it is in words, such as {"norm": "batch"}; rankings are also judged within them.
    """

    name: str
    genome: Genome
    traits: Mapping[str, str] = field(default_factory=dict, compare=False, hash=False)


class SearchSpace(Component, ABC):
    """A set of architectures. A subclass gives the genes and builds what they stand for."""

    @abstractmethod
    def genes(self) -> tuple[Gene, ...]:
        """Return the choices, always the same ones in the same order."""

    @abstractmethod
    def build(self, architecture: Architecture, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the module for images of one shape, of layers whose weights ``FunctionalNetwork.initial`` can draw.

        Args:
            architecture: of this space.
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: the architecture does not fit images of this size.
        """

    def name_of(self, genome: Genome) -> str:
        """Return the name of a genome: its values, unless a space has a shorter way to say them."""
        return "-".join(f"{value}" for value in self.values(genome).values())

    def traits_of(self, genome: Genome) -> dict[str, str]:
        """Return what a genome is in words: all its choices, unless a space says less."""
        return {name: f"{value}" for name, value in self.values(genome).items()}

    def canonical(self, genome: Genome) -> Genome:
        """Return the one genome by which all genomes of the same network are known; itself unless a space knows more.

        Raises:
            UsageError: the genome is of no network.
        """
        return genome

    def find(self, name: str) -> Architecture:
        """Return the architecture of a name.

        Raises:
            UsageError: there is none, or the space is too large to look for it.
        """
        for architecture in self.all():
            if architecture.name == name:
                return architecture
        raise UsageError(f"'{name}' is no architecture of {self.name}; one is named like '{self.first().name}'.")

    def truth(self, path: Path) -> Truth:
        """Read a table of what full training gives, in the columns of ``truth.COLUMNS`` unless a space has a format.

        Raises:
            UsageError: there is no such file.
            DataError: it is of another format.
        """
        return read_truth(path)

    def drawing(self, architecture: Architecture) -> list[Drawing]:
        """Return what pages draw of an architecture: its layers one below the other, unless a space shows more."""
        with torch.device("meta"):
            module = self.build(architecture, SHOWN, 2)
        return [column("layers", layers(module))]

    # What follows is the same for all spaces.

    def values(self, genome: Genome) -> dict[str, str | int | float]:
        """Return the value of each gene by its name."""
        return {gene.name: gene.values[own] for gene, own in zip(self.genes(), genome, strict=True)}

    @property
    def size(self) -> int:
        """Number of genomes."""
        return math.prod(len(gene.values) for gene in self.genes())

    def encode(self, architecture: Architecture) -> Genome:
        """Return the genome of an architecture."""
        return architecture.genome

    def decode(self, genome: Sequence[int]) -> Architecture:
        """Return the architecture of a genome.

        Raises:
            UsageError: another number of genes, or a position that a gene does not have.
        """
        genes = self.genes()
        if len(genome) != len(genes):
            raise UsageError(f"{self.name} has {len(genes)} genes, but the genome has {len(genome)}.")
        for gene, own in zip(genes, genome, strict=True):
            if not 0 <= own < len(gene.values):
                raise UsageError(
                    f"gene '{gene.name}' of {self.name} is {own}: give 0 to {len(gene.values) - 1}, for "
                    f"{', '.join(map(str, gene.values))}."
                )
        known = self.canonical(tuple(int(own) for own in genome))
        return Architecture(self.name_of(known), known, self.traits_of(known))

    def first(self) -> Architecture:
        """Return the architecture whose choices are all the first."""
        return self.decode([0] * len(self.genes()))

    def all(self) -> Iterator[Architecture]:
        """Go through the architectures in the order of their genomes, each once.

        Raises:
            UsageError: there are more than can be gone through.
        """
        if self.size > LISTED:
            raise UsageError(
                f"{self.name} has {self.size:.3g} architectures, too many to go through (at most {LISTED:,}): "
                "take a number of them by lot (--sample), or search it."
            )
        seen: set[Genome] = set()
        for genome in itertools.product(*(range(len(gene.values)) for gene in self.genes())):
            try:
                architecture = self.decode(genome)
            except UsageError:  # of no network
                continue
            if architecture.genome not in seen:
                seen.add(architecture.genome)
                yield architecture

    def sample(self, generator: torch.Generator, spec: DataSpec | None = None) -> Architecture:
        """Draw an architecture, every genome with equal chance.

        Where several genomes are one network (``canonical``), it comes the more often: chains are shallow more often
        than their number says.

        Args:
            generator: owner of the draw.
            spec: the images it must fit; what does not is drawn again.

        Raises:
            UsageError: nothing that was drawn fits; says what stood in the way of the last one.
        """
        genes = self.genes()
        for _ in range(TRIES):
            drawn = [int(torch.randint(len(gene.values), (), generator=generator)) for gene in genes]
            try:
                architecture = self.decode(drawn)
                if spec is not None:
                    self.cost(architecture, spec)
            except UsageError as error:
                reason = str(error)
            else:
                return architecture
        raise UsageError(f"none of {TRIES} architectures drawn from {self.name} fits; the last one: {reason}")

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Return the architectures that differ in one gene, each once and in the order of the genes."""
        found: dict[Genome, Architecture] = {}
        for place, gene in enumerate(self.genes()):
            for other in range(len(gene.values)):
                try:
                    near = self.decode((*architecture.genome[:place], other, *architecture.genome[place + 1 :]))
                except UsageError:
                    continue
                if near.genome != architecture.genome:
                    found.setdefault(near.genome, near)
        return list(found.values())

    def cost(self, architecture: Architecture, spec: DataSpec) -> Cost:
        """Return the parameters and FLOPs of an architecture for images of ``spec``; nothing is computed.

        Raises:
            UsageError: the architecture does not fit these images.
        """
        return measured(lambda: self.build(architecture, spec.shape, spec.num_classes), spec.shape, architecture.name)
