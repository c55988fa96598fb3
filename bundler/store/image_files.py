"""Chosen files of an image, as a container of it would see them, read out of its layers without unpacking them.

Whiteouts as the image-spec says (1.1, layer.md): `.wh.NAME` hides NAME of the layers below, `.wh..wh..opq` all that
the layers below have in its directory; neither touches its own layer. What is no directory takes the place of one, and
of all that the layers below have in it.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bundler.core.descriptor import Descriptor
from bundler.core.events import Events
from bundler.store.layers_read import open_layer
from bundler.store.layout import Store

LARGEST = 256 << 20
"""Bytes of a file that is read; a longer one counts as empty, and is named as unread."""
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"

Wanted = Callable[[str], bool]


@dataclass
class LayerFiles:
    """What one layer says of the wanted files: their bytes, those it hides, and the directories that it empties.

    `leaves` is all that it has and that is no directory: where a layer below has one, it is gone with what is in it.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    leaves: set[str] = field(default_factory=set)


def image_files(
    store: Store, layers: Iterable[Descriptor], wanted: Wanted, step: str, label: str, events: Events
) -> Mapping[str, bytes]:
    """The files of an image whose path (`etc/os-release`) is wanted; `layers` base first, read on all cores.

    Raises MissingBlob, UnreadableLayer.
    """
    numbered = list(enumerate(layers, start=1))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = pool.map(lambda item: _read(store, item[1], wanted, step, f"{label}: layer {item[0]}", events), numbered)
        return merged(read)


def merged(layers: Iterable[LayerFiles]) -> dict[str, bytes]:
    """The layers over each other, base first."""
    seen: dict[str, bytes] = {}
    for layer in layers:
        seen = {path: data for path, data in seen.items() if not _covered(path, layer)}
        for path, target in layer.links.items():
            if target in layer.files or target in seen:
                seen[path] = layer.files[target] if target in layer.files else seen[target]
        seen |= layer.files
    return seen


def _covered(path: str, above: LayerFiles) -> bool:
    if path in above.hidden:
        return True
    gone = (above.hidden, above.opaque, above.leaves)
    return any(parent in paths for parent in _parents(path) for paths in gone)


def _parents(path: str) -> Iterator[str]:
    while path:
        path = posixpath.dirname(path)
        yield path


def _read(store: Store, layer: Descriptor, wanted: Wanted, step: str, label: str, events: Events) -> LayerFiles:
    found = _scan(store, layer, wanted, step, label, events)
    elsewhere = {target for target in found.links.values() if target not in found.files and not wanted(target)}
    if elsewhere:  # hard links whose bytes stand under a name that was not asked for
        found.files |= {
            path: data
            for path, data in _scan(store, layer, elsewhere.__contains__, step, label, events).files.items()
            if path in elsewhere
        }
    resolved = {path: found.files[target] for path, target in found.links.items() if target in found.files}
    found.files = {path: data for path, data in found.files.items() if path not in elsewhere} | resolved
    return found


def _scan(store: Store, layer: Descriptor, wanted: Wanted, step: str, label: str, events: Events) -> LayerFiles:
    found = LayerFiles()
    with open_layer(store, layer, step, label, events) as tar:
        for entry in tar:
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every header, 1 kB each
            path = posixpath.normpath("/" + entry.name).lstrip("/")
            directory, name = posixpath.split(path)
            if name == _OPAQUE:
                found.opaque.add(directory)
            elif name.startswith(_WHITEOUT):
                found.hidden.add(posixpath.join(directory, name[len(_WHITEOUT) :]))
            elif not entry.isdir():
                found.leaves.add(path)
                if wanted(path):
                    _take(tar, entry, path, found)
    return found


def _take(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str, found: LayerFiles) -> None:
    found.files.pop(path, None)
    found.links.pop(path, None)
    if entry.isreg():
        content = tar.extractfile(entry)
        found.files[path] = content.read() if content and entry.size <= LARGEST else b""
    elif entry.islnk():
        found.links[path] = posixpath.normpath("/" + entry.linkname).lstrip("/")
    else:
        found.hidden.add(path)  # a symbolic link or a device in the place of a file
