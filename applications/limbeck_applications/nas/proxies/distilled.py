"""Proxies that train on a few images: a distilled set of any method, or real images that a selector picked.

Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4.3: ten images a
class in place of the whole set, 100 passes, against random and herding images of the same number. Public code
VICO-UoE/DatasetCondensation (MIT) has the methods, and none of the search.

The same: a set is made once, with one network, and every architecture is trained on it from fresh weights. Different:
it comes from any registered method, with the formation, the labels and, unless another is asked for, the augmentation
that belong to it; more images and fewer passes by default (``ipc=10,epochs=100`` are the paper's); its distillation
counts in seconds, which the paper leaves out. What several distilling networks need, a pool as network source, stands
in ``settings``.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from limbeck.config import RunConfig, Spec, merge
from limbeck.configure import configure
from limbeck.continued import run_on
from limbeck.data import DataSet
from limbeck.errors import ArtifactError, UsageError
from limbeck.evaluation.job import FORMATION, PROJECTOR
from limbeck.evaluation.measure import make_measurement, material_of
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.trials import Material
from limbeck.files import content_key, read_json, write_json
from limbeck.networks import build_network
from limbeck.synthetic import SyntheticSet
from limbeck.synthetic.sets import Storage
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.proxies.trained import IPC, TrainedProxy, kept
from limbeck_applications.nas.proxy import Prepared

SPENT = "seconds.json"
"""In the folder of a finished set: what it took to make."""

RECIPE = Spec(name="recipe")
"""Stands for the augmentation that a set was made for."""


class FewImages(TrainedProxy):
    """Accuracy after training on a few images that a registered method makes or picks."""

    class Options(TrainedProxy.Options):
        """How the images are made, and how each architecture is trained on them."""

        ipc: int = Field(IPC, ge=1, description="images a class")
        network: str | None = Field(None, description="network to make them with; the problem's when not given")
        profile: Literal["published", "small"] = Field("small", description="the method's settings")
        storage: Storage = Field("float32", description="number format of the pixels")
        augmentation: Spec | None = Field(
            RECIPE, description="of the images, by name; recipe: the one that the method names; none when null"
        )
        settings: dict[str, Any] = Field({}, description="further sections of the run, such as optimiser")

    trial_options: ClassVar = {"ipc": 1, "epochs": 2}

    @property
    @abstractmethod
    def method(self) -> str:
        """The registered method that makes the images."""

    def limits(self) -> dict[str, Any]:
        """Return the budget of making the images, where it is not the method's own."""
        return {}

    def sections(self, network: str) -> dict[str, Any]:
        """Return further sections of the run that name its network; none by default."""
        return {}

    def prepared_by(self) -> dict[str, Any]:
        """Return the options of making the images; those of training on them aside."""
        training = set(TrainedProxy.Options.model_fields)
        values: dict[str, Any] = self.options.model_dump(mode="json", exclude=training)
        return values

    def config(self, problem: Problem) -> RunConfig:
        """Return the run that makes the images.

        Raises:
            UsageError: an unknown method, settings that it does not take, or a budget for a method that needs none.
        """
        options, limits = self.options, self.limits()
        network = options.network or problem.network
        asked: dict[str, Any] = {
            "ipc": options.ipc,
            "seed": problem.seed,
            "network": network,
            "data": {"name": problem.spec.name},
            "storage": options.storage,
            "evaluation": {"networks": 0},
            "execution": {"device": str(problem.device)},
            **self.sections(network),
        }
        own = {**options.settings, **({"budget": limits} if limits else {})}
        found = configure(self.method, None, options.profile, merge(asked, own))
        if limits and found.matcher is None:
            raise UsageError(f"'{self.method}' picks real images in one go: leave {' and '.join(limits)} out.")
        return found

    def check(self, problem: Problem) -> None:
        """Refuse an unknown method or network, and settings that the method does not take.

        Args:
            problem: the images.

        Raises:
            UsageError: says which there are.
        """
        build_network(self.config(problem).network, problem.spec, problem.device)

    def prepare(self, problem: Problem, folder: Path) -> Prepared:
        """Make the images, or find them in ``folder``, or go on with what was begun there.

        Args:
            problem: the images; ``train`` is what they are made of.
            folder: keeps the run.

        Raises:
            UsageError: the method refuses these images or settings.
            DivergenceError: the loss stopped being finite.
        """
        config, data = self.config(problem), DataSet(problem.spec, problem.train, problem.train)
        place = folder / _key(config, problem)
        made, seconds = _made(config, data, place, problem.cache)
        began, recipe = time.perf_counter(), self.recipe(made)
        material = _material(made, recipe, problem)
        further = {PROJECTOR + key: value for key, value in material.projector.items()}
        further |= {FORMATION + key: value for key, value in material.formation.items()}
        prepared = kept(
            material.images,
            material.labels,
            material.group,
            material.spec,
            recipe,
            label_kind=material.label_kind,
            seed=problem.seed,
            further=further,
        )
        seconds += time.perf_counter() - began
        return replace(prepared, seconds=seconds, images=len(made), bytes=material.bytes, folder=place)

    def recipe(self, made: SyntheticSet) -> Recipe:
        """Return how networks are trained on a set: its own recipe, unless another augmentation is asked for."""
        recipe, own = Recipe.from_dict(made.recipe), self.options.augmentation
        if own == RECIPE:
            return recipe
        return recipe.with_(augmentation=None if own is None else own.model_dump())


