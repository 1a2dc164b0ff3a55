"""What NAPA-VQ is made of, as plain tensors: coding vectors, the graph of those that lie near, and the loss terms.

Paper and code: see ``napa_vq``. Each class has a coding vector for each of its four rotations: rows 4a to 4a + 3 belong
to the a-th class that arrived, row 4a to its upright images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

TURNS = 4
TOLERANCE = 1e-6
"""What rounding may take off an edge that has aged to the end of its life."""


def rotated(images: Tensor) -> Tensor:
    """Return images [n, ch, s, s] turned by 0, 90, 180 and 270 degrees, [4n, ch, s, s], an image's turns together."""
    return torch.stack([torch.rot90(images, turn, (2, 3)) for turn in range(TURNS)], 1).flatten(0, 1)


def rotated_rows(rows: Tensor) -> Tensor:
    """Return the rows [4n] that ``rotated`` images belong to.

    Args:
        rows: of the upright images, int64 [n].
    """
    return (rows[:, None] + torch.arange(TURNS, device=rows.device)).flatten()


def distances(features: Tensor, vectors: Tensor) -> Tensor:
    """Return Euclidean distances [n, m] of features [n, d] from coding vectors [m, d]; the gradient at 0 is 0."""
    return torch.cdist(features, vectors, compute_mode="donot_use_mm_for_euclid_dist")


