"""The one trainer: inner loops, evaluation, experts, teachers and retraining all call ``fit``."""

from limbeck.training.data import Samples, TrainData
from limbeck.training.fit import FitResult, Progress, Snapshot, fit
from limbeck.training.metrics import Accuracy, accuracy
from limbeck.training.schedule import Budget, Constant, Cosine, Epochs, Schedule, Steps, StepSchedule
from limbeck.training.sharpness import Sharpness
from limbeck.training.teacher import Teacher

__all__ = [
    "Accuracy",
    "Budget",
    "Constant",
    "Cosine",
    "Epochs",
    "FitResult",
    "Progress",
    "Samples",
    "Schedule",
    "Sharpness",
    "Snapshot",
    "StepSchedule",
    "Steps",
    "Teacher",
    "TrainData",
    "accuracy",
    "fit",
]
