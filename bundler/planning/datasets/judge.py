"""Judges a dataset record by record, as the pinned LLaMA-Factory would treat it, in memory that does not grow with it.

What LLaMA-Factory does is read from its source (0.9.3, 0.9.4, 0.9.5) and from `datasets` 3.6.0, and compared with
both by running them: docs/data.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from bundler.planning.datasets.content import Content
from bundler.planning.datasets.convert import Aligned, Message, converter
from bundler.planning.datasets.description import Description, Stage
from bundler.planning.datasets.encode import BATCH, Encoder, kl_raises
from bundler.planning.datasets.files import Row, Rows, listed
from bundler.planning.datasets.prints import Prints
from bundler.planning.datasets.shape import Shape
from bundler.planning.datasets.verdict import (
    DROPPED_LISTED,
    CannotRead,
    DatasetVerdict,
    Dropped,
    Failure,
    Place,
    Raises,
)


class Watcher(Protocol):
    """Is given each record that is kept, as for counting its tokens."""

    def begin(self) -> None:
        """The dataset is read from its first record on; it may be read twice."""

    def take(self, aligned: Aligned, place: Callable[[], Place]) -> None:
        """A record that is kept, and a way to find out where it lies."""


def judge(
    path: Path,
    description: Description,
    *,
    stage: Stage = "sft",
    version: tuple[int, ...] = (0, 9, 3),
    media: bool = False,
    media_folder: Path | None = None,
    watch: Watcher | None = None,
    others: Sequence[Prints] = (),
) -> DatasetVerdict:
    """What LLaMA-Factory of a version makes of a file, or a folder of files, in a stage.

    `media` says that the template is of a model that sees or hears; files are then looked for below `media_folder`,
    by default the dataset's own. `others` are datasets that it should share no record with. Never raises for what is
    in the files; OSError where they can't be read.
    """
    work = _Judge(path, description, Encoder(stage, version, media), media_folder, watch, others)
    try:
        return work.run()
    except CannotRead as error:
        return DatasetVerdict(unread=str(error))
    except Raises as error:
        return DatasetVerdict(
            records=work.records, failure=Failure(error.reason, error.error, error.place), notes=work.content.notes()
        )


class _Judge:
    def __init__(
        self,
        path: Path,
        description: Description,
        encoder: Encoder,
        media_folder: Path | None,
        watch: Watcher | None,
        others: Sequence[Prints],
    ) -> None:
        self.description = description
        self.encoder = encoder
        self.path = path
        self.media_folder = media_folder or (path if path.is_dir() else path.parent)
        self.watch = watch
        self.others = others
        self.start()

    def start(self) -> None:
        self.content = Content(self.others)
        if self.watch:
            self.watch.begin()
        self.records = 0
        self.dropped: list[Dropped] = []
        self.reasons: Counter[str] = Counter()
        self.touched: dict[str, Row] = {}
        self.row: Row | None = None
        self.tags: Counter[bool] = Counter()
        self.batches: list[int] = []  # records kept of each batch
        self.batch_kept: list[bool] = []
        self.batch_responses: list[list[Message]] = []
        self.first: Raises | None = None  # of the record-wise failures

    def run(self) -> DatasetVerdict:
        self._stage_fits()
        files = listed(self.path)
        rows = Rows(files, _used(self.description), self.encoder.version)
        self._pass(rows, None)
        if rows.schema is None or not rows.schema.fields:
            raise Raises("there is no record with any field in it")
        if not self.records:
            raise Raises("there is no record")
        if _uses_times(rows.schema, self.description):
            self.start()
            self._pass(rows, rows.schema)
        self._columns_there(rows.schema)
        if self.first:
            raise self.first
        self._batches_hold()
        kept = sum(self.batches)
        self._single_class()
        if not kept:
            self.first = None
        return DatasetVerdict(
            records=self.records,
            kept=kept,
            dropped=tuple(self.dropped),
            dropped_count=self.records - kept,
            dropped_reasons=dict(self.reasons),
            failure=None
            if kept
            else Failure("every record is dropped: Cannot find valid samples", "RuntimeError", None),
            notes=self.content.notes(),
            prints=self.content.prints,
        )

    def _stage_fits(self) -> None:
        """Ranking and stage go together (0.9.3, data/loader.py, _get_merged_dataset)."""
        wanted = self.encoder.stage in ("rm", "dpo")
        if self.description.ranking != wanted:
            what = "needs one with ranking: true" if wanted else "takes none with ranking: true"
            raise Raises(f"stage {self.encoder.stage} {what}")

    def _pass(self, rows: Rows, times: Shape | None) -> None:
        convert = converter(self.description, self.encoder.version, self._touch)
        typed = _Typed()
        for row in rows:
            self.records += 1
            self.row = row
            if self.first:
                continue  # only the load can fail before it now
            if times is not None:
                row.value = _with_times(row.value, times)
            try:
                aligned = convert(row.value)
                typed.see(aligned)
                self._take(row, aligned)
            except Raises as error:
                self.first = Raises(error.reason, error.error, place=error.place or row.place())
        if self.batch_kept and not self.first:
            try:
                self._end_batch()
            except Raises as error:
                self.first = error

    def _touch(self, column: str) -> None:
        if column not in self.touched and self.row is not None:
            self.touched[column] = self.row

    def _take(self, row: Row, aligned: Aligned) -> None:
        reason = self.encoder.judge(aligned)
        if self.encoder.stage == "kto":
            self.batch_responses.append(aligned.response)
            if reason is None:
                self.tags[bool(aligned.response[0][1])] += 1
        self.batch_kept.append(reason is None)
        if reason is None:
            self.content.take(aligned, row.place, search=row.suspect)
            if aligned.images or aligned.videos or aligned.audios:
                self._files_there(row, aligned)
            if self.encoder.stage == "pt" and self.description.formatting != "alpaca" and aligned.response:
                self.content.note("first turn only", row.place)
            if self.watch:
                self.watch.take(aligned, row.place)
        else:
            self.reasons[reason] += 1
            if len(self.dropped) < DROPPED_LISTED:
                self.dropped.append(Dropped(self.records, row.place(), reason))
        if len(self.batch_kept) == BATCH:
            self._end_batch()

    def _end_batch(self) -> None:
        begun = self.records - len(self.batch_kept)
        if self.encoder.stage == "kto":
            number = kl_raises(self.batch_responses, self.batch_kept)
            if number is not None:
                raise Raises(
                    f"record {begun + number + 1} of stage kto is paired with the answer of the record before it "
                    "(the first of each thousand with the last), which was dropped and has none",
                    "IndexError",
                )
        self.batches.append(sum(self.batch_kept))
        self.batch_kept, self.batch_responses = [], []

    def _files_there(self, row: Row, aligned: Aligned) -> None:
        for files in (aligned.images, aligned.videos, aligned.audios):
            for one in files or []:
                for name in one if isinstance(one, list) else [one]:
                    if isinstance(name, str) and not (self.media_folder / name).is_file():
                        self.content.note("missing file", row.place, name)
                        raise Raises(f"{name} is not below {self.media_folder}", "FileNotFoundError")

    def _columns_there(self, schema: Shape) -> None:
        """A column that no record has is a KeyError; one that some have is null in the others."""
        for column, row in self.touched.items():
            present = _has(schema, column.lstrip("!"))
            if column.startswith("!"):
                if present and _kind(schema, column[1:]) == "list":
                    raise Raises("tool_calls is null in a message, and 0.9.4 asks for their number", "TypeError")
            elif not present:
                raise Raises(f"no record has {column!r}, which the description names", "KeyError", place=row.place())

    def _batches_hold(self) -> None:
        """A batch of which nothing is left has no columns, which only the first may (datasets, arrow_writer.py)."""
        if self.encoder.stage == "pt" or not any(self.batches):
            return
        for number, kept in enumerate(self.batches):
            if not kept:
                begin = number * BATCH + 1
                end = min(begin + BATCH - 1, self.records)
                raise Raises(f"records {begin} to {end} are all dropped, and a whole batch may not be", "ValueError")

    def _single_class(self) -> None:
        if self.encoder.stage == "kto" and len(self.tags) == 1 and self.row:
            self.content.note("single class", self.row.place, "only wanted or only unwanted answers")


class _Typed:
    """What `datasets` infers of the first thousand aligned records holds for all (arrow_writer.py, update_features)."""

    def __init__(self) -> None:
        self.count = 0
        self.known: set[tuple[bool, ...]] = set()
        self.system: type | None = None
        self.missing = {"the prompt", "the answer", "the system prompt", "the tools", "images", "videos", "audios"}

    def see(self, aligned: Aligned) -> None:
        """Raises Raises when something comes first after a thousand records without it."""
        self.count += 1
        if aligned.system is not None and type(aligned.system) is not self.system:
            if self.system is not None:
                raise Raises(
                    "the system prompt is of one type in some records and of another in this", "ArrowTypeError"
                )
            self.system = type(aligned.system)
        signature = (
            not aligned.prompt,
            not aligned.response,
            aligned.system is None,
            aligned.tools is None,
            aligned.images is None,
            aligned.videos is None,
            aligned.audios is None,
        )
        if signature in self.known:
            return
        self.known.add(signature)
        for name, value in (
            ("the prompt", aligned.prompt or None),
            ("the answer", aligned.response or None),
            ("the system prompt", aligned.system),
            ("the tools", aligned.tools),
            ("images", aligned.images),
            ("videos", aligned.videos),
            ("audios", aligned.audios),
        ):
            if value is not None and name in self.missing:
                if self.count > BATCH:
                    raise Raises(
                        f"{name}: null in the first {BATCH} records and given here; put one that has it among the "
                        "first, or fill the others with empty strings",
                        "TypeError",
                    )
                self.missing.discard(name)


def _has(schema: Shape, path: str) -> bool:
    return _find(schema, path) is not None


def _kind(schema: Shape, path: str) -> str | None:
    found = _find(schema, path)
    return found.kind if found else None


def _find(schema: Shape, path: str) -> Shape | None:
    """The shape of a path; a column's name may itself have dots in it."""
    if path in schema.fields:
        return schema.fields[path]
    head, listed_, key = path.rpartition("[].")
    if listed_ and head in schema.fields:
        item = schema.fields[head].item
        return item.fields.get(key) if item else None
    head, dot, key = path.rpartition(".")
    return schema.fields[head].fields.get(key) if dot and head in schema.fields else None


def _used(description: Description) -> frozenset[str]:
    """The columns that a description names."""
    columns = description.columns
    return frozenset(one for name in type(columns).__slots__ if (one := getattr(columns, name)))


def _uses_times(schema: Shape, description: Description) -> bool:
    used = _used(description)
    return any(_any_time(shape) for name, shape in schema.fields.items() if name in used)


def _any_time(shape: Shape) -> bool:
    return (
        shape.timestamp
        or any(map(_any_time, shape.fields.values()))
        or (shape.item is not None and _any_time(shape.item))
    )


def _with_times(value: Any, shape: Shape) -> Any:
    if isinstance(value, str):
        return datetime.min if shape.timestamp else value
    if isinstance(value, dict):
        return {key: _with_times(item, shape.fields[key]) for key, item in value.items()}
    if isinstance(value, list) and shape.item is not None:
        return [_with_times(item, shape.item) for item in value]
    return value
