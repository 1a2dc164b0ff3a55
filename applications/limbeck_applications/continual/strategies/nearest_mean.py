"""Nearest mean: nothing is trained and no image kept; a class is the mean of its features under a frozen encoder.

Paper: Janson, Zhang, Aljundi, Elhoseiny, "A Simple Baseline that Questions the Use of Pretrained-Models in Continual
Learning", 2022, arXiv:2210.04428, section 2; public code Pauljanson002/pretrained-cl (no licence
stated).
The same: a feature is divided by its L2 norm, a class's mean is that of its training features and not divided again,
an image gets the class of the nearest mean in L2, pixels are neither whitened nor centred where weights come from a
file (``mean`` and ``std`` do so when asked). What differs: the paper's encoder is a ViT-B/16 that has seen ImageNet-21k
at 224 x 224 (``encoder=timm-vit_base_patch16_224 weights=FILE shape=[3,224,224]``); without such weights the encoder is
the study's network, trained on other data that share no class with the stream. What it takes to train the encoder
is not counted: it is there before the stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.files import sha256
from limbeck.options import Options
from limbeck_applications.continual.strategies.encoder import UNTRAINED, EncoderOptions, choose_data, find_encoder
from limbeck_applications.continual.strategy import Context, Row, Strategy
from limbeck_applications.continual.stream import Stream


class Means:
    """The running mean of each class's features.

    Args:
        num_classes: of the stream.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = torch.zeros(num_classes, dtype=torch.int64)
        self.vectors = torch.zeros(num_classes, 0)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Take in features [n, d] of images of classes ``labels`` [n]; what a class had before keeps its weight."""
        if not self.vectors.shape[1]:
            self.vectors = features.new_zeros(len(self.counts), features.shape[1])
            self.counts = self.counts.to(features.device)
        for c in sorted(set(labels.tolist())):
            own = features[labels == c]
            self.counts[c] += len(own)
            step = own.double().mean(0) - self.vectors[c].double()
            self.vectors[c] += (step * (len(own) / self.counts[c])).to(self.vectors.dtype)

    def predict(self, features: Tensor) -> Tensor:
        """Return the class of the nearest mean, int64 [n], for features [n, d]; only classes that were seen."""
        seen = self.counts.nonzero().squeeze(1)
        return seen[torch.cdist(features, self.vectors[seen]).argmin(1)]

    def bytes(self, with_counts: bool) -> int:
        """Return what is kept: a vector a class, and how many images it is of where more may come."""
        seen = int((self.counts > 0).sum())
        size = self.vectors.shape[1] * self.vectors.element_size()
        return seen * (size + (self.counts.element_size() if with_counts else 0))


class NearestMean(Strategy):
    """The class whose mean feature is nearest, under an encoder that never saw the stream's classes."""

    Options: ClassVar[type[Options]] = EncoderOptions
    memory = "other"
    reads = ()
    trial_options: ClassVar[Mapping[str, Any]] = {"encoder_data": (UNTRAINED,)}

    def check(self, stream: Stream, context: Context) -> None:
        """Refuse an encoder that would have seen the stream's classes, or that cannot be had.

        Raises:
            UsageError: weights or data that do not fit.
            DataError: no other data at hand.
        """
        if self.options.weights is None:
            choose_data(self.options.encoder_data, stream.spec, context.data_root)
        else:
            find_encoder(self.options, stream, context)

    def identity(self, stream: Stream, context: Context) -> Any:
        """Return what the encoder is: the content of its file, or the data that it learns from."""
        if self.options.weights is not None:
            return sha256(Path(self.options.weights).read_bytes())
        data = choose_data(self.options.encoder_data, stream.spec, context.data_root)
        return None if data is None else data.train.digest()

    def run(self, stream: Stream, context: Context) -> Iterator[Row]:
        """Add each experience's means, and predict all test images, whose features are taken once."""
        encoder = find_encoder(self.options, stream, context)
        tests = [encoder.features(experience.test) for experience in stream.experiences]
        means = Means(stream.spec.num_classes)
        for experience in stream.experiences:
            started = time.perf_counter()
            features = encoder.features(experience.train)
            means.add(features, experience.train.labels.to(features.device))
            seconds = time.perf_counter() - started
            accuracies = tuple(
                int((means.predict(seen).cpu() == other.test.labels.cpu()).sum()) / len(other.test)
                for seen, other in zip(tests, stream.experiences, strict=True)
            )
            yield Row(accuracies, seconds, means.bytes(stream.scenario == "domain"))
