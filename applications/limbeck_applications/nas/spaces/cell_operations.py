"""The ten operations of a cell: what happens to maps between two of its nodes.

Papers: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (arXiv:1707.07012), section
3; Liu et al., "DARTS: Differentiable Architecture Search" (arXiv:1806.09055), section 3; Termritthikun et al.,
"EEEA-Net" (arXiv:2108.06156), whose choice of ten it is. Public code chakkritte/EEEA-Net (Apache 2.0). Written from
the definitions.

The same: ReLU, convolution, batch norm in this order; separable convolutions twice in a row; dilation 2; the 7x1-1x7
convolution as two with one norm after both; an inverted residual does not expand its channels; average pooling leaves
the border out.

Different: two interleaved 1x1 convolutions halve maps of odd size as well, to the larger half, as the other operations
do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Operation = Callable[[int, int], nn.Module]
"""Makes an operation for a number of channels and a stride of 1 or 2."""


def relu_conv_norm(
    channels: int, filters: int, kernel: int | tuple[int, int] = 1, *, stride: int | tuple[int, int] = 1
) -> nn.Sequential:
    """ReLU, convolution without a bias, batch norm; maps of stride 1 keep their size."""
    return nn.Sequential(nn.ReLU(), _conv(channels, filters, kernel, stride=stride), nn.BatchNorm2d(filters))


class Halved(nn.Module):
    """Maps of half the size: ReLU, two 1x1 convolutions that see every other pixel each, batch norm.

    Args:
        channels: of the maps that come in.
        filters: of the maps that go out, an even number.
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(channels, filters // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(channels, filters // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps [n, filters, ceil(h / 2), ceil(w / 2)] of maps [n, channels, h, w]."""
        maps = self.relu(maps)
        shifted = F.pad(maps, (0, 1, 0, 1))[..., 1:, 1:]
        halved: Tensor = self.norm(torch.cat([self.even(maps), self.odd(shifted)], 1))
        return halved


class Residual(nn.Module):
    """What comes in, added to what layers make of it.

    Args:
        layers: keep the shape.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the shape that came in, [n, ch, h, w]."""
        added: Tensor = maps + self.layers(maps)
        return added


def _conv(
    channels: int,
    filters: int,
    kernel: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (sizes[0] - 1) // 2, dilation * (sizes[1] - 1) // 2)
    return nn.Conv2d(channels, filters, sizes, stride, padding, dilation, groups, bias=False)


def _max_pool(channels: int, stride: int) -> nn.Module:
    return nn.MaxPool2d(3, stride, padding=1)


def _avg_pool(channels: int, stride: int) -> nn.Module:
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)


def _skip(channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else Halved(channels, channels)


def _depthwise(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """ReLU, one filter a channel, 1x1 convolution, batch norm."""
    spread = _conv(channels, channels, kernel, stride=stride, dilation=dilation, groups=channels)
    return [nn.ReLU(), spread, _conv(channels, channels, 1), nn.BatchNorm2d(channels)]


def _separable(kernel: int) -> Operation:
    return lambda channels, stride: nn.Sequential(
        *_depthwise(channels, kernel, stride), *_depthwise(channels, kernel, 1)
    )


def _dilated(kernel: int) -> Operation:
    return lambda channels, stride: nn.Sequential(*_depthwise(channels, kernel, stride, dilation=2))


def _seven(channels: int, stride: int) -> nn.Module:
    across = _conv(channels, channels, (1, 7), stride=(1, stride))
    down = _conv(channels, channels, (7, 1), stride=(stride, 1))
    return nn.Sequential(nn.ReLU(), across, down, nn.BatchNorm2d(channels))


def _inverted(kernel: int) -> Operation:
    def made(channels: int, stride: int) -> nn.Module:
        layers = nn.Sequential(
            *relu_conv_norm(channels, channels),
            nn.ReLU(),
            _conv(channels, channels, kernel, stride=stride, groups=channels),
            nn.BatchNorm2d(channels),
            _conv(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )
        return Residual(layers) if stride == 1 else layers

    return made


OPERATIONS: dict[str, tuple[str, Operation]] = {
    "max_pool_3": ("m", _max_pool),
    "avg_pool_3": ("a", _avg_pool),
    "skip": ("k", _skip),
    "sep_conv_3": ("s", _separable(3)),
    "sep_conv_5": ("t", _separable(5)),
    "dil_conv_3": ("d", _dilated(3)),
    "dil_conv_5": ("e", _dilated(5)),
    "conv_7x1_1x7": ("c", _seven),
    "inv_res_3": ("i", _inverted(3)),
    "inv_res_5": ("j", _inverted(5)),
}
"""Each operation's letter in names, and what makes it; the order is that of the paper's code."""
