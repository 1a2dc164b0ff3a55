"""What an application promises: a module, and kinds of its own that are declared."""

from __future__ import annotations

import inspect

from limbeck.plugins import registry
from limbeck.testing.suite import Subject, require


def is_a_module(subject: Subject) -> None:
    """It is a module that can be imported."""
    require(inspect.ismodule(subject.cls), f"it is of type {type(subject.cls).__name__}")


def its_kinds_are_known(subject: Subject) -> None:
    """Every kind that its distribution declares says what it offers."""
    for kind in map(registry().kind, registry().kinds()):
        own = kind.distribution == subject.entry.distribution
        require(not own or kind.summary, f"the hook register_{kind.name} has no docstring 'Offer ...: what they are.'")


CHECKS = (is_a_module, its_kinds_are_known)
