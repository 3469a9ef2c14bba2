"""The source of Kraken against a venue on loopback that speaks its protocol, and misbehaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from feed.config import KrakenConfig
from feed.sources.kraken import KrakenSource
from tests.fakevenue.kraken import FakeKraken, markets
from tests.sources.venue_turns import BAD, Turned, all_is_here, same_books

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakevenue.market import Market
    from tests.sources.tape import Tape

NAMES = ["BTC/USD", "ETH/USD", "SOL/USD"]


@pytest.fixture
def venue() -> Iterator[FakeKraken]:
    with FakeKraken(markets(NAMES), per_s=300) as venue:
        yield venue


def listening(venue: FakeKraken, tape: Tape, tmp_path: Path, **more: Any) -> Turned:
    settings: dict[str, Any] = {"symbols": [ours(name) for name in NAMES], "reconnect": "20ms"}
    settings |= {"stale_after": "5s", "websocket": venue.websocket_url} | more
    config = KrakenConfig(**settings)
    return Turned(tape, tmp_path, lambda name, sink, counters: KrakenSource(name, config, sink, counters))


def ours(name: str) -> str:
    return name.replace("/", "-")


def by_symbol(venue: FakeKraken) -> dict[str, Market]:
    return {f"{ours(name)}.KRAKEN": market for name, market in venue.markets.items()}


def books(turned: Turned, n: int) -> bool:
    return all(len(turned.of("book", f"{ours(name)}.KRAKEN")) >= n for name in NAMES)


def test_books_quotes_trades_and_definitions_come(venue: FakeKraken, tape: Tape, tmp_path: Path) -> None:
    turned = listening(venue, tape, tmp_path, per_connection=2, depth=25)
    turned.turn(
        lambda: books(turned, 50) and all(len(turned.of("trade", f"{ours(name)}.KRAKEN")) > 3 for name in NAMES)
    )
    venue.pause()
    turned.turn(lambda: all_is_here(turned, by_symbol(venue)))
    assert len(turned.source.connections) == 3  # one for the instruments, two symbols on another, one on the third
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
        assert int(definition["min_price_increment"]) == 100_000_000
        assert int(definition["unit_of_measure_qty"]) == 10_000
        assert bytes(definition["raw_symbol"]).rstrip(b"\0").decode() == market.symbol
    one = turned.of("book", "BTC-USD.KRAKEN")[0]
    assert 0 < int(one["ts_recv"]) - int(one["ts_event"]) < 60 * 10**9
    turned.close()


@pytest.mark.parametrize("fault", ["checksum", "gap"])
def test_a_book_that_is_wrong_is_got_anew_and_no_other(
    venue: FakeKraken, tape: Tape, tmp_path: Path, fault: str
) -> None:
    turned = listening(venue, tape, tmp_path)
    turned.turn(lambda: books(turned, 5))
    while not turned.counted():  # what was lost may be made good by the next update, and was never wrong then
        done = venue.counts[fault] + 1
        venue.misbehave(fault)
        turned.turn(lambda done=done: venue.counts[fault] == done)  # type: ignore[misc]
        n = len(turned.taken)
        turned.turn(lambda n=n: turned.counted() or len(turned.taken) > n + 300)  # type: ignore[misc]
    turned.turn(lambda: books(turned, 40))
    venue.pause()
    turned.turn(lambda: all_is_here(turned, by_symbol(venue)))
    assert turned.counted() == {"checksum": 1}
    assert same_books(turned, by_symbol(venue), venue.past) == 2  # a quote and a book
    marked = {one.symbol for one in turned.taken if one.schema == "book" and one.record[30] & BAD}
    assert len(marked) == 1
    assert venue.counts["connections"] == 2
    turned.close()


def test_a_cut_connection_marks_its_books_until_it_is_back(venue: FakeKraken, tape: Tape, tmp_path: Path) -> None:
    turned = listening(venue, tape, tmp_path)
    turned.turn(lambda: books(turned, 5))
    trades = {symbol: len(turned.of("trade", symbol)) for symbol in by_symbol(venue)}
    venue.cut()
    turned.turn(lambda: turned.counted().get("disconnect", 0) >= 2)
    turned.turn(lambda: all(len(turned.of("trade", symbol)) > n + 5 for symbol, n in trades.items()))
    venue.pause()
    turned.turn(lambda: all_is_here(turned, by_symbol(venue)))
    assert set(turned.counted()) == {"disconnect"}
    assert same_books(turned, by_symbol(venue), venue.past) == 6
    for symbol, market in by_symbol(venue).items():  # the snapshot has the trades of the meantime
        got = turned.of("trade", symbol)["sequence"].tolist()
        assert got == list(range(got[0], got[0] + len(got)))
        assert got[-1] == market.trades
    turned.close()


def test_silence_refusal_and_noise_are_survived(venue: FakeKraken, tape: Tape, tmp_path: Path) -> None:
    turned = listening(venue, tape, tmp_path, stale_after="1s", symbols=["BTC-USD", "ETH-USD", "SOL-USD", "NO-USD"])
    turned.turn(lambda: books(turned, 5))
    assert turned.counted()["unknown_symbol"] == 1
    venue.misbehave("stall")
    venue.misbehave("refuse")
    turned.turn(lambda: turned.counted().keys() & {"stale", "no_answer"})  # as it was still asking, or not
    venue.cut()
    before = len(turned.taken)
    turned.turn(lambda: len(turned.taken) > before + 500)
    for _ in range(20):
        venue.misbehave("garbage")
    turned.turn_for(1.0)
    venue.pause()
    turned.turn_for(0.5)
    turned.close()


def test_a_subscription_that_is_refused_is_not_taken_for_one(venue: FakeKraken, tape: Tape, tmp_path: Path) -> None:
    turned = listening(venue, tape, tmp_path)
    turned.turn(lambda: books(turned, 1))
    venue.refused.add("SOL/USD")
    venue.cut()
    turned.turn(lambda: turned.counted().get("refused"))
    venue.refused.clear()
    before = len(turned.of("book", "SOL-USD.KRAKEN"))
    turned.turn(lambda: len(turned.of("book", "SOL-USD.KRAKEN")) > before + 3)
    turned.close()
