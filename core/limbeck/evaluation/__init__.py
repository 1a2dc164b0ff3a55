"""Evaluation: what a set is worth to networks that never saw the real images."""

from limbeck.evaluation.baselines import evaluate_with_baselines, rows_for_scores, whole_recipe
from limbeck.evaluation.measure import evaluate_set
from limbeck.evaluation.protocol import Protocol, augmentation_of
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation, load_rows, save_rows
from limbeck.evaluation.scores import augmentation_robust_score, label_robust_score, scores_of

__all__ = [
    "Evaluation",
    "Protocol",
    "Recipe",
    "augmentation_of",
    "augmentation_robust_score",
    "evaluate_set",
    "evaluate_with_baselines",
    "label_robust_score",
    "load_rows",
    "rows_for_scores",
    "save_rows",
    "scores_of",
    "whole_recipe",
]
