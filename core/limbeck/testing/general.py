"""What is asked of everything that is registered, of whatever kind."""

from __future__ import annotations

import functools
import inspect
import os
import re
import subprocess
import sys

import click

from limbeck.entries import read_target
from limbeck.methods import read_method
from limbeck.testing.suite import NotApplicable, Subject, require

HEAVY = (
    "torch", "torchvision", "numpy", "scipy", "sklearn", "pandas", "matplotlib", "PIL", "cv2", "safetensors", "jinja2",
    "timm", "transformers", "tensorflow", "jax", "tensorboard", "wandb",
)  # fmt: skip
"""Libraries that a plugin's module leaves to the modules it points to."""

SOURCE = re.compile(r"arXiv:\d{4}\.\d{4,5}|10\.\d{4,}/\S+|\bbaseline\b|\bunpublished\b", re.IGNORECASE)


def registered_with_a_summary(subject: Subject) -> None:
    """The registration has a summary: one line, without a full stop."""
    summary = subject.entry.summary
    require(summary.strip(), f'has none; register("{subject.entry.name}", ..., summary="what it does")')
    require("\n" not in summary and not summary.endswith("."), f"is {summary!r}")


def says_what_it_does(subject: Subject) -> None:
    """It has a description of its own."""
    require(_description(subject).strip(), "has no docstring; 'limbeck show' would have nothing to say")


def names_its_source(subject: Subject) -> None:
    """It says where it was published."""
    module = sys.modules.get(getattr(subject.cls, "__module__", "")) if subject.kind != "methods" else None
    texts = [subject.entry.paper, _description(subject), inspect.getdoc(module) or "" if module else ""]
    require(
        any(SOURCE.search(text) for text in texts),
        "names no arXiv number or DOI in its registration or docstrings; write 'unpublished' where there is none",
    )


def imports_nothing_heavy(subject: Subject) -> None:
    """Its plugin's module, loaded at every start, imports no heavy library."""
    if not subject.entry.version:
        raise NotApplicable("a single file may import what it needs")
    loaded = heavy_imports(f"import {subject.entry.module}", tuple(sys.path))
    require(not loaded, f"the module '{subject.entry.module}' imports {', '.join(loaded)}; register names as strings")


@functools.cache
def heavy_imports(code: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return which heavy libraries a fresh interpreter has loaded after ``code``.

    Args:
        code: Python that a plugin's author controls only by what it imports.
        path: where modules are looked for.
    """
    report = f"import sys\n{code}\nsys.stderr.write('|'.join(sorted(set({HEAVY!r}) & set(sys.modules))))"
    finished = subprocess.run(
        [sys.executable, "-P", "-c", report],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
    lines = finished.stderr.splitlines()
    require(finished.returncode == 0, f"'{code}' fails in a fresh interpreter: {lines[-1] if lines else 'no message'}")
    return tuple(name for name in (lines[-1] if lines else "").split("|") if name)


def _description(subject: Subject) -> str:
    if subject.kind == "methods":
        return read_method(read_target(subject.entry), subject.entry.name).summary
    target = subject.cls
    if isinstance(target, click.Command):
        return target.help or ""
    own = target.__doc__ if isinstance(target, type) else inspect.getdoc(target)
    return own or ""


CHECKS = (registered_with_a_summary, says_what_it_does, imports_nothing_heavy)
