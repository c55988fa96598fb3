"""SVG in a few words. Places along x are shares of the width, so a chart fits a phone and its letters keep their size.

Text and attributes are escaped by markupsafe, as in the templates.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape


def element(tag: str, attributes: dict[str, object], *children: str) -> Markup:
    """An element. Members that are None are left out; children that are no Markup are text."""
    written = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items() if value is not None)
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{tag}{written}>{inside}</{tag}>")


def share(value: float) -> str:
    """0.125 as `12.5%`."""
    return f"{round(value * 100, 3):g}%"


def figure(title: str, description: str, height: float, children: Iterable[Markup]) -> Markup:
    """A chart as wide as its place, `height` pixels high. A screen reader reads title and description."""
    attributes: dict[str, object] = {"class": "chart", "role": "img", "width": "100%", "height": f"{height:g}"}
    return element("svg", attributes, element("title", {}, title), element("desc", {}, description), *children)


def rect(x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> Markup:
    """A box: x and width as shares, y and height in pixels. `tip` shows under the pointer."""
    attributes: dict[str, object] = {
        "class": kind,
        "x": share(x),
        "y": f"{y:g}",
        "width": share(max(0.0, width)),
        "height": f"{height:g}",
    }
    return element("rect", attributes, *([element("title", {}, tip)] if tip else []))


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A line: x as shares, y in pixels."""
    return element("line", {"class": kind, "x1": share(x1), "y1": f"{y1:g}", "x2": share(x2), "y2": f"{y2:g}"})


def dot(x: float, y: float, radius: float, kind: str) -> Markup:
    """A filled circle: x as a share, y and radius in pixels."""
    return element("circle", {"class": kind, "cx": share(x), "cy": f"{y:g}", "r": f"{radius:g}"})


def text(x: float, y: float, words: str, kind: str, anchor: str | None = None) -> Markup:
    """Words whose start, middle or end is at x (`anchor`; None: whichever keeps them inside the chart)."""
    if anchor is None:
        anchor = "start" if x < 0.06 else "end" if x > 0.94 else "middle"
    return element("text", {"class": kind, "x": share(x), "y": f"{y:g}", "text-anchor": anchor}, words)
