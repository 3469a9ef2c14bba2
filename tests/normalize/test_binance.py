"""feed.normalize.binance: messages of the venue's shapes, the rules of its books, and real captures."""

from __future__ import annotations

import gzip
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.normalize.binance import ANSWER, DONE, HELD_MAX, NEEDS_SNAPSHOT, PUBLISHERS, Binance
from feed.normalize.binance_instruments import instruments, venue_name
from feed.normalize.venue import BOOK, NO_TOPIC, QUOTE, SCHEMAS
from feed.wire.records import BY_WORD, UNDEF_PRICE, UNDEF_TIMESTAMP
from tests.fakevenue.market import ASK, BID, Market
from tests.normalize import binance_mutated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sources.tape import Tape

BAD, SNAPSHOT, LAST = 4, 32, 128
NOW = 1_700_000_000_000_000_000
CAPTURES = {
    "spot": ("spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"),
    "usdm": ("usdm/btcusdt_20240808.gz",),
    "coinm": ("cm/btcusd_perp_20240808.gz",),
}


class Desk:
    """One symbol of a market, BTCUSDT, and what it put in."""

    def __init__(self, tape: Tape, market: str = "spot", decimals: int = 3, schemas: tuple[str, ...] = SCHEMAS) -> None:
        self.binance = Binance(tape.sink, PUBLISHERS[market])
        topics = [tape.sink.topic(word, "BTC-USDT.BINANCE") if word in schemas else NO_TOPIC for word in SCHEMAS]
        self.index = self.binance.add(topics, 7, decimals)
        self.binance.name(self.index, "BTCUSDT")
        self._tape = tape

    def hear(self, **fields: Any) -> int:
        data = {"s": "BTCUSDT", **fields}
        return self.binance.apply(orjson.dumps({"stream": "btcusdt@x", "data": data}), NOW)

    def depth(self, first: int, last: int, bids: Any = (), asks: Any = (), **fields: Any) -> int:
        return self.hear(e="depthUpdate", E=5, U=first, u=last, b=list(bids), a=list(asks), **fields)

    def snapshot(self, last: int, bids: Any = (), asks: Any = ()) -> bool:
        payload = orjson.dumps({"lastUpdateId": last, "bids": list(bids), "asks": list(asks)})
        return self.binance.snapshot(self.index, payload, NOW + 1)

    def records(self) -> list[Any]:
        """Each as a numpy record of its schema."""
        self.binance.flush()
        return [np.frombuffer(tick.record, BY_WORD[tick.schema].dtype)[0] for tick in self._tape.take()]

    def top(self) -> tuple[list[tuple[int, Decimal]], list[tuple[int, Decimal]]]:
        return self.binance.levels(self.index, BID, 1), self.binance.levels(self.index, ASK, 1)

    def rejected(self) -> dict[str, int]:
        return dict(self.binance.take_rejected())


# --- the three kinds of message ---


def test_a_trade_has_its_aggressor_its_number_and_both_times(tape: Tape) -> None:
    desk = Desk(tape)
    trade = {"e": "trade", "E": 1723161255343, "t": 2**32 + 9, "p": "61837.63000000", "q": "0.02000000"}
    assert desk.hear(**trade, T=1723161255342, m=True, M=True) == DONE
    (record,) = desk.records()
    assert (record["price"], record["size"], record["side"]) == (61837_630000000, 20, b"A")
    assert (record["ts_event"], record["ts_recv"]) == (1723161255342_000000, NOW)
    assert (record["sequence"], record["publisher_id"], record["instrument_id"]) == (9, PUBLISHERS["spot"], 7)
    assert (record["action"], record["flags"]) == (b"T", LAST)


def test_a_ticker_is_a_quote_and_spots_has_no_time(tape: Tape) -> None:
    desk = Desk(tape)
    desk.hear(u=5, b="61837.63000000", B="3.78826000", a="61837.64000000", A="1.54698000")
    desk.hear(e="bookTicker", u=6, b="1.5", B="2", a="0.00", A="0.000", T=8, E=9)
    first, second = desk.records()
    assert (first["bid_px"], first["ask_px"]) == (61837_630000000, 61837_640000000)
    assert (first["bid_sz"], first["ask_sz"], first["sequence"]) == (3788, 1547, 5)
    assert first["ts_event"] == UNDEF_TIMESTAMP
    assert (second["bid_px"], second["ask_px"], second["ask_sz"]) == (1_500000000, UNDEF_PRICE, 0)
    assert second["ts_event"] == 8_000_000


