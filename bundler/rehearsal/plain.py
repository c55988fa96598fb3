"""Texts of other people's programs, as they can be shown: on one line, of a length, nothing that a terminal acts on."""

from __future__ import annotations

from typing import Any

LONGEST = 4096
"""Characters of a text that are kept."""
_MOST = 100
"""Members of a list that are kept."""
_DEEPEST = 8
"""Deeper than any record of ours; what lies below is dropped, and its record is refused for it."""


def plain(text: str, *, longest: int = LONGEST) -> str:
    """One line of a text, cut."""
    return _printable(text[:longest]).strip()


def lines(text: str) -> str:
    """As `plain`, with its line breaks."""
    return "\n".join(_printable(line) for line in text[:LONGEST].split("\n"))


def first(text: str, longest: int = 300) -> str:
    """The first line of an error, cut; empty where it has none."""
    return next(iter(text.splitlines()), "")[:longest]


def plain_members(document: Any, deep: int = 0) -> Any:
    """A JSON document in which every text is `plain`."""
    if isinstance(document, str):
        return plain(document)
    if deep >= _DEEPEST:
        return None
    if isinstance(document, dict):
        return {plain(name): plain_members(member, deep + 1) for name, member in document.items()}
    return [plain_members(member, deep + 1) for member in document] if isinstance(document, list) else document


def reported(document: dict[str, Any]) -> dict[str, Any]:
    """A line of a report: its texts and lists of texts. Errors keep their line breaks; nothing else has any."""
    return {name: _reported(member, broken=name in ("error", "causes")) for name, member in document.items()}


def _reported(member: Any, *, broken: bool) -> Any:
    if isinstance(member, str):
        return lines(member) if broken else plain(member)
    if isinstance(member, list):
        return [_reported(one, broken=broken) if isinstance(one, str) else one for one in member[:_MOST]]
    return member


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
