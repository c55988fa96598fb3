"""Datasets in Parquet and Arrow: judged as LLaMA-Factory's loader treats them, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from bundler.planning.datasets.arrow_file import INSTALL
from bundler.planning.datasets.description import Columns, Description
from bundler.planning.datasets.judge import judge
from scripts.world.place import CHECKOUT
from tests.oracle.compare_datasets import agree, ours
from tests.oracle.parquet_cases import CASES, MAP, MESSAGE, TURNS, ParquetCase, alpaca, declared, sharegpt

_MEASURE = """
import re, sys
import pyarrow.parquet
from pathlib import Path
from bundler.planning.datasets.description import Description
from bundler.planning.datasets.judge import judge
def peak():  # ru_maxrss would begin with the peak of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
base = peak()
verdict = judge(Path(sys.argv[1]), Description())
print(verdict.kept, peak() - base)
"""


@pytest.mark.parametrize("case", CASES, ids=[one.name for one in CASES])
def test_every_verdict_is_the_one_that_llamafactory_itself_gave(case: ParquetCase, tmp_path: Path) -> None:
    mine = ours(case.made(tmp_path / "made"), case.description, case.stage)
    said = {"raises": case.raises, "kept": case.kept, "dropped": case.dropped}
    assert agree(said, mine, case.stage), mine


def test_a_dropped_record_is_named_by_its_file_and_number_and_has_no_line(tmp_path: Path) -> None:
    parquet.write_table(alpaca(["a"] * 1000), tmp_path / "a.parquet")
    parquet.write_table(alpaca(["b"] * 600 + [None]), tmp_path / "b.parquet")
    verdict = judge(tmp_path, Description())
    assert (verdict.records, verdict.kept) == (1601, 1600)
    assert [str(one.place) for one in verdict.dropped] == ["b.parquet, record 601"]


def test_what_a_person_would_look_at_is_noted_in_nested_texts_too(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    turns = [TURNS[0], {"from": "gpt", "value": "Dear {{name}}"}]
    parquet.write_table(sharegpt([TURNS, TURNS, turns]), path)
    verdict = judge(path, Description("sharegpt"))
    assert {note.kind: str(note.first) for note in verdict.notes} == {
        "duplicate": "d.parquet, record 2",
        "placeholder": "d.parquet, record 3",
    }


def test_a_record_of_two_files_shares_no_memory_of_the_first_schema_with_another_judgement(tmp_path: Path) -> None:
    """A dataset is read twice where it has times; the first file of each run gives the schema."""
    parquet.write_table(alpaca(["a"]), tmp_path / "a.parquet")
    parquet.write_table(alpaca([1], pa.int64()), tmp_path / "b.parquet")
    assert judge(tmp_path, Description()).kept == 2
    assert judge(tmp_path / "b.parquet", Description()).kept == 0


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (alpaca(["a"], x=pa.array([[("k", "v")]], MAP)), "x is a map<string, string"),
        (declared({"_type": "List", "feature": {"_type": "Value", "dtype": "string"}}), "the feature type 'List'"),
    ],
)
def test_what_ends_the_load_is_named_with_file_and_column(table: pa.Table, reason: str, tmp_path: Path) -> None:
    parquet.write_table(table, tmp_path / "d.parquet")
    failure = str(judge(tmp_path / "d.parquet", Description()).failure)
    assert failure.startswith("d.parquet: ")
    assert reason in failure


def test_what_datasets_4_wrote_is_taken_by_the_versions_that_may_have_it(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    parquet.write_table(declared({"_type": "List", "feature": {"_type": "Value", "dtype": "string"}}), path)
    assert judge(path, Description(), version=(0, 9, 5)).kept == 1


def test_a_column_that_no_file_has_is_refused_and_one_that_is_null_is_not(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    parquet.write_table(alpaca(["a"], system=pa.nulls(1)), path)
    assert judge(path, Description(columns=Columns(system="system"))).kept == 1
    failure = judge(path, Description(columns=Columns(system="nowhere"))).failure
    assert failure is not None
    assert "no record has 'nowhere'" in failure.reason


def test_times_need_neither_pandas_nor_a_table_of_zones(tmp_path: Path) -> None:
    """Python's own times have no nanoseconds, and a zone may be unknown to this machine."""
    path = tmp_path / "d.parquet"
    kind = pa.list_(pa.struct([("from", pa.string()), ("value", pa.timestamp("ns", "Nowhere/Land"))]))
    parquet.write_table(sharegpt([[{"from": "human", "value": 1}, {"from": "gpt", "value": 1}]], kind), path)
    failure = judge(path, Description("sharegpt")).failure
    assert failure is not None
    assert "a message's content is no string but 1970" in failure.reason


