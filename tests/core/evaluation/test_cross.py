"""Many networks on one set: one table that grows, whatever fails or is cut off."""

from __future__ import annotations

import pytest

from limbeck.errors import ArtifactError, UsageError
from limbeck.evaluation import Evaluation, Recipe, evaluate_set, job
from limbeck.evaluation.cross import (
    Architecture,
    CrossTable,
    cross_architecture,
    load_tables,
    member_counts,
    save_table,
)
from limbeck.evaluation.kept import CROSS
from limbeck.networks import build_network

NETWORKS = {"convnet-d1-w4-in": 2, "convnet-d9-w4": 1, "convnet-d1-w6": 1}


def table(**changes):
    return CrossTable(**{"pool": "some", "protocol": None, "data": "bars", **changes})


def row(accuracy=0.5):
    return Evaluation("synthetic", "dc", Recipe(network="n", epochs=1).to_dict(), [accuracy], [], 10, 2, 1.0)


@pytest.fixture
def cross(synthetic, data, recipe):
    def run(members=NETWORKS, **options):
        return cross_architecture(
            table(), synthetic, data, members, lambda name: recipe.with_(network=name), seed=3, **options
        )

    return run


def test_rows_are_what_each_network_alone_would_give(cross, synthetic, data, recipe):
    told, grown = [], []
    found = cross(
        on_result=lambda name, number, result: told.append((name, number)),
        on_row=lambda table: grown.append((len(table.rows), len(table.failures))),
    )
    assert [one.network for one in found.rows] == ["convnet-d1-w4-in", "convnet-d1-w6"]
    for one in found.rows:
        alone = evaluate_set(synthetic, data, recipe.with_(network=one.network), networks=NETWORKS[one.network], seed=3)
        assert one.row.accuracies == alone.accuracies
        assert one.parameters == build_network(one.network, data.spec).num_parameters
    assert told == [("convnet-d1-w4-in", 0), ("convnet-d1-w4-in", 1), ("convnet-d1-w6", 0)]
    assert grown == [(1, 0), (1, 1), (2, 1)]


def test_a_network_that_does_not_fit_is_listed_with_the_reason(cross):
    assert list(cross().failures) == ["convnet-d9-w4"]
    assert "8x8" in cross().failures["convnet-d9-w4"]


def test_a_device_without_room_is_a_reason_too(cross, monkeypatch):
    trained = job.train_and_test

    def full(config, tensors):
        if config["recipe"]["network"] == "convnet-d1-w6":
            raise RuntimeError("out of\nmemory")
        return trained(config, tensors)

    monkeypatch.setattr(job, "train_and_test", full)
    assert cross().failures["convnet-d1-w6"] == "out of memory"


def test_what_was_cut_off_trains_only_what_is_missing(cross, tmp_path, monkeypatch):
    trained, names = job.train_and_test, []

    def dying(config, tensors):
        names.append(config["recipe"]["network"])
        if len(names) == 2:
            raise SystemExit
        return trained(config, tensors)

    monkeypatch.setattr(job, "train_and_test", dying)
    with pytest.raises(SystemExit):
        cross(cache=tmp_path)
    again = cross(cache=tmp_path)
    assert names == ["convnet-d1-w4-in"] * 3 + ["convnet-d1-w6"]
    monkeypatch.setattr(job, "train_and_test", trained)
    assert [one.row.accuracies for one in again.rows] == [one.row.accuracies for one in cross().rows]


# Tables on disk


def test_a_table_reads_as_it_was_written(cross, tmp_path):
    found = cross()
    save_table(tmp_path, found)
    assert load_tables(tmp_path) == [found]
    assert load_tables(tmp_path / "absent") == []


def test_tables_of_other_pools_protocols_and_data_stay_apart(tmp_path):
    tables = [table(), table(pool="width"), table(protocol={"name": "mtt"}), table(data="other")]
    for one in tables:
        save_table(tmp_path, one)
    save_table(tmp_path, tables[0])
    assert sorted(one.key for one in load_tables(tmp_path)) == sorted(one.key for one in tables)


def test_a_table_grows_network_by_network(tmp_path):
    save_table(tmp_path, table(rows=[Architecture("a", 1, row()), Architecture("b", 2, row())], failures={"c": "no"}))
    save_table(tmp_path, table(rows=[Architecture("b", 2, row(0.9)), Architecture("c", 3, row())], failures={"a": "x"}))
    (found,) = load_tables(tmp_path)
    assert [(one.network, one.row.mean) for one in found.rows] == [("b", 0.9), ("c", 0.5)]
    assert found.failures == {"a": "x"}


@pytest.mark.parametrize("content", ["{", "[]", '{"tables": [{"pool": "x"}]}', '{"tables": [3]}'])
def test_a_damaged_table_is_named_and_measuring_again_mends_it(tmp_path, content):
    (tmp_path / CROSS).write_text(content)
    with pytest.raises(ArtifactError, match=CROSS):
        load_tables(tmp_path)
    save_table(tmp_path, table())
    assert load_tables(tmp_path) == [table()]


# Counts


def test_a_name_stands_for_its_variants_and_the_longest_wins():
    members = ["convnet-d3-w128-in", "convnet_bn", "resnet18", "resnet18-bn", "mlp"]
    counts = {"convnet": 3, "resnet18-bn": 2, "resnet18": 4}
    assert list(member_counts(members, 1, counts).values()) == [3, 3, 4, 2, 1]
    assert member_counts(None, 5, {"mlp": 2}) == {"mlp": 2}


def test_a_name_outside_the_pool_is_refused():
    with pytest.raises(UsageError, match="'vgg', which is not in the pool 'cross': it has vgg11, mlp"):
        member_counts(["vgg11", "mlp"], 1, {"vgg": 2}, "cross")
