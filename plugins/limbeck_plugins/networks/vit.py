"""The small vision transformer of the field.

Paper: Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv:2010.11929), in the small form that Cui et al.,
"DC-BENCH: Dataset Condensation Benchmark" (arXiv:2207.09639), evaluate with: patches of 4x4, width 512, depth 6,
8 heads, 512 hidden units, dropout 0.1. Attention and its softmax are written out: the fused kernels have no second
derivative, and PyTorch's softmax cannot be differentiated in reverse after forward mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from limbeck.errors import UsageError
from limbeck.networks import Dropout
from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase
from limbeck_plugins.networks.blocks import LayerNorm, Shape, read_variant

NUMBERS = {"p": "patch", "d": "depth", "w": "width", "h": "heads", "m": "hidden"}
WORDS = {"cls": ("pooling", "cls"), "mean": ("pooling", "mean"), "nodrop": ("dropout", 0.0)}


class ViT(Network):
    """Linear patches with learned positions, pre-norm transformer layers, layer norm, linear classifier; for images
    whose sides are multiples of the patch. Tokens of a variant: ``p4`` patch, ``d6`` depth, ``w512`` width, ``h8``
    heads, ``m512`` hidden units, ``cls`` or ``mean`` what is classified, ``nodrop`` no dropout, as in ``vit-d3-w128``.
    """

    class Options(OptionsBase):
        """Structure of the network."""

        patch: int = Field(4, ge=1, description="pixels of a patch's side")
        width: int = Field(512, ge=1, description="features of each token")
        depth: int = Field(6, ge=1, le=48, description="transformer layers")
        heads: int = Field(8, ge=1, description="attention heads, which share the width")
        hidden: int = Field(512, ge=1, description="hidden units of each layer's perceptron")
        dropout: float = Field(0.1, ge=0, lt=1, description="probability of a zero, in training only")
        pooling: Literal["cls", "mean"] = Field("cls", description="what is classified: a class token or the mean")

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["d3", "w128"]`` as ``{"depth": 3, "width": 128}``."""
        return read_variant("vit", tokens, WORDS, NUMBERS, "vit-d3-w128")

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``embed``, ``layers.<i>``, ``norm`` and ``classifier``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: patches do not cover the images, or heads do not share the width.
        """
        options, (_, height, width) = self.options, shape
        if height % options.patch or width % options.patch:
            sides = [side for side in range(2, 17) if height % side == 0 and width % side == 0]
            fitting = ", ".join([*(f"vit-p{side}" for side in sides), "mlp"])
            raise UsageError(
                f"network 'vit' cannot cut {height}x{width} images into patches of {options.patch}x{options.patch}. "
                f"These take them: {fitting}."
            )
        if options.width % options.heads:
            raise UsageError(
                f"network 'vit': {options.heads} heads cannot share a width of {options.width}; choose a multiple "
                f"of {options.heads}, or another number of heads (vit-h{_heads(options.width)})."
            )
        return _ViT(options, shape, num_classes)


class _ViT(nn.Module):
    def __init__(self, options: Any, shape: Shape, num_classes: int) -> None:
        super().__init__()
        self.pooling: str = options.pooling
        self.embed = _Embed(shape, options.patch, options.width, with_class=options.pooling == "cls")
        self.dropout = Dropout(options.dropout)
        self.layers = nn.Sequential(*(_Layer(options) for _ in range(options.depth)))
        self.norm = LayerNorm(options.width)
        self.classifier = nn.Linear(options.width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.layers(self.dropout(self.embed(images)))
        pooled = tokens[:, 0] if self.pooling == "cls" else tokens.mean(1)
        logits: Tensor = self.classifier(self.norm(pooled))
        return logits


class _Embed(nn.Module):
    """Images [n, ch, h, w] to tokens [n, t, k] with their positions, the class token first."""

    def __init__(self, shape: Shape, patch: int, width: int, *, with_class: bool) -> None:
        super().__init__()
        channels, rows, columns = shape[0], shape[1] // patch, shape[2] // patch
        self.grid = (rows, columns, patch)
        self.patches = nn.Linear(channels * patch * patch, width)
        self.tokens = _Tokens(rows * columns, width, with_class=with_class)

    def forward(self, images: Tensor) -> Tensor:
        rows, columns, patch = self.grid
        cut = images.reshape(*images.shape[:2], rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1)
        found: Tensor = self.tokens(self.patches(cut.reshape(len(images), rows * columns, -1)))
        return found


class _Tokens(nn.Module):
    """Adds a learned position to every token, and a learned class token before them."""

    def __init__(self, count: int, width: int, *, with_class: bool) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, count + with_class, width))
        self.label = nn.Parameter(torch.zeros(1, 1, width)) if with_class else None

    def forward(self, tokens: Tensor) -> Tensor:
        if self.label is not None:
            tokens = torch.cat([self.label.expand(len(tokens), -1, -1), tokens], 1)
        return tokens + self.position

    def draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw positions and class token from the standard normal distribution."""
        return {
            name: torch.empty_like(value).normal_(generator=generator)
            for name, value in self.named_parameters(recurse=False)
        }


class _Layer(nn.Module):
    """Attention between the tokens, then a perceptron for each; both add to what goes in."""

    def __init__(self, options: Any) -> None:
        super().__init__()
        width, drop = options.width, options.dropout
        self.attention = nn.Sequential(LayerNorm(width), _Attention(width, options.heads), Dropout(drop))
        self.perceptron = nn.Sequential(
            *(LayerNorm(width), nn.Linear(width, options.hidden), nn.GELU(), Dropout(drop)),
            *(nn.Linear(options.hidden, width), Dropout(drop)),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(tokens)
        found: Tensor = tokens + self.perceptron(tokens)
        return found


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        n, count, width = tokens.shape
        split = self.queries_keys_values(tokens).reshape(n, count, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)
        scores = queries @ keys.transpose(2, 3) / (width // self.heads) ** 0.5
        weights = (scores - scores.detach().amax(3, keepdim=True)).exp()
        weights = weights / weights.sum(3, keepdim=True)
        mixed: Tensor = self.output((weights @ values).transpose(1, 2).reshape(n, count, width))
        return mixed


def _heads(width: int) -> int:
    """Return the largest number of heads up to 8 that share ``width``."""
    return max(heads for heads in range(1, 9) if width % heads == 0)
