"""feed.sources.binance against a venue that speaks its protocol, on its good days and on others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from feed import config
from feed.metrics.counters import Counters
from feed.sources.binance import BinanceSource
from feed.sources.capture import CaptureFile
from tests.fakevenue.binance import FakeBinance, markets
from tests.fakevenue.market import ASK
from tests.sources.tape import Tape
from tests.sources.venue_turns import BAD, Turned, is_marked, same_books, shows, state, told_states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT", "SOL-USDT": "SOLUSDT"}


class Trying:
    """A venue, and the source that listens to it."""

    def __init__(self, tape: Tape, directory: Path, venue: FakeBinance, **settings: Any) -> None:
        self.venue = venue
        self.names = {
            symbol if venue.market == "spot" else f"{symbol}-PERP": name
            for symbol, name in NAMES.items()
            if name in venue.markets
        }
        table = {
            "symbols": list(self.names),
            "market": venue.market,
            "websocket": venue.websocket_url,
            "rest": venue.rest_url,
            "stale_after": "2s",
            "reconnect": "10ms",
            **settings,
        }
        self.config = config.BinanceConfig(**table)
        self.turned = Turned(tape, directory, lambda name, sink, c: BinanceSource(name, self.config, sink, c))

    @property
    def source(self) -> BinanceSource:
        source: BinanceSource = self.turned.source
        return source

    def topics(self) -> dict[str, str]:
        return {f"{symbol}.BINANCE": name for symbol, name in self.names.items()}

    def all_is_there(self) -> bool:
        wanted = {"book", "quote"} & self.config.wanted
        return all(len(self.turned.of(schema, topic)) for topic in self.topics() for schema in wanted)

    def settle(self) -> None:
        """Let the markets move a little without a fault, then stand still until all of it is here."""
        self.venue.go_on()
        self.turned.turn_for(0.7)
        self.turned.turn(self.is_right, 20)
        self.venue.pause()
        self.turned.turn(self.is_right, 20)

    def is_right(self) -> bool:
        if self.venue._moving.is_set():
            return not any(is_marked(self.turned, topic) for topic in self.topics())
        return all(shows(self.turned, topic, self.venue.markets[name]) for topic, name in self.topics().items())

    def check(self) -> int:
        """Nothing wrong was told without a mark, and all is right now; gives how many records were marked."""
        by_topic = {topic: self.venue.markets[name] for topic, name in self.topics().items()}
        past = {name: list(states.values()) for name, states in self.venue.past.items()}
        marked = same_books(self.turned, by_topic, past)
        for topic, name in self.topics().items():
            market = self.venue.markets[name]
            for book in self.turned.of("book", topic):
                if not book["flags"] & BAD:
                    (was,) = told_states(market, [self.venue.past[name][int(book["sequence"])]])
                    assert state(book["levels"]) == was
            trades = self.turned.of("trade", topic)
            numbers = [int(one["sequence"]) for one in trades]
            assert numbers == sorted(set(numbers))
            for one in trades:
                made = self.venue.trades[name][int(one["sequence"])]
                assert (one["price"], one["size"]) == (market.price_raw(made.price), made.size)
                assert one["side"] == (b"A" if made.side == ASK else b"B")
        return marked


@pytest.fixture
def trying(tape: Tape, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Trying]:
    """Parameters: what the venue and the source's table have besides."""
    venue, table = getattr(request, "param", ({}, {}))
    with FakeBinance(
        markets([NAMES[symbol] for symbol in ("BTC-USDT", "ETH-USDT")]), **{"per_s": 200, **venue}
    ) as fake:
        made = Trying(tape, tmp_path, fake, **table)
        yield made
        made.turned.close()


MARKETS = pytest.mark.parametrize("trying", [({"market": "spot"}, {}), ({"market": "usdm"}, {})], indirect=True)


