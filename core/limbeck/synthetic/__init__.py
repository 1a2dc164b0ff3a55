"""Synthetic sets: the learned images, how they are stored, formed and labelled."""

from limbeck.synthetic.formation import Formation
from limbeck.synthetic.labels import LabelProjector, ProjectorContext
from limbeck.synthetic.sets import SyntheticSet

__all__ = ["Formation", "LabelProjector", "ProjectorContext", "SyntheticSet"]
