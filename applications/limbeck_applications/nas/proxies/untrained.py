"""What proxies share that train nothing: fresh weights in double precision, and a batch of real images."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from limbeck.data import RealData
from limbeck.networks import FunctionalNetwork, State
from limbeck.options import Options as OptionsBase
from limbeck.seeding import generator
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.proxy import Candidate, Material, Prepared, Proxy, Score


class Untrained(Proxy):
    """A number that fresh weights give, or none at all. A subclass says which."""

    def depends_on(self, problem: Problem) -> dict[str, Any]:
        """Return all of the problem but the network that sets are made with, which has no part in it."""
        return {name: value for name, value in problem.identity().items() if name != "network"}

    @abstractmethod
    def value(self, candidate: Candidate, material: Material) -> float:
        """Return the number of one architecture, the greater the better.

        Args:
            candidate: the architecture; its seed is that of its weights.
            material: what ``prepare`` made.

        Raises:
            UsageError: the architecture has nothing that this proxy can look at.
        """

    def score(self, candidates: Sequence[Candidate], material: Material) -> list[Score]:
        """Score one architecture after the other.

        Args:
            candidates: the architectures.
            material: what ``prepare`` made.

        Raises:
            UsageError: an architecture has nothing that this proxy can look at.
        """
        scores = []
        for candidate in candidates:
            began = time.perf_counter()
            value = self.value(candidate, material)
            scores.append(Score(value, time.perf_counter() - began))
        return scores


class OnBatch(Untrained):
    """A number that fresh weights and one batch of real training images give."""

    class Options(OptionsBase):
        """How large the batch is."""

        images: int = Field(64, ge=2, description="real training images looked at, drawn by lot")

    def prepare(self, problem: Problem, folder: Path) -> Prepared:
        """Draw the batch; a smaller training set is taken whole.

        Args:
            problem: the images, and the seed of the draw.
            folder: not used.
        """
        real = problem.train
        chance = generator(problem.seed, "nas", "batch")
        index = torch.randperm(len(real), generator=chance)[: self.options.images].to(real.device)
        tensors = {"images": real.images[index], "labels": real.labels[index]}
        return Prepared(tensors, images=len(index), bytes=tensors["images"].nbytes + len(index))


def batch_of(material: Material) -> tuple[Tensor, Tensor]:
    """Return the batch: images, normalised, float64 [n, ch, h, w], and labels int64 [n]."""
    tensors = material.prepared.tensors
    held = RealData(tensors["images"], tensors["labels"], material.spec, device=material.device, dtype=torch.float64)
    return held.normalise(held.images), held.labels


def fresh(candidate: Candidate) -> State:
    """Return initial weights in float64: those that training with the candidate's seed begins with."""
    network = candidate.network
    drawn = network.initial(generator(candidate.seed, "init", device=network.device))
    return {name: value.double() if value.is_floating_point() else value for name, value in drawn.items()}


def weight_names(network: FunctionalNetwork) -> list[str]:
    """Return the names of the weights of convolutions and linear layers; biases and norms have no part in proxies."""
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    modules = {name: module for name, module in network.module.named_modules() if isinstance(module, kinds)}
    return [f"{name}.weight" if name else "weight" for name in modules]


def loss_gradients(candidate: Candidate, material: Material) -> list[tuple[Tensor, Tensor]]:
    """Return each layer's weight and the gradient there of the batch's mean cross-entropy, in float64.

    Batch norm uses the batch's statistics, and nothing is dropped.
    """
    images, labels = batch_of(material)
    state, names = fresh(candidate), weight_names(candidate.network)
    for name in names:
        state[name].requires_grad_()
    loss = F.cross_entropy(candidate.network(state, images, dropout="off"), labels)
    weights = [state[name] for name in names]
    gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    return [(weight.detach(), gradient) for weight, gradient in zip(weights, gradients, strict=True)]