@MARKETS
def test_quotes_trades_and_books_of_a_good_day(trying: Trying) -> None:
    trying.turned.turn(trying.all_is_there)
    trying.turned.turn(lambda: all(len(trying.turned.of("trade", topic)) > 5 for topic in trying.topics()))
    trying.settle()
    assert trying.check() == 0
    assert trying.turned.counted() == {}
    for topic in trying.topics():
        assert len(trying.turned.of("trade", topic)) > 5
        (definition,) = trying.turned.of("definition", topic)
        assert (definition["min_price_increment"], definition["unit_of_measure_qty"]) == (10_000_000, 10_000)
    book = trying.turned.of("book", next(iter(trying.topics())))[-1]
    assert 0 <= int(book["ts_recv"]) - int(book["ts_event"]) < 10**10
    (connections,) = (row.value for row in trying.turned.counters.rows() if row.name == "tickcast_source_connections")
    assert connections == 1
    trying.turned.close()


@MARKETS
def test_a_gap_costs_its_symbol_a_snapshot_and_nobody_else(trying: Trying) -> None:
    trying.turned.turn(trying.all_is_there)
    trying.venue.misbehave("gap")
    trying.turned.turn(lambda: trying.turned.counted().get("gap"))
    trying.settle()
    assert trying.check() >= 1
    assert trying.turned.counted() == {"gap": 1}
    marked = {topic: int((trying.turned.of("book", topic)["flags"] & BAD > 0).sum()) for topic in trying.topics()}
    assert sorted(marked.values()) == [0, 1]
    assert all(not (trying.turned.of("quote", topic)["flags"] & BAD).any() for topic in trying.topics())


@pytest.mark.parametrize("trying", [({}, {"reconnect": "500ms"})], indirect=True)
def test_a_connection_that_is_cut_marks_all_that_it_carried_until_it_is_back(trying: Trying) -> None:
    trying.turned.turn(trying.all_is_there)
    trying.venue.misbehave("disconnect")
    trying.turned.turn(lambda: trying.turned.counted().get("disconnect"))
    for topic in trying.topics():
        assert trying.turned.of("book", topic)[-1]["flags"] & BAD
        assert trying.turned.of("quote", topic)[-1]["flags"] & BAD
    trying.settle()
    trying.check()
    assert trying.venue.counts["connections"] == 2


@pytest.mark.parametrize("trying", [({}, {"stale_after": "300ms"})], indirect=True)
def test_a_venue_that_says_nothing_more_is_left_for_a_new_connection(trying: Trying) -> None:
    trying.turned.turn(trying.all_is_there)
    trying.venue.misbehave("stall")
    trying.turned.turn(lambda: trying.turned.counted().get("stale"))
    trying.settle()
    trying.check()


@pytest.mark.parametrize("trying", [({"per_s": 0}, {"stale_after": "1s", "schemas": ["book"]})], indirect=True)
def test_a_quiet_market_is_no_dead_line(trying: Trying) -> None:
    trying.turned.turn(trying.all_is_there)
    trying.turned.turn_for(5.0)
    assert trying.turned.counted() == {}


@pytest.mark.parametrize("trying", [({}, {"per_connection": 1, "schemas": ["quote", "book"]})], indirect=True)
def test_many_symbols_have_several_connections_and_only_what_is_wanted_comes(trying: Trying) -> None:
    trying.turned.turn(trying.all_is_there)
    trying.settle()
    assert trying.venue.counts["connections"] == 2
    assert {one.schema for one in trying.turned.taken} == {"quote", "book"}
    trying.venue.misbehave("disconnect")
    trying.turned.turn(lambda: trying.turned.counted().get("disconnect"))
    trying.settle()
    trying.check()
    marked = [int((trying.turned.of("book", topic)["flags"] & BAD > 0).sum()) for topic in trying.topics()]
    assert sorted(marked) == [0, 1]


@pytest.mark.parametrize("trying", [({}, {"schemas": ["quote", "trade"]})], indirect=True)
def test_quotes_and_trades_need_no_snapshot(trying: Trying) -> None:
    trying.turned.turn(lambda: all(len(trying.turned.of("trade", topic)) > 3 for topic in trying.topics()))
    assert trying.venue.counts["requests"] == 1


