"""A term takes from the run's own source what it leaves open; pixels decay at a rate of their own."""

import pytest

from limbeck.data import load_dataset
from limbeck.distillation.setup import prepare_labels, set_up

INNER = {"name": "inner", "outer": 3, "inner": 2, "lr_net": 0.02}


def parts_of(config):
    parts = set_up(config, load_dataset("digits", max_per_class=20))
    prepare_labels(parts)
    return parts


@pytest.mark.parametrize(
    ("source", "outer", "inner", "lr"),
    [("inner", 3, 2, 0.02), ({"name": "inner", "outer": 5}, 5, 2, 0.02), ({"name": "fresh"}, None, None, None)],
    ids=str,
)
def test_options_a_term_does_not_give_come_from_a_source_of_the_same_name(tiny, source, outer, inner, lr):
    config = tiny("dc", source=INNER, terms=[{"matcher": "cross_entropy", "source": source}])
    own, term = (term.source.options for term in parts_of(config).terms)
    assert (own.outer, own.inner, own.lr_net) == (3, 2, 0.02)
    assert tuple(getattr(term, name, None) for name in ("outer", "inner", "lr_net")) == (outer, inner, lr)


@pytest.mark.parametrize(
    ("optimiser", "images", "others"),
    [
        ({"name": "adamw", "weight_decay": 5e-4}, 5e-4, 0.01),
        ({"name": "adamw"}, 0.01, 0.01),
        ({"name": "adam", "weight_decay": 0.1}, 0.1, 0.0),
        ({"name": "sgd", "weight_decay": 0.1}, 0.1, 0.0),
    ],
    ids=str,
)
def test_only_pixels_decay_at_the_rate_that_is_given(tiny, optimiser, images, others):
    config = tiny("dm", optimiser=optimiser, matcher={"name": "characteristic", "sampling": "learned"})
    groups = parts_of(config).parameters.optimiser.param_groups
    assert [group["weight_decay"] for group in groups] == [images, others]
    assert ("weight_decay" in config.identity()["optimiser"]) == ("weight_decay" in optimiser)