def test_without_pyarrow_it_is_not_judged_and_the_reason_says_what_to_install(tmp_path: Path) -> None:
    """A user without the extra goes on as before: neither an error nor a wrong verdict."""
    parquet.write_table(alpaca(["a"]), tmp_path / "d.parquet")
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from bundler.planning.datasets.description import Description\n"
        "from bundler.planning.datasets.judge import judge\n"
        "verdict = judge(Path(sys.argv[1]), Description())\n"
        "print(verdict.usable, verdict.unread)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "d.parquet")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (f"True d.parquet: parquet files are read with pyarrow, which is missing: {INSTALL}")


def test_what_the_reason_says_to_install_is_what_the_extra_brings() -> None:
    wanted = INSTALL.removeprefix("pip install ").strip("'")
    assert f'parquet = ["{wanted}"]' in (CHECKOUT / "pyproject.toml").read_text()


def test_pyarrow_is_imported_for_such_files_only(tmp_path: Path) -> None:
    """It takes 50 MB and a tenth of a second, which a dataset in JSON should not cost."""
    (tmp_path / "d.json").write_text(json.dumps([{"instruction": "q", "input": "", "output": "a"}]))
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from bundler.planning.datasets.description import Description\n"
        "from bundler.planning.datasets.judge import judge\n"
        "print(judge(Path(sys.argv[1]), Description()).kept, 'pyarrow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "d.json")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "False"]


@pytest.mark.parametrize("distinct", [True, False], ids=["all differ", "one text that is held once"])
def test_memory_does_not_grow_with_a_file_of_one_row_group(distinct: bool, tmp_path: Path) -> None:
    """A gigabyte of Parquet on a laptop: its values, in one group, would be several."""
    path = tmp_path / "d.parquet"
    with parquet.ParquetWriter(path, alpaca(["a"]).schema, compression="zstd") as writer:
        count = 40_000
        texts = [f"{number if distinct else 0:08d}" * 500 for number in range(count)]
        writer.write_table(alpaca(texts), row_group_size=count)
    done = subprocess.run([sys.executable, "-c", _MEASURE, str(path)], capture_output=True, text=True, check=True)
    kept, kib = map(int, done.stdout.split())
    assert kept == count
    assert kib < 110 << 10  # the texts are 160 MB


def test_structs_in_lists_keep_their_nulls(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    parquet.write_table(sharegpt([[TURNS[0], {"from": "gpt", "value": None}]], pa.list_(MESSAGE)), path)
    assert "record 1: a message's content is null" in str(judge(path, Description("sharegpt")).failure)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_damaged_file_gives_a_verdict_and_never_an_end_without_words(kind: str, tmp_path: Path) -> None:
    """A download that broke, or disks: every byte may be another, and the file may be cut anywhere."""
    path = ParquetCase("", [sharegpt([TURNS, TURNS, None])], kind=kind).made(tmp_path / "made")
    body = path.read_bytes()
    path.write_bytes(b"")
    assert judge(path, Description("sharegpt")).failure is not None
    for number in range(400):
        at = number * 7919 % len(body)
        broken = bytearray(body)
        broken[at] ^= 1 << number % 8
        path.write_bytes(broken if number % 4 else body[:at])
        verdict = judge(path, Description("sharegpt"))
        assert verdict.failure or verdict.records
