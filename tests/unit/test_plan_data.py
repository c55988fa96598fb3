"""The data of `bundle plan`: what is truncated, given twice, or trained on and tested with, is told before the gap."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click import UsageError
from click.testing import CliRunner

from bundler.cli.main import cli
from bundler.cli.plan_data import picture
from bundler.core.media_types import RAW
from bundler.manifest.lock import FORMAT, Hardware, Lock, LockedAgent, LockedFile, LockedFiles, lock_path
from bundler.planning.datasets.lengths import Bar, Lengths
from bundler.store.layout import Store

ROOT = Path(__file__).parents[2]
TOKENIZER = ROOT / "tests/fixtures/datasets/tokenizer"
GOOD = {"instruction": "What do I check?", "input": "", "output": "The valve."}
KEYS = {"tokenizer", "cutoff_len", "records", "sampled", "truncated", "truncated_share", "median", "p95", "longest"}


class World:
    """A manifest of one training on the CPU, its data, and a store."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.manifest = place / "manifest.yaml"
        self.store = place / "store"
        self.model = "{huggingface: Qwen/Qwen3-0.6B}"
        self.more = ""
        self.template = "qwen3"
        self.data: dict[str, str] = {}

    def dataset(self, name: str, records: list[Any]) -> None:
        (self.place / f"{name}.json").write_text(json.dumps(records))
        self.data[name] = f"{{path: {name}.json}}"

    def plan(self, *arguments: str) -> Any:
        datasets = "\n".join(f"  {name}: {where}" for name, where in self.data.items())
        self.manifest.write_text(f"""
name: plan
version: "1"
images: {{train: {{registry: "example.com/train:1"}}}}
models: {{base: {self.model}}}
datasets:
{datasets}
train:
  image: train
  llamafactory: "0.9.3"
  model: base
  datasets: [pumps]
  template: {self.template}
  cutoff_len: 60
  {self.more}
""")
        words = ["plan", str(self.manifest), "--store", str(self.store), *arguments]
        return CliRunner().invoke(cli, words, standalone_mode=False)

    def document(self, *arguments: str) -> dict[str, Any]:
        done = self.plan("-o", "json", "-q", *arguments)
        assert not done.exception, done.exception
        data: dict[str, Any] = json.loads(done.stdout)["data"]
        return data

    def pin(self, *, model: dict[str, bytes], dataset: dict[str, bytes]) -> None:
        """A lock that pins these files, and a store that has them."""
        store = Store.create(self.store)

        def files(name: str, given: dict[str, bytes]) -> LockedFiles:
            blobs = {path: store.put(content, RAW) for path, content in given.items()}
            locked = tuple(LockedFile(path, blob.digest, blob.size) for path, blob in blobs.items())
            return LockedFiles(name, "hf://Qwen/Qwen3-0.6B", store.put(name.encode(), RAW), locked)

        agent = LockedAgent("1", store.put(b"agent", RAW))
        lock = Lock(
            FORMAT, "plan", "1", agent, Hardware(), models=(files("base", model),), datasets=(files("far", dataset),)
        )
        lock_path(self.manifest).write_bytes(lock.encode())


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.dataset("pumps", [GOOD, GOOD, GOOD | {"output": "word " * 100}])
    return made


def test_lengths_are_told_and_the_longest_record_and_its_place(world: World) -> None:
    given = f"base={TOKENIZER / 'tokenizer.json'}"
    lengths = world.document("--tokenizer", given)["pumps"]["lengths"]
    assert lengths.keys() == KEYS | {"histogram", "tokens", "packed"}
    assert (lengths["records"], lengths["truncated"], lengths["sampled"]) == (3, 1, False)
    assert lengths["truncated_share"] == pytest.approx(1 / 3, abs=1e-6)
    assert lengths["longest"][0]["place"] == "pumps.json, record 3, line 1"
    assert {*lengths["histogram"][0]} == {"from", "to", "records"}
    done = world.plan("--tokenizer", given)
    assert "cutoff_len 60 truncates 1 of 3" in done.stdout
    assert "1 of 3 records are longer than 60 tokens and lose the rest" in done.stderr


def test_without_a_tokenizer_no_length_is_guessed_and_it_says_how_to_get_them(world: World) -> None:
    pumps = world.document()["pumps"]
    assert pumps["lengths"] is None
    assert "bundle lock brings it, or give --tokenizer base=FILE" in pumps["lengths_why"]


