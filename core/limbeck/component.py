"""What every registered class has in common: options, and how a variant's name becomes options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase


class Component:
    """A named part of a run. The constructor stores options and does no work.

    Attributes:
        name: the name it was asked for by, set by the registry.
        options: validated settings, an instance of the nested ``Options`` class.
        trial_options: what ``limbeck plugins check`` tries the component with, where its defaults would take long
            or an option is required.
    """

    Options: ClassVar[type[OptionsBase]] = OptionsBase
    trial_options: ClassVar[Mapping[str, Any]] = {}
    name: str = ""

    def __init__(self, options: Any = None) -> None:
        self.options: Any = self.Options() if options is None else options

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Turn what follows the registered name (``-d3-w32-in``) into option values.

        Args:
            tokens: the parts between hyphens, in order, without the registered name.

        Raises:
            UsageError: this component has no variants, or a token means nothing to it.
        """
        raise UsageError(f"'{tokens[0]}' is not a variant: this component has none.")
