"""What all spaces share, on a space of three choices: half of its genomes are networks, a third of which are equal."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.options import Options
from limbeck.seeding import generator
from limbeck.testing.randomness import moved_generators
from limbeck_applications.nas.space import Gene, SearchSpace

SPEC = DataSpec("some", (1, 4, 4), 3, ("a", "b", "c"), (0.5,), (0.5,), False)


class Pools(SearchSpace):
    """Linear networks after some poolings; a pooling of a pooling of one pixel is none."""

    class Options(Options):
        """Nothing."""

    name = "pools"
    most = 3

    def genes(self):
        return Gene("pools", tuple(range(self.most + 1))), Gene("kind", ("avg", "max")), Gene("bias", (True, False))

    def canonical(self, genome):
        pools, kind, bias = genome
        if bias and kind:
            raise UsageError("max has a bias.")
        return (pools, kind if pools else 0, bias)

    def build(self, architecture, shape, num_classes):
        found = self.values(architecture.genome)
        pool = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}[found["kind"]]
        side = shape[1] // 2 ** found["pools"]
        layers = [pool(2) for _ in range(found["pools"])]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(shape[0] * side * side, num_classes, found["bias"]))


@pytest.fixture
def pools():
    return Pools(Pools.Options())


def test_a_genome_is_decoded_to_the_one_that_stands_for_it(pools):
    assert pools.decode([0, 1, 0]).genome == (0, 0, 0)
    one = pools.decode([2, 1, 0])
    assert (one.name, one.traits) == ("2-max-True", {"pools": "2", "kind": "max", "bias": "True"})
    assert pools.encode(one) == (2, 1, 0) and pools.decode(pools.encode(one)) == one
    assert pools.first().name == "0-avg-True" and pools.size == 16


def test_all_are_gone_through_once_in_the_order_of_their_genomes(pools):
    genomes = [each.genome for each in pools.all()]
    assert genomes == sorted(set(genomes))
    assert len(genomes) == 2 + 3 * 3  # of no pooling the kind says nothing, and max has no second value of bias
    assert all(pools.find(each.name) == each for each in pools.all())


@pytest.mark.parametrize(
    ("genome", "said"),
    [
        ([0, 0], "pools has 3 genes, but the genome has 2."),
        ([0, 0, 0, 0], "pools has 3 genes, but the genome has 4."),
        ([4, 0, 0], "gene 'pools' of pools is 4: give 0 to 3, for 0, 1, 2, 3."),
        ([0, -1, 0], "gene 'kind' of pools is -1: give 0 to 1, for avg, max."),
        ([1, 1, 1], "max has a bias."),
    ],
)
def test_genomes_of_nothing_are_refused(pools, genome, said):
    with pytest.raises(UsageError) as refused:
        pools.decode(genome)
    assert str(refused.value) == said


def test_names_of_nothing_are_refused_with_one_that_is(pools):
    with pytest.raises(UsageError, match="'2-min-True' is no architecture of pools; one is named like '0-avg-True'"):
        pools.find("2-min-True")


def test_a_space_too_large_to_go_through_says_what_to_do(pools, monkeypatch):
    monkeypatch.setattr("limbeck_applications.nas.space.LISTED", 15)
    with pytest.raises(UsageError, match=r"pools has 16 architectures, too many.*\(at most 15\).*--sample"):
        next(pools.all())


def test_neighbours_differ_in_one_gene(pools):
    near = pools.neighbours(pools.decode([2, 0, 0]))
    assert [each.name for each in near] == ["0-avg-True", "1-avg-True", "3-avg-True", "2-max-True", "2-avg-False"]
    assert [each.name for each in pools.neighbours(pools.decode([1, 1, 0]))] == [
        "0-avg-True", "2-max-True", "3-max-True", "1-avg-True"
    ]  # fmt: skip


def test_genomes_are_drawn_with_equal_chance(pools):
    chance = generator(0, "test")
    drawn = Counter(pools.sample(chance).genome for _ in range(1200))
    assert drawn.keys() == {each.genome for each in pools.all()}
    expected = {genome: 100 * (1 + (genome == (0, 0, 0))) for genome in drawn}  # of 12 genomes that are networks
    assert all(abs(drawn[genome] - expected[genome]) < 45 for genome in drawn)


def test_a_draw_belongs_to_its_generator(pools):
    with moved_generators() as moved:
        one, two = ([pools.sample(generator(3, "test"), SPEC) for _ in range(3)] for _ in range(2))
    assert one == two and moved == []


def test_what_does_not_fit_is_refused_at_sampling(pools):
    chance = generator(0, "test")
    assert {pools.sample(chance, SPEC).traits["pools"] for _ in range(60)} == {"0", "1", "2"}
    with pytest.raises(UsageError, match=r"architecture '3-avg-True' does not fit images of 1x4x4"):
        pools.cost(pools.decode([3, 0, 0]), SPEC)


@pytest.mark.parametrize(("depth", "fits"), [("1", True), ("2", True), ("3", False)])
def test_convnets_of_many_poolings_do_not_fit_small_images(space, depth, fits):
    architectures = [each for each in space.all() if each.traits["depth"] == depth][:4]
    for each in architectures:
        if fits:
            assert space.cost(each, SPEC).parameters > 0
        else:
            with pytest.raises(UsageError, match=rf"'{each.name}' does not fit images of 1x4x4"):
                space.cost(each, SPEC)
    chance = generator(0, "test")
    assert all(space.sample(chance, SPEC).traits["depth"] != "3" for _ in range(12))


def test_a_space_of_which_nothing_fits_says_what_stood_in_the_way(pools):
    tiny = DataSpec("some", (1, 0, 0), 3, ("a", "b", "c"), (0.5,), (0.5,), False)
    pools.canonical = lambda genome: genome
    pools.build = lambda *_: nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(UsageError, match=r"none of 200 architectures drawn from pools fits; the last one: .* 1x0x0"):
        pools.sample(generator(0, "test"), tiny)


def test_what_is_drawn_on_pages_are_its_layers(pools):
    with moved_generators() as moved:
        (drawing,) = pools.drawing(pools.decode([1, 0, 0]))
    assert moved == [] and torch.get_default_device().type == "cpu"
    assert drawing.title == "layers" and len(drawing.nodes) >= 2
