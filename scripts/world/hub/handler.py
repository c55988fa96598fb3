"""The hub's routes: what huggingface_hub asks for, and what a download follows."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

from scripts.world.hub import access as gate
from scripts.world.hub.access import Refusal
from scripts.world.hub.reply import Reply
from scripts.world.hub.snapshot import Snapshot, sibling, tree_entry
from scripts.world.ports import LOOPBACK

# Matched before percent-decoding: a revision or a path may hold an encoded slash.
_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
_RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_STORAGE = re.compile(r"/storage/([0-9a-f]{64})/(.+)")
_DATE = "2026-01-01T00:00:00.000Z"


class Refused(Exception):
    """Carries a refusal to the one place that answers it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class HubHandler(Reply):
    """GET, HEAD and POST take the same way."""

    def do_GET(self) -> None:
        self.asked_file = ""
        try:
            self._route(urlsplit(self.path).path)
        except Refused as refused:
            self.refuse(refused.refusal)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET
    do_POST = do_GET

    def _route(self, path: str) -> None:
        if path == "/api/whoami-v2":
            self._whoami()
        elif match := _API.fullmatch(path):
            self._api(*_decoded(match))
        elif match := _RESOLVE.fullmatch(path):
            self._resolve(*_decoded(match))
        elif match := _STORAGE.fullmatch(path):
            self._stored(*_decoded(match))
        else:
            raise Refused(gate.REPO_NOT_FOUND)

    def _whoami(self) -> None:
        token = gate.bearer(self.headers["Authorization"])
        if token is None or token not in self.desk.access.members | self.desk.access.outsiders:
            raise Refused(gate.BAD_CREDENTIALS)
        self.json({"type": "user", "name": "demo", "orgs": []})

    def _api(self, kind: str, repo: str, route: str, revision: str, path: str) -> None:
        snapshot = self._snapshot(kind, repo, revision or "main", content=False)
        query = parse_qs(urlsplit(self.path).query)
        if route == "tree":
            recursive = query.get("recursive", [""])[0].lower() in ("true", "1")
            entries = list(snapshot.below(path, recursive=recursive))
            if path and not entries:
                raise Refused(gate.ENTRY_NOT_FOUND)
            self.json(entries)
        elif route == "paths-info":
            wanted = self._posted_paths()
            self.json([tree_entry(file) for file in snapshot.files if file.path in wanted])
        else:
            self.json(self._info(snapshot, with_blobs="blobs" in query))

    def _info(self, snapshot: Snapshot, *, with_blobs: bool) -> dict[str, object]:
        repo, access = snapshot.repo, self.desk.access
        files = snapshot.files
        return {
            "id": repo,
            "modelId": repo,
            "author": repo.partition("/")[0],
            "sha": snapshot.commit,
            "lastModified": _DATE,
            "createdAt": _DATE,
            "private": repo in access.private,
            "gated": "manual" if repo in access.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [sibling(one) if with_blobs else {"rfilename": one.path} for one in files],
        }

    def _resolve(self, kind: str, repo: str, revision: str, name: str) -> None:
        self.asked_file = name
        snapshot = self._snapshot(kind or "models", repo, revision, content=True)
        file = snapshot.file(name)
        headers = {"X-Repo-Commit": snapshot.commit}
        if file is None:
            raise Refused(gate.ENTRY_NOT_FOUND)
        if file.sha256 is None:
            return self.file(file, headers)
        # LFS objects lie on another host, which must not see the login: the hub redirects there.
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"'}
        location = f"http://{other_host(self.headers['Host'])}/storage/{file.sha256}/{name}"
        return self.head(302, 0, {**headers, "Location": location})

    def _stored(self, sha256: str, name: str) -> None:
        self.asked_file = name
        file = self.desk.shelf.by_sha256(sha256)
        if file is None:
            raise Refused(gate.ENTRY_NOT_FOUND)
        self.file(file, {})

    def _snapshot(self, kind: str, repo: str, revision: str, *, content: bool) -> Snapshot:
        refusal = self.desk.access.refuse(repo, self.headers["Authorization"], content=content)
        if refusal is not None:
            raise Refused(refusal)
        snapshot = self.desk.shelf.snapshot(kind, repo)
        if snapshot is None:
            raise Refused(gate.REPO_NOT_FOUND)
        if revision not in ("main", snapshot.commit):
            raise Refused(gate.REVISION_NOT_FOUND)
        return snapshot

    def _posted_paths(self) -> set[str]:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.headers.get("Content-Type", "").startswith("application/json"):
            return set(json.loads(text)["paths"])
        return set(parse_qs(text).get("paths", ()))


def other_host(host: str) -> str:
    """This server by its other name: a client sees two hosts."""
    name, _, port = host.partition(":")
    return f"{LOOPBACK if name == 'localhost' else 'localhost'}:{port}"


def _decoded(match: re.Match[str]) -> tuple[str, ...]:
    return tuple(unquote(group or "") for group in match.groups())
