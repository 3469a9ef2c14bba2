"""The header of an exported DBN file, as Databento's own library reads it."""

from __future__ import annotations

import datetime
from typing import Any

import databento_dbn
from hypothesis import given
from hypothesis import strategies as st

from feed.archive.dbn import SYMBOL_MAX, header, symbology
from feed.normalize.dbn_symbols import DbnSymbols

DAY_NS = 86_400 * 10**9
FIRST = 19_905  # 2024-07-01


def read(found: list[tuple[str, int, int]], rtypes: list[int] | None = None, **more: Any) -> databento_dbn.Metadata:
    first, last = FIRST * DAY_NS, (FIRST + 9) * DAY_NS
    return databento_dbn.Metadata.decode(header(symbology(found), rtypes or [0, 1], first, last, **more))


def test_a_symbol_is_mapped_on_the_days_it_had_records() -> None:
    found = [("A", 7, FIRST), ("A", 7, FIRST + 1), ("A", 7, FIRST + 5), ("B", 8, FIRST)]
    metadata = read(found)
    start = datetime.date(2024, 7, 1)
    days = [(each["start_date"] - start, each["end_date"] - start) for each in metadata.mappings["A"]]
    assert [(a.days, b.days) for a, b in days] == [(0, 2), (5, 6)]
    assert {each["symbol"] for each in metadata.mappings["A"]} == {"7"}
    assert metadata.symbols == ["A", "B"]
    assert metadata.partial == metadata.not_found == []
    assert (metadata.version, metadata.start, metadata.end) == (3, FIRST * DAY_NS, (FIRST + 9) * DAY_NS + 1)
    assert str(metadata.stype_in) == "raw_symbol"
    assert str(metadata.stype_out) == "instrument_id"


def test_a_number_of_two_symbols_on_one_day_is_mapped_to_neither() -> None:
    found = [("A", 7, FIRST), ("B", 7, FIRST), ("A", 7, FIRST + 1), ("C", 9, FIRST)]
    names = symbology(found)
    assert names.ambiguous == {7: {"A", "B"}}
    symbols = DbnSymbols(read(found))
    assert symbols.at(7, FIRST * DAY_NS)[0] == "#7"
    assert symbols.at(7, (FIRST + 1) * DAY_NS)[0] == "A"
    assert read(found).partial == ["A", "B"]


def test_a_number_that_goes_to_another_symbol_the_next_day() -> None:
    symbols = DbnSymbols(read([("ESM4", 7, FIRST), ("ESU4", 7, FIRST + 1), ("ESU4", 8, FIRST)]))
    assert symbols.at(7, (FIRST + 1) * DAY_NS - 1)[0] == "ESM4"
    assert symbols.at(7, (FIRST + 1) * DAY_NS)[0] == "ESU4"
    assert symbols.at(8, FIRST * DAY_NS)[0] == "ESU4"


def test_the_schema_is_named_where_there_is_one() -> None:
    for rtype, name in [(0, "trades"), (1, "mbp-1"), (0xA0, "mbo"), (0xC3, "bbo-1s"), (0xC4, "bbo-1m")]:
        assert str(read([("A", 1, FIRST)], [rtype]).schema) == name
    assert read([("A", 1, FIRST)], [0xC3, 0xC4]).schema is None


def test_names_that_are_none_and_names_too_long() -> None:
    long = "X" * (SYMBOL_MAX + 1)
    found = [("#5", 5, FIRST), ("#6", 5, FIRST), (long, 9, FIRST)]
    assert symbology(found).too_long == {long}
    assert read(found).symbols == ["#6"]
    assert read(found, asked=["#6", "NONE"]).not_found == ["NONE"]


SYMBOLS = st.sampled_from(["A", "B", "C", "ES.c.0"])


@given(st.sets(st.tuples(SYMBOLS, st.integers(1, 4), st.integers(FIRST, FIRST + 8)), max_size=40))
def test_a_reader_finds_the_one_name_or_none(found: set[tuple[str, int, int]]) -> None:
    symbols = DbnSymbols(read(sorted(found)))
    for number in range(1, 5):
        for day in range(FIRST - 1, FIRST + 10):
            names = {symbol for symbol, n, d in found if (n, d) == (number, day)}
            told = symbols.at(number, day * DAY_NS + 12_345)[0]
            assert told == (names.pop() if len(names) == 1 else f"#{number}")
