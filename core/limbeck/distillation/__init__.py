"""The distillation loop: set-up, steps, checkpoints, and what a run leaves behind."""

from limbeck.distillation.parts import Parts
from limbeck.distillation.run import Interrupted, distil
from limbeck.distillation.setup import set_up

__all__ = ["Interrupted", "Parts", "distil", "set_up"]
