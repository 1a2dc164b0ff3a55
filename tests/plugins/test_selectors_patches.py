"""RDED's selector against a slow version of what its paper states: crops, judged one by one, ranked and tiled."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import functional as vision

from limbeck.data import DataSpec, RealData
from limbeck.errors import DataError, UsageError
from limbeck.features import TrainedFeatures, members_by_content
from limbeck.plugins import registry
from limbeck.seeding import derive_seed, generator
from limbeck_plugins.selectors.patches import Patches, random_boxes, tiled

SHAPE = (2, 12, 12)
SPEC = DataSpec("blobs", SHAPE, 3, ("a", "b", "c"), (0.5, 0.4), (0.25, 0.5), True)
TINY = {"network": "convnet-d1-w4-in", "epochs": 1, "batch_size": 16, "candidates": 16, "crops": 3}


def blobs(size=60, seed=0, shape=SHAPE):
    chance = generator(seed, "blobs")
    labels = torch.arange(size) % 3
    pixels = torch.randint(0, 256, (size, *shape), generator=chance, dtype=torch.uint8)
    return RealData(pixels, labels, DataSpec("blobs", shape, 3, SPEC.class_names, SPEC.mean, SPEC.std, True))


@pytest.fixture
def real():
    return blobs()


class Judge:
    """Stands for a trained network: logits are a linear function of the whole canvas, or always the same."""

    dtype = torch.float32

    def __init__(self, constant=False):
        size = SHAPE[0] * SHAPE[1] * SHAPE[2]
        self.weights = torch.zeros(size, 3) if constant else torch.randn(size, 3, generator=generator(1, "judge"))
        self.largest = 0

    def __call__(self, state, images, *, train):
        assert not train and images.shape[1:] == SHAPE
        self.largest = max(self.largest, len(images))
        return images.flatten(1) @ self.weights / 10


@pytest.fixture
def judged(monkeypatch):
    """Choose with a judge in the observer's place."""

    def choose(real, judge, ipc=2, seed=0, **options):
        observer = TrainedFeatures(judge, {}, torch.zeros(len(real)), seconds=3.0)
        monkeypatch.setattr(Patches, "trained", lambda *_: observer)
        return make(**options).select(real, ipc, torch.Generator().manual_seed(seed))

    return choose


def make(**options):
    return registry().create("selectors", {"name": "patches", **TINY, **options})


def drawn(real, group, count, crops, scale=(0.08, 1.0), seed=0):
    """The images and rectangles that the selector draws for a group: [(image, [(top, left, height, width)])]."""
    first = int(torch.randint(2**62, (1,), generator=torch.Generator().manual_seed(seed)))
    chance = generator(derive_seed(first, "group", group))
    members = members_by_content(real)[group]
    index = members[torch.randperm(len(members), generator=chance)[:count]].tolist()
    boxes = random_boxes(torch.rand(len(index) * crops, 3, generator=chance), real.spec.shape[1:], scale)
    places = list(zip(*(side.tolist() for side in vars(boxes).values()), strict=True))
    return [(image, places[i * crops : (i + 1) * crops]) for i, image in enumerate(index)]


def slow(real, judge, ipc, factor, count, crops):
    """One crop after the other, with torchvision's resizing of a crop."""
    side, images = SHAPE[1] // factor, []
    margin = (SHAPE[1] - side) // 2
    for group in range(3):
        best = []
        for image, places in drawn(real, group, count, crops):
            whole = real.take(torch.tensor([image]))
            cut = [vision.resized_crop(whole, *place, [side, side], antialias=True) for place in places]
            canvas = torch.zeros(len(cut), *SHAPE)
            canvas[:, :, margin : margin + side, margin : margin + side] = torch.cat(cut)
            losses = -judge({}, canvas, train=False).log_softmax(1)[:, group]
            best.append((losses.min().item(), cut[int(losses.argmin())][0]))
        crop = [each for _, each in sorted(best, key=lambda pair: pair[0])][: ipc * factor**2]
        for number in range(ipc):
            rows = [torch.cat([crop[(i * factor + j) * ipc + number] for j in range(factor)], 2) for i in range(factor)]
            images.append(torch.cat(rows, 1))
    return torch.stack(images)


@pytest.mark.parametrize(("factor", "crops"), [(1, 3), (2, 3), (3, 1)])
def test_it_is_what_the_paper_states(real, judged, factor, crops):
    judge = Judge()
    chosen = judged(real, judge, factor=factor, crops=crops, candidates=18)
    torch.testing.assert_close(chosen.images, slow(real, judge, 2, factor, 18, crops), rtol=0, atol=2e-5)
    assert chosen.labels.tolist() == chosen.group.tolist() == [0, 0, 1, 1, 2, 2]
    assert chosen.index is None
    assert (chosen.features, chosen.features_seconds) == ("convnet-d1-w4-in, 1 epoch", 3.0)


def test_the_easiest_come_first(real, judged):
    judge = Judge()
    chosen = judged(real, judge, ipc=5, candidates=20)
    losses = F.cross_entropy(judge({}, chosen.images, train=False), chosen.labels, reduction="none").view(3, 5)
    assert losses.diff(dim=1).min() >= 0
    more = judged(real, judge, ipc=9, candidates=20).images.view(3, 9, *SHAPE)
    assert more[:, :5].equal(chosen.images.view(3, 5, *SHAPE))


