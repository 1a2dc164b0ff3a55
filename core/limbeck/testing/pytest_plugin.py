"""Fixtures for the tests of plugins, there as soon as Limbeck is installed. Loading this costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.data import RealData
    from limbeck.registry import Registry


@pytest.fixture
def limbeck_registry() -> Iterator[Registry]:
    """A registry of its own for one test: files that the test loads are forgotten afterwards."""
    from limbeck.plugins import load_installed, using

    with using(load_installed()) as registry:
        yield registry


@pytest.fixture
def limbeck_plugin(limbeck_registry: Registry) -> Callable[[str | Path], Registry]:
    """Load a plugin file for one test: ``limbeck_plugin("mine.py")`` returns the registry with what it offers.

    A file that cannot be used fails the test.
    """
    from limbeck.plugins import load_files

    def load(path: str | Path) -> Registry:
        before = list(limbeck_registry.failures)
        load_files([path])
        failed = [failure for failure in limbeck_registry.failures if failure not in before]
        assert not failed, f"the plugin file {path} {failed[0].reason}"
        return limbeck_registry

    return load


@pytest.fixture
def conformance(limbeck_registry: Registry) -> Callable[[str, str], None]:
    """Check what a component promises: ``conformance("matcher", "mine")``; every failed check is listed."""
    from limbeck.testing import conformance

    return conformance


@pytest.fixture
def tiny_data() -> RealData:
    """Real images of 3 classes, 10 each, uint8 [30, 3, 8, 8]."""
    from limbeck.testing.cases import tiny_data

    return tiny_data()


@pytest.fixture
def tiny_network() -> Any:
    """A ``FunctionalNetwork`` for the images of ``tiny_data``, in float32."""
    from limbeck.testing.cases import tiny_network

    return tiny_network()
