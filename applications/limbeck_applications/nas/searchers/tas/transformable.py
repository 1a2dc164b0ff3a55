"""A chain whose layers have two widths at once and whose stages end at every depth at once, mixed by learned shares.

Paper: Dong and Yang, "Network Pruning via Transformable Architecture Search" (arXiv:1905.09717), section 3.1. Public
code: AutoDL-Projects (MIT). Written from the paper.

What is the same: of each layer two different widths are drawn by Gumbel-softmax; narrower layers are the first filters
of the widest, with a batch norm of their own; maps of several widths are brought to the widest of them by averaging
over neighbouring channels, and added with the shares drawn; so are the maps after every depth of a stage, with all of
their shares. What differs: convolutions have a bias, stages end in pooling, and the last map is flattened, as in the
chains of the search space; filters that no width drawn needs are not computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck_applications.nas.searchers.tas.sizes import Grid


@dataclass(frozen=True)
class Draw:
    """The sizes of one pass.

    Attributes:
        widths: for each layer the positions of the widths drawn.
        shares: their shares, each row adds up to 1, [stages x layers, widths drawn].
        depths: share of each depth of each stage, [stages, layers].
    """

    widths: Sequence[Sequence[int]]
    shares: Tensor
    depths: Tensor


def gumbel(logits: Tensor, temperature: float, chance: torch.Generator) -> Tensor:
    """Return (log softmax(logits) + Gumbel noise) / temperature, of the logits' shape [n, choices].

    Args:
        logits: of independent distributions, on the CPU.
        temperature: near 0 the softmax of the result is one-hot, drawn as the logits say.
        chance: owner of the noise.
    """
    waits = torch.empty_like(logits).exponential_(generator=chance).clamp_min(torch.finfo(logits.dtype).tiny)
    return (torch.log_softmax(logits, 1) - waits.log()) / temperature


def drawn(widths: Tensor, depths: Tensor, temperature: float, chance: torch.Generator) -> Draw:
    """Draw two widths of each layer, and a share for each depth of each stage.

    Args:
        widths: logits [stages x layers, widths]; the shares' gradients reach them.
        depths: logits [stages, layers]; likewise.
        temperature: of the Gumbel-softmax.
        chance: owner of the draws.
    """
    noisy = gumbel(widths, temperature, chance)
    likely = torch.softmax(noisy.detach(), 1) + torch.finfo(noisy.dtype).eps
    places = torch.multinomial(likely, min(2, widths.shape[1]), generator=chance)
    shares = torch.softmax(noisy.gather(1, places), 1)
    return Draw(places.tolist(), shares, torch.softmax(gumbel(depths, temperature, chance), 1))


@lru_cache(maxsize=1024)
def _averaging(given: int, wanted: int) -> Tensor:
    """Return the matrix [wanted, given] that averages neighbours, as adaptive average pooling does."""
    matrix = torch.zeros(wanted, given, dtype=torch.float64)
    for row in range(wanted):
        first, last = row * given // wanted, -(-(row + 1) * given // wanted)
        matrix[row, first:last] = 1 / (last - first)
    return matrix


def interpolated(maps: Tensor, channels: int) -> Tensor:
    """Bring maps [n, ch, h, w] to another number of channels by averaging over neighbouring ones."""
    if maps.shape[1] == channels:
        return maps
    averaged = torch.matmul(_averaging(maps.shape[1], channels).to(maps), maps.flatten(2))
    return averaged.reshape(len(maps), channels, *maps.shape[2:])


class Norms(nn.Module):
    """A batch norm for each width of a layer, in one tensor, so that those not drawn have gradients of zero.

    There are no running statistics: the network is a means of learning sizes, and is never tested.

    Args:
        widths: rising.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(len(widths), widths[-1]))
        self.bias = nn.Parameter(torch.zeros(len(widths), widths[-1]))

    def draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the first weights, in which nothing is random."""
        return {"weight": torch.ones_like(self.weight), "bias": torch.zeros_like(self.bias)}

    def forward(self, maps: Tensor, position: int) -> Tensor:
        """Return maps [n, ch, h, w] of the width at a position, normalised over the batch."""
        weight, bias = (each[position, : maps.shape[1]] for each in (self.weight, self.bias))
        return F.batch_norm(maps, None, None, weight, bias, training=True)


class Transformable(nn.Module):
    """All chains of a grid in one network, which is the largest of them unless ``sizes`` is set.

    Args:
        grid: the sizes.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid, self.sizes = grid, _largest(grid)
        most, (height, width) = grid.widths[-1], grid.sides[-1]
        given = [grid.shape[0], *[most] * (grid.stages * grid.layers - 1)]
        self.convs = nn.ModuleList(nn.Conv2d(each, most, grid.kernel, padding=grid.kernel // 2) for each in given)
        self.norms = nn.ModuleList(Norms(grid.widths) for _ in given if grid.norm == "batch")
        self.classifier = nn.Linear(most * height * width, grid.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes] of images [n, ch, h, w] at the sizes of ``sizes``."""
        maps, layers = images, self.grid.layers
        for stage, shares in enumerate(self.sizes.depths.to(images)):
            ends = []
            for place in range(stage * layers, (stage + 1) * layers):
                maps = self._layer(place, maps)
                ends.append(maps)
            maps = F.avg_pool2d(_mixed(ends, shares), 2)
        flat = maps.flatten(1)
        return F.linear(flat, self.classifier.weight[:, : flat.shape[1]], self.classifier.bias)

    def _layer(self, place: int, maps: Tensor) -> Tensor:
        positions, conv = self.sizes.widths[place], self.convs[place]
        widths = [self.grid.widths[each] for each in positions]
        most = max(widths)
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        whole = F.conv2d(maps, conv.weight[:most, : maps.shape[1]], conv.bias[:most], padding=conv.padding)
        parts = [whole[:, :width] for width in widths]
        if len(self.norms):
            parts = [self.norms[place](part, each) for each, part in zip(positions, parts, strict=True)]
        return F.relu(_mixed(parts, self.sizes.shares[place].to(maps)))


def _mixed(parts: Sequence[Tensor], shares: Tensor) -> Tensor:
    """Add maps [n, ch, h, w] of several widths, brought to the greatest, with their shares."""
    most = max(each.shape[1] for each in parts)
    mixed = [interpolated(each, most) * share for each, share in zip(parts, shares, strict=True)]
    return torch.stack(mixed).sum(0) if len(mixed) > 1 else mixed[0]


def _largest(grid: Grid) -> Draw:
    layers = grid.stages * grid.layers
    depths = torch.zeros(grid.stages, grid.layers)
    depths[:, -1] = 1
    return Draw([[len(grid.widths) - 1]] * layers, torch.ones(layers, 1), depths)
