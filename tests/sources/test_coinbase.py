"""The source of Coinbase against a venue on loopback that speaks its protocol, and misbehaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from feed.config import CoinbaseConfig
from feed.sources.coinbase import CoinbaseSource
from tests.fakevenue.coinbase import FakeCoinbase, markets
from tests.sources.venue_turns import Turned, all_is_here, same_books

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakevenue.market import Market
    from tests.sources.tape import Tape

NAMES = ["BTC-USD", "ETH-USD", "SOL-USD"]


@pytest.fixture
def venue() -> Iterator[FakeCoinbase]:
    with FakeCoinbase(markets(NAMES), per_s=300) as venue:
        yield venue


def listening(venue: FakeCoinbase, tape: Tape, tmp_path: Path, **more: Any) -> Turned:
    settings: dict[str, Any] = {"symbols": NAMES, "reconnect": "20ms", "stale_after": "5s"}
    settings |= {"websocket": venue.websocket_url, "rest": venue.rest_url} | more
    config = CoinbaseConfig(**settings)
    return Turned(tape, tmp_path, lambda name, sink, counters: CoinbaseSource(name, config, sink, counters))


def by_symbol(venue: FakeCoinbase) -> dict[str, Market]:
    return {f"{name}.COINBASE": market for name, market in venue.markets.items()}


def books(turned: Turned, n: int) -> bool:
    return all(len(turned.of("book", f"{name}.COINBASE")) >= n for name in NAMES)


def test_books_quotes_trades_and_definitions_come(venue: FakeCoinbase, tape: Tape, tmp_path: Path) -> None:
    turned = listening(venue, tape, tmp_path, per_connection=2)
    turned.turn(lambda: books(turned, 50) and all(len(turned.of("trade", f"{name}.COINBASE")) > 3 for name in NAMES))
    venue.pause()
    turned.turn(lambda: all_is_here(turned, by_symbol(venue)))
    assert len(turned.source.connections) == 2
    assert same_books(turned, by_symbol(venue), venue.past) == 0
    assert turned.counted() == {}
    for symbol, market in by_symbol(venue).items():
        trades = {trade.number: trade for trade, _ in venue.trades[market.symbol]}
        got = turned.of("trade", symbol)
        first = int(got[0]["sequence"])
        assert got["sequence"].tolist() == list(range(first, first + len(got)))
        for one in got:
            trade = trades[int(one["sequence"])]
            told = (int(one["price"]), int(one["size"]), bytes(one["side"]))
            assert told == (market.price_raw(trade.price), trade.size, b"A" if trade.side else b"B")
        (definition,) = turned.of("definition", symbol)
        assert int(definition["min_price_increment"]) == 10_000_000
        assert int(definition["unit_of_measure_qty"]) == 10_000
        assert bytes(definition["raw_symbol"]).rstrip(b"\0").decode() == market.symbol
    for one in turned.of("book", "BTC-USD.COINBASE"):
        assert 0 < int(one["ts_recv"]) - int(one["ts_event"]) < 60 * 10**9
    turned.close()


def test_sizes_reach_to_a_million_dollars(venue: FakeCoinbase, tape: Tape, tmp_path: Path) -> None:
    for market in venue.markets.values():
        market.size_decimals = 8
    turned = listening(venue, tape, tmp_path)
    turned.turn(lambda: books(turned, 1))
    found = [int(turned.of("definition", f"{name}.COINBASE")[0]["unit_of_measure_qty"]) for name in NAMES]
    assert found == [100, 100, 10]  # at 10,000 to 30,000 dollars 2^32 units of 10^-8 are worth 0.4 to 1.3 million
    turned.close()


@pytest.mark.parametrize("fault", ["gap", "disconnect"])
def test_a_gap_costs_that_connection_and_no_other(venue: FakeCoinbase, tape: Tape, tmp_path: Path, fault: str) -> None:
    turned = listening(venue, tape, tmp_path, per_connection=1)
    turned.turn(lambda: books(turned, 5) and all(len(turned.of("trade", f"{name}.COINBASE")) for name in NAMES))
    venue.misbehave(fault)
    turned.turn(lambda: turned.counted().get(fault))
    turned.turn(lambda: venue.counts["connections"] == 4)
    turned.turn_for(0.5)
    venue.pause()
    turned.turn(lambda: all_is_here(turned, by_symbol(venue)))
    assert turned.counted().keys() - {"missed_trade"} == {fault}
    assert same_books(turned, by_symbol(venue), venue.past) == 2  # a quote and a book
    for symbol, market in by_symbol(venue).items():  # the snapshot has the trades of the meantime
        got = turned.of("trade", symbol)["sequence"].tolist()
        assert got == list(range(got[0], got[0] + len(got)))
        assert got[-1] == market.trades
    turned.close()


def test_a_book_that_is_wrong_is_subscribed_once_more(venue: FakeCoinbase, tape: Tape, tmp_path: Path) -> None:
    turned = listening(venue, tape, tmp_path)
    turned.turn(lambda: books(turned, 5))
    (connection,) = turned.source.connections
    event = '{"type":"update","product_id":"ETH-USD","updates":[{"side":"bid","price_level":"x","new_quantity":"1"}]}'
    number = turned.source._expected[connection.index]
    said = f'{{"channel":"l2_data","timestamp":"","sequence_num":{number},"events":[{event}]}}'
    turned.source.on_message(connection, said.encode(), 1)
    turned.source._expected[connection.index] = number
    n = len(turned.of("book", "ETH-USD.COINBASE"))
    turned.turn(lambda: len(turned.of("book", "ETH-USD.COINBASE")) > n + 5)
    venue.pause()
    turned.turn(lambda: all_is_here(turned, by_symbol(venue)))
    assert turned.counted() == {"bad_level": 1, "impossible_price": 1}
    assert same_books(turned, by_symbol(venue), venue.past) == 2
    assert venue.counts["connections"] == 1
    turned.close()


def test_silence_refusal_and_noise_are_survived(venue: FakeCoinbase, tape: Tape, tmp_path: Path) -> None:
    def refused() -> bool:
        venue.misbehave("refuse")
        return "refused_request" in turned.counted()

    def silent() -> bool:
        if not any(session.stalled for session in list(venue.sessions)):  # it may have left the one that did
            venue.misbehave("stall")
        return bool(turned.counted().keys() & {"stale", "no_answer"})  # as it was still asking, or not

    turned = listening(venue, tape, tmp_path, stale_after="1s", symbols=[*NAMES, "NO-USD"])
    turned.turn(refused)
    turned.turn(lambda: books(turned, 5))
    assert turned.counted()["unknown_symbol"] == 1
    for _ in range(10):
        venue.misbehave("garbage")
        turned.turn_for(0.15)
    assert turned.counted().keys() & {"malformed", "gap", "bad_level"}
    turned.turn(lambda: books(turned, 5) and len(venue.sessions) == 1)
    turned.turn(silent)
    n = len(turned.of("book", "SOL-USD.COINBASE"))
    turned.turn(lambda: len(turned.of("book", "SOL-USD.COINBASE")) > n + 50)
    turned.close()


def test_what_the_venue_refuses_is_not_taken_for_subscribed(venue: FakeCoinbase, tape: Tape, tmp_path: Path) -> None:
    turned = listening(venue, tape, tmp_path)
    turned.turn(lambda: books(turned, 1))
    (connection,) = turned.source.connections
    turned.source.on_message(connection, b'{"type":"error","message":"authentication failure"}', 1)
    turned.turn(lambda: turned.counted().get("refused"))
    n = len(turned.of("book", "SOL-USD.COINBASE"))
    turned.turn(lambda: len(turned.of("book", "SOL-USD.COINBASE")) > n + 5)
    turned.close()
