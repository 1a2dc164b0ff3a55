"""A learning rate is searched on training images that no random row draws, and never on the test's."""

from dataclasses import replace

import pytest
import torch

from limbeck.data import DataSet, RealData
from limbeck.errors import DataError
from limbeck.evaluation import Evaluation, evaluate_set, evaluate_with_baselines
from limbeck.evaluation.validation import split
from limbeck.plugins import registry
from limbeck.seeding import derive_seed

RATES = (1e-6, 0.1, 0.02)


def test_a_tenth_of_every_class_is_kept_aside(spec):
    labels = torch.tensor([0] * 50 + [1] * 19 + [2] * 5)
    train = RealData(torch.rand(74, 1, 8, 8, generator=torch.Generator().manual_seed(0)), labels, spec)
    parts, again, other = split(train, 0), split(train, 0), split(train, 1)
    assert parts.held.group_sizes == [5, 1, 1]
    assert train.subset(parts.rest).group_sizes == [45, 18, 4]
    rest, held = (
        {image.numpy().tobytes() for image in images} for images in (train.images[parts.rest], parts.held.images)
    )
    assert not rest & held and len(rest | held) == 74
    assert torch.equal(parts.rest, again.rest) and not torch.equal(parts.rest, other.rest)


def test_no_class_is_emptied_and_no_more_than_five_thousand_are_kept(spec):
    labels = torch.tensor([0] * 60_000 + [1] * 20_000 + [2])
    train = RealData(torch.zeros(80_001, 1, 8, 8, dtype=torch.uint8), labels, spec)
    held = split(train, 0).held
    assert held.group_sizes == [3749, 1249, 0]
    with pytest.raises(DataError, match="'bars' has one training image a class: none can be kept aside") as caught:
        split(RealData(torch.zeros(3, 1, 8, 8), torch.arange(3), spec), 0)
    assert "\n" not in str(caught.value)


def test_the_rate_is_the_best_on_the_images_kept_aside(synthetic, data, recipe):
    row = evaluate_set(synthetic, data, recipe.with_(lr_search=RATES), networks=2)
    parts = split(data.train, 0)
    validation = DataSet(data.spec, data.train, parts.held)
    tried = {}
    for rate in RATES:
        tried[str(rate)] = _one(synthetic, validation, recipe.with_(lr=rate), derive_seed(0, "eval", "synthetic", "lr"))
    assert row.lr_searched == tried
    assert row.lr == max(RATES, key=lambda rate: tried[str(rate)]) == row.recipe["lr"]
    assert row.validation_images == len(parts.held) == 3
    assert row.recipe["lr_search"] == list(RATES)
    plain = evaluate_set(synthetic, data, recipe.with_(lr=row.lr), networks=2)
    assert row.accuracies == plain.accuracies
    assert (plain.lr_searched, plain.validation_images) == ({}, 0)
    assert Evaluation.from_dict(row.to_dict()) == row


def _one(synthetic, data, recipe, seed):
    """The accuracy of a network with a given seed."""
    from limbeck.evaluation.measure import make_measurement, material_of

    measurement = make_measurement(data, 0, "cpu", torch.float32, None)
    material = material_of(synthetic, data, recipe, measurement)
    job = measurement._job(recipe, material, seed, "one")
    return registry().create("executors", "serial").run([job])[0]["accuracy"]


def test_the_first_of_equal_rates_is_taken(synthetic, data, recipe):
    tiny = recipe.with_(lr_search=(1e-9, 2e-9, 3e-9))
    row = evaluate_set(synthetic, data, tiny, networks=1)
    assert len(set(row.lr_searched.values())) == 1 and row.lr == 1e-9


class Spy(type(registry().create("executors", "serial"))):
    """Remembers every job."""

    def execute(self, jobs, report):
        self.jobs = [*getattr(self, "jobs", []), *jobs]
        super().execute(jobs, report)


@pytest.fixture
def searched(synthetic, data, recipe):
    spy = Spy()
    rows = evaluate_with_baselines(synthetic, data, recipe.with_(lr_search=RATES), networks=2, executor=spy)
    return {row.label: row for row in rows}, spy.jobs


def bytes_of(images):
    return {image.numpy().tobytes() for image in images}


def test_synthetic_and_random_rows_search_alike_and_the_whole_set_does_not(searched, recipe):
    rows, jobs = searched
    for label in ("synthetic", "random", "random_bytes"):
        assert list(rows[label].lr_searched) == [str(rate) for rate in RATES]
        names = [job.name for job in jobs if job.name.startswith(f"{label}, learning rate")]
        assert names == [f"{label}, learning rate {rate}" for rate in RATES]
    assert rows["whole"].lr_searched == {} and rows["whole"].lr == recipe.lr


def test_test_images_choose_nothing_and_validation_images_teach_nothing(searched, data):
    held, test = bytes_of(split(data.train, 0).held.images), bytes_of(data.test.images)
    for job in searched[1]:
        is_search, seen = "learning rate" in job.name, bytes_of(job.tensors["test_images"])
        assert seen == (held if is_search else test), job.name
        if job.name.startswith("random"):
            assert job.tensors["images"].dtype == torch.uint8
            assert not bytes_of(job.tensors["images"]) & held, job.name


def test_without_a_search_random_rows_draw_from_every_image(synthetic, data, recipe):
    spy = Spy()
    short = recipe.with_(epochs=0)
    evaluate_with_baselines(synthetic, data, short, networks=8, executor=spy, baselines=("random_bytes",))
    drawn = set().union(*(bytes_of(job.tensors["images"]) for job in spy.jobs if job.name.startswith("random")))
    assert drawn == bytes_of(data.train.images)


def test_other_test_images_find_the_same_rate(synthetic, data, recipe):
    other = replace(data, test=RealData(data.test.images.flip(0), data.test.labels, data.spec))
    rows = [evaluate_set(synthetic, each, recipe.with_(lr_search=RATES), networks=1) for each in (data, other)]
    assert rows[0].lr_searched == rows[1].lr_searched
