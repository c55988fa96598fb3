"""Reads a JSON file as `datasets` 3.6.0 does (packaged_modules/json/json.py), in memory that does not grow with it.

Lines, or objects one after the other, go to Arrow in chunks of 10 MiB. What begins with `[` goes to pandas as a whole.
The two differ in what they take: see docs/data.md.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bundler.planning.datasets.verdict import CannotRead, Raises

CHUNK = 10 << 20
"""Bytes that Arrow is given at once, and the rest of the line (datasets 3.6.0, JsonConfig.chunksize)."""

_READ = 4 << 20
_LARGEST = 256 << 20
"""A single record of more characters is refused, so that memory stays bounded."""
_SPACE = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR = re.compile(r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u([0-9a-fA-F]{4}))?|\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_BOM = codecs.BOM_UTF8
_TAIL = 12
"""An error so near the end of what was read may come from the cut alone."""

Scan = Callable[[str, int], tuple[Any, int]]
"""Parses the value that begins at an index: it, and where it ends."""

Found = tuple[Any, str, int, int, int]
"""A value, the text that it lies in, where it begins and ends there, and the line that the text begins on."""


def line_of(found: Found) -> int:
    """The line that a value begins on, from 1."""
    _, text, begin, _, line = found
    return line + text.count("\n", 0, begin)


class _DuplicateKey(ValueError):
    pass


def _scanner(decoder: json.JSONDecoder) -> Scan:
    """The decoder's own scanner, in C: `raw_decode` without its wrapping, which costs as much as a small record."""
    scan: Scan = decoder.scan_once  # type: ignore[attr-defined]
    return scan


def begins_with(path: Path) -> str:
    """The first character that is not white space, and not a byte order mark; empty where there is none."""
    with path.open("rb") as file:
        block = file.read(_READ)
        if block.startswith(_BOM):
            block = block[len(_BOM) :]
        while block:
            stripped = block.lstrip(b" \t\r\n")
            if stripped:
                return chr(stripped[0])
            block = file.read(_READ)
    return ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _DuplicateKey(f"the key {twice!r} is there twice in an object")
    return made


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too big for a double")
    return number


_PLAIN = _scanner(json.JSONDecoder(parse_float=_finite))
_UNIQUE = _scanner(json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite))


def _constant(text: str) -> float | None:
    """pandas takes NaN for null; infinity it keeps."""
    return None if text == "NaN" else float(text)


def _in_64_bits(text: str) -> int:
    number = int(text) if len(text) < 30 else 1 << 99
    if not -(1 << 63) <= number < 1 << 64:
        raise ValueError(f"{text[:30]} does not fit in 64 bits")
    return number


def lines(path: Path) -> Iterator[Chunk]:
    """A file of JSON lines, as Arrow is given it. Raises Raises for what is not UTF-8.

    An object may go over several lines, as long as no chunk ends inside.
    """
    with path.open("rb") as file:
        first = True
        line = 1
        while True:
            raw = file.read(CHUNK)
            if not raw:
                return
            raw += file.readline()
            if first and raw.startswith(_BOM):
                raw = raw[len(_BOM) :]
            first = False
            yield Chunk(raw, _decoded(raw, line), line)
            line += raw.count(b"\n")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Objects, one after the other, and the line that they begin on."""

    raw: bytes
    text: str
    line: int

    def objects(self) -> Iterator[Found]:
        """Raises Raises for what Arrow refuses. Of equal keys in an object the last one is taken: `require_unique`."""
        return self._objects(_PLAIN)

    def require_unique(self, strings: int) -> None:
        """Raises Raises where an object has a key twice. `strings` is how many strings the values have in them.

        There are two quotes for each string that is written. Where the values have fewer, one was lost: then, and
        only then, all is parsed again by a way that sees all keys, which takes half as long again.
        """
        text = self.text
        escaped = (text.replace("\\\\", "") if "\\\\" in text else text).count('\\"')
        if text.count('"') - escaped != 2 * strings:
            for _ in self._objects(_UNIQUE):
                pass

    def _objects(self, scan: Scan) -> Iterator[Found]:
        text, line = self.text, self.line
        skip = _SPACE.match
        end = len(text)
        suspect = _SURROGATE.search(text) is not None
        at = skip(text, 0).end()  # type: ignore[union-attr]
        while at < end:
            try:
                value, after = scan(text, at)
            except (StopIteration, ValueError, RecursionError) as error:
                raise Raises(_problem(error, text, at, line), "ArrowInvalid") from error
            if type(value) is not dict:
                raise Raises(f"{_on(text, at, line)}: not an object: {text[at : at + 20]!r}", "ArrowInvalid")
            if suspect and _unpaired(text[at:after]):
                raise Raises(f"{_on(text, at, line)}: half a surrogate pair", "ArrowInvalid")
            yield value, text, at, after, line
            at = skip(text, after).end()  # type: ignore[union-attr]


def _decoded(raw: bytes, line: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        raise Raises(f"line {line}: byte 0x{raw[error.start]:02x} is not UTF-8", "UnicodeDecodeError") from error


def _on(text: str, at: int, line: int) -> str:
    return f"line {line + text.count(chr(10), 0, at)}"


def _problem(error: Exception, text: str, at: int, line: int) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{_on(text, error.pos, line)}: not JSON: {error.msg}"
    if isinstance(error, StopIteration):
        place = error.value if isinstance(error.value, int) else at
        return f"{_on(text, place, line)}: not JSON: expecting a value: {text[place : place + 20]!r}"
    if isinstance(error, RecursionError):
        return f"{_on(text, at, line)}: nested too deeply"
    return f"{_on(text, at, line)}: {error}"


def _unpaired(text: str) -> bool:
    """Whether half a surrogate pair is written in it, as Arrow's parser (RapidJSON) would find."""
    for found in _PAIR.finditer(text):
        if found[0] != "\\\\" and not (found[1] and 0xDC00 <= int(found[1], 16) < 0xE000 and found[0][3] in "89abAB"):
            return True
    return False


