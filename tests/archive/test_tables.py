"""Tables of ticks, read back by pyarrow and by Python's csv."""

from __future__ import annotations

import csv
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.archive.columns import Kind, frame_dtype, record_columns
from feed.archive.tables import CsvTable, ParquetTable
from feed.errors import CallerError
from feed.wire.records import BY_WORD, UNDEF_PRICE
from tests.archive.test_csv import cells
from tests.archive.ticks import frame, records, trade


@pytest.mark.parametrize("schema", BY_WORD)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_parquet_says_exactly_what_the_records_say(schema: str, data: st.DataObject) -> None:
    given_records = data.draw(st.lists(records(schema), min_size=1, max_size=5))
    frames = b"".join(
        frame(each, topic_id=3 + i % 2, seq=10 + i, topic_seq=i, ts_in=1000 + i) for i, each in enumerate(given_records)
    )
    with tempfile.TemporaryDirectory() as folder:
        table = ParquetTable(Path(folder) / "t", schema)
        table.write(17, frames, {3: "A", 4: "B"})
        table.write(18, frames, {3: "C", 4: "B"})
        table.close()
        written = pq.read_table(Path(folder) / "t")
    times = {"ts_in", *(column.name for column in record_columns(schema) if column.kind == Kind.TIME)}
    rows = written.select([name for name in written.column_names if name not in times]).to_pydict()
    n = len(given_records)
    assert rows["epoch"] == [17] * n + [18] * n
    assert rows["symbol"] == ["AB"[i % 2] for i in range(n)] + ["CB"[i % 2] for i in range(n)]
    assert rows["seq"][:n] == list(range(10, 10 + n))
    assert rows["topic_seq"][:n] == list(range(n))
    parsed = np.frombuffer(frames, frame_dtype(schema))["record"]
    for i, values in enumerate(parsed):
        for column, value in zip(record_columns(schema), cells(values, schema), strict=True):
            if column.kind == Kind.TIME:
                continue
            got = rows[column.name][i]
            match column.kind:
                case Kind.PRICE:
                    assert got == (None if value == UNDEF_PRICE else Decimal(int(value)).scaleb(-9)), column
                case Kind.TEXT:
                    assert (got or "").encode("latin-1") == bytes(value).split(b"\0")[0], column
                case Kind.NUMBER:
                    assert got == int(value), column


def test_parquet_times_are_utc_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    when = 1_719_840_600_000_000_001
    frames = frame(trade(1, ts=when), ts_in=when + 1) + frame(trade(1, ts=2**64 - 1), ts_in=2**63)
    table = ParquetTable(tmp_path / "t", "trade")
    table.write(1, frames, {0: "A"})
    table.close()
    rows = pq.read_table(tmp_path / "t")
    assert rows.schema.field("ts_event").type == pa.timestamp("ns", tz="UTC")
    assert rows["ts_event"].cast(pa.int64()).to_pylist() == [when, None]
    assert rows["ts_in"].cast(pa.int64()).to_pylist() == [when + 1, None]


def test_csv_has_names_and_symbols(tmp_path: Path) -> None:
    table = CsvTable(tmp_path / "t", "trade")
    table.write(9, frame(trade(3), seq=5, topic_seq=2, ts_in=7), {0: "A,B"})
    table.close()
    with (tmp_path / "t").open() as file:
        (row,) = csv.DictReader(file)
    assert list(row)[:5] == ["epoch", "symbol", "seq", "topic_seq", "ts_in"]
    assert (row["epoch"], row["symbol"], row["seq"], row["topic_seq"], row["ts_in"]) == ("9", "A,B", "5", "2", "7")
    assert (row["price"], row["side"], row["ts_event"]) == ("0.750000000", "B", str(10**18))


def test_without_pyarrow_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CallerError, match=r'pip install "tickcast\[export\]"'):
        ParquetTable(tmp_path / "t", "trade")
