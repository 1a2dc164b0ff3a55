"""Memory and seconds of one step of trajectory matching, by each way to its gradient, in the same run.

    python benchmarks/trajectory.py                                             a small case, printed and not kept
    python benchmarks/trajectory.py --case fashion_mnist cifar10 updates [--rounds 3] [--repeats 2]
    python benchmarks/trajectory.py --device cuda --case cifar100-ipc10
    python benchmarks/trajectory.py --print                                     the rows there are, as tables

Ways are ``straightforward`` (library layers and an unroll, as the papers' code does it), the engine's ``unrolled``,
``exact`` and ``truncated``. The last two go by ``auto``, in passes as a run without a budget takes them, and by double
backward and forward mode, whole or in chunks. Every way runs in a process of its own, round after round, so that a
drifting machine hits all. Growth is the highest memory of a step over what the process held before it; seconds are the
median over all rounds; difference is the distance from the unrolled gradient at the images, over its length. An unroll
that would not fit into memory is left out, and its row says what it would take.

Images are noise and the aim is a point near the start: neither time nor memory depends on them. On a CPU the case
cifar100-ipc10 is reduced, and its rows say so.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from studies.table import keep
from torch import Tensor, nn
from torch.func import functional_call

from limbeck.environment import environment
from limbeck.execution.device import keep_freed_memory, resolve_device
from limbeck.execution.memory import available_memory, peak_growth
from limbeck.execution.plan import comfortable_chunk
from limbeck.matching import Chunks, MatcherContext, Segment, StepContext, TrajectoryMatcher
from limbeck.matching.base import Minibatch, SecondPass
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator

RESULTS = Path(__file__).parent / "results" / "trajectory.csv"
SAME_CASE = ("case", "device", "images", "steps", "network")
SAME_RUN = (*SAME_CASE, "gradient", "second_pass", "chunk")
UNROLLS = ("straightforward", "unrolled")
ROOM = 0.85
"""Part of the free memory that an unroll may take."""

RATE = 0.01


@dataclass(frozen=True)
class Case:
    """A student: ``steps`` updates, each on all ``images``."""

    shape: tuple[int, int, int]
    classes: int
    width: int
    images: int
    steps: int

    @property
    def network(self) -> str:
        """Name of the student's structure."""
        return f"convnet-d3-w{self.width}-in"


FASHION = Case((1, 28, 28), 10, 64, 100, 30)
CASES: dict[str, list[Case]] = {
    "fashion_mnist": [FASHION],
    "cifar10": [replace(FASHION, shape=(3, 32, 32))],
    "updates": [replace(FASHION, steps=steps) for steps in (5, 20, 80)],
    "cifar100-ipc10": [Case((3, 32, 32), 100, 128, 1000, 20)],
    "quick": [Case((1, 28, 28), 10, 8, 20, 4)],
}
REDUCED = Case((3, 32, 32), 100, 32, 100, 4)


@dataclass(frozen=True)
class Way:
    """How the gradient of a case is found; ``chunk``: images a pass, or None for what the plan would take."""

    gradient: str
    second_pass: SecondPass = "auto"
    chunk: int | None = None


