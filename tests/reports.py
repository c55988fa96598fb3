"""Documents to make reports of: real ones, one by hand that has every part, and one that wishes its reader ill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bundler.report import evaluation_page, plan_page

FIXTURES = Path(__file__).parent / "fixtures"
TITLE = "qwen3-32b-l20x4:1.0"
HOSTILE = (
    "<script>window.taken = 1</script><img src=x onerror='window.taken = 1'>\"' --> ]]> {{ 7 * 7 }} "
    "\u202e\x1b[31m\ud800" + 300 * "x"
)
"""What a record, a dataset's name or a model's answer may be."""

Document = dict[str, Any]


def names() -> list[str]:
    """Every document that is whole: what `plan -o json` said of manifests of this repository, and those by hand."""
    return [str(path.relative_to(FIXTURES)) for room in ("plans", "reports") for path in sorted(_in(room))]


def document(name: str) -> Document:
    """One of `names`."""
    found: Document = json.loads((FIXTURES / name).read_text())
    return found


def real_plan() -> Document:
    """Of Qwen3-32B on four L20."""
    return document("plans/qwen3-32b-l20x4.json")


def whole_plan() -> Document:
    """A plan that does not fit, has every member, and findings of every kind."""
    return document("reports/plan-whole.json")


def evaluation() -> Document:
    """An evaluation of three questions."""
    return document("reports/evaluation.json")


def hostile(found: Document) -> Document:
    """The same with hostile words wherever a person, a file or a model may put words of theirs."""
    spoiled: Document = _spoiled(found)
    for name, one in dict(spoiled.get("data", {})).items():
        spoiled["data"][name + HOSTILE] = spoiled["data"].pop(name)
        one["reasons"] = {reason + HOSTILE: many for reason, many in one["reasons"].items()}
    return spoiled


def _spoiled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spoiled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spoiled(item) for item in value]
    return value + HOSTILE if isinstance(value, str) else value


def page(found: Document) -> str:
    """The page of either kind of document."""
    return evaluation_page(found) if "answers" in found else plan_page(found, TITLE)


def _in(room: str) -> list[Path]:
    return list((FIXTURES / room).glob("*.json"))
