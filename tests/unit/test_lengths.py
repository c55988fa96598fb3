"""Token lengths: as LLaMA-Factory's own processors counted them, and what a user would lose where they were not."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.manifest.loader import load
from bundler.planning.datasets import tokens
from bundler.planning.datasets.convert import Aligned
from bundler.planning.datasets.description import Description
from bundler.planning.datasets.judge import judge
from bundler.planning.datasets.lengths import LONGEST, Lengths, Spread
from bundler.planning.datasets.template import template
from bundler.planning.datasets.tokens import ModelTokenizer, NoTokenizer, TokenWatch
from bundler.planning.datasets.tool_calls import called
from bundler.planning.datasets.verdict import Place
from bundler.planning.tables import templates
from tests.oracle.compare_datasets import describe

ROOT = Path(__file__).parents[2]
FIXTURES = Path(__file__).parents[1] / "fixtures" / "datasets"
MODEL = FIXTURES / "tokenizer"
CASES: list[dict[str, Any]] = [json.loads(line) for line in (FIXTURES / "lengths.jsonl").read_text().splitlines()]
GOOD = {"instruction": "a", "input": "", "output": "b"}


def tokenizer(name: str = "qwen3", version: str = "0.9.3") -> ModelTokenizer:
    return ModelTokenizer(MODEL / "tokenizer.json", MODEL / "tokenizer_config.json", template(name, version))


def measured(path: Path, watch: TokenWatch, stage: Any = "sft", description: Description | None = None) -> Lengths:
    judge(path, description or Description(), stage=stage, watch=watch)
    lengths = watch.lengths("t", 100)
    assert lengths is not None
    return lengths


@pytest.mark.parametrize("case", CASES, ids=[f"{one['template']}-{one['stage']}-{n}" for n, one in enumerate(CASES)])
def test_lengths_are_those_that_llamafactory_itself_counted(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case["records"]))
    watch = TokenWatch(tokenizer(case["template"], case["version"]), case["stage"])
    mine = measured(path, watch, case["stage"], describe(case["info"]))
    assert sorted(long.tokens for long in mine.longest) == sorted(case["lengths"])


def test_the_longest_records_are_named_by_place_and_those_beyond_the_cutoff_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    many = [GOOD] * 20
    many[7] = GOOD | {"output": "pump " * 200}
    path.write_text("\n".join(map(json.dumps, many)))
    lengths = measured(path, TokenWatch(tokenizer(), "sft"))
    assert (lengths.records, lengths.truncated, lengths.truncated_share) == (20, 1, 0.05)
    assert str(lengths.longest[0].place) == "d.jsonl, record 8, line 8"
    assert lengths.longest[0].tokens > 100
    assert lengths.median == lengths.p95 == lengths.longest[1].tokens


def test_of_a_huge_dataset_an_evenly_spaced_part_is_counted_and_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps([GOOD | {"output": "b " * number} for number in range(100)]))
    lengths = measured(path, TokenWatch(tokenizer(), "sft", stride=10))
    assert (lengths.records, lengths.sampled) == (10, True)
    assert str(lengths.longest[0].place) == "d.json, record 91, line 1"


def test_packed_pre_training_truncates_nothing_as_it_cuts_blocks(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_text("pump " * 500 + "\n")
    description = Description()
    columns = type(description.columns)(prompt="text", query=None, response=None)
    packed, single = (
        measured(path, TokenWatch(tokenizer(), "pt", packed=packs), "pt", Description(columns=columns))
        for packs in (True, False)
    )
    assert (packed.truncated, single.truncated) == (0, 1)
    assert packed.longest[0].tokens == single.longest[0].tokens


def test_a_dataset_that_is_read_twice_is_counted_once(tmp_path: Path) -> None:
    """A column of dates makes the judge read it again."""
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(json.dumps(GOOD | {"input": "2024-01-01"}) for _ in range(3)))
    watch = TokenWatch(tokenizer(), "sft")
    judge(path, Description(), watch=watch)
    lengths = watch.lengths("t", 100)
    assert lengths is None or lengths.records <= 3


def test_half_a_surrogate_pair_which_an_array_may_hold_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('[{"instruction": "a\\ud83d", "input": "", "output": "b"}]')
    assert measured(path, TokenWatch(tokenizer(), "sft")).records == 1


def test_texts_are_counted_in_groups_and_a_huge_one_in_parts_so_that_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = ["pump " * count for count in (1, 0, 300, 7, 40, 60, 900, 2)]
    whole = tokenizer().count(texts)
    monkeypatch.setattr(tokens, "BATCH", 250)
    groups: list[int] = []
    real = ModelTokenizer._encoded

    def seen(self: ModelTokenizer, texts: list[str]) -> list[int]:
        groups.append(sum(map(len, texts)))
        return real(self, texts)

    monkeypatch.setattr(ModelTokenizer, "_encoded", seen)
    parts = tokenizer().count(texts)
    assert max(groups) <= 500
    assert len(parts) == len(whole)
    for text, part, all_of_it in zip(texts, parts, whole, strict=True):
        assert abs(part - all_of_it) <= 4 * (len(text) // 250), "a few tokens for each cut"


def test_thoughts_before_a_call_are_told_from_it_as_each_version_does() -> None:
    """0.9.4 and 0.9.5 keep the empty line behind them, which 0.9.3 loses."""
    call, words = '{"name": "f", "arguments": {}}', ("<think>\n", "\n</think>\n\n")
    content = f"<think>\na\n</think>\n\n{call}"
    wrapped = called(call, "qwen")
    assert wrapped.startswith("<tool_call>")
    assert called(content, "qwen") == f"<think>\na\n</think>{wrapped}"
    assert called(content, "qwen", words) == f"<think>\na\n</think>\n\n{wrapped}"
    assert called(f"so<tool_call>{call}</tool_call>", "qwen", words) == f"so{wrapped}"


def test_what_is_no_call_by_one_version_s_pattern_ends_nothing() -> None:
    content = '<think>a</think>{"name": "f", "arguments": {"x": "</think>"}}'
    assert called(content, "qwen") == content


def test_a_template_that_is_not_known_counts_the_text_alone(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps([GOOD]))
    assert not template("no such", "0.9.3").known
    assert not template("qwen3", "0.8.0").known
    assert measured(path, TokenWatch(tokenizer("no such"), "sft")).median == 2


@pytest.mark.parametrize("version", ["0.9.3", "0.9.4", "0.9.5"])
def test_every_template_of_the_tables_writes_each_content_once(version: str) -> None:
    """A slot that was read wrong would leave texts out, and lengths would be short."""
    for name in templates(version):
        of = template(name, version)
        for slots in (of.user, of.assistant, of.system, of.observation, of.function):
            assert "".join(slot for slot in slots if isinstance(slot, str)).count("{{content}}") == 1, name


def test_the_templates_of_all_manifests_are_known() -> None:
    said = [loaded.train for path in (ROOT / "manifests").glob("*.yaml") if (loaded := load(path)).train]
    assert said
    assert all(template(train.template, str(train.llamafactory)).known for train in said if train)


def test_thoughts_that_the_training_is_told_to_leave_out_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps([GOOD | {"output": "<think>\n" + "pump " * 50 + "</think>\n\nb"}]))
    with_, without = (
        ModelTokenizer(MODEL / "tokenizer.json", None, template("qwen3", "0.9.3", {"enable_thinking": thinking}))
        for thinking in (True, False)
    )
    long, short = (measured(path, TokenWatch(one, "sft")).median for one in (with_, without))
    assert long > short + 50


def test_a_tokenizer_without_a_first_token_of_its_own_adds_none(tmp_path: Path) -> None:
    """Qwen's has none, and templates that begin with one are short of it (data/template.py)."""
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"bos_token": null}')
    (tmp_path / "d.json").write_text(json.dumps([GOOD]))
    made = (ModelTokenizer(MODEL / "tokenizer.json", one, template("llama3", "0.9.3")) for one in (config, None))
    without, with_ = (measured(tmp_path / "d.json", TokenWatch(one, "sft")).median for one in made)
    assert with_ == without + 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": 5}'])
