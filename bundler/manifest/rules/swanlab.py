"""SwanLab: which versions go together, what a mode needs, and what its dashboard can show."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from bundler.manifest.address import is_address, is_loopback, of_url
from bundler.manifest.apps import SwanlabBoard
from bundler.manifest.findings import KeyPath, Problem
from bundler.manifest.methods import SwanLab
from bundler.manifest.schema import Manifest
from bundler.manifest.version import Version

_ODD, _ODD_EXPECTED = Version("0.6.3"), "0.6.4 or newer"
_ODD_BECAUSE = "0.6.3 shows no curves in its dashboard, and a training that goes on from a checkpoint waits for ever"
"""It files a run under its bare id (data/callbacker/local.py; 0.6.2 and 0.6.4 under its directory's name). The trainer
seeds the numbers that the id is made from, so the second run has the first one's, and swanboard tries for ever to file
it (0.1.8b1, callback.py).
"""
_SWANLAB_SINCE = Version("0.9.2")
_SYNC_SINCE = Version("0.6.3")
"""The oldest SDK whose `swanlab sync` was seen (its wheel)."""

_SERVERS = (
    (Version("2.6.2"), None, Version("0.7.4"), None),
    (Version("1.3"), Version("2.6"), Version("0.6.0"), Version("0.7.4")),
)
"""Self-hosted SwanLab from, below; the SDKs that it takes from, below (SwanLab's self-hosted documentation)."""


def sdk_and_server(manifest: Manifest) -> Iterator[Problem]:
    """SwanLab came with LLaMA-Factory 0.9.2; a self-hosted server takes certain SDKs."""
    train = manifest.train
    wish = train.swanlab if train else None
    if not train or not wish:
        return
    path = ("train", "swanlab")
    if train.llamafactory < _SWANLAB_SINCE:
        found, expected = str(train.llamafactory), f"{_SWANLAB_SINCE} or newer, for 'swanlab'"
        yield Problem(("train", "llamafactory"), found, expected, concerns=(path,))
    yield from _reached(wish)
    if wish.mode == "local":
        if wish.sdk == _ODD:
            yield Problem((*path, "sdk"), str(wish.sdk), _ODD_EXPECTED, _ODD_BECAUSE)
        if wish.server:
            because = "mode local has no server"
            yield Problem(
                (*path, "server"), str(wish.server), "'mode: offline' or 'mode: cloud' too", because, at_key=True
            )
        return
    if wish.mode == "offline" and wish.sdk and wish.sdk < _SYNC_SINCE:
        because = "what it writes offline can't be uploaded by `swanlab sync`"
        yield Problem((*path, "sdk"), str(wish.sdk), f"{_SYNC_SINCE} or newer", because)
    if not wish.server:
        return
    if not wish.sdk:
        because = f"a server {wish.server} takes certain SDKs alone"
        yield Problem((*path, "server"), str(wish.server), "'sdk' too", because, at_key=True)
        return
    row = next((row for row in _SERVERS if _within(wish.server, row[0], row[1])), None)
    if row is None:
        yield Problem((*path, "server"), str(wish.server), "1.3 to 2.5, or 2.6.2 and newer", "no SDK is known for it")
    elif not _within(wish.sdk, row[2], row[3]):
        expected = f"{row[2]} or newer" if row[3] is None else f"{row[2]} or newer, below {row[3]}"
        because = f"the server is {wish.server}"
        yield Problem((*path, "sdk"), str(wish.sdk), expected, because, concerns=((*path, "server"),))


def _reached(wish: SwanLab) -> Iterator[Problem]:
    """What mode cloud needs, and the others have no use for: never SwanLab's own cloud, which a node can't reach."""
    path = ("train", "swanlab")
    for name, value, text in (
        ("host", wish.host, "'host' too: your own server"),
        ("api_key_file", wish.api_key_file, "'api_key_file' too: a file on the node"),
    ):
        if wish.mode == "cloud" and value is None:
            yield Problem((*path, "mode"), "cloud", text, concerns=((*path, name),))
        elif wish.mode != "cloud" and value is not None:
            because = f"mode {wish.mode} reaches no server"
            yield Problem((*path, name), value, "'mode: cloud' too", because, at_key=True)
    if not wish.host:
        return
    parts = urlsplit(wish.host)
    if parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.fragment:
        because = "the training reaches it under another name, which no certificate has"
        yield Problem((*path, "host"), wish.host, "http://NAME:PORT", because)
    elif not is_address(of_url(wish.host)):
        yield Problem((*path, "host"), wish.host, "http://NAME:PORT", "its name or its port is none of a network's")
    elif is_loopback(parts.hostname or ""):
        because = "what connects to it is a container, whose loopback is its own"
        yield Problem((*path, "host"), wish.host, "the name or address by which other machines reach it", because)


def _within(version: Version, since: Version, below: Version | None) -> bool:
    return version >= since and (below is None or version < below)


def dashboard(manifest: Manifest) -> Iterator[Problem]:
    """SwanLab's dashboard shows what a training job logged for it."""
    for path, board in manifest.services_of(SwanlabBoard):
        if manifest.train is None:
            because = "it shows the logs of the training job"
            yield Problem(path, "SwanLab's dashboard", "a section 'train' too", because, concerns=(("train",),))
        elif manifest.train.swanlab is None or manifest.train.swanlab.mode != "local":
            because = "no other mode writes what it reads"
            concerns: tuple[KeyPath, ...] = (("train", "swanlab"),)
            yield Problem(path, "SwanLab's dashboard", "'train.swanlab: {mode: local}' too", because, concerns=concerns)
        if board.swanlab == _ODD:
            yield Problem((*path, "swanlab"), str(board.swanlab), _ODD_EXPECTED, _ODD_BECAUSE)


RULES = (sdk_and_server, dashboard)
