"""The cells of NAS-Bench-201: four nodes, an operation of five on each of the six edges between them.

Paper: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search"
(arXiv:2001.00326), section 2.1 and figure 1. Public code D-X-Y/AutoDL-Projects and D-X-Y/NATS-Bench (MIT). Written
from the definitions.

The same: operations, their order in the genome, three stages with a residual block of stride 2 between them, names such
as ``|nor_conv_3x3~0|+|skip_connect~0|none~1|+|...|``; convolutions on edges that lead nowhere are built and counted, so
parameters are those that the benchmark publishes.

Different: one cell a stage where the benchmark trains five (``cells=5`` is its network); the shortcut of a residual
block keeps the border of maps of odd size, to match its convolution.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path

from pydantic import Field
from torch import Tensor, nn

from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck_applications.nas.drawing import Drawing, Edge, Node
from limbeck_applications.nas.space import Architecture, Gene, Genome, SearchSpace
from limbeck_applications.nas.spaces.cell_operations import relu_conv_norm
from limbeck_applications.nas.spaces.nb201_table import read
from limbeck_applications.nas.truth import Truth

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From node to node, as the genes stand."""


class Zero(nn.Module):
    """Nothing: zeros of the shape that came in."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return zeros [n, ch, h, w]; what came in gets a gradient, of zeros."""
        return maps * 0


OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: Zero(),
    "skip_connect": lambda channels: nn.Identity(),
    "nor_conv_1x1": lambda channels: relu_conv_norm(channels, channels, 1),
    "nor_conv_3x3": lambda channels: relu_conv_norm(channels, channels, 3),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
}
NAMES = tuple(OPERATIONS)


