"""A formation that makes more images than are stored, learns a number of its own, and shuffles its images."""

from __future__ import annotations

import pytest

PLUGIN = """
import torch
from limbeck import hookimpl
from limbeck.synthetic import Formation, LabelProjector


class Twice(Formation):
    def __init__(self, options=None):
        super().__init__(options)
        self.gain = torch.ones((), requires_grad=True)

    def parameters(self):
        return {"gain": self.gain}

    def expand(self, images, labels, group, phase):
        both = [torch.cat([images, images.flip(0) * self.gain]), torch.cat([labels, labels.flip(0)])]
        group = torch.cat([group, group.flip(0)])
        order = group.argsort(stable=True)
        return both[0][order], both[1][order], group[order]


class Checked(LabelProjector):
    def prepare(self, context):
        self.stored = context.labels

    def labels(self, images, index, epoch, draw):
        assert int(index.max()) < len(self.stored)
        return self.stored[index]


@hookimpl
def register_formations(register):
    register("twice", Twice)


@hookimpl
def register_label_projectors(register):
    register("checked", Checked)
"""


@pytest.mark.parametrize("method", ["dc", "dm"])
def test_labels_follow_the_stored_image_through_every_phase(limbeck, tiny, loose, no_report, method):
    arguments = [*tiny, "--method", method, "--ipc", 2, "--networks", 1]
    extra = ["-p", loose(PLUGIN), "--set", "formation=twice", "--set", "labels=checked"]
    if method == "dc":
        extra += ["--set", "source={name: inner, outer: 2, inner: 1}"]
    status, out, err = limbeck(*arguments, *extra)
    assert status == 0, err
    assert "this set" in out


def test_what_a_formation_learned_is_used_in_evaluation(limbeck, tiny, loose, no_report, tmp_path):
    from limbeck.data import load_dataset
    from limbeck.evaluation import Recipe
    from limbeck.evaluation.measure import make_measurement, material_of
    from limbeck.synthetic import SyntheticSet

    status, _, err = limbeck(*tiny, "-p", loose(PLUGIN), "--ipc", 2, "--set", "formation=twice")
    assert status == 0, err
    synthetic = SyntheticSet.load(tmp_path / "run")
    gain = synthetic.component_state["formations.twice.gain"]
    assert gain != 1
    data = load_dataset("digits")
    material = material_of(
        synthetic, data, Recipe.from_dict(synthetic.recipe), make_measurement(data, 0, "cpu", gain.dtype, None)
    )
    assert material.formation["gain"] == gain
