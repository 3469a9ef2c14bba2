"""Several bots on both transports, each on symbols of its own; and whatever looks at the feed sees the same."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import orjson
from prometheus_client.parser import text_string_to_metric_families

from feed.wire.topics import Pattern
from tests.e2e.processes import wait_for

if TYPE_CHECKING:
    from tests.e2e.processes import Collected, Stage

TICKS = 10_000
WATCHED = ("AAPL,MSFT,NVDA", "A*", "*")
SCHEMAS = "quote,trade,status"


def test_every_bot_gets_every_tick_of_its_symbols(stage: Stage) -> None:
    stage.up(stage.feed(source__sim__ticks=TICKS, source__sim__rate=5000, feed__wait_bots=2 * len(WATCHED)))
    bots = [
        (stage.bot(f"{transport}-{i}", transport, symbols, SCHEMAS), [Pattern(text) for text in symbols.split(",")])
        for i, symbols in enumerate(WATCHED)
        for transport in ("shm", "tcp")
    ]
    wait_for(lambda: stage.stat()["log"]["next_seq"] == TICKS + 1, "the last tick")
    log = stage.log()
    assert sum(len(ticks) for ticks in log.values()) == TICKS
    got: dict[str, Collected] = {}
    for bot, patterns in bots:
        expected = {
            name: ticks for name, ticks in log.items() if any(p.matches(name.partition(".")[2]) for p in patterns)
        }
        bot.reaches(sum(len(ticks) for ticks in expected.values()))
        got[bot.name] = bot.collected
        assert got[bot.name].ticks == expected
        assert got[bot.name].gaps == []
        for name, ticks in expected.items():
            assert got[bot.name].topic_seqs(name) == list(range(1, len(ticks) + 1))
    every_view_tells_the_same(stage, {name: each.count for name, each in got.items()})
    for bot, _ in bots:
        assert bot.process.end() == 0, bot.process.said
        assert f"{bot.name}: {got[bot.name].count:,} ticks, 0 gaps, 0 lost" in bot.process.said


def every_view_tells_the_same(stage: Stage, ticks: dict[str, int]) -> None:
    """`bots lag`, `feed stat`, /metrics and /healthz of a feed that has become quiet."""

    wait_for(
        lambda: {bot["name"]: bot["ticks"] for bot in stage.ask("bots")["bots"]} == ticks,
        lambda: f"{ticks} to be reported, not {stage.ask('bots')}",
    )
    by_lag = {bot["name"]: bot for bot in orjson.loads(stage.run("bots", "lag", "--json", "--feed", stage.address))}
    by_stat = orjson.loads(stage.run("feed", "stat", "--json"))
    page = urllib.request.urlopen(f"http://127.0.0.1:{stage.monitor_port}/metrics").read().decode()
    health = orjson.loads(urllib.request.urlopen(f"http://127.0.0.1:{stage.monitor_port}/healthz").read())

    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }

    def metric(name: str, **labels: str) -> float:
        return float(samples[name, *sorted(labels.items())])

    assert by_stat["log"]["next_seq"] - 1 == TICKS == metric("tickcast_log_ticks_total")
    assert sum(by_stat["sources"]["sim"]["ticks"].values()) == TICKS
    for schema, n in by_stat["sources"]["sim"]["ticks"].items():
        assert metric("tickcast_ticks_total", source="sim", schema=schema) == n
    for name, publisher in by_stat["publishers"].items():
        assert metric("tickcast_sent_total", publisher=name) == publisher["sent"]
    # Every topic has a tcp bot (the one on "*"), so each tick went out once.
    assert by_stat["publishers"]["tcp"]["sent"] == TICKS

    assert {name: bot["ticks"] for name, bot in by_lag.items()} == ticks
    assert {bot["bot"]: bot["ticks"] for bot in by_stat["bots"]} == ticks
    for bot in by_stat["bots"]:
        name, (latency,) = bot["bot"], bot["latency"]
        assert by_lag[name]["transport"] == latency["transport"] == name.partition("-")[0]
        assert by_lag[name]["gaps"] == bot["gaps"] == {}
        assert by_lag[name]["latency_ns"]["p99"] == latency["p99_ns"]
        assert latency["count"] + latency["negative"] == ticks[name]
        assert metric("tickcast_bot_ticks_total", bot=name) == ticks[name]
        where = {"bot": name, "transport": latency["transport"]}
        assert metric("tickcast_bot_latency_seconds_count", **where) == latency["count"]
    for transport in ("shm", "tcp"):
        given = sum(n for name, n in ticks.items() if name.startswith(transport))
        assert metric("tickcast_latency_seconds_count", stage="total", transport=transport) == given

    assert health["status"] == "well"
    assert health["log"]["next_seq"] == by_stat["log"]["next_seq"]
    assert health["log"]["epoch"] == by_stat["log"]["epoch"]
    assert {a["agent"]: a["pid"] for a in health["agents"]} == {a["agent"]: a["pid"] for a in by_stat["agents"]}
