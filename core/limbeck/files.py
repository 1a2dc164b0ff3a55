"""Files that are whole or absent: atomic writes, checksums, and a lock that dies with its holder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from limbeck.errors import LimbeckError, UsageError

PART = ".part"
"""Ends the hidden name of a file that is still being written."""

CHECKSUM = "checksum"
"""The key under which a JSON mapping states its own checksum."""

SIGNATURE = "# sha256 of what follows: "
"""Begins the comment line in which a text states its own checksum."""

ROOT_VARIABLE = "LIMBECK_DATA"


def default_root() -> Path:
    """Return the folder data sets are looked for in when none is named."""
    return Path(os.environ.get(ROOT_VARIABLE) or "data")


def format_bytes(size: float) -> str:
    """Write a size for people: ``1.4 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Raises:
        UsageError: the place cannot be written (no permission, a file in the way).
        LimbeckError: it could be, but not now (disk full).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _cannot_write(path, error) from error


def append(path: Path, text: str) -> None:
    """Add ``text`` at the end of a file.

    Raises:
        LimbeckError: the place cannot be written, as for ``write_atomic``.
    """
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> LimbeckError:
    """Say why a file cannot be written; only a place that will never do is a wrong request."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return LimbeckError(f"cannot write {path}: {error.strerror}. Make room, or choose another place with --out.")
    return UsageError(f"cannot write {path}: {error.strerror}. Choose another place with --out.")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` atomically as indented JSON with sorted keys."""
    write_atomic(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def signed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping of JSON values with its own checksum beside them, for ``read_json`` to check."""
    return {**value, CHECKSUM: _checksum(value)}


def read_json(path: Path) -> Any:
    """Read JSON, and take away the checksum that ``signed`` added.

    Raises:
        ValueError: no JSON, or another checksum than the values have.
        OSError: the file cannot be read.
    """
    value = json.loads(path.read_bytes())
    if isinstance(value, dict) and CHECKSUM in value and value.pop(CHECKSUM) != _checksum(value):
        raise ValueError("checksum differs")
    return value


def _checksum(value: Mapping[str, Any]) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode())


def signed_text(text: str) -> str:
    """Return text under a comment line with its checksum, for ``checked_text`` to check."""
    return f"{SIGNATURE}{sha256(text.encode())}\n{text}"


def checked_text(text: str) -> str:
    """Return text without the line that ``signed_text`` put over it; other text as it is.

    Raises:
        ValueError: another checksum than the text has.
    """
    first, _, rest = text.partition("\n")
    if not first.startswith(SIGNATURE):
        return text
    if first.removeprefix(SIGNATURE) != sha256(rest.encode()):
        raise ValueError("checksum differs; whoever changed it on purpose deletes its first line")
    return rest


def sha256(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()


def content_key(value: Any) -> str:
    """Return a short name that is equal for equal JSON values, for content-addressed files."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())[:16]


@contextlib.contextmanager
def folder_lock(folder: Path, otherwise: str = "choose another place with --out") -> Iterator[None]:
    """Hold ``folder`` for this process; the kernel frees it however the process ends.

    Parts of files that a killed process left are removed. So is, at the end, a folder that was made for this and in
    which nothing was written.

    Args:
        folder: made if it is not there.
        otherwise: what to do when somebody else holds it, beside waiting.

    Raises:
        UsageError: the folder cannot be made, or another process holds it.
    """
    path, is_new = folder / ".lock", not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
    except OSError as error:
        raise UsageError(f"cannot use {folder}: {error.strerror}. {otherwise[0].upper()}{otherwise[1:]}.") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino != os.fstat(stream.fileno()).st_ino:
                raise BlockingIOError  # another run removed the folder and made it again meanwhile
        except OSError:
            raise UsageError(f"{folder} is in use by another run. Wait for it to end, or {otherwise}.") from None
        for part in folder.rglob(f".*{PART}"):
            part.unlink(missing_ok=True)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if is_new and list(folder.iterdir()) == [path]:
                    path.unlink()
                    folder.rmdir()
