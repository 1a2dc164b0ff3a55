"""A network of cells: which cell feeds which, and what each makes of its two inputs.

Papers: arXiv:1707.07012, sections 3 and 4; arXiv:1806.09055, section 2.1; arXiv:2108.06156. Public code
chakkritte/EEEA-Net (Apache 2.0). Written from the definitions; what differs is said in ``cells.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limbeck_applications.nas.spaces.cell_operations import OPERATIONS, Halved, relu_conv_norm

Pair = tuple[str, int]
"""An operation and the state that it is applied to: 0 the cell before last, 1 the last cell, 2 the first node ..."""

Nodes = tuple[tuple[Pair, Pair], ...]
"""The two pairs whose sum each node of a cell is."""

STEM = 3
"""Channels of the first convolution for each channel of the first cell."""


def loose_ends(nodes: Nodes) -> tuple[int, ...]:
    """Return the states that no node reads, cell inputs apart: what a cell hands on."""
    read = {state for node in nodes for _, state in node}
    return tuple(state for state in range(2, len(nodes) + 2) if state not in read)


def inputs(nodes: Nodes) -> set[int]:
    """Return which of its two inputs, 0 and 1, a cell reads."""
    return {state for node in nodes for _, state in node if state < 2}


@dataclass(frozen=True)
class Wiring:
    """A kind of cell.

    Attributes:
        nodes: what each of its nodes adds.
        output: the states whose maps are concatenated.
    """

    nodes: Nodes
    output: tuple[int, ...]


class Cell(nn.Module):
    """One cell: nodes that add two operations each, some of which are concatenated.

    Args:
        wiring: its nodes.
        before: channels of the cell before last, and whether its maps are twice as large as those of the last.
        last: channels of the last cell.
        channels: of each node.
        stride: of what reads the inputs; 2 in a reduction.
    """

    def __init__(self, wiring: Wiring, before: tuple[int, bool], last: int, channels: int, stride: int) -> None:
        super().__init__()
        read = inputs(wiring.nodes)
        self.states = tuple((one, other) for (_, one), (_, other) in wiring.nodes)
        self.output = wiring.output
        self.inputs = nn.ModuleDict()
        if 0 in read:
            self.inputs["0"] = (Halved if before[1] else relu_conv_norm)(before[0], channels)
        if 1 in read:
            self.inputs["1"] = relu_conv_norm(last, channels)
        self.operations = nn.ModuleList(
            OPERATIONS[operation][1](channels, stride if state < 2 else 1)
            for node in wiring.nodes
            for operation, state in node
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Return maps [n, nodes handed on * channels, h, w] of what the two cells before gave."""
        states = [before, last]
        for name, module in self.inputs.items():
            states[int(name)] = module(states[int(name)])
        for node, (one, other) in enumerate(self.states):
            first, second = self.operations[2 * node], self.operations[2 * node + 1]
            states.append(first(states[one]) + second(states[other]))
        return torch.cat([states[state] for state in self.output], 1)


class CellNetwork(nn.Module):
    """A convolution, cells in a row, the mean of each map, a linear layer.

    Cells whose maps reach no output are left out, since they would have weights that nothing teaches.

    Args:
        kinds: the wiring of each cell, and whether it is a reduction.
        channels: of the nodes of the first cell; each reduction doubles them.
        image_channels: of an image.
        num_classes: width of the classifier head.
    """

    def __init__(
        self, kinds: Sequence[tuple[Wiring, bool]], channels: int, image_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self.length = len(kinds)
        stem = STEM * channels
        self.stem = nn.Sequential(nn.Conv2d(image_channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        self.cells = nn.ModuleDict()
        reached, before, last, larger = reaching([wiring for wiring, _ in kinds]), stem, stem, False
        for place, (wiring, reduces) in enumerate(kinds):
            channels *= 2 if reduces else 1
            if place in reached:
                self.cells[f"{place}"] = Cell(wiring, (before, larger), last, channels, 2 if reduces else 1)
            before, last, larger = last, channels * len(wiring.output), reduces
        self.classifier = nn.Linear(last, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes] of images [n, ch, h, w]."""
        before = last = self.stem(images)
        for place in range(self.length):
            name = f"{place}"
            before, last = last, self.cells[name](before, last) if name in self.cells else last
        logits: Tensor = self.classifier(last.mean((2, 3)))
        return logits


def reaching(wirings: Sequence[Wiring]) -> set[int]:
    """Return the places of the cells that the last one's maps depend on, itself among them."""
    found = {len(wirings) - 1}
    for place in reversed(range(len(wirings))):
        if place in found:
            found |= {place - 2 + state for state in inputs(wirings[place].nodes)}
    return {place for place in found if place >= 0}