def test_a_file_that_is_no_tokenizer_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(NoTokenizer, match=r"tokenizer\.json"):
        ModelTokenizer(path, None, template("qwen3", "0.9.3"))
    with pytest.raises(NoTokenizer):
        ModelTokenizer(tmp_path, None, template("qwen3", "0.9.3"))


COUNTS = st.lists(st.integers(min_value=0, max_value=200_000), min_size=1, max_size=60)


def _place(number: int) -> Callable[[], Place]:
    return lambda: Place("f", number + 1, 0)


@given(COUNTS, st.integers(min_value=1, max_value=20), st.integers(min_value=1, max_value=100_000))
def test_what_is_kept_of_the_counts_is_right_whatever_they_are(counts: list[int], batch: int, cutoff: int) -> None:
    spread = Spread()
    for begin in range(0, len(counts), batch):
        part = counts[begin : begin + batch]
        spread.take(part, [_place(begin + number) for number in range(len(part))])
    lengths = spread.lengths("t", cutoff, sampled=False)
    assert lengths is not None
    assert lengths.median == statistics.median_low(counts)
    assert sum(one <= lengths.p95 for one in counts) >= 0.95 * len(counts)
    assert sum(one < lengths.p95 for one in counts) < 0.95 * len(counts)
    assert lengths.truncated == sum(one > cutoff for one in counts)
    assert [long.tokens for long in lengths.longest] == sorted(counts, reverse=True)[:LONGEST]
    assert all(counts[long.place.record - 1] == long.tokens for long in lengths.longest)
    assert [bar.first for bar in lengths.histogram[1:]] == [bar.end for bar in lengths.histogram[:-1]]
    for bar in lengths.histogram:
        assert bar.records == sum(bar.first <= one < bar.end for one in counts)
    assert sum(bar.records for bar in lengths.histogram) == len(counts)
    assert len(lengths.histogram) <= 17


def test_a_dataset_of_which_nothing_is_kept_has_no_lengths() -> None:
    watch = TokenWatch(tokenizer(), "sft")
    assert watch.lengths("t", 10) is None
    watch.take(Aligned([("user", "a")], [("assistant", "b")]), lambda: Place("f", 1, 1))
    lengths = watch.lengths("t", 10)
    assert lengths is not None
    assert lengths.records == 1
