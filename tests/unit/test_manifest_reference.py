"""The manifest's page, its examples and its schema say what the program does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bundler.manifest.fields import Section
from bundler.manifest.loader import load
from bundler.manifest.schema import Manifest, schema_json
from scripts.manifest_reference import EXAMPLES, PAGE, ROOT, render

MANIFESTS = sorted((ROOT / "manifests").glob("*.yaml"))


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), "python -m scripts.manifest_reference"


@pytest.mark.parametrize(("section", "text"), EXAMPLES.items())
def test_the_pages_examples_are_right(section: type[Section], text: str) -> None:
    section.model_validate(yaml.safe_load(text))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_manifests_that_we_ship_are_right(path: Path) -> None:
    load(path)


def test_every_key_says_what_it_means() -> None:
    schema = json.loads(schema_json())
    sections = [schema, *schema["$defs"].values()]
    members = [
        (name, member)
        for section in sections
        for shape in (section, *section.get("anyOf", []))
        for name, member in shape.get("properties", {}).items()
    ]
    assert len(members) > 80
    assert [name for name, member in members if not member.get("description", "").endswith(".")] == []


def test_a_manifest_can_not_be_changed_after_it_was_checked() -> None:
    manifest = Manifest.model_validate({"name": "a", "version": "1"})
    with pytest.raises(ValueError, match="frozen"):
        manifest.name = "b"
