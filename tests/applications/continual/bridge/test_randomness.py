import random

import numpy as np
import pytest
import torch

from limbeck.testing.randomness import moved_generators
from limbeck_applications.continual.bridge.randomness import lent_generators


def draws():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()  # noqa: NPY002


def test_what_is_drawn_depends_on_the_seed_alone():
    with lent_generators(1):
        first = draws()
    draws()
    with lent_generators(1):
        assert draws() == first
    with lent_generators(2):
        other = draws()
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_they_are_put_back():
    with moved_generators() as moved, lent_generators(3):
        draws()
    assert moved == []


def test_they_are_put_back_after_an_error_too():
    with moved_generators() as moved, pytest.raises(KeyError), lent_generators(3):
        draws()
        raise KeyError
    assert moved == []


def test_one_loan_inside_another_leaves_the_outer_one_where_it_was():
    with lent_generators(1):
        draws()
        expected = draws()
    with lent_generators(1):
        draws()
        with lent_generators(1):
            draws()
        assert draws() == expected


def test_seeds_may_be_as_large_as_derived_ones_are():
    with lent_generators(2**63 - 1):
        draws()
