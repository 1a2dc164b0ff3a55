"""The kinds of component that continual learning adds; any plugin may fill them."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookspec


@hookspec
def register_continual_benchmarks(register: Register) -> None:
    """Offer continual benchmarks: streams of experiences made of a data set.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)`` with a subclass of
            ``limbeck_applications.continual.stream.ContinualBenchmark``.
    """


@hookspec
def register_continual_strategies(register: Register) -> None:
    """Offer continual strategies: ways to learn a stream.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=..., extra=...)`` with a subclass of
            ``limbeck_applications.continual.strategy.Strategy``.
    """
