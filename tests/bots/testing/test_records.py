"""Records from names."""

from __future__ import annotations

import math

import pytest

from bots import ticks
from bots.testing import records
from feed.errors import CallerError, SymbolError
from feed.wire.records import BY_WORD, UNDEF_PRICE


def tick(schema: str, **fields: object) -> ticks.Tick:
    return ticks.make(
        schema, "AAPL", records.make(schema, fields, symbol="AAPL", now_ns=5, instrument_id=3, sequence=9)
    )


@pytest.mark.parametrize("schema", BY_WORD)
def test_every_schema_has_defaults_that_make_sense(schema: str) -> None:
    made = tick(schema)
    assert len(made.record) == BY_WORD[schema].record_bytes == 4 * made.record[0]
    assert made.rtype in BY_WORD[schema].rtypes
    assert (made.ts_event, made.instrument_id) == (5, 3)
    for name in records.names(schema):
        if name.endswith("px") and name != "strike_price":
            assert 99 < getattr(made, name) < 101, name


@pytest.mark.parametrize("schema", BY_WORD)
def test_every_field_that_may_be_given_is_on_the_tick(schema: str) -> None:
    made = tick(schema)
    for name in records.names(schema):
        assert hasattr(made, name), name


def test_what_is_given_is_what_the_bot_gets() -> None:
    trade = tick("trade", price=189.95, size=100, side="B", dbn_flags=128, ts_event=7)
    assert isinstance(trade, ticks.Trade)
    assert (trade.price, trade.price_raw, trade.size, trade.side) == (189.95, 189_950_000_000, 100, "B")
    assert (trade.dbn_flags, trade.ts_event, trade.sequence) == (128, 7, 9)
    exact = tick("trade", price_raw=1)
    assert isinstance(exact, ticks.Trade)
    assert exact.price_raw == 1
    definition = tick("definition", raw_symbol="ESZ6", strike_price=4000)
    assert isinstance(definition, ticks.Definition)
    assert (definition.raw_symbol, definition.strike_price) == ("ESZ6", 4000.0)


def test_prices_are_exact_however_large() -> None:
    trade = tick("trade", price=9_000_000_000.000000001)
    assert isinstance(trade, ticks.Trade)
    assert trade.price_raw == 9_000_000_000 * 10**9
    undefined = tick("trade", price=math.nan)
    assert isinstance(undefined, ticks.Trade)
    assert undefined.price_raw == UNDEF_PRICE


@pytest.mark.parametrize(
    ("schema", "given", "found"),
    [
        ("quote", {"bid_px": 10}, {"bid_px": 10.0, "ask_px": 10.02}),
        ("quote", {"ask_px": 10}, {"bid_px": 9.98, "ask_px": 10.0}),
        ("quote", {}, {"bid_px": 99.99, "ask_px": 100.01}),
        ("bbo", {"bid_px": 1, "ask_px": 3}, {"bid_px": 1.0, "ask_px": 3.0, "price": 100.0}),
        ("bar1m", {"open": 5, "close": 7}, {"open": 5.0, "high": 7.0, "low": 5.0, "close": 7.0}),
        ("bar1m", {"close": 7}, {"open": 7.0, "high": 7.0, "low": 7.0}),
        ("bar1d", {"open": 5, "high": 9, "low": 1}, {"open": 5.0, "high": 9.0, "low": 1.0, "close": 5.0}),
    ],
)
def test_what_is_not_given_follows_what_is(schema: str, given: dict[str, float], found: dict[str, float]) -> None:
    made = tick(schema, **given)
    assert {name: getattr(made, name) for name in found} == found


def test_a_book_by_sides_or_by_levels() -> None:
    book = tick("book", bids=[(5000.25, 7), (5000.0, 9)], asks=[(5000.5, 3)])
    assert isinstance(book, ticks.Book)
    assert book.bids == [(5000.25, 7), (5000.0, 9)]
    assert book.asks == [(5000.5, 3)]
    again = tick("book", levels=book.levels)
    assert isinstance(again, ticks.Book)
    assert again.record == book.record
    assert isinstance(tick("book"), ticks.Book)


@pytest.mark.parametrize(
    ("schema", "fields", "said"),
    [
        ("trade", {"prize": 1}, "Did you mean 'price'"),
        ("trade", {"bid_px": 1}, "expected rtype, .*price, price_raw, size"),
        ("trade", {"length": 1}, "no such field"),
        ("trade", {"size": -1}, "whole number from 0 to 4294967295, found -1"),
        ("trade", {"size": 1.5}, "whole number"),
        ("trade", {"side": "BUY"}, "one ASCII character, found 'BUY'"),
        ("trade", {"price": "ten"}, "a number"),
        ("trade", {"price": 1e10}, "9.2e9"),
        ("definition", {"currency": "EUROS"}, "at most 4"),
        ("book", {"bids": [(1, 1)] * 11}, "at most 10"),
    ],
)
def test_mistakes_are_told_with_what_is_allowed(schema: str, fields: dict[str, object], said: str) -> None:
    with pytest.raises(CallerError, match=said):
        records.make(schema, fields)


def test_no_such_schema() -> None:
    with pytest.raises(SymbolError, match="trade, quote"):
        records.make("trades", {})
