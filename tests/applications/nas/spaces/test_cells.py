"""Cells: sums have no order, cells hand on what nothing reads, and operations keep or halve what they see."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck_applications.nas.spaces.cell_network import Wiring, inputs, loose_ends, reaching
from limbeck_applications.nas.spaces.cell_operations import OPERATIONS, Halved


def cells(**options):
    return registry().create("nas_spaces", {"name": "cells", **options})


def built(space, name, shape=(1, 8, 8), classes=3):
    return space.build(space.find(name), shape, classes)


def test_the_genome_has_32_integers_and_ten_operations():
    genes = cells().genes()
    assert len(genes) == 32
    assert {len(gene.values) for gene in genes[::2]} == {10}
    assert [len(gene.values) for gene in genes[1::2]] == [2, 2, 3, 3, 4, 4, 5, 5] * 2


def test_the_order_of_a_nodes_pairs_makes_no_other_architecture():
    space = cells(nodes=2)
    one = space.decode([3, 1, 0, 0, 2, 2, 1, 0] * 2)
    assert one == space.decode([0, 0, 3, 1, 1, 0, 2, 2] * 2)
    assert one.name == "m0s1-a0k2_m0s1-a0k2"
    assert one == space.find("s1m0-a0k2_m0s1-k2a0")
    assert one != space.decode([3, 0, 0, 1, 2, 2, 1, 0] * 2)


def test_sums_are_of_the_operations_that_a_name_says():
    space = cells(nodes=1, channels=2)
    network = FunctionalNetwork(built(space, "k0k1_m0a1"), (1, 8, 8), dtype=torch.float64)
    chance = torch.Generator().manual_seed(0)
    state, images = network.initial(chance), torch.randn(2, 1, 8, 8, generator=chance, dtype=torch.float64)
    taps = [
        "stem",
        "cells.0",
        "cells.0.inputs.0",
        "cells.0.inputs.1",
        "cells.1",
        "cells.1.inputs.0",
        "cells.1.inputs.1",
    ]
    found = network.features(state, images, taps)
    assert torch.equal(found["cells.0"], found["cells.0.inputs.0"] + found["cells.0.inputs.1"])
    pooled = nn.functional.max_pool2d(found["cells.1.inputs.0"], 3, 2, 1)
    pooled += nn.functional.avg_pool2d(found["cells.1.inputs.1"], 3, 2, 1, count_include_pad=False)
    assert torch.allclose(found["cells.1"], pooled, rtol=0, atol=1e-12)
    assert [tuple(found[name].shape[1:]) for name in ("stem", "cells.0", "cells.1")] == [
        (6, 8, 8),
        (2, 8, 8),
        (4, 4, 4),
    ]


@pytest.mark.parametrize(
    ("number", "reductions"), [(3, [1, 2]), (4, [1, 2]), (6, [2, 4]), (8, [2, 5]), (20, [6, 13])], ids=str
)
def test_reductions_stand_at_one_and_two_thirds_and_double_channels(number, reductions):
    space = cells(nodes=1, channels=2, cells=number)
    module = built(space, "k0k1_k0k1")
    maps = torch.zeros(2, 1, 8, 8)
    sizes = []
    for cell in module.cells.values():
        cell.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    module(maps)
    passed = [sum(place >= each for each in reductions) for place in range(number)]
    assert sizes == [(2 * 2**each, 8 // 2**each, 8 // 2**each) for each in passed]


def test_a_cell_hands_on_what_no_node_reads_or_all_where_asked():
    nodes = ((("skip", 0), ("skip", 1)), (("skip", 2), ("skip", 1)), (("skip", 0), ("skip", 0)))
    assert loose_ends(nodes) == (3, 4)
    for output, number in (("unused", 2), ("all", 3)):
        module = built(cells(nodes=3, channels=2, output=output), "k0k1-k1k2-k0k0_k0k1-k1k2-k0k0")
        assert module.classifier.in_features == number * 8


def test_a_cell_that_nothing_reads_is_not_built():
    space = cells(nodes=1, channels=2)
    assert list(built(space, "s0s1_s0s0").cells) == ["0", "2"]
    assert list(built(space, "s0s1_s1s1").cells) == ["0", "1", "2"]
    assert list(built(space, "s1s1_s0s1").cells) == ["0", "1", "2"]
    skips = Wiring(((("skip", 0), ("skip", 0)),), (2,))
    assert inputs(skips.nodes) == {0}
    assert reaching([skips] * 5) == {0, 2, 4}


@pytest.mark.parametrize(("name", "stride", "size"), list(itertools.product(OPERATIONS, (1, 2), (2, 5, 8))))
def test_operations_keep_channels_and_keep_or_halve_maps(name, stride, size):
    maps = torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(0))
    before = maps.clone()
    out = OPERATIONS[name][1](4, stride)(maps)
    assert out.shape == (2, 4, -(-size // stride), -(-size // stride))
    assert torch.equal(maps, before)


def test_letters_of_operations_differ():
    assert len({letter for letter, _ in OPERATIONS.values()}) == 10


@pytest.mark.parametrize("size", [8, 7])
def test_halving_sees_every_other_pixel_from_both_ends(size):
    halved = Halved(1, 2)
    halved.norm = nn.Identity()
    for conv in (halved.even, halved.odd):
        nn.init.ones_(conv.weight)
    maps = torch.arange(1.0, size * size + 1).view(1, 1, size, size)
    even, odd = halved(maps)[0]
    assert torch.equal(even, maps[0, 0, ::2, ::2])
    whole = size // 2
    assert torch.equal(odd[:whole, :whole], maps[0, 0, 1::2, 1::2])
    assert not odd[whole:].any() and not odd[:, whole:].any()


def test_parameters_are_counted_by_hand():
    space = cells(nodes=1, channels=4)
    stem, head = 12 * 9 + 2 * 12, 16 * 3 + 3
    first = 2 * (12 * 4 + 8) + (4 * 9 + 16 + 8)  # both inputs read the stem; a dilated convolution, and a skip
    second = (12 * 8 + 16) + (4 * 8 + 16)  # pools alone
    third = (4 * 16 + 32) + (8 * 16 + 32)
    expected = stem + head + first + second + third
    assert sum(each.numel() for each in built(space, "k0d1_m0a1").parameters()) == expected


def test_what_is_drawn_has_the_operations_on_its_arrows():
    space = cells(nodes=2)
    normal, reduction = space.drawing(space.find("m0m0-s0k2_m1s1-a0d1"))
    assert (normal.title, reduction.title) == ("normal cell", "reduction cell")
    assert [node.name for node in normal.nodes] == ["0", "2", "3", "output"]
    assert [(edge.start, edge.end, edge.label) for edge in normal.edges] == [
        ("0", "2", "max pool 3"),
        ("0", "2", "max pool 3"),
        ("2", "3", "skip"),
        ("0", "3", "sep conv 3"),
        ("3", "output", ""),
    ]
    assert normal.ranks() == {"0": 0, "2": 1, "3": 2, "output": 3}
    assert reduction.ranks() == {"0": 0, "1": 0, "2": 1, "3": 1, "output": 2}


def test_options_that_cannot_be_are_refused():
    for options in ({"channels": 3}, {"cells": 2}, {"nodes": 8}, {"output": "some"}):
        with pytest.raises(UsageError, match=next(iter(options))):
            cells(**options)
