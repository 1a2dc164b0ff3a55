"""Components with options as they are typed on one line."""

from __future__ import annotations

import pytest

from limbeck.cli.written import component, components
from limbeck.errors import UsageError


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("naive", [{"name": "naive"}]),
        ("naive, joint", [{"name": "naive"}, {"name": "joint"}]),
        (
            "naive,der_pp:alpha=0.5,beta=1,joint",
            [{"name": "naive"}, {"name": "der_pp", "alpha": 0.5, "beta": 1}, {"name": "joint"}],
        ),
        ("nearest_mean:weights=a:b,encoder=lenet", [{"name": "nearest_mean", "weights": "a:b", "encoder": "lenet"}]),
        ("ewc:on=true,note=null", [{"name": "ewc", "on": True, "note": None}]),
        ("a:shape=[1, 2],how={x: 1, y: 2}", [{"name": "a", "shape": [1, 2], "how": {"x": 1, "y": 2}}]),
        ("a:z=(1,2),b", [{"name": "a", "z": "(1,2)"}, {"name": "b"}]),
        ("a:x.y=1,x.z=2", [{"name": "a", "x": {"y": 1, "z": 2}}]),
    ],
)  # fmt: skip
def test_components_are_read(text, read):
    assert components(text, "--strategies") == read


@pytest.mark.parametrize("text", ["", ",naive", "naive,,joint", ":a=1", "a=1,naive"])
def test_an_empty_name_is_refused(text):
    with pytest.raises(UsageError, match=r"^--strategies '.*' has an empty name\. Type "):
        components(text, "--strategies")


@pytest.mark.parametrize("text", ["a:x", "a:=1", "a:x=[1", "a:"])
def test_an_option_without_a_value_is_refused(text):
    with pytest.raises(UsageError, match="is not OPTION=VALUE"):
        components(text, "--strategies")


def test_a_benchmark_is_one():
    assert component("split_mnist:class_order=[1,0]", "--benchmark") == {"name": "split_mnist", "class_order": [1, 0]}
    with pytest.raises(UsageError, match="--benchmark takes one name, but 'a,b' holds 2"):
        component("a,b", "--benchmark")


@pytest.mark.parametrize("text", ["naive:name=joint", "naive:name.x=joint", "naive, der_pp:alpha=1,name=joint"])
def test_a_name_is_not_an_option(text):
    with pytest.raises(UsageError, match=r"^--strategies '.*': 'name' is no option, the name stands before the colon"):
        components(text, "--strategies")
