"""What the sources of Kraken and Coinbase have in common: captures that give the same again, pauses that double."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from feed.config import CoinbaseConfig, KrakenConfig
from feed.metrics.counters import Counters
from feed.sources.capture import CaptureFile
from feed.sources.coinbase import CoinbaseSource
from feed.sources.kraken import KrakenSource
from tests.fakevenue import coinbase, kraken
from tests.sources.tape import Tape
from tests.sources.venue_turns import BAD, Turned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakevenue.venue import FakeVenue

SYMBOLS = ["BTC-USD", "ETH-USD"]


@pytest.fixture(params=["kraken", "coinbase"])
def venue(request: pytest.FixtureRequest) -> Iterator[FakeVenue]:
    made: FakeVenue
    if request.param == "kraken":
        made = kraken.FakeKraken(kraken.markets(["BTC/USD", "ETH/USD"]), per_s=300)
    else:
        made = coinbase.FakeCoinbase(coinbase.markets(SYMBOLS), per_s=300)
    with made:
        yield made


def kind(venue: FakeVenue, **more: Any) -> tuple[Any, Any]:
    """The class of its source, and a table."""
    settings: dict[str, Any] = {"symbols": SYMBOLS, "websocket": venue.websocket_url, "rest": venue.rest_url} | more
    if isinstance(venue, kraken.FakeKraken):
        return KrakenSource, KrakenConfig(**settings)
    return CoinbaseSource, CoinbaseConfig(**settings)


def test_a_capture_gives_the_same_to_the_byte(venue: FakeVenue, tape: Tape, tmp_path: Path) -> None:
    source, config = kind(venue, reconnect="20ms", capture=str(tmp_path / "kept"))
    turned = Turned(tape, tmp_path, lambda name, sink, counts: source(name, config, sink, counts))
    for fault in ("checksum", "gap", "disconnect", "garbage"):
        n = len(turned.taken) + 150
        turned.turn(lambda n=n: len(turned.taken) > n)  # type: ignore[misc]
        venue.misbehave(fault)
    turned.turn_for(1.0)
    turned.close()
    turned.taken += tape.take()
    assert any(one.schema == "book" and one.record[30] & BAD for one in turned.taken)

    (file,) = (tmp_path / "kept").iterdir()
    (tmp_path / "again").mkdir()
    counters = Counters.open(tmp_path / "again", create=True)
    again = source.hearing("venue", config, tape.sink, counters)
    capture = CaptureFile(file)
    for entry in capture:
        again.hear(entry.channel, entry.payload, entry.received_ns)
    assert again.poll(1024) == len(turned.taken)
    capture.close()
    again.close()
    counters.close()
    assert [(one.schema, one.symbol, one.record) for one in tape.take()] == [
        (one.schema, one.symbol, one.record) for one in turned.taken
    ]


def test_a_book_that_is_wrong_again_and_again_is_asked_for_less_and_less(
    venue: FakeVenue, tape: Tape, tmp_path: Path
) -> None:
    source, config = kind(venue, reconnect="50ms")
    turned = Turned(tape, tmp_path, lambda name, sink, counts: source(name, config, sink, counts))
    turned.turn(lambda: turned.of("book", f"BTC-USD.{config.VENUE}").size)
    made = turned.source
    pauses = []
    for n in range(14):
        now = 10**15 + n * 10**9
        made._again(0, "bad_level", now)
        pauses.append(made._asked[0][1] // 10**6)
    assert pauses == [0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]
    made._again(0, "bad_level", now + 41 * 10**9)
    assert made._asked[0][1] == 0
    assert turned.counted()["bad_level"] == 15
    turned.close()
