"""A volume that someone made to do harm: it is refused, named, and writes nothing outside the store."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.events import Silence
from bundler.media.header import Piece
from bundler.media.volume import BadVolume, open_volume
from bundler.operations.export import export
from bundler.operations.import_volumes import import_volumes
from bundler.store.layout import Store
from tests.bundles import make_bundle

Change = Callable[[tarfile.TarInfo], None]


def volume(place: Path) -> Path:
    store = Store.create(place / "source")
    return export(store, make_bundle(store, [2000, 1000]), [place / "media"], Silence()).written[0].path


def spoilt(path: Path, change: Change, *, kind: int = tarfile.USTAR_FORMAT) -> None:
    """Write the volume anew with one blob's header changed."""
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for position, (member, data) in enumerate(members):
            member.pax_headers = {}
            if position == len(members) - 3:
                change(member)
                data = data if member.isreg() else b""
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    path.write_bytes(out.getvalue())


def _named(name: str) -> Change:
    return lambda member: setattr(member, "name", name)


def _typed(kind: bytes) -> Change:
    def change(member: tarfile.TarInfo) -> None:
        member.type = kind
        member.linkname = "/etc/passwd"

    return change


def _pax(**headers: str) -> Change:
    return lambda member: setattr(member, "pax_headers", headers)


HARM: dict[str, tuple[Change, int]] = {
    "out of the store": (_named("../../evil"), tarfile.USTAR_FORMAT),
    "absolute": (_named("/tmp/evil"), tarfile.USTAR_FORMAT),
    "symbolic link": (_typed(tarfile.SYMTYPE), tarfile.USTAR_FORMAT),
    "hard link": (_typed(tarfile.LNKTYPE), tarfile.USTAR_FORMAT),
    "device": (_typed(tarfile.CHRTYPE), tarfile.USTAR_FORMAT),
    "pipe": (_typed(tarfile.FIFOTYPE), tarfile.USTAR_FORMAT),
    "directory": (_typed(tarfile.DIRTYPE), tarfile.USTAR_FORMAT),
    "setuid": (lambda member: setattr(member, "mode", 0o4755), tarfile.USTAR_FORMAT),
    "duplicate": (_named("index.json"), tarfile.USTAR_FORMAT),
    "pax path": (_pax(path="../evil"), tarfile.PAX_FORMAT),
    "pax size": (_pax(size="1"), tarfile.PAX_FORMAT),
    "long name": (_named("x" * 300), tarfile.GNU_FORMAT),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_tar_that_is_not_as_we_write_it_is_refused_and_nothing_of_it_is_written(harm: str, tmp_path: Path) -> None:
    path = volume(tmp_path)
    change, kind = HARM[harm]
    spoilt(path, change, kind=kind)
    result = import_volumes([path], tmp_path / "target", Silence())
    assert [bad.path for bad in result.bad] == [path]
    assert result.bundles == ()
    assert list(Store.open(tmp_path / "target").blobs.iterdir()) == []
    assert not (tmp_path / "evil").exists()


@given(path=st.text(max_size=120), whole=st.integers(-1, 10), size=st.integers(-1, 10))
def test_no_header_can_name_a_path_but_those_that_a_volume_has(path: str, whole: int, size: int) -> None:
    with pytest.raises(IntegrityFailed):
        Piece(f"{path}x", Digest.of(b""), size, 0, whole)


@given(raw=st.binary(max_size=3000))
def test_any_bytes_are_refused_as_a_bad_volume(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.tar"
    path.write_bytes(raw)
    with pytest.raises(BadVolume):
        open_volume(path)


def test_a_link_in_the_place_of_a_volume_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.tar"
    link.symlink_to(volume(tmp_path))
    with pytest.raises(BadVolume):
        open_volume(link)
