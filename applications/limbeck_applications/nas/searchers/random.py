"""Random search: what every searcher must beat.

Paper: Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search" (arXiv:1902.07638):
architectures drawn by lot, each trained on its own, the best of them kept. The paper's variants, which stop poor
networks early or share weights, are not here. Written from the definition.

The same: independent draws, every genome with equal chance. Different: an architecture that was drawn before is drawn
again, so that no evaluation is spent twice; nothing is shared between networks.
"""

from __future__ import annotations

from limbeck_applications.nas.searcher import Lab, Searcher
from limbeck_applications.nas.searchers.draws import Draws
from limbeck_applications.nas.space import Architecture


class Random(Searcher):
    """Score different architectures drawn by lot, in one call, so that equal structures are trained together."""

    def search(self, lab: Lab) -> None:
        """Score as many as may be scored, or all that there are."""
        draws, chance = Draws(lab), lab.generator("random")
        found: list[Architecture] = []
        while len(found) < lab.remaining and (architecture := draws.new(chance)) is not None:
            found.append(architecture)
        lab.score(found)
