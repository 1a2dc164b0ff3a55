"""Seconds and memory of one matching step, beside the straightforward loop, in the same run.

    python benchmarks/engine_speed.py [--device cuda] [--width 128] [--classes 10] [--ipc 10] [--batch-real 256]

The straightforward loop is what the papers' pseudo-code says: for each class a forward and backward pass of real and of
synthetic images through ``nn.Module`` layers with ``create_graph=True``, the distances summed, one backward pass at
the end. Medians after warm-up; both sides get the same images, weights and library settings, in turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.execution.device import keep_freed_memory, resolve_device
from limbeck.execution.memory import peak_growth
from limbeck.execution.plan import STACKED_IMAGES, comfortable_chunk
from limbeck.matching import Chunks, Matcher, StepContext
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator

STEP = StepContext(0, 0, 1, 0)
RESULTS = Path(__file__).parent / "results"


class Images:
    """One step's images: the same for both sides."""

    def __init__(self, args: argparse.Namespace, device: torch.device) -> None:
        draw = generator(0, "bench", device=device)
        shape = tuple(args.shape)
        self.reals = torch.randn(args.classes, args.batch_real, *shape, generator=draw, device=device)
        self.leaf = torch.randn(args.classes, args.ipc, *shape, generator=draw, device=device).requires_grad_()

    def real(self, group: int) -> tuple[Tensor, Tensor]:
        """Return one class's real batch."""
        return self._labelled(self.reals[group], group)

    def synthetic(self, group: int) -> tuple[Tensor, Tensor]:
        """Return one class's synthetic images."""
        return self._labelled(self.leaf[group], group)

    def calibration(self, per_group: int) -> Tensor:
        """Return real images of every class."""
        return self.reals[:, :per_group].flatten(0, 1)

    def _labelled(self, images: Tensor, group: int) -> tuple[Tensor, Tensor]:
        return images, torch.full((len(images),), group, device=images.device)


def plain_network(width: int, shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """Three blocks of library layers, as the field's scripts build them."""
    layers: list[nn.Module] = []
    channels = shape[0]
    for block in range(3):
        padding = 3 if block == 0 and shape[1] == 28 else 1
        layers += [nn.Conv2d(channels, width, 3, padding=padding), nn.GroupNorm(width, width)]
        layers += [nn.ReLU(), nn.AvgPool2d(2)]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 16, classes))


def straightforward(kind: str, net: nn.Sequential, images: Images) -> Callable[[], object]:
    """Return the published loop for gradient or distribution matching."""
    weights = list(net.parameters())

    def distance(syn: list[Tensor], real: list[Tensor]) -> Tensor:
        total = syn[0].new_zeros(())
        for s, r in zip(syn, real, strict=True):
            if s.ndim > 1:
                a, b = s.flatten(1), r.flatten(1)
                total = total + (1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6)).sum()
        return total

    def gradient() -> None:
        loss = images.leaf.new_zeros(())
        for group in range(len(images.leaf)):
            x, y = images.real(group)
            real = [g.detach().clone() for g in torch.autograd.grad(nn.functional.cross_entropy(net(x), y), weights)]
            x, y = images.synthetic(group)
            syn = torch.autograd.grad(nn.functional.cross_entropy(net(x), y), weights, create_graph=True)
            loss = loss + distance(list(syn), real)
        images.leaf.grad = None
        loss.backward(inputs=[images.leaf])

    def distribution() -> None:
        loss = images.leaf.new_zeros(())
        for group in range(len(images.leaf)):
            real = net[:-1](images.real(group)[0]).detach()
            syn = net[:-1](images.synthetic(group)[0])
            loss = loss + (real.mean(0) - syn.mean(0)).square().sum()
        images.leaf.grad = None
        loss.backward(inputs=[images.leaf])

    return {"gradient": gradient, "distribution": distribution}[kind]


def ours(kind: str, args: argparse.Namespace, images: Images, device: torch.device) -> Callable[[], object]:
    """Return the same step by the engine, in the plan it would choose."""
    name, shape = f"convnet-d3-w{args.width}-in", tuple(args.shape)
    module = registry().create("networks", name).build(shape, args.classes)
    network = FunctionalNetwork(module, shape, device=device, name=name)
    matcher: Matcher = registry().create("matchers", kind)
    chunk = comfortable_chunk(network.largest_activation(), device.type)
    together = min(chunk, STACKED_IMAGES[device.type])
    chunks = Chunks(chunk, chunk, together=together, real_precision=args.precision)
    engine = type(matcher).engine(matcher, network, chunks)
    state = network.initial(generator(1, "init", device=device))

    def step() -> None:
        images.leaf.grad = None
        engine.accumulate(images, state, STEP, range(args.classes))

    return step


def seconds_in_turns(sides: list[Callable[[], object]], device: torch.device, repeats: int) -> list[float]:
    """Return each side's median seconds, the sides taking turns so that a drifting machine hits both."""
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(repeats + 2):
        for side, found in zip(sides, times, strict=True):
            started = time.perf_counter()
            side()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn >= 2:
                found.append(time.perf_counter() - started)
    return [statistics.median(found) for found in times]


def compare(kind: str, args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure one matcher."""
    images = Images(args, device)
    net = plain_network(args.width, tuple(args.shape), args.classes).to(device)
    sides = [ours(kind, args, images, device), straightforward(kind, net, images)]
    fast, slow = seconds_in_turns(sides, device, args.repeats)
    small, large = (peak_growth(side, device) or 0 for side in sides)
    return {
        "matcher": kind,
        "seconds": round(fast, 5),
        "straightforward_seconds": round(slow, 5),
        "ratio": round(fast / slow, 3),
        "mib": round(small / 2**20, 1),
        "straightforward_mib": round(large / 2**20, 1),
    }


def main() -> None:
    """Measure both matchers and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--batch-real", type=int, default=64)
    parser.add_argument("--shape", type=int, nargs=3, default=(1, 28, 28))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--name", default=None, help="results/engine_speed_NAME.json")
    args = parser.parse_args()
    device = resolve_device(args.device)
    if device.type == "cpu":
        keep_freed_memory()
    rows = [compare(kind, args, device) for kind in ("gradient", "distribution")]
    found = {
        "settings": {k: v for k, v in vars(args).items() if k not in ("name", "device")},
        "machine": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "rows": rows,
    }
    path = RESULTS / f"engine_speed_{args.name or device.type}.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
