"""Tiles: several smaller images in each stored one, how they are enlarged, what they start from, what they cost."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from limbeck.configure import configure
from limbeck.data import DataSpec, RealData, load_dataset
from limbeck.data.selector import Selection, Selector
from limbeck.distillation.result import selected_set
from limbeck.distillation.setup import set_up
from limbeck.distillation.start import choose, starting_images
from limbeck.errors import DataError, UsageError
from limbeck.plugins import registry
from limbeck.runs import resumed_config, run
from limbeck.seeding import Generators
from limbeck.synthetic import SyntheticSet

TINY = {
    "network": "convnet-d1-w4",
    "data": {"name": "digits", "max_per_class": 20, "batch_real": 4},
    "execution": {"device": "cpu", "flush_every": 1},
    "evaluation": {"networks": 1, "baselines": False, "protocol": {"epochs": 1}},
}
PHASES = ("match", "inner", "evaluate")


def tiles(factor=2):
    return registry().create("formations", {"name": "tiles", "factor": factor})


def images(n, *shape, seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def configured(method="dm", **settings):
    return configure(method, profile="small", settings={**TINY, "formation": "tiles", **settings})


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", max_per_class=20)


def bilinear(image, factor):
    """Enlarge [ch, h, w] by a whole factor, pixel by pixel: centres half a pixel in, borders repeated."""
    _, height, width = image.shape
    out = torch.empty(len(image), height * factor, width * factor, dtype=image.dtype)

    def around(at, size):
        place = min(max((at + 0.5) / factor - 0.5, 0), size - 1)
        low = int(place)
        return low, min(low + 1, size - 1), place - low

    for i in range(height * factor):
        for j in range(width * factor):
            top, bottom, down = around(i, height)
            left, right, across = around(j, width)
            above = image[:, top, left] * (1 - across) + image[:, top, right] * across
            below = image[:, bottom, left] * (1 - across) + image[:, bottom, right] * across
            out[:, i, j] = above * (1 - down) + below * down
    return out


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("factor, shape", [(2, (3, 8, 6)), (3, (1, 9, 6))])
def test_tiles_are_cut_row_by_row_and_enlarged_bilinearly(factor, shape, phase):
    stored = images(3, *shape)
    found, _, _ = tiles(factor).expand(stored, torch.arange(3), torch.arange(3), phase)
    height, width = shape[1] // factor, shape[2] // factor
    expected = [
        bilinear(image[:, i * height : (i + 1) * height, j * width : (j + 1) * width], factor)
        for image in stored
        for i in range(factor)
        for j in range(factor)
    ]
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-14)


@pytest.mark.parametrize("phase", PHASES)
def test_tiles_of_an_image_stay_together_with_its_label_and_group(phase):
    group = torch.tensor([0, 0, 1])
    soft = torch.eye(3)[torch.tensor([2, 1, 0])]
    found, labels, groups = tiles().expand(images(3, 1, 4, 4), soft, group, phase)
    assert len(found) == 12
    assert torch.equal(labels, soft.repeat_interleave(4, 0)) and groups.tolist() == [0] * 8 + [1] * 4
    assert tiles().formed(images(3, 1, 4, 4), group, phase)[1].tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_factor_one_is_the_identity():
    stored, group = images(2, 3, 5, 7), torch.arange(2)
    assert tiles(1).expand(stored, group, group, "match")[0] is stored
    assert tiles(1).starts_from == 1
    assert torch.equal(tiles(1).compose(stored[:, None]), stored)


def test_the_gradient_is_that_of_finite_differences():
    group = torch.arange(2)
    leaf = images(2, 2, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda free: tiles().expand(free, group, group, "match")[0], leaf)


@pytest.mark.parametrize("factor", [2, 4])
def test_what_is_composed_is_shown_again_coarser_and_in_order(factor):
    real = images(3 * factor**2, 2, 8, 8).unflatten(0, (3, factor**2))
    stored = tiles(factor).compose(real)
    assert stored.shape == (3, 2, 8, 8)
    shown, _, _ = tiles(factor).expand(stored, torch.arange(3), torch.arange(3), "match")
    small = F.interpolate(real.flatten(0, 1), size=8 // factor, mode="nearest")
    expected = F.interpolate(small, size=8, mode="bilinear", align_corners=False)
    torch.testing.assert_close(shown, expected, rtol=0, atol=0)


def test_evenly_coloured_images_come_back_as_they_were():
    real = images(8, 3, 1, 1).expand(8, 3, 6, 6).unflatten(0, (2, 4))
    shown, _, _ = tiles().expand(tiles().compose(real), torch.arange(2), torch.arange(2), "evaluate")
    torch.testing.assert_close(shown, real.flatten(0, 1))


@pytest.mark.parametrize(
    "shape, factor, fits, instead",
    [((1, 8, 8), 3, "1, 2, 4, 8", 2), ((3, 28, 28), 6, "1, 2, 4, 7, 14, 28", 7), ((3, 9, 12), 2, "1, 3", 1)],
)
def test_a_factor_that_does_not_divide_the_sides_is_refused_with_those_that_do(shape, factor, fits, instead):
    spec = DataSpec("x", shape, 1, ("a",), (0.5,) * shape[0], (0.5,) * shape[0], mirror=True)
    line = rf"formation\.factor={factor} does not divide .*: {fits}\. Type --set formation\.factor={instead}$"
    with pytest.raises(UsageError, match=line):
        tiles(factor).for_data(spec)
    fitting = tiles(instead)
    assert fitting.for_data(spec) is fitting


@pytest.mark.parametrize("factor", [0, "two"])
def test_a_factor_that_is_no_number_of_tiles_is_refused(factor):
    with pytest.raises(UsageError, match=r"formation\.factor"):
        tiles(factor)


@pytest.mark.parametrize("method", ["dm", "random"])
def test_a_run_is_refused_before_anything_is_written(method, tmp_path):
    config = configured(method, formation={"name": "tiles", "factor": 3})
    with pytest.raises(UsageError, match="does not divide the 8x8 pixels of 'digits'"):
        run(config, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_each_tile_starts_from_a_real_image_of_the_class(digits):
    config = configured(ipc=2, init={"from": "real"})
    stored, labels, group = starting_images(config, digits.train, Generators(0))
    assert stored.shape == (20, 1, 8, 8) and labels.tolist() == group.tolist() == sorted([*range(10)] * 2)
    used = set()
    for image, label in zip(stored, labels, strict=True):
        members = digits.train.members(int(label))
        pool = digits.train.take(members)[:, :, ::2, ::2]
        for tile in (image[:, i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)):
            row = (pool == tile).flatten(1).all(1).nonzero()
            assert len(row)
            used.add(int(members[row[0]]))
    assert len(used) == 80


def test_noise_fills_the_stored_images_alone(digits):
    found = [
        starting_images(configured(ipc=2, init={"from": "noise"}, formation=name), digits.train, Generators(0))[0]
        for name in ("tiles", "identity")
    ]
    assert torch.equal(*found)


@pytest.mark.parametrize("origin", [{"from": "real"}, {"from": "selector", "selector": "random"}])
def test_a_class_with_too_few_images_is_refused_with_how_many_are_needed(origin, digits):
    smallest = min(digits.train.group_sizes)
    ipc = smallest // 4 + 1
    with pytest.raises(DataError, match=rf"--ipc {ipc} asks for more images \({4 * ipc}, 4 for each with .*'tiles'\)"):
        starting_images(configured(ipc=ipc, init=origin), digits.train, Generators(0))


def test_a_selected_set_is_composed_as_a_start_is(digits):
    kept = selected_set(configured("random", ipc=2), digits)
    config = configured(ipc=2, init={"from": "selector", "selector": "random"})
    start, labels, _ = starting_images(config, digits.train, Generators(0))
    assert torch.equal(kept.images, start) and torch.equal(kept.labels, labels)
    assert kept.recipe["formation"] == {"name": "tiles"}


class Given(Selector):
    """Returns the labels it was given."""

    def select(self, real, ipc, generator):
        group = torch.arange(2).repeat_interleave(ipc)
        return Selection(torch.zeros(len(group), 1, 4, 4), self.given, group, group)


def test_soft_labels_of_a_stored_images_parts_are_averaged_and_classes_do_not_mix():
    labels = torch.arange(8) % 2
    spec = DataSpec("x", (1, 4, 4), 2, ("a", "b"), (0.5,), (0.5,), mirror=True)
    real = RealData(torch.zeros(8, 1, 4, 4), labels, spec)
    selector = Given(Given.Options())
    selector.given = torch.eye(2)[torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])]
    chosen = choose(selector, 1, real, torch.Generator(), tiles())
    assert chosen.labels.tolist() == [[0.75, 0.25], [0, 1]] and chosen.group.tolist() == [0, 1]
    assert chosen.index is None
    selector.given = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    with pytest.raises(DataError, match=r"one image of 4 real ones, and a group holds images of several classes"):
        choose(selector, 1, real, torch.Generator(), tiles())


def test_bytes_are_those_of_the_stored_images_whatever_is_made_of_them():
    spec = DataSpec("x", (3, 8, 8), 2, ("a", "b"), (0.5,) * 3, (0.5,) * 3, mirror=True)

    def size(ipc, storage, formation):
        labels = torch.arange(2).repeat_interleave(ipc)
        made = SyntheticSet(
            images=torch.zeros(len(labels), 3, 8, 8),
            labels=labels,
            group=labels,
            spec=spec,
            storage=storage,
            recipe={"formation": formation},
        )
        return made.bytes - len(made)

    one = size(1, "float32", {"name": "identity"})
    assert one == 2 * 3 * 8 * 8 * 4
    assert size(4, "uint8", {"name": "identity"}) == one
    for factor in (1, 2, 4):
        assert size(1, "float32", {"name": "tiles", "factor": factor}) == one


def test_steps_see_the_tiles_and_inner_training_their_stored_image(digits):
    parts = set_up(configured(ipc=2), digits)
    training, labels = parts.batches().synthetic(7)
    assert training.shape == (8, 1, 8, 8) and labels.tolist() == [7] * 8
    inner = parts.training_set()
    assert len(inner) == 80
    assert inner.stored.tolist() == sorted([*range(20)] * 4)


def test_a_set_of_tiles_is_distilled_stopped_continued_and_shown(tmp_path):
    whole = run(configured(ipc=1, budget={"steps": 4}), folder=tmp_path / "whole")
    run(configured(ipc=1, budget={"steps": 2}), folder=tmp_path / "parts")
    again = run(resumed_config(tmp_path / "parts", {"budget": {"steps": 4}}), folder=tmp_path / "parts", resume=True)
    assert torch.equal(again.synthetic.images, whole.synthetic.images)
    assert again.rows[0].accuracies == whole.rows[0].accuracies
    stored = SyntheticSet.load(tmp_path / "whole")
    assert stored.recipe["formation"] == {"name": "tiles"} and len(stored) == 10
    assert stored.bytes == 10 * 64 * 4 + 10 and whole.rows[0].images == 10
    assert (tmp_path / "whole" / "preview.png").exists()
    assert "formation <b>tiles</b>: <b>40</b> images to train on" in (tmp_path / "whole" / "report.html").read_text(
        encoding="utf-8"
    )
