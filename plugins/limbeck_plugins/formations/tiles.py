"""Tiles: one stored image holds several smaller ones, which are enlarged to train on.

Paper: Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization" (arXiv:2205.14959), section 3:
uniform multi-formation, factor 2 for small and 3 for large images. Public code snu-mllab/Efficient-Dataset-Condensation
(MIT). Written from the definitions.

Same: tiles are enlarged bilinearly, the edges of corner pixels held; labels are those of the stored image; a set may
start from factor^2 real images for each stored one, of which every factor-th pixel of every factor-th row is kept
(nearest neighbour, "mix" in the code).
Differs: tiles of an image stay together, where the code puts the first tiles of all images first, which no objective
sees. Images whose sides the factor does not divide are refused, where the code appends rows and columns of 0.5. Tiles
are cut from normalised images; enlarging commutes with normalising by channel. All tiles of a class are matched
unless data.batch_syn limits them, 128 drawn by lot in the code. The paper's multi-scale formation is left out.
"""

from __future__ import annotations

from math import gcd

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from limbeck.data.spec import DataSpec
from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck.synthetic import Formation
from limbeck.synthetic.formation import Phase


class Tiles(Formation):
    """Cut a stored image into factor x factor tiles and enlarge each to full size."""

    class Options(OptionsBase):
        """How small the tiles are."""

        factor: int = Field(2, ge=1, description="tiles along a side; each stored image gives its square")

    def for_data(self, spec: DataSpec) -> Formation:
        """Return this formation.

        Raises:
            UsageError: the factor does not divide the images' sides.
        """
        factor, (height, width) = self.options.factor, spec.shape[1:]
        side = gcd(height, width)
        if side % factor == 0:
            return self
        fits = [number for number in range(1, side + 1) if side % number == 0]
        nearest = min(fits, key=lambda number: abs(number - factor))
        raise UsageError(
            f"formation.factor={factor} does not divide the {height}x{width} pixels of '{spec.name}'. Factors that do: "
            f"{', '.join(map(str, fits))}. Type --set formation.factor={nearest}"
        )

    @property
    def starts_from(self) -> int:
        """One real image for each tile."""
        tiles: int = self.options.factor**2
        return tiles

    def compose(self, images: Tensor) -> Tensor:
        """Make stored images [n, ch, h, w] of real ones [n, factor^2, ch, h, w], each shrunk to a tile."""
        factor: int = self.options.factor
        tiles = images[..., ::factor, ::factor]
        n, _, channels, height, width = tiles.shape
        rows = tiles.reshape(n, factor, factor, channels, height, width).permute(0, 3, 1, 4, 2, 5)
        return rows.reshape(n, channels, factor * height, factor * width)

    def expand(self, images: Tensor, labels: Tensor, group: Tensor, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tiles of every image as images [n factor^2, ch, h, w], row by row, in every phase."""
        factor, tiles = self.options.factor, self.starts_from
        if factor == 1:
            return images, labels, group
        n, channels, height, width = images.shape
        rows = images.reshape(n, channels, factor, height // factor, factor, width // factor)
        cut = rows.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        enlarged = functional.interpolate(cut, size=(height, width), mode="bilinear", align_corners=False)
        return enlarged, labels.repeat_interleave(tiles, dim=0), group.repeat_interleave(tiles)
