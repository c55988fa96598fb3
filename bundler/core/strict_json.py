"""JSON from outside: of bounded size, an object, with no key twice. And JSON of ours: the same bytes each time."""

from __future__ import annotations

import json
from typing import Any

from bundler.core.errors import IntegrityFailed

LIMIT = 32 << 20
"""No index, manifest or lock is larger than this many bytes."""


class MalformedJson(IntegrityFailed):
    """A document that should be a JSON object and is not."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"{what} can't be read", because=problem)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} is there twice")
        seen[key] = value
    return seen


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def parse_object(raw: bytes, what: str, limit: int = LIMIT) -> dict[str, Any]:
    """Parse a JSON object; `what` names the document in the error. Raises MalformedJson."""
    if len(raw) > limit:
        raise MalformedJson(what, f"it has {len(raw)} bytes, more than the {limit} that are allowed")
    try:
        parsed = json.loads(raw, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedJson(what, str(error)) from error
    if not isinstance(parsed, dict):
        raise MalformedJson(what, f"it should be a JSON object, and is a {type(parsed).__name__}")
    return parsed


def canonical(document: Any, *, indent: int | None = None) -> bytes:
    """The bytes of a document: keys sorted, UTF-8, one trailing newline when indented for people."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(document, sort_keys=True, separators=separators, indent=indent, ensure_ascii=False)
    return (text if indent is None else text + "\n").encode()
