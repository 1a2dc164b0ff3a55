"""Sets of DataDAM (arXiv:2310.00093).

Its code (DataDistillation/DataDAM) saves the list of experiments of DC, or ``{"data": [images, labels]}``. Its
``ConvNet`` has batch norm; students train 1,800 epochs with DSA's augmentation in batches of 64.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from limbeck.config import Spec
from limbeck.data import DataSpec
from limbeck.files import sha256
from limbeck.synthetic.foreign import read_pt, words_of
from limbeck.synthetic.importer import Importer, Published
from limbeck_plugins.importers.common import (
    DC_STATISTICS,
    StatisticsOptions,
    component,
    convnet,
    experiment_of,
    published_figures,
    their_spec,
)

NAMES = ("res_DataDAM_", "syn_data_")


class DataDAMImporter(Importer):
    """Read a ``.pt`` file of DataDAM (arXiv:2310.00093)."""

    class Options(StatisticsOptions):
        """Which experiment, and how students' images are augmented."""

        experiment: int | None = Field(None, ge=0, description="position in the list; the last when not given")
        augmentation: Spec = Field(Spec(name="dsa"), description="of students' images, 'none' for none")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Tell by the file's name: its keys are DC's."""
        return path.name.startswith(NAMES) and "data" in words_of(path)

    def read(self, path: Path, spec: DataSpec) -> Published:
        """Read one experiment."""
        file = read_pt(path)
        images, labels, index, count = experiment_of(file.content, self.options.experiment, path)
        return Published(
            images=images,
            labels=labels,
            spec=their_spec(spec, DC_STATISTICS, self.options),
            files={path.name: sha256(file.data)},
            network=convnet(spec, "bn"),
            protocol={"name": "dc", "epochs": 1800, "batch_size": 64},
            augmentation=component(self.options.augmentation),
            method="DataDAM",
            provenance={"experiment": index, "experiments": count},
            figures=published_figures(file.content, index, count),
        )