def test_an_observer_without_opinion_keeps_the_first_crop_of_the_first_images(real, judged):
    chosen = judged(real, Judge(constant=True), ipc=3)
    expected = [
        vision.resized_crop(real.take(torch.tensor([image])), *places[0], [12, 12], antialias=True)
        for group in range(3)
        for image, places in drawn(real, group, 16, 3)[:3]
    ]
    torch.testing.assert_close(chosen.images, torch.cat(expected), rtol=0, atol=2e-5)


def test_each_image_gives_one_crop_at_most(real, judged):
    """Crops that are whole images are those images, and none comes twice."""
    chosen = judged(real, Judge(), ipc=10, scale=[1.0, 1.0])
    for group in range(3):
        members = real.take(real.members(group))
        found = torch.cdist(chosen.images[chosen.group == group].flatten(1), members.flatten(1))
        assert found.min(1).values.max() < 1e-3
        assert len(set(found.argmin(1).tolist())) == 10


def test_more_candidates_and_more_crops_are_easier(real, judged):
    judge = Judge()

    def loss(**options):
        chosen = judged(real, judge, ipc=2, **options)
        return F.cross_entropy(judge({}, chosen.images, train=False), chosen.labels).item()

    assert loss(candidates=20, crops=8) < loss(candidates=20, crops=1) < loss(candidates=2, crops=1)


def test_crops_are_judged_in_parts(judged, monkeypatch):
    real, judge = blobs(90), Judge()
    whole = judged(real, judge, candidates=30, crops=5)
    assert judge.largest == 150
    monkeypatch.setattr("limbeck_plugins.selectors.patches.CHUNK", 7)
    judge.largest = 0
    torch.testing.assert_close(judged(real, judge, candidates=30, crops=5).images, whole.images)
    assert judge.largest == 7


def test_a_small_class_gives_all_it_has(judged):
    real = blobs(30)
    assert judged(real, Judge(), candidates=300).images.equal(judged(real, Judge(), candidates=10).images)


def test_the_generator_alone_decides(real):
    state = torch.get_rng_state()
    first, again, other = (make().select(real, 2, torch.Generator().manual_seed(seed)).images for seed in (0, 0, 1))
    assert first.equal(again) and not first.equal(other)
    assert torch.get_rng_state().equal(state)


def test_the_order_of_the_real_images_does_not_count(real):
    order = torch.randperm(len(real), generator=generator(5, "order"))
    chosen = [make().select(each, 2, torch.Generator().manual_seed(0)).images for each in (real, real.subset(order))]
    torch.testing.assert_close(*chosen, rtol=0, atol=1e-6)


def test_the_observer_is_kept_and_shared_with_other_selectors(real, tmp_path):
    training = {key: TINY[key] for key in ("network", "epochs", "batch_size")}
    first, second = make(), registry().create("selectors", {"name": "herding", **training})
    first.cache = second.cache = tmp_path
    assert first.select(real, 2, torch.Generator().manual_seed(0)).spared == 0
    found = second.select(real, 2, torch.Generator().manual_seed(0))
    assert found.spared == found.features_seconds > 0


def test_the_share_of_the_area_is_uniform_and_the_shape_the_images():
    u = torch.rand(4000, 3, generator=generator(0, "u"))
    boxes = random_boxes(u, (40, 80), (0.25, 1.0))
    share = (boxes.height * boxes.width).double() / 3200
    assert share.min() > 0.24 and share.max() <= 1
    torch.testing.assert_close(
        share.quantile(torch.tensor([0.25, 0.5, 0.75]).double()).tolist(), [0.44, 0.625, 0.81], rtol=0, atol=0.03
    )
    assert ((boxes.width - 2 * boxes.height).abs() <= 1).all()
    assert (boxes.top >= 0).all() and (boxes.top + boxes.height <= 40).all()
    assert (boxes.left >= 0).all() and (boxes.left + boxes.width <= 80).all()
    assert (boxes.left + boxes.width == 80).any() and (boxes.left == 0).any()


def test_tiles_stand_in_reading_order():
    crops = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 2, 3)
    images = tiled(crops, 2)
    assert images.shape == (2, 1, 4, 6)
    assert images[:, 0, ::2, ::3].tolist() == [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]


@pytest.mark.parametrize(
    ("options", "ipc", "error", "message"),
    [
        ({"factor": 5}, 1, UsageError, "5 x 5 crops into images of 12x12.*1, 2, 3, 4 would.*selector.factor=4"),
        ({"factor": 13}, 1, UsageError, "1, 2, 3, 4, 6, 12 would.*selector.factor=12"),
        ({"candidates": 7, "factor": 2}, 2, UsageError, "takes 8 crops.*looks at 7 images.*selector.candidates=8"),
        ({"candidates": 99, "factor": 2}, 6, DataError, "takes 24 crops.*has 20 images.*selector.factor=1"),
        ({"candidates": 99}, 21, DataError, "20 training images, but ipc is 21"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(real, monkeypatch, options, ipc, error, message):
    monkeypatch.setattr(Patches, "trained", lambda *_: pytest.fail("a network was trained"))
    with pytest.raises(error, match=message) as caught:
        make(**options).select(real, ipc, torch.Generator())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"factor": 0},
        {"crops": 0},
        {"candidates": 0},
        {"scale": [0.0, 1.0]},
        {"scale": [0.6, 0.5]},
        {"scale": [0.5, 1.1]},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        make(**options)
