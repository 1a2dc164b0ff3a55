"""Every check finds the component that was broken for it, and no other check has to."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from limbeck.testing import check, conformance

FOLDER = Path(__file__).parent / "broken"
WHOLE = (FOLDER / "whole.txt").read_text()
"""A file with a whole component of most kinds."""

BROKEN = {
    path.stem: dict(re.findall(r"^=== (.*)\n((?:(?!=== ).*\n)+)", path.read_text(), re.M))
    for path in FOLDER.glob("*.txt")
    if path.stem != "whole"
}
"""By kind and by the title of a check: a class ``It`` that fails it."""

ALONE = {
    "It derives from the base class of its kind and defines what that leaves open",
    "Every class has a name of its own and training images",
    "Options that its family reads are among its own",
}
"""Breaks after which nothing else can be checked, or little."""
CASES = [(kind, title) for kind, cases in BROKEN.items() for title in cases]


@pytest.fixture
def failed(limbeck_plugin, tmp_path):
    """Offer a class ``It`` as the component "it", and return the titles of the checks that fail."""

    def run(kind, source, arguments='summary="it"'):
        hook = f"\n\n@limbeck.hookimpl\ndef register_{kind}(register):\n    register('it', It, {arguments})\n"
        (tmp_path / "it.py").write_text(WHOLE + "\n\n" + textwrap.dedent(source) + hook)
        limbeck_plugin(tmp_path / "it.py")
        return {one.check: one.reason for one in check(kind, "it") if one.status == "failed"}

    return run


@pytest.mark.parametrize(("kind", "title"), CASES, ids=[f"{kind}: {title}" for kind, title in CASES])
def test_a_break_is_found(kind, title, failed):
    facts = ', facts={"train": 41}' if title == "What listings say of it is true" else ""
    found = failed(kind, BROKEN[kind][title], f'summary="it"{facts}')
    assert title in found
    assert title in ALONE or len(found) <= 4, found


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("matchers", "Mean"), ("augmentations", "Plain"), ("formations", "Same"), ("label_projectors", "Labels"),
        ("network_sources", "Fresh"), ("networks", "Flat"), ("datasets", "Grey"), ("protocols", "Quick"),
        ("executors", "Serial"), ("matchers", "Ways"), ("network_sources", "Experts"),
    ],
)  # fmt: skip
def test_what_is_not_broken_passes(kind, base, failed):
    doc = f'"""{base} again (unpublished)."""'
    assert failed(kind, f"class It({base}):\n    {doc}\n") == {}


@pytest.mark.parametrize(
    ("library", "call"), [("torch", "torch.rand(1)"), ("numpy", "np.random.rand()"), ("Python", "random.random()")]
)
def test_global_random_numbers_are_noticed(failed, library, call):
    source = f"class It(Same):\n    'It.'\n\n    def expand(self, *a):\n        {call}\n        return a[:3]\n"
    reasons = set(failed("formations", source).values())
    assert reasons == {f"moves the global generator of {library}; draw from the one it is given"}


@pytest.mark.parametrize(("arguments", "reason"), [("summary=''", "has none"), ("summary='It.'", "is 'It.'")])
def test_a_registration_without_a_good_summary(failed, arguments, reason):
    found = failed("formations", "class It(Same):\n    '''It.'''\n", arguments)
    assert found.pop("The registration has a summary: one line, without a full stop").startswith(reason)
    assert found == {}


def test_a_class_without_a_docstring(failed):
    assert list(failed("formations", "class It(Same):\n    pass\n")) == ["It has a description of its own"]


def test_what_a_precision_costs_is_said(failed):
    source = """
        class It(Mean):
            def discrepancy(self, syn, real, step):
                return (syn["e"] @ torch.ones(len(syn["e"]), 2)).square().sum()
    """
    assert "checks are made in float64" in failed("matchers", source)["The distance is finite and not negative"]


def test_a_missing_library_is_an_excuse(limbeck_plugin, importable, tmp_path):
    (importable / "needy.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "it.py").write_text(
        "import limbeck\n\n@limbeck.hookimpl\ndef register_networks(register):\n"
        "    register('it', 'needy:It', summary='it')\n"
    )
    limbeck_plugin(tmp_path / "it.py")
    outcomes = check("network", "it")
    assert {one.status for one in outcomes} == {"passed", "not applicable"}
    assert any("needs 'nowhere_to_be_found', which is not installed" in one.reason for one in outcomes)


REQUIRED = """
class It(Same):
    "It."

    class Options(limbeck.Options):
        size: int = Field(description="how large")
"""


def test_required_options_are_an_excuse(failed):
    assert failed("formations", REQUIRED) == {}
    reason = "needs the option 'size', for which its trial_options give nothing"
    assert sum(one.reason == reason for one in check("formation", "it")) >= 8


def test_trial_options_give_what_is_required(failed):
    assert failed("formations", REQUIRED + "\n    trial_options = {'size': 3}\n") == {}
    assert sum(one.status == "passed" for one in check("formation", "it")) >= 10


def test_conformance_lists_what_failed(failed):
    failed("formations", BROKEN["formations"]["Training images have the type of the stored ones"])
    with pytest.raises(
        AssertionError, match=r"the formation 'it' fails 2 checks:\n  It has a description.*\n  Training"
    ):
        conformance("formation", "it")
    conformance("formation", "identity")
