"""What holds of every synthetic market, whatever its seed and settings; and one that is pinned to the byte."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.log.ring import Intake
from feed.normalize.activity import symbol_names, zipf_weights
from feed.normalize.market import NOMINAL_RATE, Market
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from feed.log.sink import Sink
    from tests.sources.tape import Taken, Tape

START = 1_700_000_000_000_000_000
STEP = 10_000_000
HALT, TRADING, CLOSE = 8, 7, 12


def market(sink: Sink, symbols: int = 20, zipf: float = 1.0, seed: int = 1, **settings: Any) -> Market:
    topics = [
        (sink.topic("quote", name), sink.topic("trade", name), sink.topic("status", name))
        for name in symbol_names(symbols)
    ]
    made = Market(seed, topics, zipf_weights(symbols, zipf), **({"rate": 0, "arrivals": "poisson"} | settings))
    made.start(START)
    return made


def play(tape: Tape, made: Market, ticks: int = 1 << 62, limit: int = 1024) -> list[Taken]:
    """Up to `ticks` ticks of a market that is not paced."""
    taken: list[Taken] = []
    while not made.finished and len(taken) < ticks:
        made.pour(tape.sink, min(limit, ticks - len(taken)), 0)
        taken += tape.take()
    return taken


def arrays(taken: list[Taken], schema: str) -> dict[str, np.ndarray]:
    """Records of a schema by symbol."""
    parts: dict[str, list[bytes]] = {}
    for one in taken:
        if one.schema == schema:
            parts.setdefault(one.symbol, []).append(one.record)
    return {symbol: np.frombuffer(b"".join(rows), BY_WORD[schema].dtype) for symbol, rows in parts.items()}


def digest(taken: list[Taken]) -> str:
    out = hashlib.sha256()
    for one in taken:
        out.update(f"{one.schema}.{one.symbol}|".encode() + one.record)
    return out.hexdigest()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "3405d5ace7c2cae57a68ca82b3b900da0128b7d8b0b86845eee730861e20e075"),
        (
            {"arrivals": "bursty", "rate": 50_000.0, "halts_per_million": 1000.0, "seed": 2**63 - 1},
            "bde1108e0b9a1985de4515a7d58b05c0259868fd73852e438c39ea24db9e95ae",
        ),
        (
            {"arrivals": "flat", "crossed": True, "zipf": 0.7, "symbols": 1000},
            "b8ee219505452ed0f4742241c95d547e9dc125ad34a14c9a274efc1354ddd238",
        ),
    ],
)
def test_a_seed_makes_the_same_bytes_everywhere(tape: Tape, options: dict[str, Any], expected: str) -> None:
    made = market(tape.sink, **({"symbols": 100, "ticks": 100_000} | options))
    out = hashlib.sha256()
    while not made.finished:
        made.pour(tape.sink, 5000, START + 10**15)
        for one in tape.take():
            out.update(f"{one.schema}.{one.symbol}|".encode() + one.record)
    assert out.hexdigest() == expected


def test_a_million_ticks_are_the_same_bytes_everywhere(tape: Tape) -> None:
    made = market(tape.sink, symbols=100, ticks=1_000_000, seed=7)
    out = hashlib.sha256()
    while not made.finished:
        made.pour(tape.sink, 20_000, 0)
        for one in tape.take():
            out.update(one.record)
    assert out.hexdigest() == "75636d0f4f1b3c101871a84e90c95a441497959bd1acd659d3a1650ad65e3fd8"
    assert made.take_ticks() == [(1, 124_618), (2, 875_182), (10, 200)]
    assert made.take_ticks() == []


def test_seeds_differ_and_batches_do_not_matter(tape: Tape) -> None:
    first = digest(play(tape, market(tape.sink), 3000))
    assert digest(play(tape, market(tape.sink), 3000, limit=1)) == first
    assert digest(play(tape, market(tape.sink), 3000, limit=77)) == first
    assert digest(play(tape, market(tape.sink, seed=2), 3000)) != first


def test_invariants(tape: Tape) -> None:
    @given(
        seed=st.integers(0, 2**63 - 1),
        symbols=st.integers(1, 30),
        ticks=st.integers(1, 4000),
        arrivals=st.sampled_from(["poisson", "bursty", "flat"]),
        rate=st.sampled_from([0.0, 1.0, 50_000.0, 1e6]),
        zipf=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        halts=st.sampled_from([0.0, 1.0, 20_000.0]),
    )
    @settings(max_examples=60, deadline=None)
    def check(seed: int, symbols: int, ticks: int, arrivals: str, rate: float, zipf: float, halts: float) -> None:
        made = market(
            tape.sink, symbols, zipf, seed, ticks=ticks, arrivals=arrivals, rate=rate, halts_per_million=halts
        )
        taken = []
        while not made.finished:
            made.pour(tape.sink, 1000, made.due_ns + 10**9)
            taken += tape.take()
        assert len(taken) == ticks
        names = symbol_names(symbols)
        quotes, trades = arrays(taken, "quote"), arrays(taken, "trade")
        check_statuses(taken, names, ticks)
        check_order(taken, names)
        for quote in quotes.values():
            assert (quote["bid_px"] < quote["ask_px"]).all()
            assert (quote["ask_px"] - quote["bid_px"] <= 4 * STEP).all()
            assert (quote["bid_px"] > 0).all()
            for name in ("bid_sz", "ask_sz", "bid_ct", "ask_ct"):
                assert (quote[name] > 0).all()
            at_ask = quote["side"] == b"A"
            assert (quote["price"] == np.where(at_ask, quote["ask_px"], quote["bid_px"])).all()
        for trade in trades.values():
            assert (trade["size"] > 0).all()
            assert (trade["action"] == b"T").all()

    check()


def check_statuses(taken: list[Taken], names: list[str], ticks: int) -> None:
    """Open first, then halts and resumptions in turn, close last; half of too few ticks open and close."""
    closes = min(len(names), ticks // 2)
    opens = min(len(names), ticks - closes)
    kinds = [one.schema for one in taken]
    assert kinds[:opens] == ["status"] * opens
    assert kinds[len(kinds) - closes :] == ["status"] * closes
    for i, name in enumerate(names):
        status = arrays([one for one in taken if one.symbol == name], "status").get(name)
        if status is None:
            assert i >= opens
            continue
        actions = status["action"].tolist()
        if i < closes:
            assert actions.pop() == CLOSE
        assert actions == [TRADING, HALT] * (len(actions) // 2) + [TRADING] * (len(actions) % 2)
        assert (status["is_trading"] == np.where(status["action"] == TRADING, b"Y", b"N")).all()
        halted = status[status["action"] == HALT]
        resumed = status[status["action"] == TRADING][1:]
        assert (resumed["ts_event"] > halted["ts_event"][: len(resumed)]).all()


def check_order(taken: list[Taken], names: list[str]) -> None:
    """Times never go back, sequence numbers count quotes and trades, nothing trades while it is halted or outside the
    last quote, and instrument ids are the places of the names."""
    last_ts, sequence = START, 0
    halted: set[str] = set()
    quote: dict[str, tuple[int, int]] = {}
    for one in taken:
        row = np.frombuffer(one.record, BY_WORD[one.schema].dtype)[0]
        assert row["ts_event"] == row["ts_recv"] >= last_ts
        last_ts = row["ts_event"]
        assert names[row["instrument_id"] - 1] == one.symbol
        if one.schema == "status":
            (halted.add if row["action"] == HALT else halted.discard)(one.symbol)
            continue
        assert one.symbol not in halted
        sequence += 1
        assert row["sequence"] == sequence
        if one.schema == "quote":
            quote[one.symbol] = (row["bid_px"], row["ask_px"])
        elif one.symbol in quote:
            bid, ask = quote[one.symbol]
            assert bid <= row["price"] <= ask
            assert row["price"] != (bid if row["side"] == b"B" else ask)


def test_quotes_cross_only_when_asked_to(tape: Tape) -> None:
    rows = np.concatenate(list(arrays(play(tape, market(tape.sink, crossed=True), 20_000), "quote").values()))
    crossed = rows["bid_px"] > rows["ask_px"]
    assert 200 < crossed.sum() < 350  # one in 64 of 17,500
    assert not (rows["bid_px"] == rows["ask_px"]).any()


def test_prices_move_and_stay_in_their_band(tape: Tape) -> None:
    rows = arrays(play(tape, market(tape.sink, symbols=1), 100_000), "quote")["AAPL"]
    assert len(np.unique(rows["bid_px"])) > 50
    assert rows["bid_px"].min() >= 250 * STEP
    assert set(np.unique((rows["ask_px"] - rows["bid_px"]) // STEP)) == {1, 2, 3, 4}


@pytest.mark.parametrize("zipf", [0.0, 0.5, 1.0, 2.0])
def test_activity_follows_the_rank(tape: Tape, zipf: float) -> None:
    n = 60_000
    counts = Counter(one.symbol for one in play(tape, market(tape.sink, 10, zipf), n) if one.schema != "status")
    shares = np.array([1 / rank**zipf for rank in range(1, 11)])
    shares /= shares.sum()
    for name, share in zip(symbol_names(10), shares, strict=True):
        assert abs(counts[name] - n * share) < 5 * (n * share) ** 0.5 + 20, name


def test_one_in_eight_is_a_trade_between_or_at_the_touch(tape: Tape) -> None:
    taken = play(tape, market(tape.sink), 40_000)
    trades = np.concatenate(list(arrays(taken, "trade").values()))
    assert 4700 < len(trades) < 5300
    assert 2200 < (trades["side"] == b"B").sum() < 2800


def intervals(tape: Tape, arrivals: str, rate: float, n: int = 60_000) -> np.ndarray:
    taken = []
    made = market(tape.sink, 1, arrivals=arrivals, rate=rate)
    while len(taken) < n:
        made.pour(tape.sink, 1000, START + 10**15)
        taken += tape.take()
    return np.diff([int.from_bytes(one.record[8:16], "little") for one in taken])


def test_flat_arrivals_are_evenly_spaced(tape: Tape) -> None:
    gaps = intervals(tape, "flat", 30_000.0)
    assert set(gaps) == {33_333, 33_334}
    assert gaps.sum() == pytest.approx(len(gaps) * 1e9 / 30_000, abs=1)
    assert set(intervals(tape, "flat", 0, 1000)) == {10**9 // NOMINAL_RATE}


def test_poisson_arrivals_are_exponential(tape: Tape) -> None:
    gaps = np.sort(intervals(tape, "poisson", 1000.0)) / 1e6
    expected = 1 - np.exp(-gaps)
    empirical = np.arange(1, len(gaps) + 1) / len(gaps)
    assert np.abs(expected - empirical).max() < 1.63 / len(gaps) ** 0.5 * 1.5  # Kolmogorov-Smirnov, far beyond 1 %
    assert gaps.mean() == pytest.approx(1.0, rel=0.03)
    assert gaps.std() == pytest.approx(1.0, rel=0.05)


def test_bursty_arrivals_have_the_mean_rate_and_come_in_bursts(tape: Tape) -> None:
    gaps = intervals(tape, "bursty", 50_000.0, 200_000)
    assert gaps.mean() == pytest.approx(20_000, rel=0.15)
    assert gaps.std() > 2 * gaps.mean()  # of a Poisson process both are the same
    assert (gaps < 20_000 / 2).mean() > 0.8


def test_ticks_come_when_they_are_due_and_not_before(tape: Tape) -> None:
    made = market(tape.sink, 2, arrivals="flat", rate=1000.0, ticks=2002)
    assert made.due_ns == START
    assert made.pour(tape.sink, 100, START - 1) == 0
    assert made.pour(tape.sink, 100, START) == 2  # both open
    assert made.due_ns == START + 10**6
    assert made.pour(tape.sink, 100, START + 10**6 - 1) == 0
    assert made.pour(tape.sink, 100, START + 10**6) == 1
    assert made.pour(tape.sink, 10_000, START + 10**9) == 999
    assert made.pour(tape.sink, 10_000, START + 2 * 10**9) == 998 + 2
    assert made.finished
    assert made.pour(tape.sink, 10_000, START + 3 * 10**9) == 0


def test_halts_come_as_often_as_asked_and_last(tape: Tape) -> None:
    made = market(tape.sink, 50, rate=1000.0, halts_per_million=1000.0, ticks=50_000)
    taken = []
    while not made.finished:
        made.pour(tape.sink, 1000, START + 10**15)
        taken += tape.take()
    rows = np.concatenate(list(arrays(taken, "status").values()))
    halts = (rows["action"] == HALT).sum()
    assert 25 < halts < 80
    assert (rows["action"] == TRADING).sum() > 50 + halts / 2


def test_a_full_sink_gets_every_tick_in_the_end(tape: Tape) -> None:
    expected = digest(play(tape, market(tape.sink, ticks=20_000)))
    intake = Intake(tape.sink)
    ring = intake.ring(1 << 16)
    made = market(ring, ticks=20_000)
    taken: list[Taken] = []
    waits = 0
    while not made.finished:
        made.pour(ring, 1 << 20, 0)
        waits += made.full
        while intake.poll(1 << 20):
            pass
        taken += tape.take()
    assert waits > 2
    assert digest(taken) == expected
