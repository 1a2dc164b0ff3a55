"""Plugins into and out of this interpreter: a thin layer over its own pip."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck.discovery import GROUP
from limbeck.entries import DISTRIBUTION, canonical, singular
from limbeck.errors import LimbeckError, UsageError, unknown_name

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def install(targets: Sequence[str], *, editable: bool = False) -> list[str]:
    """Install plugins and say what each of them offers.

    Args:
        targets: folders, wheels, names or addresses, as pip takes them.
        editable: leave a folder where it is, so that changes of its code count at once.

    Returns:
        A line for each distribution that was installed.

    Raises:
        UsageError: a folder that is no package, or Limbeck itself.
        LimbeckError: pip failed, or a distribution that was installed cannot be used.
    """
    folders = [Path(target) for target in targets if _is_folder(target)]
    for folder in folders:
        _require_package(folder)
    for target in targets:
        _require_no_folder(target)
    if any(canonical(re.split(r"[\[<>=!~;@ ]", target)[0]) == DISTRIBUTION for target in targets):
        raise UsageError("Limbeck is installed: this command is part of it. Name a plugin.")
    options = ["--no-build-isolation"] if folders and all(map(can_build, folders)) else []
    requirements = [part for target in targets for part in (["--editable", target] if editable else [target])]
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.json"
        _pip("install", "--quiet", *options, "--report", str(report), *requirements)
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    wanted = [part["metadata"]["name"] for part in installed if part.get("requested", True)]
    return [_offer_line(name, seen) for seen in [_fresh_listing()] for name in wanted]


def uninstall(names: Sequence[str]) -> list[str]:
    """Remove plugins by the names of their distributions, with or without ``limbeck-``.

    Returns:
        The distributions that were removed.

    Raises:
        UsageError: Limbeck itself, or a name that no installed plugin has.
        LimbeckError: pip failed.
    """
    chosen = [find_distribution(name) for name in names]
    if DISTRIBUTION in chosen:
        raise UsageError(
            f"'{DISTRIBUTION}' is the tool itself. To remove it, type: {sys.executable} -m pip uninstall limbeck"
        )
    _pip("uninstall", "--quiet", "--yes", *chosen)
    return chosen


def find_distribution(name: str) -> str:
    """Return the installed distribution with entry points for Limbeck that a name stands for.

    Raises:
        UnknownNameError: there is none; the closest is named.
    """
    points = importlib.metadata.entry_points(group=GROUP)
    known = {canonical(point.dist.name): point.dist.name for point in points if point.dist}
    for candidate in (canonical(name), canonical(f"{DISTRIBUTION}-{name}")):
        if candidate in known:
            return known[candidate]
    others = [found for found in known.values() if found != DISTRIBUTION]
    raise unknown_name("plugin distribution", name, others, "Type 'limbeck plugins' to see them.")


def can_build(folder: Path) -> bool:
    """Whether what a package's folder is built with is installed here, so that pip need not fetch it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    needed = project.get("build-system", {}).get("requires", ["setuptools", "wheel"])
    return all(_has(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in needed)


def _has(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _is_folder(target: str) -> bool:
    """Whether a target is a folder rather than a name: pip asks for a slash or a leading dot, too."""
    return ("/" in target or target.startswith(".")) and "://" not in target and not target.endswith((".whl", ".gz"))


def _require_package(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}. A plugin's name is written without '/'.")
    if not (folder / "pyproject.toml").is_file():
        raise UsageError(
            f"{folder} holds no pyproject.toml, so it is no package. 'limbeck plugins new' writes one; a single file "
            "needs no installation: limbeck -p FILE."
        )


def _require_no_folder(target: str) -> None:
    """Refuse a bare name that is also a folder here: pip would fetch a stranger's package of that name."""
    if not _is_folder(target) and Path(target).is_dir():
        raise UsageError(
            f"'{target}' is a folder here, and without a slash it stands for a package on the index. For the folder, "
            f"type: limbeck plugins install ./{target}"
        )


def _pip(*arguments: str) -> None:
    """Run pip.

    Raises:
        LimbeckError: there is none, or it failed; its last error is repeated.
    """
    if importlib.util.find_spec("pip") is None:
        raise LimbeckError(f"{sys.executable} has no pip. Type: {sys.executable} -m ensurepip")
    finished = subprocess.run([*PIP, *arguments], capture_output=True, text=True, check=False)
    if finished.returncode:
        lines = [
            line.strip() for line in [*finished.stdout.splitlines(), *finished.stderr.splitlines()] if line.strip()
        ]
        errors = [line for line in lines if re.match(r"error: ", line, re.IGNORECASE)]
        reason = re.sub(r"^error: ", "", (errors or lines or ["no message"])[0], flags=re.IGNORECASE)
        raise LimbeckError(f"pip {arguments[0]} failed: {reason.rstrip('.')}.")


def _fresh_listing() -> dict[str, Any]:
    """Return what a new process finds: this one has read the list of distributions already."""
    command = [sys.executable, "-m", "limbeck", "plugins", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise LimbeckError(f"limbeck no longer starts: {(finished.stderr.splitlines() or ['no message'])[-1]}")
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def _offer_line(name: str, seen: dict[str, Any]) -> str:
    """Say what a distribution offers.

    Raises:
        LimbeckError: it is left out, or has nothing for Limbeck.
    """
    for failure in seen["failures"]:
        if canonical(failure["distribution"]) == canonical(name):
            raise LimbeckError(f"{name} is installed, but its plugin '{failure['name']}' {failure['reason']}.")
    if canonical(name) in map(canonical, seen["skipped"]):
        raise LimbeckError(f"{name} is installed, but LIMBECK_PLUGINS leaves it out.")
    mine = [plugin for plugin in seen["plugins"] if canonical(plugin["distribution"]) == canonical(name)]
    if not mine:
        raise LimbeckError(f"{name} is installed, but has no entry point of the group '{GROUP}': it offers nothing.")
    offers = [f"the {singular(offer['kind'])} '{offer['name']}'" for plugin in mine for offer in plugin["offers"]]
    hooks = [f"the hook {hook}" for plugin in mine for hook in plugin["hooks"] if not hook.startswith("register_")]
    return f"{name} {mine[0]['version']} offers {', '.join([*offers, *hooks])}"
