"""Training of a transformable network: its weights on one half of the images, its sizes on the other, in turns.

Paper: Dong and Yang, "Network Pruning via Transformable Architecture Search" (arXiv:1905.09717), section 3.2 and 4.1.
Public code: AutoDL-Projects (MIT). Written from the paper.

What is the same: an update of the weights by SGD, then one of the sizes' logits by Adam (betas 0.5 and 0.999, weight
decay 1e-3, logits begin near 0); a temperature that falls in a straight line from 5 to 0.1; a penalty of 2 log E[FLOPs]
where the likeliest sizes cost too much, of -2 log E[FLOPs] where they cost too little, and none within the tolerance.
What differs: momentum is not Nesterov's, images are augmented as the proxy does it, and the rates are larger, since
there are hundreds of updates where the paper has tens of thousands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck.training.arguments import OwnStreams
from limbeck.training.losses import Objective
from limbeck.training.schedule import Cosine, Steps
from limbeck.training.single import Training
from limbeck.training.task import Settings, Task
from limbeck_applications.nas.proxies.trained import Lesson, without_single
from limbeck_applications.nas.searchers.tas.halves import Part, PartLabels, halves
from limbeck_applications.nas.searchers.tas.sizes import Grid, Likeliest, expected_flops, mode
from limbeck_applications.nas.searchers.tas.transformable import Transformable, drawn

FIRST, LAST = 5.0, 0.1
"""Temperatures at the beginning and at the end."""

SPREAD = 0.01
"""Standard deviation of the sizes' first logits."""

MEGA = 1e6


@dataclass(frozen=True)
class Course:
    """Numbers of the training.

    Attributes:
        updates: of weights and of sizes, each.
        lr: learning rate of the weights at the start.
        sizes_lr: learning rate of the sizes.
        penalty: weight of the cost.
        low: FLOPs from which a chain costs enough.
        high: FLOPs to which it does not cost too much.
        seed: of everything random.
    """

    updates: int
    lr: float
    sizes_lr: float
    penalty: float
    low: float
    high: float
    seed: int


