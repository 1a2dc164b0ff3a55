"""NAPA-VQ: no images are kept; old classes live on as prototypes that are mixed with those of classes near them.

Paper: Malepathirana, Senanayake, Halgamuge, "NAPA-VQ: Neighborhood Aware Prototype Augmentation with Vector
Quantization for Continual Learning", ICCV 2023, arXiv:2308.09297, section 3 (the quantiser with its graph, prototype
augmentation, distillation); public code TamashaM/NAPA-VQ (no licence stated), read for what the paper leaves open.
The same: four rotations as classes of their own, one learned coding vector for each; cross-entropy over minus the
distance / 0.1; the neighbour term over a graph of the 15 nearest vectors, whose edges decay by 0.9 and die below
0.9^10, symmetric after each batch; for images and for prototypes alike, with the weights' gradient off; prototypes
mixed by U(0.5, 1); distillation of features by the L2 norm of the batch; 10 times each; Adam for the network and SGD
for the vectors, a tenth of the rates after the first experience, vectors of old classes held still; prototypes of new
classes, as the old network sees them, before their experience begins; upright, normalised vectors for prediction.
What differs: the network is the study's, which then compares (``network=resnet18-bn`` comes near the paper's, which has
attention). Features are divided by the deviation they begin with, without which 0.1, 0.001 and the rates belong to
the paper's network alone (``standardise=false``). Coding vectors begin at the mean features that their images have
before the network learns them, for which a few epochs suffice (``start=normal`` draws them as the paper does for its
100). Rates fall after shares of the updates, as 45 and 20 of 100 epochs are. Images are not augmented beside rotation.
Prototypes are means over all images, where the public code leaves the last batch out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from limbeck.data import RealData
from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import (
    AvalancheStrategy,
    Lesson,
    fresh_network,
    in_new_classes_only,
    keywords,
)
from limbeck_applications.continual.strategies.napa_vq_parts import (
    TURNS,
    Codes,
    NeighbourGraph,
    Scale,
    distance_loss,
    distances,
    distillation_loss,
    falls,
    neighbour_loss,
    rotated,
    rotated_rows,
)
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream

SAMPLE, TINY = 256, 1e-12
"""Images that the deviation of features is measured on, and what it is at least."""


class NapaVQOptions(OptionsBase):
    """The paper's numbers; what it trains, and for how long, is the study's unless given here."""

    network: str | None = Field(None, description="network that makes the features; the study's when not given")
    epochs: int | None = Field(None, ge=1, description="passes over each experience; the study's when not given (100)")
    batch_size: int | None = Field(None, ge=1, description="images an update, each in 4 turns; the study's (64)")
    lr: float = Field(1e-3, gt=0, description="Adam's rate for the network in the first experience")
    weight_decay: float = Field(2e-4, ge=0, description="L2 coefficient of the network")
    start: Literal["features", "normal"] = Field(
        "features",
        description="where coding vectors begin: at the mean features of their images, or N(0, 1) (the paper)",
    )
    standardise: bool = Field(
        True, description="divide features by the deviation they begin with, so that the numbers below fit any network"
    )
    vector_lr: float = Field(5.0, gt=0, description="SGD's rate for coding vectors in the first experience")
    later: float = Field(0.1, gt=0, description="what both rates are multiplied by in later experiences")
    falls_every: float = Field(
        0.45, gt=0, description="share of an experience's updates after which lr is divided by 10"
    )
    vector_falls_every: float = Field(0.2, gt=0, description="likewise for vector_lr")
    temperature: float = Field(0.1, gt=0, description="what distances are divided by before the softmax")
    neighbourhood: bool = Field(True, description="keep the neighbour term")
    neighbours: int = Field(15, ge=1, description="nearest coding vectors that the nearest is joined to")
    edge_decay: float = Field(0.9, gt=0, lt=1, description="what an edge is multiplied by when it is not met again")
    edge_lifetime: int = Field(10, ge=1, description="decays in a row that an edge survives")
    spread: float = Field(1e-3, gt=0, description="how fast a neighbour's weight falls with the squared distance")
    prototypes: bool = Field(True, description="keep the terms of old classes' prototypes")
    prototype_weight: float = Field(10.0, ge=0, description="weight of the prototypes' cross-entropy")
    distillation_weight: float = Field(10.0, ge=0, description="weight of the distillation from the network before")


class NapaVQ(AvalancheStrategy):
    """Coding vectors pushed away from their neighbours, and prototypes in place of old images."""

    reads = ("training",)

    Options: ClassVar[type[OptionsBase]] = NapaVQOptions
    memory = "other"

    def check(self, stream: Stream, context: Context) -> None:
        """Refuse domain-incremental streams, and images that are not square; see the base class."""
        in_new_classes_only(self.name, stream)
        _, height, width = stream.spec.shape
        if height != width:
            raise UsageError(
                f"'{self.name}' turns images by 90 degrees, but those of '{stream.spec.name}' are {height}x{width} and "
                "not square. Drop it from --strategies."
            )

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's supervised loop with the method as its plugin; see the base class."""
        method = Method(self.options, stream, context)
        how = keywords(stream, context)
        how["train_epochs"] = self.options.epochs or how["train_epochs"]
        how["train_mb_size"] = self.options.batch_size or how["train_mb_size"]
        how["plugins"] = [method, *how["plugins"]]
        adam = torch.optim.Adam(method.model.parameters(), lr=self.options.lr, weight_decay=self.options.weight_decay)
        learner = avalanche().training.templates.SupervisedTemplate(
            model=method.model, optimizer=adam, criterion=method.loss, **how
        )
        learner.method = method
        return learner

    def logits(self, lesson: Lesson, images: Tensor) -> Tensor:
        """Score classes by the nearness of their coding vectors; see the base class."""
        method: Method = lesson.learner.method
        return method.codes.scores(method.model(images.to(lesson.context.device)))

    def lower_rate(self, context: Context) -> str:
        """Return the option that lowers the network's own rate; see the base class."""
        return f"--strategies {self.name}:lr={self.options.lr / 10:g}"

    def kept(self, lesson: Lesson) -> tuple[int, int]:
        """Count coding vectors, prototypes and edges; see the base class."""
        method: Method = lesson.learner.method
        return method.codes.bytes, 0


