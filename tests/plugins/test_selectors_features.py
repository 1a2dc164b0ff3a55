"""Selectors that compare images by features: each against a slow version of what its paper states."""

import warnings
from itertools import combinations

import pytest
import torch

from limbeck.data import DataSpec, RealData
from limbeck.errors import DataError
from limbeck.features import trained_features
from limbeck.plugins import registry
from limbeck.seeding import derive_seed, generator

SPEC = DataSpec("blobs", (1, 4, 4), 3, ("a", "b", "c"), (0.5,), (0.25,), True)
COMPARING = ("herding", "k_center", "k_means")
ALL = (*COMPARING, "forgetting")
TINY = {"network": "convnet-d1-w4-in", "epochs": 2, "batch_size": 16}
PIXELS = {"features": "pixels"}


def blobs(size=60, seed=0):
    """Noise around one picture for each class."""
    chance = generator(seed, "blobs")
    labels = torch.arange(size) % 3
    pictures = torch.rand(3, 1, 4, 4, generator=chance)
    return RealData(0.5 * pictures[labels] + 0.5 * torch.rand(size, 1, 4, 4, generator=chance), labels, SPEC)


@pytest.fixture
def real():
    return blobs()


def make(name, **options):
    return registry().create("selectors", {"name": name, **options})


def select(name, real, ipc=4, seed=0, **options):
    return make(name, **options).select(real, ipc, torch.Generator().manual_seed(seed))


def choose(name, features, ipc, seed=0, **options):
    return make(name, **options).choose(features, ipc, seed).tolist()


def points(count, width=5, seed=0):
    return torch.randn(count, width, generator=generator(seed, "points"))


def settings(name):
    return [TINY] if name == "forgetting" else [TINY, PIXELS]


EVERY = [pytest.param(name, options, id=f"{name}-{len(options)}") for name in ALL for options in settings(name)]


@pytest.mark.parametrize("name, options", EVERY)
def test_each_group_gives_distinct_images_of_its_own(real, name, options):
    chosen = select(name, real, **options)
    assert chosen.group.tolist() == chosen.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert real.labels[chosen.index].equal(chosen.labels)
    assert len(set(chosen.index.tolist())) == 12
    assert chosen.images.equal(real.take(chosen.index))


@pytest.mark.parametrize("name, options", EVERY)
def test_the_order_of_the_real_images_does_not_count(real, name, options):
    order = torch.randperm(len(real), generator=generator(5, "order"))
    assert select(name, real.subset(order), **options).images.equal(select(name, real, **options).images)


@pytest.mark.parametrize("name, options", EVERY)
def test_the_same_generator_gives_the_same_choice(real, name, options):
    state = torch.get_rng_state()
    assert select(name, real, **options).index.equal(select(name, real, **options).index)
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("name", ALL)
def test_another_seed_trains_another_network(real, name):
    assert select(name, real, seed=0, **TINY).index.tolist() != select(name, real, seed=1, **TINY).index.tolist()


@pytest.mark.parametrize("name", COMPARING)
def test_groups_are_independent(real, name):
    images = real.images.clone()
    images[real.labels == 0] = 255 - images[real.labels == 0]
    changed = select(name, RealData(images, real.labels, SPEC), **PIXELS)
    before = select(name, real, **PIXELS)
    assert changed.index[4:].equal(before.index[4:])


