"""Packages read out of layers: what a container would see, and nothing that an upper layer took away."""

from __future__ import annotations

import gzip
import io
import sqlite3
import struct
import tarfile
from pathlib import Path

import pytest

from bundler.core.descriptor import Descriptor
from bundler.core.errors import IntegrityFailed
from bundler.core.events import Silence
from bundler.manifest.lock import LockedImage
from bundler.operations.sbom import package_url
from bundler.store.image_files import image_files
from bundler.store.image_packages import image_packages, python_packages
from bundler.store.layout import Store
from bundler.store.package_lists import Distribution, Package, dpkg_packages, python_package
from bundler.store.rpm_database import header_fields, rpm_packages

SITE = "opt/venv/lib/python3.11/site-packages"
STATUS = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: the C library
 Version: not this one

Package: gone
Status: deinstall ok config-files
Version: 1
"""


def layer(store: Store, *entries: tuple[str, bytes] | tuple[str, bytes, str], packed: str = "gzip") -> Descriptor:
    """A layer of files; a third member makes a hard link (`=TARGET`) or a symbolic one (`>TARGET`)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data, *link in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            if link:
                entry.type = tarfile.LNKTYPE if link[0][0] == "=" else tarfile.SYMTYPE
                entry.linkname = link[0][1:]
            tar.addfile(entry, io.BytesIO(data))
    data = raw.getvalue()
    if packed == "gzip":
        data = gzip.compress(data, mtime=0)
    elif packed == "zstd":
        import zstandard

        data = zstandard.ZstdCompressor().compress(data)
    return store.put(data, "layer")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def metadata(name: str, version: str) -> tuple[str, bytes]:
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n\nName: of a heading\n"
    return f"./{SITE}/{name}-{version}.dist-info/METADATA", text.encode()


def image(store: Store, *layers: Descriptor) -> LockedImage:
    config = store.put(b"{}", "config")
    return LockedImage("train", "registry.example/train:1", config, (config, *layers))


@pytest.mark.parametrize("packed", ["gzip", "zstd", "none"])
def test_an_upgraded_package_is_listed_in_its_new_version_alone(store: Store, packed: str) -> None:
    base = layer(store, metadata("torch", "2.6.0"), metadata("six", "1.0"), packed=packed)
    hidden = (f"{SITE}/.wh.torch-2.6.0.dist-info", b"")
    above = layer(store, hidden, metadata("torch", "2.7.0"), packed=packed)
    found = python_packages(store, image(store, base, above), Silence())
    assert [(package.name, package.version, package.licence) for package in found] == [
        ("six", "1.0", "MIT"),
        ("torch", "2.7.0", "MIT"),
    ]


def test_an_emptied_directory_takes_what_lay_below_and_keeps_what_its_own_layer_has(store: Store) -> None:
    base = layer(store, metadata("old", "1"))
    above = layer(store, metadata("new", "2"), (f"{SITE}/.wh..wh..opq", b""))
    assert [one.name for one in python_packages(store, image(store, base, above), Silence())] == ["new"]


def test_a_hard_link_is_the_file_that_it_links_to_wherever_that_stands(store: Store) -> None:
    name, data = metadata("linked", "3")
    base = layer(store, ("root/.cache/archive/METADATA", data), (name, b"", "=root/.cache/archive/METADATA"))
    assert [one.name for one in python_packages(store, image(store, base), Silence())] == ["linked"]


def test_a_file_that_became_a_symbolic_link_is_not_read_as_what_it_was(store: Store) -> None:
    base = layer(store, ("etc/os-release", b"ID=debian"))
    above = layer(store, ("etc/os-release", b"", ">/etc/shadow"))
    assert image_files(store, [base, above], lambda path: path == "etc/os-release", "s", "l", Silence()) == {}


@pytest.mark.parametrize("link", [(), (">/elsewhere",), ("=opt/other",)])
def test_what_takes_the_place_of_a_directory_takes_what_lay_below_it_too(store: Store, link: tuple[str, ...]) -> None:
    base = layer(store, metadata("old", "1"), ("opt/other", b""))
    above = layer(store, ("opt/venv", b"", *link))
    assert python_packages(store, image(store, base, above), Silence()) == ()
    again = layer(store, metadata("new", "2"))
    assert [one.name for one in python_packages(store, image(store, base, above, again), Silence())] == ["new"]