def _ujson_refuses(text: str) -> bool:
    """A low half without a high one, or a high half with another escape of the kind behind it (pandas' ujson)."""
    for found in _PAIR.finditer(text):
        whole = found[0]
        if whole == "\\\\":
            continue
        if whole[3] in "cdefCDEF":
            return True
        if found[1] and not 0xDC00 <= int(found[1], 16) < 0xE000:
            return True
    return False


def array(path: Path) -> Iterator[Found]:
    """The items of a JSON array, one after the other. Raises Raises for what pandas refuses, CannotRead.

    pandas' own parser takes raw control characters inside strings, and the last of several equal keys.
    """
    decoder = json.JSONDecoder(strict=False, parse_int=_in_64_bits, parse_constant=_constant)
    with path.open("rb") as file:
        if file.read(len(_BOM)) == _BOM:
            raise Raises("a byte order mark before a JSON array: save it as UTF-8 without one", "ArrowInvalid")
        file.seek(0)
        yield from _Array(file, _scanner(decoder)).items()


class _Array:
    """A window that slides over a file."""

    def __init__(self, file: BinaryIO, scan: Scan) -> None:
        self._file = file
        self._scan = scan
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._line = 1
        self._escapes = False  # whether the window has surrogates written as escapes: looked for once a window
        self._whole = False

    def items(self) -> Iterator[Found]:
        self._more()
        self._expect("[")
        if self._peek() == "]":
            self._at += 1
        else:
            scan = self._scan
            while True:
                text, begin = self._text, self._at
                try:
                    value, after = scan(text, begin)
                except (StopIteration, ValueError, RecursionError):
                    value, after = None, len(text)  # _item finds out what it is
                if after < len(text) and not self._escapes:  # the usual way: it lies whole in the window
                    self._at = after
                    yield value, text, begin, after, self._line
                else:
                    yield self._item()
                comma = _COMMA.match(self._text, self._at)
                if comma and comma.end() < len(self._text):
                    self._at = comma.end()
                    continue
                if self._peek() == "]":
                    self._at += 1
                    break
                self._expect(",")
        if self._peek():
            raise Raises(f"more after the array's end: {self._text[self._at : self._at + 20]!r}", "ArrowInvalid")

    def _item(self) -> Found:
        if self._text[self._at : self._at + 1] != "{":
            self._peek()
        while True:
            begin = self._at
            try:
                value, after = self._scan(self._text, begin)
                if after < len(self._text) or self._whole:
                    break
            except (StopIteration, ValueError, RecursionError) as error:
                if self._whole or not self._cut(error):
                    raise Raises(_problem(error, self._text, begin, self._line), "ArrowInvalid") from error
            self._more()
        text = self._text
        if self._escapes and _ujson_refuses(text[begin:after]):
            raise Raises(f"{_on(text, begin, self._line)}: half a surrogate pair", "ArrowInvalid")
        self._at = after
        return value, text, begin, after, self._line

    def _cut(self, error: Exception) -> bool:
        """Whether an error may come from the window's edge."""
        near = len(self._text) - _TAIL
        if isinstance(error, json.JSONDecodeError):
            return error.msg.startswith("Unterminated string") or error.pos >= near
        if isinstance(error, StopIteration):
            return not isinstance(error.value, int) or error.value >= near
        return False

    def _peek(self) -> str:
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if self._whole:
                return ""
            self._more()

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            rest = self._text[self._at : self._at + 20]
            where = _on(self._text, self._at, self._line)
            raise Raises(f"{where}: expecting {character!r}, and there is {rest!r}", "ArrowInvalid")
        self._at += 1

    def _more(self) -> None:
        self._line += self._text.count("\n", 0, self._at)
        rest = self._text[self._at :]
        if len(rest) > _LARGEST:
            raise CannotRead(f"a record of more than {_LARGEST >> 20} Mi characters, or a quote that is never closed")
        raw = self._file.read(max(_READ, len(rest)))
        self._whole = not raw
        try:
            self._text = rest + self._decode.decode(raw, final=self._whole)
        except UnicodeDecodeError as error:
            raise Raises(f"not UTF-8: byte 0x{error.object[error.start]:02x}", "UnicodeDecodeError") from error
        self._at = 0
        self._escapes = _SURROGATE.search(self._text) is not None
