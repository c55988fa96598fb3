"""What the probes said: read as what it is, the words of programs that other people wrote.

Whatever is no line of ours is left out, counted and not an error; a report that is too long is cut.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bundler.core.records import from_json
from bundler.core.strict_json import MalformedJson
from bundler.rehearsal.plain import plain, reported

MOST_LINES = 20_000
_BYTES = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution as it is installed; without a version it is not."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Import:
    """A module, and what its import died of."""

    module: str
    error: str
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """Arguments that the program's own parser took; `aside` are keys that it was not shown, as they ask for a GPU."""

    file: str
    keys: int
    aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An argument that names what is no path in the container: a hub would be asked for it."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Config:
    """A model's config: `rows` is how many rows its embedding has."""

    architectures: tuple[str, ...]
    model: str
    rows: int


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A tokenizer as transformers made it, and how many tokens it has."""

    tokenizer: str
    length: int
    chat_template: bool


@dataclass(frozen=True, slots=True)
class Template:
    """Tokens that LLaMA-Factory's template added; the highest id then; whether the embedding is to grow with them."""

    added: tuple[str, ...]
    highest: int
    grows: bool
    eos: str


@dataclass(frozen=True, slots=True)
class Counted:
    """A dataset as LLaMA-Factory loaded it: records, and those kept after tokenising."""

    name: str
    split: str
    records: int = 0
    kept: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Whole:
    """Samples of all datasets together, after the split; -1 where it is a stream."""

    train: int
    eval: int


@dataclass(frozen=True, slots=True)
class Registry:
    """Which of a model's architectures vLLM has, of how many that it has in all."""

    known: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """What vLLM's ModelConfig came to: the longest context in tokens, the numbers to compute in."""

    architecture: str
    length: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said, and the seconds until it was up."""

    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """What a part died of, and what that came of, innermost last."""

    error: str
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotTried:
    """Why a part was not tried."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that is not there: a file (`open`, or `stat` where it was only asked for), or a `host`."""

    kind: str
    what: str
    by: str
    part: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that a container's probes said, in their order; each line with the part that it was said in.

    `peak_bytes` is the most that torch held of a GPU, 0 where it held none or did not say it.
    `parts` are those that ran to their end. `finished` says that the probe did; `noise` counts lines that are none.
    """

    said: tuple[tuple[str, Any], ...] = ()
    parts: tuple[str, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    python: str = ""
    finished: bool = False
    noise: int = 0
    failures: Mapping[str, Failed | NotTried] = field(default_factory=dict)
    peak_bytes: int = 0

    def all(self, kind: type) -> Iterator[Any]:
        """What was said of a kind."""
        return (said for _, said in self.said if isinstance(said, kind))


_KINDS: Mapping[str, type] = {
    "package": Package, "import": Import, "parsed": Parsed, "elsewhere": Elsewhere, "config": Config,
    "tokenizer": Tokenizer, "template": Template, "dataset": Counted, "whole": Whole, "registry": Registry,
    "resolved": Resolved, "answer": Answer, "failed": Failed, "not-tried": NotTried,
}  # fmt: skip


def parse(probe: Iterable[str], watch: Iterable[str] = ()) -> Report:
    """Read the lines of the probe's report, and those that watched processes wrote."""
    said: list[tuple[str, Any]] = []
    parts: list[str] = []
    failures: dict[str, Failed | NotTried] = {}
    python, finished, noise = "", False, 0
    for document in _documents(probe):
        kind, part = document.pop("say", None), document.pop("part", None)
        if not isinstance(part, str) or kind is None:
            noise += 1
            continue
        part = plain(part)
        if kind == "done":
            parts.append(part)
        elif kind == "finished":
            finished = True
        elif kind == "python":
            python = plain(str(document.get("version")))
        else:
            try:
                one: Any = from_json(_KINDS[kind], reported(document), "a report")
            except (LookupError, TypeError, MalformedJson):
                noise += 1
                continue
            if isinstance(one, (Failed, NotTried)):
                failures[part] = one
            else:
                said.append((part, one))
    seen = tuple(dict.fromkeys(_sightings(watch)))
    absent = tuple(one for one in seen if one.kind != "memory")
    held = (int(one.what) for one in seen if one.kind == "memory" and _BYTES.fullmatch(one.what))
    return Report(tuple(said), tuple(parts), absent, python, finished, noise, failures, max(held, default=0))


def _sightings(lines: Iterable[str]) -> Iterator[Sighting]:
    for document in _documents(lines):
        try:
            found = from_json(Sighting, reported(document), "a report")
        except MalformedJson:
            continue
        if found.kind in ("open", "stat", "host", "memory"):
            yield found


def _documents(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines):
        if number >= MOST_LINES:
            return
        try:
            document = json.loads(line, parse_float=_finite, parse_constant=_finite)
        except (ValueError, RecursionError):
            document = {}
        yield document if isinstance(document, dict) else {}


def _finite(text: str) -> float:
    """JSON knows no NaN and no infinity, and 1e999 is one."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
