"""Reads Parquet and Arrow files as `datasets` 3.6.0 does (packaged_modules/parquet, arrow), with pyarrow, an extra.

pyarrow is imported when the first such file is read, and nothing else of this program needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundler.planning.datasets.shape import Shape
from bundler.planning.datasets.verdict import CannotRead, Raises

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 64
"""Rows that are made Python values at once: a text that a Parquet file holds once may stand in each of them."""
BYTES = 4 << 20
"""Bytes of such rows, by what the file itself says of its size; one row at least."""
INSTALL = "pip install 'pyarrow>=21,<27'"
"""The extra `parquet` of this project."""


@dataclass(slots=True)
class Tables:
    """The tables of a dataset's files. The first file's schema is the one that all are cast to.

    `wanted` are the columns whose values are given. `strict` says that LLaMA-Factory has a `datasets` before 4.
    """

    wanted: frozenset[str]
    strict: bool
    schema: pa.Schema | None = None

    def read(self, file: Path, kind: str) -> tuple[Iterator[list[dict[str, Any]]], Shape]:
        """A file's records, some at a time, and the dataset's shape. `kind` is parquet or arrow.

        Raises Raises for what the loader would die of, CannotRead without pyarrow, OSError where it can't be opened.
        """
        try:
            import pyarrow as pa
        except ImportError as error:
            raise CannotRead(f"{file.name}: {kind} files are read with pyarrow, which is missing: {INSTALL}") from error
        from bundler.planning.datasets import arrow_types

        with _arrow_says():  # what Arrow writes is mapped, not read: a batch may be the whole file
            opened = pa.OSFile(str(file)) if kind == "parquet" else pa.memory_map(str(file))
        try:
            with _arrow_says():
                schema, batches = _parquet(opened) if kind == "parquet" else _ipc(opened)
            if self.schema is None:
                self.schema = arrow_types.target(schema, strict=self.strict)
        except BaseException:
            opened.close()
            raise
        shape = arrow_types.shape(pa.struct(list(self.schema)))
        return self._records(opened, batches), shape

    def _records(self, opened: pa.NativeFile, batches: Iterator[pa.RecordBatch]) -> Iterator[list[dict[str, Any]]]:
        with opened:
            while True:
                with _arrow_says():
                    batch = next(batches, None)
                if batch is None:
                    return
                for begin in range(0, batch.num_rows, ROWS):
                    with _arrow_says():
                        records = self._values(batch.slice(begin, ROWS))
                    yield records

    def _values(self, batch: pa.RecordBatch) -> list[dict[str, Any]]:
        import pyarrow as pa

        from bundler.planning.datasets.arrow_types import cast

        if self.schema is None:
            return []
        given = dict(zip(batch.schema.names, batch.columns, strict=True))
        for name in given:
            if name not in self.schema.names:
                raise Raises(f"the column {name!r} is not in the first file", "DatasetGenerationCastError")
        columns = {}
        for field in self.schema:
            array = given.get(field.name)
            values = pa.nulls(batch.num_rows, field.type) if array is None else cast(array, field.type, field.name)
            if field.name in self.wanted:
                columns[field.name] = values.cast(_readable(field.type), safe=False).to_pylist()
        if not columns:
            return [{} for _ in range(batch.num_rows)]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@contextmanager
def _arrow_says() -> Iterator[None]:
    """What pyarrow raises of a file's content, as the loader's own end. (Some of it are OSErrors without a number.)"""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = str(error).splitlines()[0][:200] if str(error) else "no message"
        raise Raises(said, type(error).__name__) from error


def _parquet(opened: pa.NativeFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    from pyarrow import parquet

    file = parquet.ParquetFile(opened, buffer_size=1 << 16, pre_buffer=False)
    if file.metadata.num_row_groups and not file.metadata.row_group(0).num_rows:  # the loader's batches are as long
        raise Raises("its first row group is empty, and a file without records may have none", "ArrowInvalid")

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            each = max(1, group.total_byte_size // max(1, group.num_rows))
            yield from file.iter_batches(max(1, min(ROWS, BYTES // each)), row_groups=[number])

    return file.schema_arrow, batches()


def _ipc(opened: pa.NativeFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """A stream or a file of Arrow's."""
    import pyarrow as pa

    try:
        stream = pa.ipc.open_stream(opened)
    except (OSError, pa.ArrowInvalid):
        file = pa.ipc.open_file(opened)
        return file.schema, _valid(file.get_batch(number) for number in range(file.num_record_batches))
    return stream.schema, _valid(stream)


def _valid(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Arrow trusts the offsets in its own files: a damaged one would end this process."""
    for batch in batches:
        batch.validate(full=True)
        yield batch


def _readable(kind: pa.DataType) -> pa.DataType:
    """A type whose values Python can hold without pandas and a table of time zones: microseconds, of no zone."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_struct(kind):
        return pa.struct([(field.name, _readable(field.type)) for field in kind])
    if types.is_fixed_size_list(kind):
        return pa.list_(_readable(kind.value_type), kind.list_size)
    if types.is_list(kind):
        return pa.list_(_readable(kind.value_type))
    if types.is_large_list(kind):
        return pa.large_list(_readable(kind.value_type))
    if types.is_timestamp(kind):
        return pa.timestamp("us")
    if types.is_duration(kind):
        return pa.int64()  # a nanosecond is not none, and a prompt of none is taken for an empty one
    return pa.time64("us") if types.is_time64(kind) else kind
