"""What a pool promises: names of networks that can be built."""

from __future__ import annotations

from limbeck.errors import MissingExtraError, UsageError
from limbeck.networks.pool import Pool
from limbeck.plugins import registry
from limbeck.testing.suite import Subject, require

BASE = Pool


def _members(subject: Subject) -> dict[str, list[str]]:
    """Return the members for every network that ships, those aside that the pool refuses."""
    found: dict[str, list[str]] = {}
    for network, entry in registry().entries("networks").items():
        if not entry.is_shipped:
            continue
        try:
            registry().load("networks", network)
            found[network] = subject.make().members(network)
        except MissingExtraError:
            continue
        except UsageError as refusal:
            require("\n" not in str(refusal), f"the refusal of '{network}' has several lines")
    return found


def serves_some_network(subject: Subject) -> None:
    """It names networks for at least one set."""
    require(any(_members(subject).values()), "it refuses every network")


def names_each_once(subject: Subject) -> None:
    """No network is named twice."""
    for network, names in _members(subject).items():
        require(len(set(names)) == len(names), f"for '{network}' it names {names}")


def names_what_exists(subject: Subject) -> None:
    """Every network it names exists, with the variant that it names."""
    for names in _members(subject).values():
        for name in names:
            registry().create("networks", name)


CHECKS = (serves_some_network, names_each_once, names_what_exists)