def test_the_tokenizer_is_found_in_the_model_s_directory_and_in_the_store(world: World) -> None:
    content = {path.name: path.read_bytes() for path in TOKENIZER.iterdir()}
    world.pin(model=content, dataset={})
    pinned = world.document()["pumps"]["lengths"]
    world.model = f"{{path: {TOKENIZER}}}"
    assert world.document()["pumps"]["lengths"] == pinned
    assert pinned["tokenizer"] == "base/tokenizer.json"


def test_a_tokenizer_that_is_none_ends_nothing(world: World) -> None:
    bad = world.place / "bad.json"
    bad.write_text("{}")
    pumps = world.document("--tokenizer", f"base={bad}")["pumps"]
    assert pumps["lengths"] is None
    assert str(bad) in pumps["lengths_why"]
    world.model = f"{{path: {world.place}}}"
    assert str(world.place / "tokenizer.json") in world.document()["pumps"]["lengths_why"]


def test_a_template_that_is_not_in_the_tables_counts_the_text_and_says_so(world: World) -> None:
    given = ("--tokenizer", f"base={TOKENIZER / 'tokenizer.json'}")
    whole = world.document(*given)["pumps"]["lengths"]["median"]
    world.template, world.model = "bailing", "{huggingface: someone/some-model}"
    pumps = world.document(*given)["pumps"]
    assert pumps["lengths"]["median"] < whole
    assert "template 'bailing' of LLaMA-Factory 0.9.3 is not known here" in pumps["lengths_why"]


def test_a_tokenizer_of_a_model_that_the_manifest_lacks_is_not_passed_over(world: World) -> None:
    failed = world.plan("--tokenizer", "bse=tokenizer.json").exception
    assert isinstance(failed, UsageError)
    assert "no model 'bse'; it has: base" in str(failed)


def test_what_is_tested_with_and_trained_on_is_told_with_its_place(world: World) -> None:
    world.dataset("test", [GOOD | {"instruction": "new"}, GOOD, GOOD | {"output": ""}, GOOD | {"output": "TODO"}])
    world.more = "eval_datasets: [test]"
    data = world.document()
    assert data["pumps"]["warnings"] == {"duplicates": 1, "empty_answers": 0, "placeholders": 0, "overlap": 0}
    assert data["pumps"]["warning_places"] == {"duplicates": ["pumps.json, record 2, line 1"]}
    assert data["test"]["warnings"] == {"duplicates": 0, "empty_answers": 1, "placeholders": 1, "overlap": 1}
    assert data["test"]["warning_places"]["overlap"] == ["test.json, record 2, line 1"]


def test_of_each_warning_three_places_are_named_and_all_are_counted(world: World) -> None:
    world.dataset("pumps", [GOOD] * 9)
    pumps = world.document()["pumps"]
    assert pumps["warnings"]["duplicates"] == 8
    assert len(pumps["warning_places"]["duplicates"]) == 3


def test_a_dataset_at_a_url_is_judged_once_the_store_has_it_and_says_why_not_before(world: World) -> None:
    broken = json.dumps(GOOD | {"output": None}).encode() + b"\n" + b"{" * 3
    whole = json.dumps(GOOD).encode()

    def at_url(content: bytes) -> None:
        world.data["far"] = f"{{url: 'https://example.com/far.jsonl', sha256: '{sha256(content).hexdigest()}'}}"

    at_url(broken)
    world.more = "eval_datasets: [far]"
    assert "the store has not got it yet" in world.document()["far"]["unread"]
    world.pin(model={}, dataset={"far.jsonl": broken})
    failed = world.plan("-o", "json", "-q")
    assert "not JSON" in str(failed.exception.because)
    at_url(whole)  # the lock is of another file then
    assert "the store has not got it yet" in world.document()["far"]["unread"]
    world.pin(model={}, dataset={"far.jsonl": whole})
    assert world.document()["far"]["kept"] == 1


def test_the_picture_shows_each_bar_that_has_a_record() -> None:
    bars = tuple(Bar(number * 10, number * 10 + 10, count) for number, count in enumerate((0, 1, 500, 1000)))
    lengths = Lengths("t", 60, 1501, False, 0, 30, 35, (), bars)
    assert picture(lengths) == "0 | ▁▄█| 30 and more"
