"""The templates, filled in. Everything that is not markup of our own is escaped."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from bundler import __version__
from bundler.report import figures

_HERE = files("bundler.report")


def render(template: str, **values: Any) -> str:
    """A page of this template. Control characters in it are shown, and it can be written as UTF-8."""
    style = Markup(_text("page.css"))
    page = _environment().get_template(template).render(style=style, version=__version__, **values)
    return figures.plain(page)


def _text(name: str) -> str:
    return _HERE.joinpath(name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_text),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "size": figures.size,
        "duration": figures.duration,
        "count": figures.count,
        "per_cent": figures.per_cent,
    }
    return environment
