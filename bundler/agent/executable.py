"""The agent is a zip of Python files with a `#!` line: our package and the pure-Python libraries that it needs.

The same versions give the same bytes, so that a bundle's identity does not change when it is built again.
Compiled parts of libraries are left out; each of them has a pure-Python way. Nothing is compressed: zlib's builds
differ in their output, and Python starts faster from plain files.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import bundler
from bundler.core.errors import BundlerError

SHEBANG = b"#!/usr/bin/env python3\n"
DISTRIBUTIONS = (
    "certifi",
    "charset-normalizer",
    "click",
    "docker",
    "idna",
    "jinja2",
    "markupsafe",
    "nvidia-ml-py",
    "requests",
    "urllib3",
)
"""What the verbs of the node import: the docker SDK with what it stands on, NVML, click, and what a report needs."""

MAIN = b"""\
import sys
if sys.version_info < (3, 10):
    sys.exit("bundle: Python 3.10 or newer is needed, this is " + sys.version.split()[0] + "\\n\\n"
             "hint: apt-get install python3.10   # then: python3.10 " + sys.argv[0] + " " + " ".join(sys.argv[1:]))
from bundler.cli.main import main
main()
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)


class IncompleteInstallation(BundlerError):
    """A library that the agent carries is not installed here."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the agent can't be made: the library {name} is not installed",
            hint="pip install --force-reinstall bundler",
        )


def executable() -> bytes:
    """The agent's bytes. Raises IncompleteInstallation."""
    archive = io.BytesIO()
    archive.write(SHEBANG)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as target:
        for name, content in sorted({"__main__.py": MAIN, **dict(_ours()), **dict(_libraries())}.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            target.writestr(entry, content)
    return archive.getvalue()


def _ours() -> Iterator[tuple[str, bytes]]:
    package = Path(bundler.__file__).parent
    for path in package.rglob("*"):
        if path.suffix in (".py", ".sh", ".j2", ".css"):
            yield f"bundler/{path.relative_to(package).as_posix()}", path.read_bytes()


def _libraries() -> Iterator[tuple[str, bytes]]:
    for name in DISTRIBUTIONS:
        try:
            files = distribution(name).files or ()
        except PackageNotFoundError:
            raise IncompleteInstallation(name) from None
        for file in files:
            path = file.as_posix()
            if (
                path.startswith("../")
                or "__pycache__" in path
                or path.endswith((".so", ".pyc", ".c", "/RECORD", "/INSTALLER"))
            ):
                continue
            if ".dist-info/" in path and not path.endswith("/METADATA") and "LICENSE" not in path:
                continue
            yield path, Path(str(file.locate())).read_bytes()
