"""A model that two hubs have: one list of files, one SHA-256 each, and bytes from whichever gives them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hubs import HF, MS, QUICK, REPO, WEIGHTS, Recorder, resolve

from bundler.core.digest import Digest
from bundler.core.errors import NetworkFailed
from bundler.core.events import Silence
from bundler.manifest.lock import LockedFiles, Origin
from bundler.operations.moves import moves
from bundler.sources.answers import HubsDisagree, NoHubAnswers
from bundler.sources.crew import WrongSource
from bundler.sources.fetch import fetch
from bundler.sources.http import Http, Timeouts
from bundler.sources.models import model_downloads
from bundler.sources.selection import Patterns
from bundler.store.closure import closure
from bundler.store.layout import Store
from bundler.store.verify import verify
from scripts.world.hub import Fault, Hub, ModelScope
from tests.bundles import make_lock

NOWHERE = "http://127.0.0.1:9"
STORAGE = "model.safetensors"
pytestmark = pytest.mark.usefixtures("ms", "hf")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def bring(model: LockedFiles, store: Store) -> None:
    fetch(model_downloads(model), store, Silence(), policy=QUICK.policy)
    assert verify(store, closure(store, model.manifest), Silence()).bad == ()


def test_the_first_gives_the_list_and_the_others_are_kept_as_places_to_go_to(
    ms: ModelScope, hf: Hub, ms_files: Path, store: Store
) -> None:
    (ms_files / "configuration.json").write_text("{}")
    model = resolve(store, MS, HF)
    assert (model.source, model.revision) == (MS.source, ms.commit(REPO))
    assert model.also == (Origin(HF.source, hf.commit(REPO)),)
    assert "configuration.json" in [file.path for file in model.files]
    assert "configuration.json" not in [file.path for file in resolve(store, HF, MS).files]


def test_the_lock_is_the_same_each_time(store: Store, tmp_path: Path) -> None:
    assert resolve(store, MS, HF) == resolve(Store.create(tmp_path / "other"), MS, HF)


def test_hubs_that_state_different_hashes_for_a_file_are_refused_with_both(hf_files: Path, store: Store) -> None:
    (hf_files / STORAGE).write_bytes(WEIGHTS[::-1])
    with pytest.raises(HubsDisagree, match=r"model\.safetensors is not the same at") as error:
        resolve(store, MS, HF)
    assert str(Digest.of(WEIGHTS)) in str(error.value.because)
    assert str(Digest.of(WEIGHTS[::-1])) in str(error.value.because)


def test_hubs_may_differ_in_a_file_that_is_left_out(hf_files: Path, ms_files: Path, store: Store) -> None:
    (hf_files / "old.bin").write_bytes(b"a")
    (ms_files / "old.bin").write_bytes(b"b")
    resolve(store, MS, HF)


def test_weights_that_the_first_hub_states_no_hash_for_are_hashed_all_the_same(ms: ModelScope, store: Store) -> None:
    ms.leave_unstated("*.safetensors")
    assert Digest.of(WEIGHTS) in [file.digest for file in resolve(store, MS, HF).files]


@pytest.mark.parametrize("blocked", ["MODELSCOPE_ENDPOINT", "HF_ENDPOINT"])
def test_a_hub_that_can_not_be_reached_is_told_and_passed_over(
    store: Store, monkeypatch: pytest.MonkeyPatch, blocked: str
) -> None:
    monkeypatch.setenv(blocked, NOWHERE)
    heard = Recorder()
    model = resolve(store, MS, HF, heard=heard)
    assert model.also == ()
    (told,) = heard.warnings
    assert "127.0.0.1:9" in told
    assert "is passed over" in told
    bring(model, store)


@pytest.mark.parametrize("blocked", ["MODELSCOPE_ENDPOINT", "HF_ENDPOINT"])
def test_a_hub_that_can_not_be_reached_today_has_not_moved(
    store: Store, monkeypatch: pytest.MonkeyPatch, blocked: str, ms_files: Path
) -> None:
    (ms_files / "configuration.json").write_text("{}")  # which the other does not have
    before = resolve(store, MS, HF)
    monkeypatch.setenv(blocked, NOWHERE)
    assert resolve(store, MS, HF, before=[before]) == before


def test_a_hub_that_comes_back_is_the_first_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, ms: ModelScope
) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", NOWHERE)
    without = resolve(store, MS, HF)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", ms.endpoint)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    assert (without.source, resolve(store, MS, HF, before=[without]).source) == (HF.source, MS.source)


def test_a_change_at_the_hub_that_answers_is_news_also_when_the_other_does_not(
    store: Store, monkeypatch: pytest.MonkeyPatch, hf_files: Path
) -> None:
    before = resolve(store, MS, HF)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", NOWHERE)
    (hf_files / STORAGE).write_bytes(WEIGHTS[::-1])
    assert resolve(store, MS, HF, before=[before]).source == HF.source


def test_changed_patterns_are_obeyed_also_when_the_first_hub_does_not_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = resolve(store, MS, HF)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", NOWHERE)
    fewer = resolve(store, MS, HF, before=[before], patterns=Patterns(exclude=["README.md"]))
    assert "README.md" not in [file.path for file in fewer.files]


def test_a_commit_of_the_second_hub_that_changes_no_file_of_ours_moves_nothing(store: Store, hf_files: Path) -> None:
    before = resolve(store, MS, HF)
    (hf_files / "README.md").write_text("# Tiny, indeed\n")
    assert resolve(store, MS, HF, before=[before]) == before


def test_another_list_of_hubs_is_told_as_what_it_is(store: Store) -> None:
    alone, both = resolve(store, MS), resolve(store, MS, HF)
    (move,) = moves(make_lock(alone), make_lock(both))
    assert move.what == "model base: from"
    assert HF.source in move.after


def test_no_hub_at_all_names_each_with_its_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", NOWHERE)
    with pytest.raises(NoHubAnswers, match=f"no hub gives {MS.source} or hf://acme/none") as error:
        resolve(store, MS, Origin("hf://acme/none", "main"))
    assert "no connection to 127.0.0.1:9" in str(error.value.because)
    assert "has no model acme/none" in str(error.value.because)


def test_what_the_first_hub_can_not_give_comes_from_the_second(
    store: Store, hf: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = resolve(store, MS, HF)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", NOWHERE)
    bring(model, store)
    assert hf.faults.count(file=STORAGE) == 1


def test_weights_that_break_off_are_continued_by_the_other_hub(ms: ModelScope, hf: Hub, store: Store) -> None:
    model = resolve(store, MS, HF)
    ms.faults.add(Fault(STORAGE, times=-1, cut_after=1_500_000))
    bring(model, store)
    (seen,) = [seen for seen in hf.faults.seen if seen.file == STORAGE and seen.status == 206]
    assert seen.range == "bytes=1500000-"


def test_a_hub_that_falls_silent_is_left_for_the_other(ms: ModelScope, hf: Hub, store: Store) -> None:
    model = resolve(store, MS, HF)
    ms.faults.add(Fault(STORAGE, times=-1, stall_after=1_500_000))
    impatient = Http(timeouts=Timeouts(connect=5, read=0.5))
    fetch(model_downloads(model, http=impatient), store, Silence(), policy=QUICK.policy)
    assert store.path(Digest.of(WEIGHTS)).read_bytes() == WEIGHTS
    assert [seen.range for seen in hf.faults.seen if seen.file == STORAGE and seen.status == 206] == ["bytes=1500000-"]


def test_wrong_bytes_of_one_hub_are_fetched_from_the_other(ms: ModelScope, hf: Hub, store: Store) -> None:
    model = resolve(store, MS, HF)
    ms.faults.add(Fault(STORAGE, times=-1, corrupt=True))
    bring(model, store)
    assert hf.faults.count(file=STORAGE) == 1


def test_wrong_bytes_of_both_are_refused_and_both_are_named(ms: ModelScope, hf: Hub, store: Store) -> None:
    model = resolve(store, MS, HF)
    for hub in (ms, hf):
        hub.faults.add(Fault(STORAGE, times=-1, corrupt=True))
    with pytest.raises(WrongSource, match=r"acme/tiny at \w+, or 127\.0\.0\.1:\d+/acme/tiny"):
        fetch(model_downloads(model), store, Silence(), policy=QUICK.policy)


def test_a_file_that_only_the_silent_hub_has_in_this_form_is_told_with_both_reasons(
    store: Store, hf_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hf_files / "README.md").write_text("# Other\n")  # Hugging Face states no SHA-256 of it, so nobody could know
    model = resolve(store, MS, HF)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", NOWHERE)
    with pytest.raises(WrongSource, match=r"README\.md") as error:
        fetch(model_downloads(model), store, Silence(), policy=QUICK.policy)
    assert "gave nothing: no connection to 127.0.0.1:9" in str(error.value.because)


def test_both_gone_is_a_network_failure_that_can_be_continued(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    model = resolve(store, MS, HF)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", NOWHERE)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    with pytest.raises(NetworkFailed, match="no connection"):
        fetch(model_downloads(model), store, Silence(), policy=QUICK.policy)


def test_a_commit_that_the_manifest_names_for_the_second_hub_is_taken(hf: Hub, hf_files: Path, store: Store) -> None:
    before = resolve(store, MS, HF)
    (hf_files / "README.md").write_text("# Tiny, indeed\n")
    named = replace(HF, revision=hf.commit(REPO))
    assert resolve(store, MS, named, before=[before]).also == (named,)


def test_a_revision_may_be_named_for_each(ms: ModelScope, hf: Hub, store: Store) -> None:
    pinned = replace(MS, revision=ms.commit(REPO)), replace(HF, revision=hf.commit(REPO))
    assert resolve(store, *pinned) == resolve(store, MS, HF)