def test_what_says_nothing_new_makes_no_record(tape: Tape) -> None:
    desk = Desk(tape)
    for u in (5, 5, 4, 6):
        desk.hear(u=u, b="1.5", B="2", a="1.6", A="3")
    assert len(desk.records()) == 1
    assert desk.rejected() == {"duplicate": 2}


def test_trades_that_are_missing_are_counted_and_those_that_come_twice_dropped(tape: Tape) -> None:
    desk = Desk(tape)
    for t in (10, 11, 11, 15, 14, 16, 10_000_000):
        desk.hear(e="trade", t=t, p="1", q="1", T=1, m=False)
    assert [record["sequence"] for record in desk.records()] == [10, 11, 15, 16, 10_000_000]
    assert desk.rejected() == {"duplicate": 2, "missed_trade": 3}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"e": "trade", "t": 1, "p": "0", "q": "1", "m": True}, "impossible_price"),
        ({"e": "trade", "t": 1, "p": "-1", "q": "1", "m": True}, "impossible_price"),
        ({"e": "trade", "t": 1, "p": "99999999999", "q": "1", "m": True}, "impossible_price"),
        ({"e": "trade", "t": 1, "p": "0.0000000001", "q": "1", "m": True}, "impossible_price"),
        ({"e": "trade", "t": 1, "p": "1", "q": "0", "m": True}, "impossible_size"),
        ({"e": "trade", "t": 1, "p": "1", "q": 5, "m": True}, "impossible_size"),
        ({"e": "trade", "p": "1", "q": "1", "m": True}, "malformed"),
        ({"e": "trade", "t": -1, "p": "1", "q": "1", "m": True}, "malformed"),
        ({"e": "kline", "u": 1}, "malformed"),
        ({"e": "trade", "s": "ETHUSDT"}, "unknown_symbol"),
        ({"u": 1, "b": "x", "B": "1", "a": "1", "A": "1"}, "impossible_price"),
        ({"u": 1, "b": "1", "B": [], "a": "1", "A": "1"}, "impossible_size"),
    ],
)
def test_what_cannot_be_is_counted_by_reason(tape: Tape, fields: dict[str, Any], reason: str) -> None:
    desk = Desk(tape)
    desk.hear(**fields)
    assert desk.rejected() == {reason: 1}
    assert desk.records() == []


def test_answers_are_not_the_markets(tape: Tape) -> None:
    binance = Desk(tape).binance
    for payload in (b'{"result":null,"id":1}', b'{"error":{"code":2,"msg":"a \\"b\\" }"},"id":1}', b" {} "):
        assert binance.apply(payload, NOW) == ANSWER
    assert binance.take_rejected() == []


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{", b'{"s":"BTCUSDT"', b'{"s":1}', b'{"s":"BTCUSDT"}}', b'{"E":1.5,"s":"BTCUSDT"}', b"\xff"],
)
def test_what_is_no_json_object_is_malformed(tape: Tape, payload: bytes) -> None:
    desk = Desk(tape)
    assert desk.binance.apply(payload, NOW) == DONE
    assert desk.rejected() == {"malformed": 1}


def test_sizes_of_many_digits_are_exact_or_cut(tape: Tape) -> None:
    desk = Desk(tape, decimals=0)
    desk.hear(u=1, b="0.00001", B="4294967293.00000000", a="0.00002", A="123456789012345.00000000")
    (record,) = desk.records()
    assert (record["bid_sz"], record["ask_sz"]) == (4294967293, 2**32 - 2)


# --- the book ---