def test_a_venue_that_refuses_is_asked_again_when_it_says(trying: Trying) -> None:
    def refused() -> bool:
        trying.venue.misbehave("refuse")  # for a moment only, in which nothing may be asked yet
        return "refused_request" in trying.turned.counted()

    trying.turned.turn(refused)
    trying.turned.turn(trying.all_is_there)
    trying.settle()
    trying.check()
    assert trying.turned.counted().get("refused_request", 0) >= 1
    assert trying.venue.counts["refuse"] < 10


def test_a_symbol_that_the_venue_does_not_have_is_named_and_left_out(
    tape: Tape, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeBinance(markets(["BTCUSDT"])) as venue:
        trying = Trying(tape, tmp_path, venue, symbols=["BTC-USDT", "XXX-USDT"])
        trying.turned.turn(trying.all_is_there)
        trying.turned.close()
    assert "no instrument XXX-USDT" in caplog.text
    assert {one.symbol for one in trying.turned.taken} == {"BTC-USDT.BINANCE"}


def test_a_subscription_that_is_refused_ends_the_connection_and_is_tried_again(trying: Trying) -> None:
    heard = trying.venue.heard
    refusals: list[Any] = []

    async def refuse_once(session: Any, message: Any) -> None:
        if refusals:
            await heard(session, message)
        else:
            refusals.append(message)
            await session.send({"error": {"code": 2, "msg": "Invalid request"}, "id": message["id"]})

    trying.venue.heard = refuse_once  # type: ignore[method-assign]
    trying.turned.turn(trying.all_is_there)
    assert trying.turned.counted() == {"refused": 1}


@pytest.mark.parametrize("trying", [({}, {"stale_after": "1s"})], indirect=True)
def test_a_request_that_nobody_answers_ends_the_connection(trying: Trying) -> None:
    heard = trying.venue.heard
    swallowed: list[Any] = []

    async def swallow_once(session: Any, message: Any) -> None:
        if swallowed:
            await heard(session, message)
        swallowed.append(message)

    trying.venue.heard = swallow_once  # type: ignore[method-assign]
    trying.turned.turn(trying.all_is_there)
    assert trying.turned.counted() == {"no_answer": 1}


@MARKETS
def test_days_of_all_faults_at_once(trying: Trying) -> None:
    """A short one; `python -m tests.fakevenue.chaos` is the long one."""
    trying.turned.turn(trying.all_is_there)
    faults = ["gap"] * 8 + ["garbage"] * 8 + ["disconnect"] * 3 + ["slow", "refuse"]
    trying.venue.random.shuffle(faults)
    for fault in faults:
        trying.venue.misbehave(fault)
        trying.turned.turn_for(0.08)
    trying.settle()
    trying.check()
    counted = trying.turned.counted()
    assert sum(counted.get(cause, 0) for cause in ("gap", "disconnect", "malformed")) > 3


def test_a_capture_through_the_same_decoder_gives_the_same_records(trying: Trying, tmp_path: Path, tape: Tape) -> None:
    folder = tmp_path / "captures"
    (tmp_path / "kept").mkdir()
    keeping = Trying(tape, tmp_path / "kept", trying.venue, capture=str(folder))
    keeping.turned.turn(keeping.all_is_there)
    for fault in ("gap", "disconnect", "garbage"):
        trying.venue.misbehave(fault)
        keeping.turned.turn_for(0.3)
    keeping.settle()
    keeping.turned.close()
    first = [(one.schema, one.symbol, one.record) for one in keeping.turned.taken]

    (file,) = folder.iterdir()
    (tmp_path / "again").mkdir()
    counters = Counters.open(tmp_path / "again", create=True)
    source = BinanceSource.hearing("venue", keeping.config, tape.sink, counters)
    capture = CaptureFile(file)
    for entry in capture:
        source.hear(entry.channel, entry.payload, entry.received_ns)
    assert source.poll(1024) == len(first)
    capture.close()
    source.close()
    counters.close()
    assert [(one.schema, one.symbol, one.record) for one in tape.take()] == first


def test_closing_leaves_nothing_open(trying: Trying) -> None:
    trying.turned.turn(trying.all_is_there)
    trying.source.close()
    trying.source.close()
    deadline = time.monotonic() + 10
    while trying.venue.sessions and time.monotonic() < deadline:
        time.sleep(0.01)
    assert trying.venue.sessions == []
