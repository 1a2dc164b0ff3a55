"""Forgetting: the images that a network in training unlearns most often.

Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network Learning" (arXiv:1812.05159),
section 3 and algorithm 1: an image is forgotten when it was classified right at its last presentation and is
classified wrong at this one, before the update. An image that never was right counts as forgotten most, as in the
authors' code. Here every class gives equally many, as in the tables of distillation, and the training is shorter.
"""

from __future__ import annotations

import torch

from limbeck.data import RealData
from limbeck.data.selector import Selection, check_sizes, take
from limbeck.features import members_by_content
from limbeck.seeding import generator as make_generator
from limbeck_plugins.selectors.base import NetworkSelector, draw_seed


class Forgetting(NetworkSelector):
    """Take the images of every group that were forgotten most; equals are drawn by lot."""

    def select(self, real: RealData, ipc: int, generator: torch.Generator) -> Selection:
        """Return ``ipc`` images of every group; see the base class."""
        check_sizes(real, ipc)
        seed = draw_seed(generator)
        trained = self.trained(real, seed)
        chosen = []
        for group, members in enumerate(members_by_content(real)):
            lots = torch.randperm(len(members), generator=make_generator(seed, "group", group))
            shuffled = members[lots.to(members.device)]
            chosen.append(shuffled[trained.forgotten[shuffled].argsort(descending=True, stable=True)[:ipc]])
        return take(real, torch.cat(chosen), self.options.source, trained.seconds, trained.spared)
