"""The kinds of component that architecture search adds; any plugin may fill them."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookspec


@hookspec
def register_nas_spaces(register: Register) -> None:
    """Offer search spaces: sets of architectures that can be sampled, varied and built.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)`` with a subclass of
            ``limbeck_applications.nas.space.SearchSpace``.
    """


@hookspec
def register_nas_proxies(register: Register) -> None:
    """Offer proxies: cheap numbers that rank architectures as full training would.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=..., extra=...)`` with a subclass of
            ``limbeck_applications.nas.proxy.Proxy``.
    """


@hookspec
def register_nas_searchers(register: Register) -> None:
    """Offer searchers: ways to find a good architecture within a number of evaluations.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=..., extra=...)`` with a subclass of
            ``limbeck_applications.nas.searcher.Searcher``.
    """
