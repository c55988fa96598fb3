"""`bundle lock`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.core.events import Events
from bundler.core.records import to_json
from bundler.manifest.settings import Settings
from bundler.operations.lock import LockResult


@click.command("lock")
@click.argument("manifest", type=click.Path(path_type=Path))
@options.store
@options.accept
@options.network
@options.output
@options.running("lock")
def command(
    manifest: Path, accepted: tuple[str, ...], store: Path, settings: Settings, output: str, events: Events
) -> None:
    """Resolve a manifest to digests, write MANIFEST.lock.json, and say what moved since the last time.

    Images that are made from dockerfiles are built for it, unless their recipe is the same as before.

    \b
    bundle lock manifests/demo.yaml
    bundle lock manifests/qwen3-32b-l20x4.yaml -o json
    bundle lock manifests/qwen3-32b-l20x4.yaml --mirror docker.io=docker.1ms.run
    """
    from bundler.manifest.loader import load
    from bundler.operations.lock import lock
    from bundler.store.layout import Store

    result = lock(load(manifest), manifest, Store.create(store), events, settings=settings, accepted=accepted)
    options.show(output, document(result), text(result))


def document(result: LockResult) -> dict[str, object]:
    """A lock's result as data."""
    return {
        "bundle": str(result.lock.bundle),
        "lock": str(result.path),
        "moved": [to_json(move) for move in result.moved],
        "images": {image.name: str(image.manifest.digest) for image in result.lock.images},
        "models": {model.name: model.revision or str(model.manifest.digest) for model in result.lock.models},
    }


def text(result: LockResult) -> str:
    """A lock's result for people."""
    said = "written" if result.first else "unchanged" if not result.moved else f"{len(result.moved)} moved"
    return "\n".join([f"{result.path}: {said}", *(f"  {move}" for move in result.moved)])
