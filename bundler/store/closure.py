"""What a bundle consists of: its root index and every blob that can be reached from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bundler.core.descriptor import REF_NAME, TITLE, Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.media_types import INDEXES, MANIFESTS, MODEL_FILEPATH
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.store.layout import Store

MAX_DEPTH = 4
"""Indexes in indexes deeper than this are not ours, and may be a loop or a bomb."""


@dataclass(frozen=True, slots=True)
class Member:
    """A blob of a bundle, and what it is in it, for people: `model base: model.safetensors`."""

    blob: Descriptor
    label: str


def children(raw: bytes, parent: Descriptor) -> tuple[Descriptor, ...]:
    """The descriptors that an index or a manifest names, in its order. Raises MalformedJson."""
    what = f"{parent.media_type} {parent.digest}"
    document = parse_object(raw, what)
    if parent.media_type in INDEXES:
        listed = document.get("manifests")
    else:
        layers = document.get("layers") or []
        listed = [document.get("config"), *layers] if isinstance(layers, list) else None
    if not isinstance(listed, list):
        raise MalformedJson(what, "it lists no blobs")
    return tuple(Descriptor.parse(entry, what) for entry in listed)


def closure(store: Store, root: Descriptor) -> tuple[Member, ...]:
    """Every blob of a bundle once: parents before what they name, the root first.

    Raises MissingBlob or IntegrityFailed where an index or a manifest itself is missing or damaged.
    """
    faults: list[IntegrityFailed] = []
    members = reachable(store, root, faults)
    if faults:
        raise faults[0]
    return members


def reachable(store: Store, root: Descriptor, faults: list[IntegrityFailed]) -> tuple[Member, ...]:
    """As `closure`, as far as indexes and manifests can be read: for each that can't, `faults` gets the reason."""
    return tuple(_walk(store, root, "the bundle's root", 0, set(), faults))


def _walk(
    store: Store, node: Descriptor, label: str, depth: int, seen: set[Digest], faults: list[IntegrityFailed]
) -> Iterator[Member]:
    if node.digest in seen:
        return
    seen.add(node.digest)
    yield Member(node, label)
    if node.media_type not in INDEXES | MANIFESTS:
        return
    try:
        if depth >= MAX_DEPTH:
            raise MalformedJson(f"index {node.digest}", f"it nests more than {MAX_DEPTH} levels")
        named = children(store.read(node.digest), node)
    except IntegrityFailed as fault:
        faults.append(fault)
        return
    for position, child in enumerate(named):
        yield from _walk(store, child, _label(label, child, position, depth), depth + 1, seen, faults)


def _label(parent: str, child: Descriptor, position: int, depth: int) -> str:
    annotations = child.annotations
    if depth == 0:
        return annotations.get(TITLE) or annotations.get(REF_NAME) or f"artifact {position + 1}"
    path = annotations.get(MODEL_FILEPATH)
    if path:
        return f"{parent}: {path}"
    return f"{parent}: config" if position == 0 else f"{parent}: layer {position}"