class BenchCell(nn.Module):
    """A cell; each node is the sum of an operation on every earlier node.

    Args:
        operations: names, in the order of ``EDGES``.
        channels: of all maps.
    """

    def __init__(self, operations: tuple[str, ...], channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(OPERATIONS[name](channels) for name in operations)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the shape that came in, [n, ch, h, w]."""
        found = [maps]
        for node in (1, 2, 3):
            terms = [
                operation(found[start])
                for (start, end), operation in zip(EDGES, self.operations, strict=True)
                if end == node
            ]
            found.append(functools.reduce(lambda one, other: one + other, terms))
        return found[-1]


class Reduction(nn.Module):
    """A residual block that halves maps and doubles channels.

    Args:
        channels: of the maps that come in.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = relu_conv_norm(channels, 2 * channels, 3, stride=2)
        self.second = relu_conv_norm(2 * channels, 2 * channels, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(channels, 2 * channels, 1, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps [n, 2 ch, ceil(h / 2), ceil(w / 2)] of maps [n, ch, h, w]."""
        reduced: Tensor = self.shortcut(maps) + self.second(self.first(maps))
        return reduced


class BenchNetwork(nn.Module):
    """Three stages of equal cells with reductions between them, the mean of each map, a linear layer.

    Args:
        features: turn images [n, ch, h, w] into maps.
        classifier: turns the means of maps into logits.
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Linear) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes] of images [n, ch, h, w]."""
        logits: Tensor = self.classifier(self.features(images).mean((2, 3)))
        return logits


class NasBench201(SearchSpace):
    """The 15,625 cells of NAS-Bench-201, by the names that the benchmark gives them.

    6,466 of them differ when edges of ``none`` and ``skip_connect`` are worked out. With ``isomorphic=true`` the others
    are known as the first of their kind, as the paper counts, which takes two convolutions of the same maps for one.
    """

    class Options(OptionsBase):
        """Size of the network, and what counts as one cell."""

        channels: int = Field(16, ge=1, description="channels of the first stage")
        cells: int = Field(1, ge=1, le=20, description="cells of each of the three stages; the benchmark has 5")
        isomorphic: bool = Field(False, description="whether cells that compute the same are one architecture")

    def genes(self) -> tuple[Gene, ...]:
        """Return the operation of each edge."""
        return tuple(Gene(f"{start} to {end}", NAMES) for start, end in EDGES)

    def canonical(self, genome: Genome) -> Genome:
        """Return the first genome of the same cell where those are one, the genome itself where they are not."""
        return _alike(genome)[0] if self.options.isomorphic else genome

    def name_of(self, genome: Genome) -> str:
        """Return the benchmark's name."""
        words = [f"{NAMES[own]}~{start}" for own, (start, _) in zip(genome, EDGES, strict=True)]
        return "+".join(f"|{'|'.join(words[first:last])}|" for first, last in ((0, 1), (1, 3), (3, 6)))

    def traits_of(self, genome: Genome) -> dict[str, str]:
        """Return the number of 3x3 convolutions, which decides most of the size."""
        return {"3x3 convolutions": f"{sum(NAMES[own] == 'nor_conv_3x3' for own in genome)}"}

    def find(self, name: str) -> Architecture:
        """Return the architecture of a name.

        Raises:
            UsageError: it is no name of the benchmark.
        """
        words = re.findall(r"([a-z0-9_]+)~\d", name)
        genome = tuple(NAMES.index(word) for word in words if word in OPERATIONS)
        if len(genome) != len(EDGES) or self.name_of(genome) != name:
            raise UsageError(
                f"'{name}' is no architecture of {self.name}; one is named like '{self.name_of((3,) * 6)}', with the "
                f"operations {', '.join(NAMES)}."
            )
        return self.decode(genome)

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Return the architectures that differ in one gene, of their own or of a cell that computes the same."""
        if not self.options.isomorphic:
            return super().neighbours(architecture)
        alike = (Architecture("", genome) for genome in _alike(architecture.genome))
        found = {near.genome: near for own in alike for near in super(NasBench201, self).neighbours(own)}
        found.pop(architecture.genome, None)
        return list(found.values())

    def truth(self, path: Path) -> Truth:
        """Read a table of one data set that was exported from the benchmark, as ``nb201_table`` says.

        Raises:
            UsageError: there is no such file.
            DataError: it is of another format.
        """
        return read(path, self)

    def build(self, architecture: Architecture, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the module; its layers are ``features.<i>`` and ``classifier``.

        Args:
            architecture: of this space.
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: the reductions leave nothing of an image this small.
        """
        if min(shape[1:]) < 4:
            raise UsageError("two reductions need images of at least 4x4")
        channels = self.options.channels
        operations = tuple(NAMES[own] for own in architecture.genome)
        layers: list[nn.Module] = [nn.Conv2d(shape[0], channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        for stage in range(3):
            if stage:
                layers.append(Reduction(channels))
                channels *= 2
            layers += [BenchCell(operations, channels) for _ in range(self.options.cells)]
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        return BenchNetwork(nn.Sequential(*layers), nn.Linear(channels, num_classes))

    def drawing(self, architecture: Architecture) -> list[Drawing]:
        """Return the cell, its operations on the arrows; edges of ``none`` are left out."""
        roles = ("input", "inner", "inner", "output")
        nodes = tuple(Node(f"{node}", f"node {node}", role) for node, role in enumerate(roles))
        words = (NAMES[own] for own in architecture.genome)
        edges = tuple(
            Edge(f"{start}", f"{end}", word.removeprefix("nor_").replace("_", " "))
            for word, (start, end) in zip(words, EDGES, strict=True)
            if word != "none"
        )
        return [Drawing("cell", nodes, edges)]


@functools.cache
def _kind(genome: Genome) -> str:
    """Return what a cell computes, written out: zeros as ``#``, skips worked out, sums sorted."""
    nodes = ["0"]
    for node in (1, 2, 3):
        terms = []
        for own, (start, end) in zip(genome, EDGES, strict=True):
            if end == node and (NAMES[own] == "none" or nodes[start] == "#"):
                terms.append("#")
            elif end == node:
                terms.append(nodes[start] if NAMES[own] == "skip_connect" else f"({nodes[start]}){own}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


@functools.cache
def _kinds() -> dict[str, list[Genome]]:
    """Return the genomes of each kind, in order."""
    found: dict[str, list[Genome]] = {}
    for genome in itertools.product(range(len(NAMES)), repeat=len(EDGES)):
        found.setdefault(_kind(genome), []).append(genome)
    return found


def _alike(genome: Genome) -> list[Genome]:
    return _kinds()[_kind(genome)]