class Supernet:
    """Weights and sizes that learn in turns; can be stopped after any update and continued to the same bits.

    Args:
        grid: the sizes.
        lesson: images, and how networks are trained on them.
        course: numbers.
        device: where to compute.
    """

    def __init__(self, grid: Grid, lesson: Lesson, course: Course, device: torch.device) -> None:
        self.grid, self.course, self.device = grid, course, device
        self.chance = generator(course.seed, "sizes")
        with torch.random.fork_rng(devices=[]):
            self.module = Transformable(grid)
        self.network = FunctionalNetwork(self.module, grid.shape, device=device, name="transformable")
        first, second = halves(lesson.data, generator(course.seed, "halves"))
        self.weights, self.others = self._training(first, lesson, "weights"), self._training(second, lesson, "others")
        self.widths = self._logits(grid.stages * grid.layers, len(grid.widths))
        self.depths = self._logits(grid.stages, grid.layers)
        self.adam = torch.optim.Adam(
            [self.widths, self.depths], lr=course.sizes_lr, betas=(0.5, 0.999), weight_decay=1e-3
        )

    @property
    def images(self) -> int:
        """Images that went through the network so far, those of both halves."""
        both = (self.weights, self.others)
        return sum(seen(len(each.task.data), each.settings.batch_size, each.step) for each in both)

    @property
    def done(self) -> int:
        """Finished updates."""
        return self.weights.step

    @property
    def temperature(self) -> float:
        """Of the next update's draws."""
        return FIRST + (LAST - FIRST) * self.done / max(self.course.updates - 1, 1)

    @property
    def likeliest(self) -> Likeliest:
        """The likeliest sizes of every cost."""
        widths, depths = (torch.log_softmax(each.detach(), 1) for each in (self.widths, self.depths))
        return Likeliest(self.grid, widths, depths, self.course.low, self.course.high)

    def run(self, told: Callable[[], None]) -> None:
        """Train to the end of the course; ``told`` after each update."""
        while self.done < self.course.updates:
            self.update()
            told()

    def update(self) -> None:
        """Update the weights, and then the sizes."""
        temperature = self.temperature
        self.module.sizes = drawn(self.widths.detach(), self.depths.detach(), temperature, self.chance)
        self.weights.advance()
        self.module.sizes = drawn(self.widths, self.depths, temperature, self.chance)
        with torch.no_grad():
            images, targets = self.others.batch(self.others.begin())
        logits = self.network(self.weights.state(), images)
        loss = Objective()(logits, targets).cpu() + self.course.penalty * self._penalty()
        self.widths.grad, self.depths.grad = torch.autograd.grad(loss, [self.widths, self.depths])
        self.adam.step()
        self.others.end()

    def _penalty(self) -> Tensor:
        flops = self.grid.flops(mode(self.grid, self.widths, self.depths))
        if self.course.low <= flops <= self.course.high:
            return torch.zeros(())
        mean = expected_flops(self.grid, torch.softmax(self.widths, 1), torch.softmax(self.depths, 1))
        return torch.log(mean / MEGA) * (1 if flops > self.course.high else -1)

    def _training(self, part: Part, lesson: Lesson, name: str) -> Training:
        numbers, course = lesson.training, self.course
        labels = part.labels if lesson.labels is None else PartLabels(lesson.labels, part)
        task = Task(part, labels, augmentation=_augmentation(lesson))
        size = batch_size(len(part), numbers.batch_size)
        how = (Objective(), "sgd", numbers.momentum, Cosine(), None, None, self.device, torch.float32)
        settings = Settings(course.lr, numbers.weight_decay, Steps(course.updates), size, *how)
        streams = OwnStreams(
            generator(course.seed, name, "train", device=self.device),
            generator(course.seed, name, "augment", device=self.device),
        )
        start = self.network.initial(generator(course.seed, "init", device=self.device))
        return Training(self.network, start, task, settings, streams)

    def _logits(self, rows: int, choices: int) -> Tensor:
        found = torch.empty(rows, choices, dtype=torch.float64)
        return found.normal_(0, SPREAD, generator=self.chance).requires_grad_()

    def checkpoint(self) -> dict[str, Tensor]:
        """Return all that ``restore`` needs, as named tensors."""
        saved = {f"weights.{name}": value for name, value in self.weights.checkpoint().items()}
        saved |= {f"others.{name}": value for name, value in self.others.checkpoint().items()}
        for name, logits in (("widths", self.widths), ("depths", self.depths)):
            saved[f"{name}.logits"] = logits.detach().clone()
            saved |= {f"{name}.{key}": value.clone() for key, value in self.adam.state[logits].items()}
        return {**saved, "chance": self.chance.get_state()}

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Continue where ``checkpoint`` was taken."""
        self.weights.restore(_under("weights.", saved))
        self.others.restore(_under("others.", saved))
        for name, logits in (("widths", self.widths), ("depths", self.depths)):
            own = _under(f"{name}.", saved)
            with torch.no_grad():
                logits.copy_(own.pop("logits"))
            self.adam.state[logits] = own
        self.chance.set_state(saved["chance"])


def _augmentation(lesson: Lesson) -> Augmentation | None:
    if lesson.training.augmentation is None:
        return None
    made: Augmentation = registry().create("augmentations", lesson.training.augmentation.model_dump())
    return made.for_data(lesson.spec)


def batch_size(images: int, most: int) -> int:
    """Return the size of equal batches of at most ``most`` images, or of more where the last would have one image."""
    return without_single(images, math.ceil(images / math.ceil(images / most)))


def seen(images: int, size: int, updates: int) -> int:
    """Return how many images some updates see, each pass of which ends with its last partial batch."""
    passes, more = divmod(updates, math.ceil(images / size))
    return passes * images + more * size


def updates_worth(images: int, most: int, allowed: int) -> int:
    """Return how many updates of weights and sizes see no more images than allowed, both halves counted.

    Args:
        images: of both halves.
        most: in each batch.
        allowed: images seen.
    """
    parts = [(half, batch_size(half, most)) for half in (images - images // 2, images // 2)]
    found = 0
    for step in reversed(range(max(allowed, 1).bit_length())):
        more = found + (1 << step)
        found = more if sum(seen(half, size, more) for half, size in parts) <= allowed else found
    return found


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