class Distilled(FewImages):
    """Accuracy after training on a set distilled by any registered method."""

    class Options(FewImages.Options):
        """The method, and how each architecture is trained on its images."""

        method: str = Field("dm", description="registered method that makes the images")
        steps: int | None = Field(None, ge=1, description="updates of the images; the method's own when not given")
        seconds: float | None = Field(None, gt=0, description="time for distilling; the method's own when not given")

    trial_options: ClassVar = {"ipc": 1, "epochs": 2, "steps": 1}

    @property
    def method(self) -> str:
        """The method asked for."""
        return str(self.options.method)

    def limits(self) -> dict[str, Any]:
        """Return the budget asked for."""
        return {key: value for key in ("steps", "seconds") if (value := getattr(self.options, key)) is not None}


class RandomSubset(FewImages):
    """Accuracy after training on real images taken by lot."""

    @property
    def method(self) -> str:
        """The method random."""
        return "random"


class HerdingSubset(FewImages):
    """Accuracy after training on real images whose features lie near the mean of their class."""

    @property
    def method(self) -> str:
        """The method herding."""
        return "herding"

    def sections(self, network: str) -> dict[str, Any]:
        """Let the network of the run give the features."""
        return {"selector": {"network": network}}


def _key(config: RunConfig, problem: Problem) -> str:
    """Return a short name that changes with every setting and image a set depends on."""
    budget = config.budget.model_dump(mode="json", exclude_none=True)
    identity = [config.identity(), budget, problem.train.digest(), problem.device.type]
    return f"{config.method}-{content_key(identity)[:12]}"


def _made(config: RunConfig, data: DataSet, place: Path, cache: Path | None) -> tuple[SyntheticSet, float]:
    """Return the set and the seconds it took, found in ``place`` or made now."""
    if (place / SPENT).exists():
        try:
            return SyntheticSet.load(place), float(read_json(place / SPENT)["seconds"])
        except (ArtifactError, ValueError, KeyError, OSError):
            pass
    _import_optimisers()
    began = time.perf_counter()
    made = run_on(config, data, folder=place, cache=cache, page=False).synthetic
    # What is stated counts earlier starts and networks found in a cache; the clock counts setting up, and teachers.
    seconds = max(_stated(made, config), time.perf_counter() - began)
    write_json(place / SPENT, {"seconds": round(seconds, 3)})
    return made, seconds


def _import_optimisers() -> None:
    """Take a first step, which in a process imports for seconds that no set is to blame for."""
    weight = torch.zeros((), requires_grad=True)
    weight.grad = torch.zeros(())
    torch.optim.SGD([weight], lr=1.0).step()


def _material(made: SyntheticSet, recipe: Recipe, problem: Problem) -> Material:
    """Return what networks train on, a label projector made ready for it."""
    real = problem.train.seen_as(made.spec)
    seen = DataSet(made.spec, real, real)
    return material_of(made, seen, recipe, make_measurement(seen, problem.seed, problem.device, torch.float32, None))


def _stated(made: SyntheticSet, config: RunConfig) -> float:
    """Return what the set says it took; a selector's seconds hold those of its network, a matcher's do not."""
    stated = made.provenance
    apart = 0.0 if config.matcher is None else float(stated.get("features_seconds") or 0.0)
    return float(stated["seconds"]) + apart
