"""The pytest plugin: there for everybody who installs Limbeck, and in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

HEAVY = ["torch", "numpy", "pydantic", "yaml", "click", "safetensors"]


def test_it_is_found_by_pytest(pytestconfig):
    [point] = metadata.entry_points(group="pytest11", name="limbeck")
    assert pytestconfig.pluginmanager.get_plugin("limbeck") is point.load()


def test_loading_it_imports_nothing_beyond_pytest():
    code = (
        f"import pytest, sys; import limbeck.testing.pytest_plugin; print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"


def test_a_file_is_loaded_for_one_test(limbeck_plugin, limbeck_registry, loose):
    source = """
    import limbeck

    @limbeck.hookimpl
    def register_matchers(register):
        register("mine", "nowhere:Mine")
    """
    assert limbeck_plugin(loose(source)) is limbeck_registry
    assert "mine" in limbeck_registry.names("matchers")


def test_and_forgotten_afterwards(limbeck_registry):
    from limbeck.plugins import registry

    assert registry() is limbeck_registry
    assert "mine" not in limbeck_registry.names("matchers")


def test_a_file_that_cannot_be_used_fails_the_test(limbeck_plugin, loose):
    with pytest.raises(AssertionError, match=r"the plugin file .*mine\.py raised ZeroDivisionError"):
        limbeck_plugin(loose("1 / 0\n"))


def test_tiny_data_fit_the_tiny_network(tiny_data, tiny_network):
    import torch

    state = tiny_network.initial(torch.Generator().manual_seed(0))
    logits = tiny_network(state, tiny_data.take(torch.arange(4)))
    assert logits.shape == (4, tiny_data.spec.num_classes)


def test_conformance_is_a_fixture(conformance):
    conformance("formation", "identity")
    with pytest.raises(Exception, match="unknown formation 'identiti'"):
        conformance("formation", "identiti")
