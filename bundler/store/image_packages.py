"""Which packages are installed in an image: dpkg's, rpm's, pip's, read out of its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bundler.core.events import Events, StepEnded, StepStarted
from bundler.manifest.lock import LockedImage
from bundler.store.image_files import image_files
from bundler.store.layout import Store
from bundler.store.package_lists import Distribution, Package, dpkg_packages, os_release, python_package
from bundler.store.rpm_database import rpm_packages

_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
_DPKG = re.compile(r"var/lib/dpkg/(?:status|status\.d/(?!.*\.md5sums$)[^/]+)")
_RPM = re.compile(r"(?:var/lib/rpm|usr/lib/sysimage/rpm|usr/share/rpm)/rpmdb\.sqlite")
_RPM_UNREAD = re.compile(r"(?:var/lib/rpm|usr/lib/sysimage/rpm|usr/share/rpm)/Packages(?:\.db)?")
_PYTHON = re.compile(r"(?:.*/)?(?:site|dist)-packages/[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO|egg-info)")


@dataclass(frozen=True, slots=True)
class ImagePackages:
    """An image's packages, sorted, and the package databases in it whose form we do not read."""

    distribution: Distribution
    packages: tuple[Package, ...]
    unread: tuple[str, ...]


def image_packages(store: Store, image: LockedImage, events: Events) -> ImagePackages:
    """Read an image's layers once. Raises MissingBlob, IntegrityFailed."""
    return in_files(_files(store, image, events))


def python_packages(store: Store, image: LockedImage, events: Events) -> tuple[Package, ...]:
    """The distributions that pip would list in an image, by name. Raises MissingBlob, IntegrityFailed."""
    return tuple(package for package in image_packages(store, image, events).packages if package.kind == "pypi")


def in_files(files: Mapping[str, bytes]) -> ImagePackages:
    """The packages that these files of an image, by path, speak of."""
    found: set[Package] = set()
    for path, raw in files.items():
        if _DPKG.fullmatch(path):
            found.update(dpkg_packages(raw))
        elif _RPM.fullmatch(path) and raw:
            found.update(rpm_packages(raw))
        elif _PYTHON.fullmatch(path) and (package := python_package(raw)):
            found.add(package)
    release = next((os_release(files[path]) for path in _OS_RELEASE if path in files), Distribution())
    unread = tuple(sorted(path for path, raw in files.items() if _RPM_UNREAD.fullmatch(path) or not raw))
    return ImagePackages(release, tuple(sorted(found)), unread)


def wanted(path: str) -> bool:
    """Whether a path in an image is of a file that says which packages are there."""
    forms = (_DPKG, _PYTHON, _RPM, _RPM_UNREAD)
    return path in _OS_RELEASE or any(form.fullmatch(path) for form in forms)


def _files(store: Store, image: LockedImage, events: Events) -> Mapping[str, bytes]:
    step = f"read {image.name}"
    layers = image.blobs[1:]
    events.emit(StepStarted(step, sum(layer.size for layer in layers)))
    files = image_files(store, layers, wanted, step, image.name, events)
    events.emit(StepEnded(step, f"{len(layers)} layers, {len(files)} files of package managers"))
    return files
