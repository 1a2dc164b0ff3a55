"""ConvNets: equal blocks of 3x3 convolution, norm, activation and 2x2 pooling, then one linear layer.

Paper: Zhao et al., "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), appendix: 720 networks of four
widths, four depths, five norms, three activations and three poolings. How they were trained was never published as
code; the networks themselves are those of its public code (MIT), here the registered network ``convnet``.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from limbeck.networks import Network
from limbeck.options import Options
from limbeck.plugins import registry
from limbeck_applications.nas.space import Architecture, Gene, Genome, SearchSpace

WORDS = {"none": "nonorm", "leaky_relu": "leaky"}


class ConvNets(SearchSpace):
    """ConvNets of some widths, depths, norms, activations and poolings."""

    class Options(Options):
        """No choices: a space has one name and one meaning."""

    choices: ClassVar[tuple[Gene, ...]]

    def genes(self) -> tuple[Gene, ...]:
        """Return width, depth, norm, activation and pooling."""
        return self.choices

    def name_of(self, genome: Genome) -> str:
        """Return a name such as ``d3-w32-instance-relu-avg``."""
        found = self.values(genome)
        words = (WORDS.get(f"{found[key]}", f"{found[key]}") for key in ("norm", "activation"))
        pooling = "nopool" if found["pooling"] == "none" else found["pooling"]
        return "-".join([f"d{found['depth']}", f"w{found['width']}", *words, f"{pooling}"])

    def build(self, architecture: Architecture, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the registered network ``convnet`` with these options.

        Args:
            architecture: of this space.
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: pooling leaves nothing of an image this small.
        """
        network: Network = registry().create("networks", {"name": "convnet", **self.values(architecture.genome)})
        return network.build(shape, num_classes)


class ConvNet720(ConvNets):
    """The field's 720 ConvNets (arXiv:2006.05929, appendix)."""

    choices = (
        Gene("width", (32, 64, 128, 256)),
        Gene("depth", (1, 2, 3, 4)),
        Gene("norm", ("none", "batch", "layer", "instance", "group")),
        Gene("activation", ("sigmoid", "relu", "leaky_relu")),
        Gene("pooling", ("none", "max", "avg")),
    )


class ConvNet72(ConvNets):
    """72 ConvNets, small enough to train all of them on a CPU."""

    choices = (
        Gene("width", (16, 32)),
        Gene("depth", (1, 2, 3)),
        Gene("norm", ("none", "instance", "batch")),
        Gene("activation", ("relu", "sigmoid")),
        Gene("pooling", ("avg", "max")),
    )