class Method:
    """The method as a plugin of Avalanche's loop, and its loss.

    Args:
        options: the strategy's.
        stream: what arrives.
        context: how it is learned.

    Attributes:
        model: images to features [n, d].
        codes: coding vectors and what is kept beside them.
    """

    def __init__(self, options: NapaVQOptions, stream: Stream, context: Context) -> None:
        self.options, self.stream = options, stream
        self.context = context if options.network is None else replace(context, network=options.network)
        self.model, size = self._embedding()
        graph = NeighbourGraph(options.neighbours, options.edge_decay, options.edge_lifetime)
        self.codes = Codes(stream.spec.num_classes, size, graph, context.device)
        self.old: nn.Module | None = None
        self.limit = context.training.iterations
        self.position = 0

    def _embedding(self) -> tuple[nn.Sequential, int]:
        """Return the network without its classifier, with the weights that all strategies of a seed begin with."""
        module = fresh_network(self.stream, self.context)
        name = self.context.build(self.stream).classifier_name
        size = int(module.get_submodule(name).in_features)  # type: ignore[arg-type]
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, nn.Identity())
        return nn.Sequential(module, nn.Flatten(1), Scale()), size

    def before_training_exp(self, strategy: Any, **_: Any) -> None:
        """Welcome the new classes, and begin with fresh optimisers."""
        experience = self.stream.experiences[self.position]
        device = self.context.device
        self.generator = torch.Generator(device).manual_seed(self.context.seed_of("napa_vq", self.position))
        if self.options.standardise and not self.position:
            self._standardise(experience.train)
        self.codes.welcome(experience.classes, self.generator)
        self._remember(experience.train)
        if self.options.start == "features":
            self.codes.start_from_prototypes()
        strategy.optimizer.state.clear()
        self.vectors = torch.optim.SGD([self.codes.vectors], lr=self.options.vector_lr)
        updates = strategy.train_epochs * len(strategy.dataloader)
        self.updates = updates if self.limit is None else min(updates, self.limit)

    def before_forward(self, strategy: Any, **_: Any) -> None:
        """Turn the batch, and see it as the network before did."""
        images, labels, *rest = strategy.mbatch
        turned, rows = rotated(images), rotated_rows(self.codes.rows[labels])
        strategy.mbatch = [turned, rows, *(each.repeat_interleave(TURNS) for each in rest)]
        if self.old is not None:
            with torch.no_grad():
                self.target = self.old(turned)

    def loss(self, features: Tensor, rows: Tensor) -> Tensor:
        """Return the whole loss of a batch.

        Args:
            features: of turned images, [n, d].
            rows: the coding vectors that they belong to, int64 [n].
        """
        options = self.options
        apart = distances(features, self.codes.vectors)
        loss = distance_loss(apart, rows, options.temperature) + self._neighbour_term(apart, rows)
        if self.old is None:
            return loss
        loss = loss + options.distillation_weight * distillation_loss(features, self.target)
        return loss + self._prototype_term(len(features) // TURNS) if options.prototypes else loss

    def _neighbour_term(self, apart: Tensor, rows: Tensor) -> Tensor:
        """Let the batch move the graph, which prototypes need in any case, and return the term."""
        graph = self.codes.graph
        graph.update(apart)
        term = neighbour_loss(apart, rows, graph.near(rows), self.options.spread)
        graph.settle()
        return term if self.options.neighbourhood else torch.zeros_like(term)

    def _prototype_term(self, count: int) -> Tensor:
        features, rows = self.codes.imagined(count, self.generator)
        apart = distances(features, self.codes.vectors)
        term = self._neighbour_term(apart, rows)
        return term + self.options.prototype_weight * distance_loss(apart, rows, self.options.temperature)

    def before_backward(self, strategy: Any, **_: Any) -> None:
        """Forget the gradient of the update before."""
        self.vectors.zero_grad()

    def before_update(self, strategy: Any, **_: Any) -> None:
        """Hold old vectors still, and set both rates."""
        self.codes.spare_old()
        done, later = strategy.clock.train_exp_iterations, self.options.later if self.position else 1.0
        courses = (
            (strategy.optimizer, self.options.lr, self.options.falls_every),
            (self.vectors, self.options.vector_lr, self.options.vector_falls_every),
        )
        for optimiser, rate, share in courses:
            for group in optimiser.param_groups:
                group["lr"] = rate * later * 0.1 ** falls(done, self.updates, share)

    def after_update(self, strategy: Any, **_: Any) -> None:
        """Move the coding vectors."""
        self.vectors.step()

    def after_training_exp(self, strategy: Any, **_: Any) -> None:
        """Keep prototypes of the new classes, and the network as it is now."""
        self._remember(self.stream.experiences[self.position].train)
        self.old = self._embedding()[0].requires_grad_(False).eval()
        self.old.load_state_dict(self.model.state_dict())
        self.position += 1

    @torch.no_grad()
    def _standardise(self, real: RealData) -> None:
        images = real.take(torch.randperm(len(real), generator=self.generator, device=self.generator.device)[:SAMPLE])
        scale: Any = self.model[-1]
        scale.factor /= self.model.eval()(rotated(images.to(self.context.device))).std(0).mean().clamp(min=TINY)
        self.model.train()

    @torch.no_grad()
    def _remember(self, real: RealData) -> None:
        self.model.eval()
        features: list[Tensor] = []
        rows: list[Tensor] = []
        for images, labels in real.all(chunk=256):
            features.append(self.model(rotated(images.to(self.context.device))))
            rows.append(rotated_rows(self.codes.rows[labels.to(self.context.device)]))
        self.codes.remember(torch.cat(features), torch.cat(rows))
        self.model.train()
