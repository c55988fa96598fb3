"""Commands in hints: what they lose when they can't be pasted is the person at the node, who has no other help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.hint import bundle
from bundler.core.reference import BundleName
from bundler.operations.jobs import WorkloadFailed
from bundler.operations.release import Release


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store, a space in its path, with a program that prints its arguments for its agent; none is in PATH."""
    store = tmp_path / "my bundles"
    store.mkdir()
    agent = store / "bundle"
    agent.write_text('#!/bin/sh\necho "$0" "$@"\n')
    agent.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return store


def test_on_a_node_a_hint_runs_the_agent_of_the_store_as_it_is_pasted(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(store / "bundle"), "up", "demo"])
    release = Release(store / "releases" / "demo", BundleName("demo", "1.0"), Digest.of(b"root"))
    hint = WorkloadFailed("job", "train", release, 1, ()).hint
    assert hint is not None
    done = subprocess.run(["sh", "-c", hint], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == f"{store}/bundle logs demo:1.0 train\n"


def test_a_store_that_is_not_the_agents_own_is_named_in_the_hint(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(store / "bundle")])
    assert bundle("down", "demo", store=tmp_path) == f"'{store}/bundle' down demo --store {tmp_path}"


def test_where_the_program_is_in_path_a_hint_says_its_short_name(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(store))
    monkeypatch.setattr(sys, "argv", [str(store / "bundle")])
    assert bundle("up", "demo") == "bundle up demo"
    monkeypatch.setattr(sys, "argv", ["/somewhere/bundler/__main__.py"])
    assert bundle("up", "demo", store=store) == f"bundle up demo --store '{store}'"
