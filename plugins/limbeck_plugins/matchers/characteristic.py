"""Characteristic functions: real and synthetic embeddings should be distributed alike, not only on average.

Paper: Wang et al., "Dataset Distillation with Neural Characteristic Function: A Minmax Perspective", CVPR 2025,
arXiv:2502.20653 (Eq. 6-8). Public code: gszfwsb/NCFM (states no licence). Same numbers: embeddings of length 1, the
factor 300, the mean over frequencies, and a clamp at 1e-12 of the phase's part alone; the layers of the sampling
network and the noise it starts from.

Different: the public code repeats each frequency of the sampling network 16 times, which changes no mean; here each
is computed once. It takes 64 from that network whatever is asked for (the paper: 1024); here it is ``frequencies``.
Its linear layers have a bias that batch norm takes away again; here they have none. It learns by SGD with momentum and
a rate of its own; here it is moved by the run's optimiser at ``optimiser.lr_adversary``. Where several
classes are compared in one update they share its frequencies; with ``optimiser.order=groupwise``, as published, every
class is compared at new ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from limbeck import Options as OptionsBase
from limbeck.errors import UsageError
from limbeck.execution.memory import available_memory, format_bytes
from limbeck.matching import FeatureMatcher, MatcherContext, StepContext
from limbeck.networks import FunctionalNetwork

Signals = dict[str, Tensor]
EMBEDDING = "embedding"
SCALE = 300.0
SMALLEST = 1e-12
LAYERS, SLOPE = 3, 0.2
REPEATS = 16
"""Frequencies that the published sampling network gives for each row of noise, all of them the same."""

HELD = 6
"""Numbers held for a frequency and an image: its phase, two signals, and the gradient of each."""


class Characteristic(FeatureMatcher):
    """Distance of the characteristic functions of two sets of embeddings (arXiv:2502.20653 Eq. 8)."""

    class Options(OptionsBase):
        """Settings of the distance and of the frequencies it is measured at."""

        amplitude: float = Field(0.5, ge=0, description="share of the amplitudes' difference: how far both spread")
        phase: float = Field(0.5, ge=0, description="share of the phases' difference: where both lie")
        frequencies: int = Field(4096, ge=1, description="points at which the two functions are compared")
        sampling: Literal["fixed", "learned"] = Field(
            "fixed",
            description="where frequencies come from: a standard normal distribution, or a network that learns to "
            "find those where both differ most",
        )

        @model_validator(mode="after")
        def _sensible(self) -> Characteristic.Options:
            if not self.amplitude + self.phase:
                raise ValueError("amplitude and phase are both 0, which compares nothing: give one of them")
            if self.sampling == "learned" and self.frequencies < 2 * REPEATS:
                raise ValueError(f"sampling learned needs {2 * REPEATS} frequencies or more, {REPEATS} for each noise")
            return self

    def prepare(self, context: MatcherContext) -> None:
        """Find the embedding's width and draw the sampling network's weights.

        Raises:
            UsageError: so many frequencies do not fit into memory.
        """
        network, self._generator = context.network, context.generator
        self._width = _embedding_width(network)
        options = self.options
        self._rows = options.frequencies if options.sampling == "fixed" else options.frequencies // REPEATS
        self._refuse_too_many(network)
        self._network = _sampling_network(self._width, network, context.generator) if self._learned else {}
        self._normal = torch.zeros(0, self._width, device=network.device, dtype=network.dtype)

    def begin(self, step: StepContext) -> None:
        """Draw the frequencies of one update, or the noise that becomes them."""
        like, shape = self._normal, (self._rows, self._width)
        self._normal = torch.randn(shape, generator=self._generator, device=like.device, dtype=like.dtype)
        self._frequencies = _sampled(self._network, self._normal) if self._learned else self._normal

    def adversary(self) -> dict[str, Tensor]:
        """Return the weights of the sampling network."""
        return self._network

    def taps(self, network: FunctionalNetwork) -> Sequence[str]:
        """Look at what enters the classifier."""
        return [EMBEDDING]

    def signal(self, maps: Mapping[str, Tensor]) -> Signals:
        """Return real and imaginary part of each image's e^(i<t, f>), [n, K] each."""
        phases = F.normalize(maps[EMBEDDING], dim=1) @ self._frequencies.T
        return {"real": phases.cos(), "imaginary": phases.sin()}

    def discrepancy(self, syn: Signals, real: Signals, step: StepContext) -> Tensor:
        """Return the mean over frequencies of the distance between two characteristic functions [K], a scalar.

        Norms in place of square roots have a gradient, zero, where they are zero.
        """
        options = self.options
        one, other = (torch.stack((side["real"], side["imaginary"])) for side in (syn, real))
        length, other_length = one.norm(dim=0), other.norm(dim=0)
        phases = 2 * (length * other_length - (one * other).sum(0))
        parts = (
            options.amplitude**0.5 * (length - other_length),
            options.phase**0.5 * phases.clamp(min=SMALLEST).sqrt(),
        )
        distances: Tensor = torch.stack(parts).norm(dim=0)
        return SCALE * distances.mean()

    @property
    def _learned(self) -> bool:
        return bool(self.options.sampling == "learned")

    def _refuse_too_many(self, network: FunctionalNetwork) -> None:
        size = torch.empty(0, dtype=network.dtype).element_size()
        there = available_memory(network.device)
        needed = size * self._rows * (self._width + HELD)
        if there is not None and needed > there:
            fitting = max(self.options.frequencies * there // (2 * needed), 2 * REPEATS)
            raise UsageError(
                f"{self.options.frequencies} frequencies of {self._width} numbers need {format_bytes(needed)}, but "
                f"{network.device} has {format_bytes(there)} left. Type --set matcher.frequencies={fitting} or fewer."
            )


def _embedding_width(network: FunctionalNetwork) -> int:
    state = {**dict(network.module.named_parameters()), **dict(network.module.named_buffers())}
    blank = torch.zeros(1, *network.shape, device=network.device, dtype=network.dtype)
    with torch.no_grad():
        return network.features(state, blank, [EMBEDDING], train=False)[EMBEDDING].shape[1]


def _sampling_network(width: int, like: FunctionalNetwork, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw weights from PyTorch's defaults: three square layers, each with a batch norm."""
    found: dict[str, Tensor] = {}
    bound = width**-0.5
    for layer in range(LAYERS):
        weight = torch.empty(width, width, device=like.device, dtype=like.dtype)
        found[f"{layer}.weight"] = weight.uniform_(-bound, bound, generator=generator)
        found[f"{layer}.scale"] = torch.ones(width, device=like.device, dtype=like.dtype)
        found[f"{layer}.shift"] = torch.zeros(width, device=like.device, dtype=like.dtype)
    return {name: tensor.requires_grad_() for name, tensor in found.items()}


def _sampled(network: Mapping[str, Tensor], noise: Tensor) -> Tensor:
    """Return frequencies [K, d] in (-1, 1) of noise [K, d]."""
    rows = noise
    for layer in range(LAYERS):
        weight, scale, shift = (network[f"{layer}.{name}"] for name in ("weight", "scale", "shift"))
        rows = F.batch_norm(F.linear(rows, weight), None, None, scale, shift, training=True)
        rows = rows.tanh() if layer == LAYERS - 1 else F.leaky_relu(rows, SLOPE)
    return rows