def test_updates_wait_for_a_snapshot_and_follow_it(tape: Tape) -> None:
    desk = Desk(tape)
    assert desk.depth(98, 100, [("10", "1")]) == NEEDS_SNAPSHOT
    assert desk.depth(101, 103, [("11", "2")], [("12", "0")]) == NEEDS_SNAPSHOT
    assert desk.records() == []
    assert desk.snapshot(101, [("10", "9"), ("9", "1")], [("12", "1"), ("13", "0.5")])
    record, quote = desk.records()
    assert [(level["bid_px"], level["bid_sz"]) for level in record["levels"][:3]] == [
        (11_000000000, 2000),
        (10_000000000, 9000),
        (9_000000000, 1000),
    ]
    assert [(level["ask_px"], level["ask_sz"]) for level in record["levels"][:2]] == [
        (13_000000000, 500),
        (UNDEF_PRICE, 0),
    ]
    assert (record["sequence"], record["flags"], record["ts_event"]) == (103, LAST | SNAPSHOT, 5_000_000)
    assert (quote["bid_px"], quote["bid_sz"], quote["ask_px"]) == (11_000000000, 2000, 13_000000000)
    assert (quote["sequence"], quote["flags"]) == (103, LAST | SNAPSHOT)
    desk.hear(u=103, b="1", B="1", a="2", A="1")
    assert desk.records() == []  # it is older than what is known
    assert desk.depth(104, 104, [("9", "2")]) == DONE
    (record,) = desk.records()
    assert (record["sequence"], record["flags"], record["ts_recv"]) == (104, LAST, NOW)


@pytest.mark.parametrize(
    ("market", "held", "last", "sound"),
    [
        ("spot", [(98, 100)], 96, False),  # between snapshot and stream something is missing
        ("spot", [(98, 100)], 97, True),
        ("spot", [(98, 100)], 99, True),
        ("spot", [(98, 100)], 100, True),
        ("spot", [(98, 100)], 120, True),
        ("spot", [(98, 100), (102, 103)], 99, False),  # a hole in what was held
        ("spot", [(98, 100), (102, 103)], 101, True),  # which the snapshot has
        ("usdm", [(98, 100, 90)], 89, False),
        ("usdm", [(98, 100, 90)], 90, True),
        ("usdm", [(98, 100, 90)], 100, True),
        ("usdm", [(98, 100, 90), (105, 110, 100)], 99, True),
        ("usdm", [(98, 100, 90), (105, 110, 101)], 99, False),
        ("usdm", [(98, 100, 90), (105, 110, 101)], 102, True),
    ],
)
def test_a_snapshot_must_stand_in_the_stream(tape: Tape, market: str, held: Any, last: int, sound: bool) -> None:
    desk = Desk(tape, market)
    for first, u, *pu in held:
        desk.depth(first, u, [(str(u), "1")], pu=pu[0] if pu else 0)
    assert desk.snapshot(last, [("1", "1")], [("1000", "1")]) is sound
    assert desk.binance.is_waiting(desk.index) is not sound
    if not sound:
        assert desk.snapshot(500, [("1", "1")], [("1000", "1")])


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_a_gap_marks_the_book_at_once_until_a_snapshot_is_there(tape: Tape, market: str) -> None:
    desk = Desk(tape, market)
    desk.depth(1, 5, pu=0)
    assert desk.snapshot(5, [("10", "1")], [("12", "1")])
    assert desk.depth(6, 8, [("10", "2")], pu=5) == DONE
    assert desk.depth(10, 11, [("10", "3")], pu=9) == NEEDS_SNAPSHOT
    assert (desk.binance.cause, desk.binance.is_doubtful(desk.index)) == ("gap", BOOK)
    assert desk.depth(12, 13, [("10", "4")], pu=11) == NEEDS_SNAPSHOT
    assert desk.binance.cause == ""
    *_, before, marked = desk.records()
    assert (before["flags"], marked["flags"], marked["action"]) == (LAST, LAST | BAD, b"N")
    assert marked["levels"].tobytes() == before["levels"].tobytes()
    assert desk.snapshot(12, [("10", "7")], [("12", "1")])
    (record,) = desk.records()
    assert (record["flags"], record["levels"][0]["bid_sz"]) == (LAST | SNAPSHOT, 4000)
    desk.hear(u=99, b="1", B="1", a="2", A="1")
    assert desk.records()[0]["flags"] == LAST  # quotes were right all the time


