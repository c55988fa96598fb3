"""Arrow's types as `datasets` 3.6.0 takes them: which it knows, and how a later file's are cast to the first file's.

Everything here has pyarrow, which is an extra: only arrow_file.py imports this, once it is known to be there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import types

from bundler.planning.datasets.shape import Shape
from bundler.planning.datasets.verdict import Raises

_DECLARED = frozenset(
    ("Value", "ClassLabel", "Translation", "TranslationVariableLanguages", "LargeList", "Sequence", "Audio", "Image")
) | frozenset(("Array2D", "Array3D", "Array4D", "Array5D", "Video", "Pdf"))
"""datasets 3.6.0, features/features.py, _FEATURE_TYPES. Version 4 writes List, which 3.6.0 does not know."""
_NUMBERS = (types.is_integer, types.is_floating)
_KNOWN = (
    *(types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_time, types.is_timestamp),
    *(types.is_date, types.is_duration, types.is_decimal128, types.is_decimal256, types.is_binary),
    *(types.is_large_binary, types.is_string, types.is_large_string),
)
"""datasets 3.6.0, features/features.py, _arrow_to_datasets_dtype."""


def target(schema: pa.Schema, *, strict: bool) -> pa.Schema:
    """The schema into which the first file's makes all files be cast (Features.from_arrow_schema).

    `strict` says that the loader has a `datasets` before 4. Raises Raises for a type that it does not know.
    """
    if strict:
        _declared(schema.metadata or {})
    fields: dict[str, pa.DataType] = {}
    for field in schema:
        if field.name in fields:
            raise Raises(f"there are two columns {field.name!r}", "KeyError")
        fields[field.name] = _target(field.type, field.name)
    return pa.schema(list(fields.items()))


def _declared(metadata: dict[bytes, bytes]) -> None:
    """What `datasets` has written of its own types beside Arrow's."""
    if b"huggingface" not in metadata:
        return
    try:
        written = json.loads(metadata[b"huggingface"])
    except ValueError as error:
        raise Raises("its huggingface metadata is not JSON", "JSONDecodeError") from error
    info = written.get("info") if isinstance(written, dict) else None
    for name in _types(info.get("features") if isinstance(info, dict) else None):
        if name not in _DECLARED:
            raise Raises(
                f"its metadata names the feature type {name!r}, which datasets 3.6.0 does not know: write the file "
                "with pyarrow or pandas, or with a datasets before 4"
            )


def _types(features: Any) -> Iterator[str]:
    if isinstance(features, list):
        for one in features:
            yield from _types(one)
    if isinstance(features, dict):
        if isinstance(features.get("_type"), str):
            yield features["_type"]
            yield from _types(features.get("feature"))
        else:
            for one in features.values():
                yield from _types(one)


def _target(kind: pa.DataType, path: str) -> pa.DataType:
    if types.is_struct(kind):
        return pa.struct([(field.name, _target(field.type, f"{path}.{field.name}")) for field in kind])
    if types.is_fixed_size_list(kind):
        if types.is_struct(kind.value_type):  # taken for an object of lists, into which it then can't be cast: seen
            raise Raises(f"{path} is a list of fixed size with objects in it", "DatasetGenerationError")
        return pa.list_(_target(kind.value_type, f"{path}[]"), kind.list_size)
    if types.is_list(kind):
        return pa.list_(_target(kind.value_type, f"{path}[]"))
    if types.is_large_list(kind):
        return pa.large_list(_target(kind.value_type, f"{path}[]"))
    if types.is_dictionary(kind):
        return _target(kind.value_type, path)
    if any(is_it(kind) for is_it in _KNOWN):
        return kind
    raise Raises(f"{path} is a {kind}, a type of Arrow that datasets does not know")


def shape(kind: pa.DataType) -> Shape:
    """What the judge asks of a column's type."""
    made = Shape(dates=False)
    if types.is_struct(kind):
        made.kind = "object"
        made.fields = {field.name: shape(field.type) for field in kind}
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        made.kind = "list"
        made.item = shape(kind.value_type)
    elif types.is_string(kind) or types.is_large_string(kind):
        made.kind = "string"
    elif types.is_boolean(kind):
        made.kind = "boolean"
    elif any(is_it(kind) for is_it in _NUMBERS):
        made.kind = "number"
    elif not types.is_null(kind):
        made.kind = str(kind)
    return made


def cast(array: pa.Array, kind: pa.DataType, path: str) -> pa.Array:
    """An array of a later file as the first file's type (table.py, cast_array_to_feature).

    Raises Raises where that can't be, and pyarrow's own errors for values that don't fit.
    """
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    given = array.type
    if given == kind:
        return array
    if types.is_null(given):
        return pa.nulls(len(array), kind)
    if types.is_struct(given) and types.is_struct(kind):
        return _struct(array, kind, path)
    if _is_list(given) and _is_list(kind):
        return _list(array, kind, path)
    if types.is_null(kind) or types.is_nested(given) or types.is_nested(kind):
        raise Raises(f"{path} is a {kind} in the first file and a {given} here", "DatasetGenerationError")
    return array.cast(kind)


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _struct(array: pa.StructArray, kind: pa.StructType, path: str) -> pa.Array:
    given = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
    wanted = {field.name: field.type for field in kind}
    for name in given:
        if name not in wanted:
            raise Raises(f"{path}.{name} is not in the first file", "DatasetGenerationError")
    arrays = [
        cast(given[name], one, f"{path}.{name}") if name in given else pa.nulls(len(array), one)
        for name, one in wanted.items()
    ]
    if not arrays:
        return array
    return pa.StructArray.from_arrays(arrays, names=list(wanted), mask=array.is_null())


def _list(array: pa.Array, kind: pa.DataType, path: str) -> pa.Array:
    lengths = [None if one is None else len(one) for one in array.to_pylist()]
    if types.is_fixed_size_list(kind) and any(one not in (None, kind.list_size) for one in lengths):
        raise Raises(f"{path} has {kind.list_size} items in the first file, and here another number", "TypeError")
    offsets: list[int | None] = []
    at = 0
    for length in lengths:
        offsets.append(None if length is None else at)
        at += length or 0
    values = cast(array.flatten(), kind.value_type, f"{path}[]")
    made = pa.LargeListArray.from_arrays(pa.array([*offsets, at], pa.int64()), values)
    return made.cast(kind) if types.is_fixed_size_list(kind) else made
