"""`bundle export`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli import options
from bundler.core.errors import DoneInPart
from bundler.core.events import Events
from bundler.core.size import format_duration, format_size
from bundler.store.layout import Store

if TYPE_CHECKING:
    from bundler.operations.export import ExportResult
    from bundler.operations.export_image import ExportedImage


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """`3`, `3-5` or `3-`: numbers of volumes."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        match = re.fullmatch(r"(\d{1,4})(-)?(\d{1,4})?", value)
        if not match or (match[3] and not match[2]):
            self.fail("volumes read like 3, 3-5 or 3-", param, ctx)
        first = int(match[1])
        return range(first, int(match[3]) + 1 if match[3] else 10_000 if match[2] else first + 1)


@click.command("export")
@click.argument("bundle")
@click.argument("destinations", metavar="DEST...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--volume-size", type=options.SIZE, help="Volumes shorter than this: 4GiB, 25GB.")
@click.option("--volumes", "only", type=Numbers(), help="Only these: 3, 3-5, 3-. With --volume-size.")
@click.option("--since", help="A receipt, a lock, or a host that has a receipt: leave out the blobs it covers.")
@click.option("--docker", "image", metavar="IMAGE", help="Only this image, as a tar for `docker load`.")
@click.option("--dry-run", is_flag=True, help="Show the volumes, and write nothing.")
@options.store
@options.output
@options.running("export")
def command(
    bundle: str,
    destinations: tuple[Path, ...],
    volume_size: int | None,
    only: range | None,
    since: str | None,
    image: str | None,
    dry_run: bool,
    store: Path,
    output: str,
    events: Events,
) -> None:
    """Write a bundle to disks and sticks, as plain tars with SHA256SUMS. Run again, it goes on.

    Behind the gap: `tar -xf` one volume gives the program (`bundle`), and `bundle import` takes the volumes.

    \b
    bundle export demo /media/stick
    bundle export demo /media/a /media/b --volume-size 4GiB
    bundle export demo /media/stick --docker serve       # for docker load -i
    bundle export demo /media/stick --since ops@intranet        # what its newest receipt does not name
    """
    from bundler.operations.export import export, read_since
    from bundler.operations.export_image import export_image

    if only is not None and volume_size is None:
        raise click.UsageError("--volumes needs --volume-size: only then are the volumes the same on other media")
    opened = Store.open(store)
    if image is not None:
        if volume_size is not None or since is not None or dry_run or len(destinations) > 1:
            raise click.UsageError("--docker writes one file: it goes with one DEST, and with no option on volumes")
        show_image(export_image(opened, opened.find(bundle), image, destinations[0], events), output)
        return
    entry = opened.find(bundle)
    result = export(
        opened,
        entry,
        destinations,
        events,
        volume_size=volume_size,
        since=read_since(since, entry) if since else None,
        only=only,
        dry_run=dry_run,
    )
    options.show(output, document(result), text(result, dry_run=dry_run))
    if result.left:
        first, last = result.left[0].number, result.left[-1].number
        size = sum(volume.bytes for volume in result.left)
        more = f" --since {shlex.quote(since)}" if since else ""
        raise DoneInPart(
            f"{len(result.left)} of the volumes of {result.bundle.name} are left to place ({format_size(size)})",
            because="the destinations together are too small",
            hint=f"bundle export {bundle} OTHER_DEST --store {shlex.quote(str(store))} --volume-size {volume_size}"
            f"{more} --volumes {int(first)}-{int(last)}",
        )


def show_image(written: ExportedImage, output: str) -> None:
    """One image's tar."""
    name, size = written.path.name, format_size(written.bytes)
    options.show(
        output,
        {
            "path": str(written.path),
            "digest": str(written.digest),
            "bytes": written.bytes,
            "reference": written.reference,
        },
        f"{written.path}: {size}, {written.digest}\n"
        f"  check a copy: echo '{written.digest.hex}  {name}' | sha256sum -c\n"
        f"  there: docker load -i {name}   # it is {written.reference} then",
    )


def document(result: ExportResult) -> dict[str, Any]:
    """An export as JSON."""
    kept = {volume.path for volume in result.written if volume.kept}
    digests = {volume.path: volume.digest for volume in result.written}
    volumes = []
    for placed in result.plan.placed:
        path = placed.directory / placed.volume.file_name
        digest = digests.get(path)
        volumes.append(
            {
                "path": str(path),
                "bytes": placed.volume.bytes,
                "digest": str(digest) if digest else None,
                "kept": path in kept,
            }
        )
    return {
        "bundle": str(result.bundle.name),
        "root": str(result.bundle.root.digest),
        "since": str(result.since) if result.since else None,
        "volumes": volumes,
        "left": [{"name": volume.file_name, "bytes": volume.bytes} for volume in result.left],
        "seconds": round(result.seconds, 2),
    }


def text(result: ExportResult, *, dry_run: bool = False) -> str:
    """An export in sentences."""
    placed = result.plan.placed
    size = format_size(sum(one.volume.bytes for one in placed))
    verb = "would be" if dry_run else "is"
    lines = [f"{result.bundle.name} {verb} in {len(placed)} volumes, {size}, {format_duration(result.seconds)}"]
    lines += [f"  {one.directory / one.volume.file_name}  {format_size(one.volume.bytes)}" for one in placed]
    lines.append(f"  root {result.bundle.root.digest}")
    if not dry_run:
        lines.append("  check a copy: cd DEST && sha256sum -c SHA256SUMS")
        lines.append(f"  behind the gap: tar -xf {placed[0].volume.file_name} bundle; ./bundle import DEST --store DIR")
    return "\n".join(lines)
