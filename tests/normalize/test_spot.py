"""The units of sizes, and definitions."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.normalize.spot import SIZE_LIMIT, SpotInstrument, size_decimals
from feed.normalize.venue import SCHEMAS, VenueRecords
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from tests.sources.tape import Tape


@pytest.mark.parametrize(
    ("step", "enough", "decimals"),
    [
        ("0.00000001", "5", 8),  # 42.9 bitcoins
        ("0.00000001", "200", 7),
        ("0.00000001", "3000000", 3),
        ("0.00001", "5", 5),
        ("0.1", "1", 1),
        ("1", "1e12", 0),
        ("10", "1", 0),
        ("1e-30", "0", 18),
    ],
)
def test_units_are_as_fine_as_the_venues_as_long_as_sizes_reach_far_enough(
    step: str, enough: str, decimals: int
) -> None:
    assert size_decimals(Decimal(step), Decimal(enough)) == decimals


@given(st.decimals("1e-18", "1000", places=18), st.decimals("0", "1e9", places=3))
def test_no_unit_is_greater_than_it_must_be(step: Decimal, enough: Decimal) -> None:
    found = size_decimals(step, enough)
    assert found == 0 or enough * 10**found <= SIZE_LIMIT
    finer = size_decimals(step, Decimal(0))
    assert found == finer or enough * 10 ** (found + 1) > SIZE_LIMIT


def test_a_definition_says_the_unit(tape: Tape) -> None:
    records = VenueRecords(tape.sink, 7)
    index = records.add([tape.sink.topic(word, "BTC-USD.KRAKEN") for word in SCHEMAS], 1, 3)
    made = SpotInstrument("BTC-USD", "BTC/USD", "BTC", "USD", Decimal("0.1"), Decimal("0.00000001"), 3)
    made.define(records, index, 7, "KRAKEN", 5)
    records.flush()
    (taken,) = tape.take()
    (record,) = np.frombuffer(taken.record, BY_WORD["definition"].dtype)
    assert (taken.schema, taken.symbol, taken.ts_in) == ("definition", "BTC-USD.KRAKEN", 5)
    assert (record["unit_of_measure_qty"], record["min_price_increment"]) == (1_000_000, 100_000_000)
    assert [bytes(record[name]) for name in ("raw_symbol", "unit_of_measure", "currency", "exchange")] == [
        b"BTC/USD",
        b"BTC",
        b"USD",
        b"KRAK",
    ]
