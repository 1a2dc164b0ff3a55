"""Ways from one network to a larger one, and the weights that are taken along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.networks import FunctionalNetwork, State
from limbeck_applications.nas.candidates.job import network_of
from limbeck_applications.nas.proxies.trained import TrainedProxy
from limbeck_applications.nas.searcher import Child, Lab, Trial
from limbeck_applications.nas.searchers.eas.controllers import Action, Decision
from limbeck_applications.nas.searchers.eas.net2net import deeper, wider
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.staged import StagedSpace, Stages

MEASURED = 256
"""Images on which a new batch norm is measured."""


@dataclass(frozen=True)
class Way:
    """What a controller decided for one network, and where it led."""

    decisions: list[Decision]
    architecture: Architecture
    by_lot: bool


class Inheritance:
    """Gives grown networks weights with which they compute what their base does, but for noise.

    Args:
        lab: of the search; its space is of stages.
        wider_noise: on copied units, relative to the weights' deviation.
        deeper_noise: on new layers, likewise.
    """

    def __init__(self, lab: Lab, wider_noise: float, deeper_noise: float) -> None:
        assert isinstance(lab.space, StagedSpace)
        self.lab, self.space = lab, lab.space
        self.wider_noise, self.deeper_noise = wider_noise, deeper_noise
        self.chance = lab.generator("eas", "weights")
        self.images = _images(lab)

    def child(self, base: Trial, way: Way, **notes: Any) -> Child:
        """Return the network at a way's end, which begins with what the base has learned.

        Args:
            base: where the way begins.
            way: what was decided.
            **notes: kept with the child beside its parent and what was done.
        """
        state, norm = self.lab.state(base), self.space.norm(base.architecture.genome)
        for decision in way.decisions:
            state = self._changed(decision, norm, state)
        known = {
            "action": ", ".join(filter(None, (_words(decision.action) for decision in way.decisions))),
            "parent": base.architecture.name,
            "parent_number": base.number,
            **notes,
            "by_lot": way.by_lot,
            "trainings": int(base.notes.get("trainings", 1)) + 1,
        }
        return Child(way.architecture, state, known)

    def _changed(self, decision: Decision, norm: str, state: State) -> State:
        """Return the weights after one decision, which compute what they did but for the noise."""
        stages, action = decision.stages, decision.action
        network, larger = self._network(stages, norm), changed(self.space, stages, action)
        if action.deepen is not None:
            stage, layer, _ = action.deepen
            place, child = sum(map(len, stages[:stage])) + layer, self._network(larger, norm)
            return deeper(network, state, child, place, self.chance, self.deeper_noise, self.images)
        widths = [width for layers in larger for width, _ in layers]
        for place in action.widen:
            state = wider(network, state, place, widths[place], self.chance, self.wider_noise)
        return state

    def _network(self, stages: Stages, norm: str) -> FunctionalNetwork:
        architecture = self.space.from_stages(stages, norm)
        return network_of(self.space, architecture, self.lab.problem.spec, torch.device("cpu"))


def changed(space: StagedSpace, stages: Stages, action: Action) -> Stages:
    """Return the stages after an action: the next widths, or a layer as wide as the one before it."""
    widths = space.ladder.widths
    larger, place = [list(layers) for layers in stages], 0
    for layers in larger:
        for at, (width, kernel) in enumerate(layers):
            if place in action.widen:
                layers[at] = (widths[widths.index(width) + 1], kernel)
            place += 1
    if action.deepen is not None:
        stage, layer, kernel = action.deepen
        larger[stage].insert(layer + 1, (larger[stage][layer][0], space.ladder.kernels[kernel]))
    return larger


def _images(lab: Lab) -> Tensor:
    """Return some images that networks are trained on, normalised [n, ch, h, w], to measure batch norms on."""
    cpu = torch.device("cpu")
    data = lab.proxy.lesson(lab.prepared, cpu).data if isinstance(lab.proxy, TrainedProxy) else lab.problem.train
    index = torch.randperm(len(data), generator=lab.generator("eas", "images"))[:MEASURED]
    return data.take(index.to(data.labels.device)).cpu()


def _words(action: Action) -> str:
    if action.deepen is not None:
        return f"layer after {action.deepen[1] + 1} of stage {action.deepen[0] + 1}"
    return f"wider {' '.join(str(place + 1) for place in action.widen)}" if action.widen else ""
