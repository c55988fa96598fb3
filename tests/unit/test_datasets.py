"""Verdicts on datasets: what LLaMA-Factory itself said of each case, and what a user would lose without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundler.planning.datasets.description import Columns, Description, Tags
from bundler.planning.datasets.judge import judge
from tests.oracle.compare_datasets import agree, ours

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "datasets" / "cases.json").read_text()
)
GOOD = {"instruction": "a", "input": "", "output": "b"}


def write(path: Path, records: list[Any]) -> Path:
    path.write_text(json.dumps(records))
    return path


@pytest.mark.parametrize("case", CASES, ids=[f"{one['name']}-{one['stage']}" for one in CASES])
def test_every_verdict_is_the_one_that_llamafactory_itself_gave(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / case["name"]
    path.write_bytes(case["body"].encode("latin-1"))
    said = {"raises": bool(case["error"]), "kept": case["kept"], "dropped": case["dropped"][:100]}
    mine = ours(path, {"ranking": False} | case["info"], case["stage"])
    assert agree(said, mine, case["stage"]), (said, mine, case["error"])


def test_a_dropped_record_is_named_by_number_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in (GOOD, GOOD | {"output": None}, GOOD)))
    verdict = judge(path, Description())
    assert (verdict.kept, verdict.dropped_count) == (2, 1)
    assert str(verdict.dropped[0].place) == "d.jsonl, record 2, line 2"
    assert verdict.dropped[0].reason == "the answer (output) is null"


@pytest.mark.parametrize("broken", ['{"a": 1}\n{"a": tru}\n', '[{"a": 1},\n{"a": tru}]', '{"a": 1, "a": 2}\n'])
def test_a_file_that_is_broken_is_named(broken: str, tmp_path: Path) -> None:
    """A dataset may be a folder of many."""
    (tmp_path / "good.json").write_text(json.dumps([GOOD]))
    (tmp_path / "z.json").write_text(broken)
    assert str(judge(tmp_path, Description()).failure).startswith("z.json: line ")


def test_a_record_that_ends_the_run_is_named(tmp_path: Path) -> None:
    verdict = judge(write(tmp_path / "d.json", [GOOD, GOOD | {"instruction": 5, "id": "x"}]), Description())
    assert verdict.failure is not None
    assert "record 2" in str(verdict.failure)


def test_a_thousand_empty_system_prompts_before_the_first_end_the_run_so_it_is_said_here(tmp_path: Path) -> None:
    description = Description(columns=Columns(system="system"))
    few, many = ([GOOD | {"system": None}] * count + [GOOD | {"system": "s"}] for count in (999, 1000))
    assert judge(write(tmp_path / "few.json", few), description).kept == 1000
    verdict = judge(write(tmp_path / "many.json", many), description)
    assert verdict.failure is not None
    assert "system prompt" in verdict.failure.reason


def test_a_batch_that_is_dropped_whole_ends_the_run(tmp_path: Path) -> None:
    records = [GOOD] * 1000 + [GOOD | {"output": None}] * 1000 + [GOOD]
    verdict = judge(write(tmp_path / "d.json", records), Description())
    assert verdict.failure is not None
    assert "1001 to 2000" in verdict.failure.reason


def test_a_key_that_appears_after_the_first_chunk_ends_the_load_and_one_that_is_absent_later_does_not(
    tmp_path: Path,
) -> None:
    long = json.dumps(GOOD | {"output": "x" * (1 << 20)}) + "\n"
    other = json.dumps(GOOD | {"more": 1}) + "\n"
    (tmp_path / "late.jsonl").write_text(long * 11 + other)
    (tmp_path / "early.jsonl").write_text(other + long * 11)
    assert judge(tmp_path / "early.jsonl", Description()).kept == 12
    verdict = judge(tmp_path / "late.jsonl", Description())
    assert verdict.failure is not None
    assert "more is not in the first chunk" in verdict.failure.reason


def test_what_a_person_would_look_at_is_noted(tmp_path: Path) -> None:
    records = [GOOD, GOOD, GOOD | {"instruction": "q", "output": ""}, GOOD | {"output": "Dear {{name}}"}]
    verdict = judge(write(tmp_path / "d.json", records), Description())
    assert {note.kind: note.count for note in verdict.notes} == {"duplicate": 1, "empty answer": 1, "placeholder": 1}
    assert verdict.prints is not None
    eval_ = judge(write(tmp_path / "t.json", [GOOD]), Description(), others=[verdict.prints])
    assert [(note.kind, str(note.first)) for note in eval_.notes] == [("overlap", "t.json, record 1, line 1")]


def test_openai_is_refused_by_the_version_that_does_not_know_it(tmp_path: Path) -> None:
    tags = Tags("role", "content", "user", "assistant", "tool", "function_call", "system")
    description = Description("openai", columns=Columns(messages="messages"), tags=tags)
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    path = write(tmp_path / "d.json", [{"messages": messages}])
    assert judge(path, description, version=(0, 9, 4)).kept == 1
    assert judge(path, description, version=(0, 9, 3)).failure is not None


def test_a_tool_call_in_tags_is_taken_by_the_versions_that_know_them(tmp_path: Path) -> None:
    """Refused, it would cost a user of 0.9.4 or 0.9.5 a dataset that trains (their data/formatter.py)."""
    call = 'so: <tool_call>{"name": "f", "arguments": {}}</tool_call>'
    turns = [{"from": "human", "value": "q"}, {"from": "function_call", "value": call}]
    path = write(tmp_path / "d.json", [{"conversations": turns}])
    assert judge(path, Description("sharegpt"), version=(0, 9, 3)).failure is not None
    assert judge(path, Description("sharegpt"), version=(0, 9, 5)).kept == 1


def test_media_are_counted_and_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    description = Description(columns=Columns(images="images"))
    good = GOOD | {"instruction": "<image>", "images": ["a.png"]}
    assert judge(write(tmp_path / "d.json", [good]), description, media=True).kept == 1
    for bad in (good | {"images": []}, good | {"images": ["b.png"]}):
        assert judge(write(tmp_path / "d.json", [bad]), description, media=True).failure is not None
    assert judge(tmp_path / "d.json", description).failure is not None


def test_a_folder_with_a_stray_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "d.json", [GOOD])
    assert judge(tmp_path, Description()).kept == 1
    (tmp_path / "README.md").write_text("")
    assert judge(tmp_path, Description()).failure is not None


def test_an_answer_that_pre_training_never_reads_may_be_an_object(tmp_path: Path) -> None:
    record = {"conversations": [{"from": "human", "value": "q", "more": {}}], "x": 1}
    kto = {"instruction": "a", "input": "", "output": {"a": 1}, "t": False}
    description = Description(columns=Columns(kto_tag="t"))
    assert judge(write(tmp_path / "k.json", [kto]), description, stage="pt").kept == 1
    assert judge(write(tmp_path / "s.json", [record]), Description("sharegpt")).kept == 0


def test_images_are_refused_for_what_is_so_whatever_the_template(tmp_path: Path) -> None:
    path = write(tmp_path / "d.json", [{**GOOD, "images": ["p.jpg"]}])
    found = judge(path, Description(columns=Columns(images="images")))
    assert "it has images, and only text is carried into the training" in str(found.failure)
