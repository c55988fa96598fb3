"""`bundle build`."""

from __future__ import annotations

from pathlib import Path

import click

from bundler.cli import options
from bundler.cli.dry_run import document as dry_document
from bundler.cli.dry_run import text as dry_text
from bundler.cli.lock import document as lock_document
from bundler.cli.lock import text as lock_text
from bundler.core import hint
from bundler.core.events import Events
from bundler.core.size import format_duration, format_size
from bundler.manifest.settings import Settings


@click.command("build")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--locked", is_flag=True, help="Fail, naming what moved, where the lock would change.")
@click.option("--dry-run", is_flag=True, help="Resolve, and say what would be fetched, and whether it fits.")
@click.option("--rate", type=options.SIZE, help="With --dry-run: bytes a second, to say how long it takes.")
@click.option(
    "--export", "destinations", multiple=True, type=click.Path(path_type=Path), help="Then write volumes here."
)
@options.store
@options.accept
@options.network
@options.output
@options.running("build")
def command(
    manifest: Path,
    locked: bool,
    dry_run: bool,
    rate: int | None,
    destinations: tuple[Path, ...],
    accepted: tuple[str, ...],
    store: Path,
    settings: Settings,
    output: str,
    events: Events,
) -> None:
    """Fetch and pin all that a manifest names, into a store. Run again, it fetches only what is missing.

    \b
    bundle build manifests/demo.yaml
    bundle build manifests/demo.yaml --locked          # in CI: nothing may have moved
    bundle build manifests/demo.yaml --store /data/bundles
    bundle build manifests/demo.yaml --dry-run --rate 12MB
    bundle build manifests/demo.yaml --mirror docker.io=docker.1ms.run
    """
    from bundler.cli.export import document as export_document
    from bundler.cli.export import text as export_text
    from bundler.manifest.loader import load
    from bundler.operations.build import build, rehearse_build
    from bundler.operations.export import export
    from bundler.store.layout import Store

    if rate and not dry_run:
        raise click.UsageError("--rate goes with --dry-run")
    if destinations and dry_run:
        raise click.UsageError("--export and --dry-run exclude each other")
    wanted, opened = load(manifest), Store.create(store)
    if dry_run:
        rehearsed = rehearse_build(
            wanted, manifest, opened, events, locked=locked, settings=settings, accepted=accepted
        )
        options.show(output, dry_document(rehearsed, opened, rate), dry_text(rehearsed, opened, rate))
        return
    result = build(wanted, manifest, opened, events, locked=locked, settings=settings, accepted=accepted)
    exported = export(opened, result.bundle, destinations, events) if destinations else None
    fetched = f"{len(result.fetched.fetched)} blobs fetched, {len(result.fetched.present)} were there"
    options.show(
        output,
        {
            **lock_document(result.locked),
            "root": str(result.bundle.root.digest),
            "bytes": result.bytes,
            "fetched": {"blobs": len(result.fetched.fetched), "bytes": result.fetched.bytes},
            "linked": {"files": result.linked.files, "bytes": result.linked.bytes},
            "seconds": round(result.seconds, 2),
            "store": str(store),
            **({"export": export_document(exported)} if exported else {}),
        },
        f"{lock_text(result.locked)}\n"
        f"{result.bundle.name} is built: {format_size(result.bytes)} in {format_duration(result.seconds)} ({fetched})\n"
        f"  root {result.bundle.root.digest}\n"
        f"  store {store}\n"
        f"  next: {hint.bundle('rehearse', result.bundle.name, store=store)}   # runs it here as the node will"
        + (f"\n{export_text(exported)}" if exported else ""),
    )
