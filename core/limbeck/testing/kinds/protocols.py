"""What a protocol promises: a recipe that travels with a set and can be carried out."""

from __future__ import annotations

import json

from limbeck.evaluation import Protocol, Recipe
from limbeck.plugins import registry
from limbeck.testing.general import names_its_source
from limbeck.testing.suite import Subject, require

BASE = Protocol
NETWORK = "a-network"
STORED = Recipe.model_validate(
    {"network": "another", "epochs": 7, "labels": {"name": "hard", "kept": 1}, "formation": {"name": "kept"}}
)


def _recipe(subject: Subject, stored: Recipe | None = None) -> Recipe:
    protocol: Protocol = subject.make()
    return protocol.recipe(NETWORK, stored)


def recipes_survive_json(subject: Subject) -> None:
    """Its recipe can be written into a set and read back."""
    for stored in (None, STORED):
        recipe = _recipe(subject, stored)
        require(isinstance(recipe, Recipe), f"it returns {type(recipe).__name__}, not a Recipe")
        require(Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe, "other numbers are read back")


def names_itself_and_its_network(subject: Subject) -> None:
    """Its recipe is for the network that was asked for, and names the protocol."""
    for stored in (None, STORED):
        recipe = _recipe(subject, stored)
        require(recipe.network == NETWORK, f"asked for '{NETWORK}', it trains '{recipe.network}'")
        require(recipe.protocol == subject.name, f"its recipe names the protocol '{recipe.protocol}'; use self.name")


def keeps_labels_and_formation(subject: Subject) -> None:
    """Labels and formation of the set are kept: without them its images mean something else."""
    recipe = _recipe(subject, STORED)
    require(recipe.labels == STORED.labels, f"labels {STORED.labels} become {recipe.labels}")
    require(recipe.formation == STORED.formation, f"formation {STORED.formation} becomes {recipe.formation}")


def names_what_exists(subject: Subject) -> None:
    """Every component that its recipe names exists and takes the options given."""
    recipe = _recipe(subject)
    require(recipe.epochs > 0, "it trains for no epoch")
    parts = {"augmentations": recipe.augmentation, "label_projectors": recipe.labels, "formations": recipe.formation}
    for kind, spec in parts.items():
        if spec is not None:
            registry().create(kind, spec)


CHECKS = (
    names_its_source,
    recipes_survive_json,
    names_itself_and_its_network,
    keeps_labels_and_formation,
    names_what_exists,
)
