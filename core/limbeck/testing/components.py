"""What is asked of every component that is a class with options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from limbeck.component import Component
from limbeck.errors import MissingExtraError, UsageError
from limbeck.options import Options
from limbeck.testing.suite import Subject, module_of, require

SHAPE = re.compile(r"\[[^\]]+\]|\bscalar\b|\bbase class\b")
TENSOR = re.compile(r"\bTensor\b")
NESTED = re.compile(r"(?:dict|Mapping)\[str, (?:torch\.)?Tensor\]")
UNKNOWN = "no_component_has_an_option_of_this_name"


def derives_from_its_base(subject: Subject) -> None:
    """It derives from the base class of its kind and defines what that leaves open."""
    module, cls = module_of(subject.kind), subject.cls
    base = module.BASE if module else Component
    is_class = isinstance(cls, type)
    require(is_class and issubclass(cls, base), f"{_name(cls)} does not derive from {base.__module__}.{base.__name__}")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    require(not missing, f"{cls.__name__} does not define {', '.join(missing)}")


def constructs_with_defaults(subject: Subject) -> None:
    """Its default options make a component that knows its name."""
    component = subject.make()
    require(component.name == subject.name, f"its name is {component.name!r}; leave the attribute to the registry")


def describes_its_options(subject: Subject) -> None:
    """Every option says what it means."""
    bare = [name for name, description in _options(subject.cls.Options) if not description]
    require(not bare, f"{', '.join(bare)}: no description; write Field(..., description=...)")


def refuses_unknown_options(subject: Subject) -> None:
    """An option that it does not have is refused by name."""
    try:
        subject.make(**{UNKNOWN: 1})
    except MissingExtraError:
        raise
    except UsageError as error:
        require(UNKNOWN in str(error), f"the refusal does not name the option: {error}")
        return
    require(False, "is accepted; derive the nested class Options from limbeck.Options")


def options_survive_json(subject: Subject) -> None:
    """Its options can be written to a file and read back."""
    options = subject.make().options
    written = options.model_dump_json()
    require(type(options).model_validate_json(written) == options, f"other values are read back from {written}")


def documents_its_methods(subject: Subject) -> None:
    """Methods that return tensors have docstrings that state shapes."""
    for name, method in inspect.getmembers(subject.cls, inspect.isfunction):
        if name.startswith("_") or not TENSOR.search(NESTED.sub("", str(method.__annotations__.get("return")))):
            continue
        text = inspect.getdoc(getattr(subject.cls, name)) or ""
        require(SHAPE.search(text), f"{name}: no shape such as [n, ch, h, w]")


def _options(model: type[Options], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each option and its description; those of a nested model instead of the model's own."""
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, Options) and not field.is_required():
            yield from _options(nested, f"{prefix}{name}.")
        else:
            yield prefix + name, field.description or ""


def _name(target: Any) -> str:
    return target.__name__ if isinstance(target, type) else f"an object of type {type(target).__name__}"


CHECKS = (
    derives_from_its_base,
    constructs_with_defaults,
    describes_its_options,
    refuses_unknown_options,
    options_survive_json,
    documents_its_methods,
)
