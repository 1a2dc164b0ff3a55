"""What makes two networks of one structure: their weights can then be exchanged, and stacked."""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import uuid
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.files import content_key

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.memory_format, slice, range)
"""Values whose ``repr`` says all."""

INNER = frozenset(vars(nn.Module())) | {"training"}
"""What PyTorch keeps in every module."""

HOOKS = ("_forward_pre_hooks", "_forward_hooks")

UNTOLD = ("__wrapped__", "__weakref__", "__dict__", "__module__", "__doc__")


def signature(module: nn.Module) -> str:
    """Return a short text that two modules share when one computes what the other does with its weights.

    It is made of every submodule's name, class, attributes and hooks, and of every parameter's and buffer's name, shape
    and type. An attribute counts with all that can be said of it without an address: numbers, texts, collections,
    functions with their code and what they enclose, partials, objects with attributes of their own, modules that are
    not registered. A tensor that is no parameter and no buffer counts with its numbers; on the meta device, where it
    has none, the module shares its signature with no other, and not with itself either: register it as a buffer. Of a
    device or a generator nothing counts. PyTorch's own stacking compares shapes alone, and runs a sigmoid network as a
    ReLU one.

    Args:
        module: on any device; its mode, its numbers and whether it asks for gradients do not matter.
    """
    return content_key(_of_module(module, ()))


Path = tuple[int, ...]
"""Identities of the objects that are being described, for references that go round."""


def _of_module(module: nn.Module, path: Path) -> Any:
    parts = [
        [name, _of_class(type(child)), _of_attributes(child, INNER, (*path, id(child))), _hooks(child, path)]
        for name, child in module.named_modules(remove_duplicate=False)
    ]
    tensors = [
        [name, list(value.shape), str(value.dtype)]
        for name, value in (*module.named_parameters(), *module.named_buffers())
    ]
    return [parts, tensors]


def _hooks(module: nn.Module, path: Path) -> Any:
    return [_of(hook, path) for kind in HOOKS for hook in getattr(module, kind).values()]


def _of(value: Any, path: Path) -> Any:
    """Describe a value in lists and texts that hold no address."""
    if isinstance(value, enum.Enum):
        return ["enum", _of_class(type(value)), value.name]
    if isinstance(value, PLAIN):
        return repr(value)
    if id(value) in path:
        return ["again", len(path) - path.index(id(value))]
    path = (*path, id(value))
    if isinstance(value, Mapping):
        return ["mapping", [[_of(key, path), _of(each, path)] for key, each in value.items()]]
    if isinstance(value, tuple | list):
        return ["sequence", [_of(each, path) for each in value]]
    if isinstance(value, AbstractSet):
        return ["set", sorted(f"{_of(each, path)}" for each in value)]
    if isinstance(value, type):
        return _of_class(value)
    if callable(value) and not isinstance(value, nn.Module):
        return _of_callable(value, path)
    return _of_object(value, path)


def _of_callable(value: Callable[..., Any], path: Path) -> Any:
    if isinstance(value, functools.partial):
        return ["partial", _of(value.func, path), _of(value.args, path), _of(value.keywords, path)]
    if isinstance(value, MethodType):
        return ["method", _of(value.__func__, path), _of(value.__self__, path)]
    if isinstance(value, FunctionType):
        return _of_function(value, path)
    if isinstance(value, BuiltinFunctionType) or type(value).__module__ in ("builtins", "torch._ops"):
        return ["builtin", f"{getattr(value, '__module__', '')}", getattr(value, "__qualname__", str(value))]
    return _of_object(value, path)


def _of_function(value: FunctionType, path: Path) -> Any:
    """Describe a function by its name where that leads to it, else by its code and what it encloses."""
    if _is_named(value):
        return ["function", value.__module__, value.__qualname__]
    cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
    rest = [cells, value.__defaults__, value.__kwdefaults__]
    return ["function", value.__module__, value.__qualname__, _of_code(value.__code__), _of(rest, path)]


def _of_code(code: CodeType) -> Any:
    constants = [_of_code(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return [hashlib.sha256(code.co_code).hexdigest(), [*code.co_names], constants]


def _of_object(value: Any, path: Path) -> Any:
    kind = _of_class(type(value))
    if isinstance(value, Tensor):
        return ["tensor", list(value.shape), str(value.dtype), uuid.uuid4().hex if value.is_meta else _numbers(value)]
    if isinstance(value, nn.Module):
        return ["module", _of_module(value, path)]
    if isinstance(value, torch.device | torch.Generator | ModuleType) or not hasattr(value, "__dict__"):
        own = getattr(value, "tolist", None)  # of NumPy
        return ["object", kind, repr(own()) if callable(own) else ""]
    return ["object", kind, _of_attributes(value, frozenset(), path)]


def _numbers(value: Tensor) -> str:
    own = value.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(own.numpy().tobytes()).hexdigest()


def _of_attributes(value: Any, without: AbstractSet[str], path: Path) -> Any:
    return [[name, _of(each, path)] for name, each in sorted(vars(value).items()) if name not in without]


def _of_class(kind: type) -> Any:
    """Describe a class by its name where that leads to it, else with what is written in it and its bases."""
    name = [kind.__module__, kind.__qualname__]
    if _is_named(kind):
        return name
    own = [
        [key, _of(each, (id(kind),))]
        for key, each in sorted(vars(kind).items())
        if isinstance(each, (*PLAIN, tuple, list, FunctionType, functools.partial)) and key not in UNTOLD
    ]
    return [*name, own, [_of_class(base) for base in kind.__bases__]]


def _is_named(value: Any) -> bool:
    """Whether a class or function is what its module has under its name."""
    found: Any = sys.modules.get(value.__module__ or "")
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
