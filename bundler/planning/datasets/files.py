"""A dataset's files, and their records in the order and with the types that LLaMA-Factory sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.planning.datasets import arrow_file, json_file, table_file
from bundler.planning.datasets.content import may_have_forgotten
from bundler.planning.datasets.shape import Shape
from bundler.planning.datasets.verdict import Place, Raises

TYPES = {"arrow": "arrow", "csv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet", "txt": "text"}
"""0.9.3, extras/constants.py, FILEEXT2TYPE."""
_TOGETHER = 16
"""Texts that are searched for hints of placeholders at once: fewer calls, and still few where they are long."""


@dataclass(slots=True)
class Row:
    """A record of a file. Its place is found out only when it is asked for, as that counts lines."""

    value: dict[str, Any]
    file: str
    number: int
    found: json_file.Found | None
    line: int
    suspect: bool

    def place(self) -> Place:
        """Where it lies."""
        return Place(self.file, self.number, json_file.line_of(self.found) if self.found else self.line)


def listed(path: Path) -> list[Path]:
    """The files that are read. Raises Raises as the loader would (0.9.3, data/loader.py, _load_single_dataset)."""
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if not one.name.startswith("."))
    elif path.is_file():
        files = [path]
    else:
        raise Raises(f"{path} is no file" if path.exists() else f"{path} is not there")
    if not files:
        raise Raises(f"{path} has no files", "IndexError")
    kinds = {TYPES.get(file.suffix[1:]) for file in files}
    if kinds == {None}:
        raise Raises(f"{files[0].name} is none of {', '.join(sorted(TYPES))}")
    if len(kinds) > 1 or None in kinds:
        names = ", ".join(file.name for file in files[:4])
        raise Raises(f"all files of a folder must be of one type, and it has {names}")
    for file in files:
        if not file.is_file():
            raise Raises(f"{file} is no file")  # a directory, a dangling link; a pipe might never end
    return files


class Rows:
    """All records, one table after the other. `schema` is the first table's, into which all others must fit.

    Of Parquet and Arrow files the records have the columns that are `wanted`, while `schema` has all.
    """

    def __init__(self, files: list[Path], wanted: frozenset[str], version: tuple[int, ...]) -> None:
        self.files = files
        self.schema: Shape | None = None
        self.tables = arrow_file.Tables(wanted, strict=version < (0, 9, 4))

    def __iter__(self) -> Iterator[Row]:
        """Raises Raises with a place, and CannotRead."""
        self.schema = None
        self.tables.schema = None
        for file in self.files:
            for rows, shape in self._tables(file):
                try:
                    yield from rows
                except Raises as error:
                    raise _placed(error, file) from error
                self._fits(shape, file)

    def _fits(self, shape: Shape, file: Path) -> None:
        if self.schema is None:
            self.schema = shape
        elif problem := self.schema.missing(shape):
            raise Raises(problem, "DatasetGenerationError", place=Place(file.name, 0, 0))

    def _tables(self, file: Path) -> Iterator[tuple[Iterator[Row], Shape]]:
        kind = TYPES[file.suffix[1:]]
        try:
            if kind == "json":
                yield from _json(file)
            elif kind in ("csv", "text"):
                yield from _plain(file, kind)
            else:
                batches, shape = self.tables.read(file, kind)
                yield _arrow(file.name, batches), shape
        except Raises as error:
            raise _placed(error, file) from error


def _placed(error: Raises, file: Path) -> Raises:
    """With the file's name at least."""
    return error if error.place else Raises(error.reason, error.error, place=Place(file.name, 0, 0))


def _json(file: Path) -> Iterator[tuple[Iterator[Row], Shape]]:
    first = json_file.begins_with(file)
    if not first:
        raise Raises("the file is empty", "SchemaInferenceError")
    if first == "[":
        shape = Shape(dates=False)
        yield _array(file, shape), shape
        return
    if first != "{":
        raise Raises(f"it begins with {first!r}, and not with an object or an array", "ArrowInvalid")
    before = 0
    for chunk in json_file.lines(file):
        shape = Shape(dates=True)
        rows = _Lines(file.name, chunk, before, shape)
        yield iter(rows), shape
        before = rows.number


class _Lines:
    """The rows of a chunk. What ends the load may be found after rows that were given already."""

    def __init__(self, name: str, chunk: json_file.Chunk, before: int, shape: Shape) -> None:
        self.name = name
        self.chunk = chunk
        self.number = before
        self.shape = shape

    def __iter__(self) -> Iterator[Row]:
        name, number, see = self.name, self.number, self.shape.see
        suspect = may_have_forgotten(self.chunk.raw)
        strings = 0
        for found in self.chunk.objects():
            number += 1
            row = Row(found[0], name, number, found, 0, suspect)
            try:
                strings += see(found[0])
            except Raises as error:
                raise Raises(error.reason, error.error, place=row.place()) from error
            yield row
        self.number = number
        self.chunk.require_unique(strings)


def _array(file: Path, shape: Shape) -> Iterator[Row]:
    text = ""
    suspect = False
    name, see = file.name, shape.see
    for number, found in enumerate(json_file.array(file), start=1):
        if found[1] is not text:
            text = found[1]
            suspect = may_have_forgotten(text.encode("utf-8", "surrogatepass"))
        value = found[0]
        if type(value) is not dict:
            place = Place(name, number, json_file.line_of(found))
            raise Raises(f"not an object: {str(value)[:30]!r}", "TypeError", place=place)
        row = Row(value, name, number, found, 0, suspect)
        try:
            see(value)
        except Raises as error:
            raise Raises(error.reason, error.error, place=row.place()) from error
        yield row


def _plain(file: Path, kind: str) -> Iterator[tuple[Iterator[Row], Shape]]:
    number = 0
    any_table = False
    for rows in table_file.table(file) if kind == "csv" else table_file.text(file):
        if rows or not any_table:
            shape = Shape(dates=False)
            yield _rows(file.name, rows, number, shape), shape
        any_table = any_table or bool(rows)
        number += len(rows)
    if not any_table and kind == "text":
        raise Raises("the file is empty", "SchemaInferenceError")


def _rows(name: str, rows: list[table_file.Row], number: int, shape: Shape) -> Iterator[Row]:
    for value, line in rows:
        number += 1
        cells = (cell.encode() for cell in value.values() if type(cell) is str)
        suspect = any(map(may_have_forgotten, cells))
        row = Row(value, name, number, None, line, suspect)
        try:
            shape.see(value)
        except Raises as error:
            raise Raises(error.reason, error.error, place=row.place()) from error
        yield row


def _arrow(name: str, batches: Iterator[list[dict[str, Any]]]) -> Iterator[Row]:
    number = 0
    for records in batches:
        texts = [text for value in records for text in _texts(value)]
        few = ("\n".join(texts[begin : begin + _TOGETHER]).encode() for begin in range(0, len(texts), _TOGETHER))
        suspect = any(map(may_have_forgotten, few))
        for value in records:
            number += 1
            yield Row(value, name, number, None, 0, suspect)


def _texts(value: Any) -> Iterator[str]:
    """All strings of a record."""
    if type(value) is str:
        yield value
    elif type(value) is dict:
        for item in value.values():
            yield from _texts(item)
    elif type(value) is list:
        for item in value:
            yield from _texts(item)
