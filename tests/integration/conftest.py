"""Hubs with the same small model, named by the environment, and nobody logged in; a store, and a host to push it to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import REPO, write_model

from bundler.store.layout import Store
from scripts.world.hub import Hub, ModelScope
from scripts.world.sshd import SshServer
from tests.far_host import FarHost


@pytest.fixture
def source(tmp_path: Path) -> Store:
    """The store on this side, empty."""
    return Store.create(tmp_path / "source")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Logs and receipts of one test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An SSH host of this session's own, beside the world's: it starts in a moment, and two sessions share nothing."""
    with SshServer(tmp_path_factory.mktemp("sshd"), tied=True) as server:
        yield server


@pytest.fixture(scope="session")
def server(sshd: SshServer) -> SshServer:
    """The sshd of `host`. A module that disturbs it has one of its own."""
    return sshd


@pytest.fixture
def host(server: SshServer, tmp_path: Path) -> FarHost:
    """The host to push to."""
    return FarHost(server, tmp_path)


@pytest.fixture
def logged_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No login, cache or endpoint of this machine's user, in either library."""
    import modelscope_hub.config
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN", "MODELSCOPE_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "ms-home"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(modelscope_hub.config, "_default_config", None)


@pytest.fixture
def ms_files(tmp_path: Path) -> Path:
    """The model's directory at ModelScope."""
    return write_model(tmp_path / "modelscope" / REPO)


@pytest.fixture
def hf_files(tmp_path: Path) -> Path:
    """The model's directory at Hugging Face."""
    return write_model(tmp_path / "huggingface" / REPO)


@pytest.fixture
def ms(logged_out: None, ms_files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelScope]:  # noqa: ARG001
    """ModelScope."""
    with ModelScope(ms_files.parents[1]) as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def hf(logged_out: None, hf_files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:  # noqa: ARG001
    """Hugging Face."""
    with Hub(hf_files.parents[1]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub
