"""Coinbase's messages: the venue's examples, numbers that jump, books and trades as records, noise."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.normalize.coinbase import GAP, Coinbase
from feed.normalize.coinbase_messages import Channel, Subscriptions
from feed.normalize.venue_books import BAD_LEVEL, MALFORMED
from tests.normalize.coinbase_words import TIME, book_message, message, trade_message
from tests.normalize.fuzz.venues import SUITE_MESSAGES, fuzz_coinbase
from tests.normalize.venue_play import BAD, LAST, SNAPSHOT, asked_topics, told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.normalize.venue_play import Told
    from tests.sources.tape import Tape

FIXTURES = "nautilus-adapter-fixtures/crates/adapters/coinbase/test_data"
NS = 1_775_572_201_456_789_000  # 2026-04-07T14:30:01.456789Z
BIDS, ASKS = [("68900.00", "1.50000000"), ("68899.50", "0.75")], [("68901.00", "0.5")]
TOP = (68_900_000_000_000, 150_000_000, 68_901_000_000_000, 50_000_000)


class Live:
    """One connection, two symbols on a tape."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.coinbase = Coinbase(tape.sink, 7)
        for index, name in enumerate(("BTC-USD", "ETH-USD")):
            assert self.coinbase.symbol(name, asked_topics(tape, f"{name}.COINBASE"), index + 1, 8) == index

    def hear(self, said: bytes) -> list[Told]:
        assert self.coinbase.apply(said, NS + 1000) is None
        self.coinbase.flush()
        return told(self.tape)


# --- the venue's examples ---------------------------------------------------------------------------------------------


def example(data_dir: Path, name: str, number: int) -> bytes:
    said = orjson.loads((data_dir / FIXTURES / f"ws_{name}.json").read_bytes())
    return orjson.dumps({**said, "sequence_num": number})


def test_the_venues_examples(data_dir: Path, tape: Tape) -> None:
    live = Live(tape)
    quote, book = live.hear((data_dir / FIXTURES / "ws_l2_data_snapshot.json").read_bytes())
    assert (quote.schema, quote.symbol, quote.flags) == ("quote", "BTC-USD.COINBASE", LAST | SNAPSHOT)
    assert quote.ts_event == NS - 1_333_333_000  # when it was sent: what the levels say is of long ago
    assert quote.levels == (TOP,)
    assert book.levels == (
        TOP,
        (68_899_500_000_000, 75_000_000, 68_901_500_000_000, 120_000_000),
        (68_899_000_000_000, 230_000_000, 68_902_000_000_000, 80_000_000),
    )
    quote, book = live.hear((data_dir / FIXTURES / "ws_l2_data_update.json").read_bytes())
    assert (quote.ts_event, quote.flags) == (NS, LAST)
    assert quote.levels == ((68_900_000_000_000, 200_000_000, 68_901_500_000_000, 120_000_000),)
    assert len(book.levels) == 3
    first, second = live.hear(example(data_dir, "market_trades", 2))
    assert first.levels == ((68_900_500_000_000, 150_000, ord("A"), 995_098_700),)  # a buyer rested, a seller came
    assert second.levels == ((68_900_000_000_000, 5_000_000, ord("B"), 995_098_701),)
    assert (first.ts_event, second.ts_event) == (NS + 1_332_223_000, NS + 1_343_211_000)
    assert live.hear(example(data_dir, "heartbeats", 3)) == []
    said = live.coinbase.apply(example(data_dir, "subscriptions", 4), 1)
    assert isinstance(said, Subscriptions)
    assert said.events[0].subscriptions == {"level2": ["BTC-USD"], "market_trades": ["BTC-USD", "ETH-USD"]}
    assert live.coinbase.take_rejected() == []
    for number, name in enumerate(("candles", "ticker"), 5):  # channels that nobody asked for have a number too
        assert live.hear(example(data_dir, name, number)) == []
    assert live.coinbase.expected == 7
    assert live.coinbase.take_rejected() == [("malformed", 2)]


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_a_number_that_is_left_out_is_a_gap_and_one_that_was_here_is_passed_over(tape: Tape) -> None:
    live = Live(tape)
    live.hear(book_message(0, "snapshot", BIDS, ASKS))
    assert live.hear(book_message(0, "update", [("68900.5", "1")], [])) == []
    assert live.coinbase.take_rejected() == [("duplicate", 1)]
    assert live.coinbase.apply(book_message(2, "update", [("68900.5", "1")], []), 1) == GAP
    assert live.coinbase.apply(message("heartbeats", 5, [{"heartbeat_counter": 1}]), 1) == GAP
    assert live.coinbase.apply(message("ticker", 5, []), 1) == GAP
    assert live.coinbase.expected == 1
    live.coinbase.forget(0, NS)
    assert [each.flags & BAD for each in told(tape)] == [BAD, BAD]
    live.coinbase.expected = 0
    assert [each.flags & BAD for each in live.hear(book_message(0, "snapshot", BIDS, ASKS))] == [0, 0]


def test_what_can_not_be_read_may_have_been_of_any_book(tape: Tape) -> None:
    live = Live(tape)
    update = book_message(0, "update", BIDS, ASKS)
    noise = [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, update[:-1], update.replace(b"offer", b"other")]
    noise.append(update.replace(b'"sequence_num":0', b'"sequence_num":-1'))
    noise.append(update.replace(b'"sequence_num":0', b'"sequence_num":1e99'))
    for each in noise:
        assert live.coinbase.apply(each, NS) == MALFORMED, each
    assert live.coinbase.take_rejected() == [("malformed", len(noise))]
    refused = live.coinbase.apply(b'{"type":"error","message":"authentication failure"}', NS)
    assert isinstance(refused, Channel)
    assert refused.message == "authentication failure"


