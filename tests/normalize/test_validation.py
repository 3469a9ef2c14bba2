"""feed.normalize.validation: each rule finds what breaks it and nothing else; what is dropped never reaches the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.log.reader import LogReader
from feed.metrics.counters import Counters
from feed.normalize.validation import RULES, Validator
from feed.sources.pushed import NEEDS_TOPICS, Pushed
from feed.wire.frames import FLAG_DOUBTFUL
from feed.wire.pushing import body
from feed.wire.records import BY_ID, BY_WORD, UNDEF_PRICE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sources.tape import Tape

NOW = 1_700_000_000_000_000_000
UNIT = 10**9


def record(schema: str, **values: Any) -> bytes:
    """A sound record of `schema`, but for `values`."""
    row = np.zeros(1, BY_WORD[schema].dtype)
    row["length"] = BY_WORD[schema].record_bytes // 4
    row["rtype"] = BY_WORD[schema].rtypes[0]
    row["ts_event"] = NOW
    sound = {"action": b"T" if schema == "trade" else b"A", "price": 100 * UNIT, "size": 1}
    sound |= {"bid_px": 99 * UNIT, "ask_px": 101 * UNIT, "bid_sz": 1, "ask_sz": 1}
    if schema == "book":
        row["levels"]["bid_px"] = row["levels"]["ask_px"] = UNDEF_PRICE
        for name in ("bid_px", "ask_px", "bid_sz", "ask_sz"):
            row["levels"][name][0, 0] = values.pop(name, sound[name])
    ticks = schema in ("trade", "quote", "bbo", "book", "order")
    for name, value in {**(sound if ticks else {}), **values}.items():
        if name in (row.dtype.names or ()):
            row[name] = value
    return row.tobytes()


class Passing:
    """Records through a validator into a log."""

    def __init__(self, tape: Tape, counters: Counters, actions: dict[str, str], **bounds: Any) -> None:
        self.validator = Validator(tape.sink, actions, **bounds)
        venue = counters.histogram("tickcast_latency_seconds", stage="venue", transport="x")
        self._pushed = Pushed(self.validator, venue)
        self._reader = LogReader.open(tape.sink.directory, start="begin")

    def __call__(self, *records: bytes, symbol: str = "AAPL", ts_in: int = NOW) -> list[int]:
        """The flags of those that got into the log."""
        for each in records:
            content = body([symbol.encode()], b"", each)
            if self._pushed.take(content, 0, 1, 0) == NEEDS_TOPICS:
                for name, schema_id, _ in self._pushed.missing():
                    self._pushed.bind(name, schema_id, self.validator.topic(BY_ID[schema_id].word, symbol))
                assert self._pushed.take(content, 0, 1, 0) == 0
            self._pushed.stamp(ts_in)
            assert self._pushed.pour(1) == 1
        self._pushed.flush()
        return [tick.flags for tick in iter(self._reader.read, None) if tick.kind == 0]

    @property
    def ticks(self) -> int:
        return sum(n for _, n in self._pushed.take_ticks())

    def close(self) -> None:
        self._reader.close()


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    counters = Counters.open(tmp_path, create=True)
    yield counters
    counters.close()


BREAKS: dict[str, list[tuple[bytes, ...]]] = {
    "off_tick": [
        (record("trade", price=100 * UNIT + 1),),
        (record("quote", ask_px=101 * UNIT + 5),),
        (record("book", bid_px=98 * UNIT + 7),),
        (record("order", price=1),),
    ],
    "off_band": [
        (record("trade", price=201 * UNIT),),
        (record("quote", bid_px=-100 * UNIT),),
        (record("trade"), record("trade", price=150 * UNIT)),
        (record("quote"), record("quote", bid_px=150 * UNIT, ask_px=151 * UNIT)),
    ],
    "size_zero": [(record("trade", size=0),), (record("quote", bid_sz=0),), (record("order", size=0),)],
    "size_absurd": [(record("trade", size=1001),), (record("book", ask_sz=1001),), (record("order", size=2**32 - 2),)],
    "crossed": [(record("quote", bid_px=102 * UNIT),), (record("bbo", bid_px=102 * UNIT),)],
    "locked": [(record("quote", bid_px=101 * UNIT),), (record("book", bid_px=101 * UNIT),)],
    "time_future": [(record("trade", ts_event=NOW + 1001),), (record("status", ts_event=NOW + 1001),)],
    "time_old": [(record("trade", ts_event=NOW - 5001),), (record("order", ts_event=NOW - 5001),)],
    "sequence_back": [
        (record("trade", sequence=7), record("trade", sequence=6)),
        (record("order", sequence=1), record("order", sequence=2**32 - 1)),
    ],
    "duplicate": [
        (record("trade", sequence=7, ts_recv=1), record("trade", sequence=7, ts_recv=2, ts_in_delta=9)),
        (record("order", order_id=1), record("order", order_id=2), record("order", order_id=1, ts_recv=5)),
    ],
}
SOUND = [
    record("trade", price=UNDEF_PRICE, size=1),
    record("trade", action=b"C", size=0, price=3),
    record("quote", bid_px=UNDEF_PRICE, bid_sz=0),
    record("order", action=b"R", price=UNDEF_PRICE, size=0),
    record("status"),
    record("bar1s", ts_event=NOW - 10**15),
    record("order", flags=32, ts_event=NOW - 10**15, sequence=1),
]


@pytest.mark.parametrize("action", ["drop", "flag"])
@pytest.mark.parametrize(
    ("rule", "records"),
    [(rule, records) for rule in BREAKS for records in BREAKS[rule]],
    ids=[f"{rule}-{i}" for rule in BREAKS for i in range(len(BREAKS[rule]))],
)
def test_the_last_of_these_breaks_one_rule_and_no_other(
    tape: Tape, counters: Counters, rule: str, records: tuple[bytes, ...], action: str
) -> None:
    passing = Passing(
        tape, counters, dict.fromkeys(RULES, action), band=0.4, size_max=1000, ahead_ns=1000, behind_ns=5000
    )
    passing.validator.know("AAPL", UNIT, 0, 200 * UNIT)
    flags = passing(*records)
    dropped = action == "drop"
    assert flags == [0] * (len(records) - 1) + ([] if dropped else [FLAG_DOUBTFUL])
    assert passing.validator.broken
    assert passing.validator.take_broken() == [(rule, int(dropped), int(not dropped))]
    assert passing.validator.take_broken() == []
    assert passing.ticks == len(flags)
    passing.close()


def test_what_is_sound_passes_all_rules(tape: Tape, counters: Counters) -> None:
    passing = Passing(tape, counters, dict.fromkeys(RULES, "drop"), band=0.1, ahead_ns=1000, behind_ns=5000)
    passing.validator.know("AAPL", UNIT, 0, 200 * UNIT)
    assert passing(*SOUND) == [0] * len(SOUND)
    assert passing.validator.take_broken() == []
    passing.close()


def test_rules_that_are_not_named_are_not_looked_at(tape: Tape, counters: Counters) -> None:
    passing = Passing(tape, counters, {"locked": "drop", "crossed": "pass"})
    passing.validator.know("AAPL", UNIT, 0, UNIT)
    broken = [each for rule in BREAKS if rule != "locked" for records in BREAKS[rule] for each in records]
    assert passing(*broken) == [0] * len(broken)
    passing.close()


def test_a_price_that_the_next_one_confirms_is_where_the_market_is(tape: Tape, counters: Counters) -> None:
    passing = Passing(tape, counters, {"off_band": "drop"}, band=0.1)
    prices = [100, 101, 500, 102, 50, 51, 52, 100]
    assert len(passing(*(record("trade", price=price * UNIT) for price in prices))) == 5
    assert passing.validator.take_broken() == [("off_band", 3, 0)]
    passing.close()


def test_numbers_may_begin_anew_later(tape: Tape, counters: Counters) -> None:
    passing = Passing(tape, counters, {"sequence_back": "drop"})
    later = NOW + 61 * UNIT
    assert passing(record("trade", sequence=900), record("trade", sequence=1, ts_event=later)) == [0, 0]
    assert passing(record("trade", sequence=2**32 - 1, ts_event=later)) == []  # 2^32 - 1 is before 1
    passing.close()


def test_a_definition_gives_tick_and_limits_of_its_symbol(tape: Tape, counters: Counters) -> None:
    passing = Passing(tape, counters, {"off_tick": "drop", "off_band": "drop"})
    off = record("trade", price=100 * UNIT + 1)
    assert passing(off) == [0]
    told = record("definition", min_price_increment=UNIT // 4, low_limit_price=0, high_limit_price=300 * UNIT)
    assert passing(told) == [0]
    assert passing(off, record("trade", price=301 * UNIT), record("trade", price=99 * UNIT + UNIT // 4)) == [0]
    assert passing(off, symbol="MSFT") == [0]
    assert passing.validator.take_broken() == [("off_tick", 1, 0), ("off_band", 1, 0)]
    passing.close()


def test_times_are_held_against_the_clock_where_the_sink_stamps(tape: Tape, counters: Counters) -> None:
    passing = Passing(tape, counters, {"time_old": "flag"})
    assert passing(record("trade"), ts_in=0) == [FLAG_DOUBTFUL]
    passing.close()


schemas = st.sampled_from([word for word in BY_WORD if word != "definition"])


@given(data=st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_anything_each_record_is_passed_flagged_or_dropped_and_counted(
    tape: Tape, counters: Counters, data: st.DataObject
) -> None:
    actions = data.draw(st.dictionaries(st.sampled_from(RULES), st.sampled_from(["drop", "flag", "pass"])))
    passing = Passing(tape, counters, actions, band=0.5, size_max=10)
    passing(symbol="X")
    made = []
    for _ in range(data.draw(st.integers(1, 12))):
        schema = data.draw(schemas)
        size = BY_WORD[schema].record_bytes
        noise = bytearray(data.draw(st.binary(min_size=size, max_size=size)))
        noise[0], noise[1] = size // 4, BY_WORD[schema].rtypes[0]
        made.append(bytes(noise))
    flags = passing(*made, symbol="X")
    counted = passing.validator.take_broken()
    assert len(made) - len(flags) == sum(dropped for _, dropped, _ in counted)
    assert sum(each == FLAG_DOUBTFUL for each in flags) == sum(flagged for *_, flagged in counted)
    assert all(actions[rule] == ("drop" if dropped else "flag") for rule, dropped, _ in counted)
    passing.close()
