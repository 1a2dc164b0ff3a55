"""The classifiers of timm (PyTorch Image Models), without their trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
from pydantic import Field
from timm.layers import DropPath
from torch import nn

from limbeck.networks import Dropout
from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase
from limbeck_plugins.networks.blocks import Shape
from limbeck_plugins.networks.library import LibraryNetwork, made, named_as


class Timm(Network):
    """A classifier of timm by its name there, as in ``timm-resnet18`` or ``timm-vit_tiny_patch16_224``: untrained,
    initialised as timm does it, for the data's classes, channels and, where timm takes it, image size.
    """

    class Options(OptionsBase):
        """Which network."""

        model: str = Field("resnet18", description="timm's name for it")

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["vit", "tiny", "patch16", "224"]`` as ``{"model": "vit_tiny_patch16_224"}``."""
        return {"model": named_as("timm", "-".join(tokens), timm.list_models())}

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``network.<name in timm>``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: timm has no such network, or refuses this size.
        """
        name = named_as("timm", self.options.model, timm.list_models())

        def make() -> nn.Module:
            settings = {"pretrained": False, "num_classes": num_classes, "in_chans": shape[0]}
            try:
                network: nn.Module = timm.create_model(name, img_size=shape[1:], **settings)
            except TypeError:  # most convolutional networks are made for any size and take none
                network = timm.create_model(name, **settings)
            return network

        return made(f"timm-{name}", shape, lambda: LibraryNetwork(make, _owned))


def _owned(module: nn.Module) -> Dropout | None:
    """Return the owned form of stochastic depth, which drops whole samples."""
    if not isinstance(module, DropPath):
        return None
    return Dropout(module.drop_prob or 0.0, 1, scale=module.scale_by_keep)
