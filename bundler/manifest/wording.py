"""pydantic's errors in the manifest's words: where, what was found, what was expected, what was perhaps meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from bundler.manifest.findings import KeyPath, Problem, shown

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "finite_number": "a number that is not infinite",
    "literal_error": "{expected}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "string_too_short": "text that is not empty",
}


def problem(error: ErrorDetails, schema: Mapping[str, Any], texts: Mapping[KeyPath, str]) -> Problem:
    """One error of pydantic's on a document; `texts` are its scalars as they were written."""
    path, place = _follow(error["loc"], schema)
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "extra_forbidden":
        return _unknown_key(path, place)
    if kind == "missing":
        return Problem(path, "nothing", _described(place))
    if error["loc"] and error["loc"][-1] == "[key]":
        return Problem(path, f"the name {shown(path[-1])}", str(context.get("error", error["msg"])), at_key=True)
    suggestion = _similar(str(error["input"]), _choices(place)) if kind == "literal_error" else ""
    expected = _expected(error, place) + _mended(error, texts.get(path), list(_arms(place, schema)))
    return Problem(path, shown(error["input"]), expected, suggestion=suggestion)


def _expected(error: ErrorDetails, place: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return _described(place)
    return _EXPECTED[kind].format_map(context) if kind in _EXPECTED else error["msg"]


def _mended(error: ErrorDetails, written: str | None, arms: Sequence[Mapping[str, Any]]) -> str:
    """What to write where only quotes or brackets are missing, and else nothing."""
    value = error["input"]
    if isinstance(value, (bool, int, float)) and written and any(arm.get("type") == "string" for arm in arms):
        return f': write "{written}"'
    if error["type"] in ("tuple_type", "list_type") and isinstance(value, str):
        return f": write [{value}]"
    return ""


def _unknown_key(path: KeyPath, parent: Mapping[str, Any]) -> Problem:
    known = list(parent.get("properties", {}))
    suggestion = _similar(str(path[-1]), known)
    concerns: tuple[KeyPath, ...] = ((*path[:-1], suggestion),) if suggestion else ()
    expected = f"one of the keys {', '.join(known)}"
    return Problem(path, f"the key {shown(path[-1])}", expected, suggestion=suggestion, concerns=concerns, at_key=True)


def _described(place: Mapping[str, Any]) -> str:
    description = str(place.get("description", "a value")).rstrip(".")
    return description[:1].lower() + description[1:] if description[1:2].islower() else description


def _similar(word: str, known: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, n=1)), "")


def _choices(place: Mapping[str, Any]) -> list[str]:
    return [str(choice) for arm in (place, *place.get("anyOf", [])) for choice in arm.get("enum", [])]


def _follow(location: tuple[int | str, ...], schema: Mapping[str, Any]) -> tuple[KeyPath, Mapping[str, Any]]:
    """The key path of an error, and the part of the JSON schema that holds there.

    pydantic puts the chosen class of a union into the location; that is no key, and is left out. For a key that
    the schema does not know, the part is that of the mapping around it.
    """
    path: KeyPath = ()
    place = _resolved(schema, schema)
    for part in location:
        if part == "[key]":
            continue
        choices = [one for arm in (place, *place.get("anyOf", [])) for one in arm.get("oneOf", [])]
        arms = [arm for arm in choices if arm.get("$ref") == f"#/$defs/{part}"]
        if arms:
            place = _resolved(arms[0], schema)
            continue
        path = (*path, part)
        place = _member(part, place, schema)
    return path, place


def _member(part: int | str, place: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    arms = list(_arms(place, schema))
    for arm in arms:
        named = arm.get("patternProperties") or {"": arm.get("additionalProperties")}
        anyone = next(iter(named.values()))  # a mapping by name has one pattern, and one kind of member
        found = arm.get("items") if isinstance(part, int) else arm.get("properties", {}).get(part, anyone)
        if isinstance(found, Mapping):
            return _resolved(found, schema)
    return next((arm for arm in arms if "properties" in arm), place)


def _arms(place: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield place
    for arm in place.get("anyOf", []):
        yield from _arms(_resolved(arm, schema), schema)


def _resolved(place: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part that a `$ref` names; what stands beside the `$ref` (a description) goes first."""
    if "$ref" not in place:
        return place
    target = schema["$defs"][place["$ref"].rpartition("/")[2]]
    return {**target, **{key: value for key, value in place.items() if key != "$ref"}}
