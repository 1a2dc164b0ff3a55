"""LeNet with rectified units and max pooling.

Paper: LeCun et al., "Gradient-based learning applied to document recognition" (1998), in the form of Zhao et al.,
"Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4.1; reference code
VICO-UoE/DatasetCondensation (MIT). Written from the definition, with two differences: the wider first padding
follows the image size, 28x28, where the reference follows the number of channels (equal for MNIST), and images of
other sizes are taken as far as they reach.
"""

from __future__ import annotations

from torch import nn

from limbeck.networks.functional import Network
from limbeck_plugins.networks.blocks import POOL, Classified, Conv, Shape, plain_stack

PLAN = (Conv(6, 5, padding=0), POOL, Conv(16, 5, padding=0), POOL)
HIDDEN = (120, 84)


class LeNet(Network):
    """Two unpadded 5x5 convolutions with max pooling, then three linear layers; for images of 16x16 or more."""

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``features.<i>`` and ``classifier.<i>``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: nothing is left of images this small.
        """
        features, units = plain_stack("lenet", PLAN, "none", shape)
        layers: list[nn.Module] = []
        for hidden in HIDDEN:
            layers += [nn.Linear(units, hidden), nn.ReLU()]
            units = hidden
        return Classified(features, nn.Sequential(*layers, nn.Linear(units, num_classes)))
