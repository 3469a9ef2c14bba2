"""CSV rows say exactly what the records say."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.archive.columns import Column, Kind, frame_dtype, record_columns
from feed.archive.csv import CsvRows, quoted
from feed.errors import CallerError
from feed.wire.records import BY_WORD, UNDEF_PRICE, UNDEF_TIMESTAMP
from tests.archive.ticks import frame, record, records

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject


def expected(column: Column, value: Any) -> str:
    """A cell, from what numpy reads there."""
    if column.kind == Kind.TEXT:
        return str(bytes(value).split(b"\0")[0].decode("latin-1"))
    number = int(value)
    if column.kind == Kind.PRICE:
        return "" if number == UNDEF_PRICE else f"{Decimal(number).scaleb(-9):f}"
    return "" if column.kind == Kind.TIME and number == UNDEF_TIMESTAMP else str(number)


def cells(row: Any, schema: str) -> list[Any]:
    """A record's fields as numpy has them, a book's levels one after the other, without reserved bytes and length."""
    found = []
    for name in row.dtype.names:
        if name == "levels":
            found += [level[inner] for level in row[name] for inner in level.dtype.names]
        elif name != "length" and row.dtype[name].kind != "V":
            found.append(row[name])
    return found


@pytest.mark.parametrize("schema", BY_WORD)
@settings(max_examples=20)
@given(data=st.data())
def test_every_field_of_every_schema(schema: str, data: DataObject) -> None:
    given_records = data.draw(st.lists(records(schema), min_size=1, max_size=5))
    frames = b"".join(frame(each, topic_id=i % 2) for i, each in enumerate(given_records))
    columns = record_columns(schema)
    lines = CsvRows(columns, 40 + BY_WORD[schema].record_bytes).rows(frames, {0: b"1,A,", 1: b'1,"B,",'})
    rows = list(csv.reader(io.StringIO(lines.decode("latin-1"), newline="")))
    assert [row[1] for row in rows] == ["A" if i % 2 == 0 else "B," for i in range(len(given_records))]
    parsed = np.frombuffer(frames, frame_dtype(schema))["record"]
    for row, values in zip(rows, parsed, strict=True):
        found = row[2:]
        for column, cell, value in zip(columns, found, cells(values, schema), strict=True):
            assert cell == expected(column, value), column


def test_prices_are_exact_to_the_last_place() -> None:
    columns = [column for column in record_columns("trade") if column.name == "price"]
    rows = CsvRows(columns, 88)
    for raw, text in [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (-(2**63), "-9223372036.854775808"),
    ]:
        body = raw.to_bytes(8, "little", signed=True)
        assert rows.rows(frame(record("trade", body)), {0: b""}).decode() == f"{text}\n"


@pytest.mark.parametrize("symbol", ["AAPL", "A,B", 'A"B', " "])
def test_symbols_that_need_quotes(symbol: str) -> None:
    assert next(csv.reader([quoted(symbol).decode()])) == [symbol]


def test_a_column_outside_of_the_frame_is_refused() -> None:
    with pytest.raises(CallerError, match="outside of the frame"):
        CsvRows([Column("x", Kind.NUMBER, 40, 8, signed=False)], 40)
