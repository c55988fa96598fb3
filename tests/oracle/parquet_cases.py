"""Datasets in Parquet and Arrow, made by pyarrow, with the verdict that LLaMA-Factory 0.9.3's own loader gave of each.

The unit tests hold this program to the verdicts, and the whole suite gives the files to the loader again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
TURNS = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
MESSAGE = pa.struct([("from", pa.string()), ("value", pa.string())])
PAIRS = pa.list_(pa.list_(pa.string(), 2))
MAP = pa.map_(pa.string(), pa.string())
DICTIONARY = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class ParquetCase:
    """A file `d.KIND`, or a folder of them, and what becomes of it."""

    name: str
    tables: list[Any]
    kept: int = 0
    dropped: list[int] = field(default_factory=list)
    raises: bool = False
    columns: dict[str, str] = field(default_factory=lambda: dict(ALPACA))
    formatting: str = "alpaca"
    ranking: bool = False
    stage: str = "sft"
    kind: str = "parquet"
    write: Callable[[Any, Path], None] | None = None

    @property
    def description(self) -> dict[str, Any]:
        """Its entry of dataset_info.json, less the file's name."""
        tags = ("role_tag", "from"), ("content_tag", "value"), ("user_tag", "human"), ("assistant_tag", "gpt")
        made = {"formatting": self.formatting, "ranking": self.ranking, "columns": self.columns}
        more = ("observation_tag", "observation"), ("function_tag", "function_call"), ("system_tag", "system")
        return made | ({"tags": dict(tags + more)} if self.formatting == "sharegpt" else {})

    def made(self, folder: Path) -> Path:
        """The dataset, written below a folder that is not there yet."""
        folder.mkdir(parents=True)
        write = self.write or (to_parquet if self.kind == "parquet" else to_stream)
        for number, table in enumerate(self.tables):
            write(table, folder / f"{number}.{self.kind}")
        return folder if len(self.tables) > 1 else folder / f"0.{self.kind}"


def to_parquet(table: Any, path: Path) -> None:
    """In groups of two rows, so that most files have several."""
    parquet.write_table(table, path, row_group_size=2)


def to_stream(table: Any, path: Path) -> None:
    """Arrow's stream, in batches of two rows."""
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def to_file(table: Any, path: Path) -> None:
    """Arrow's file, which can be read from any batch on."""
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def half(table: Any, path: Path) -> None:
    """A file that was cut off, as a download may be."""
    to_parquet(table, path)
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])


def alpaca(outputs: list[Any], kind: Any = None, **more: Any) -> Any:
    """A table of alpaca; the answers are of a type."""
    count = len(outputs)
    kind = pa.string() if kind is None else kind
    answers = pa.array(outputs, pa.string()).cast(kind) if kind == DICTIONARY else pa.array(outputs, kind)
    columns = {"instruction": ["q"] * count, "input": [""] * count, "output": answers}
    return pa.table(columns | {name: pa.array(values) for name, values in more.items()})


def sharegpt(conversations: list[Any], kind: Any = None) -> Any:
    """A table of sharegpt."""
    return pa.table({"conversations": pa.array(conversations, kind or pa.list_(MESSAGE))})


def declared(kind: dict[str, Any]) -> Any:
    """A table as `datasets` writes it, with its own types beside Arrow's."""
    features = {name: {"dtype": "string", "_type": "Value"} for name in ALPACA.values()}
    said = json.dumps({"info": {"features": features | {"x": kind}}}).encode()
    return alpaca(["a"], x=[["b"]]).replace_schema_metadata({"huggingface": said})


_MESSAGES: dict[str, Any] = {"columns": {"messages": "conversations"}, "formatting": "sharegpt"}
_RANKED: dict[str, Any] = {"ranking": True, "stage": "dpo"}

