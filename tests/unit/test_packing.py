"""Packed records: how many sequences, so how many steps; a wrong number is a wrong night."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.core.events import Silence
from bundler.manifest.loader import load
from bundler.operations.judge_data import DataRefused, Samples, judge_datasets, require_usable, samples
from bundler.operations.plan import plan
from bundler.operations.plan_pinned import Pinned
from bundler.operations.token_lengths import Counting
from bundler.planning.datasets.packing import Packing, knapsacks
from bundler.planning.datasets.template import template
from bundler.planning.datasets.tokens import ModelTokenizer
from tests.oracle.compare_packing import case
from tests.oracle.compare_packing import counted as of_case
from tests.unit.manifest_cases import changed, write

FIXTURES = Path(__file__).parents[1] / "fixtures"
TOKENIZER = FIXTURES / "datasets" / "tokenizer" / "tokenizer.json"
CONFIG = FIXTURES / "configs" / "qwen3-8b" / "config.json"
RECORD = {"instruction": "pump " * 30, "input": "", "output": "valve " * 20}


def greedy(lengths: list[int], cutoff: int) -> int:
    """The largest that fits, again and again, as slowly as it reads."""
    left = sorted(min(length, cutoff) for length in lengths)
    count = 0
    while left:
        room, count = cutoff, count + 1
        while any(length <= room for length in left):
            room -= left.pop(max(i for i, length in enumerate(left) if length <= room))
    return count


@given(st.lists(st.integers(1, 130), max_size=60))
def test_each_sequence_takes_the_longest_record_that_still_fits(lengths: list[int]) -> None:
    assert knapsacks(lengths, 100) == greedy(lengths, 100)


@given(st.lists(st.lists(st.integers(1, 90), max_size=7), max_size=9), st.integers(1, 6))
def test_records_are_packed_by_batches_however_they_come(parts: list[list[int]], batch: int) -> None:
    packing = Packing("blocks", 50, batch)
    for part in parts:
        packing.take(part)
    flat = [count for part in parts for count in part]
    batches = [flat[at : at + batch] for at in range(0, len(flat), batch)]
    assert packing.sequences() == sum(sum(one) // 50 for one in batches)


SAID = {100: 5, 101: 589, 113: 0, 114: 729, 124: 29, 126: 18, 127: 0}
"""What LLaMA-Factory 0.9.3 itself packed of these cases, by their seeds."""


@pytest.mark.parametrize("seed", SAID)
def test_sequences_are_those_that_llamafactory_itself_packed(seed: int, tmp_path: Path) -> None:
    records, arguments, stage = case(random.Random(seed))
    path = tmp_path / "case.json"
    path.write_text(json.dumps(records))
    form = template("qwen3", "0.9.3")
    tokenizer = ModelTokenizer(TOKENIZER, TOKENIZER.with_name("tokenizer_config.json"), form)
    assert of_case(path, arguments, stage, tokenizer)[0] == SAID[seed]


def counted(directory: Path, records: list[Any], **settings: Any) -> Any:
    """A manifest of these records, whose model's tokenizer is at hand, and what became of them."""
    (directory / "pumps.json").write_text(json.dumps(records))
    changes: dict[str, Any] = {f"train.{key}": value for key, value in settings.items()}
    if settings.get("stage") == "pt":
        changes["datasets.pumps.columns"] = {"prompt": "instruction", "query": None, "response": None}
    path = write(directory, changed(changes))
    wanted = load(path)
    counting = Counting.of(wanted, {"base": TOKENIZER}, Pinned.none())
    return path, wanted, judge_datasets(wanted, Silence(), counting=counting)


def test_a_pretraining_s_steps_are_those_of_its_blocks(tmp_path: Path) -> None:
    _, wanted, data = counted(
        tmp_path, [RECORD] * 1500, stage="pt", cutoff_len=100, epochs=1, batch_size=1, gradient_accumulation=1
    )
    each = data["pumps"].lengths.median
    assert data["pumps"].lengths.tokens == 1500 * each
    blocks = 1000 * each // 100 + 500 * each // 100
    assert samples(wanted.train, data) == Samples(blocks, packed=True, exact=True)
    steps = plan(wanted, {"base": CONFIG}, data).steps
    assert steps
    assert (steps.samples, steps.total, steps.packed, steps.exact) == (blocks, -(-blocks // 4), True, True)


def test_packed_questions_and_answers_are_counted_where_none_is_truncated_and_are_about_else(tmp_path: Path) -> None:
    _, wanted, data = counted(tmp_path, [RECORD] * 30, packing=True, cutoff_len=400)
    fit = 399 // data["pumps"].lengths.median
    assert samples(wanted.train, data) == Samples(-(-30 // fit), packed=True, exact=True)
    _, wanted, data = counted(tmp_path, [RECORD, RECORD | {"output": "valve " * 900}], packing=True, cutoff_len=400)
    assert samples(wanted.train, data) == Samples(2, packed=True, exact=False)


@pytest.mark.parametrize("extra", [{"preprocessing_num_workers": 2}, {"preprocessing_batch_size": 7}])
def test_batches_that_are_shared_out_are_about_and_smaller_ones_are_counted(
    extra: dict[str, int], tmp_path: Path
) -> None:
    _, wanted, data = counted(tmp_path, [RECORD] * 30, stage="pt", cutoff_len=100, extra=extra)
    each, found = data["pumps"].lengths.median, samples(wanted.train, data)
    assert found
    if "preprocessing_batch_size" in extra:
        assert found == Samples(4 * (7 * each // 100) + 2 * each // 100, packed=True, exact=True)
    else:
        assert not found.exact


def test_several_batches_are_about_where_records_are_dropped_or_files_are_in_no_order(tmp_path: Path) -> None:
    dropped = RECORD | {"output": None}
    for many, exact in ((900, True), (1100, False)):
        _, wanted, data = counted(tmp_path, [*[RECORD] * many, dropped], packing=True, cutoff_len=400)
        found = samples(wanted.train, data)
        assert data["pumps"].dropped_count == 1
        assert found
        assert found.exact is exact
    (tmp_path / "pumps.json").unlink()
    (tmp_path / "pumps.json").mkdir()
    for name in ("a.json", "b.json"):
        (tmp_path / "pumps.json" / name).write_text(json.dumps([RECORD] * 600))
    data = judge_datasets(wanted, Silence(), counting=Counting.of(wanted, {"base": TOKENIZER}, Pinned.none()))
    found = samples(wanted.train, data)
    assert found
    assert (data["pumps"].kept, found.exact) == (1200, False)


def test_texts_that_do_not_fill_one_block_are_refused_as_the_training_would_end(tmp_path: Path) -> None:
    path, wanted, data = counted(tmp_path, [RECORD] * 3, stage="pt", cutoff_len=2048)
    with pytest.raises(DataRefused) as refused:
        require_usable(wanted, path, data, ())
    assert "do not fill one sequence of 2048 tokens" in refused.value.because
    assert plan(wanted, {"base": CONFIG}, data).steps is None


def test_without_a_tokenizer_nothing_is_said_of_packed_samples(tmp_path: Path) -> None:
    (tmp_path / "pumps.json").write_text(json.dumps([RECORD]))
    wanted = load(write(tmp_path, changed({"train.packing": True})))
    assert samples(wanted.train, judge_datasets(wanted, Silence())) is None  # type: ignore[arg-type]
