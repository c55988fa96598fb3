"""Parts of a whole: each with a name for people, a letter and a colour, so that no colour has to be told from another.

The colours are Paul Tol's scheme "light" (Colour Schemes, issue 3.2), which stays distinct for the colour-blind and is
pale enough for dark letters on it; page.css has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from bundler.report.figures import size
from bundler.report.svg import rect, text

_WORDS = {"cuda_context": "CUDA context", "nccl": "NCCL", "kv_cache": "KV cache", "logits_and_loss": "logits and loss"}
"""Names that are not their keys with spaces."""
_COLOURS = {
    "weights": "blue",
    "adapter": "cyan",
    "gradients": "yellow",
    "optimizer_states": "orange",
    "optimizer_update": "olive",
    "activations": "mint",
    "recomputation": "pear",
    "logits_and_loss": "pink",
    "kv_cache": "pear",
    "workspace": "cyan",
    "communication": "yellow",
    "cuda_context": "grey",
    "nccl": "stone",
    "fragmentation": "slate",
    "outside_torch": "grey",
}
_CYCLE = ("blue", "mint", "orange", "pink", "yellow", "cyan", "olive", "pear", "grey", "stone")
_SEEN = 0.001
"""A part of this share of a chart is as wide as a hair; a smaller one is in the table alone."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes with a name, the letter by which the chart shows them, and a colour of page.css."""

    name: str
    bytes: int
    letter: str
    colour: str


def words(key: str) -> str:
    """`optimizer_states` as people write it."""
    return _WORDS.get(key, key.replace("_", " "))


def parts(breakdown: Mapping[str, int]) -> tuple[Part, ...]:
    """The parts of a breakdown that are there, in its order."""
    there = [(key, value) for key, value in breakdown.items() if value > 0]
    return tuple(
        Part(words(key), value, letter(at), _COLOURS.get(key, _CYCLE[at % len(_CYCLE)]))
        for at, (key, value) in enumerate(there)
    )


def shared(names: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Letter and colour of each name, for charts that show the same names several times."""
    different = dict.fromkeys(names)
    return {name: (letter(at), _CYCLE[at % len(_CYCLE)]) for at, name in enumerate(different)}


def in_a_row(shown: Iterable[Part], top: float, y: float, height: float, least: float) -> Iterator[Markup]:
    """The parts as one bar, `top` bytes in the whole width. A part of the share `least` has room for its letter."""
    at = 0
    for part in shown:
        width = part.bytes / top
        if width >= _SEEN:
            yield rect(at / top, y, width, height, f"part {part.colour}", f"{part.name}: {size(part.bytes)}")
        if width >= least:
            yield text(at / top + width / 2, y + height / 2 + 4.5, part.letter, "letter", "middle")
        at += part.bytes


def letter(at: int) -> str:
    """A, B, ... Z, and none after that."""
    return _LETTERS[at] if at < len(_LETTERS) else ""
