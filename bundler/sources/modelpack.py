"""Models and datasets as OCI artifacts: the CNCF ModelPack manifest and config, the same bytes for the same files.

After model-spec v1 (docs/spec.md, docs/config.md, docs/annotations.md): one raw layer a file, its path in an
annotation. A dataset alone is no model, so it has an artifact type of ours and OCI's empty config (image-spec
1.1, manifest.md, guidelines for artifact usage).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bundler.core.descriptor import TITLE, Descriptor
from bundler.core.errors import IntegrityFailed
from bundler.core.media_types import (
    DATASET_ARTIFACT,
    MODEL_ARTIFACT,
    MODEL_CODE,
    MODEL_CONFIG,
    MODEL_DATASET,
    MODEL_DOC,
    MODEL_FILEPATH,
    MODEL_WEIGHT,
    MODEL_WEIGHT_CONFIG,
    OCI_EMPTY,
    OCI_MANIFEST,
)
from bundler.core.strict_json import canonical
from bundler.manifest.lock import LockedFile, LockedFiles
from bundler.store.layout import Store

_FORMATS = {
    ".safetensors": "safetensors",
    ".gguf": "gguf",
    ".onnx": "onnx",
    ".bin": "pytorch",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".ckpt": "pytorch",
    ".h5": "tensorflow",
}
"""Weights by their suffix, the likeliest format first."""
_DOCUMENTS = (".md", ".rst", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".gif")
_DOCUMENT_NAMES = ("license", "licence", "notice", "readme", "use_policy")
_CODE = (".py", ".sh", ".ipynb")


def layer_type(path: str) -> str:
    """The media type of a model's file. What is neither weight, document nor code configures the weights."""
    name = path.rpartition("/")[2].lower()
    if name.endswith(tuple(_FORMATS)):
        return MODEL_WEIGHT
    if name.endswith(_DOCUMENTS) or name.startswith(_DOCUMENT_NAMES):
        return MODEL_DOC
    return MODEL_CODE if name.endswith(_CODE) else MODEL_WEIGHT_CONFIG


def model_config(files: Sequence[LockedFile], name: str, source: str, revision: str) -> bytes:
    """A model's config. It has no date, so that the same files give the same bytes, and no path of this machine."""
    descriptor = {"name": name, "sourceURL": source if "://" in source else "", "revision": revision}
    paths = [file.path.lower() for file in files]
    form = next((form for suffix, form in _FORMATS.items() if any(path.endswith(suffix) for path in paths)), None)
    document = {
        "descriptor": {key: value for key, value in descriptor.items() if value},
        "config": {"format": form} if form else {},
        "modelfs": {"type": "layers", "diff_ids": [str(file.digest) for file in files]},
    }
    return canonical(document)


def describe(
    files: Sequence[LockedFile], *, name: str, source: str = "", revision: str = "", dataset: bool = False
) -> tuple[bytes, bytes]:
    """The config's and the manifest's bytes."""
    config = canonical({}) if dataset else model_config(files, name, source, revision)
    config_type = OCI_EMPTY if dataset else MODEL_CONFIG
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": DATASET_ARTIFACT if dataset else MODEL_ARTIFACT,
        "config": Descriptor.of(config, config_type).to_json(),
        "layers": [_layer(file, MODEL_DATASET if dataset else layer_type(file.path)) for file in files],
    }
    return config, canonical(document)


def _layer(file: LockedFile, media_type: str) -> dict[str, Any]:
    annotations = {MODEL_FILEPATH: file.path, TITLE: file.path}
    return Descriptor(media_type, file.digest, file.size, annotations).to_json()


def lock_files(
    name: str, source: str, files: Sequence[LockedFile], *, revision: str = "", dataset: bool = False
) -> LockedFiles:
    """A model or a dataset with these files, sorted by path, and the descriptor of its manifest."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    _, manifest = describe(ordered, name=name, source=source, revision=revision, dataset=dataset)
    kind = DATASET_ARTIFACT if dataset else MODEL_ARTIFACT
    blob = replace(Descriptor.of(manifest, OCI_MANIFEST), artifact_type=kind)
    return LockedFiles(name, source, blob, ordered, revision)


def put_manifest(files: LockedFiles, store: Store) -> Descriptor:
    """Write a locked model's or dataset's config and manifest into the store. Returns the manifest's descriptor.

    Raises IntegrityFailed where another version of this program would write other bytes than the lock pins.
    """
    dataset = files.manifest.artifact_type == DATASET_ARTIFACT
    config, manifest = describe(
        files.files, name=files.name, source=files.source, revision=files.revision, dataset=dataset
    )
    if Descriptor.of(manifest, OCI_MANIFEST).digest != files.manifest.digest:
        raise IntegrityFailed(
            f"the manifest of {files.name} is not the one that the lock pins",
            because="the lock was edited, or written by another version of bundle",
            hint="bundle lock MANIFEST",
        )
    store.put(config, OCI_EMPTY if dataset else MODEL_CONFIG)
    store.put(manifest, OCI_MANIFEST)
    return files.manifest
