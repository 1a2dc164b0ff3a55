"""The base of every component's options: one home for each default, typos refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

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
    message = first["msg"].removeprefix("Value error, ")
    return f"option '{full}' is {first['input']!r}: {message[0].lower()}{message[1:]}."


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """List the field names of the (possibly nested) model that ``path`` leads to."""
    current: type[BaseModel] = model
    for part in path:
        field = current.model_fields.get(str(part))
        annotation = field.annotation if field else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            break
        current = nested[0]
    return list(current.model_fields)
