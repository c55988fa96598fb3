"""Models from ModelScope, with the real library's login and endpoint: pinned, hashed, and refused with a way out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hubs import MS, QUICK, REPO, WEIGHTS, Recorder, resolve
from scripted_server import Fault as Answer
from scripted_server import ScriptedServer

from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed, NetworkFailed, NoSpace
from bundler.core.events import Silence
from bundler.core.strict_json import MalformedJson
from bundler.manifest.lock import LockedFiles, Origin
from bundler.sources.crew import WrongSource
from bundler.sources.fetch import fetch
from bundler.sources.hub import HubFailed
from bundler.sources.models import model_downloads
from bundler.sources.retry import GaveUp
from bundler.sources.selection import Patterns
from bundler.store.closure import closure
from bundler.store.layout import Store
from bundler.store.verify import verify
from scripts.world.hub import Fault, ModelScope

TOKEN = "ms-canary44d1"
LISTING = f"/api/v1/models/{REPO}/repo/files"
STORAGE = "model.safetensors"
pytestmark = pytest.mark.usefixtures("ms")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def carry(store: Store) -> LockedFiles:
    model = resolve(store, MS)
    fetch(model_downloads(model), store, Silence(), policy=QUICK.policy)
    return model


def test_a_model_is_carried_with_the_commit_and_the_hashes_that_modelscope_states(ms: ModelScope, store: Store) -> None:
    model = carry(store)
    assert (model.source, model.revision, model.also) == (MS.source, ms.commit(REPO), ())
    assert [file.path for file in model.files] == [
        "README.md",
        "config.json",
        "model.safetensors",
        "sub/tokenizer config.json",
    ]
    assert model.files[2].digest == Digest.of(WEIGHTS)
    assert verify(store, closure(store, model.manifest), Silence()).bad == ()


def test_resolving_downloads_nothing_because_modelscope_states_every_hash(ms: ModelScope, store: Store) -> None:
    resolve(store, MS)
    assert ms.faults.count() == 0


def test_the_librarys_own_download_gives_the_same_files(store: Store, tmp_path: Path) -> None:
    from modelscope.hub.snapshot_download import snapshot_download

    model = carry(store)
    there = Path(snapshot_download(REPO, local_dir=str(tmp_path / "there")))
    assert {file.path: Digest.of_file(there / file.path) for file in model.files} == {
        file.path: file.digest for file in model.files
    }


def test_a_commit_can_be_asked_for_and_is_the_pin(ms: ModelScope, store: Store) -> None:
    commit = ms.commit(REPO)
    assert resolve(store, replace(MS, revision=commit)) == resolve(store, MS)


def test_the_commit_is_found_where_only_its_first_letters_are_stated(store: Store, scripted: ScriptedServer) -> None:
    commit = "9" + "ab" * 19 + "c"
    old = "1" * 40
    latest = {"Id": "", "ShortId": commit[:8]}
    files = [entry("a.safetensors", Revision=old), entry("b.safetensors", Revision=commit)]
    listing(scripted, *files, LatestCommitter=latest)
    assert resolve(store, MS).revision == commit


def test_without_a_stated_commit_the_hashes_alone_decide_and_a_moved_branch_is_refused(
    ms: ModelScope, ms_files: Path, store: Store, tmp_path: Path
) -> None:
    ms.state_no_commit()
    model = resolve(store, MS)
    assert model.revision == "master"
    (ms_files / "model.safetensors").write_bytes(WEIGHTS[::-1])
    with pytest.raises(WrongSource) as error:
        fetch(model_downloads(model), store, Silence(), policy=QUICK.policy)
    assert "bundle lock MANIFEST" in str(error.value.hint)
    moved = resolve(Store.create(tmp_path / "other"), MS)
    assert [file.digest for file in moved.files] != [file.digest for file in model.files]


def test_a_model_that_changed_after_its_commit_was_locked_is_not_mixed(ms_files: Path, store: Store) -> None:
    model = resolve(store, MS)
    (ms_files / "model.safetensors").write_bytes(WEIGHTS[::-1])
    with pytest.raises(HubFailed, match="is gone"):
        fetch(model_downloads(model), store, Silence(), policy=QUICK.policy)


def test_a_file_without_a_stated_hash_is_hashed_on_arrival_and_pinned(ms: ModelScope, store: Store) -> None:
    ms.leave_unstated("*.safetensors")
    model = resolve(store, MS)
    assert model.files[2].digest == Digest.of(WEIGHTS)
    assert ms.faults.count(file=STORAGE) == 1
    assert len(fetch(model_downloads(model), store, Silence()).fetched) == 3


def test_include_exclude_and_allow_choose_the_files(ms_files: Path, store: Store) -> None:
    (ms_files / "modeling_x.py").write_text("x = 1\n")
    (ms_files / "extra.bin").write_bytes(b"x")
    chosen = resolve(store, MS, patterns=Patterns(("*",), ("sub/*",), ("modeling_x.py",)))
    assert [file.path for file in chosen.files] == ["README.md", "config.json", "model.safetensors", "modeling_x.py"]


@pytest.mark.parametrize("auto_map", [True, False])
def test_a_model_that_needs_its_own_code_is_told_when_that_is_left_out(
    ms_files: Path, store: Store, auto_map: bool
) -> None:
    config = {"model_type": "qwen9", **({"auto_map": {"AutoModel": "modeling_x.X"}} if auto_map else {})}
    (ms_files / "config.json").write_text(json.dumps(config))
    (ms_files / "modeling_x.py").write_text("x = 1\n")
    heard = Recorder()
    resolve(store, MS, heard=heard)
    told = [text for text in heard.warnings if "auto_map" in text]
    assert len(told) == auto_map
    assert all("qwen9" in text and "allow: [modeling_x.py]" in text for text in told)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(STORAGE, cut_after=1_500_000),
        Fault(STORAGE, reset_after=1_500_000),
        Fault(STORAGE, corrupt=True),
        Fault(STORAGE, status=429, headers={"Retry-After": "0"}),
        Fault(STORAGE, status=503),
    ],
    ids=["cut", "reset", "flipped", "too many", "unavailable"],
)
def test_what_passes_by_itself_does_no_harm(ms: ModelScope, store: Store, fault: Fault) -> None:
    ms.faults.add(fault)
    carry(store)
    assert verify(store, closure(store, resolve(store, MS).manifest), Silence()).bad == ()


def test_weights_that_break_off_go_on_where_they_stopped(ms: ModelScope, store: Store) -> None:
    ms.faults.add(Fault(STORAGE, cut_after=1_500_000))
    carry(store)
    asked = [seen.range for seen in ms.faults.seen if seen.status in (200, 206) and seen.file == STORAGE]
    assert asked == [None, "bytes=1500000-"]


def test_a_storage_that_sends_all_when_asked_for_a_part_is_read_from_the_beginning(
    ms: ModelScope, store: Store
) -> None:
    ms.faults.add(Fault(STORAGE, cut_after=1_500_000))
    ms.faults.add(Fault(STORAGE, ignore_range=True))
    carry(store)
    assert store.path(Digest.of(WEIGHTS)).read_bytes() == WEIGHTS


def test_weights_that_stay_wrong_are_named(ms: ModelScope, store: Store) -> None:
    ms.faults.add(Fault(STORAGE, times=-1, corrupt=True))
    with pytest.raises(WrongSource, match=r"base: model\.safetensors from 127\.0\.0\.1:\d+/acme/tiny") as error:
        carry(store)
    assert "MODELSCOPE_ENDPOINT" in str(error.value.hint)


def test_a_listing_that_is_refused_for_a_moment_is_asked_again(ms: ModelScope, store: Store) -> None:
    ms.faults.add(Fault("", status=429, headers={"Retry-After": "0"}))
    resolve(store, MS)


def test_a_login_goes_to_the_hub_alone_and_opens_private_models(
    ms: ModelScope, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    ms.access.members.add(TOKEN)
    ms.access.private.add(REPO)
    carry(store)
    storage = [seen for seen in ms.faults.seen if seen.path.startswith("/storage/")]
    others = [seen for seen in ms.faults.seen if not seen.path.startswith("/storage/")]
    assert storage
    assert {(seen.authorization, seen.cookie) for seen in storage} == {(None, None)}
    assert {(seen.authorization, seen.cookie) for seen in others} == {(f"Bearer {TOKEN}", f"m_session_id={TOKEN}")}


def test_the_login_that_modelscope_itself_keeps_is_used(ms: ModelScope, store: Store, tmp_path: Path) -> None:
    from modelscope_hub.config import HubConfig

    HubConfig(config_dir=tmp_path / "ms-home").save_token(TOKEN)
    ms.access.members.add(TOKEN)
    ms.access.private.add(REPO)
    carry(store)


def test_a_private_model_says_how_to_log_in(ms: ModelScope, store: Store) -> None:
    ms.access.private.add(REPO)
    with pytest.raises(HubFailed, match="does not give acme/tiny to you") as error:
        resolve(store, MS)
    assert str(error.value.hint).startswith("modelscope login")


def test_an_unknown_model_is_named(store: Store) -> None:
    with pytest.raises(HubFailed, match="has no model acme/none"):
        resolve(store, Origin("modelscope://acme/none", "master"))


def test_an_unknown_revision_is_named_with_those_that_there_are(store: Store) -> None:
    with pytest.raises(HubFailed, match="acme/tiny has no revision 'v9'") as error:
        resolve(store, replace(MS, revision="v9"))
    assert "master" in str(error.value.because)


def test_a_hub_that_can_not_be_reached_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(NetworkFailed, match=r"no connection to 127\.0\.0\.1:9"):
        resolve(store, MS)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        yield server


def entry(path: str, **more: object) -> dict[str, object]:
    return {"Path": path, "Size": 2, "Type": "blob", "Sha256": Digest.of(b"{}").hex, **more}


def listing(server: ScriptedServer, *files: object, **more: object) -> None:
    document = {"Code": 200, "Success": True, "Data": {"Files": list(files), **more}}
    server.files[LISTING] = json.dumps(document).encode()


@pytest.mark.parametrize("path", ["../../etc/cron.d/x", "/etc/passwd", "a\\b", "a\nb", "a//b", "./a", "a/../b"])
def test_a_path_that_leads_out_of_the_models_directory_is_refused(
    scripted: ScriptedServer, store: Store, path: str
) -> None:
    listing(scripted, entry(path))
    with pytest.raises(IntegrityFailed, match="whose path is not safe"):
        resolve(store, MS)


@pytest.mark.parametrize(
    "broken",
    [{"Size": -1}, {"Size": "2"}, {"Size": True}, {"Sha256": "0" * 63}, {"Sha256": 7}, {"Path": None}, {"Path": ""}],
)
def test_a_listing_that_makes_no_sense_is_refused(
    scripted: ScriptedServer, store: Store, broken: dict[str, object]
) -> None:
    listing(scripted, {**entry("a.safetensors"), **broken})
    with pytest.raises(MalformedJson):
        resolve(store, MS)


def test_an_error_that_comes_with_status_200_is_an_error(scripted: ScriptedServer, store: Store) -> None:
    scripted.files[LISTING] = b'{"Code": 10010205001, "Success": false, "Message": "no permission"}'
    with pytest.raises(HubFailed, match="does not list acme/tiny") as error:
        resolve(store, MS)
    assert "no permission" in str(error.value.because)


def test_a_listing_that_may_have_been_cut_is_not_taken_for_the_whole(scripted: ScriptedServer, store: Store) -> None:
    listing(scripted, *(entry(f"{number}.safetensors") for number in range(3000)))
    with pytest.raises(HubFailed, match="too many files"):
        resolve(store, MS)


def test_a_large_file_without_a_hash_that_has_no_room_is_not_begun(scripted: ScriptedServer, store: Store) -> None:
    """It has to come to be pinned: that is told before its first byte."""
    listing(scripted, entry("huge.safetensors", Size=1 << 50, Sha256=""))
    with pytest.raises(NoSpace):
        resolve(store, MS)
    assert not list(store.partial.iterdir())


def test_a_hub_that_is_down_for_long_is_given_up(scripted: ScriptedServer, store: Store) -> None:
    scripted.fail(LISTING, *[Answer(status=503)] * 60)
    with pytest.raises(GaveUp, match=f"{scripted.address} can't answer now"):
        resolve(store, MS)
