"""Tables of ticks as files, one schema each: CSV by hand, Parquet by pyarrow (the extra ``export``).

The columns: ``epoch``, ``symbol``, ``seq``, ``topic_seq``, ``ts_in``, then those of the record (columns.py). Prices are
exact decimals. In CSV times are ns since 1970; in Parquet they are timestamps in UTC, and what a column calls
undefined, or a time beyond the year 2262, is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from feed.archive.columns import FRAME_HEADER, FRAME_HEADER_BYTES, Column, Kind, record_columns
from feed.archive.csv import CsvRows, quoted
from feed.errors import CallerError
from feed.wire.records import BY_WORD, UNDEF_PRICE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["CsvTable", "ParquetTable", "Table"]

_HEAD = [
    Column(name, kind, int(FRAME_HEADER.fields[name][1]), 8, signed=False)  # type: ignore[index]
    for name, kind in (("seq", Kind.NUMBER), ("topic_seq", Kind.NUMBER), ("ts_in", Kind.TIME))
]
_INT64_MAX = 2**63 - 1


class Table(Protocol):
    """Made as ``Kind(path, schema)``; nothing is at `path` before."""

    def write(self, epoch: int, frames: bytes, symbols: Mapping[int, str]) -> None:
        """Append a row for each of `frames` (of this schema, end to end); `symbols` by topic id."""

    def close(self) -> None:
        """All is in the file."""


class CsvTable:
    """A line for the names of the columns, then one for each tick."""

    def __init__(self, path: Path, schema: str) -> None:
        columns = [*_HEAD, *record_columns(schema)]
        self._rows = CsvRows(columns, FRAME_HEADER_BYTES + BY_WORD[schema].record_bytes)
        self._file = path.open("xb")
        self._file.write(",".join(["epoch", "symbol", *(column.name for column in columns)]).encode() + b"\n")

    def write(self, epoch: int, frames: bytes, symbols: Mapping[int, str]) -> None:
        heads = {topic: b"%d,%s," % (epoch, quoted(symbol)) for topic, symbol in symbols.items()}
        self._file.write(self._rows.rows(frames, heads))

    def close(self) -> None:
        self._file.close()


class ParquetTable:
    """Row groups as they come, compressed with zstd. Raises CallerError when pyarrow is not installed."""

    def __init__(self, path: Path, schema: str) -> None:
        try:
            import pyarrow  # noqa: PLC0415 - optional
            import pyarrow.parquet  # noqa: PLC0415
        except ImportError:
            raise CallerError(
                "Parquet needs pyarrow, which is not installed",
                remedy='Install it: pip install "tickcast[export]"; or use --format csv or dbn',
            ) from None
        self._pa = pyarrow
        self._columns = [*_HEAD, *record_columns(schema)]
        self._frame_bytes = FRAME_HEADER_BYTES + BY_WORD[schema].record_bytes
        self._schema = pyarrow.schema(
            [
                ("epoch", pyarrow.uint64()),
                ("symbol", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
                *((column.name, self._type(column)) for column in self._columns),
            ]
        )
        self._file = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, epoch: int, frames: bytes, symbols: Mapping[int, str]) -> None:
        rows = np.frombuffer(frames, np.uint8).reshape(-1, self._frame_bytes)
        topics, at = np.unique(_field(rows, Column("topic_id", Kind.NUMBER, 4, 4, signed=False)), return_inverse=True)
        names = [symbols[topic] for topic in topics.tolist()]
        arrays = [
            self._pa.array(np.full(len(rows), epoch, np.uint64)),
            self._pa.DictionaryArray.from_arrays(at.astype(np.int32), self._pa.array(names, self._pa.string())),
            *(self._array(column, _field(rows, column)) for column in self._columns),
        ]
        self._file.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._file.close()

    def _type(self, column: Column) -> Any:
        match column.kind:
            case Kind.PRICE:
                return self._pa.decimal128(19, 9)
            case Kind.TIME:
                return self._pa.timestamp("ns", tz="UTC")
            case Kind.TEXT:
                return self._pa.dictionary(self._pa.int32(), self._pa.string())
        return self._pa.from_numpy_dtype(_dtype(column))

    def _array(self, column: Column, values: np.ndarray[Any, Any]) -> Any:
        match column.kind:
            case Kind.PRICE:
                return self._decimals(values)
            case Kind.TIME:
                return self._pa.array(values.astype(np.int64), self._type(column), mask=values > _INT64_MAX)
            case Kind.TEXT:
                texts, at = np.unique(values, return_inverse=True)
                words = [text.split(b"\0")[0].decode("latin-1") for text in texts.tolist()]
                empty = np.array([not word for word in words])[at]
                where = self._pa.array(at.astype(np.int32), mask=empty)
                return self._pa.DictionaryArray.from_arrays(where, self._pa.array(words, self._pa.string()))
        return self._pa.array(values)

    def _decimals(self, raw: np.ndarray[Any, Any]) -> Any:
        """int64 in 1e-9 are the unscaled values of a decimal128 of 9 places: 16 bytes, two's complement."""
        wide = np.empty((len(raw), 2), np.int64)
        wide[:, 0] = raw
        wide[:, 1] = raw >> 63
        defined = np.packbits(raw != UNDEF_PRICE, bitorder="little")
        buffers = [self._pa.py_buffer(defined), self._pa.py_buffer(wide)]
        return self._pa.Array.from_buffers(self._pa.decimal128(19, 9), len(raw), buffers)


def _field(rows: np.ndarray[Any, Any], column: Column) -> np.ndarray[Any, Any]:
    """A column of rows of bytes, in its own type."""
    cells = np.ascontiguousarray(rows[:, column.offset : column.offset + column.nbytes])
    return cells.view(_dtype(column)).reshape(-1)


def _dtype(column: Column) -> np.dtype[Any]:
    if column.kind == Kind.TEXT:
        return np.dtype(f"S{column.nbytes}")
    return np.dtype(f"<{'i' if column.signed else 'u'}{column.nbytes}")
