"""The classifiers of torchvision, without their trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from torch import nn
from torchvision import models
from torchvision.ops import StochasticDepth

from limbeck.networks import Dropout
from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase
from limbeck_plugins.networks.blocks import Shape
from limbeck_plugins.networks.library import LibraryNetwork, adapt_first_convolution, made, named_as

WITH_HELPERS = ("googlenet", "inception_v3")
"""Models that would return the logits of further classifiers too."""


class Torchvision(Network):
    """A classifier of torchvision by its name there, as in ``torchvision-resnet18`` or
    ``torchvision-mobilenet_v3_small``: untrained, initialised as torchvision does it, with the data's number of classes
    and, for other than three channels, a first convolution of its own. Most were made for images of 224x224.
    """

    class Options(OptionsBase):
        """Which network."""

        model: str = Field("resnet18", description="torchvision's name for it")

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["mobilenet", "v3", "small"]`` as ``{"model": "mobilenet_v3_small"}``."""
        return {"model": named_as("torchvision", "-".join(tokens), models.list_models(module=models))}

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``network.<name in torchvision>``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: torchvision has no such network, or refuses this size.
        """
        name = named_as("torchvision", self.options.model, models.list_models(module=models))
        settings: dict[str, Any] = {"num_classes": num_classes}
        if name in WITH_HELPERS:
            settings.update(aux_logits=False, init_weights=True)
        if name.startswith("vit_"):
            settings["image_size"] = shape[1]

        def make() -> nn.Module:
            return adapt_first_convolution(models.get_model(name, weights=None, **settings), shape[0])

        return made(f"torchvision-{name}", shape, lambda: LibraryNetwork(make, _owned))


def _owned(module: nn.Module) -> Dropout | None:
    """Return the owned form of stochastic depth, which drops whole samples, or the whole batch."""
    if not isinstance(module, StochasticDepth):
        return None
    return Dropout(module.p, 1 if module.mode == "row" else 0)
