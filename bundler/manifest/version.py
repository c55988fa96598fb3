"""Versions of the programs inside images, comparable: the rules and flags that hold depend on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_VERSION = re.compile(
    r"v?(?P<release>\d{1,9}(?:\.\d{1,9})*)(?P<pre>(?:a|b|rc)\d{1,9})?"
    r"(?P<post>\.post\d{1,9})?(?P<dev>\.dev\d{1,9})?(?P<local>\+[a-z0-9]+(?:[._-][a-z0-9]+)*)?",
    re.IGNORECASE | re.ASCII,
)
_FINAL = ("z", 0)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version as Python packages write them: `0.8.5.post1` (PEP 440, without epochs). A leading `v` is dropped.

    The local part (`+cu126`) says how it was built, not what it can do: it does not take part in comparisons.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version. Raises ValueError."""
        if not _VERSION.fullmatch(text):
            raise ValueError(f"not a version: {text!r}")
        return cls(text.lower().removeprefix("v"))

    @property
    def _key(self) -> tuple[tuple[int, ...], tuple[str, int], int, float]:
        match = _VERSION.fullmatch(self.text)
        if match is None:
            raise ValueError(f"not a version: {self.text!r}")
        release = [int(part) for part in match["release"].split(".")]
        while len(release) > 1 and release[-1] == 0:
            release.pop()
        post = int(match["post"][5:]) if match["post"] else -1
        development = int(match["dev"][4:]) if match["dev"] else float("inf")
        pre = _pre(match["pre"]) if match["pre"] else _FINAL
        if match["dev"] and not match["pre"] and not match["post"]:
            pre = ("", 0)  # 1.0.dev1 comes before 1.0a1 (PEP 440, "summary of permitted suffixes")
        return tuple(release), pre, post, development

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key == other._key

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return self.text


def _pre(text: str) -> tuple[str, int]:
    letters = text.lower().rstrip("0123456789")
    return letters, int(text[len(letters) :])
