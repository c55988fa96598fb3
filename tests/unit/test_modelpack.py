"""ModelPack documents: what standard tools read, and the same bytes on every machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.media_types import DATASET_ARTIFACT, MODEL_ARTIFACT
from bundler.manifest.lock import LockedFile
from bundler.sources.modelpack import describe, layer_type, lock_files, put_manifest
from bundler.store.closure import children
from bundler.store.layout import Store

FILES = (
    LockedFile("README.md", Digest.of(b"readme"), 6),
    LockedFile("config.json", Digest.of(b"config"), 6),
    LockedFile("model.safetensors", Digest.of(b"weights"), 7),
)
SOURCE = "hf://acme/tiny"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def test_a_models_documents_are_the_ones_of_the_model_spec() -> None:
    config, manifest = describe(FILES, name="base", source=SOURCE, revision=REVISION)
    assert json.loads(config) == {
        "descriptor": {"name": "base", "sourceURL": SOURCE, "revision": REVISION},
        "config": {"format": "safetensors"},
        "modelfs": {"type": "layers", "diff_ids": [str(file.digest) for file in FILES]},
    }

    def layer(kind: str, file: LockedFile) -> dict[str, object]:
        return {
            "mediaType": f"application/vnd.cncf.model.{kind}.v1.raw",
            "digest": str(file.digest),
            "size": file.size,
            "annotations": {"org.cncf.model.filepath": file.path, "org.opencontainers.image.title": file.path},
        }

    assert json.loads(manifest) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.cncf.model.config.v1+json",
            "digest": str(Digest.of(config)),
            "size": len(config),
        },
        "layers": [layer("doc", FILES[0]), layer("weight.config", FILES[1]), layer("weight", FILES[2])],
    }


def test_a_models_digest_never_changes_from_one_version_of_bundle_to_the_next() -> None:
    model = lock_files("base", SOURCE, FILES, revision=REVISION)
    dataset = lock_files("pumps", "data/pumps", FILES[:1], dataset=True)
    assert str(model.manifest.digest) == "sha256:e1012a187a920d4e577a753450f377a94c1b000e45056a5a69915c0806b5aac6"
    assert str(dataset.manifest.digest) == "sha256:6ff70fa9e337bc41665e3d74044df5254e57ccb409c3e5589f8bffe4002157f1"


def test_the_order_in_which_files_were_found_makes_no_difference() -> None:
    assert lock_files("base", SOURCE, FILES[::-1]) == lock_files("base", SOURCE, FILES)


def test_a_path_of_this_machine_does_not_get_into_the_bundles_documents() -> None:
    here, there = (lock_files("base", source, FILES) for source in ("/home/me/base", "/srv/base"))
    assert here.manifest == there.manifest


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model-00001-of-00002.safetensors", "weight.v1"),
        ("sub/MODEL.GGUF", "weight.v1"),
        ("pytorch_model.bin", "weight.v1"),
        ("model.safetensors.index.json", "weight.config.v1"),
        ("tokenizer.json", "weight.config.v1"),
        ("merges.txt", "weight.config.v1"),
        ("chat_template.jinja", "weight.config.v1"),
        ("LICENSE", "doc.v1"),
        ("docs/README.md", "doc.v1"),
        ("modeling_x.py", "code.v1"),
    ],
)
def test_a_file_has_the_media_type_of_its_kind(path: str, kind: str) -> None:
    assert layer_type(path) == f"application/vnd.cncf.model.{kind}.raw"


def test_both_documents_are_in_the_store_and_name_the_files(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    model = lock_files("base", SOURCE, FILES, revision=REVISION)
    assert put_manifest(model, store).artifact_type == MODEL_ARTIFACT
    config, *layers = children(store.read(model.manifest.digest), model.manifest)
    assert store.has(config)
    assert [layer.digest for layer in layers] == [file.digest for file in FILES]


def test_a_dataset_is_an_artifact_of_its_own_kind_with_the_empty_config(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    dataset = lock_files("pumps", "data/pumps", FILES[:1], dataset=True)
    put_manifest(dataset, store)
    document = json.loads(store.read(dataset.manifest.digest))
    assert document["artifactType"] == DATASET_ARTIFACT == dataset.manifest.artifact_type
    assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert document["layers"][0]["mediaType"] == "application/vnd.cncf.model.dataset.v1.raw"
    assert store.read(Digest.parse(document["config"]["digest"])) == b"{}"


def test_a_lock_that_was_edited_is_not_carried_under_its_old_digest(tmp_path: Path) -> None:
    model = lock_files("base", SOURCE, FILES, revision=REVISION)
    edited = replace(model, files=model.files[:2])
    with pytest.raises(IntegrityFailed, match="is not the one that the lock pins"):
        put_manifest(edited, Store.create(tmp_path))
