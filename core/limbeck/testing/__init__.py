"""What every component promises, as checks: for ``limbeck plugins check``, and for the tests of plugins.

Each module holds the checks of one kind, plain functions that take a ``Subject`` and raise ``Broken`` or
``NotApplicable``. Importing this package is cheap; torch is loaded when the first check runs.
"""

from limbeck.testing.suite import Broken, NotApplicable, Outcome, Subject, check, conformance

__all__ = ["Broken", "NotApplicable", "Outcome", "Subject", "check", "conformance"]