def test_a_path_that_climbs_out_is_read_as_one_within(store: Store) -> None:
    base = layer(store, ("../../etc/os-release", b"ID=debian"))
    assert list(image_files(store, [base], lambda path: "os-release" in path, "s", "l", Silence())) == [
        "etc/os-release"
    ]


def test_debian_packages_are_those_that_are_installed(store: Store) -> None:
    base = layer(
        store,
        ("etc/os-release", b'ID=debian\nVERSION_ID="12"\n'),
        ("var/lib/dpkg/status", STATUS),
        ("var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 12.4\nArchitecture: amd64\n"),
        ("var/lib/dpkg/status.d/base.md5sums", b"Package: none\nVersion: 1\n"),
        ("var/lib/rpm/Packages", b"Berkeley"),
    )
    found = image_packages(store, image(store, base), Silence())
    assert [str(package_url(package, found.distribution)) for package in found.packages] == [
        "pkg:deb/debian/base-files@12.4?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12",
    ]
    assert found.unread == ("var/lib/rpm/Packages",)


def test_a_damaged_layer_is_an_error_not_a_shorter_list(store: Store) -> None:
    base = layer(store, metadata("torch", "1"))
    path = store.path(base.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityFailed, match=str(base.digest)):
        python_packages(store, image(store, base), Silence())
    other = layer(store, metadata("six", "1"), packed="none")
    path = store.path(other.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"MIT", b"BSD"))
    with pytest.raises(IntegrityFailed) as error:
        python_packages(store, image(store, other), Silence())
    assert "its bytes have the digest" in str(error.value.because)


def header(**fields: str | int) -> bytes:
    tags = {"name": 1000, "version": 1001, "release": 1002, "epoch": 1003, "license": 1014, "arch": 1022}
    entries, data = b"", b""
    for name, value in fields.items():
        kind = 4 if isinstance(value, int) else 6
        entries += struct.pack(">4I", tags[name], kind, len(data), 1)
        data += struct.pack(">I", value) if isinstance(value, int) else value.encode() + b"\0"
    return struct.pack(">2I", len(fields), len(data)) + entries + data


def test_rpm_packages_are_read_without_librpm(tmp_path: Path) -> None:
    path = tmp_path / "rpmdb.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        rows = [
            header(name="bash", version="5.1.8", release="9.el9", arch="x86_64", license="GPLv3+"),
            header(name="openssl", version="3.0.7", release="1.el9", epoch=1, arch="x86_64"),
            header(name="gpg-pubkey", version="8483c65d", release="5ccc5b19"),
        ]
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(row,) for row in rows])
    connection.close()
    found = list(rpm_packages(path.read_bytes()))
    assert found == [
        Package("rpm", "bash", "5.1.8-9.el9", "x86_64", "GPLv3+"),
        Package("rpm", "openssl", "1:3.0.7-1.el9", "x86_64"),
    ]
    urls = [str(package_url(package, Distribution("rhel", "9"))) for package in found]
    assert urls[1] == "pkg:rpm/rhel/openssl@3.0.7-1.el9?arch=x86_64&distro=rhel-9&epoch=1"


@pytest.mark.parametrize("raw", [b"", b"\0" * 7, b"\xff" * 64, struct.pack(">2I", 1, 0) + b"\0" * 3])
def test_a_damaged_rpm_header_names_no_package_and_stops_nothing(raw: bytes) -> None:
    assert header_fields(raw) == {}


def test_what_is_no_rpm_database_is_refused() -> None:
    with pytest.raises(IntegrityFailed):
        list(rpm_packages(b"not a database"))


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"Name: x\n", b":\n\n:", b"Version: 1\n\nName: x"])
def test_odd_lists_name_no_package_and_stop_nothing(raw: bytes) -> None:
    assert python_package(raw) is None
    assert list(dpkg_packages(raw)) == []
