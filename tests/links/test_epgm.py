"""epgm as it is used: a feed on one host and bots on others, over cables that lose, double and swap; in .venv-pgm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e import processes
from tests.e2e.processes import COLLECTOR, Bot, Process, Stage

from .hosts import FEED_ADDRESS, Hosts, hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTROL = f"tcp://{FEED_ADDRESS}:5550"
GROUP = "239.192.0.1:5560"
SETTINGS = {
    "control__endpoint": CONTROL,
    "publish__tcp__endpoint": f"tcp://{FEED_ADDRESS}:5551",
    "publish__mc__kind": "pgm",
    "publish__mc__endpoint": f"epgm://eth0;{GROUP}",
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


def test_over_bad_cables_nothing_is_missing_and_nothing_comes_twice(stage: Stage, net: Hosts) -> None:
    links = [net.worsen(number, seed=number) for number in range(2)]
    for link in links:
        link.treat(drop=0.01, double=0.01, swap=0.01)
    ticks = 12_000
    feed(stage, net, source__sim__rate=4000, source__sim__ticks=ticks)
    bots = [bot(stage, net, number, "epgm", "--start", "begin") for number in range(2)]
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
