"""The base of every component's options: one home for each default, typos refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from limbeck.errors import UsageError, closest


class Options(BaseModel):
    """Settings of one component. Subclass it inside the component and give fields with defaults.

    Unknown keys are refused with the closest match; instances cannot be changed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """Validate ``values`` and turn pydantic's report into one line a stranger can act on.

    Args:
        model: the pydantic class that states names, types and ranges.
        values: what the user gave.
        where: the place the values came from, as the user would type it ("matcher.gradient").

    Raises:
        UsageError: names the first offending key, its value and what is allowed.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError(_one_line(model, error, where)) from None


def _one_line(model: type[BaseModel], error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    full = f"{where}.{path}" if where and path else where or path
    if first["type"] == "extra_forbidden":
        fields = _fields_at(model, first["loc"][:-1])
        near = closest(str(first["loc"][-1]), fields)
        guess = f" Did you mean '{near}'?" if near else ""
        return f"unknown option '{full}'.{guess} Known: {', '.join(sorted(fields)) or 'none'}."
    if first["type"] == "missing":
        return f"option '{full}' is required and was not given."
    problem = _problem(first)
    if not full:
        return f"{problem}."
    given = "" if isinstance(first["input"], Mapping) else f" is {first['input']!r}"
    return f"option '{full}'{given}: {problem}."


def _problem(error: ErrorDetails) -> str:
    """Say what is allowed, in plain words where pydantic's assume Python."""
    wording = WORDING.get(error["type"])
    if wording is not None:
        return wording.format(**error.get("ctx", {}))
    message = error["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


WORDING = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be settings such as {{key: value}}",
    "model_type": "must be settings such as {{key: value}}",
}


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """List the field names of the (possibly nested) model that ``path`` leads to, as users type them."""
    current: type[BaseModel] = model
    for part in path:
        if isinstance(part, int):
            continue
        fields = {field.alias or name: field for name, field in current.model_fields.items()}
        annotation = fields[str(part)].annotation if str(part) in fields else None
        candidates = _within(annotation)
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            break
        current = nested[0]
    return [field.alias or name for name, field in current.model_fields.items()]


def _within(annotation: Any) -> list[Any]:
    """Return a type and all those it is made of, so that ``tuple[Model, ...] | None`` gives ``Model`` too."""
    return [annotation, *(inner for part in getattr(annotation, "__args__", ()) for inner in _within(part))]
