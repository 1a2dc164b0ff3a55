"""The VGG family for small images: 3x3 convolutions in five stages, each halved by max pooling, and one linear layer.

Paper: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv:1409.1556), in the form of Zhao et al., "Dataset Condensation with Gradient Matching" (arXiv:2006.05929),
section 4.1; reference code VICO-UoE/DatasetCondensation (MIT). Written from the definition, with two differences:
the wider first padding follows the image size, 28x28, where the reference follows the number of channels (equal
for MNIST), and the classifier is as wide as what larger images leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase
from limbeck_plugins.networks.blocks import (
    POOL,
    Classified,
    Conv,
    Norm,
    Shape,
    norm_words,
    plain_stack,
    read_variant,
)

WIDTHS = (64, 128, 256, 512, 512)


class VGG11(Network):
    """Eight 3x3 convolutions with norm and ReLU in five stages, each halved by max pooling, then a linear classifier;
    for 28x28 images, and for 32x32 or more. Tokens of a variant: ``in`` (the default), ``bn``, ``ln``, ``gn``,
    ``nonorm`` the norm, as in ``vgg11-bn``.
    """

    family: ClassVar[str] = "vgg11"
    depths: ClassVar[tuple[int, ...]] = (1, 1, 2, 2, 2)

    class Options(OptionsBase):
        """Structure of the network."""

        norm: Norm = Field("instance", description="normalisation after each convolution")

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["bn"]`` as ``{"norm": "batch"}``."""
        return read_variant(cls.family, tokens, norm_words(), {}, f"{cls.family}-bn")

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``features.<i>`` and ``classifier``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: nothing is left of images this small.
        """
        plan: list[Conv | None] = []
        for width, depth in zip(WIDTHS, self.depths, strict=True):
            plan += [*[Conv(width, 3, padding=1)] * depth, POOL]
        features, units = plain_stack(self.family, plan, self.options.norm, shape)
        return Classified(features, nn.Linear(units, num_classes))


class VGG13(VGG11):
    """VGG11 with ten convolutions: two in every stage. Variants as of ``vgg11``."""

    family = "vgg13"
    depths = (2, 2, 2, 2, 2)


class VGG16(VGG11):
    """VGG11 with thirteen convolutions: three in each of the last three stages. Variants as of ``vgg11``."""

    family = "vgg16"
    depths = (2, 2, 3, 3, 3)


class VGG19(VGG11):
    """VGG11 with sixteen convolutions: four in each of the last three stages. Variants as of ``vgg11``."""

    family = "vgg19"
    depths = (2, 2, 4, 4, 4)
