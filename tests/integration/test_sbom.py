"""The bill of materials of a real Debian image, judged by CycloneDX's own schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.commandline import Bundle

CARD = """---
license: apache-2.0
base_model:
- Qwen/Qwen3-32B
---
# A model
"""


@pytest.fixture(scope="module")
def built(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sbom")
    (place / "model").mkdir()
    (place / "model" / "README.md").write_text(CARD)
    (place / "model" / "config.json").write_text("{}")
    manifest = place / "demo.yaml"
    manifest.write_text(
        f'name: demo\nversion: "1"\nimages:\n  serve: {{registry: "{base_image}"}}\nmodels:\n  base: {{path: model}}\n'
    )
    Bundle()("build", manifest, "--store", place / "store")
    return place / "store"


def below(document: Any, name: str) -> Any:
    return next(component for component in document["components"] if component["name"] == name)


def test_the_packages_of_a_real_image_are_listed_and_the_document_is_valid(built: Path) -> None:
    done = Bundle()("sbom", "demo", "--store", built)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(done.out) is None
    urls = [component["purl"] for component in below(done.json, "serve")["components"]]
    assert any(url.startswith("pkg:deb/debian/python3.11@3.11.") for url in urls)
    assert any(url.startswith("pkg:deb/debian/libc6@2.36-") and "distro=debian-12" in url for url in urls)
    assert len(urls) > 80
    model = below(done.json, "base")
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert [base["name"] for base in model["pedigree"]["ancestors"]] == ["Qwen/Qwen3-32B"]
    libraries = {component["name"] for component in below(done.json, "bundle-agent")["components"]}
    assert {"docker", "urllib3", "click"} <= libraries
    assert Bundle()("sbom", "demo", "--store", built).out == done.out


def test_inspect_shows_the_licence_and_what_the_image_is_for(built: Path) -> None:
    said = Bundle()("inspect", "demo", "--store", built).out
    assert "licence apache-2.0" in said
    assert "made from Qwen/Qwen3-32B" in said
    assert "linux/amd64, created 20" in said
