"""feed.normalize.best: the best bid and offer of all venues, told when it changes and only then."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.log.ring import Intake
from feed.metrics.counters import Counters
from feed.normalize.best import Best
from feed.sources.pushed import NEEDS_TOPICS, Pushed
from feed.wire.fields import encode
from feed.wire.pushing import body
from feed.wire.records import BY_ID, BY_WORD, UNDEF_PRICE
from tests.sources.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from feed.log.sink import Sink

BAD = 4
NOW = 10**18


class Told(NamedTuple):
    bid: int
    bid_size: int
    bid_venue: int
    ask: int
    ask_size: int
    ask_venue: int
    venue: int


class Quoting:
    """Quotes of venues through a Best into a log."""

    def __init__(self, sink: Sink, counters: Counters) -> None:
        self._sink = sink
        self._pushed = Pushed(sink, counters.histogram("tickcast_latency_seconds", stage="venue", transport="x"))

    def __call__(self, symbol: str, bid: int, ask: int, venue: int, *, size: int = 1, **more: Any) -> None:
        fields = {"bid_px": bid or None, "ask_px": ask or None, "bid_sz": size, "ask_sz": size, "publisher_id": venue}
        self.put(symbol, encode("quote", {"ts_recv": NOW, **fields, **more}))

    def put(self, symbol: str, record: bytes) -> None:
        content = body([symbol.encode()], b"", record)
        if self._pushed.take(content, 0, 1, 0) == NEEDS_TOPICS:
            for name, schema_id, _ in self._pushed.missing():
                self._pushed.bind(name, schema_id, self._sink.topic(BY_ID[schema_id].word, symbol))
            self._pushed.take(content, 0, 1, 0)
        self._pushed.stamp(NOW)
        assert self._pushed.pour(1) == 1
        self._pushed.flush()


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    counters = Counters.open(tmp_path, create=True)
    yield counters
    counters.close()


def told(tape: Tape, symbol: str = "BTC-USD.BEST") -> list[Told]:
    found = []
    for each in tape.take():
        if each.symbol == symbol:
            row = np.frombuffer(each.record, BY_WORD["quote"].dtype)[0]
            assert (row["flags"], each.ts_in) == (128 | 64, NOW)
            px = [0 if row[name] == UNDEF_PRICE else int(row[name]) // 10**9 for name in ("bid_px", "ask_px")]
            found.append(
                Told(px[0], int(row["bid_sz"]), int(row["bid_ct"]), px[1], int(row["ask_sz"]), int(row["ask_ct"]),
                     int(row["publisher_id"]))
            )  # fmt: skip
    return found


def test_the_best_of_two_venues_is_told_when_it_changes(tape: Tape, counters: Counters) -> None:
    best = Best(tape.sink, ["BTC*"])
    quote = Quoting(best, counters)
    quote("BTC-USD.A", 100, 105, 1)
    assert told(tape) == [], "one venue is no choice"
    quote("BTC-USD.B", 99, 104, 2)
    assert told(tape) == [Told(100, 1, 1, 104, 1, 2, 1)]
    quote("BTC-USD.B", 98, 104, 2)
    assert told(tape) == []
    quote("BTC-USD.B", 101, 104, 2)
    assert told(tape) == [Told(101, 1, 2, 104, 1, 2, 2)]
    quote("BTC-USD.A", 101, 104, 1)
    assert told(tape) == [Told(101, 1, 1, 104, 1, 1, 1)], "of equal ones the venue that was first"
    quote("BTC-USD.B", 101, 104, 2, size=5)
    assert told(tape) == [Told(101, 5, 2, 104, 5, 2, 2)], "or the larger"
    quote("BTC-USD.B", 101, 110, 2, size=5)
    assert told(tape) == [Told(101, 5, 2, 104, 1, 1, 1)], "only the offer changed: its venue"
    assert best.published == 5


def test_what_may_be_wrong_does_not_count(tape: Tape, counters: Counters) -> None:
    quote = Quoting(Best(tape.sink, ["BTC-USD"]), counters)
    quote("BTC-USD.A", 100, 105, 1)
    quote("BTC-USD.B", 101, 104, 2)
    quote("BTC-USD.B", 101, 104, 2, flags=BAD)
    quote("BTC-USD.A", 0, 105, 1)
    quote("BTC-USD.A", 0, 105, 1, flags=BAD)
    quote("BTC-USD.A", 0, 0, 1, flags=BAD)
    quote("BTC-USD.B", 90, 91, 2)
    assert told(tape) == [
        Told(101, 1, 2, 104, 1, 2, 2),
        Told(100, 1, 1, 105, 1, 1, 1),
        Told(0, 0, 0, 105, 1, 1, 0),
        Told(0, 0, 0, 0, 0, 0, 0),
        Told(90, 1, 2, 91, 1, 2, 2),
    ]


def test_an_old_quote_does_not_count(tape: Tape, counters: Counters) -> None:
    quote = Quoting(Best(tape.sink, ["*"], max_age_ns=1000), counters)
    quote("BTC-USD.A", 100, 105, 1)
    quote("BTC-USD.B", 99, 106, 2, ts_recv=NOW + 1000)
    quote("BTC-USD.B", 98, 106, 2, ts_recv=NOW + 1001)
    assert told(tape) == [Told(100, 1, 1, 105, 1, 1, 1), Told(98, 1, 2, 106, 1, 2, 2)]


def test_only_what_was_asked_for_and_quotes_of_venues(tape: Tape, counters: Counters) -> None:
    quote = Quoting(Best(tape.sink, ["BTC-USD"]), counters)
    for symbol in ("ETH-USD.A", "ETH-USD.B", "BTC-USD", "BTC-USD.BEST", "BTC-USDT.A", "BTC-USD.A"):
        quote(symbol, 100, 105, 1)
        quote.put(symbol, encode("trade", {"price": "1"}))
    symbols = [each.symbol for each in tape.take()]
    assert symbols.count("BTC-USD.BEST") == 2, "those that a source put there"
    assert len(symbols) == 12


def test_sources_in_threads_of_their_own_share_it(tape: Tape, counters: Counters) -> None:
    best = Best(tape.sink, ["*"])
    intake = Intake(tape.sink, best)
    best.intake = intake
    ends = []
    for venue in (1, 2):
        ring = intake.ring(1 << 16)

        def quoting(venue: int = venue, ring: Any = ring) -> None:
            quote = Quoting(ring, counters)
            for i in range(200):
                quote(f"BTC-USD.{venue}", 100 + (i * venue) % 7, 110 + (i + venue) % 5, venue)

        ends.append(threading.Thread(target=quoting))
        ends[-1].start()
    n = 0
    while n < 400:
        n += intake.poll(64)
    for end in ends:
        end.join()
    assert len(told(tape)) == best.published > 1


class Side(NamedTuple):
    price: int
    size: int


quotes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 6), st.integers(1, 3), st.booleans()), max_size=60
)


@given(quotes)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_what_looking_at_all_of_them_gives(
    tape: Tape, counters: Counters, made: list[tuple[int, int, int, int, bool]]
) -> None:
    symbol = f"X{tape.sink.next_seq}"
    quote = Quoting(Best(tape.sink, ["*"]), counters)
    for venue in (0, 1, 2, 3):
        quote(f"{symbol}.{venue}", 0, 0, venue + 1, size=0)
    now: dict[int, tuple[Side, Side, bool]] = {}
    expected: list[tuple[int, int, int, int]] = []
    shown: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    for venue, bid, ask, size, bad in made:
        quote(f"{symbol}.{venue}", bid, ask, venue + 1, size=size, flags=BAD if bad else 0)
        now[venue] = (Side(bid, size), Side(ask, size), bad)
        bids = [(each[0].price, each[0].size, -i) for i, each in now.items() if not each[2] and each[0].price]
        asks = [(-each[1].price, each[1].size, -i) for i, each in now.items() if not each[2] and each[1].price]
        top_bid, top_ask = max(bids, default=(0, 0, -9)), max(asks, default=(0, 0, -9))
        state = (top_bid[0], -top_bid[2] + 1, -top_ask[0], -top_ask[2] + 1)
        state = tuple(0 if each == 10 else each for each in state)  # type: ignore[assignment]
        full = (*state, top_bid[1], top_ask[1])
        if full != shown:
            expected.append(state)
            shown = full
    got = [(each.bid, each.bid_venue, each.ask, each.ask_venue) for each in told(tape, f"{symbol}.BEST")]
    assert got == expected
