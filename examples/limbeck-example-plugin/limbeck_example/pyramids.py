"""A search space: ConvNets whose layers become wider as images become smaller. Unpublished."""

from __future__ import annotations

from torch import nn

from limbeck_applications.nas.space import Architecture, Gene, Genome, SearchSpace


class Pyramids(SearchSpace):
    """Blocks of 3x3 convolution, ReLU and 2x2 pooling, each block some times as wide as the one before."""

    def genes(self) -> tuple[Gene, ...]:
        """Return the first width, by how much it grows, and the number of blocks."""
        return Gene("width", (4, 8, 16)), Gene("growth", (1, 2)), Gene("depth", (2, 3))

    def name_of(self, genome: Genome) -> str:
        """Return the widths, such as ``8-16-32``."""
        return "-".join(map(str, self._widths(genome)))

    def build(self, architecture: Architecture, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the network; pooling refuses images that it would leave nothing of."""
        channels, height, width = shape
        layers: list[nn.Module] = []
        for filters in self._widths(architecture.genome):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
            channels, height, width = filters, height // 2, width // 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, num_classes))

    def _widths(self, genome: Genome) -> list[int]:
        values = self.values(genome)
        return [int(values["width"]) * int(values["growth"]) ** block for block in range(int(values["depth"]))]
