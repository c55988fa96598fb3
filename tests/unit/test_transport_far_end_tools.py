"""What the far end finds on its host before anything is sent: the tools that it needs, and whether they do as told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from far_end_sessions import DATA, HEX, prepared, put, start


def test_without_openssl_it_hashes_with_coreutils(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("cat", "chmod", "cp", "dd", "df", "ln", "ls", "mkdir", "mv", "rm", "sha256sum", "sync", "truncate", "wc")
    tools = (*files, "date", "sh", "sleep", "sort", "timeout", "tr", "uname")
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in tools:
        (bare / tool).symlink_to(shutil.which(tool) or tool)
    monkeypatch.setenv("PATH", str(bare))
    session = prepared(tmp_path / "store")
    assert put(session, DATA) == f"ok {HEX}"
    session.close()
    (bare / "sync").unlink()
    (bare / "timeout").unlink()
    session = start(tmp_path / "store")
    session.request("prepare")
    assert session.answer() == "lacks sync timeout"
    session.close()


def test_a_process_that_is_killed_beside_dd_while_it_is_tried_is_not_taken_for_an_old_dd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push would end with the advice to install coreutils, where it goes on when it asks again."""
    killed, once = tmp_path / "bin" / "cat", tmp_path / "once"
    killed.parent.mkdir()
    killed.write_text(f'#!/bin/sh\n[ -e {once} ] || {{ : >{once}; kill -9 $$; }}\nexec {shutil.which("cat")} "$@"\n')
    killed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{killed.parent}:{os.environ['PATH']}")
    session = prepared(tmp_path / "store")
    assert once.exists()
    assert put(session, DATA) == f"ok {HEX}"
    session.abandon()
