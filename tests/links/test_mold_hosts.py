"""Our own multicast as it is used: a feed on one host and bots on others, over cables that lose, double and swap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import orjson
import pytest

from feed.bench import Options
from feed.bench.run import run
from tests.e2e import processes
from tests.e2e.processes import COLLECTOR, Bot, Process, Stage, wait_for

from .hosts import FEED_ADDRESS, Hosts, hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTROL = f"tcp://{FEED_ADDRESS}:5550"
SETTINGS = {
    "control__endpoint": CONTROL,
    "publish__tcp__endpoint": f"tcp://{FEED_ADDRESS}:5551",
    "publish__mc__kind": "mold",
    "publish__mc__endpoint": "mold://eth0;239.192.0.1:5560",
    "publish__mc__requests": "*:5561",
    "publish__mc__heartbeat": "200ms",
    "source__sim__symbols": 20,
}


@pytest.fixture
def stage() -> Iterator[Stage]:
    with processes.stage() as made:
        yield made


@pytest.fixture
def net() -> Iterator[Hosts]:
    with hosts(2) as made:
        yield made


def feed(stage: Stage, net: Hosts, **settings: object) -> Process:
    args = stage.feed_args("run", **{**SETTINGS, **settings})
    return stage.up(stage.within(net.feed.within, *args))


def bot(stage: Stage, net: Hosts, number: int, transport: str, *more: str) -> Bot:
    name = f"bot{number}"
    to = stage.temporary / f"{name}.collected"
    process = stage.within(
        net.bots[number].within,
        *("bots", "run", COLLECTOR, "--symbols", "*", "--transport", transport, "--name", name),
        *("--feed", CONTROL, "--slow", "fill", *more),
        COLLECT_TO=str(to),
    )
    return Bot(process, name, transport, to)


def transport_of(stage: Stage, net: Hosts, number: int) -> str | None:
    """What the bot says that it takes ticks over, as control tells it."""
    process = stage.within(net.feed.within, "bots", "lag", "--json", "--feed", CONTROL)
    assert process.wait() == 0, process.said
    said = {each["name"]: each["transport"] for each in orjson.loads(process.said)}
    return said.get(f"bot{number}")


def test_over_bad_cables_nothing_is_missing_and_nothing_comes_twice(stage: Stage, net: Hosts) -> None:
    links = [net.worsen(number, seed=number) for number in range(2)]
    ticks = 10_000
    feed(stage, net, source__sim__rate=5000, source__sim__ticks=ticks)
    for link in links:
        link.treat(drop=0.01, double=0.01, swap=0.01)
    bots = [bot(stage, net, number, "mold", "--start", "begin") for number in range(2)]
    for each in bots:
        each.reaches(ticks)
    truth = stage.log()
    for each in bots:
        got = each.collected
        assert got.ticks == truth  # each tick once, in its topic's order, as it was
        assert got.gaps == []
    for link in links:
        figures = link.close()
        assert min(figures["dropped"], figures["doubled"], figures["swapped"]) > 0


def test_auto_takes_it_where_it_comes_through(stage: Stage, net: Hosts) -> None:
    bad = net.worsen(1)
    bad.treat(drop=1)
    feed(stage, net, source__sim__rate=1000, source__sim__ticks=3000)
    bots = [bot(stage, net, number, "auto", "--start", "begin") for number in range(2)]
    wait_for(lambda: [transport_of(stage, net, number) for number in range(2)] == ["mold", "tcp"], "both to report")
    assert "no mold, so tcp:" in bots[1].process.says("no mold")
    for each in bots:
        each.reaches(3000)
        got = each.collected
        assert got.ticks == stage.log()
        assert got.gaps == []


def test_the_benchmark_beside_udp_in_c() -> None:
    options = {"bench": "latency", "transport": "mold", "rate": 2000, "ticks": 500, "vs": "udp-c", "alternations": 1}
    mine, theirs = run(msgspec.convert({**options, "hosts": 1, "log_bytes": 4 << 20}, Options))
    assert (mine.transport, mine.lost, mine.ticks) == ("mold", 0, 500)
    assert (theirs.peer, theirs.transport, theirs.lost, theirs.ticks) == ("udp-c", "mold", 0, 500)
    assert mine.ratio_p50
