"""Writes docs/failures.md from the catalogue of failures: `python -m scripts.failures_page`.

The catalogue is tests/fixtures/catalogue: catalogue.yaml says what fails and how it is shown, told.json what is said of
each. tests/unit/test_catalogue.py shows every entry, and holds the words and this page to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).parents[1]
PAGE = _ROOT / "docs" / "failures.md"
CATALOGUE = _ROOT / "tests" / "fixtures" / "catalogue" / "catalogue.yaml"
TOLD = CATALOGUE.with_name("told.json")

KINDS = {
    "proof": "can't occur",
    "data": "`lock`, `build`, `plan`",
    "files": "`lock`, `build`",
    "plan": "`plan`, `lock`, `build`",
    "node": "`check`, `up`",
    "manifest": "`lock`, `build`, `plan`",
}
"""Kinds of input, and the verbs that tell of it."""

_HEAD = """# Failures behind the gap, by what is seen there

For whoever looks for a message: what shows behind the gap, why, and what says so in front of it. Written by
`python -m scripts.failures_page` from the catalogue in tests/fixtures/catalogue; a test shows each entry and compares
our words. `lock`, `build` and `plan` speak before anything is carried, `check` and `up` on the node before anything is
started; what concerns a manifest comes with its file, line and column. LF is LLaMA-Factory; numbers are of issues of
the project named. What is seen is told as those issues and the programs' sources say it; it was not all seen here. What
our verbs say about everything else is in [errors.md](errors.md), [checks.md](checks.md), [data.md](data.md) and
[manifest.md](manifest.md).
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """What fails behind the gap, what shows it in front of it (`given`), and what is then said."""

    name: str
    seen: str
    happens: str
    references: tuple[str, ...]
    given: Mapping[str, Any]
    what: str
    because: str
    hint: str

    @property
    def kind(self) -> str:
        """The kind of input: of several keys, the first in KINDS."""
        return next(kind for kind in KINDS if kind in self.given)


def catalogue() -> Iterator[tuple[str, list[Failure]]]:
    """The sections with their failures, in their order."""
    told = json.loads(TOLD.read_text()) if TOLD.is_file() else {}
    for section in yaml.safe_load(CATALOGUE.read_text()):
        yield section["section"], [_failure(entry, told.get(entry["name"], {})) for entry in section["entries"]]


def _failure(entry: Mapping[str, Any], told: Mapping[str, str]) -> Failure:
    described = {"name", "seen", "happens", "references"}
    given = {key: value for key, value in entry.items() if key not in described}
    words = (told.get(key, "") for key in ("what", "because", "hint"))
    return Failure(entry["name"], entry["seen"], entry["happens"], tuple(entry.get("references", ())), given, *words)


def page() -> str:
    """The page whole."""
    return _HEAD + "".join(line for title, failures in catalogue() for line in _section(title, failures))


def _section(title: str, failures: list[Failure]) -> Iterator[str]:
    yield f"\n## {title}\n\n| seen behind the gap | why | told by | in these words |\n|---|---|---|---|\n"
    for failure in failures:
        why = failure.happens + (f" ({', '.join(failure.references)})" if failure.references else "")
        hint = "" if failure.kind == "manifest" else failure.hint.partition("   #")[0]
        words = [failure.what, f"because: {failure.because}" if failure.because else "", hint and f"hint: {hint}"]
        cells = (failure.seen, why, KINDS[failure.kind], "<br>".join(filter(None, words)))
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
