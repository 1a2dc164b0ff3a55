"""The evaluation of DC-BENCH.

Paper: Cui et al., "DC-BENCH: Dataset Condensation Benchmark" (arXiv:2207.09639), section 4. Reference code
justincui03/dc_benchmark (MIT), whose counting is kept: E + 1 passes; SGD falls to a tenth after floor(E / 2) + 2 of
them with a new optimiser; Adam stays at 0.003 throughout and has no weight decay; the last pass counts. Policies are
DSA or one of torchvision's, drawn once a batch. Different: their networks are tested every few passes on a printed
line only, which nothing is chosen by, so it is left out.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from limbeck.errors import UsageError
from limbeck.evaluation import Protocol, Recipe
from limbeck.options import Options as OptionsBase

EPOCHS, EPOCHS_AUGMENTED = 300, 1000
RATES = {"sgd": 0.01, "adam": 0.003}
Policy = Literal["none", "dsa", "autoaugment", "randaugment", "imagenet_aug", "cifar_aug"]
POLICIES: tuple[str, ...] = get_args(Policy)


class DCBenchProtocol(Protocol):
    """Train fresh networks with SGD or Adam under one of six policies and report the last pass."""

    class Options(OptionsBase):
        """The published numbers."""

        epochs: int | None = Field(
            None, ge=0, description="E, for E + 1 passes; when not given: 1000 with augmentation, else 300"
        )
        optimiser: Literal["sgd", "adam"] = Field("sgd", description="adam keeps its rate and has no weight decay")
        lr: float | None = Field(None, gt=0, description="when not given: 0.01 for sgd, 0.003 for adam")
        lr_search: tuple[float, ...] = Field((), description="rates tried on training images kept aside")
        momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD, dropped at the milestone")
        weight_decay: float = Field(5e-4, ge=0, description="L2 coefficient, with SGD")
        batch_size: int = Field(256, ge=1, description="images of an update")
        augmentation: Policy | dict[str, Any] | None = Field(
            None, description=f"one of {', '.join(POLICIES)}; the set's own when not given"
        )

        @field_validator("augmentation", mode="before")
        @classmethod
        def _known(cls, value: Any) -> Any:
            name = value.get("name") if isinstance(value, dict) else value
            known = str(name).replace("-", "_") if name is not None else None
            if known is not None and known not in POLICIES:
                raise ValueError(f"the policies of DC-BENCH are {', '.join(POLICIES)}")
            return {**value, "name": known} if isinstance(value, dict) else known

    def recipe(self, network: str, stored: Recipe | None) -> Recipe:
        """Return the published numbers with the set's own labels and formation.

        Raises:
            UsageError: the set's own augmentation is none of the protocol's.
        """
        options, is_sgd = self.options, self.options.optimiser == "sgd"
        augmentation = self._augmentation(stored)
        epochs = options.epochs
        if epochs is None:
            epochs = EPOCHS if augmentation is None else EPOCHS_AUGMENTED
        return Recipe(
            network=network,
            optimiser=options.optimiser,
            lr=options.lr or RATES[options.optimiser],
            lr_search=options.lr_search,
            momentum=options.momentum,
            weight_decay=options.weight_decay if is_sgd else 0.0,
            epochs=epochs + 1,
            milestones=(epochs // 2 + 2,) if is_sgd else (),
            factor=0.1,
            reset_momentum=True,
            batch_size=options.batch_size,
            augmentation=augmentation,
            protocol=self.name,
            **(stored.belongings() if stored else {}),
        )

    def _augmentation(self, stored: Recipe | None) -> dict[str, Any] | None:
        asked: str | dict[str, Any] | None = self.options.augmentation
        if asked is None:
            own = stored.augmentation if stored else None
            if own is not None and own["name"].replace("-", "_") not in POLICIES:
                raise UsageError(
                    f"the set's augmentation '{own['name']}' is no policy of protocol '{self.name}': it knows "
                    f"{', '.join(POLICIES)}. Name one: augmentation=dsa"
                )
            return own
        spec = {"name": asked} if isinstance(asked, str) else asked
        return None if spec["name"] == "none" else spec