def test_what_was_there_before_is_dropped_and_counted(tape: Tape) -> None:
    desk = Desk(tape)
    desk.depth(1, 5)
    desk.snapshot(5, [("10", "1")], [("12", "1")])
    desk.depth(6, 8, [("10", "2")])
    assert desk.depth(6, 8, [("10", "5")]) == DONE
    assert desk.top()[0] == [(10_000000000, Decimal(2))]
    assert desk.rejected() == {"duplicate": 1}


@pytest.mark.parametrize("level", [["x", "1"], ["1"], [1, 2], ["1", "-2"], "1", ["0", "1"], ["1", "1" * 30], ["", "1"]])
def test_an_update_with_a_level_that_is_none_costs_the_symbol_a_snapshot(tape: Tape, level: Any) -> None:
    desk = Desk(tape)
    desk.depth(1, 5)
    desk.snapshot(5, [("10", "1")], [("12", "1")])
    desk.records()
    assert desk.depth(6, 8, [("11", "1"), level]) == NEEDS_SNAPSHOT
    assert desk.binance.cause == "malformed"
    (record,) = desk.records()
    assert (record["flags"], record["levels"][0]["bid_px"]) == (LAST | BAD, 10_000000000)  # nothing of it was taken


def test_an_ask_beyond_all_prices_is_left_out(tape: Tape) -> None:
    desk = Desk(tape)
    desk.depth(1, 5)
    assert desk.snapshot(5, [("10", "1")], [("12", "1"), ("99999999999", "1")])
    assert desk.depth(6, 8, [], [("88888888888", "1"), ("12", "2")]) == DONE
    assert desk.top()[1] == [(12_000000000, Decimal(2))]
    assert desk.rejected() == {"impossible_price": 2}


def test_a_connection_that_ends_marks_quote_and_book(tape: Tape) -> None:
    desk = Desk(tape)
    desk.depth(1, 5)
    desk.snapshot(5, [("10", "1")], [("12", "1")])
    desk.hear(u=5, b="10", B="1", a="12", A="1")
    desk.records()
    desk.binance.down(desk.index, NOW + 2)
    desk.binance.down(desk.index, NOW + 3)
    assert {record["flags"] for record in desk.records()} == {LAST | BAD}
    assert desk.binance.is_doubtful(desk.index) == QUOTE | BOOK
    desk.hear(u=5, b="10", B="1", a="12", A="1")  # the venue's numbers may begin anew, and the same state is news
    (record,) = desk.records()
    assert record["flags"] == LAST
    assert desk.binance.is_doubtful(desk.index) == BOOK


def test_a_crossed_snapshot_is_of_no_use(tape: Tape) -> None:
    desk = Desk(tape)
    desk.depth(1, 5)
    assert not desk.snapshot(5, [("12", "1")], [("12", "1")])
    assert desk.binance.is_waiting(desk.index)
    assert desk.records() == []


