"""Whatever a file holds, a person gets findings, never a traceback."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from manifest_cases import DOCUMENT

from bundler.core.records import to_json
from bundler.core.strict_json import canonical
from bundler.manifest.findings import Finding, ManifestRejected
from bundler.manifest.hardware import hardware
from bundler.manifest.loader import load
from bundler.workloads.graph import question, workloads

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
ENOUGH = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(path: Path) -> None:
    """It loads, and then can be locked; or every finding has its place."""
    found: tuple[Finding, ...] = ()
    try:
        manifest = load(path)
        for part in (*workloads(manifest), hardware(manifest.target), question(manifest)):
            canonical(to_json(part))
    except ManifestRejected as error:
        found = error.findings or (Finding(str(path), -1, 0, "", "", ""),)
    lines = path.read_bytes().count(b"\n") + 2
    for one in found:
        assert 0 <= one.line <= lines
        assert one.found
        assert one.expected


@ENOUGH
@given(raw=st.binary(max_size=200))
def test_random_bytes(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "bundle.yaml"
    path.write_bytes(raw)
    check(path)


@ENOUGH
@given(text=st.text(alphabet="abc :-?[]{}&*!|>'\"%@`#,\n\t0.1e~<", max_size=60))
def test_random_yaml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bundle.yaml"
    path.write_text(text)
    check(path)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in inner for place in places(item, (*at, key)))]


@ENOUGH
@given(place=st.sampled_from(places(DOCUMENT)[1:]), value=VALUES, other=st.sampled_from(places(DOCUMENT)[1:]))
def test_a_manifest_with_anything_anywhere(
    tmp_path: Path, place: tuple[Any, ...], value: Any, other: tuple[Any, ...]
) -> None:
    document = copy.deepcopy(DOCUMENT)
    for *parents, last in (place, other):
        parent: Any = document
        for part in parents:
            parent = parent[part] if _has(parent, part) else None
        if _has(parent, last):
            parent[last] = value
    path = tmp_path / "bundle.yaml"
    try:
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    except (yaml.YAMLError, UnicodeEncodeError):
        reject()  # not even YAML can say this
    check(path)


def _has(parent: Any, part: Any) -> bool:
    if isinstance(parent, dict):
        return part in parent
    return isinstance(parent, list) and isinstance(part, int) and part < len(parent)