def distance_loss(apart: Tensor, rows: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of a softmax over negative distances, mean over samples.

    Args:
        apart: distances [n, m].
        rows: the coding vector that each sample belongs to, int64 [n].
        temperature: what distances are divided by.
    """
    return nn.functional.cross_entropy(-apart / temperature, rows)


def neighbour_loss(apart: Tensor, rows: Tensor, near: Tensor, spread: float) -> Tensor:
    """Mean over samples of relu(d_own^2 - sum_k w_k d_k^2): nearer to one's own vector than to its neighbours.

    The w_k are proportional to exp(-spread d_k^2), sum to 1 over the neighbours, and have no gradient. Without
    neighbours the sum is 0.

    Args:
        apart: distances [n, m].
        rows: the coding vector that each sample belongs to, int64 [n].
        near: which vectors are neighbours of that one, bool [n, m].
        spread: how fast weights fall with distance.
    """
    squares = apart.square()
    own = squares.gather(1, rows[:, None]).squeeze(1)
    logits = (-spread * squares.detach()).masked_fill(~near, -torch.inf)
    weights = torch.where(near, logits.softmax(1), 0.0)
    return (own - (weights * squares).sum(1)).relu().mean()


def distillation_loss(features: Tensor, before: Tensor) -> Tensor:
    """L2 norm of the change of a whole batch of features [n, d]; one number, not a mean, gradient 0 where it is 0."""
    change: Tensor = (features - before).norm()
    return change


def falls(done: int, total: int, share: float) -> int:
    """Return how often a rate has fallen after ``done`` of ``total`` updates, when it falls after each ``share``."""
    return int(done / (total * share) + 1e-9)


class Scale(nn.Module):
    """Multiply by a constant that travels with the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return features times the constant."""
        return features * self.get_buffer("factor")


class NeighbourGraph:
    """Which coding vectors lie near each other, learned as neural gas does: edges are made, age and die.

    Args:
        neighbours: vectors nearest a feature that its nearest one is joined to.
        decay: what an edge is multiplied by, whenever its vector is the nearest and the other is not among those.
        lifetime: decays in a row that an edge survives.

    Attributes:
        edges: strengths [m, m] in [0, 1], row: the nearest vector; each is joined to itself for good.
    """

    def __init__(self, neighbours: int = 15, decay: float = 0.9, lifetime: int = 10) -> None:
        self.neighbours, self.decay, self.weakest = neighbours, decay, decay**lifetime * (1 - TOLERANCE)
        self.edges = torch.zeros(0, 0)

    def grow(self, count: int, like: Tensor) -> None:
        """Add ``count`` vectors without neighbours, on the device and in the type of ``like``."""
        before, size = self.edges, len(self.edges) + count
        self.edges = torch.eye(size, device=like.device, dtype=like.dtype)
        self.edges[: len(before), : len(before)] = before

    def update(self, apart: Tensor) -> None:
        """Let a batch move the edges; the order of its samples does not count.

        Args:
            apart: distances [n, m] of features from the vectors.
        """
        size = apart.shape[1]
        nearest = apart.detach().topk(min(self.neighbours, size), dim=1, largest=False).indices
        won = nn.functional.one_hot(nearest[:, 0], size).to(self.edges)
        joined = torch.zeros_like(apart, dtype=self.edges.dtype).scatter_(1, nearest, 1.0)
        meetings = won.T @ joined
        missed = won.sum(0)[:, None] - meetings
        edges = torch.maximum(self.edges, (meetings > 0).to(self.edges)) * self.decay**missed
        self.edges = torch.where(edges < self.weakest, 0.0, edges)

    def near(self, rows: Tensor) -> Tensor:
        """Return which vectors are neighbours of those in ``rows`` [n], themselves left out, bool [n, m]."""
        others = ~torch.eye(len(self.edges), dtype=torch.bool, device=self.edges.device)
        return ((self.edges > 0) & others)[rows]

    def settle(self) -> None:
        """Make the edges symmetric: the mean of both directions."""
        self.edges = (self.edges + self.edges.T) / 2

    def pick(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Draw for each of ``rows`` [n] one vector that it is joined to, itself included, int64 [n], all alike."""
        return torch.multinomial((self.edges[rows] > 0).float(), 1, generator=generator).squeeze(1)


class Codes:
    """The coding vectors of all classes that have arrived, and the prototypes kept of them.

    Args:
        num_classes: of the stream.
        size: numbers of a feature.
        graph: of the vectors' neighbours.

    Attributes:
        vectors: coding vectors [m, d], a leaf that is learned.
        prototypes: mean feature of the images of each row, [m, d].
        old: rows of classes that arrived before this experience; their vectors are learned no more.
    """

    def __init__(self, num_classes: int, size: int, graph: NeighbourGraph, device: torch.device | str = "cpu") -> None:
        self.graph = graph
        self.rows = torch.full((num_classes,), -1, dtype=torch.int64, device=device)
        self.vectors = torch.zeros(0, size, device=device)
        self.prototypes = torch.zeros(0, size, device=device)
        self.old = 0

    def welcome(self, classes: Sequence[int], generator: torch.Generator) -> None:
        """Give new classes vectors drawn from N(0, 1) and prototypes of zeros; those that were there become old."""
        self.old, count = len(self.vectors), TURNS * len(classes)
        for index, c in enumerate(classes):
            self.rows[c] = self.old + TURNS * index
        drawn = torch.randn(count, self.vectors.shape[1], generator=generator, device=generator.device)
        fresh = drawn.to(self.vectors)
        self.vectors = torch.cat([self.vectors.detach(), fresh]).requires_grad_(True)
        self.prototypes = torch.cat([self.prototypes, torch.zeros_like(fresh)])
        self.graph.grow(count, self.prototypes)

    def start_from_prototypes(self) -> None:
        """Move the vectors of new classes to their prototypes."""
        with torch.no_grad():
            self.vectors[self.old :] = self.prototypes[self.old :]

    def spare_old(self) -> None:
        """Take the gradient off the vectors of old classes."""
        if self.vectors.grad is not None:
            self.vectors.grad[: self.old] = 0

    def remember(self, features: Tensor, rows: Tensor) -> None:
        """Keep the mean of features [n, d] as prototype of each row that ``rows`` [n] names."""
        for row in sorted(set(rows.tolist())):
            self.prototypes[row] = features[rows == row].double().mean(0).to(self.prototypes)

    def imagined(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw features of old classes: between a prototype and that of a neighbour, nearer to the first.

        Args:
            count: how many.
            generator: owner of the draw.

        Returns:
            Features g p + (1 - g) q [count, d] with g uniform in [0.5, 1], p the prototype of an old class's upright
            images and q that of a row joined to it; and the rows of p, int64 [count].
        """
        chosen = TURNS * torch.randint(self.old // TURNS, (count,), generator=generator, device=generator.device)
        partner = self.graph.pick(chosen, generator)
        share = 0.5 + 0.5 * torch.rand(count, 1, generator=generator, device=generator.device)
        return share * self.prototypes[chosen] + (1 - share) * self.prototypes[partner], chosen

    @torch.no_grad()
    def scores(self, features: Tensor) -> Tensor:
        """Return minus the distance [n, C] of normalised features from each class's normalised upright vector.

        Classes that have not arrived have -inf.
        """
        seen = (self.rows >= 0).nonzero().squeeze(1)
        upright = nn.functional.normalize(self.vectors[self.rows[seen]], dim=1)
        scores = features.new_full((len(features), len(self.rows)), -torch.inf)
        scores[:, seen] = -distances(nn.functional.normalize(features, dim=1), upright)
        return scores

    @property
    def bytes(self) -> int:
        """What is kept for later experiences: coding vectors, prototypes, edges."""
        return sum(kept.numel() * kept.element_size() for kept in (self.vectors, self.prototypes, self.graph.edges))
