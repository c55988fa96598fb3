"""Reads CSV as pandas.read_csv does with its defaults, and plain text (datasets 3.6.0, packaged_modules/csv, text)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bundler.planning.datasets.verdict import Raises

ROWS = 10_000
"""Rows that get their types together (datasets 3.6.0, CsvConfig.chunksize)."""

_NULLS = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN")
) | frozenset(("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"))
"""pandas/_libs/parsers.pyx, STR_NA_VALUES."""
_NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|infinity)\s*", re.IGNORECASE)
_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
_BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
_END = "\x1e end of the file \x1e"

Row = tuple[dict[str, Any], int]
"""A record, and the line that it ends on."""


def table(path: Path) -> Iterator[list[Row]]:
    """The rows of a CSV file, 10,000 at a time, with the types that pandas gives their columns. Raises Raises."""
    csv.field_size_limit(1 << 30)
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _table(file)
    except UnicodeDecodeError as error:
        raise Raises(f"not UTF-8: byte 0x{error.object[error.start]:02x}", "UnicodeDecodeError") from error
    except csv.Error as error:
        raise Raises(f"not CSV: {error}", "ParserError") from error


def _table(file: Iterator[str]) -> Iterator[list[Row]]:
    def closed() -> Iterator[str]:
        yield from file
        yield "\n"
        yield f"{_END}\n"

    reader = csv.reader(closed())
    header: list[str] | None = None
    index: int | None = None
    rows: list[tuple[list[str], int]] = []
    ended = False
    for cells in reader:
        if not cells or (len(cells) == 1 and not cells[0].strip(" \t")):
            continue  # blank lines are skipped
        if cells == [_END]:
            ended = True
            break
        if header is None:
            header = _names(cells)
            continue
        if index is None:
            index = max(0, len(cells) - len(header))  # more cells than names: the first ones name the row
        if len(cells) > len(header) + index:
            raise Raises(
                f"line {reader.line_num}: {len(cells)} cells, and {len(header) + index} were expected", "ParserError"
            )
        rows.append((cells[index:], reader.line_num))
        if len(rows) == ROWS:
            yield _typed(header, rows)
            rows = []
    if not ended:
        raise Raises("a quote is opened and never closed", "ParserError")
    if header is None:
        raise Raises("the file is empty", "EmptyDataError")
    yield _typed(header, rows)


def _names(cells: list[str]) -> list[str]:
    """Names that come twice get a number (`output.1`), as pandas gives them."""
    names: list[str] = []
    for number, cell in enumerate(cells):
        name = base = cell or f"Unnamed: {number}"
        count = 0
        while name in names:
            count += 1
            name = f"{base}.{count}"
        names.append(name)
    return names


def _typed(header: list[str], rows: list[tuple[list[str], int]]) -> list[Row]:
    columns = []
    for number in range(len(header)):
        cells = [row[number] if number < len(row) else "" for row, _ in rows]
        columns.append(_column(cells))
    records = zip(*columns, strict=True) if rows else iter(())
    return [(dict(zip(header, values, strict=True)), line) for values, (_, line) in zip(records, rows, strict=True)]


def _column(cells: list[str]) -> list[Any]:
    given = [cell for cell in cells if cell not in _NULLS]
    if not given:
        return [None] * len(cells)
    if all(map(_NUMBER.fullmatch, given)):
        whole = len(given) == len(cells) and all(map(_INTEGER.fullmatch, given))
        return [None if cell in _NULLS else int(cell) if whole else float(cell) for cell in cells]
    if all(cell in _BOOLEANS or cell.lower() in ("true", "false") for cell in given):
        return [None if cell in _NULLS else cell.lower() == "true" for cell in cells]
    return [None if cell in _NULLS else cell for cell in cells]


def text(path: Path) -> Iterator[list[Row]]:
    """The lines of a text file, blank ones too, as the column `text`. Raises Raises."""
    try:
        with path.open(encoding="utf-8") as file:
            rows: list[Row] = []
            for number, line in enumerate(file, start=1):
                rows.append(({"text": line.rstrip("\n")}, number))
                if len(rows) == ROWS:
                    yield rows
                    rows = []
            yield rows
    except UnicodeDecodeError as error:
        raise Raises(f"not UTF-8: byte 0x{error.object[error.start]:02x}", "UnicodeDecodeError") from error
