"""A proxy that trains nothing: how far fresh networks separate the classes of a few real images. Unpublished."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

import limbeck
from limbeck.seeding import generator
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.proxy import Candidate, Material, Prepared, Proxy, Score


class Separation(Proxy):
    """Variance of the class means of a fresh network's outputs, as a share of all their variance."""

    class Options(limbeck.Options):
        """How many images."""

        per_class: int = Field(8, ge=2, description="real training images of each class")

    def prepare(self, problem: Problem, folder: Path) -> Prepared:
        """Draw the images, the same for all architectures."""
        chance, train = generator(problem.seed, "separation", device=problem.device), problem.train
        index = torch.cat([train.sample(c, self.options.per_class, chance) for c in range(train.spec.num_classes)])
        tensors = {"images": train.take(index), "labels": train.labels[index]}
        size = sum(each.numel() * each.element_size() for each in tensors.values())
        return Prepared(tensors, images=len(index), bytes=size)

    def score(self, candidates: Sequence[Candidate], material: Material) -> list[Score]:
        """Return the share of each candidate, in [0, 1]."""
        tensors, scores = material.prepared.tensors, []
        images, labels = (tensors[name].to(material.device) for name in ("images", "labels"))
        for candidate in candidates:
            began, network = time.perf_counter(), candidate.network
            chance = generator(candidate.seed, "separation", device=material.device)
            with torch.no_grad():
                logits = network(network.initial(chance), images, dropout="off")
            scores.append(Score(separation(logits.double(), labels), time.perf_counter() - began))
        return scores


def separation(points: Tensor, labels: Tensor) -> float:
    """Return the share of the variance of points [n, d] that lies between the means of their classes [n]."""
    classes, place = labels.unique(return_inverse=True)
    means = torch.zeros(len(classes), points.shape[1], dtype=points.dtype, device=points.device)
    means = means.index_add(0, place, points) / torch.bincount(place)[:, None]
    between, whole = (means[place] - points.mean(0)).square().sum(), (points - points.mean(0)).square().sum()
    return float(between / whole) if whole > 0 else 0.0
