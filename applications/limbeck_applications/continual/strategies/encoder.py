"""A frozen network that turns images of a stream into features: read from a file, or trained on other images.

An encoder may know nothing of the stream's classes, so data that share a class with the stream are never taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from limbeck.config import Spec
from limbeck.data import DataSet, DataSpec, RealData, channel_statistics, load_dataset
from limbeck.errors import DataError, UsageError
from limbeck.networks import FunctionalNetwork, State, build_network
from limbeck.networks.functional import EMBEDDING
from limbeck.options import Options
from limbeck.seeding import generator
from limbeck.trained import NetworkPool, NetworkTraining
from limbeck_applications.continual.strategies.weights import read_weights
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream

UNTRAINED = "untrained"
PREFERRED = ("cifar10", "cifar100", "fashion_mnist", "mnist", "svhn", "usps", "digits")
"""What an encoder learns from when nobody says, photographs first: their features carry farthest."""
LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


class EncoderOptions(Options):
    """Which network sees, and what it has learned from."""

    encoder: str | None = Field(None, description="network whose features are taken; the study's when not given")
    weights: Path | None = Field(
        None, description="its weights, .safetensors or a state that torch saved; trained on other data when not given"
    )
    shape: tuple[int, int, int] | None = Field(
        None, description="channels, height and width that it sees; the stream's when not given"
    )
    mean: tuple[float, ...] | None = Field(
        None, description="of each channel, taken off pixels in [0, 1] before weights from a file see them; 0"
    )
    std: tuple[float, ...] | None = Field(None, description="of each channel, likewise what they are divided by; 1")
    encoder_data: tuple[Spec, ...] = Field(
        tuple(Spec(name=name) for name in PREFERRED),
        min_length=1,
        description="data sets to train it on: the first that is at hand and shares no class with the stream; "
        f"{UNTRAINED} leaves the weights it begins with",
    )
    training: NetworkTraining = Field(
        NetworkTraining.model_validate({"epochs": 10, "images": 10_000}),
        description="how it learns from them, when no weights are given",
    )
    seed: int = Field(0, ge=0, description="of its weights and training; the same for every seed of a study")

    @field_validator("encoder_data", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict) else value

    @model_validator(mode="after")
    def _whole(self) -> EncoderOptions:
        if self.weights is None and not (self.mean is None and self.std is None):
            raise ValueError("mean and std belong to weights from a file: give weights=FILE, or leave them out")
        return self


@dataclass(frozen=True)
class Encoder:
    """A frozen network.

    Attributes:
        network: its structure.
        state: its weights.
        sees: shape, mean and std of what it is shown.
        source: what it learned from, for people.
    """

    network: FunctionalNetwork
    state: State
    sees: DataSpec
    source: str

    @torch.no_grad()
    def features(self, real: RealData, chunk: int = 256) -> Tensor:
        """Return what enters its classifier, each vector of L2 norm 1, float32 [N, d]."""
        found = []
        for pixels in torch.split(real.images, chunk):
            shown = self.sees.normalise(adapted(pixels, self.sees.shape)).to(self.network.device)
            features = self.network.features(self.state, shown, (EMBEDDING,), train=False)[EMBEDDING]
            found.append(nn.functional.normalize(features, dim=1))
        return torch.cat(found)


def adapted(pixels: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return images of another shape: grey of colour by luminance, colour of grey by repetition, then bilinear.

    Args:
        pixels: uint8 [n, ch, h, w].
        shape: (channels, height, width), 1 or 3 channels, or as many as there are.

    Returns:
        float32 [n, *shape] in [0, 1].

    Raises:
        UsageError: numbers of channels between which there is no way.
    """
    unit = pixels.float() / 255
    found, asked = unit.shape[1], shape[0]
    if found == 3 and asked == 1:
        unit = (unit * unit.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)
    elif found == 1:
        unit = unit.expand(-1, asked, -1, -1)
    elif found != asked:
        raise UsageError(f"images of {found} channels cannot be shown to an encoder that sees {asked}. Give 1 or 3.")
    if tuple(unit.shape[2:]) != tuple(shape[1:]):
        unit = nn.functional.interpolate(unit, shape[1:], mode="bilinear", antialias=True, align_corners=False)
    return unit.clamp(0, 1)