def ways_of(name: str, case: Case) -> list[Way]:
    """Return what is measured for a case: every way, or where updates are counted the main ones."""
    unrolls, planned = [Way("straightforward"), Way("unrolled")], [Way("exact"), Way("truncated")]
    if name == "updates":
        return [*unrolls, *planned]
    both: tuple[SecondPass, ...] = ("double_backward", "forward_mode")
    chunks = [case.images // parts for parts in (1, 2, 4, 10)]
    exact = [Way("exact", second, chunk) for second in both for chunk in chunks]
    return [*unrolls, *planned, *exact, *(Way("truncated", second, case.images) for second in both)]


class Following(TrajectoryMatcher):
    """Follows the one way there is."""

    def segment(self, trajectories: object, step: StepContext, generator: torch.Generator) -> Segment:
        """Return that way."""
        return Segment(0, 0, 1)


class Problem:
    """One student's images, rate and way: the same for all ways to the gradient, and what the engine asks for.

    Args:
        case: its measures.
        device: where it lies.
    """

    experts, epochs = 1, 1

    def __init__(self, case: Case, device: torch.device) -> None:
        module = registry().create("networks", case.network).build(case.shape, case.classes)
        self.network = FunctionalNetwork(module, case.shape, device=device, name=case.network)
        draw = generator(0, "bench", device=device)
        self.leaf = torch.randn(case.images, *case.shape, generator=draw, device=device).requires_grad_()
        self.labels = torch.arange(case.images, device=device) * case.classes // case.images
        self.rate = torch.tensor(RATE, device=device).log().requires_grad_()
        start = self.network.flatten(self.network.initial(draw))
        self.way = [start, start + 0.01 * torch.randn(start.shape, generator=draw, device=device)]

    def weights(self, expert: int, epoch: int) -> Tensor:
        """Return one end of the way."""
        return self.way[epoch]

    def students(self, steps: int, size: int | None, relabel: object = None) -> list[Minibatch]:
        """Return all images, for every update."""
        return [lambda: (self.leaf, self.labels)] * steps

    def syn_lr(self) -> Tensor:
        """Return the student's rate."""
        return self.rate.exp()

    def clear(self) -> None:
        """Forget the gradient."""
        self.leaf.grad = self.rate.grad = None


def by_engine(problem: Problem, case: Case, way: Way, steps: int) -> Callable[[], object]:
    """Return a step by the engine."""
    network, device = problem.network, problem.network.device
    matcher = Following(Following.Options(steps=steps, gradient=way.gradient))
    matcher.name = "following"
    owner = generator(0, "matcher", device=device)
    context = MatcherContext(network, case.classes, case.classes, owner, num_images=case.images, trajectories=problem)
    matcher.prepare(context)
    chunk = min(way.chunk or comfortable_chunk(network.largest_activation(), device.type), case.images)
    engine = matcher.engine(network, Chunks(chunk, chunk, second_pass=way.second_pass))
    return partial(engine.accumulate, problem, {}, StepContext(0, 0, 1, 0), range(case.classes))


def straightforward(problem: Problem, case: Case, steps: int) -> Callable[[], object]:
    """Return a step as the papers' code takes it: an unroll over flat weights, through library layers."""
    net = plain_network(case).to(problem.leaf.device)
    shapes = {name: parameter.shape for name, parameter in net.named_parameters()}

    def logits(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes.values()])
        weights = {name: part.view(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
        out: Tensor = functional_call(net, weights, (problem.leaf,))
        return out

    def step() -> None:
        start, target = problem.way
        flat, rate = start.detach().requires_grad_(), problem.syn_lr()
        for _ in range(steps):
            loss = nn.functional.cross_entropy(logits(flat), problem.labels)
            flat = flat - rate * torch.autograd.grad(loss, flat, create_graph=True)[0]
        ((flat - target).square().sum() / (start - target).square().sum()).backward()

    return step


def plain_network(case: Case) -> nn.Sequential:
    """Three blocks of library layers, with the weights in the order of the network's own."""
    layers: list[nn.Module] = []
    channels = case.shape[0]
    for block in range(3):
        padding = 3 if block == 0 and case.shape[1] == 28 else 1
        layers += [nn.Conv2d(channels, case.width, 3, padding=padding), nn.GroupNorm(case.width, case.width)]
        layers += [nn.ReLU(), nn.AvgPool2d(2)]
        channels = case.width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(case.width * 16, case.classes))


def measure(case: Case, way: Way, device: torch.device, repeats: int, gradient: Path) -> dict[str, Any]:
    """Measure one way in this process, and write the gradient that it found.

    A student of one update and one of three load what libraries load at first use; for an unroll they also say what
    the whole would take.
    """
    problem = Problem(case, device)

    def step(steps: int) -> None:
        problem.clear()
        is_plain = way.gradient == "straightforward"
        (straightforward(problem, case, steps) if is_plain else by_engine(problem, case, way, steps))()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    step(1)
    one, three = (peak_growth(partial(step, steps), device) or 0 for steps in (1, 3))
    needed = one + max(three - one, 0) // 2 * (case.steps - 1)
    if way.gradient in UNROLLS and needed > ROOM * (available_memory(device) or needed):
        return {"needed": needed}
    growth, seconds = peak_growth(partial(step, case.steps), device) or 0, []
    for _ in range(repeats):
        started = time.perf_counter()
        step(case.steps)
        seconds.append(time.perf_counter() - started)
    torch.save(problem.leaf.grad.cpu() if problem.leaf.grad is not None else None, gradient)
    return {"growth": growth, "seconds": seconds}


def rows_of(name: str, case: Case, args: argparse.Namespace, device: torch.device) -> Iterator[dict[str, Any]]:
    """Measure all ways of a case, each in processes of its own, and yield their rows after the last round."""
    found: dict[Way, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            for place, way in enumerate(ways_of(name, case)):
                if way.gradient not in (args.gradient or [way.gradient]) or "needed" in found.get(way, {}):
                    continue
                print(f"{name}, {case.steps} updates, round {turn + 1}: {asdict(way)}", flush=True)
                new = in_own_process(case, way, device, args, Path(folder) / f"{place}.pt")
                old = found.setdefault(way, {**new, "file": Path(folder) / f"{place}.pt"})
                if turn and "growth" in new:
                    old["growth"], old["seconds"] = max(old["growth"], new["growth"]), old["seconds"] + new["seconds"]
        unrolled = gradient_of(found.get(Way("unrolled"), {}))
        for way, values in found.items():
            yield {**described(name, case, way, device), **figures(way, values, unrolled), **place_of(device)}


def in_own_process(case: Case, way: Way, device: torch.device, args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Measure one way in a new process of this file."""
    work = json.dumps({"case": asdict(case), "way": asdict(way), "gradient": str(path)})
    words = [sys.executable, __file__, "--work", work, "--device", str(device), "--repeats", str(args.repeats)]
    finished = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
    values: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return values


def gradient_of(values: dict[str, Any]) -> Tensor | None:
    """Return the gradient that a way found, or None where it was not run."""
    found: Tensor | None = torch.load(values["file"], weights_only=True) if "growth" in values else None
    return found


def described(name: str, case: Case, way: Way, device: torch.device) -> dict[str, Any]:
    """Return what a row is a row of."""
    return {
        "case": name,
        "device": device.type,
        "images": case.images,
        "steps": case.steps,
        "network": case.network,
        "shape": "x".join(map(str, case.shape)),
        "gradient": way.gradient,
        "second_pass": "" if way.gradient in UNROLLS else way.second_pass,
        "chunk": "" if way.gradient in UNROLLS else way.chunk or "as planned",
    }


def figures(way: Way, values: dict[str, Any], unrolled: Tensor | None) -> dict[str, Any]:
    """Return what was measured of a way, or what it would take."""
    if "needed" in values:
        needed = f"{values['needed'] / 2**20:.0f}"
        return {"mib": "", "seconds": "", "repeats": 0, "difference": "", "needs_mib": needed}
    own, difference = gradient_of(values), ""
    if own is not None and unrolled is not None and way.gradient in ("exact", "straightforward"):
        difference = f"{(own - unrolled).norm() / unrolled.norm():.1e}"
    return {
        "mib": f"{values['growth'] / 2**20:.1f}",
        "seconds": f"{statistics.median(values['seconds']):.4f}",
        "repeats": len(values["seconds"]),
        "difference": difference,
        "needs_mib": "",
    }


def place_of(device: torch.device) -> dict[str, Any]:
    """Return where and with what it was measured."""
    found = environment(str(device))
    machine = found["cpu"] if found["device"] == "cpu" else found["device"]
    versions = {"torch": found["torch"], "limbeck": found["limbeck"]}
    return {"machine": machine, "threads": torch.get_num_threads(), **versions}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as Markdown, each beside the unrolled gradient of its case."""
    unrolled = {measures(row): row for row in rows if row["gradient"] == "unrolled"}
    lines = [
        "| case | N | gradient | second pass | images a pass | MiB | of the unroll | s | of the unroll | difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        mib, second = row["mib"] or f"not run, {row['needs_mib']} needed", row["second_pass"].replace("_", " ")
        of_mib, of_seconds = (ratio(row[key], unrolled.get(measures(row), {}).get(key)) for key in ("mib", "seconds"))
        cells = [row["case"], row["steps"], row["gradient"], second, row["chunk"], mib, of_mib, row["seconds"]]
        lines.append("| " + " | ".join(map(str, [*cells, of_seconds, row["difference"]])) + " |")
    return "\n".join(lines)


def measures(row: dict[str, Any]) -> tuple[str, ...]:
    """Return what rows of one case have in common."""
    return tuple(str(row[key]) for key in SAME_CASE)


def ratio(value: str, base: str | None) -> str:
    """Return one figure over another, where there are both."""
    return f"{float(value) / float(base):.3f}" if value and base else ""


def main() -> None:
    """Measure the cases asked for and write their rows; or do one way's work, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="*", choices=CASES, default=["quick"])
    parser.add_argument("--gradient", nargs="*", help="measure these gradients only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each way")
    parser.add_argument("--repeats", type=int, default=2, help="timed steps of each process")
    parser.add_argument("--print", action="store_true", help="print the rows there are as a table")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = resolve_device(args.device)
    if args.work:
        if device.type == "cpu":
            keep_freed_memory()
        work = json.loads(args.work)
        case = Case(**{**work["case"], "shape": tuple(work["case"]["shape"])})
        print(json.dumps(measure(case, Way(**work["way"]), device, args.repeats, Path(work["gradient"]))))
        return
    rows = list(csv.DictReader(RESULTS.open())) if args.print else []
    for name in [] if args.print else args.case:
        is_reduced = name == "cifar100-ipc10" and device.type == "cpu"
        for case in [REDUCED] if is_reduced else CASES[name]:
            for row in rows_of(f"{name}, reduced" if is_reduced else name, case, args, device):
                rows.append(row)
                if name != "quick":
                    keep(RESULTS, row, SAME_RUN)
    print(table(rows))


if __name__ == "__main__":
    main()