@pytest.mark.parametrize("name", ALL)
def test_groups_need_not_be_classes(real, name):
    halves = RealData(real.images, real.labels, SPEC, group=torch.arange(60) // 30)
    chosen = select(name, halves, **TINY)
    assert chosen.group.tolist() == [0] * 4 + [1] * 4
    assert (chosen.index // 30).equal(chosen.group)


@pytest.mark.parametrize("name", ALL)
def test_a_class_that_is_too_small_is_refused_before_anything_is_trained(real, name):
    selector = make(name)
    selector.on_epoch = lambda *_: pytest.fail("a network was trained")
    with pytest.raises(DataError, match=r"class 0 \('a'\) of 'blobs' has 20 training images, but ipc is 21"):
        selector.select(real, 21, torch.Generator())


@pytest.mark.parametrize("name", ALL)
def test_a_whole_class_can_be_asked_for(real, name):
    assert sorted(select(name, real, ipc=20, **TINY).index.tolist()) == list(range(60))


@pytest.mark.parametrize("name", ALL)
def test_the_choice_says_what_its_features_come_from(real, name):
    assert select(name, real, **TINY).features == "convnet-d1-w4-in, 2 epochs"
    if name in COMPARING:
        assert select(name, real, **PIXELS).features == "pixels"


@pytest.mark.parametrize("name", ALL)
def test_selectors_share_a_network_through_the_cache(real, name, tmp_path):
    first = make("herding", **TINY)
    first.cache = tmp_path
    assert first.select(real, 2, torch.Generator().manual_seed(0)).spared == 0
    told, selector = [], make(name, **TINY)
    selector.cache, selector.on_epoch = tmp_path, lambda *news: told.append(news)
    chosen = selector.select(real, 2, torch.Generator().manual_seed(0))
    assert told == []
    assert chosen.spared > 0
    assert chosen.index.equal(select(name, real, ipc=2, **TINY).index)


def test_progress_reaches_the_caller(real):
    told, selector = [], make("k_center", **TINY)
    selector.on_epoch = lambda *news: told.append(news)
    selector.select(real, 1, torch.Generator())
    assert told == [(1, 2), (2, 2)]


def test_embeddings_and_pixels_differ(real):
    assert select("herding", real, **TINY).index.tolist() != select("herding", real, **PIXELS).index.tolist()


def slow_herding(features, ipc):
    """Equation 4 of arXiv:1611.07725, word for word."""
    mean, chosen = features.mean(0), []
    for k in range(1, ipc + 1):
        gaps = [
            torch.inf if row in chosen else float((mean - (features[row] + features[chosen].sum(0)) / k).norm())
            for row in range(len(features))
        ]
        chosen.append(min(range(len(features)), key=gaps.__getitem__))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_herding_takes_the_images_of_its_equation(seed):
    features = points(40, seed=seed) + 100.0
    assert choose("herding", features, 12) == slow_herding(features.double(), 12)


def test_herding_keeps_the_mean_nearer_than_chance():
    features = points(300)
    mean = features.mean(0)
    ours = (features[choose("herding", features, 10)].mean(0) - mean).norm()
    chance = generator(0, "chance")
    others = [(features[torch.randperm(300, generator=chance)[:10]].mean(0) - mean).norm().item() for _ in range(200)]
    assert ours < min(others)


def test_herding_starts_nearest_to_the_mean_and_not_farthest():
    features = points(30)
    gaps = (features - features.mean(0)).norm(dim=1)
    assert choose("herding", features, 1) == [int(gaps.argmin())]


def slow_farthest_first(features, ipc):
    """Algorithm 1 of arXiv:1708.00489 from the point nearest to the mean, by whole tables of distances."""
    table = torch.cdist(features, features)
    chosen = [int((features - features.mean(0)).norm(dim=1).argmin())]
    while len(chosen) < ipc:
        chosen.append(int(table[:, chosen].min(1).values.argmax()))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_k_center_takes_the_farthest_first(seed):
    features = points(40, seed=seed)
    assert choose("k_center", features, 12) == slow_farthest_first(features.double(), 12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ipc", [2, 3])
def test_k_center_covers_within_twice_the_smallest_radius(seed, ipc):
    features = points(11, width=2, seed=seed)
    table = torch.cdist(features.double(), features.double())

    def radius(centres):
        return float(table[:, list(centres)].min(1).values.max())

    best = min(radius(centres) for centres in combinations(range(11), ipc))
    assert best <= radius(choose("k_center", features, ipc)) <= 2 * best + 1e-12


def test_k_center_covers_better_than_herding():
    features = points(300, width=2)
    table = torch.cdist(features, features)
    radius = {name: table[:, choose(name, features, 10)].min(1).values.max() for name in ("herding", "k_center")}
    assert radius["k_center"] < radius["herding"]


def clusters(sizes, width=3):
    """Tight clusters far apart; the rows of cluster i start after those of the clusters before it."""
    centres = 100 * torch.eye(len(sizes), width)
    return torch.cat([centres[i] + points(size, width, seed=i) for i, size in enumerate(sizes)])


def test_k_means_takes_the_image_nearest_to_each_centre():
    sizes = (5, 9, 14)
    features, expected = clusters(sizes), set()
    for first, size in zip((0, 5, 14), sizes, strict=True):
        own = features[first : first + size].double()
        expected.add(first + int((own - own.mean(0)).norm(dim=1).argmin()))
    assert set(choose("k_means", features, 3)) == expected


def test_k_means_of_one_is_nearest_to_the_mean():
    features = points(30)
    assert choose("k_means", features, 1) == choose("herding", features, 1)


def test_no_image_stands_for_two_centres():
    from limbeck_plugins.selectors.k_means import nearest_rows

    gaps = torch.tensor([[1.0, 5.0, 9.0], [0.5, 4.0, 8.0], [0.7, 6.0, 7.0]])
    assert nearest_rows(gaps).tolist() == [1, 0, 2]


@pytest.mark.parametrize("seed", range(10))
def test_every_centre_has_its_nearest_image_where_these_differ(seed):
    from limbeck_plugins.selectors.k_means import nearest_rows

    gaps = torch.rand(4, 40, generator=generator(seed, "gaps"))
    rows, nearest = nearest_rows(gaps), gaps.argmin(1)
    assert len(set(rows.tolist())) == 4
    if len(set(nearest.tolist())) == 4:
        assert rows.equal(nearest)
    first = gaps.argmin()
    assert rows[first // 40] == first % 40


@pytest.mark.parametrize("name", COMPARING)
def test_copies_are_taken_only_when_nothing_else_is_left(name):
    features = torch.cat([points(3), points(3), points(3)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = choose(name, features, 6)
    assert len(set(rows)) == 6
    if name != "herding":
        assert {row % 3 for row in rows} == {0, 1, 2}
    assert sorted(choose(name, torch.zeros(4, 2), 4)) == [0, 1, 2, 3]


def test_k_means_depends_on_its_seed_alone():
    features = points(200)
    found = {tuple(choose("k_means", features, 20, seed, starts=1)) for seed in (0, 0, 0, 1, 2, 2)}
    assert len(found) == 3


def test_more_starts_never_cluster_worse():
    from limbeck_plugins.selectors.k_means import cluster_centres

    features = points(200).double()
    spread = [
        float(torch.cdist(features, cluster_centres(features, 20, starts, 0)).min(1).values.square().sum())
        for starts in (1, 10)
    ]
    assert spread[1] <= spread[0]


def test_forgetting_takes_those_forgotten_most(real):
    chosen = select("forgetting", real, ipc=5, seed=4, **TINY | {"epochs": 6})
    first = int(torch.randint(2**62, (1,), generator=torch.Generator().manual_seed(4)))
    options = make("forgetting", **TINY | {"epochs": 6}).options
    counts = trained_features(real, options, derive_seed(first, "features")).forgotten
    assert len(counts.unique()) > 2
    for group in range(3):
        taken, members = chosen.index[chosen.group == group], real.members(group)
        assert counts[taken].tolist() == counts[members].sort(descending=True).values[:5].tolist()


def test_equally_forgotten_images_are_drawn_by_lot():
    blank = RealData(torch.arange(60, dtype=torch.uint8).repeat_interleave(16).view(60, 1, 4, 4), blobs().labels, SPEC)
    easy = {**TINY, "lr": 1e-30}
    firsts = {tuple(select("forgetting", blank, ipc=2, seed=seed, **easy).index.tolist()) for seed in range(6)}
    assert len(firsts) == 6


def test_thousands_of_images_need_no_table_of_all_pairs():
    features = torch.randn(20000, 8, generator=generator(0, "many"))
    for name in ("herding", "k_center"):
        assert len(set(choose(name, features, 20))) == 20
