"""Cells: a normal and a reduction cell of a few nodes each, stacked into a network.

Papers: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (arXiv:1707.07012), sections
3 and 4; Termritthikun et al., "EEEA-Net: An Early Exit Evolutionary Neural Architecture Search" (arXiv:2108.06156),
whose genome of 32 integers and ten operations it has. Public code chakkritte/EEEA-Net (Apache 2.0). Written from the
definitions.

The same: four nodes a cell, each the sum of two operations on earlier states; reductions at one and two thirds of the
cells, which double the channels; a stem of three times the channels; average pooling and a linear layer at the end.

Different: a node may read every earlier state, as in NASNet, where the public code's i-th node (from 0) reads the
first i + 1 of i + 2. A cell hands on the nodes that no other reads, as NASNet and the cells that were published do;
``output=all`` hands on all, as the public code does when it searches. There is no auxiliary head, no dropout, and no
path is dropped. Cells that do not reach the classifier are not built. The paper searches with 8 cells of 16 channels;
the defaults are for a CPU.
"""

from __future__ import annotations

import itertools
import re
from typing import Literal

from pydantic import Field
from torch import nn

from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck_applications.nas.drawing import Drawing, Edge, Node
from limbeck_applications.nas.space import Architecture, Gene, Genome, SearchSpace
from limbeck_applications.nas.spaces.cell_network import CellNetwork, Nodes, Wiring, inputs, loose_ends
from limbeck_applications.nas.spaces.cell_operations import OPERATIONS

CELLS = ("normal", "reduction")
NAMES = tuple(OPERATIONS)
LETTERS = {OPERATIONS[name][0]: place for place, name in enumerate(NAMES)}


class Cells(SearchSpace):
    """A normal and a reduction cell; each node adds two operations on earlier states.

    A genome has, cell by cell and node by node, an operation and an input twice. A name spells the same with a letter
    and a digit, such as ``s0k1-m1d2-...``: ``m`` max pooling, ``a`` average pooling, ``k`` skip, ``s`` and ``t``
    separable convolutions of 3 and 5, ``d`` and ``e`` dilated ones, ``c`` 7x1-1x7, ``i`` and ``j`` inverted residuals
    of 3 and 5; input 0 is the cell before last, 1 the last cell, 2 the first node. ``_`` joins the two cells. The pairs
    of a node are sorted, since a sum has no order; nothing else makes two genomes one.
    """

    class Options(OptionsBase):
        """Size of the network."""

        channels: int = Field(8, ge=2, multiple_of=2, description="channels of the first cell's nodes, an even number")
        cells: int = Field(3, ge=3, le=40, description="cells; those at one and two thirds are reductions")
        nodes: int = Field(4, ge=1, le=7, description="nodes of a cell")
        output: Literal["unused", "all"] = Field(
            "unused", description="nodes that a cell hands on: those that no other reads, or all"
        )

    def genes(self) -> tuple[Gene, ...]:
        """Return operation and input of both pairs of each node, the normal cell first."""
        return tuple(
            gene
            for cell, node, pair in itertools.product(CELLS, range(1, self.options.nodes + 1), "ab")
            for gene in (
                Gene(f"{cell} {node}{pair} operation", NAMES),
                Gene(f"{cell} {node}{pair} input", tuple(range(node + 1))),
            )
        )

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome with the two pairs of each node in order."""
        found: list[int] = []
        for place in range(0, len(genome), 4):
            one, other = sorted([genome[place : place + 2], genome[place + 2 : place + 4]])
            found += [*one, *other]
        return tuple(found)

    def nodes(self, genome: Genome) -> tuple[Nodes, Nodes]:
        """Return the nodes of the normal and of the reduction cell."""
        read = [(NAMES[genome[place]], genome[place + 1]) for place in range(0, len(genome), 2)]
        pairs = list(zip(read[::2], read[1::2], strict=True))
        return tuple(pairs[: self.options.nodes]), tuple(pairs[self.options.nodes :])

    def name_of(self, genome: Genome) -> str:
        """Return a letter and a digit for each pair."""
        cells = (
            "-".join("".join(f"{OPERATIONS[name][0]}{state}" for name, state in node) for node in nodes)
            for nodes in self.nodes(genome)
        )
        return "_".join(cells)

    def traits_of(self, genome: Genome) -> dict[str, str]:
        """Return nothing: there is no choice that all its architectures share."""
        return {}

    def find(self, name: str) -> Architecture:
        """Return the architecture of a name; the two pairs of a node may stand in any order.

        Raises:
            UsageError: it is none of this space.
        """
        pairs = re.findall(r"([a-z])(\d)", name)
        try:
            genome = tuple(gene for letter, state in pairs for gene in (LETTERS[letter], int(state)))
            found = self.decode(genome) if genome else None
        except (UsageError, KeyError):
            found = None
        if found is None or self.name_of(genome) != name:
            raise UsageError(f"'{name}' is no architecture of {self.name}; one is named like '{self.first().name}'.")
        return found

    def build(self, architecture: Architecture, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the module; its cells are ``cells.<place>``, then comes ``classifier``.

        Args:
            architecture: of this space.
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: the reductions leave nothing of an image this small.
        """
        options, kinds = self.options, self._kinds(architecture.genome)
        least = 2 ** sum(reduces for _, reduces in kinds)
        if min(shape[1:]) < least:
            raise UsageError(f"two reductions need images of at least {least}x{least}")
        return CellNetwork(kinds, options.channels, shape[0], num_classes)

    def drawing(self, architecture: Architecture) -> list[Drawing]:
        """Return the normal and the reduction cell, with operations on the arrows."""
        found = zip(CELLS, self.nodes(architecture.genome), strict=True)
        return [self._drawn(f"{cell} cell", nodes) for cell, nodes in found]

    def _drawn(self, title: str, nodes: Nodes) -> Drawing:
        labels = {0: "cell before last", 1: "last cell"}
        boxes = [Node(f"{state}", labels[state], "input") for state in sorted(inputs(nodes))]
        boxes += [Node(f"{place}", f"sum {place - 1}") for place in range(2, len(nodes) + 2)]
        arrows = [
            Edge(f"{state}", f"{place}", name.replace("_", " "))
            for place, node in enumerate(nodes, 2)
            for name, state in node
        ]
        arrows += [Edge(f"{state}", "output") for state in self._output(nodes)]
        return Drawing(title, (*boxes, Node("output", "concatenation", "output")), tuple(arrows))

    def _kinds(self, genome: Genome) -> list[tuple[Wiring, bool]]:
        """Return each cell's wiring, and whether it is a reduction."""
        wirings = [Wiring(nodes, self._output(nodes)) for nodes in self.nodes(genome)]
        number = self.options.cells
        reductions = {number // 3, 2 * number // 3}
        return [(wirings[place in reductions], place in reductions) for place in range(number)]

    def _output(self, nodes: Nodes) -> tuple[int, ...]:
        return loose_ends(nodes) if self.options.output == "unused" else tuple(range(2, len(nodes) + 2))
