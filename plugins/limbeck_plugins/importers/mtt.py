"""Sets of MTT and TESLA (arXiv:2203.11932, arXiv:2211.10586), and of methods that save as they do.

Format of GeorgeCazenavette/mtt-distillation and justincui03/tesla: ``images_N.pt`` and ``labels_N.pt`` with one tensor
each, N an iteration or "best"; methods that followed save the learned rate as ``lr_N.pt``. ``images_zca_N.pt`` holds
pixels restored for viewing. Whether training images were whitened is in none of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from limbeck.config import Spec
from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.files import sha256
from limbeck.synthetic.foreign import read_pt
from limbeck.synthetic.importer import Importer, Published
from limbeck_plugins.importers.common import MTT_STATISTICS, StatisticsOptions, component, convnet, their_spec

IMAGES = re.compile(r"images_(\d+|best)\.pt")


class MTTImporter(Importer):
    """Read the files that MTT and TESLA save (arXiv:2203.11932)."""

    class Options(StatisticsOptions):
        """What the files do not say."""

        zca: bool | None = Field(None, description="whether training images were whitened; must be said")
        which: str | None = Field(
            None, pattern=r"\d+|best", description="iteration, or best; when not given best, else the latest"
        )
        lr: float | None = Field(None, gt=0, description="the learned rate, where no lr_N.pt holds it")
        augmentation: Spec = Field(Spec(name="dsa"), description="of students' images, 'none' for none")

    trial_options: ClassVar[Mapping[str, Any]] = {"zca": False}

    @property
    def preprocessing(self) -> str:
        """Whitened images need whitened data.

        Raises:
            UsageError: nobody said which they are.
        """
        if self.options.zca is None:
            raise UsageError(
                "the files of 'mtt' do not say whether its images were whitened. Type --set zca=true where their "
                "authors trained with --zca, else --set zca=false."
            )
        return "zca" if self.options.zca else "standard"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Tell by the names of the files."""
        folder = path if path.is_dir() else path.parent
        named = [each.name for each in folder.glob("images_*.pt")] if path.is_dir() else [path.name]
        found = [match[1] for match in map(IMAGES.fullmatch, named) if match]
        return any((folder / f"labels_{which}.pt").exists() for which in found)

    def read(self, path: Path, spec: DataSpec) -> Published:
        """Read images, labels and the learned rate of one iteration."""
        folder, which = self._which(path)
        files: dict[str, str] = {}
        images = _tensor(folder / f"images_{which}.pt", files)
        labels = _tensor(folder / f"labels_{which}.pt", files)
        return Published(
            images=images,
            labels=labels,
            spec=spec if self.options.zca else their_spec(spec, MTT_STATISTICS, self.options),
            files=files,
            network=convnet(spec, "in"),
            protocol={"name": "mtt"},
            augmentation=component(self.options.augmentation),
            learned_lr=self._rate(folder / f"lr_{which}.pt", files),
            provenance={"iteration": which},
        )

    def _which(self, path: Path) -> tuple[Path, str]:
        """Return the folder, and which iteration to read."""
        if path.is_dir():
            found = {match[1] for match in map(IMAGES.fullmatch, (each.name for each in path.iterdir())) if match}
            latest = max((name for name in found if name != "best"), key=int, default="")
            which = self.options.which or ("best" if "best" in found else latest)
            if which not in found:
                known = ", ".join(sorted(f"images_{name}.pt" for name in found)) or "no images_N.pt"
                raise UsageError(f"{path} has no images_{which or 'N'}.pt; found: {known}. Choose with --set which=N.")
            return path, which
        match = IMAGES.fullmatch(path.name)
        if match is None:
            raise UsageError(
                f"{path.name} is not called images_N.pt or images_best.pt (images_zca_N.pt holds pixels for viewing, "
                "not the set). Give that file, or its folder."
            )
        return path.parent, match[1]

    def _rate(self, path: Path, files: dict[str, str]) -> float:
        """Return the learned rate: the user's, else the file's."""
        if self.options.lr is not None:
            return float(self.options.lr)
        if not path.exists():
            raise UsageError(
                f"there is no {path.name} beside the images, and students need the rate that was learned with them. "
                "Give it, for example --set lr=0.02."
            )
        rate = _number(_content(path, files))
        if rate is None or not math.isfinite(rate) or rate <= 0:
            raise UsageError(f"{path} holds no learning rate above 0 (found {rate}). Give one with --set lr=0.02.")
        return rate


def _content(path: Path, files: dict[str, str]) -> Any:
    file = read_pt(path)
    files[path.name] = sha256(file.data)
    return file.content


def _tensor(path: Path, files: dict[str, str]) -> Tensor:
    content = _content(path, files)
    if not isinstance(content, Tensor):
        raise UsageError(f"{path} holds a {type(content).__name__}, not a tensor. Choose another importer with --from.")
    return content


def _number(content: Any) -> float | None:
    if isinstance(content, Tensor) and content.numel() == 1:
        return float(content)
    return float(content) if isinstance(content, int | float) else None
