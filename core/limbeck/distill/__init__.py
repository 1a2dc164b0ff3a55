"""The distillation loop: set-up, steps, checkpoints, and what a run leaves behind."""

from limbeck.distill.run import Interrupted, distil
from limbeck.distill.setup import Parts, set_up

__all__ = ["Interrupted", "Parts", "distil", "set_up"]
