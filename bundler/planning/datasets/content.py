"""What LLaMA-Factory does not mind and a person would: duplicates, empty answers, forgotten placeholders, overlap."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bundler.planning.datasets.convert import Aligned
from bundler.planning.datasets.prints import Prints
from bundler.planning.datasets.verdict import PLACES, Noted, NoteKind, Place

_FORGOTTEN = re.compile(
    r"\{\{\s*[A-Za-z_][\w. ]{0,40}\}\}|<(?:PLACEHOLDER|INSERT|YOUR|TODO|FIXME|NAME|COMPANY)[A-Z_ ]{0,40}>|"
    r"<placeholder>|\[(?:PLACEHOLDER|INSERT|YOUR|TODO)[A-Za-z_ ]{0,40}\]|\bTODO\b|\bFIXME\b|\bTBD\b|[Ll]orem ipsum"
)
_LONG = (b"<placeholder>", b"orem ips")
_SHORT = (b"{{", b"PLACEHOLDER", b"INSERT", b"YOUR", b"TODO", b"FIXME", b"TBD", b"<NAME", b"<COMP")
_OTHERS = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ{< "))
"""What is in none of the short hints; the space stays, so that no capitals of two words come together."""


def may_have_forgotten(text: bytes) -> bool:
    """Whether a stretch of a file can hold a forgotten placeholder: cheap, so that most are not searched twice."""
    few = text.translate(None, _OTHERS)
    return any(hint in text for hint in _LONG) or any(hint in few and hint in text for hint in _SHORT)


class Content:
    """Takes in the kept records of a dataset. `others` are datasets that it should share no record with."""

    def __init__(self, others: Sequence[Prints] = ()) -> None:
        self.prints = Prints()
        self._others = others
        self._counts: dict[NoteKind, int] = {}
        self._found: dict[NoteKind, list[Place]] = {}
        self._examples: dict[NoteKind, str] = {}

    def take(self, aligned: Aligned, place: Callable[[], Place], *, search: bool) -> None:
        """One record; `search` says that its file's stretch may hold placeholders."""
        prompt, response = aligned.prompt, aligned.response
        try:
            print_ = hash((*prompt, *response))
        except TypeError:  # an answer that this stage does not look at may be anything
            print_ = hash(str((prompt, response)))
        if not self.prints.add(print_):
            self.note("duplicate", place, str(prompt[0][1])[:40] if prompt else "")
        if self._others and any(print_ in one for one in self._others):
            self.note("overlap", place, str(prompt[0][1])[:40] if prompt else "")
        answer = response[0][1] if response else None
        if answer is not None and (not answer or answer.isspace()) and len(response) == 1:
            self.note("empty answer", place, str(prompt[-1][1])[:40] if prompt else "")
        if search:
            for _, content in (*prompt, *response):
                found = _FORGOTTEN.search(content) if isinstance(content, str) else None
                if found:
                    self.note("placeholder", place, found[0])
                    break

    def note(self, kind: NoteKind, place: Callable[[], Place], example: str = "") -> None:
        """Count one more of a kind; the first ones' places are kept."""
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= PLACES:
            self._found.setdefault(kind, []).append(place())
            self._examples.setdefault(kind, example)

    def notes(self) -> tuple[Noted, ...]:
        """All that was found."""
        return tuple(
            Noted(kind, count, tuple(self._found[kind]), self._examples[kind]) for kind, count in self._counts.items()
        )
