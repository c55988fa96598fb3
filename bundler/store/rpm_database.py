"""The installed packages of an rpm database in its SQLite form (rpm 4.16 and later), without librpm.

Each row holds a package's header: two big-endian numbers (index entries, bytes of data), the entries (tag, type,
offset, count), then the data (rpm's docs, manual/format_header.md).
"""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from collections.abc import Iterator

from bundler.core.errors import IntegrityFailed
from bundler.store.package_lists import Package

_TAGS = {1000: "name", 1001: "version", 1002: "release", 1003: "epoch", 1014: "license", 1022: "arch"}
_INT32, _STRING, _I18NSTRING = 4, 6, 9
_ENTRY = struct.Struct(">4I")


def rpm_packages(raw: bytes) -> Iterator[Package]:
    """The packages of an `rpmdb.sqlite`. Raises IntegrityFailed where it is no such database."""
    with tempfile.NamedTemporaryFile(prefix="bundle-rpmdb-") as file:
        file.write(raw)
        file.flush()
        try:
            connection = sqlite3.connect(f"file:{file.name}?mode=ro&immutable=1", uri=True)
            try:
                headers = [row[0] for row in connection.execute("SELECT blob FROM Packages ORDER BY hnum")]
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise IntegrityFailed("an image's rpm database can't be read", because=str(error)) from error
    for header in headers:
        fields = header_fields(header)
        if fields.get("name") and fields["name"] != "gpg-pubkey":  # a key, which rpm lists as a package
            epoch = f"{fields['epoch']}:" if fields.get("epoch", "0") != "0" else ""
            version = f"{epoch}{fields.get('version', '')}-{fields.get('release', '')}"
            yield Package("rpm", fields["name"], version, fields.get("arch", ""), fields.get("license", ""))


def header_fields(header: bytes) -> dict[str, str]:
    """The fields of a header that name a package; what is out of its bounds is left out."""
    if len(header) < 8:
        return {}
    count, _ = struct.unpack_from(">2I", header)
    start = 8 + _ENTRY.size * count
    found: dict[str, str] = {}
    if start > len(header):
        return found
    for tag, kind, offset, _ in _ENTRY.iter_unpack(header[8:start]):
        name, at = _TAGS.get(tag), start + offset
        if name and kind in (_STRING, _I18NSTRING):
            found[name] = header[at : header.find(b"\0", at)].decode(errors="replace")
        elif name and kind == _INT32 and at + 4 <= len(header):
            found[name] = str(struct.unpack_from(">I", header, at)[0])
    return found