def test_a_book_that_comes_near_its_snapshots_end_is_due_for_another_and_goes_on(tape: Tape) -> None:
    desk = Desk(tape, decimals=0)
    bids = [(str(2000 - i), "1") for i in range(1000)]
    asks = [(str(2001 + i), "1") for i in range(1000)]
    desk.depth(1, 5)
    assert desk.snapshot(5, bids, asks)
    gone = [(str(2000 - i), "0") for i in range(895)]
    assert desk.depth(6, 6, gone) == DONE
    assert desk.depth(7, 7, [("1105", "0"), *[(str(1104 - i), "0") for i in range(10)]]) == NEEDS_SNAPSHOT
    assert desk.binance.cause == ""
    desk.depth(8, 8, [(str(1094 - i), "0") for i in range(80)])
    assert desk.binance.is_doubtful(desk.index) == 0
    desk.depth(9, 9, [(str(1014 - i), "0") for i in range(10)])  # four are left of what is known
    assert desk.binance.is_doubtful(desk.index) == BOOK
    assert desk.depth(10, 10, [("1004", "5")]) == NEEDS_SNAPSHOT
    assert desk.records()[-1]["flags"] == LAST | BAD
    assert desk.snapshot(8, [(str(1014 - i), "1") for i in range(500)], asks)
    record = desk.records()[-1]
    assert (record["flags"], record["sequence"]) == (LAST | SNAPSHOT, 10)
    assert [level["bid_px"] // 10**9 for level in record["levels"]] == list(range(1004, 994, -1))
    assert record["levels"][0]["bid_sz"] == 5
    assert desk.depth(11, 11, [("1004", "6")]) == DONE


def test_of_updates_that_wait_too_long_the_oldest_go(tape: Tape) -> None:
    desk = Desk(tape)
    for u in range(1, HELD_MAX + 100):
        desk.depth(u, u, [("10", str(u))])
    assert not desk.snapshot(50, [("10", "1")], [("12", "1")])
    assert desk.snapshot(HELD_MAX, [("10", "1")], [("12", "1")])
    assert desk.top()[0] == [(10_000000000, Decimal(HELD_MAX + 99))]


@given(st.integers(0, 10**9), st.booleans())
def test_no_unmarked_book_is_ever_wrong_whatever_is_lost(seed: int, futures: bool) -> None:
    """A market's updates, some lost, doubled or damaged, with snapshots that come late, old or not at all."""
    chance = random.Random(seed)
    binance = Watched(futures)
    market = Market("BTCUSDT", seed=seed)
    last, past, due = 1000, {1000: market.state()}, -1
    snapshot = (last, (market.levels(BID, 1000), market.levels(ASK, 1000)))
    for step in range(60):
        changes = market.move(1 + chance.randrange(5))
        if changes:
            previous, first = last, last + (chance.randrange(1, 5) if futures else 1)
            last = first + len(changes)
            past[last] = market.state()
            update = {"e": "depthUpdate", "s": "BTCUSDT", "U": first, "u": last, "pu": previous}
            for side, key in ((BID, "b"), (ASK, "a")):
                update[key] = [[str(c.price), str(c.size)] for c in changes if c.side == side]
            for _ in range(chance.choice([0, 1, 1, 1, 1, 1, 1, 2])):
                wants = binance.hear(update) == NEEDS_SNAPSHOT
                if wants and due < 0:
                    due = step + chance.randrange(6)
        if chance.random() < 0.5:
            snapshot = (last, (market.levels(BID, 1000), market.levels(ASK, 1000)))
        if due == step:
            due = -1 if binance.snapshot(*snapshot) else step + 1 + chance.randrange(3)
        if chance.random() < 0.03:
            binance.down()
            due = -1
        for u, levels in binance.unmarked():
            assert levels == past[u]


class Watched:
    """A normaliser whose book is looked at as it is told: from its state, which needs no log."""

    def __init__(self, futures: bool) -> None:
        self._binance = Binance(None, PUBLISHERS["usdm" if futures else "spot"])
        self._index = self._binance.add([0, 1, 2, 3], 1, 0)
        self._binance.name(self._index, "BTCUSDT")
        self._at = 0
        self._told: list[tuple[int, Any]] = []

    def hear(self, update: dict[str, Any]) -> int:
        found = self._binance.apply(orjson.dumps(update), NOW)
        self._look(update["u"])
        return found

    def snapshot(self, last: int, state: Any) -> bool:
        bids, asks = ([[str(price), str(size)] for price, size in side] for side in state)
        return self._binance.snapshot(
            self._index, orjson.dumps({"lastUpdateId": last, "bids": bids, "asks": asks}), NOW
        )

    def down(self) -> None:
        self._binance.down(self._index, NOW)

    def unmarked(self) -> Iterator[tuple[int, Any]]:
        yield from self._told
        self._told.clear()

    def _look(self, u: int) -> None:
        """After an update that the book took: what it has then is what the market was."""
        if self._binance.is_waiting(self._index) or self._binance.is_doubtful(self._index) or u < self._at:
            return
        self._at = u
        levels = tuple(
            tuple((price // 10**9, int(size)) for price, size in self._binance.levels(self._index, side, 10))
            for side in (BID, ASK)
        )
        self._told.append((u, levels))


def test_updates_that_wait_have_so_many_bytes_at_most(tape: Tape) -> None:
    desk = Desk(tape)
    fill = [(str(price), "1") for price in range(20_000, 60_000)]
    for u in range(1, 40):
        desk.depth(u, u, fill)
    assert not desk.snapshot(1, [("10", "1")], [("99999", "1")])  # the first ones are gone
    assert desk.snapshot(39, [("10", "1")], [("99999", "1")])


# --- real captures, and damage ---


def captured(data_dir: Path, market: str) -> Iterator[tuple[int, bytes]]:
    """(when it was received, the message) of a market's captures, one after the other."""
    for file in CAPTURES[market]:
        with gzip.open(data_dir / "hftbacktest" / "examples" / file, "rb") as lines:
            for line in lines:
                stamp, _, payload = line.rstrip(b"\n").partition(b" ")
                yield int(stamp), payload


@pytest.mark.parametrize(("market", "at_least"), [("spot", 1000), ("usdm", 600), ("coinm", 1100)])
def test_on_real_captures_nothing_is_resynchronised_and_the_top_is_the_tickers(
    data_dir: Path, market: str, at_least: int
) -> None:
    """Wherever an update and a ticker have the same u, they are of the same state: both must say the same best."""
    binance = Binance(None, PUBLISHERS[market])
    index = binance.add([0, 1, 2, 3], 1, 8)
    binance.name(index, "BTCUSD_PERP" if market == "coinm" else "BTCUSDT")
    tickers: dict[int, Any] = {}
    tops: dict[int, Any] = {}
    for stamp, payload in captured(data_dir, market):
        if payload.startswith(b'{"lastUpdateId"'):
            assert binance.snapshot(index, payload, stamp)
            continue
        binance.apply(payload, stamp)
        assert binance.cause == ""
        data = orjson.loads(payload)["data"]
        if "B" in data:
            tickers[data["u"]] = tuple(Decimal(data[key]) for key in "bBaA")
        elif "U" in data and not binance.is_waiting(index):
            (bid,), (ask,) = binance.levels(index, BID, 1), binance.levels(index, ASK, 1)
            tops[data["u"]] = (Decimal(bid[0]).scaleb(-9), bid[1], Decimal(ask[0]).scaleb(-9), ask[1])
    assert binance.take_rejected() == []
    comparable = tickers.keys() & tops.keys()
    assert len(comparable) >= at_least
    assert [u for u in comparable if tickers[u] != tops[u]] == []


@pytest.mark.parametrize("futures", [False, True])
def test_damaged_messages_are_counted_and_nothing_else_happens(futures: bool) -> None:
    outcome = binance_mutated.run(10_000, futures=futures)
    assert outcome.records > 1000
    assert outcome.rejected["malformed"] > 1000
    assert outcome.causes["gap"] > 10


# --- instruments ---


@pytest.mark.parametrize(
    ("symbol", "market", "name"),
    [
        ("BTC-USDT", "spot", "BTCUSDT"),
        ("BTC-USDT-PERP", "usdm", "BTCUSDT"),
        ("BTC-USDT-260925", "usdm", "BTCUSDT_260925"),
        ("BTC-USD-PERP", "coinm", "BTCUSD_PERP"),
        ("BTC-USD-260925", "coinm", "BTCUSD_260925"),
    ],
)
def test_names_here_and_there(symbol: str, market: str, name: str) -> None:
    assert venue_name(symbol, market) == name


def test_exchange_info_of_a_real_capture_is_understood(data_dir: Path) -> None:
    text = (data_dir / "cryptofeed" / "sample_data" / "BINANCE.0").read_text()
    payload = next(line for line in text.splitlines() if "exchangeInfo" in line).partition(": ")[2].encode()
    found = instruments(payload, ["NKN-USDT", "BLZ-ETH", "XXX-YYY"], "spot")
    assert sorted(found) == ["BLZ-ETH", "NKN-USDT"]
    nkn = found["NKN-USDT"]
    assert (nkn.base, nkn.quote, nkn.tick_raw, nkn.size_decimals) == ("NKN", "USDT", 100_000, 0)
    record = np.frombuffer(nkn.definition("spot", 3, nkn.size_decimals, NOW), BY_WORD["definition"].dtype)[0]
    assert (record["raw_symbol"], record["currency"], record["unit_of_measure"]) == (b"NKNUSDT", b"USD", b"NKN")
    assert record["unit_of_measure_qty"] == 10**9