CASES = [
    ParquetCase("null answers are dropped", [alpaca(["a", None, "", "b"])], 3, [2]),
    ParquetCase("large strings", [alpaca(["a", "b"], pa.large_string())], 2),
    ParquetCase("dictionary-encoded strings", [alpaca(["a", "b", "a", None], DICTIONARY)], 3, [4]),
    ParquetCase("answers of bytes", [alpaca([b"a"], pa.binary())], 0, [1]),
    ParquetCase("answers of times", [alpaca([1, 2], pa.timestamp("ns", "UTC"))], 0, [1, 2]),
    ParquetCase("inputs of a nanosecond", [alpaca(["a"]).set_column(1, "input", pa.array([1], pa.duration("ns")))],
                raises=True),
    ParquetCase("answers of nothing", [alpaca([None], pa.null())], 0, [1]),
    ParquetCase("answers of views, a type unknown there", [alpaca(["a"], pa.string_view())], raises=True),
    ParquetCase("another column of a map", [alpaca(["a"], x=pa.array([[("k", "v")]], MAP))], raises=True),
    ParquetCase("another column of times and bytes", [alpaca(["a"], x=pa.array([1], pa.time64("ns")), y=[b""])], 1),
    ParquetCase("no record", [alpaca([])], raises=True),
    ParquetCase("a column that is named and not there", [alpaca(["a"])], raises=True, columns=ALPACA | {"system": "s"}),
    ParquetCase("half a file", [alpaca(["a", "b"])], raises=True, write=half),
    ParquetCase("messages", [sharegpt([TURNS, TURNS[:1], []])], 1, [2, 3], **_MESSAGES),
    ParquetCase("a message that is null", [sharegpt([[None, TURNS[1]]])], raises=True, **_MESSAGES),
    ParquetCase("messages that are null", [sharegpt([None, TURNS])], raises=True, **_MESSAGES),
    ParquetCase("large lists of messages", [sharegpt([TURNS, TURNS[:1]], pa.large_list(MESSAGE))], 1, [2], **_MESSAGES),
    ParquetCase("lists of two messages", [sharegpt([TURNS, TURNS], pa.list_(MESSAGE, 2))], raises=True, **_MESSAGES),
    ParquetCase("messages of large strings, in a stream of Arrow's", [
        sharegpt([TURNS], pa.list_(pa.struct([("from", pa.string()), ("value", pa.large_string())])))], 1,
        kind="arrow", **_MESSAGES),
    ParquetCase("ranked", [pa.table({"conversations": pa.array([TURNS[:1]] * 2, pa.list_(MESSAGE)),
                                     "chosen": pa.array([TURNS[1], None], MESSAGE),
                                     "rejected": pa.array([TURNS[1], TURNS[1]], MESSAGE)})], 1, [2],
                columns={"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
                formatting="sharegpt", **_RANKED),
    ParquetCase("wanted and not", [alpaca(["a", "b", "c"], t=[True, False, True])], 3,
                columns=ALPACA | {"kto_tag": "t"}, stage="kto"),
    ParquetCase("history", [alpaca(["a", "b"], h=pa.array([[["x", "y"]], None], PAIRS))], 2,
                columns=ALPACA | {"history": "h"}),
    ParquetCase("two files", [alpaca(["a", None]), alpaca([None, "b", "c"])], 3, [2, 3]),
    ParquetCase("a later file without records", [alpaca(["a"]), alpaca([])], raises=True),
    ParquetCase("a later file without records, as Arrow", [alpaca(["a"]), alpaca([])], 1, kind="arrow"),
    ParquetCase("a later file with a column more", [alpaca(["a"]), alpaca(["b"], x=["y"])], raises=True),
    ParquetCase("a later file without one", [alpaca(["a"], x=["y"]), alpaca(["b"])], 2),
    ParquetCase("a later file without the answers", [alpaca(["a"]), alpaca(["b"]).drop_columns(["output"])], 1, [2]),
    ParquetCase("a later file with numbers for texts", [alpaca(["a"]), alpaca([1], pa.int64())], 2),
    ParquetCase("a later file with texts for numbers", [alpaca([1], pa.int64()), alpaca(["b"])], raises=True),
    ParquetCase("a later file with lists for texts", [alpaca(["a"]), alpaca([[]], pa.list_(pa.string()))], raises=True),
    ParquetCase("a later file with nulls for texts", [alpaca(["a"]), alpaca([None], pa.null())], 1, [2]),
    ParquetCase("a later file with texts for nulls", [alpaca([None], pa.null()), alpaca(["a"])], raises=True),
    ParquetCase("a later file whose messages lack a field", [
        sharegpt([TURNS], pa.list_(pa.struct([*MESSAGE, ("more", pa.int64())]))), sharegpt([TURNS])], 2, **_MESSAGES),
    ParquetCase("a later file whose messages have a field more", [
        sharegpt([TURNS]), sharegpt([TURNS], pa.list_(pa.struct([*MESSAGE, ("more", pa.int64())])))],
        raises=True, **_MESSAGES),
    ParquetCase("written by datasets 3", [declared({"feature": {"dtype": "string", "_type": "Value"},
                                                    "_type": "Sequence"})], 1),
    ParquetCase("written by datasets 4", [declared({"feature": {"dtype": "string", "_type": "Value"},
                                                    "_type": "List"})], raises=True),
    ParquetCase("a stream of Arrow's", [alpaca(["a", None, "b"])], 2, [2], kind="arrow"),
    ParquetCase("a file of Arrow's", [alpaca(["a", None, "b"], DICTIONARY)], 2, [2], kind="arrow", write=to_file),
    ParquetCase("texts to go on from", [pa.table({"text": ["a", "b"]})], 2, columns={"prompt": "text"}, stage="pt"),
]  # fmt: skip
