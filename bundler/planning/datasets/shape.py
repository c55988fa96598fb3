"""The types that Arrow infers, and where it gives up.

A JSON column has one kind; null and absence go with any. A second kind ends the load (Arrow's
JSON parser: "Column(/id) changed from number to string"; pyarrow's from_pandas likewise for arrays). In JSON lines, and
there only, strings that all read as dates become timestamps (Arrow, cpp/src/arrow/json/chunked_builder.cc).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from bundler.planning.datasets.verdict import Raises

_KINDS = {str: "string", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
# Seconds at most: a fraction is left a string. Zones (+01, +0100, +01:00, Z) only after a time. Tried with pyarrow.
_ZONE = r"(?:Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?"
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T](?:[01]\d|2[0-3])(?::[0-5]\d(?::[0-5]\d)?)?" + _ZONE + ")?")


def is_timestamp(text: str) -> bool:
    """Whether Arrow's JSON reader takes a string for a time when all of its column are like it."""
    found = _ISO.fullmatch(text)
    if not found:
        return False
    year, month, day = map(int, found.groups())
    try:
        date(year or 4, month, day)  # Arrow knows a year 0, a leap year
    except ValueError:
        return False
    return True


Known = tuple[tuple[type, ...], int, tuple[str, ...]]
"""Of objects with certain keys: the types of their values, their strings (keys too), and which values have more."""


class Shape:
    """The kind of a column, and of what is in it."""

    __slots__ = ("dates", "fields", "item", "kind", "known")

    def __init__(self, *, dates: bool) -> None:
        self.kind: str | None = None
        self.dates = dates  # until one is not
        self.item: Shape | None = None
        self.fields: dict[str, Shape] = {}
        self.known: dict[tuple[str, ...], Known] = {}  # objects of which nothing more can be learned

    @property
    def timestamp(self) -> bool:
        """Whether it is a column of times."""
        return self.kind == "string" and self.dates

    def see(self, value: Any, path: str = "") -> int:
        """Take a value in. How many strings it has in it, names of fields included. Raises Raises at a second kind."""
        if value is None:
            return 0
        cls = type(value)
        kind = _KINDS[cls]
        if kind != self.kind:
            if self.kind is not None:
                raise Raises(f"{path or 'a record'} is a {self.kind} before and a {kind} here", "ArrowInvalid")
            self.kind = kind
        if cls is dict:
            return self._object(value, path)
        if cls is list:
            return self._list(value, path)
        if cls is str:
            if self.dates and not is_timestamp(value):
                self.dates = False
            return 1
        return 0

    def _object(self, value: dict[str, Any], path: str) -> int:
        keys = tuple(value)
        types = tuple(map(type, value.values()))
        known = self.known.get(keys)
        if known and known[0] == types:
            strings = known[1]
            for key in known[2]:
                strings += self.fields[key].see(value[key], f"{path}.{key}" if path else key)
            return strings
        settled = True
        strings = len(keys)
        for key, item in value.items():
            shape = self.fields.get(key)
            if shape is None:
                shape = self.fields[key] = Shape(dates=self.dates_possible)
            strings += shape.see(item, f"{path}.{key}" if path else key)
            settled = settled and not shape.timestamp
        if settled:
            deep = tuple(key for key, cls in zip(keys, types, strict=True) if cls is list or cls is dict)
            self.known[keys] = (types, len(keys) + types.count(str), deep)
        return strings

    @property
    def dates_possible(self) -> bool:
        """Whether this file's reader infers dates: what a new shape begins with."""
        return self.dates

    def _list(self, value: list[Any], path: str) -> int:
        shape = self.item
        if shape is None:
            shape = self.item = Shape(dates=self.dates_possible)
        known = shape.known.get
        inside = f"{path}[]"
        strings = 0
        for item in value:
            if type(item) is dict:  # messages: as see() would do it, without the calls
                seen = known(tuple(item))
                if seen and not seen[2] and seen[0] == tuple(map(type, item.values())):
                    strings += seen[1]
                    continue
            strings += shape.see(item, inside)
        return strings

    def missing(self, later: Shape, path: str = "") -> str | None:
        """Why a later chunk, or file, does not fit this schema, which the first one gave; None where it does.

        (datasets 3.6.0, table.py, cast_table_to_schema and cast_array_to_feature: a new column or field, a kind that
        can't be cast. Scalars become strings; what the first had as null throughout can't become anything.)
        """
        if later.kind is None:
            return None
        if self.kind is None:
            return f"{path or 'a record'} is null in all of the first chunk and a {later.kind} later"
        if later.kind != self.kind or (self.timestamp and not later.timestamp):
            if self.kind == "string" and later.kind in ("number", "boolean") and not self.timestamp:
                return None
            was = "time" if self.timestamp else self.kind
            return f"{path or 'a record'} is a {was} in the first chunk and a {later.kind} later"
        for key, shape in later.fields.items():
            mine = self.fields.get(key)
            inside = f"{path}.{key}" if path else key
            problem = mine.missing(shape, inside) if mine else f"{inside} is not in the first chunk"
            if problem:
                return problem
        if later.item is not None and self.item is not None:
            return self.item.missing(later.item, f"{path}[]")
        return None
