"""Steps that change nothing: what a step costs, and how large a pass a memory budget allows."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from limbeck.distillation.parts import Parts
from limbeck.errors import LimbeckError
from limbeck.execution.memory import AIM, format_bytes, largest_chunk, peak_growth
from limbeck.networks import FunctionalNetwork

QUICK = 1.0
"""Seconds that trial steps may take together, unless one alone takes longer."""


@dataclass(frozen=True)
class Estimate:
    """What a trial step cost: seconds, and bytes of growth where they can be measured."""

    seconds: float
    growth: int | None


def fit_to_memory(parts: Parts) -> None:
    """Cut the plan's chunks down to its memory budget, by measuring trial steps.

    Raises:
        LimbeckError: the budget is too small whatever the chunk.
    """
    budget = parts.plan.memory
    if budget is None:
        return
    for term in parts.terms:
        if term.engine.refusal:
            raise LimbeckError(f"--memory cuts passes, which saves nothing here. Leave out {term.engine.refusal}.")
    budget -= parts.parameters.bytes_to_come() + sum(term.source.bytes_to_come() for term in parts.terms)
    most = max(parts.config.data.batch_real * len(parts.parameters.groups), len(parts.parameters.images))

    def work(chunk: int) -> None:
        parts.use(replace(parts.plan, chunks=parts.plan.chunks.at_most(chunk)))
        _trial(parts)

    def grown() -> int:
        step = partial(_trial, parts, advance=any(term.source.num_outer > 1 for term in parts.terms))
        return peak_growth(step, parts.network.device) or 0

    chunk = most if parts.network.couples_samples else largest_chunk(work, budget, most, parts.network.device)
    work(chunk)
    while (growth := grown()) > budget:
        chunk = int(chunk * budget * AIM / growth)
        if parts.network.couples_samples or chunk < 1:
            raise _too_small(parts.network, growth, budget)
        work(chunk)


def _too_small(network: FunctionalNetwork, growth: int, budget: int) -> LimbeckError:
    takes = f"takes {format_bytes(growth)}, but --memory allows {format_bytes(budget)}. Raise --memory, or lower"
    if network.couples_samples:
        return LimbeckError(
            f"network '{network.name}' has batch norm, whose statistics need all images in one pass; that {takes} "
            "data.batch_real or source.batch_train, or use instance norm (-in)."
        )
    return LimbeckError(
        f"a step {takes} data.batch_real, source.batch_train, matcher.batch_syn or the width of '{network.name}'."
    )


def estimate(parts: Parts) -> Estimate:
    """Take a step that changes nothing and say what it cost.

    The first step is slower than those that follow, while memory is claimed and threads start; where steps are
    quick, the best of three counts.
    """
    spent: list[float] = []

    def work() -> None:
        started = time.perf_counter()
        _trial(parts, advance=True)
        spent.append(time.perf_counter() - started)

    growth = peak_growth(work, parts.network.device)
    while len(spent) < 3 and sum(spent) + spent[-1] < QUICK:
        work()
    return Estimate(min(spent), growth)


def _trial(parts: Parts, *, advance: bool = False) -> None:
    """One step with throw-away random numbers, whose gradients are thrown away too."""
    before = parts.generators.state_dict()
    kept = [(term, _copied(term.source.state_dict()), _copied(term.matcher.state_dict())) for term in parts.terms]
    for term in parts.terms:
        step = replace(term.at(0), is_trial=True)
        term.accumulate(parts.batches(), term.state(step), step, parts.parameters.groups)
        if advance:
            term.source.advance(step)
    for term, source, matcher in kept:
        term.source.load_state_dict(source)
        term.matcher.load_state_dict(matcher)
    parts.parameters.optimiser.zero_grad(set_to_none=True)
    parts.generators.load_state_dict(before)
    if parts.network.device.type == "cuda":
        torch.cuda.synchronize(parts.network.device)


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
