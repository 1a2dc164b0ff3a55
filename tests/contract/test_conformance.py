"""Everything that ships keeps what its kind promises, and nothing is excused without a reason listed here."""

from __future__ import annotations

import re

import pytest

from limbeck.plugins import registry
from limbeck.testing import check

SHIPPED = [
    (kind, name) for kind in registry().kinds() for name, entry in registry().entries(kind).items() if entry.is_shipped
]
EXCUSES = {
    "augmentations": r"it declares ((differentiable|independent|heeds_one_op) = False|mixes_labels = (False|True))",
    "continual_benchmarks": r"its classes come again in every experience",
    "continual_strategies": r"it keeps no real images|it has no distilled memory|it does not train from memory alone|"
    r"the budget does not bound what it keeps|continual learning on Avalanche needs '\w+', which is not installed.*",
    "datasets": r"data set '\w+' cannot be read from .*|needs the option 'path', .*|it is too large to be read twice.*",
    "formations": r"it has none",
    "label_projectors": r"it has none|it leaves the augmentation to the trainer|its labels belong to particular views",
    "nas_proxies": r"it trains nothing",
    "nas_searchers": r"searcher 'exhaustive' scores every architecture of chains, which has 12, but only 2 may .*|"
    r"2 evaluations are too few for searcher 'tas', .*|.* needs 'optuna', which is not installed.*",
    "nas_spaces": r"its networks take images of any size",
    "matchers": r"it has neither|its family has only one|its family sends no students",
    "network_sources": r"it has no experts|it knows no trained networks|it keeps nothing",
    "networks": r"the network '\w+' needs '\w+', which is not installed.*",
    "observers": r"the observer '\w+' needs '\w+', which is not installed.*",
    "selectors": r"its images are no copies of real ones",
}
"""Why a check may be left out, kind by kind; components of other kinds pass them all."""


@pytest.mark.parametrize(("kind", "name"), SHIPPED, ids=[f"{kind}-{name}" for kind, name in SHIPPED])
def test_it_keeps_what_its_kind_promises(kind, name):
    outcomes = check(kind, name)
    assert [f"{one.check}: {one.reason}" for one in outcomes if one.status == "failed"] == []
    excuses = [one.reason for one in outcomes if one.status == "not applicable"]
    assert [reason for reason in excuses if not re.fullmatch(EXCUSES.get(kind, ""), reason)] == []
    if any("which is not installed" in reason for reason in excuses):
        pytest.skip(excuses[0])
    assert sum(one.status == "passed" for one in outcomes) >= 5
