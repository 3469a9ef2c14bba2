"""Tick objects against databento-dbn, an independent decoder of the same bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bots import ticks
from feed.wire.records import BY_WORD, SCHEMAS, UNDEF_PRICE, schema_of_rtype

if TYPE_CHECKING:
    from pathlib import Path

RENAMED = {"flags": "dbn_flags"}


def records(data_dir: Path, pattern: str) -> list[Any]:
    """Every record of ours in the captures of `pattern`."""
    found = []
    for path in sorted(data_dir.glob(pattern)):
        raw = path.read_bytes()
        if path.suffix == ".zst":
            raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
        decoder = dbn.DBNDecoder(upgrade_policy=dbn.VersionUpgradePolicy.UPGRADE_TO_V3)
        decoder.write(raw)
        found += [each for each in decoder.decode() if not isinstance(each, dbn.Metadata)]
    return [each for each in found if schema_of_rtype(bytes(each)[1]) is not None]


@pytest.mark.parametrize("schema", [schema.word for schema in SCHEMAS])
def test_every_field_reads_as_the_oracle_says(data_dir: Path, schema: str) -> None:
    theirs = [
        each
        for each in records(data_dir, "databento-dbn/tests/**/test_data.*.v3.dbn.zst")
        if schema_of_rtype(bytes(each)[1]).word == schema  # type: ignore[union-attr]
    ]
    if not theirs:
        assert schema == "bar1d", "the captures have every schema but this one"
    for oracle in theirs:
        record = bytes(oracle)
        tick = ticks.make(schema, "X", record)
        assert tick.record == record
        for field in BY_WORD[schema].fields:
            if not field.unit or field.name == "length":
                continue
            if field.name == "levels":
                assert isinstance(tick, ticks.Book)
                for ours, its in zip(tick.levels, oracle.levels, strict=True):
                    assert str(ours.bid_px) == str(as_float(its.bid_px))
                    assert str(ours.ask_px) == str(as_float(its.ask_px))
                    assert ours[2:] == (its.bid_sz, its.ask_sz, its.bid_ct, its.ask_ct)
                continue
            compare(tick, field.name, field.unit, oracle)


def as_float(raw: int) -> float:
    return math.nan if raw == UNDEF_PRICE else raw / 1e9


def compare(tick: ticks.Tick, name: str, unit: str, oracle: Any) -> None:
    source = oracle
    if name.startswith(("bid_", "ask_")) and hasattr(oracle, "levels"):
        source = oracle.levels[0]
    if not hasattr(source, name):
        return  # a name that this oracle spells differently
    ours, theirs = getattr(tick, RENAMED.get(name, name)), getattr(source, name)
    if unit.startswith("1e-9"):
        assert getattr(tick, f"{name}_raw") == theirs
        assert str(ours) == str(as_float(theirs))
    elif isinstance(ours, str):
        yes_or_no = {True: "Y", False: "N", None: "~"}
        assert ours == yes_or_no.get(theirs, theirs) if name.startswith("is_") else ours == str(theirs)
    else:
        assert ours == int(theirs)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_price_is_the_nearest_double(raw: int) -> None:
    record = np.zeros(1, BY_WORD["trade"].dtype)
    record["price"] = raw
    trade = ticks.make("trade", "X", record.tobytes())
    assert isinstance(trade, ticks.Trade)
    assert trade.price_raw == raw
    if raw == UNDEF_PRICE:
        assert math.isnan(trade.price)
    elif abs(raw) < 2**53:
        assert trade.price == float(f"{raw}e-9")
    else:
        assert math.isclose(trade.price, raw / 10**9, rel_tol=1e-15)


def test_a_book_gives_the_levels_that_there_are() -> None:
    record = np.zeros(1, BY_WORD["book"].dtype)
    levels = record["levels"][0]
    levels["bid_px"] = levels["ask_px"] = UNDEF_PRICE
    levels["bid_px"][:2] = 100_000_000_000, 99_990_000_000
    levels["bid_sz"][:2] = 5, 6
    levels["ask_px"][0] = 100_010_000_000
    levels["ask_sz"][0] = 7
    book = ticks.make("book", "X", record.tobytes())
    assert isinstance(book, ticks.Book)
    assert book.bids == [(100.0, 5), (99.99, 6)]
    assert book.asks == [(100.01, 7)]
    assert (book.bid_px, book.bid_sz, book.ask_px, book.ask_sz) == (100.0, 5, 100.01, 7)
    assert len(book.levels) == 10
    assert math.isnan(book.levels[9].ask_px)


def test_a_bar_was_received_when_the_feed_had_it() -> None:
    bar = ticks.make("bar1m", "X", bytes(56))
    assert bar.ts_recv == bar.ts_in
    assert bar.schema == "bar1m"


def test_what_is_no_record_of_the_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="80 bytes"):
        ticks.make("quote", "X", bytes(79))
    with pytest.raises(KeyError):
        ticks.make("quotes", "X", bytes(80))
    with pytest.raises(AttributeError):
        _ = ticks.make("definition", "X", bytes(520)).no_such_field  # type: ignore[attr-defined]


def test_a_tick_that_nobody_filled_reads_as_nothing() -> None:
    assert (ticks.Tick().ts_event, ticks.Tick().schema, ticks.Quote().record) == (0, "", bytes(80))
    for schema in SCHEMAS:
        assert schema.word in repr(ticks.make(schema.word, "ABC", bytes(schema.record_bytes)))
