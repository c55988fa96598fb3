"""What LLaMA-Factory does not mind and a person would: duplicates, empty answers, forgotten placeholders."""

from __future__ import annotations

import re
from collections.abc import Callable

from bundler.planning.datasets.convert import Aligned
from bundler.planning.datasets.verdict import Noted, Place

REMEMBERED = 4_000_000
"""So many records are compared for duplicates: about 100 bytes of memory each. Later ones are not added."""

_FORGOTTEN = re.compile(
    r"\{\{\s*[A-Za-z_][\w. ]{0,40}\}\}|<(?:PLACEHOLDER|INSERT|YOUR|TODO|FIXME|NAME|COMPANY)[A-Z_ ]{0,40}>|"
    r"\[(?:PLACEHOLDER|INSERT|YOUR|TODO)[A-Za-z_ ]{0,40}\]|\bTODO\b|\bFIXME\b|\bTBD\b|[Ll]orem ipsum"
)
_HINTS = ("{{", "PLACEHOLDER", "INSERT", "YOUR", "TODO", "FIXME", "TBD", "<NAME", "<COMPANY", "orem ipsum")


def may_have_forgotten(text: str) -> bool:
    """Whether a stretch of a file can hold a forgotten placeholder: cheap, so that most are not searched twice."""
    return any(hint in text for hint in _HINTS)


class Content:
    """Takes in the kept records of a dataset."""

    def __init__(self) -> None:
        self.prints: set[int] = set()
        self.whole = True
        self._notes: dict[str, list[object]] = {}

    def take(self, aligned: Aligned, place: Callable[[], Place], *, search: bool) -> None:
        """One record; `search` says that its file's stretch may hold placeholders."""
        contents = tuple(message[1] for message in (*aligned.prompt, *aligned.response))
        try:
            print_ = hash(contents)
        except TypeError:  # an answer that this stage does not look at may be anything
            print_ = hash(str(contents))
        if print_ in self.prints:
            self.note("duplicate", place, str(aligned.prompt[0][1])[:40] if aligned.prompt else "")
        elif len(self.prints) < REMEMBERED:
            self.prints.add(print_)
        else:
            self.whole = False
        answer = aligned.response[0][1] if aligned.response else None
        if answer is not None and (not answer or answer.isspace()) and len(aligned.response) == 1:
            self.note("empty answer", place, str(aligned.prompt[-1][1])[:40] if aligned.prompt else "")
        if search:
            for _, content in (*aligned.prompt, *aligned.response):
                found = _FORGOTTEN.search(content) if isinstance(content, str) else None
                if found:
                    self.note("placeholder", place, found[0])
                    break

    def note(self, kind: str, place: Callable[[], Place], example: str = "") -> None:
        """Count one more of a kind; the first one's place is kept."""
        known = self._notes.get(kind)
        if known:
            known[0] += 1  # type: ignore[operator]
        else:
            self._notes[kind] = [1, place(), example]

    def notes(self) -> tuple[Noted, ...]:
        """All that was found."""
        return tuple(Noted(kind, *values) for kind, values in self._notes.items())  # type: ignore[arg-type]
