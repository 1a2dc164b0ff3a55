"""Evaluation: what a set is worth to networks that never saw the real images."""

from limbeck.evaluation.baselines import evaluate_with_baselines, whole_recipe
from limbeck.evaluation.measure import evaluate_set
from limbeck.evaluation.protocol import Protocol
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation, load_rows, save_rows

__all__ = [
    "Evaluation",
    "Protocol",
    "Recipe",
    "evaluate_set",
    "evaluate_with_baselines",
    "load_rows",
    "save_rows",
    "whole_recipe",
]
