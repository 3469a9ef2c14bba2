"""Bodies of records: what goes in comes out, cut where it must be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.errors import CallerError, SymbolError
from feed.wire.batching import BODY_BYTES, Batch, bodies
from feed.wire.fields import encode
from feed.wire.pushing import MESSAGE_BYTES_MAX, RECORDS_MAX
from feed.wire.records import BY_WORD, SCHEMAS, schema_of_rtype

Taken = list[tuple[str, bytes]]


def read(count: int, content: bytes) -> Taken:
    """A body as its description says, in other words than ours."""
    n, at, names = int.from_bytes(content[:2], "little"), 2, []
    for _ in range(n):
        names.append(content[at + 1 : at + 1 + content[at]].decode())
        at += 1 + content[at]
    which = [0] * count
    if n > 1:
        which = np.frombuffer(content, "<u2", count, at).tolist()
        at += 2 * count
    found = []
    for i in range(count):
        size = content[at] * 4
        found.append((names[which[i]], content[at : at + size]))
        at += size
    assert at == len(content)
    return found


TICKS = st.lists(
    st.tuples(
        st.sampled_from(["A", "BB", "x" * 71]), st.sampled_from([s.word for s in SCHEMAS]).map(lambda w: encode(w, {}))
    )
)


@given(TICKS)
def test_a_batch_is_what_was_added(ticks: Taken) -> None:
    batch = Batch()
    for symbol, record in ticks:
        batch.add(symbol, record)
    assert (batch.count, batch.nbytes) == (len(ticks), sum(len(record) for _, record in ticks))
    if ticks:
        assert read(batch.count, batch.take()) == ticks
    assert batch.count == 0


@settings(max_examples=40)
@given(TICKS, st.booleans())
def test_bytes_of_records_are_cut_between_them(ticks: Taken, many: bool) -> None:
    ticks = ticks * (2000 if many else 1)
    made = list(bodies(b"".join(record for _, record in ticks), [symbol for symbol, _ in ticks]))
    assert [each for count, content in made for each in read(count, content)] == ticks
    assert all(len(content) < MESSAGE_BYTES_MAX and 0 < count <= RECORDS_MAX for count, content in made)


def test_an_array_for_one_symbol() -> None:
    records = np.zeros(BODY_BYTES // 48 + 2, BY_WORD["trade"].dtype)
    records["size"] = np.arange(len(records))
    made = list(bodies(records, "A", "trade"))
    assert [count for count, _ in made] == [BODY_BYTES // 48, 2]
    filled = records.copy()
    filled["length"], filled["rtype"] = 12, 0
    assert [record for count, content in made for _, record in read(count, content)] == [
        row.tobytes() for row in filled
    ]
    assert (records["length"] == 0).all(), "the caller's array is his own"
    assert list(bodies(filled, "A")) == made


def test_an_array_knows_its_schema_by_rtype_where_two_share_a_layout() -> None:
    bars = np.frombuffer(encode("bar1m", {}), BY_WORD["bar1m"].dtype)
    ((_, content),) = bodies(bars, "A")
    found = schema_of_rtype(content[5])
    assert found is not None
    assert found.word == "bar1m"


@pytest.mark.parametrize(
    ("records", "symbols", "said"),
    [
        (np.zeros(1, "<i4"), "A", "not an array of records"),
        (np.zeros(1, BY_WORD["trade"].dtype), "A", "length or rtype"),
        (b"x", "A", "end to end"),
        (encode("trade", {})[:-1], "A", "end to end"),
        (encode("trade", {}), ["A", "B"], "a symbol for each"),
        (encode("trade", {}), "A|", "not allowed"),
    ],
)
def test_what_is_no_records(records: bytes, symbols: str, said: str) -> None:
    with pytest.raises(CallerError, match=said):
        list(bodies(records, symbols))


def test_a_symbol_that_is_none_leaves_the_batch_as_it_was() -> None:
    batch = Batch()
    batch.add("A", encode("trade", {}))
    with pytest.raises(SymbolError):
        batch.add("A*", encode("trade", {}))
    assert read(1, batch.take()) == [("A", encode("trade", {}))]
