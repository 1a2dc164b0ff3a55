"""Sets of DC, DSA and DM (arXiv:2006.05929, arXiv:2102.08259, arXiv:2110.04181).

Format of VICO-UoE/DatasetCondensation: ``res_METHOD_DATA_NETWORK_NNipc.pt`` holds ``{"data": [[images, labels], ...],
"accs_all_exps": {network: [accuracy, ...]}}``, one pair for each experiment, of which the last is loaded by its users.
Images are normalised floats, not clamped.
"""

from __future__ import annotations

import re
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

NAME = re.compile(r"res_([A-Za-z0-9]+)_\w+?_\w+_\d+ipc")
AUGMENTED = ("DSA", "DM")


class DCImporter(Importer):
    """Read a ``.pt`` file of DC, DSA or DM (arXiv:2006.05929)."""

    class Options(StatisticsOptions):
        """Which experiment, and what the file does not say."""

        experiment: int | None = Field(None, ge=0, description="position in the list; the last when not given")
        augmentation: Spec | None = Field(
            None,
            description="of students' images; when not given, dsa for files named res_DSA_* and res_DM_*, else none",
        )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Tell by the keys of the list, and by a name that is not DataDAM's."""
        return {"data", "accs_all_exps"} <= words_of(path) and method_of(path) != "DataDAM"

    def read(self, path: Path, spec: DataSpec) -> Published:
        """Read one experiment."""
        file = read_pt(path)
        images, labels, index, count = experiment_of(file.content, self.options.experiment, path)
        asked, method = self.options.augmentation, method_of(path)
        if asked is None and method in AUGMENTED:
            asked = Spec(name="dsa")
        return Published(
            images=images,
            labels=labels,
            spec=their_spec(spec, DC_STATISTICS, self.options),
            files={path.name: sha256(file.data)},
            network=convnet(spec, "in"),
            protocol={"name": "dc"},
            augmentation=component(asked),
            method=method,
            provenance={"experiment": index, "experiments": count},
            figures=published_figures(file.content, index, count),
        )


def method_of(path: Path) -> str | None:
    """Return the method a published file's name begins with, or None for a name of another form."""
    found = NAME.match(path.name)
    return found[1] if found else None