# --- records ----------------------------------------------------------------------------------------------------------


def test_only_what_changes_is_told(tape: Tape) -> None:
    live = Live(tape)
    assert live.hear(book_message(0, "update", BIDS, ASKS)) == []  # no snapshot yet
    assert len(live.hear(book_message(1, "snapshot", BIDS, ASKS))) == 2
    assert live.hear(book_message(2, "update", BIDS, ASKS)) == []
    assert [each.schema for each in live.hear(book_message(3, "update", [("68000", "1")], []))] == ["book"]
    assert [each.schema for each in live.hear(book_message(4, "update", [], [("68901", "1")]))] == ["quote", "book"]
    deep = [(f"{price}", "1") for price in range(100, 130)]
    live.hear(book_message(5, "update", deep, []))
    assert live.hear(book_message(6, "update", [("101", "0"), ("99", "5")], [])) == []
    assert len(live.coinbase.book(0).levels(0)) == 33  # none is cut off
    assert live.coinbase.book(0).levels(0)[-1] == (99_000_000_000, Decimal(5))


def test_a_level_that_is_none_costs_its_symbol_alone(tape: Tape) -> None:
    live = Live(tape)
    live.hear(book_message(0, "snapshot", BIDS, ASKS))
    live.hear(book_message(1, "snapshot", BIDS, ASKS, "ETH-USD"))
    marked = live.hear(book_message(2, "update", [("1", "x")], []))
    assert [(each.symbol, each.flags & BAD) for each in marked] == [("BTC-USD.COINBASE", BAD)] * 2
    assert live.coinbase.take_wrong() == [(0, BAD_LEVEL)]
    assert not live.coinbase.is_live(0)
    assert live.coinbase.is_live(1)
    assert live.hear(book_message(3, "update", [("68900.5", "1")], [])) == []
    for price, fits in (("9999999997", True), ("0.0000000001", False), ("-1", False)):
        live.coinbase.expected = 0
        live.hear(book_message(0, "snapshot", BIDS, [*ASKS, (price, "1")]))
        assert live.coinbase.is_live(0) == fits
    assert live.hear(book_message(1, "update", BIDS, ASKS, "DOGE-USD")) == []
    assert dict(live.coinbase.take_rejected()) == {"unknown_symbol": 1, "impossible_price": 3, "impossible_size": 1}


def test_a_crossed_book_is_marked_as_long_as_it_is(tape: Tape) -> None:
    live = Live(tape)
    live.hear(book_message(0, "snapshot", BIDS, ASKS))
    crossed = live.hear(book_message(1, "update", [("68901.00", "1")], []))
    assert all(each.flags & BAD for each in crossed)
    assert crossed[-1].levels[0][0] == crossed[-1].levels[0][2]
    uncrossed = live.hear(book_message(2, "update", [("68901.00", "0")], []))
    assert [(each.flags & BAD, each.levels[0]) for each in uncrossed] == [(0, TOP), (0, TOP)]
    assert live.coinbase.take_wrong() == []


def test_trades_are_numbered(tape: Tape) -> None:
    live = Live(tape)
    assert live.hear(trade_message(0, "snapshot", 12, 11, 10)) == []  # of before we listened
    (first, second) = live.hear(trade_message(1, "update", 14, 13))  # the newest first
    assert first == ("trade", "BTC-USD.COINBASE", LAST, NS, ((5_100_000_000, 27_625, ord("A"), 13),))
    assert second.levels[0][3] == 14
    assert live.hear(trade_message(2, "update", 14)) == []
    assert live.coinbase.take_rejected() == [("duplicate", 1)]
    assert [each.levels[0][3] for each in live.hear(trade_message(3, "snapshot", 17, 16, 15, 14, 13))] == [15, 16, 17]
    assert [each.levels[0][3] for each in live.hear(trade_message(4, "update", 20))] == [20]
    assert live.coinbase.take_rejected() == [("missed_trade", 2)]
    bad = (b'"5.10"', b'"5e99"'), (b'"0.00027625"', b'"x"'), (b'"21"', b'"2.1"'), (b"BTC-USD", b"NO-USD")
    for number, (one, other) in enumerate(bad, 5):
        assert live.hear(trade_message(number, "update", 21).replace(one, other)) == []
    assert dict(live.coinbase.take_rejected()) == {
        "impossible_price": 1,
        "impossible_size": 1,
        "malformed": 1,
        "unknown_symbol": 1,
    }


@given(
    st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2400, 1, 1)),
    st.text("0123456789", max_size=12),
    st.sampled_from(["Z", "+00:00"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_times_are_to_the_nanosecond(tape: Tape, moment: datetime.datetime, part: str, zone: str) -> None:
    moment = moment.replace(microsecond=0, tzinfo=datetime.UTC)
    text = f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if part else ''}{part}{zone}"
    live = Live(tape)
    (trade,) = live.hear(trade_message(0, "update", 5).replace(TIME.encode(), text.encode()))
    assert trade.ts_event == int(moment.timestamp()) * 10**9 + int(part.ljust(9, "0")[:9] or 0)


@pytest.mark.parametrize(
    "bad", ["", "2026-04-07", "2026-13-07T14:30:01Z", "2026-04-07T14:30:01+01:00", "2026-04-07T14:30:01.Z", "x" * 30]
)
def test_what_is_no_time_is_undefined(tape: Tape, bad: str) -> None:
    live = Live(tape)
    (trade,) = live.hear(trade_message(0, "update", 5).replace(TIME.encode(), bad.encode()))
    assert trade.ts_event == 2**64 - 1


@pytest.mark.parametrize("seed", range(2))
def test_noise_breaks_nothing(seed: int) -> None:
    fuzz_coinbase(SUITE_MESSAGES // 2, seed)
