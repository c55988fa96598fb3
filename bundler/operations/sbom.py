"""`sbom`: what is in a bundle, as CycloneDX 1.6 JSON: images with their packages, models, datasets, the agent.

The same bundle gives the same bytes: the serial number comes from the root's digest, and there is no time in it.
"""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from bundler.core.digest import Digest
from bundler.core.events import Events
from bundler.manifest.lock import LockedAgent, LockedFiles, LockedImage
from bundler.store.contents import read_lock
from bundler.store.image_packages import image_packages
from bundler.store.layout import BundleEntry, Store
from bundler.store.leases import leasing
from bundler.store.model_card import read_model_card
from bundler.store.package_lists import Distribution, Package, python_package

if TYPE_CHECKING:
    from cyclonedx.model import HashType
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from packageurl import PackageURL

    Licence = DisjunctiveLicense | LicenseExpression

_HUGGING_FACE = ("hf://", "hf:", "huggingface:")
_PROPERTY = "bundle:"


def sbom(store: Store, bundle: BundleEntry, events: Events) -> str:
    """A bundle's bill of materials: the JSON text. Reads every layer of its images.

    Raises MissingBlob, IntegrityFailed.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    with leasing(store, "sbom"):
        lock = read_lock(store, bundle)
        parts = [
            *(_image(store, image, events) for image in lock.images),
            *(_model(store, model) for model in lock.models),
            *(_dataset(dataset) for dataset in lock.datasets),
            _agent(store, lock.agent),
        ]
    whole = Component(
        name=bundle.name.name,
        version=bundle.name.version,
        type=ComponentType.APPLICATION,
        bom_ref="bundle",
        hashes=[_hash(bundle.root.digest)],
    )
    bom = Bom(
        components=parts,
        metadata=BomMetaData(component=whole),
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, str(bundle.root.digest)),
    )
    bom.register_dependency(whole, parts)
    for part in parts:
        bom.register_dependency(part, part.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)


def _image(store: Store, image: LockedImage, events: Events) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    found = image_packages(store, image, events)
    ref = f"image:{image.name}"
    repository = image.source.partition("@")[0]
    facts = {"source": image.source, "distribution": f"{found.distribution.id} {found.distribution.version}".strip()}
    properties = [Property(name=f"{_PROPERTY}{name}", value=value) for name, value in facts.items() if value]
    properties += [Property(name=f"{_PROPERTY}unread-package-database", value=path) for path in found.unread]
    name = repository.rpartition("/")[2].partition(":")[0].lower() or image.name
    return Component(
        name=image.name,
        version=str(image.manifest.digest),
        type=ComponentType.CONTAINER,
        bom_ref=ref,
        hashes=[_hash(image.manifest.digest)],
        purl=None
        if image.recipe
        else PackageURL("oci", None, name, str(image.manifest.digest), {"repository_url": repository}),
        properties=properties,
        components=[_package(package, found.distribution, ref) for package in found.packages],
    )


def _package(package: Package, distribution: Distribution, parent: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    purl = package_url(package, distribution)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{parent}/{purl}",
        purl=purl,
        licenses=_licences(package.licence),
    )


def package_url(package: Package, distribution: Distribution) -> PackageURL:
    """The purl of a package (purl-spec, types deb, rpm and pypi; the epoch of rpm is a qualifier)."""
    from packageurl import PackageURL

    if package.kind == "pypi":
        return PackageURL("pypi", None, package.name.lower().replace("_", "-"), package.version)
    epoch, colon, version = package.version.rpartition(":") if package.kind == "rpm" else ("", "", package.version)
    release = f"{distribution.id}-{distribution.version}" if distribution.version else ""
    qualifiers = {"arch": package.architecture, "distro": release, "epoch": epoch if colon else ""}
    namespace = distribution.id or ("debian" if package.kind == "deb" else None)
    return PackageURL(package.kind, namespace, package.name, version, {k: v for k, v in qualifiers.items() if v})


def _model(store: Store, model: LockedFiles) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    card = read_model_card(store, model)
    ref = f"model:{model.name}"
    bases = [
        Component(name=name, type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref=f"{ref}/base/{name}")
        for name in card.base_models
    ]
    return Component(
        name=model.name,
        version=model.revision or str(model.manifest.digest),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=ref,
        purl=_hub_url(model),
        licenses=_licences(card.licence),
        pedigree=Pedigree(ancestors=bases) if bases else None,
        properties=[Property(name=f"{_PROPERTY}source", value=model.source)],
        hashes=[_hash(model.manifest.digest)],
        components=_files(model, ref),
    )


def _hub_url(model: LockedFiles) -> PackageURL | None:
    """The purl of a model of the Hugging Face Hub (purl-spec, type huggingface: the commit is the version)."""
    from packageurl import PackageURL

    for scheme in _HUGGING_FACE:
        if model.source.startswith(scheme) and model.revision:
            owner, _, name = model.source.removeprefix(scheme).rpartition("/")
            return PackageURL("huggingface", owner or None, name, model.revision)
    return None


def _dataset(dataset: LockedFiles) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    ref = f"dataset:{dataset.name}"
    return Component(
        name=dataset.name,
        version=dataset.revision or str(dataset.manifest.digest),
        type=ComponentType.DATA,
        bom_ref=ref,
        properties=[Property(name=f"{_PROPERTY}source", value=dataset.source)],
        hashes=[_hash(dataset.manifest.digest)],
        components=_files(dataset, ref),
    )


def _files(artifact: LockedFiles, parent: str) -> list[Component]:
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(
            name=file.path,
            type=ComponentType.FILE,
            bom_ref=f"{parent}/{quote(file.path)}",
            hashes=[_hash(file.digest)],
        )
        for file in artifact.files
    ]


def _agent(store: Store, agent: LockedAgent) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    libraries = sorted(_libraries(store.read(agent.blob.digest)))
    return Component(
        name="bundle-agent",
        version=agent.version,
        type=ComponentType.APPLICATION,
        bom_ref="agent",
        hashes=[_hash(agent.blob.digest)],
        components=[_package(library, Distribution(), "agent") for library in libraries],
    )


def _libraries(agent: bytes) -> Iterator[Package]:
    """The libraries that an agent carries, by their METADATA in it."""
    if not zipfile.is_zipfile(io.BytesIO(agent)):
        return
    with zipfile.ZipFile(io.BytesIO(agent)) as archive:
        for name in archive.namelist():
            if name.endswith(".dist-info/METADATA") and (package := python_package(archive.read(name))):
                yield package


def _licences(stated: str) -> Iterable[Licence]:
    from cyclonedx.factory.license import LicenseFactory

    return [LicenseFactory().make_from_string(stated)] if stated else []


def _hash(digest: Digest) -> HashType:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest.hex)
