"""Random search: what every searcher must beat.

Paper: Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search" (arXiv:1902.07638):
architectures drawn by lot, each trained on its own, the best of them kept. The paper's variants, which stop poor
networks early or share weights, are not here. Written from the definition.

The same: independent draws, every genome with equal chance. Different: an architecture that was drawn before is drawn
again, so that no evaluation is spent twice; nothing is shared between networks.
"""

from __future__ import annotations

from pydantic import Field

from limbeck.options import Options as OptionsBase
from limbeck_applications.nas.searcher import Lab, Plan, Searcher
from limbeck_applications.nas.searchers.budget import Budget
from limbeck_applications.nas.searchers.draws import Draws
from limbeck_applications.nas.space import Architecture


class Random(Searcher):
    """Score different architectures drawn by lot, in one call, so that equal structures are trained together."""

    class Options(OptionsBase):
        """A budget, so that a search that has one is met on equal terms."""

        most_parameters: int | None = Field(None, ge=1, description="parameters of an architecture at most")
        most_flops: int | None = Field(None, ge=1, description="FLOPs of an architecture at most")

    def check(self, plan: Plan) -> None:
        """Refuse a budget that nothing in a small space meets.

        Raises:
            UsageError: says what the smallest has.
        """
        self._budget().check(plan)

    def search(self, lab: Lab) -> None:
        """Score as many as may be scored, or all that there are.

        Raises:
            UsageError: no architecture that was drawn meets the budget.
        """
        draws, chance, budget = Draws(lab), lab.generator("random"), self._budget()
        found: list[Architecture] = []
        while len(found) < lab.remaining and (architecture := draws.new(chance, budget)) is not None:
            found.append(architecture)
        budget.require(lab.space.name, len(found), min(1, lab.remaining))
        lab.score(found)

    def _budget(self) -> Budget:
        return Budget(self.options.most_parameters, self.options.most_flops)
