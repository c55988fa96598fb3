"""The part of ModelScope's HTTP interface that listing and downloads use, over the same directory as the hub's.

After modelscope 1.27 and modelscope_hub 0.5.1 (_legacy_api.py): `repo/files`, `revisions`, `repo`. As there, a
listing of a branch states the latest commit in full, one of a commit only its first letters; git's own files are
sent whole whatever the Range header asks; large ones are redirected to storage.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from scripts.world.hub.handler import other_host
from scripts.world.hub.reply import Reply
from scripts.world.hub.server import Hub
from scripts.world.hub.snapshot import HubFile, Snapshot

BRANCH = "master"
_MODEL = re.compile(r"/api/v1/models/([^/]+/[^/]+)/(repo/files|revisions|repo)")
_STORAGE = re.compile(r"/storage/([0-9a-f]{64})/(.+)")
_DATE = 1767225600


class ModelScopeHandler(Reply):
    """GET and HEAD take the same way."""

    def do_GET(self) -> None:
        self.asked_file = ""
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            if match := _MODEL.fullmatch(parts.path):
                self._model(unquote(match[1]), match[2], query)
            elif match := _STORAGE.fullmatch(parts.path):
                self._stored(match[1], unquote(match[2]))
            else:
                self._error(404, "page not found")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def _model(self, repo: str, route: str, query: dict[str, str]) -> None:
        snapshot = self.desk.shelf.snapshot("models", repo)
        refusal = self.desk.access.refuse(repo, self.headers["Authorization"], content=route == "repo")
        if refusal is not None:
            return self._error(refusal.status, refusal.message)
        if snapshot is None:
            return self._error(404, f"model {repo} not exist")
        if route == "revisions":
            return self._data({"RevisionMap": {"Branches": [{"Revision": BRANCH, "CreatedAt": _DATE}], "Tags": []}})
        revision = query.get("Revision", BRANCH)
        if revision not in (BRANCH, snapshot.commit):
            return self._error(404, f"revision {revision} not found")
        return self._list(snapshot, revision) if route == "repo/files" else self._send(snapshot, query["FilePath"])

    def _list(self, snapshot: Snapshot, revision: str) -> None:
        commit = snapshot.commit
        if fault := self.desk.faults.next("").status:
            return self.head(fault, 0, {})
        states = self.desk.states_commit
        latest = {"Id": commit if states and revision == BRANCH else "", "ShortId": commit[:8] if states else ""}
        files = [self._entry(file, commit if states else "") for file in snapshot.files]
        folders = sorted({str(Path(file.path).parent) for file in snapshot.files} - {"."})
        trees = [{"Name": Path(folder).name, "Path": folder, "Type": "tree", "Size": 0} for folder in folders]
        return self._data({"Files": [*trees, *files], "IsVisual": 0, "LatestCommitter": latest})

    def _entry(self, file: HubFile, commit: str) -> dict[str, object]:
        silent = any(fnmatchcase(file.path, pattern) for pattern in self.desk.unstated)
        return {
            "CommittedDate": _DATE,
            "Id": file.oid,
            "IsLFS": file.sha256 is not None,
            "Name": Path(file.path).name,
            "Path": file.path,
            "Revision": commit,
            "Sha256": "" if silent else file.digest(),
            "Size": file.size,
            "Type": "blob",
        }

    def _send(self, snapshot: Snapshot, path: str) -> None:
        self.asked_file = path
        file = snapshot.file(path)
        if file is None:
            return self._error(404, f"file {path} not found")
        if file.sha256 is None:
            return self.file(file, {}, ranges=False)
        # The storage is another host, which must not see the login.
        location = f"http://{other_host(self.headers['Host'])}/storage/{file.sha256}/{quote(path)}"
        return self.head(302, 0, {"Location": location, "X-Linked-ETag": f'"{file.sha256}"'})

    def _stored(self, sha256: str, name: str) -> None:
        self.asked_file = name
        file = self.desk.shelf.by_sha256(sha256)
        if file is None:
            return self._error(404, "object not found")
        return self.file(file, {})

    def _data(self, data: object) -> None:
        self.json({"Code": 200, "Data": data, "Message": "success", "RequestId": "0", "Success": True})

    def _error(self, status: int, message: str) -> None:
        self.json({"Code": 10010200000 + status, "Message": message, "RequestId": "0", "Success": False}, status)


class ModelScope(Hub):
    """Serves a directory of ORG/NAME as ModelScope does; MODELSCOPE_ENDPOINT names it."""

    handler: type[Reply] = ModelScopeHandler

    def leave_unstated(self, pattern: str) -> None:
        """State no SHA-256 for files that match this glob."""
        self._desk.unstated.append(pattern)

    def state_no_commit(self) -> None:
        """Leave the commit out of listings."""
        self._desk.states_commit = False
