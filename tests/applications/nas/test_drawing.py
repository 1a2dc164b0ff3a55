"""What pages draw: layers in a column, and where boxes of a graph stand."""

from __future__ import annotations

import pytest
from torch import nn

from limbeck.plugins import registry
from limbeck_applications.nas.drawing import Drawing, Edge, Node, layers


@pytest.mark.parametrize(
    ("space", "name", "labels"),
    [
        ("convnet72", "d1-w16-instance-relu-avg", ["conv 3×3, 16, instance norm, ReLU", "average pooling", "linear"]),
        ("convnet72", "d1-w32-nonorm-sigmoid-max", ["conv 3×3, 32, Sigmoid", "max pooling", "linear"]),
        ("convnet720", "d1-w64-layer-leaky-nopool", ["conv 3×3, 64, layer norm, LeakyReLU", "linear"]),
        ("convnet720", "d1-w64-group-relu-nopool", ["conv 3×3, 64, group norm, ReLU", "linear"]),
    ],
)
def test_layers_stand_in_a_column_between_image_and_logits(space, name, labels):
    made = registry().create("nas_spaces", space)
    (drawing,) = made.drawing(made.find(name))
    assert [node.label for node in drawing.nodes] == ["image", *labels, "logits"]
    assert [node.role for node in drawing.nodes] == ["input", *["inner"] * len(labels), "output"]
    assert list(drawing.ranks().values()) == list(range(len(labels) + 2))


def test_what_follows_a_layer_is_said_with_it():
    module = nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, (1, 7)), nn.BatchNorm2d(2), nn.Flatten(), nn.Identity())
    assert layers(module) == ["ReLU", "conv 1×7, 2, batch norm", "Flatten"]


def test_a_box_stands_behind_all_that_it_has_arrows_from():
    nodes = tuple(Node(name, name) for name in "abcd")
    edges = (Edge("a", "b"), Edge("b", "c"), Edge("a", "c"), Edge("a", "d"), Edge("a", "b", "twice"))
    assert Drawing("some", nodes, edges).ranks() == {"a": 0, "b": 1, "c": 2, "d": 1}
