"""Reading ``.pt`` files of strangers: tensors, lists and numbers, never code.

A ``.pt`` file is a pickle, and a pickle is a program. Three walls stand before it. Its instructions are listed without
being carried out, and a name that plain tensors do not need is refused. ``torch.load`` reads with ``weights_only`` and
calls nothing but what it knows; the numbers that NumPy leaves in such files go to functions of this module, so that not
even NumPy's own code sees them. And what comes out must be dense CPU tensors that the bytes of the file suffice for.
"""

from __future__ import annotations

import io
import pickletools
import struct
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from limbeck.errors import ArtifactError, UsageError

MAX_BYTES = 4 << 30
"""Largest file that is read."""

MAX_PROGRAM = 16 << 20
"""Largest list of instructions; that of published sets is a few kilobytes."""

ZIP = b"PK\x03\x04"

_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_DTYPE = "numpy.dtype"

KNOWN = {
    *_SCALARS,
    _DTYPE,
    "_codecs.encode",
    "collections.OrderedDict",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    *(
        f"torch.{name}Storage"
        for name in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte")
    ),
    "torch.BoolStorage",
}
"""What the pickle of a set names: tensors of plain types, NumPy's numbers, mappings."""

_NUMBERS = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u4": "I",
            "u2": "H", "u1": "B", "b1": "?"}  # fmt: skip


@dataclass(frozen=True)
class Foreign:
    """A file as it was read.

    Attributes:
        content: what was saved: tensors, lists, mappings, numbers, text.
        data: the bytes of the file.
    """

    content: Any
    data: bytes


def read_pt(path: Path) -> Foreign:
    """Read a file that ``torch.save`` wrote, of any version since 1.0.

    NumPy's numbers become Python's.

    Raises:
        UsageError: the file cannot be read, or is too large to be a set.
        ArtifactError: it names code, is truncated, or claims more than it holds.
    """
    data = _bytes(path)
    _scan(path, data)
    with torch.serialization.safe_globals([*((_number, name) for name in _SCALARS), (_NumberType, _DTYPE)]):
        try:
            with warnings.catch_warnings(action="ignore"):
                content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle may raise anything at all
            raise _damaged(path, error) from None
    _check_storages(path, content, len(data))
    return Foreign(content, data)


def words_of(path: Path) -> set[str]:
    """Return the text in a ``.pt`` file, such as the keys of its mappings; none where it is no such file.

    Nothing is loaded, so this is quick, and safe for any file.
    """
    try:
        with path.open("rb") as stream:
            return {argument for _, argument in _instructions(stream) if isinstance(argument, str)}
    except _UNREADABLE:
        return set()


_UNREADABLE = (ValueError, zipfile.BadZipFile, KeyError, EOFError, OSError, struct.error, RuntimeError)
"""What listing the instructions raises for a file that has none; an encrypted zip is a RuntimeError."""


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UsageError(f"{path} has {size:,} bytes; a set of at most {MAX_BYTES:,} is read.")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}). Give a .pt file.") from None


def _scan(path: Path, data: bytes) -> None:
    """Refuse a file that names anything beside what tensors need, before a single instruction is followed."""
    try:
        named = {_imported(name, argument) for name, argument in _instructions(io.BytesIO(data))}
    except _UNREADABLE as error:
        raise _damaged(path, error) from None
    if strange := sorted(named - KNOWN - {""}):
        raise ArtifactError(
            f"{path} was refused and nothing in it was run: it names {', '.join(strange[:3])[:200]!r}, which is code "
            "and no part of a set. Ask its publisher for a file with nothing but tensors, lists and numbers."
        )


def _imported(instruction: str, argument: Any) -> str:
    """Return what an instruction imports, as ``module.name``; empty for one that imports nothing."""
    if instruction in ("GLOBAL", "INST"):
        return ".".join(str(argument).split(" "))
    return instruction if instruction in ("STACK_GLOBAL", "OBJ", "EXT1", "EXT2", "EXT4") else ""


def _instructions(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """List the instructions of a file's pickles with their arguments, following none.

    Raises:
        ValueError: this is no file of ``torch.save``.
    """
    is_zip = stream.read(len(ZIP)) == ZIP
    stream.seek(0)
    program = io.BytesIO(_record(stream) if is_zip else stream.read(MAX_PROGRAM))
    for _ in range(1 if is_zip else 5):
        for opcode, argument, _ in pickletools.genops(program):
            yield opcode.name, argument


def _record(stream: BinaryIO) -> bytes:
    """Return the pickle inside a zip of ``torch.save``, which compresses nothing and has no name twice."""
    with zipfile.ZipFile(stream) as archive:
        records = archive.infolist()
        size, names = stream.seek(0, io.SEEK_END), {record.filename for record in records}
        if any(record.compress_type != zipfile.ZIP_STORED for record in records) or len(names) < len(records):
            raise ValueError("its records are compressed or repeated, which torch.save never does")
        pickles = [record for record in records if record.filename.endswith(".pkl")]
        if len(pickles) != 1 or sum(record.file_size for record in records) > size:
            raise ValueError("it does not hold the records that torch.save writes")
        if pickles[0].file_size > MAX_PROGRAM:
            raise ValueError(f"its list of instructions is longer than {MAX_PROGRAM:,} bytes")
        return archive.read(pickles[0])


def _check_storages(path: Path, content: Any, size: int) -> None:
    """Refuse tensors that are not dense CPU memory, and memory that the file has no bytes for."""
    storages: dict[int, int] = {}
    for tensor in tensors_in(content):
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise _damaged(path, f"it holds a tensor of layout {tensor.layout} on {tensor.device}")
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        if tensor.numel() * tensor.element_size() > storage.nbytes():
            raise _damaged(path, f"a tensor of shape {list(tensor.shape)} repeats {storage.nbytes()} bytes")
    if sum(storages.values()) > size:
        raise _damaged(path, f"its tensors claim {sum(storages.values()):,} bytes, and the file has {size:,}")


def tensors_in(content: Any) -> Iterator[Tensor]:
    """Yield every tensor in nested lists, tuples and mappings, each container visited once."""
    pending, seen = [content], set()
    while pending:
        value = pending.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple | dict | set) and id(value) not in seen:
            seen.add(id(value))
            pending.extend([*value, *value.values()] if isinstance(value, dict) else value)


def _damaged(path: Path, reason: object) -> ArtifactError:
    words = " ".join(str(reason).split()) or type(reason).__name__
    return ArtifactError(f"{path} is truncated, altered, or no file of torch.save ({words[:160]}). Copy it again.")


class _NumberType:
    """Stands for ``numpy.dtype`` in a pickle: keeps the code of a number's type and its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _number(kind: _NumberType, data: bytes) -> float:
    """Stand for ``numpy.core.multiarray.scalar``: the number that these bytes are."""
    value: float = struct.unpack(kind.order + _NUMBERS[kind.code], data)[0]
    return value
