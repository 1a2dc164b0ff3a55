"""Runs so small that a test takes milliseconds."""

from __future__ import annotations

import pytest


@pytest.fixture
def tiny():
    """What makes ``limbeck distill`` tiny, to be overridden by what follows it."""
    return (
        "distill", "--method", "dm", "--profile", "small", "--network", "convnet-d1-w4", "--device", "cpu",
        "--steps", 2, "--networks", 0, "--max-per-class", 20, "--set", "data.batch_real=4",
        "--set", "evaluation.protocol.epochs=1", "--set", "evaluation.baselines=false", "--out", "run",
    )  # fmt: skip


@pytest.fixture
def no_report(monkeypatch):
    """Leave out the page, which costs more than everything else in a tiny run."""
    monkeypatch.setattr("limbeck.report.write_report", lambda folder: None)


PLUGIN = '''
    import torch
    from torch import nn
    from limbeck import hookimpl
    from limbeck.data import Dataset, DataSpec, RawData
    from limbeck.matching import FeatureMatcher
    from limbeck.networks import Network
    from limbeck.synthetic import LabelProjector

    def raw(name, channels, labels):
        spec = DataSpec(name, (channels, 8, 8), 3, ("a", "b", "c"), (0.5,) * channels, (0.5,) * channels, True)
        images = torch.zeros(len(labels), channels, 8, 8, dtype=torch.uint8)
        return RawData(spec, images, torch.tensor(labels), images, torch.tensor(labels))

    class Gap(Dataset):
        """Three classes, one of them empty."""

        def load(self, root, *, download):
            return raw("gap", 1, [0, 0, 2, 2])

    class Colour(Dataset):
        """Black images in colour, two a class."""

        def load(self, root, *, download):
            return raw("colour", 3, [0, 0, 1, 1, 2, 2])

    class ColourOnly(Network):
        """Takes three channels whatever it is built for."""

        def build(self, shape, num_classes):
            return nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten(), nn.Linear(128, num_classes))

    class Diverges(FeatureMatcher):
        """A loss that is no number."""

        def taps(self, network):
            return ["embedding"]

        def signal(self, maps):
            return maps

        def discrepancy(self, syn, real, step):
            return (syn["embedding"] - real["embedding"]).sum() * float("nan")

    class Own(LabelProjector):
        """Hard labels under another name."""

        def labels(self, images, index, epoch, draw=None):
            return self.context.labels[index]

    @hookimpl
    def register_datasets(register):
        register("gap", Gap)
        register("colour", Colour)

    @hookimpl
    def register_networks(register):
        register("colour_only", ColourOnly)

    @hookimpl
    def register_matchers(register):
        register("diverges", Diverges, method="dm")
        register("alone", Diverges)
        register("needy", "needs_a_library:Matcher", extra="fast")

    @hookimpl
    def register_label_projectors(register):
        register("own", Own)
'''


@pytest.fixture
def plugin(loose):
    """A loose plugin file whose components cannot do what is asked of them."""
    return loose(PLUGIN)