def find_encoder(options: EncoderOptions, stream: Stream, context: Context) -> Encoder:
    """Return the encoder that the options ask for, trained now or found again in ``context.cache``.

    Raises:
        UsageError: a network that does not fit, weights of another network, data that share a class with the stream.
        DataError: none of the data is at hand.
    """
    name, shape = options.encoder or context.network, options.shape or stream.spec.shape
    if options.weights is not None:
        plain = _plain(shape)
        sees = replace(plain, mean=options.mean or plain.mean, std=options.std or plain.std)
        network = build_network(name, sees, context.device)
        return Encoder(network, read_weights(options.weights, network), sees, str(options.weights))
    other = choose_data(options.encoder_data, stream.spec, context.data_root)
    if other is None:
        network = build_network(name, _plain(shape), context.device)
        state = network.initial(generator(options.seed, "encoder", device=context.device))
        return Encoder(network, state, _plain(shape), UNTRAINED)
    real = _shown(other.train, shape, options)
    network = build_network(name, real.spec, context.device)
    training = options.training.model_copy(update={"images": None})
    pool = NetworkPool(network, real.to(context.device, torch.float32), training, options.seed, context.cache)
    return Encoder(network, pool.take(1)[0].state, real.spec, f"{other.spec.name}, {training.epochs} epochs")


def choose_data(asked: Sequence[Spec], spec: DataSpec, root: Path | None) -> DataSet | None:
    """Return the first data set that is at hand and shares no class with the stream; None for ``untrained``.

    Args:
        asked: registered data sets, in order of preference.
        spec: the stream's.
        root: where data sets lie.

    Raises:
        UsageError: every one shares classes with the stream.
        DataError: those that do not are not at hand.
    """
    missing, names = False, ", ".join(each.name for each in asked)
    for each in asked:
        if each.name == UNTRAINED:
            return None
        try:
            found = load_dataset(each.model_dump(), data_root=root)
        except DataError:
            missing = True
            continue
        if found.spec.name != spec.name and not set(found.spec.class_names) & set(spec.class_names):
            return found
    if missing:
        raise DataError(
            f"an encoder for '{spec.name}' is trained on other data, but of {names} those that share no "
            f"class with it are not at hand. Put one under --data-root, or type "
            f"weights=FILE or encoder_data={UNTRAINED}."
        )
    raise UsageError(
        f"an encoder for '{spec.name}' may not have seen its classes, but {names} "
        f"{'has' if len(asked) == 1 else 'have'} some of them. Name other data: encoder_data=cifar10"
    )


def _plain(shape: tuple[int, int, int]) -> DataSpec:
    """Return a spec of images that are shown as they are; the classifier behind the features has no meaning."""
    return DataSpec("encoder", shape, 2, ("0", "1"), (0.0,) * shape[0], (1.0,) * shape[0], mirror=False)


def _shown(real: RealData, shape: tuple[int, int, int], options: EncoderOptions) -> RealData:
    """Return the images that an encoder learns from, as it sees the stream's, with statistics of their own."""
    count = min(options.training.images or len(real), len(real))
    chosen = torch.randperm(len(real), generator=generator(options.seed, "encoder", "images"))[:count]
    pixels = torch.cat([(adapted(part, shape) * 255).round().byte() for part in torch.split(real.images[chosen], 1024)])
    mean, std = channel_statistics(pixels)
    spec = replace(real.spec, shape=shape, mean=mean, std=std, whitening=None)
    return RealData(pixels, real.labels[chosen], spec)
