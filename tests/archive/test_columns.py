"""The columns of tables: every field once, none overlapping, prices and times known as such."""

from __future__ import annotations

import pytest

from feed.archive.columns import FRAME_HEADER, FRAME_HEADER_BYTES, Kind, frame_dtype, record_columns
from feed.wire.records import BY_WORD


def test_the_frame_header_is_that_of_the_log() -> None:
    assert FRAME_HEADER.itemsize == FRAME_HEADER_BYTES
    offsets = {name: FRAME_HEADER.fields[name][1] for name in ("topic_id", "seq", "topic_seq", "ts_in", "kind")}  # type: ignore[index]
    assert offsets == {"topic_id": 4, "seq": 8, "topic_seq": 16, "ts_in": 24, "kind": 36}


@pytest.mark.parametrize("schema", BY_WORD)
def test_columns_cover_the_record_but_for_length_and_reserved_bytes(schema: str) -> None:
    columns = record_columns(schema)
    assert len({column.name for column in columns}) == len(columns)
    covered = [i for column in columns for i in range(column.offset, column.offset + column.nbytes)]
    assert len(covered) == len(set(covered))
    dtype = BY_WORD[schema].dtype
    reserved = sum(dtype[name].itemsize for name in dtype.names or () if dtype[name].kind == "V" and name != "levels")
    assert len(covered) == dtype.itemsize - 1 - reserved
    assert max(covered) < frame_dtype(schema).itemsize


def test_prices_and_times() -> None:
    kinds = {column.name: column.kind for column in record_columns("book")}
    assert {name for name, kind in kinds.items() if kind == Kind.PRICE} == {
        "price",
        *(f"{side}_px_{i:02d}" for side in ("bid", "ask") for i in range(10)),
    }
    assert {name for name, kind in kinds.items() if kind == Kind.TIME} == {"ts_event", "ts_recv"}
    assert {column.name: column.kind for column in record_columns("order")}["order_id"] == Kind.NUMBER
