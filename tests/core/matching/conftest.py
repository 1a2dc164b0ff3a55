"""The golden cases: reference inputs and outputs in float64."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from limbeck.matching import StepContext
from limbeck.networks import FunctionalNetwork
from limbeck_plugins.networks.convnet import ConvNet

FOLDER = Path(__file__).parents[2] / "data" / "golden"
STEP = StepContext(0, 0, 1, 0)


class Golden:
    """One case: network, weights, and batches whose synthetic part is a leaf."""

    def __init__(self, name):
        with safe_open(FOLDER / f"{name}.safetensors", "pt") as file:
            self.tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            meta = file.metadata()
        real = self.tensors["real"]
        self.classes = len(real)
        shape = tuple(real.shape[2:])
        options = ConvNet.Options(depth=int(meta["depth"]), width=int(meta["width"]), norm="instance")
        module = ConvNet(options).build(shape, self.classes)
        self.network = FunctionalNetwork(module, shape, dtype=torch.float64)
        self.state = {k.removeprefix("net."): v for k, v in self.tensors.items() if k.startswith("net.")}
        self.leaf = self.tensors["synthetic"].clone().requires_grad_()

    def real(self, group):
        images = self.tensors["real"][group]
        return images, torch.full((len(images),), group)

    def synthetic(self, group):
        images = self.leaf[group]
        return images, torch.full((len(images),), group)

    def check(self, matcher, chunks, key, step=STEP):
        engine = matcher.engine(self.network, chunks)
        loss = engine.accumulate(self, self.state, step, range(self.classes))
        torch.testing.assert_close(loss, self.tensors[f"{key}.loss"], rtol=1e-9, atol=0)
        expected = self.tensors[f"{key}.image_grad"]
        error = (self.leaf.grad - expected).norm() / expected.norm()
        assert error < 1e-9, f"{key}: relative error {error:.1e}"


@pytest.fixture
def golden_case():
    return Golden


@pytest.fixture(params=["rgb32", "grey28"])
def golden(request):
    return Golden(request.param)
