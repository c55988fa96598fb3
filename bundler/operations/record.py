"""A bundle comes to be: its root is written and listed when every blob that its lock names is in the store."""

from __future__ import annotations

from dataclasses import replace

from bundler.core.descriptor import TITLE, Descriptor
from bundler.core.errors import IntegrityFailed
from bundler.core.media_types import BUNDLE, LOCK, OCI_INDEX, OCI_MANIFEST
from bundler.core.strict_json import canonical
from bundler.manifest.lock import Lock
from bundler.sources.oci_manifest import twin
from bundler.store.contents import place_agent
from bundler.store.layout import BundleEntry, Store
from bundler.store.referrers import whole_evidence


class BundleIncomplete(IntegrityFailed):
    """Blobs that the lock pins are in no source: an image that was built elsewhere, and is not in this store."""

    def __init__(self, wanted: Lock, store: Store, lacking: tuple[Descriptor, ...]) -> None:
        built = [image.name for image in wanted.images if image.recipe and {*image.blobs, image.manifest} & {*lacking}]
        what = f"images built elsewhere: {', '.join(built)}" if built else ", ".join(str(b.digest) for b in lacking)
        super().__init__(
            f"{store.root} lacks {len(lacking)} blobs of {wanted.bundle} ({what})",
            because="the lock pins a build whose layers only the store has that it was built into",
            hint="bundle build MANIFEST   # without --locked builds anew; or name the store that has it with --store",
        )


def record(wanted: Lock, store: Store) -> BundleEntry:
    """Write the bundle's root and list it in the index, when every blob is there; the agent goes beside it.

    Raises BundleIncomplete.
    """
    name = wanted.bundle
    lacking = store.missing(wanted.blobs())
    if lacking:
        raise BundleIncomplete(wanted, store, lacking)
    listed = [_titled(store.put(wanted.encode(), LOCK), "lock")]
    named: list[Descriptor] = []
    for image in wanted.images:
        listed.append(_titled(image.manifest, f"image {image.name}"))
        readable = image.manifest
        if second := twin(image):
            readable = store.put(second, OCI_MANIFEST)
            listed.append(_titled(readable, f"image {image.name}, for OCI tools"))
        named.append(readable.named(name.artifact(image.name)))
    for kind, artifacts in (("model", wanted.models), ("dataset", wanted.datasets)):
        for artifact in artifacts:
            listed.append(_titled(artifact.manifest, f"{kind} {artifact.name}"))
            named.append(artifact.manifest.named(name.artifact(artifact.name)))
    listed.append(_titled(wanted.agent.blob, "agent"))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "artifactType": BUNDLE,
        "manifests": [entry.to_json() for entry in listed],
    }
    root = replace(store.put(canonical(document), OCI_INDEX), artifact_type=BUNDLE).named(str(name))
    made = BundleEntry(name, root)
    kept = whole_evidence(store, made)  # a bundle that comes out as it was stays rehearsed
    store.record((root, *named, *((kept.entry,) if kept else ())))
    place_agent(store, wanted.agent.blob.digest)
    return made


def _titled(blob: Descriptor, title: str) -> Descriptor:
    return replace(blob, annotations={TITLE: title})
