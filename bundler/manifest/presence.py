"""Paths of a manifest that must be there for it to mean anything.

Datasets and the files of build contexts may be made later: `bundle lock` asks for those.
"""

from __future__ import annotations

from collections.abc import Iterator

from bundler.manifest.artifacts import DATASET_TYPES, DockerfileImage, LocalDataset, LocalModel
from bundler.manifest.fields import ManifestPath
from bundler.manifest.findings import KeyPath, Problem
from bundler.manifest.schema import Manifest


def absent(manifest: Manifest) -> Iterator[Problem]:
    """What is not there, or is something else."""
    for name, image in manifest.images.items():
        if isinstance(image, DockerfileImage) and not (image.dockerfile.resolved / "Dockerfile.j2").is_file():
            yield _absent(("images", name, "dockerfile"), image.dockerfile, "a directory with a Dockerfile.j2")
    for name, model in manifest.models.items():
        if isinstance(model, LocalModel) and not model.path.resolved.is_dir():
            yield _absent(("models", name, "path"), model.path, "a directory with a model")
    for name, dataset in manifest.datasets.items():
        if not isinstance(dataset, LocalDataset):
            continue
        path = dataset.path.resolved
        if (path.is_file() and dataset.file_name is None) or (path.is_dir() and dataset.file_name is not None):
            types = ", ".join(f".{suffix}" for suffix in sorted(DATASET_TYPES))
            yield _absent(("datasets", name, "path"), dataset.path, f"a file ending in {types}, or a directory")


def _absent(where: KeyPath, path: ManifestPath, expected: str) -> Problem:
    there = "which is something else" if path.resolved.exists() else f"and there is no {path.resolved}"
    return Problem(where, f"'{path}', {there}", expected)
