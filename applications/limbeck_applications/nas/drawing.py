"""What pages draw of an architecture: boxes, the arrows between them, and where they go.

A space says what there is to draw (``SearchSpace.drawing``); how it looks is a page's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

SHOWN = (3, 64, 64)
"""Image for which a network is built to be drawn; no number that depends on its size is shown."""


@dataclass(frozen=True)
class Node:
    """A box.

    Attributes:
        name: of the box among those of its drawing.
        label: what stands in it.
        role: input, output, or what is between.
    """

    name: str
    label: str
    role: str = "inner"


@dataclass(frozen=True)
class Edge:
    """An arrow.

    Attributes:
        start: name of the box it leaves.
        end: name of the box it enters.
        label: the operation on the way; empty where the boxes say it.
    """

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True)
class Drawing:
    """A graph without cycles; two arrows may join the same two boxes.

    Attributes:
        title: what it shows, such as "normal cell".
        nodes: in an order in which arrows go forward.
        edges: between them.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def ranks(self) -> dict[str, int]:
        """Return for each box the most arrows on a way to it, so that boxes of one rank can stand side by side."""
        found = {node.name: 0 for node in self.nodes}
        for node in self.nodes:
            before = [found[edge.start] for edge in self.edges if edge.end == node.name]
            found[node.name] = max(before, default=-1) + 1
        return found


def column(title: str, labels: list[str]) -> Drawing:
    """Return layers one below the other, between an image and its logits."""
    words = ["image", *labels, "logits"]
    roles = ["input", *["inner"] * len(labels), "output"]
    nodes = tuple(Node(f"{place}", label, role) for place, (label, role) in enumerate(zip(words, roles, strict=True)))
    return Drawing(title, nodes, tuple(Edge(f"{place}", f"{place + 1}") for place in range(len(nodes) - 1)))


def layers(module: nn.Module) -> list[str]:
    """Return the layers of a module in the order they were defined, norm and activation with what they follow."""
    found: list[str] = []
    for leaf in _leaves(module):
        word, follows = _word(leaf)
        if follows and found:
            found[-1] += f", {word}"
        elif word:
            found.append(word)
    return found


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.modules():
        if not list(child.children()) and not isinstance(child, nn.Identity):
            yield child


def _word(leaf: nn.Module) -> tuple[str, bool]:
    """Return what a layer is called, and whether it belongs to the layer before it."""
    name = type(leaf).__name__
    if isinstance(leaf, nn.Conv2d):
        return f"conv {_by(leaf.kernel_size)}, {leaf.out_channels}", False
    if isinstance(leaf, nn.Linear):
        return "linear", False
    if isinstance(leaf, nn.GroupNorm):
        return ("instance norm" if leaf.num_groups == leaf.num_channels else "group norm"), True
    for end, word in (("BatchNorm2d", "batch norm"), ("InstanceNorm2d", "instance norm"), ("LayerNorm", "layer norm")):
        if name.endswith(end):
            return word, True
    if "Pool" in name:
        kind = "max" if "Max" in name else "average"
        return f"{kind} pooling", False
    return name, type(leaf).__module__.startswith("torch.nn.modules.activation")


def _by(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))
