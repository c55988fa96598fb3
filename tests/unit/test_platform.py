"""Out of an index comes the image for the node, or a message that says what there is."""

from __future__ import annotations

from typing import Any

import pytest

from bundler.core.errors import UsageInvalid
from bundler.core.strict_json import MalformedJson
from bundler.sources.platform import Platform, PlatformMissing, pick


def entry(number: int, **platform: str) -> dict[str, Any]:
    document = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{number:064x}", "size": 7}
    return {**document, "platform": platform} if platform else document


def index(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "manifests": list(entries)}


ATTESTATION = entry(9, os="unknown", architecture="unknown")
AMD64 = entry(1, os="linux", architecture="amd64")
ARM64 = entry(2, os="linux", architecture="arm64", variant="v8")
ARM_V7 = entry(3, os="linux", architecture="arm", variant="v7")
ARM_V6 = entry(4, os="linux", architecture="arm", variant="v6")


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("linux/amd64", AMD64), ("linux/arm64", ARM64), ("linux/arm64/v8", ARM64), ("linux/arm/v6", ARM_V6)],
)
def test_the_image_of_the_platform_is_taken(wanted: str, chosen: dict[str, Any]) -> None:
    found = pick(index(ATTESTATION, ARM_V7, ARM_V6, ARM64, AMD64), Platform.parse(wanted), "an image")
    assert str(found.digest) == chosen["digest"]


def test_an_image_for_another_processor_is_refused_before_the_gap_and_the_platforms_are_named() -> None:
    with pytest.raises(PlatformMissing, match="example/app:1 has no image for linux/amd64") as error:
        pick(index(ATTESTATION, ARM64, ARM_V7), Platform.parse("linux/amd64"), "example/app:1")
    assert error.value.because == "it has: linux/arm/v7, linux/arm64/v8"


@pytest.mark.parametrize("document", [{}, {"manifests": {}}, {"manifests": "x"}])
def test_an_index_that_is_none_is_said_to_be_so(document: dict[str, Any]) -> None:
    with pytest.raises(MalformedJson):
        pick(document, Platform.parse("linux/amd64"), "an image")


def test_entries_of_strange_shape_are_passed_over() -> None:
    strange = [7, {"platform": 3}, {"platform": {"os": 1, "architecture": 2}}, entry(5)]
    found = pick({"manifests": [*strange, AMD64]}, Platform.parse("linux/amd64"), "an image")
    assert str(found.digest) == AMD64["digest"]


@pytest.mark.parametrize("text", ["linux", "linux/", "/amd64", "a/b/c/d", ""])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(UsageInvalid, match="is not a platform"):
        Platform.parse(text)
