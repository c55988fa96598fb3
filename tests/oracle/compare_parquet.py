"""Compares this program's verdicts on Parquet and Arrow files with LLaMA-Factory's own loader, on files made at random.

python -m tests.oracle.compare_parquet PYTHON MODEL [COUNT] [SEED]: as compare_datasets, whose records it takes. Columns
get types at random, and a folder's files differ now and then. By hand, not in CI: see docs/data.md.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tests.oracle.compare_datasets import ALPACA, LOADER, RANKED, TAGS, TEMPLATE, agree, alpaca, ours, sharegpt, theirs
from tests.oracle.process import Judge

TEXT: list[Any] = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
OTHER: list[Any] = [
    *(pa.int64(), pa.float32(), pa.bool_(), pa.null(), pa.binary(), pa.timestamp("ns", "UTC"), pa.timestamp("us")),
    *(pa.date32(), pa.time64("ns"), pa.decimal128(9, 2), pa.list_(pa.string()), pa.struct([("a", pa.string())])),
    *(pa.binary(4), pa.string_view(), pa.map_(pa.string(), pa.string()), pa.duration("ns"), pa.uint8(), pa.float16()),
    *(pa.list_(pa.dictionary(pa.int8(), pa.string())), pa.list_(pa.string(), 2), pa.large_list(pa.int32())),
]
MESSAGE = pa.struct([("from", pa.string()), ("value", pa.string())])


def column(r: random.Random, kind: Any, count: int, values: list[Any]) -> Any:
    """An array of a type: the values where they fit, else some of its own."""
    if kind in TEXT:
        texts = [one if isinstance(one, str) else None for one in values]
        return pa.array(texts, pa.string()).cast(kind)
    few = pa.array([r.choice([None, 0, 1, 5]) for _ in range(count)], pa.int32())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return few.cast(kind)
    made: dict[Any, Any] = {
        pa.binary(): [r.choice([None, b"", b"a"]) for _ in range(count)],
        pa.binary(4): [b"abcd"] * count,
        pa.string_view(): ["a"] * count,
        pa.map_(pa.string(), pa.string()): [[("a", "b")]] * count,
        pa.list_(pa.string()): [r.choice([None, [], ["a"], [None]]) for _ in range(count)],
        pa.list_(pa.string(), 2): [r.choice([None, ["a", "b"], [None, ""]]) for _ in range(count)],
        pa.struct([("a", pa.string())]): [r.choice([None, {"a": "b"}]) for _ in range(count)],
    }
    if kind in made:
        return pa.array(made[kind], kind)
    if kind == pa.list_(pa.dictionary(pa.int8(), pa.string())):
        plain = pa.array([r.choice([None, [], ["a", "b"]]) for _ in range(count)], pa.list_(pa.string()))
        offsets = pa.array([None if one is None else at for at, one in _offsets(plain.to_pylist())], pa.int32())
        return pa.ListArray.from_arrays(offsets, plain.flatten().dictionary_encode().cast(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.array([r.choice([None, [], [1]]) for _ in range(count)], kind)
    if pa.types.is_time(kind) or pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return few.cast(pa.int64()).cast(kind)
    if pa.types.is_decimal(kind):
        return few.cast(pa.decimal128(12, 2)).cast(kind)
    return pa.nulls(count) if pa.types.is_null(kind) else few.cast(kind)


def _offsets(values: list[Any]) -> list[tuple[int, Any]]:
    at, made = 0, []
    for one in values:
        made.append((at, one))
        at += len(one or [])
    return [*made, (at, [])]


def nested(name: str, shape: str) -> Any:
    """The type of a column that is no text."""
    if name == "conversations":
        return pa.list_(MESSAGE)
    if name in RANKED and shape == "sharegpt":
        return MESSAGE
    return {"history": pa.list_(pa.list_(pa.string())), "t": pa.bool_(), "id": pa.int64()}.get(name)


def fitted(value: Any, kind: Any) -> Any:
    """A value as a type holds it; null where it does not."""
    if pa.types.is_struct(kind):
        names = [(field.name, field.type) for field in kind]
        return {name: fitted(value.get(name), one) for name, one in names} if isinstance(value, dict) else None
    if pa.types.is_list(kind):
        return [fitted(one, kind.value_type) for one in value] if isinstance(value, list) else None
    fits = {pa.string(): str, pa.bool_(): bool, pa.int64(): int}[kind]
    return value if type(value) is fits and (fits is not int or abs(value) < 1 << 62) else None


def table(r: random.Random, records: list[dict[str, Any]], shape: str, odd: float) -> Any:
    """Records as a table, each column of a type that it may have."""
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        kind = nested(name, shape)
        if r.random() < odd / 3:
            columns[name] = column(r, r.choice(OTHER), len(records), values)
        elif kind is not None:
            columns[name] = pa.array([fitted(one, kind) for one in values], kind)
        else:
            columns[name] = column(r, r.choice(TEXT), len(records), values)
    if r.random() < odd:
        columns["more"] = column(r, r.choice(OTHER), len(records), [])
    return pa.table(columns)


def changed(r: random.Random, made: Any) -> Any:
    """A table of another schema, as the next file of the folder may have it."""
    how = r.randrange(5)
    name = r.choice(made.column_names)
    if how == 0:
        return made.drop_columns([name])
    if how == 1:
        return made.append_column("added", pa.array(["a"] * made.num_rows))
    if how == 2:
        return made.select(r.sample(made.column_names, made.num_columns))
    at = made.column_names.index(name)
    values = made[name].to_pylist() if made.schema.field(name).type in TEXT else []
    return made.set_column(at, name, column(r, r.choice(OTHER + TEXT), made.num_rows, values or [None] * made.num_rows))


def write(r: random.Random, made: Any, path: Path, odd: float) -> None:
    """A table as a file, now and then a broken one."""
    if path.suffix == ".parquet":
        size = r.choice([None, 1, 3, 1000])
        parquet.write_table(made, path, row_group_size=size, compression=r.choice(["snappy", "zstd", "none"]))
    else:
        opened = pa.ipc.new_stream if r.random() < 0.5 else pa.ipc.new_file
        with opened(str(path), made.schema) as writer:
            writer.write_table(made, max_chunksize=r.choice([None, 1, 1000]))
    if r.random() < odd / 4:
        body = path.read_bytes()
        path.write_bytes(body[: r.randrange(len(body))])


def case(r: random.Random, folder: Path) -> tuple[Path, dict[str, Any], str]:
    """A file or a folder of them, its description, and a stage."""
    stage = r.choice(["sft", "sft", "sft", "rm", "dpo", "kto", "pt"])
    odd = r.choice([0, 0.05, 0.2, 0.6])
    shape = r.choice(["alpaca", "sharegpt"])
    columns = dict(ALPACA) if shape == "alpaca" else {"messages": "conversations"}
    columns |= RANKED if stage in ("rm", "dpo") else {}
    columns |= {"kto_tag": "t"} if stage == "kto" else {}
    for name in ("system", "tools") + (("history",) if shape == "alpaca" else ()):
        columns |= {name: name} if r.random() < 0.2 else {}
    make = alpaca if shape == "alpaca" else sharegpt
    kind = r.choice(["parquet", "parquet", "arrow"])
    count = r.choice([0, 1, 2, 8, 20]) if r.random() > 0.04 else r.choice([1001, 2003])
    records = [make(r, min(odd, 0.05), columns) for _ in range(max(1, count))]
    made = table(r, records, shape, odd)
    if count == 0:
        made = made.slice(0, 0)
    path = folder / f"a.{kind}"
    if r.random() < 0.3:
        path = folder / "files"
        path.mkdir()
        write(r, made, path / f"a.{kind}", odd)
        write(r, changed(r, made) if r.random() < odd + 0.2 else made, path / f"b.{kind}", odd)
    else:
        write(r, made, path, odd)
    description = {"formatting": shape, "columns": columns, "ranking": stage in ("rm", "dpo")}
    return path, description | ({"tags": TAGS} if shape == "sharegpt" else {}), stage


def main() -> None:
    """Compare."""
    python, model = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    oracle = Judge(python, LOADER, model, TEMPLATE)
    differ = raised = kept = 0
    kept_at = Path(tempfile.mkdtemp(prefix="disagree-"))
    for number in range(seed, seed + count):
        with tempfile.TemporaryDirectory() as folder:
            path, description, stage = case(random.Random(number), Path(folder))
            said, mine = theirs(oracle, path, description, stage), ours(path, description, stage)
            raised += said["raises"]
            kept += said["kept"]
            if not agree(said, mine, stage):
                differ += 1
                shutil.copytree(folder, kept_at / str(number))
                print(number, path.name, stage, json.dumps(description["columns"]), said, mine, sep="\n  ", flush=True)
    print(f"{count} cases, {raised} of them raising, {kept} records kept: {differ} differ, files in {kept_at}")


if __name__ == "__main__":
    main()
