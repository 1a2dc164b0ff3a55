"""What an importer promises: it reads other people's files without trusting them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from limbeck.errors import LimbeckError
from limbeck.synthetic.importer import Importer
from limbeck.testing.cases import SPEC
from limbeck.testing.suite import Subject, require

BASE = Importer


class _Payload:
    """Code in a pickle: whoever loads it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self._folder,)


@contextlib.contextmanager
def _hostile() -> Iterator[tuple[list[Path], Path]]:
    """Give files that are no synthetic set, one of them with code in it, and the folder that code would make."""
    with tempfile.TemporaryDirectory() as name:
        place, proof = Path(name), Path(name) / "code-was-run"
        text, cut, code, empty = (place / file for file in ("notes.pt", "cut.pt", "code.pt", "empty"))
        text.write_text("no tensors here\n")
        torch.save([torch.zeros(3, *SPEC.shape)], cut)
        cut.write_bytes(cut.read_bytes()[:-200])
        torch.save({"data": [[torch.zeros(3, *SPEC.shape), torch.arange(3)]], "extra": _Payload(proof)}, code)
        empty.mkdir()
        yield [text, cut, code, empty, place / "missing.pt"], proof


def refuses_what_it_cannot_read(subject: Subject) -> None:
    """Text, a truncated file, an empty folder and no file at all are refused in one line."""
    with _hostile() as (paths, _):
        for path in paths:
            refusal = _refusal(_read(subject), path)
            require(refusal is not None, f"{path.name} is read")
            one_line = isinstance(refusal, LimbeckError) and "\n" not in str(refusal)
            require(one_line, f"{path.name}: raises {type(refusal).__name__}: {str(refusal).splitlines()[:1]}")


def runs_no_code_in_files(subject: Subject) -> None:
    """Code in a file is not run, neither when it is read nor when it is recognised."""
    with _hostile() as (paths, proof):
        for path in paths:
            for act in (subject.cls.recognises, subject.make().described, _read(subject)):
                _refusal(act, path)
                require(not proof.exists(), f"what lies in {path.name} was run")


def recognises_only_its_own(subject: Subject) -> None:
    """Files that are no synthetic set are not taken for its own."""
    with _hostile() as (paths, _):
        for path in (paths[0], paths[3], paths[4]):
            require(subject.cls.recognises(path) is False, f"it takes '{path.name}' for its own")


def _read(subject: Subject) -> Callable[[Path], Any]:
    importer: Importer = subject.make()
    return lambda path: importer.read(path, SPEC)


def _refusal(act: Callable[[Path], Any], path: Path) -> Exception | None:
    try:
        act(path)
    except Exception as error:
        return error
    return None


CHECKS = (refuses_what_it_cannot_read, runs_no_code_in_files, recognises_only_its_own)
