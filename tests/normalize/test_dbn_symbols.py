from __future__ import annotations

import datetime
from types import SimpleNamespace

import databento_dbn
from hypothesis import given
from hypothesis import strategies as st

from feed.normalize.dbn_symbols import END_OF_TIME, DbnSymbols

DAY_NS = 86_400 * 10**9
MONDAY = datetime.date(2024, 7, 1)
MONDAY_NS = (MONDAY - datetime.date(1970, 1, 1)).days * DAY_NS


def day(n: int) -> datetime.date:
    return MONDAY + datetime.timedelta(days=n)


def interval(start: int, end: int, name: str) -> SimpleNamespace:
    return SimpleNamespace(start_date=day(start), end_date=day(end), symbol=name)


def symbols(
    mappings: dict[str, list[tuple[int, int, str]]], stype_in: str = "raw_symbol", stype_out: str = "instrument_id"
) -> DbnSymbols:
    """Days are counted from MONDAY; what comes back went through a real header."""
    metadata = databento_dbn.Metadata(
        dataset="GLBX.MDP3",
        start=0,
        stype_in=databento_dbn.SType(stype_in),
        stype_out=databento_dbn.SType(stype_out),
        schema=None,
        symbols=[],
        partial=[],
        not_found=[],
        mappings=[  # the library names protocols for these, any object with the attributes does
            SimpleNamespace(raw_symbol=key, intervals=[interval(*one) for one in intervals])
            for key, intervals in mappings.items()
        ],
    )
    return DbnSymbols(databento_dbn.Metadata.decode(metadata.encode()))


def test_a_symbol_holds_from_its_first_day_to_the_day_before_its_last() -> None:
    names = symbols({"ESU4": [(0, 2, "118")], "ESZ4": [(2, 3, "118")], "NQU4": [(0, 9, "7")]})
    assert names.at(118, MONDAY_NS) == ("ESU4", MONDAY_NS, MONDAY_NS + 2 * DAY_NS)
    assert names.at(118, MONDAY_NS + 2 * DAY_NS - 1)[0] == "ESU4"
    assert names.at(118, MONDAY_NS + 2 * DAY_NS) == ("ESZ4", MONDAY_NS + 2 * DAY_NS, MONDAY_NS + 3 * DAY_NS)
    assert names.at(7, MONDAY_NS)[0] == "NQU4"
    assert names.unnamed == set()


def test_without_a_mapping_the_number_is_the_name() -> None:
    names = symbols({"ESU4": [(0, 2, "118")], "": [(0, 2, "9")], "EMPTY": [(0, 2, "")], "ODD": [(0, 2, "x")]})
    assert names.at(118, MONDAY_NS - 1) == ("#118", 0, MONDAY_NS)
    assert names.at(118, MONDAY_NS + 2 * DAY_NS) == ("#118", MONDAY_NS + 2 * DAY_NS, END_OF_TIME)
    assert names.at(5, 0) == ("#5", 0, END_OF_TIME)
    assert names.at(5, END_OF_TIME) == ("#5", 0, END_OF_TIME)
    assert names.at(9, MONDAY_NS)[0] == "#9"
    assert names.unnamed == {118, 5, 9}


def test_a_name_that_is_no_symbol_gives_way_to_the_number() -> None:
    names = symbols({"A|B": [(0, 1, "1")], "A*": [(0, 1, "2")], "BRK B": [(0, 1, "3")]})
    assert [names.at(i, MONDAY_NS)[0] for i in (1, 2, 3)] == ["#1", "#2", "BRK B"]
    assert names.unnamed == {1, 2}


def test_files_asked_for_by_number_map_the_other_way() -> None:
    names = symbols({"118": [(0, 2, "ESU4")]}, "instrument_id", "raw_symbol")
    assert names.at(118, MONDAY_NS)[0] == "ESU4"
    assert symbols({"118": [(0, 2, "118")]}, "instrument_id", "instrument_id").at(118, MONDAY_NS)[0] == "118"


def test_what_the_stream_tells_holds_until_the_file_begins_again() -> None:
    names = symbols({"ESU4": [(0, 2, "118")]})
    names.tell(118, "ES.FUT", "ESZ4")
    names.tell(9, "NQU4", "9")
    names.tell(10, "CLU4", "")
    assert names.at(118, 0) == ("ESZ4", 0, END_OF_TIME)
    assert names.at(9, 0)[0] == "NQU4"
    assert names.at(10, 0)[0] == "CLU4"
    names.forget_told()
    assert names.at(118, MONDAY_NS)[0] == "ESU4"
    assert names.at(9, 0)[0] == "#9"


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.sampled_from(["A", "B", "C"])), max_size=8),
    st.integers(-1, 21),
)
def test_an_answer_is_the_same_all_over_its_span(intervals: list[tuple[int, int, str]], asked: int) -> None:
    mappings: dict[str, list[tuple[int, int, str]]] = {}
    for start, end, name in sorted(intervals, key=lambda one: one[2]):
        mappings.setdefault(name, []).append((start, end, "1"))
    names = symbols(mappings)
    symbol, from_ns, to_ns = names.at(1, MONDAY_NS + asked * DAY_NS)
    assert from_ns <= MONDAY_NS + asked * DAY_NS < to_ns
    for at in range(-1, 22):
        starts = [(start, name) for name, spans in mappings.items() for start, end, _ in spans if start <= at < end]
        latest = [name for start, name in starts if start == max(starts)[0]]
        expected = min(latest, default="#1")
        ts = MONDAY_NS + at * DAY_NS
        assert names.at(1, ts)[0] == expected
        if from_ns <= ts < to_ns:
            assert symbol == expected
