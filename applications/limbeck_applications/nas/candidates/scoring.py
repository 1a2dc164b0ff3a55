"""Scoring architectures by one proxy: equal structures in one call, the rest through the executor, none twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from limbeck.component import Component
from limbeck.errors import UsageError
from limbeck.execution.executors import Executor, Job, Result, TensorDigests
from limbeck.files import content_key
from limbeck.networks import State
from limbeck.plugins import registry
from limbeck.seeding import derive_seed
from limbeck_applications.nas.candidates.job import HERE, PREPARED, START, tensors_of
from limbeck_applications.nas.candidates.kept import Scores
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.proxy import Prepared, Proxy
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.images import Images
from limbeck_applications.nas.study.rows import Made, Scored

PREPARED_IN, WEIGHTS = "prepared", "weights"

TOGETHER = 16
"""Architectures of one structure that are scored in one call at most."""


@dataclass(frozen=True)
class Asked:
    """An architecture that is to be scored.

    Attributes:
        architecture: which.
        start: weights it begins with, or None for fresh ones.
    """

    architecture: Architecture
    start: State | None = None


OnScored = Callable[[int, Scored], None]
"""Told of the place of what was asked, and its score."""


def resolved(kind: str, name: str, component: Component) -> tuple[str, dict[str, Any]]:
    """Return what a key holds of a component: whose it is, and all its options, given or not, as JSON values."""
    return registry().entry(kind, name).qualified, component.options.model_dump(mode="json")


class Scorer:
    """Scores architectures by one proxy from one seed.

    Args:
        images: what they are compared on.
        proxy: specification of the proxy, as JSON values.
        folder: of the study; keeps what the proxy makes, scores and weights.
        scores: of that folder.
        executor: runs the jobs.
        seed: of the proxy: a distilled set and the networks' first weights depend on it.
        weights: whether trained weights are kept.

    Raises:
        UsageError: an unknown proxy, or options that it does not take.
    """

    def __init__(
        self,
        images: Images,
        proxy: Mapping[str, Any],
        folder: Path,
        scores: Scores,
        executor: Executor,
        *,
        seed: int = 0,
        weights: bool = False,
    ) -> None:
        self.images, self.folder, self.scores, self.executor, self.seed = images, folder, scores, executor, seed
        self.proxy: Proxy = registry().create("nas_proxies", dict(proxy))
        self.proxy_spec, self.weights = dict(proxy), weights
        self.problem: Problem = images.problem.with_seed(seed)
        qualified, options = resolved("nas_proxies", proxy["name"], self.proxy)
        seen = self.proxy.depends_on(self.problem)
        self.key = content_key([qualified, options, seen])
        self.place = folder / PREPARED_IN / content_key([qualified, self.proxy.prepared_by(), seen])
        self._space_key = resolved("nas_spaces", images.space_spec["name"], images.space)
        self._digests = TensorDigests()
        self._prepared: Prepared | None = None
        self.held = ""
        self._costs: dict[str, Cost] = {}

    @property
    def prepared(self) -> Prepared:
        """What the proxy made; made now where that is not done.

        Raises:
            UsageError: the proxy cannot be had for these images.
        """
        if self._prepared is None:
            self._prepared = self.proxy.prepare(self.problem, self.place)
            held = {name: self._digests(value) for name, value in self._prepared.tensors.items()}
            self.held = content_key([self.key, held, self._prepared.values, self._space_key])
        return self._prepared

    @property
    def made(self) -> Made:
        """What the proxy made, as tables hold it."""
        made = self.prepared
        return Made(made.seconds, made.images, made.bytes, made.folder)

    def cost(self, architecture: Architecture) -> Cost:
        """Return parameters, FLOPs and structure.

        Raises:
            UsageError: it does not fit the images.
        """
        if architecture.name not in self._costs:
            self._costs[architecture.name] = self.images.space.cost(architecture, self.problem.spec)
        return self._costs[architecture.name]

    def key_of(self, asked: Asked) -> str:
        """Return a name that changes with everything a score depends on."""
        _ = self.prepared
        start = {name: TensorDigests()(value) for name, value in (asked.start or {}).items()}
        return content_key([self.held, list(asked.architecture.genome), start])

    def known(self, asked: Asked) -> Scored | None:
        """Return a score that is there already, or None; a score whose weights are wanted and lost is not there."""
        key = self.key_of(asked)
        found = self.scores.get(key)
        lost = self.weights and self.proxy.trains and not self._place(key).exists()
        return None if lost else found

    def score(self, asked: Sequence[Asked], told: OnScored | None = None) -> list[Scored]:
        """Return the score of each, from disk where it is there; equal ones are scored once.

        Args:
            asked: what to score, in any order and number.
            told: of each score as it comes.
        """
        keys = [self.key_of(each) for each in asked]
        found: dict[str, Scored] = {}
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)

        def arrive(key: str, scored: Scored) -> None:
            found[key] = scored
            if told is not None:
                for place in places[key]:
                    told(place, scored)

        missing: dict[str, Asked] = {}
        for key, each in zip(keys, asked, strict=True):
            if key in found or key in missing:
                continue
            known = self.known(each)
            if known is None:
                missing[key] = each
            else:
                arrive(key, known)
        self._compute(missing, arrive)
        return [found[key] for key in keys]

    def _compute(self, missing: Mapping[str, Asked], arrive: Callable[[str, Scored], None]) -> None:
        """Score what is not there and keep it."""
        groups = self._groups(missing)
        jobs = [self._job({key: missing[key] for key in group}) for group in groups]

        def finished(number: int, result: Result) -> None:
            scores = dict(zip(groups[number], (Scored(**each) for each in result["scores"]), strict=True))
            for key, scored in scores.items():  # all of a call, before somebody who is told ends the search
                if not scored.failed:
                    self._keep(key, missing[key], scored)
            for key, scored in scores.items():
                arrive(key, scored)

        self.executor.run(jobs, None, finished)

    def state(self, asked: Asked) -> State:
        """Return the weights that an architecture was left with; it is trained again where they are lost.

        Raises:
            UsageError: the proxy trains nothing, or training fails.
        """
        if not self.proxy.trains or not self.weights:
            raise UsageError(f"proxy '{self.proxy.name}' trains no network whose weights could be had.")
        path = self._place(self.key_of(asked))
        try:
            return dict(load(path.read_bytes()))
        except (OSError, SafetensorError):
            path.unlink(missing_ok=True)
        scored = self.score([asked])[0]
        if scored.failed:
            raise UsageError(f"'{asked.architecture.name}' has no weights: {scored.failed}")
        return dict(load(path.read_bytes()))

    def _groups(self, missing: Mapping[str, Asked]) -> list[list[str]]:
        """Put what is of one structure together, as far as one call takes it."""
        by_structure: dict[tuple[str, bool], list[str]] = {}
        for key, each in missing.items():
            structure = self.cost(each.architecture).signature, each.start is not None
            by_structure.setdefault(structure, []).append(key)
        return [
            keys[first : first + TOGETHER] for keys in by_structure.values() for first in range(0, len(keys), TOGETHER)
        ]

    def _job(self, group: Mapping[str, Asked]) -> Job:
        tensors: dict[str, Tensor] = {PREPARED + name: value for name, value in self.prepared.tensors.items()}
        for place, each in enumerate(group.values()):
            tensors |= {f"{START}{place}.{name}": value for name, value in (each.start or {}).items()}
        parts = {"validation": self.problem.validation} if self.proxy.validates else {}
        config = {
            "space": self.images.space_spec,
            "proxy": self.proxy_spec,
            "values": self.prepared.values,
            "candidates": [self._candidate(key, each) for key, each in group.items()],
            "data": self.problem.spec.to_dict(),
            "device": str(self.images.device),
        }
        title = ", ".join(each.architecture.name for each in group.values())
        return Job(f"{HERE}:guarded", config, tensors | tensors_of(self.problem.spec, **parts), title)

    def _candidate(self, key: str, asked: Asked) -> dict[str, Any]:
        weights = str(self._place(key)) if self.weights and self.proxy.trains else ""
        seed = derive_seed(self.seed, "nas", "candidate")
        return {"genome": list(asked.architecture.genome), "seed": seed, "weights": weights}

    def _keep(self, key: str, asked: Asked, scored: Scored) -> None:
        where = {"proxy": self.proxy_spec["name"], "seed": self.seed, "architecture": asked.architecture.name}
        self.scores.add(key, scored, **where)

    def _place(self, key: str) -> Path:
        return self.folder / WEIGHTS / f"{key}.safetensors"
