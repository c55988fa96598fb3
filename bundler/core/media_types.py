"""Media types: OCI image-spec 1.1, Docker distribution's schema 2, CNCF ModelPack, and our own."""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

RAW = "application/octet-stream"
"""Bytes of which only the digest matters (a file of a model, before its manifest says what it is)."""

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

MODEL_ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
MODEL_WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
MODEL_WEIGHT_CONFIG = "application/vnd.cncf.model.weight.config.v1.raw"
MODEL_DOC = "application/vnd.cncf.model.doc.v1.raw"
MODEL_CODE = "application/vnd.cncf.model.code.v1.raw"
MODEL_DATASET = "application/vnd.cncf.model.dataset.v1.raw"
MODEL_FILEPATH = "org.cncf.model.filepath"
"""The annotation of a model's layer that says the file's path (ModelPack spec, annotations)."""

BUNDLE = "application/vnd.bundler.bundle.v1+json"
LOCK = "application/vnd.bundler.lock.v1+json"
DATASET_ARTIFACT = "application/vnd.bundler.dataset.v1+json"
AGENT = "application/vnd.bundler.agent.v1+zip"
EVIDENCE = "application/vnd.bundler.rehearsal.v1+json"
"""What a rehearsal saw: the artifactType of a referrer, and the media type of its one layer."""
