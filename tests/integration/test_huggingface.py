"""Models from a hub, asked with the real huggingface_hub: pinned, hashed, and refused with a way out."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed, NetworkFailed
from bundler.core.events import Event, Events, Silence, Warned
from bundler.manifest.lock import LockedFiles, Origin
from bundler.sources.crew import WrongSource
from bundler.sources.fetch import fetch
from bundler.sources.hub import HubFailed
from bundler.sources.models import ModelResolver, model_downloads
from bundler.sources.retry import Retries, RetryPolicy
from bundler.sources.selection import NothingToTake, Patterns
from bundler.store.closure import closure
from bundler.store.layout import Store
from bundler.store.verify import verify
from scripts.world.hub import Fault, Hub

REPO = "acme/tiny"
TOKEN = "hf_canary44d1"
WEIGHTS = b"weights" * 300_000
QUICK = Retries(RetryPolicy(attempts=3, first=0.001, longest=0.002))


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture(autouse=True)
def hub(empty_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with one small model, which the environment names; nobody is logged in."""
    from huggingface_hub import constants

    directory = tmp_path / "hub" / REPO
    (directory / "sub").mkdir(parents=True)
    (directory / "config.json").write_text('{"model_type": "qwen3"}')
    (directory / "sub" / "tokenizer config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(WEIGHTS)
    (directory / "README.md").write_text("# Tiny\n")
    (directory / ".gitattributes").write_text("*.bin filter=lfs\n")
    monkeypatch.setenv("HF_ENDPOINT", empty_hub.endpoint)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return empty_hub


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The model's directory on the hub."""
    return tmp_path / "hub" / REPO


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def resolve(
    store: Store,
    repo: str = REPO,
    revision: str = "main",
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    allow: tuple[str, ...] = (),
    heard: Events | None = None,
    before: tuple[LockedFiles, ...] = (),
) -> LockedFiles:
    resolver = ModelResolver.over(store, heard or Silence(), before, retries=QUICK)
    return resolver.resolve("base", [Origin(f"hf://{repo}", revision)], Patterns(include, exclude, allow))


def carry(store: Store) -> LockedFiles:
    model = resolve(store)
    fetch(model_downloads(model), store, Silence(), policy=QUICK.policy)
    return model


def test_a_model_is_carried_with_the_commit_and_the_hashes_that_the_hub_states(hub: Hub, store: Store) -> None:
    model = carry(store)
    assert (model.source, model.revision) == (f"hf://{REPO}", hub.commit(REPO))
    assert [file.path for file in model.files] == [
        "README.md",
        "config.json",
        "model.safetensors",
        "sub/tokenizer config.json",
    ]
    assert model.files[2].digest == Digest.of(WEIGHTS)
    assert verify(store, closure(store, model.manifest), Silence()).bad == ()


def test_resolving_fetches_the_small_files_and_no_weights(hub: Hub, store: Store) -> None:
    model = resolve(store)
    assert hub.faults.count(file="model.safetensors") == 0
    assert store.read(model.files[1].digest) == b'{"model_type": "qwen3"}'
    assert len(fetch(model_downloads(model), store, Silence()).fetched) == 1


def test_the_same_model_gives_the_same_lock(store: Store, tmp_path: Path) -> None:
    assert resolve(store) == resolve(Store.create(tmp_path / "other"))


def test_a_lock_alone_is_enough_to_fill_an_empty_store(store: Store, tmp_path: Path) -> None:
    model = resolve(store)
    empty = Store.create(tmp_path / "empty")
    fetch(model_downloads(model), empty, Silence())
    assert all(empty.path(file.digest).stat().st_size == file.size for file in model.files)


def test_a_commit_can_be_asked_for(hub: Hub, store: Store) -> None:
    assert resolve(store, revision=hub.commit(REPO)) == resolve(store)


def test_what_is_left_out_is_said(files: Path, store: Store) -> None:
    (files / "pytorch_model.bin").write_bytes(b"x")
    heard = Recorder()
    resolve(store, heard=heard)
    (warning,) = [event.text for event in heard.events if isinstance(event, Warned)]
    assert ".gitattributes (hidden)" in warning
    assert "pytorch_model.bin (pickled; loading them runs code)" in warning


def test_patterns_choose_the_files(store: Store) -> None:
    model = resolve(store, include=("*.json",), exclude=("sub/*",))
    assert [file.path for file in model.files] == ["config.json"]
    with pytest.raises(NothingToTake, match="matches no file of acme/tiny"):
        resolve(store, include=("*.gguf",))


def test_weights_that_break_off_go_on_where_they_stopped(hub: Hub, store: Store) -> None:
    hub.faults.add(Fault("model.safetensors", cut_after=1_500_000))
    carry(store)
    assert [
        seen.range for seen in hub.faults.seen if seen.status in (200, 206) and seen.file == "model.safetensors"
    ] == [
        None,
        "bytes=1500000-",
    ]


def test_weights_with_a_flipped_bit_are_fetched_again_and_named_when_it_stays_so(hub: Hub, store: Store) -> None:
    hub.faults.add(Fault("model.safetensors", corrupt=True))
    carry(store)
    for path in store.blobs.glob(Digest.of(WEIGHTS).hex):
        path.unlink()
    hub.faults.add(Fault("model.safetensors", corrupt=True, times=2))
    with pytest.raises(WrongSource, match=r"base: model\.safetensors from 127\.0\.0\.1:\d+/acme/tiny at [0-9a-f]{12}"):
        carry(store)


def test_a_small_file_with_a_flipped_bit_is_caught_by_gits_hash(hub: Hub, store: Store) -> None:
    hub.faults.add(Fault("config.json", corrupt=True))
    with pytest.raises(IntegrityFailed, match=r"the bytes of config\.json from .* are wrong") as error:
        resolve(store)
    assert "git hash" in str(error.value.because)


def test_a_small_file_that_changed_its_length_is_caught(hub: Hub, store: Store) -> None:
    hub.faults.add(Fault("config.json", status=200, headers={"Content-Length": "0"}))
    with pytest.raises((IntegrityFailed, NetworkFailed)):
        resolve(store)


def test_a_busy_hub_is_asked_again(hub: Hub, store: Store) -> None:
    hub.faults.add(Fault("config.json", status=503))
    hub.faults.add(Fault("model.safetensors", status=429, headers={"Retry-After": "0"}))
    carry(store)


def test_the_login_is_sent_to_the_hub_and_not_to_the_storage_that_it_redirects_to(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.access.members.add(TOKEN)
    hub.access.private.add(REPO)
    carry(store)
    storage = [seen for seen in hub.faults.seen if seen.path.startswith("/storage/")]
    others = [seen for seen in hub.faults.seen if not seen.path.startswith("/storage/")]
    assert storage
    assert {seen.authorization for seen in storage} == {None}
    assert {seen.authorization for seen in others} == {f"Bearer {TOKEN}"}


def said(error: pytest.ExceptionInfo[BaseException]) -> str:
    return "".join(traceback.format_exception(error.value)) + str(vars(error.value))


def test_a_gated_model_says_where_to_accept_its_terms(hub: Hub, store: Store) -> None:
    hub.access.gated.add(REPO)
    with pytest.raises(HubFailed, match="does not give the files of acme/tiny") as error:
        resolve(store)
    assert "gated" in str(error.value.because)
    assert error.value.hint == f"open {hub.endpoint}/{REPO} and accept them, then: hf auth login"


def test_a_token_without_access_to_a_gated_model_is_told_the_same_and_not_shown(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.access.outsiders.add(TOKEN)
    hub.access.gated.add(REPO)
    with pytest.raises(HubFailed) as error:
        resolve(store)
    assert "gated" in str(error.value.because)
    assert TOKEN not in said(error)


def test_a_private_model_without_a_login_says_how_to_log_in(hub: Hub, store: Store) -> None:
    hub.access.private.add(REPO)
    with pytest.raises(HubFailed, match="has no model acme/tiny, or it is private") as error:
        resolve(store)
    assert str(error.value.hint).startswith("hf auth login")


def test_a_login_that_is_no_longer_valid_is_told_and_not_shown(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.access.members.add("another")
    with pytest.raises(HubFailed, match="does not accept your token") as error:
        resolve(store)
    assert error.value.hint == "hf auth login"
    assert TOKEN not in said(error)


def test_an_unknown_model_is_named(store: Store) -> None:
    with pytest.raises(HubFailed, match="has no model acme/none"):
        resolve(store, repo="acme/none")


def test_an_unknown_revision_is_named_with_the_command_that_lists_them(hub: Hub, store: Store) -> None:
    with pytest.raises(HubFailed, match="acme/tiny has no revision 'v9'") as error:
        resolve(store, revision="v9")
    assert str(error.value.hint).startswith(f"git ls-remote {hub.endpoint}/acme/tiny")


@pytest.mark.parametrize("repo", ["a/b/c", "a b/c", "--", "x..y/z"])
def test_what_is_no_model_name_is_told(store: Store, repo: str) -> None:
    with pytest.raises(HubFailed, match="is not the name of a model"):
        resolve(store, repo=repo)


def test_a_hub_that_can_not_be_reached_names_the_ways_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(NetworkFailed, match=r"no connection to 127\.0\.0\.1:9") as error:
        resolve(store)
    assert error.value.because == "connection refused"
    assert "HF_ENDPOINT" in str(error.value.hint)


def test_offline_mode_is_named_as_the_reason(store: Store) -> None:
    code = f"""
from pathlib import Path
from bundler.core.events import Silence
from bundler.manifest.lock import Origin
from bundler.sources.hub import HubFailed
from bundler.sources.models import STEP, ModelResolver
from bundler.sources.selection import Patterns
from bundler.store.layout import Store
try:
    resolver = ModelResolver.over(Store({str(store.root)!r}), Silence())
    resolver.resolve("base", [Origin("hf://{REPO}", "main")], Patterns())
except HubFailed as error:
    print(error.because, error.hint, sep="; ")
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}  # read when huggingface_hub is imported
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "HF_HUB_OFFLINE is set; unset HF_HUB_OFFLINE\n"


def test_a_hub_that_is_not_asked_costs_no_import() -> None:
    code = (
        "import sys, bundler.sources.models, bundler.sources.cached, bundler.sources.files, bundler.sources.images;"
        "sys.exit(not {'huggingface_hub', 'modelscope', 'pydantic'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_endpoint_may_end_in_a_slash(hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.endpoint}/")
    carry(store)


def test_an_edited_lock_asks_the_hub_for_what_it_does_not_have(store: Store) -> None:
    model = resolve(store)
    gone = replace(model.files[2], path="gone.safetensors")
    with pytest.raises(HubFailed, match="is gone"):
        fetch(model_downloads(replace(model, files=(gone,))), store, Silence())
