"""NAS-Bench-201: names, counts and sizes are those that the benchmark publishes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from limbeck.errors import DataError, UsageError
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry

RESNET = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
EMPTY = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def nb201(**options):
    return registry().create("nas_spaces", {"name": "nb201", **options})


def test_names_are_those_of_the_benchmark():
    space = nb201()
    assert space.size == 15625
    assert space.find(RESNET).genome == (3, 3, 4, 1, 3, 1)
    assert space.first().name == EMPTY


def test_parameters_and_operations_span_what_the_benchmark_publishes():
    # 0.073306 to 1.531546 million parameters, 7.78305 to 220.11969 million multiplications with additions, the last
    # layer's ten biases among them
    space = nb201(cells=5)
    for genome, parameters, products in (((0,) * 6, 73306, 7.78305e6), ((3,) * 6, 1531546, 220.11969e6)):
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counted:
            module = space.build(space.decode(genome), (3, 32, 32), 10).eval()
            module(torch.empty(1, 3, 32, 32))
        assert sum(each.numel() for each in module.parameters()) == parameters
        assert counted.get_total_flops() / 2 + 10 == pytest.approx(products, abs=5)


def test_cells_that_compute_the_same_are_as_many_as_published():
    space = nb201(isomorphic=True)
    found = list(space.all())
    assert len(found) == 6466
    assert all(space.find(each.name) == each for each in found[::500])


def test_skips_and_zeros_are_worked_out_where_asked():
    merged, plain = nb201(isomorphic=True), nb201()
    through = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
    direct = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    assert plain.find(through) != plain.find(direct)
    assert merged.find(through).genome != merged.find(EMPTY).genome
    dead = "|avg_pool_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert merged.find(dead) == merged.find(EMPTY)


def test_cells_of_one_kind_compute_the_same():
    plain, merged = nb201(channels=4), nb201(channels=4, isomorphic=True)
    chance = torch.Generator().manual_seed(2)
    images = torch.randn(3, 1, 8, 8, generator=chance, dtype=torch.float64)
    pools = [own for own in itertools.product((0, 1, 4), repeat=6) if merged.decode(own).genome != own][::40]
    assert len(pools) > 5
    for own in pools:  # without convolutions, so that both have the same weights
        outputs = []
        for genome in (own, merged.decode(own).genome):
            module = plain.build(plain.decode(genome), (1, 8, 8), 3)
            network = FunctionalNetwork(module, (1, 8, 8), dtype=torch.float64)
            outputs.append(network(network.initial(torch.Generator().manual_seed(1)), images))
        assert torch.allclose(*outputs, rtol=0, atol=1e-10), own


def test_a_cell_of_skips_multiplies_by_the_number_of_ways():
    space = nb201(channels=2)
    cell = space.build(space.decode([1] * 6), (1, 8, 8), 3).features[2]
    maps = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(cell(maps), 4 * maps)
    nothing = space.build(space.first(), (1, 8, 8), 3).features[2]
    assert not nothing(maps).any()


def test_what_is_drawn_leaves_out_what_is_nothing():
    space = nb201()
    (drawn,) = space.drawing(space.find(RESNET.replace("avg_pool_3x3~1", "none~1")))
    assert [(edge.start, edge.end, edge.label) for edge in drawn.edges] == [
        ("0", "1", "conv 3x3"),
        ("0", "2", "conv 3x3"),
        ("0", "3", "skip connect"),
        ("1", "3", "conv 3x3"),
        ("2", "3", "skip connect"),
    ]


@pytest.fixture
def table(tmp_path):
    def written(text):
        path = tmp_path / "nb201.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def test_a_table_is_read_by_the_benchmarks_names(table):
    path = table(
        f"architecture,dataset,validation,test,seconds\n{RESNET},cifar10,.91,.9376,9000\n{EMPTY},cifar10,.1,.1,7\n"
    )
    truth = nb201().truth(path)
    assert truth.mean() == {RESNET: 0.9376, EMPTY: 0.1}
    assert truth.rows[0].validation == 0.91


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"arch,acc\n{RESNET},.9\n", "no column 'architecture'"),
        (
            f"architecture,test\n{RESNET},93.76\n",
            "line 2: test is '93.76'; give an accuracy in .0, 1., not in per cent",
        ),
        (
            "architecture,test\n|conv~0|+|none~0|none~1|,.9\n",
            "'.conv~0.*' is no architecture of nb201; one is named like",
        ),
        ("architecture,test\n4711,.9\n", "'4711' is no architecture"),
        (f"architecture,dataset,test\n{RESNET},cifar10,.9\n{RESNET},cifar100,.7\n", "2 data sets .cifar10, cifar100."),
        (b"\x80\x04\x95\xff\xfe", "no CSV file: it holds bytes that are no text"),
        ("", "no column 'architecture'"),
        ("architecture,test\n", "holds a header and no line below it"),
    ],
)
def test_a_file_of_another_format_is_refused_in_one_line(table, text, said):
    with pytest.raises(DataError, match=said) as caught:
        nb201().truth(table(text))
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        nb201().truth(tmp_path / "none.csv")
