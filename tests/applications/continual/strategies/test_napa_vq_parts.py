"""NAPA-VQ's terms, each against a case computed by hand, in float64."""

from __future__ import annotations

import math

import pytest
import torch

from limbeck_applications.continual.strategies.napa_vq_parts import (
    Codes,
    NeighbourGraph,
    distance_loss,
    distances,
    distillation_loss,
    neighbour_loss,
    rotated,
    rotated_rows,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def codes(classes=(2, 0), size=3, num_classes=4):
    made = Codes(num_classes, size, NeighbourGraph())
    made.vectors, made.prototypes = made.vectors.double(), made.prototypes.double()
    made.welcome(classes, generator())
    return made


def test_an_image_is_turned_four_times_and_its_turns_lie_together():
    images = tensor([[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]])
    turned = rotated(images)
    assert turned[:4, 0].tolist() == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    assert torch.equal(turned[4], images[1])
    assert rotated_rows(torch.tensor([8, 0])).tolist() == [8, 9, 10, 11, 0, 1, 2, 3]


def test_distances_are_euclidean_with_gradient_0_at_0():
    features = tensor([[0, 0], [3, 4]]).requires_grad_()
    apart = distances(features, tensor([[3, 4], [0, 12]]))
    assert torch.equal(apart, tensor([[5, 12], [0, math.sqrt(73)]]))
    apart[1, 0].backward()
    assert torch.equal(features.grad, torch.zeros(2, 2).double())


def test_the_distance_loss_is_a_cross_entropy_of_minus_distance_over_temperature():
    apart = tensor([[5, 1], [2, 2]])
    near = math.log(1 + math.exp(-8))  # logits -10 and -2
    assert float(distance_loss(apart[:1], torch.tensor([1]), 0.5)) == pytest.approx(near, rel=1e-12)
    assert float(distance_loss(apart[:1], torch.tensor([0]), 0.5)) == pytest.approx(8 + near, rel=1e-12)
    both = float(distance_loss(apart, torch.tensor([1, 0]), 0.5))
    assert both == pytest.approx((near + math.log(2)) / 2, rel=1e-12)


def test_the_neighbour_loss_is_that_of_a_case_computed_by_hand():
    apart = tensor([[3, 1, 2, 9]])  # own vector 0; neighbours 1 and 2; 3 is none
    near = torch.tensor([[False, True, True, False]])
    first, second = math.exp(-0.1), math.exp(-0.4)
    mean = (first * 1 + second * 4) / (first + second)
    found = neighbour_loss(apart, torch.tensor([0]), near, 0.1)
    assert float(found) == pytest.approx(9 - mean, rel=1e-12)
    assert float(neighbour_loss(apart / tensor([[9, 1, 1, 1]]), torch.tensor([0]), near, 0.1)) == 0


def test_the_neighbour_loss_is_a_mean_and_is_the_squared_distance_where_nothing_is_near():
    apart = tensor([[3, 1], [1, 3], [2, 5]])
    near = torch.tensor([[False, True], [False, True], [False, False]])
    found = neighbour_loss(apart, torch.tensor([0, 0, 0]), near, 0.1)
    assert float(found) == pytest.approx(((9 - 1) + 0 + 4) / 3, rel=1e-12)


def test_the_weights_of_neighbours_have_no_gradient():
    feature, vectors = tensor([[1, 1]]).requires_grad_(), tensor([[4, 1], [1, 2], [1, 3]])
    near = torch.tensor([[False, True, True]])
    neighbour_loss(distances(feature, vectors), torch.tensor([0]), near, 0.1).backward()
    weight = math.exp(-0.1) / (math.exp(-0.1) + math.exp(-0.4))
    pull = 2 * (feature.detach() - vectors)
    by_hand = pull[0] - weight * pull[1] - (1 - weight) * pull[2]
    torch.testing.assert_close(feature.grad[0], by_hand)
    far = tensor([[1e3, 1e3]])  # weights of this size underflow in the plain formula, and are finite here
    assert math.isfinite(float(neighbour_loss(distances(far, vectors), torch.tensor([0]), near, 0.1)))


def test_distillation_is_the_norm_of_the_whole_change_and_lets_nothing_move_where_nothing_changed():
    features = tensor([[1, 2], [3, 4]]).requires_grad_()
    loss = distillation_loss(features.detach(), tensor([[0, 0], [1, 2]]))
    assert float(loss) == pytest.approx(math.sqrt(13))
    distillation_loss(features, features.detach()).backward()
    assert torch.equal(features.grad, torch.zeros(2, 2).double())


def test_the_nearest_vector_is_joined_to_those_that_come_next():
    graph = NeighbourGraph(neighbours=2)
    graph.grow(4, torch.zeros(1).double())
    assert torch.equal(graph.edges, torch.eye(4).double())
    graph.update(tensor([[0, 1, 2, 3]]))
    assert graph.edges.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert graph.near(torch.tensor([0, 1])).tolist() == [[False, True, False, False], [False] * 4]
    graph.settle()
    assert float(graph.edges[0, 1]) == float(graph.edges[1, 0]) == 0.5
    assert graph.near(torch.tensor([1])).tolist() == [[True, False, False, False]]


def test_an_edge_that_is_not_met_again_ages_and_dies_after_ten_times():
    graph = NeighbourGraph(neighbours=2)
    graph.grow(3, torch.zeros(1).double())
    graph.update(tensor([[0, 1, 2]]))
    for age in range(1, 11):
        graph.update(tensor([[0, 2, 1]]))  # 0 is nearest, then 2: the edge to 1 ages
        assert float(graph.edges[0, 1]) == pytest.approx(0.9**age, rel=1e-9)
        assert float(graph.edges[0, 2]) == float(graph.edges[0, 0]) == 1
    graph.update(tensor([[0, 2, 1]]))
    assert float(graph.edges[0, 1]) == 0 and not graph.near(torch.tensor([0]))[0, 1]
    graph.update(tensor([[0, 1, 2]]))
    assert float(graph.edges[0, 1]) == 1 and float(graph.edges[0, 2]) == 0.9


def test_a_batch_moves_edges_as_often_as_they_were_missed_more_than_met():
    """Against loops over samples, vectors and neighbours."""
    count, vectors, nearest = 60, 9, 3
    graph = NeighbourGraph(neighbours=nearest)
    graph.grow(vectors, torch.zeros(1).double())
    expected = torch.eye(vectors).double()
    for batch in range(6):
        apart = torch.rand(count, vectors, generator=generator(batch), dtype=torch.float64)
        apart += 0.1 * torch.arange(vectors)  # some are seldom met
        won, met = [0] * vectors, [[0] * vectors for _ in range(vectors)]
        for row in apart.tolist():
            order = sorted(range(vectors), key=row.__getitem__)[:nearest]
            won[order[0]] += 1
            for other in order:
                met[order[0]][other] += 1
        for i in range(vectors):
            for j in range(vectors):
                start = 1.0 if met[i][j] else float(expected[i, j])
                end = start * 0.9 ** max(0, won[i] - met[i][j])
                expected[i, j] = end if end >= 0.9**10 else 0.0
        expected = (expected + expected.T) / 2
        graph.update(apart)
        graph.settle()
        torch.testing.assert_close(graph.edges, expected)
    assert 0 < int((expected == 0).sum()) < vectors**2


def test_fewer_vectors_than_neighbours_are_all_joined():
    graph = NeighbourGraph(neighbours=15)
    graph.grow(4, torch.zeros(1).double())
    graph.update(tensor([[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 2, 3], [2, 1, 0, 3]]))
    assert (graph.edges == 1).all()
    assert graph.near(torch.arange(4)).sum() == 12


def test_new_vectors_have_no_neighbours_and_old_edges_stay():
    graph = NeighbourGraph(neighbours=2)
    graph.grow(3, torch.zeros(1).double())
    graph.update(tensor([[0, 1, 2]]))
    before = graph.edges.clone()
    graph.grow(2, before)
    assert torch.equal(graph.edges[:3, :3], before)
    assert torch.equal(graph.edges[3:], torch.eye(5).double()[3:]) and not graph.edges[:3, 3:].any()


def test_a_pick_is_any_vector_that_a_row_is_joined_to_itself_included():
    graph = NeighbourGraph()
    graph.grow(4, torch.zeros(1).double())
    graph.edges[0, 2] = 0.4
    picked = graph.pick(torch.zeros(4000, dtype=torch.int64), generator())
    counts = picked.bincount(minlength=4)
    assert counts[1] == counts[3] == 0
    assert 1800 < int(counts[0]) < 2200  # all alike, whatever the edge's strength


def test_only_vectors_of_new_classes_have_a_gradient():
    made = codes()
    made.welcome([3], generator(1))
    assert made.old == 8 and made.rows.tolist() == [4, -1, 0, 8]
    distances(torch.randn(5, 3, generator=generator()).double(), made.vectors).sum().backward()
    assert (made.vectors.grad[:8].norm(dim=1) > 0).all()
    made.spare_old()
    assert torch.equal(made.vectors.grad[:8], torch.zeros(8, 3).double())
    assert (made.vectors.grad[8:].norm(dim=1) > 0).all()


def test_old_vectors_and_prototypes_survive_the_welcome_of_new_classes():
    made = codes()
    made.remember(torch.arange(24).reshape(8, 3).double(), torch.arange(8))
    made.start_from_prototypes()
    before = made.vectors.detach().clone()
    made.welcome([1], generator(1))
    assert torch.equal(made.vectors[:8], before) and made.vectors.requires_grad and made.vectors.is_leaf
    assert torch.equal(made.prototypes[:8], before) and not made.prototypes[8:].any()
    drawn = made.vectors[8:].detach().clone()
    made.remember(torch.ones(4, 3).double(), torch.arange(8, 12))
    made.start_from_prototypes()
    assert torch.equal(made.vectors[:8], before)
    assert torch.equal(made.vectors[8:], torch.ones(4, 3).double()) and not torch.equal(drawn, made.vectors[8:])


def test_a_prototype_is_the_mean_feature_of_its_row():
    made = codes()
    made.remember(tensor([[1, 2, 3], [5, 5, 5], [3, 4, 5]]), torch.tensor([6, 1, 6]))
    assert made.prototypes[6].tolist() == [2, 3, 4] and made.prototypes[1].tolist() == [5, 5, 5]
    assert not made.prototypes[[0, 2, 3, 4, 5, 7]].any()


def test_imagined_features_lie_between_a_prototype_and_its_neighbours_nearer_to_the_first():
    made = codes(classes=(2, 0))
    made.welcome([3], generator(1))
    made.remember(torch.eye(12, 3).double() + torch.arange(12).double()[:, None], torch.arange(12))
    made.graph.edges[0, 9] = made.graph.edges[0, 4] = 0.5
    features, rows = made.imagined(3000, generator(2))
    assert set(rows.tolist()) == {0, 4}  # upright images of the two old classes, never of the new one
    alone = features[rows == 4]
    assert torch.allclose(alone, made.prototypes[4])  # joined to nothing but itself
    mixed = features[rows == 0]
    shares = set()
    for partner in (4, 9):
        line = made.prototypes[partner] - made.prototypes[0]
        along = ((mixed - made.prototypes[0]) @ line) / (line @ line)
        on_it = torch.isclose(mixed, made.prototypes[0] + along[:, None] * line).all(1) & (along > 1e-9)
        assert 400 < int(on_it.sum()) < 600  # a third each, and a third with itself
        assert 0.48 < float(along[on_it].max()) <= 0.5 and 0 < float(along[on_it].min()) < 0.02
        assert 0.22 < float(along[on_it].mean()) < 0.28
        shares.add(partner)
    assert shares == {4, 9}


def test_scores_compare_directions_of_upright_vectors_and_know_only_classes_that_arrived():
    made = codes(classes=(2, 0), size=2)
    with torch.no_grad():
        made.vectors[:] = tensor([[0, 1]] * 8)
        made.vectors[0], made.vectors[4] = tensor([10, 0]), tensor([0, 0.1])
    scores = made.scores(tensor([[3, 0], [0, 0.5], [7, 7]]))
    assert (scores[:, [1, 3]] == -torch.inf).all()
    assert scores[:2].argmax(1).tolist() == [2, 0]
    assert float(scores[0, 2]) == 0 and float(scores[0, 0]) == pytest.approx(-math.sqrt(2))
    assert float(scores[2, 0]) == pytest.approx(float(scores[2, 2]), rel=1e-12)


def test_what_is_kept_is_counted():
    made = Codes(5, 7, NeighbourGraph())
    made.welcome([1, 4], generator())
    assert made.bytes == 4 * (8 * 7 + 8 * 7 + 8 * 8)
