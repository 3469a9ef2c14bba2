"""feed.monitor.recent: what the page is told, of a small feed and of one with 200 bots and 10,000 topics."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from feed import __version__
from feed.clock import now_ns
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters
from feed.monitor.reading import Probe
from feed.monitor.recent import BARS, EVENTS, SAMPLES, Recent
from feed.monitor.windows import Windows
from tests.monitor.conftest import FakeFeed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

S = 1_000_000_000
TARGETS_NS = {0.5: 13_400, 0.99: 100_000}


@dataclass
class Watched:
    """A feed that is looked at as the server does it, at times given by hand."""

    feed: FakeFeed
    start_ns: int = field(default_factory=now_ns)
    second: float = 0

    def __post_init__(self) -> None:
        self.probe = Probe(
            self.feed.directory, clock_ns=lambda: self.at_ns, steady_ns=lambda: 500 * S + round(self.second * S)
        )
        self.windows = Windows(self.probe.read().histograms())
        self.recent = Recent(self.feed.directory, "main", self.windows, TARGETS_NS)
        self.look(0)

    @property
    def at_ns(self) -> int:
        return self.start_ns + round(self.second * S)

    def look(self, after_s: float = 1) -> int:
        self.second += after_s
        reading = self.probe.read()
        self.windows.put(reading.steady_ns, reading.histograms())
        self.recent.put(reading)
        return self.at_ns

    def answer(self, since_ns: int = 0, symbols: str = "") -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.recent.answer(since_ns, symbols))
        return found


@pytest.fixture
def watched(fake_feed: FakeFeed) -> Iterator[Watched]:
    watched = Watched(fake_feed)
    yield watched
    watched.probe.close()


def test_the_shape(fake_feed: FakeFeed, watched: Watched) -> None:
    fake_feed.counters.counter("tickcast_rejected_total", source="sim", reason="crossed").add(2)
    fake_feed.counters.counter("tickcast_dropped_total", publisher="tcp", cause="full").add(5)
    fake_feed.counters.gauge("tickcast_archive_durable_seq").set(9)
    fake_feed.tick(10)
    fake_feed.report("mean", 10, ns=20_000)
    watched.look()
    found = watched.answer()
    assert (found["feed"], found["version"], found["every_ns"]) == ("main", __version__, S)
    assert found["targets_ns"] == {"0.5": 13_400, "0.99": 100_000}
    assert found["at_ns"] == watched.at_ns == found["times_ns"][-1]
    assert found["ticks_per_s"] == [None, 10.0]
    assert list(found["stages"]) == ["ingest", "publish", "total"]
    total = found["stages"]["total"]["tcp"]
    assert list(total) == ["p50_ns", "p99_ns", "p999_ns", "max_ns", "count"]
    assert all(len(series) == 2 for series in total.values())
    assert (total["max_ns"], total["count"]) == ([None, 20_000], [None, 10])
    now = found["now"]
    assert list(now["windows"]) == list(now["within"]) == list(now["burn"]) == ["10s", "1m", "15m"]
    last = now["windows"]["1m"][2]
    assert (last["stage"], last["transport"], last["count"], last["negative"]) == ("total", "tcp", 10, 0)
    assert last["p50_ns"] == pytest.approx(20_000, rel=0.01)
    assert now["within"]["10s"] == {"0.5": 0.0, "0.99": 1.0}
    assert now["burn"]["15m"] == {"0.5": 2.0, "0.99": 0.0}
    assert (now["histogram"]["stage"], now["histogram"]["window"]) == ("total", "1m")
    assert sum(now["histogram"]["counts"]) == 10
    assert now["health"] == {"status": "well", "ills": []}
    assert (now["log"]["next_seq"], now["log"]["free_bytes"] > 0, now["log"]["horizon_ns"] > 0) == (11, True, True)
    assert now["archive"] == {
        "durable_seq": 9,
        "bytes": None,
        "stopped": False,
        "errors": {},
        "missing": {},
        "free_bytes": None,
    }
    assert now["agents"][0].keys() >= {"agent", "state", "pid", "restarts", "cpu", "resident_bytes"}
    assert now["sources"] == [
        {"source": "sim", "per_s": None, "ticks": 10, "rejected": {"crossed": 2}, "last_ns": now["log"]["tail_ns"]}
    ]
    assert now["publishers"] == [{"publisher": "tcp", "per_s": None, "sent": 10, "dropped": {"full": 5}}]
    (bot,) = now["bots"]
    assert (bot["bot"], bot["transport"], bot["ticks"], bot["lag_ns"]) == ("mean", "shm", 10, 2_000)
    assert bot["p50_ns"] == pytest.approx(20_000, rel=0.01)
    assert (bot["gaps"], bot["lost"], bot["skew_ns"], bot["clock_offset_ns"]) == ({"slow": 1}, {"slow": 40}, None, None)
    assert bot["report_age_ns"] < 60 * S
    assert (now["readers"], now["refused"]) == ([], 0)
    assert now["symbols"] == {"total": 1, "busiest": [{"topic": "quote.AAPL", "per_s": 10.0}]}
    assert [event["text"] for event in found["events"]] == [
        "bot mean is new",
        "publisher tcp dropped 5 ticks: full",
        "bot mean: 1 gap, 40 ticks lost (slow)",
    ]


def test_only_what_is_newer(fake_feed: FakeFeed, watched: Watched) -> None:
    fake_feed.tick(3)
    fake_feed.report("mean", 3)
    seen = watched.look()
    fake_feed.tick(4)
    fake_feed.report("late", 3)
    watched.look()
    found = watched.answer(since_ns=seen)
    assert (found["times_ns"], found["ticks_per_s"]) == ([watched.at_ns], [4.0])
    assert found["stages"]["total"]["tcp"]["count"] == [4]
    assert [event["text"] for event in found["events"] if event["kind"] == "bot"] == ["bot late is new"]
    again = watched.answer(since_ns=watched.at_ns)
    assert (again["times_ns"], again["stages"], again["events"]) == ([], {}, [])
    assert again["now"] == found["now"]
    assert watched.answer(symbols="msft")["now"]["symbols"] == {"total": 1, "busiest": []}


def test_fifteen_minutes_are_kept(fake_feed: FakeFeed, watched: Watched) -> None:
    late = fake_feed.counters.histogram("tickcast_latency_seconds", stage="wire", transport="tcp")
    for second in range(SAMPLES + 20):
        if second % 2:
            fake_feed.counters.counter("tickcast_gaps_total", bot=f"b{second % 20}", cause="slow").add(1)
        late.record(second)
        watched.look()
    found = watched.answer()
    assert len(found["times_ns"]) == len(found["stages"]["wire"]["tcp"]["max_ns"]) == SAMPLES
    assert found["stages"]["wire"]["tcp"]["max_ns"][-1] == SAMPLES + 19
    assert found["times_ns"][-1] - found["times_ns"][0] == (SAMPLES - 1) * S
    assert found["now"]["gaps_15m"] == SAMPLES // 2
    assert len(found["events"]) <= EVENTS
    assert found["events"][-1]["at_ns"] > found["events"][0]["at_ns"] > found["times_ns"][0] - 20 * S


def test_rates_and_cpu_are_of_the_last_seconds(fake_feed: FakeFeed, watched: Watched) -> None:
    fake_feed.beat("ingest", pid=os.getpid())
    fake_feed.beat("control", pid=0)
    for _ in range(8):
        fake_feed.tick(30)
        fake_feed.report("mean", 20)
        watched.look()
    now = watched.answer()["now"]
    assert (now["sources"][0]["per_s"], now["publishers"][0]["per_s"], now["bots"][0]["per_s"]) == (30, 30, 20)
    for _ in range(6):
        watched.look()
    now = watched.answer()["now"]
    assert (now["sources"][0]["per_s"], now["bots"][0]["per_s"]) == (0, 0)
    assert now["log"]["horizon_ns"] is not None  # of ten seconds
    agents = {agent["agent"]: agent for agent in now["agents"]}
    assert agents["ingest"]["cpu"] >= 0
    assert agents["ingest"]["resident_bytes"] > 1 << 20
    assert (agents["control"]["cpu"], agents["control"]["resident_bytes"]) == (None, None)


def test_a_feed_without_a_log_is_ill(fake_feed: FakeFeed, watched: Watched) -> None:
    (fake_feed.directory / "log").unlink()
    watched.look()
    found = watched.answer()
    assert found["ticks_per_s"][-1] is None
    assert found["now"]["log"] is None
    assert found["now"]["readers"] == []
    assert found["now"]["health"] == {"status": "ill", "ills": ["there is no log"]}
    assert [event["text"] for event in found["events"]] == ["the log is gone"]


def test_the_bars_hold_every_tick_on_a_logarithmic_axis(fake_feed: FakeFeed, watched: Watched) -> None:
    values = np.random.default_rng(5).lognormal(10, 2, 20_000).astype(np.int64)
    for transport, share in (("tcp", values[:5_000]), ("shm", values[5_000:])):
        fake_feed.counters.histogram("tickcast_latency_seconds", stage="total", transport=transport).record_all(share)
    watched.look()
    bars = watched.answer()["now"]["histogram"]
    edges = np.array(bars["edges_ns"])
    assert len(bars["counts"]) == BARS == len(edges) - 1
    assert sum(bars["counts"]) == len(values)
    assert edges[0] <= values.min()
    assert edges[-1] >= values.max()
    assert np.diff(np.log(edges)) == pytest.approx(np.log(edges[-1] / edges[0]) / BARS)
    exact = np.histogram(values, edges)[0]
    assert np.abs(np.array(bars["counts"]) - exact).max() < 0.01 * len(values)


def test_200_bots_and_10_000_topics(tmp_path: Path) -> None:
    directory = tmp_path / "main"
    directory.mkdir()
    counters = Counters.open(directory, create=True)
    with LogWriter.open(directory, log_bytes=1 << 24, max_topics=16_384) as writer:
        feed = FakeFeed(directory, counters, writer)
        topics = [writer.topic("trade", f"S{i:05}") for i in range(10_000)]
        watched = Watched(feed)
        latencies = [
            counters.histogram("tickcast_bot_latency_seconds", bot=f"bot{i}", transport="shm") for i in range(200)
        ]
        raw: list[list[np.ndarray[Any, np.dtype[np.int64]]]] = [[] for _ in latencies]
        random = np.random.default_rng(6)
        for second in range(4):
            for i, histogram in enumerate(latencies):
                ns = random.lognormal(9 + i / 100, 0.7, 400).astype(np.int64)
                raw[i].append(ns)
                histogram.record_all(ns)
                counters.counter("tickcast_bot_ticks_total", bot=f"bot{i}").add(400)
                counters.gauge("tickcast_bot_report_timestamp_seconds", bot=f"bot{i}").set(watched.at_ns)
                counters.gauge("tickcast_bot_lag_seconds", bot=f"bot{i}").set(10**9 if i == 42 and second else 0)
            for topic in topics[second::50]:
                writer.publish(topic, bytes(80))
            for _ in range(40):
                writer.publish(topics[7_777], bytes(80))
            watched.look()
        found = watched.answer(symbols="s0777")
        now = found["now"]
        assert len(now["bots"]) == 200
        by_name = {bot["bot"]: bot for bot in now["bots"]}
        for i, parts in enumerate(raw):
            exact = np.quantile(np.concatenate(parts), [0.5, 0.99, 0.999], method="inverted_cdf")
            bot = by_name[f"bot{i}"]
            assert [bot["p50_ns"], bot["p99_ns"], bot["p999_ns"]] == pytest.approx(exact, rel=0.01)
            assert bot["per_s"] == pytest.approx(400)
        assert now["symbols"]["total"] == 10_001
        assert now["symbols"]["busiest"][0]["topic"] == "trade.S07777"
        assert len(now["symbols"]["busiest"]) == 10
        assert now["symbols"]["busiest"][0]["per_s"] == pytest.approx(40, rel=0.02)
        assert len(watched.answer()["now"]["symbols"]["busiest"]) == 100
        assert [event["text"] for event in found["events"]] == ["200 bots are new", "bot bot42 lags by 1,000 ms"]
        watched.probe.close()
    counters.close()
