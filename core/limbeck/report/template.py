"""Pages as one self-contained file each: the base template, its style, and how numbers are written in it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import limbeck
from limbeck.report.figures import FILTERS

HERE = "limbeck.report"


@dataclass(frozen=True)
class Script:
    """A script that stands in the page, and the digest by which the page lets it alone run.

    Attributes:
        text: JavaScript; ours, and never made of what a run holds.
        digest: as a content security policy names it.
    """

    text: Markup
    digest: str


def fill(template: str, *, script: str | None = None, package: str = HERE, **values: Any) -> str:
    """Return a page: a template that extends ``base.html.j2``, filled; every text in ``values`` is escaped.

    Args:
        template: its file in the folder ``templates`` of the package.
        script: a JavaScript file in ours, put into the page; no other script can run in it.
        package: whose template it is; what it includes or extends may be its own or ours.
        **values: what the template uses.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(each) for each in dict.fromkeys((package, HERE))]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= FILTERS
    own = None if script is None else _script(script)
    return environment.get_template(template).render(version=limbeck.__version__, script=own, **values)


def _script(name: str) -> Script:
    text = (resources.files(HERE) / "templates" / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), f"sha256-{digest}")
