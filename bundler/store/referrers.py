"""What refers to a bundle without being part of it: OCI manifests with a `subject` (image-spec 1.1, manifest.md).

A bundle's root can't name what is learnt of it later without becoming another root. So a rehearsal's evidence is an
artifact of its own that names the root, listed in the store's index under the bundle's name. It is not covered by the
root's digest: whoever trusts the root does not thereby trust the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bundler.core.descriptor import Descriptor
from bundler.core.errors import IntegrityFailed
from bundler.core.media_types import EVIDENCE, OCI_EMPTY, OCI_MANIFEST
from bundler.core.strict_json import MalformedJson, canonical, parse_object
from bundler.store.closure import Member
from bundler.store.layout import BundleEntry, Store

NAME = "evidence+rehearsal"
"""Its name in the index, behind the bundle's. No artifact can have it: names have no plus sign."""


@dataclass(frozen=True, slots=True)
class Referrer:
    """Evidence of a bundle: its entry in the index, the blobs that it consists of, and its bytes."""

    entry: Descriptor
    members: tuple[Member, ...]
    content: bytes


def attach(store: Store, bundle: BundleEntry, content: bytes) -> Descriptor:
    """Keep evidence of a bundle, in the place of any that was kept before. Returns its entry in the index."""
    kept = store.put(content, EVIDENCE)
    subject = Descriptor(bundle.root.media_type, bundle.root.digest, bundle.root.size)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": EVIDENCE,
        "config": store.put(b"{}", OCI_EMPTY).to_json(),
        "layers": [kept.to_json()],
        "subject": subject.to_json(),
    }
    manifest = replace(store.put(canonical(document), OCI_MANIFEST), artifact_type=EVIDENCE)
    entry = manifest.named(bundle.name.artifact(NAME))
    store.record((entry,))
    return entry


def evidence(store: Store, bundle: BundleEntry) -> Referrer | None:
    """The evidence of a bundle that was taken of this very root; None where there is none, or it is of another.

    Raises IntegrityFailed where what the index lists as evidence is missing or damaged.
    """
    wanted = bundle.name.artifact(NAME)
    for entry in store.index():
        if entry.reference != wanted or entry.artifact_type != EVIDENCE:
            continue
        what = f"the evidence of {bundle.name}"
        document = parse_object(store.read(entry.digest), what)
        subject = Descriptor.parse(document.get("subject"), what)
        layers = document.get("layers")
        if subject.digest != bundle.root.digest:
            return None
        if not isinstance(layers, list) or len(layers) != 1:
            raise MalformedJson(what, "it should have one layer")
        blobs = (Descriptor.parse(document.get("config"), what), Descriptor.parse(layers[0], what))
        members = (Member(entry, what), *(Member(blob, what) for blob in blobs))
        return Referrer(entry, members, store.read(blobs[1].digest))
    return None


def whole_evidence(store: Store, bundle: BundleEntry) -> Referrer | None:
    """As `evidence`, but None where it is damaged: what is kept for information stops nothing."""
    try:
        return evidence(store, bundle)
    except IntegrityFailed:
        return None
