"""Help and listings are quick, and load nothing heavy."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

HEAVY = ["torch", "torchvision", "sklearn", "scipy", "matplotlib", "jinja2", "PIL", "numpy", "safetensors", "avalanche"]
LIGHT_COMMANDS = [
    ["--help"],
    ["--version"],
    ["list"],
    ["list", "--json"],
    ["list", "matchers"],
    ["list", "networks", "--json"],
    ["list", "--help"],
    ["show", "method", "dm"],
    ["show", "command", "list"],
    ["list", "continual_strategies"],
    ["continual", "--help"],
    ["continual", "run", "--help"],
    ["data", "--help"],
    ["data", "list"],
    ["data", "list", "--help"],
    ["data", "check", "--help"],
    ["plugins"],
    ["plugins", "--json"],
    ["plugins", "--help"],
    ["plugins", "check", "--help"],
]
HELP_SECONDS = 0.3
SLACK = 2.0  # other work on the machine slows even the time that this process alone is counted for


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", LIGHT_COMMANDS, ids=" ".join)
def test_explaining_commands_import_nothing_heavy(arguments):
    code = f"""
import sys
from limbeck.cli import main
status = main({arguments!r})
loaded = sorted(set({HEAVY!r}) & set(sys.modules))
sys.exit(f"status {{status}}, loaded {{loaded}}" if status or loaded else 0)
"""
    finished = run(code)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout


def test_importing_the_package_and_its_registry_imports_nothing_heavy():
    code = f"""
import sys
import limbeck, limbeck.hookspecs, limbeck.events
from limbeck.plugins import registry
assert registry().names("matchers")
sys.exit(str(sorted(set({HEAVY!r}) & set(sys.modules))) if set({HEAVY!r}) & set(sys.modules) else 0)
"""
    finished = run(code)
    assert finished.returncode == 0, finished.stderr


def test_the_test_above_can_fail():
    code = "import sys; from limbeck.cli import main; main(['show', 'matcher', 'gradient']);"
    assert run(f"{code} print('torch' in sys.modules)").stdout.splitlines()[-1] == "True"


def test_help_is_quick():
    command = [sys.executable, "-c", "from limbeck.cli import main; main(['--help'])"]
    environment = {**os.environ, "LIMBECK_PLUGINS": ""}
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < SLACK * HELP_SECONDS, seconds
