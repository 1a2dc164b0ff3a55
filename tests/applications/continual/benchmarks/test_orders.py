"""Class orders as they were published, and shares of classes that lose none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.errors import UsageError
from limbeck_applications.continual.benchmarks.orders import class_order, sizes


@pytest.mark.parametrize("repetition", range(5))
def test_drawn_orders_are_those_of_numpys_seeded_global_generator(repetition):
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(repetition)  # noqa: NPY002
    published = np.random.permutation(100).tolist()  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    assert class_order("numpy", 100, repetition) == published


def test_drawing_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    class_order("numpy", 100, 3)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_fixed_orders():
    assert class_order("natural", 4, 0) == [0, 1, 2, 3]
    assert class_order("distilled_replay", 10, 0) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert class_order("icarl", 100, 0)[:15] == [68, 56, 78, 8, 23, 84, 90, 65, 74, 76, 40, 89, 3, 92, 55]
    assert class_order((2, 0, 1), 3, 0) == [2, 0, 1]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([0, 1], "class 2 is missing"),
        ([0, 1, 1], "class 1 is named twice"),
        ([0, 1, 3], "class 3 does not exist"),
        ([0, 1, -1], "class -1 does not exist"),
        ([], "class 0 is missing"),
    ],
)
def test_a_list_that_is_no_permutation_is_refused(asked, said):
    with pytest.raises(UsageError, match=f"each of the 3 classes, 0 to 2, exactly once, but {said}"):
        class_order(asked, 3, 0)


@pytest.mark.parametrize("asked", ["natural", "icarl", (1, 0)])
def test_a_fixed_order_has_no_further_one(asked):
    with pytest.raises(UsageError, match=r"is one order, .* Type --orders 1 and more --seeds, or class_order=numpy"):
        class_order(asked, 2, 1)


@given(st.integers(1, 200), st.integers(1, 200), st.booleans())
def test_no_class_is_lost_or_shares_are_refused(classes, experiences, uneven):
    try:
        found = sizes(classes, experiences, uneven=uneven)
    except UsageError:
        assert experiences > classes or (classes % experiences and not uneven)
        return
    assert sum(found) == classes and len(found) == experiences
    assert min(found) >= 1 and max(found) - min(found) <= (1 if uneven else 0)
    assert found == sorted(found, reverse=True)


def test_three_experiences_over_ten_classes():
    assert sizes(10, 3, uneven=True) == [4, 3, 3]
    with pytest.raises(UsageError, match=r"Type experiences=2, 5, 10, or uneven=true, which gives .* 4 and .* 3"):
        sizes(10, 3)


def test_a_first_share_of_its_own():
    assert sizes(100, 6, first=50) == [50, 10, 10, 10, 10, 10]
    assert sizes(10, 3, first=5, uneven=True) == [5, 3, 2]
    for first, experiences in ((10, 2), (5, 1)):
        with pytest.raises(UsageError, match=f"a first experience of {first} of 10 classes"):
            sizes(10, experiences, first=first)
    with pytest.raises(UsageError, match="5 classes cannot be shared equally by 2 experiences"):
        sizes(10, 3, first=5)
