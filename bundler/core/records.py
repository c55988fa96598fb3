"""Frozen dataclasses to JSON and back, strictly: for documents that the agent reads, where pydantic is not carried.

Understands str, int, float, bool, Digest, Descriptor, other record classes, `X | None`, `tuple[X, ...]` and
`Mapping[str, X]`. An unknown key, a missing key without a default, or a wrong type is an error that says where.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.strict_json import MalformedJson, parse_object

Record = TypeVar("Record")


def from_bytes(kind: type[Record], raw: bytes, what: str) -> Record:
    """Parse a JSON document into a record; `what` names the document in errors. Raises MalformedJson."""
    return from_json(kind, parse_object(raw, what), what)


def from_json(kind: type[Record], document: Any, what: str) -> Record:
    """Build a record of this class from parsed JSON. Raises MalformedJson, naming the member at fault."""
    built: Record = _build(kind, document, what)
    return built


def to_json(value: Any) -> Any:
    """The JSON form of a record: members that are None or empty and have a default are left out."""
    if isinstance(value, Descriptor):
        return value.to_json()
    if isinstance(value, Digest):
        return str(value)
    if dataclasses.is_dataclass(value):
        members = ((f, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {f.name: to_json(v) for f, v in members if not (_optional(f) and v in (None, "", (), {}))}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    return value


def _optional(member: dataclasses.Field[Any]) -> bool:
    return member.default is not dataclasses.MISSING or member.default_factory is not dataclasses.MISSING


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = next(arm for arm in get_args(kind) if arm is not type(None))
        return None if value is None else _build(inner, value, where)
    if kind is Descriptor:
        return Descriptor.parse(value, where)
    if kind is Digest:
        return Digest.parse(_typed(str, value, where))
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where)
    if origin is tuple:
        items = _typed(list, value, where)
        return tuple(_build(get_args(kind)[0], item, f"{where}[{at}]") for at, item in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        members = _typed(dict, value, where)
        return {key: _build(get_args(kind)[1], item, f"{where}.{key}") for key, item in members.items()}
    if kind is float and type(value) is int:
        return float(value)
    return _typed(kind, value, where)


def _record(kind: Any, value: Any, where: str) -> Any:
    document = _typed(dict, value, where)
    members = dataclasses.fields(kind)
    unknown = document.keys() - {member.name for member in members}
    if unknown:
        raise MalformedJson(
            where, f"it has unknown members: {', '.join(sorted(unknown))}; a newer bundle may have made it"
        )
    missing = [member.name for member in members if member.name not in document and not _optional(member)]
    if missing:
        raise MalformedJson(where, f"it lacks: {', '.join(missing)}")
    hints = _hints(kind)
    return kind(**{name: _build(hints[name], item, f"{where}.{name}") for name, item in document.items()})


def _typed(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        raise MalformedJson(where, f"it should be a {kind.__name__}, saw: {value!r:.60}")
    return value
