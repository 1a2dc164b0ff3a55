"""Networks of one structure that advance together: their weights are stacked, and one pass serves them all.

The forward pass is ``torch.func.vmap`` of the network over weights, buffers and batches; the losses, each network's own
mean, are added up, so that the gradient of a stacked weight holds each network's own; and one optimiser moves the
stacked weights, elementwise. Everything that is drawn comes from each network's own generators in their own order, so
a stacked training and one network after another differ by rounding, and either goes on from the other's checkpoint.
(Adam makes steps of full length of a gradient that is nothing but rounding, as that of a bias before batch norm: such
weights then differ, and what the network computes does not.)

What it is worth: on a GPU small networks wait for kernels to be launched, and K networks share the launches. A CPU
computes all the time, and its grouped convolutions are slower than single ones. Forward and backward passes on one
thread, as times as fast as one network after another, batches of 64 and 100, K = 2 to 16 (whole trainings on batches
of 25 images of 8x8: 2.0 with K = 8):

    ConvNets of width 16 and 32, 28x28 images:  0.3 to 1.0
    width 32, instance norm, 8x8 images:        0.7 to 1.2
    width 16, batch norm, 8x8 images:           0.5 to 0.9
    width 16, no norm, 8x8 images:              0.7 to 1.6 (above 1 from K = 4)

So ``stacked=None`` leaves networks on a CPU one after another (``stackable``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.func import vmap

from limbeck.augment.base import Draw
from limbeck.networks.functional import FunctionalNetwork, State
from limbeck.training.losses import Objective
from limbeck.training.metrics import autocast
from limbeck.training.optimisers import gradients_of, make_optimiser
from limbeck.training.single import Training


class Stack:
    """Trainings at the same update that make the next ones together.

    Args:
        members: of one structure and one set of settings, as ``hindrance`` asks; their weights stand still until
            ``settle``.
    """

    def __init__(self, members: Sequence[Training]) -> None:
        self.members = list(members)
        lead = self.members[0]
        self.network, self.settings, self.step = lead.network, lead.settings, lead.step
        trained = set(self.network.parameter_names)
        self._stack: State = {
            name: torch.stack([member.working[name].detach() for member in self.members]).requires_grad_(
                name in trained
            )
            for name in lead.working
        }
        self._leaves = [self._stack[name] for name in self.network.parameter_names]
        self._optimiser = make_optimiser(self._leaves, self.settings)
        self._gather()
        self._loss_sums = torch.stack([member.loss_sum for member in self.members])
        self._masks = _stacked([member.task.class_mask for member in self.members])

    def advance(self) -> None:
        """Make one update of every network."""
        lead = self.members[0]
        if lead.restarts:
            self._optimiser.state.clear()
        indices = [member.begin() for member in self.members]
        for group in self._optimiser.param_groups:
            group["lr"] = lead.optimiser.param_groups[0]["lr"]
        if lead.is_between_epochs:
            self._loss_sums = torch.zeros_like(self._loss_sums)
        self._loss_sums += self._learn(indices) * len(indices[0])
        for member, total in zip(self.members, self._loss_sums.unbind(), strict=True):
            member.loss_sum = total
            member.end()

    def settle(self) -> None:
        """Bring the members' weights, buffers, sums and optimisers up to date."""
        with torch.no_grad():
            for row, member in enumerate(self.members):
                own = [value.detach()[row] for value in self._stack.values()]
                torch._foreach_copy_([member.working[name] for name in self._stack], own)
                member.loss_sum = self._loss_sums[row].clone()
                for name, leaf in zip(self.network.parameter_names, self._leaves, strict=True):
                    member.optimiser.state[member.working[name]] = {
                        key: (value[row] if value.dim() else value).clone()
                        for key, value in self._optimiser.state[leaf].items()
                        if isinstance(value, Tensor)
                    }

    def _gather(self) -> None:
        """Take over what the members' optimisers remember."""
        for name, leaf in zip(self.network.parameter_names, self._leaves, strict=True):
            states = [member.optimiser.state.get(member.working[name], {}) for member in self.members]
            for key, first in states[0].items():
                if isinstance(first, Tensor):
                    value = torch.stack([state[key] for state in states]) if first.dim() else first.clone()
                    self._optimiser.state[leaf][key] = value

    def _learn(self, indices: Sequence[Tensor]) -> Tensor:
        """Make one update with each network's samples, K times [n], and return their losses [K], detached."""
        with torch.no_grad():
            images, targets = self._batches(indices)
        weights = _stacked(
            [None if own.task.weights is None else own.task.weights[i] for own, i in self._with(indices)]
        )
        losses = self._losses(images, targets, weights)
        found = gradients_of(losses.sum(), self._leaves)
        for leaf, gradient in zip(self._leaves, found, strict=True):
            leaf.grad = gradient
        if self.settings.clip is not None:
            _clip([each for each in found if each is not None], self.settings.clip)
        self._optimiser.step()
        return losses.detach()

    def _losses(self, images: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        return stacked_losses(
            self.network,
            self._stack,
            self.settings.objective,
            images,
            targets,
            weights,
            self._masks,
            self.settings.dtype,
        )

    def _batches(self, indices: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return images [K, n, ch, h, w] and targets [K, n] or [K, n, C]."""
        if not self._may_share_batches:
            pairs = [member.batch(index) for member, index in self._with(indices)]
            return torch.stack([images for images, _ in pairs]), torch.stack([targets for _, targets in pairs])
        lead, size = self.members[0], len(indices[0])
        images = lead.task.data.take(torch.cat(list(indices))).to(self.settings.device, lead.working_dtype)
        augmentation = lead.task.augmentation
        if augmentation is not None:
            draws = [augmentation.draw(size, member.streams.augment, one_op=True) for member in self.members]
            both = Draw(torch.cat([draw.op for draw in draws]), torch.cat([draw.u for draw in draws]))
            images = augmentation.apply(images, both)
        targets = [labels[i] for member, i in self._with(indices) if isinstance(labels := member.task.labels, Tensor)]
        return images.view(len(self.members), size, *images.shape[1:]), torch.stack(targets)

    @property
    def _may_share_batches(self) -> bool:
        """Whether one gather and one augmentation of all networks' images give what one for each network gives."""
        lead = self.members[0].task
        return (
            isinstance(lead.labels, Tensor)
            and all(member.task.data is lead.data for member in self.members)
            and (lead.augmentation is None or lead.augmentation.independent)
        )

    def _with(self, indices: Sequence[Tensor]) -> Iterator[tuple[Training, Tensor]]:
        return zip(self.members, indices, strict=True)


def stacked_losses(
    network: FunctionalNetwork,
    stack: State,
    objective: Objective,
    images: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    masks: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return each network's loss of its own batch, [K].

    Args:
        network: the structure.
        stack: weights and buffers, each [K, ...]; buffers are updated in place where the structure does so.
        objective: what a batch's loss is.
        images: normalised [K, n, ch, h, w].
        targets: [K, n] or [K, n, C].
        weights: of the samples, [K, n], or none.
        masks: classes that count, bool [K, C], or none.
        dtype: bfloat16 for mixed precision.
    """
    device, kind = images.device, stack[network.parameter_names[0]].dtype

    def one(state: State, images: Tensor, targets: Tensor, weights: Tensor | None, mask: Tensor | None) -> Tensor:
        with autocast(device, dtype):
            logits = network(state, images)
        return objective(logits.to(kind), targets, weights, mask)

    where = tuple(None if each is None else 0 for each in (weights, masks))
    losses: Tensor = vmap(one, in_dims=(0, 0, 0, *where))(stack, images, targets, weights, masks)
    return losses


def _stacked(values: Sequence[Tensor | None]) -> Tensor | None:
    given = [value for value in values if value is not None]
    return torch.stack(given) if given else None


def _clip(gradients: Sequence[Tensor], largest: float) -> None:
    """Scale each network's whole gradient down to the L2 norm ``largest``, in place, as PyTorch does for one."""
    norms = torch.stack([torch.linalg.vector_norm(each.flatten(1), dim=1) for each in gradients])
    scale = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)
    for each in gradients:
        each *= scale.view(-1, *[1] * (each.dim() - 1))
