"""The errors a user can cause, each printed as one line without a traceback.

A message says what was asked, what was found, what is allowed and what to type.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LimbeckError(Exception):
    """A run that failed for a reason the user can act on (exit status 1)."""

    exit_code = 1


class UsageError(LimbeckError):
    """A request that cannot be carried out as it was typed (exit status 2)."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that no component of its kind has."""


class MissingExtraError(UsageError):
    """A component whose optional library is not installed."""


class DataError(UsageError):
    """Real data that cannot be used: missing files, empty classes, NaN pixels, mixed sizes."""


class ArtifactError(LimbeckError):
    """A synthetic set that cannot be read: truncated, altered, from a newer version."""


class CheckpointError(LimbeckError):
    """A checkpoint that cannot be continued from."""


class DivergenceError(LimbeckError):
    """A loss that stopped being a finite number."""


class PluginError(LimbeckError):
    """A plugin that could not be loaded or that broke a rule of its hook."""


class LimbeckWarning(UserWarning):
    """Something asked for that works, but seldom as it is meant to."""


def closest(asked: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name most like ``asked``, or None when none is near."""
    matches = difflib.get_close_matches(asked, list(allowed), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown_name(what: str, asked: str, allowed: Iterable[str], hint: str = "") -> UnknownNameError:
    """Build the error for a name nobody knows: the closest match, then all that are allowed.

    Args:
        what: the sort of thing asked for, in the singular ("matcher").
        asked: the name as the user typed it.
        allowed: every name that would have been understood.
        hint: what to type to learn more, a full sentence.
    """
    names = sorted(allowed)
    near = closest(asked, names)
    guess = f" Did you mean '{near}'?" if near else ""
    listed = ", ".join(names) if names else "none is installed"
    return UnknownNameError(f"unknown {what} '{asked}'.{guess} Known: {listed}.{' ' + hint if hint else ''}")
