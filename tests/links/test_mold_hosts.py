"""Our own multicast as it is used: a feed on one host and bots on others, over cables that lose, double and swap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from feed.bench import Options
from feed.bench.run import run
from tests.e2e.processes import wait_for

from .far import Far, on_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

MULTICAST = {
    "publish__mc__kind": "mold",
    "publish__mc__endpoint": "mold://eth0;239.192.0.1:5560",
    "publish__mc__requests": "*:5561",
}


@pytest.fixture
def far() -> Iterator[Far]:
    with on_hosts(MULTICAST) as made:
        yield made


def test_over_bad_cables_nothing_is_missing_and_nothing_comes_twice(far: Far) -> None:
    links = [far.net.worsen(number, seed=number) for number in range(2)]
    ticks = 10_000
    # The ticks come when the cables are bad: on a busy machine they would all have gone before.
    far.feed(feed__wait_bots=2, source__sim__rate=5000, source__sim__ticks=ticks)
    for link in links:
        link.treat(drop=0.01, double=0.01, swap=0.01)
    bots = [far.bot(number, "mold", "--start", "begin") for number in range(2)]
    for each in bots:
        each.reaches(ticks)
    truth = far.stage.log()
    for each in bots:
        got = each.collected
        assert got.ticks == truth  # each tick once, in its topic's order, as it was
        assert got.gaps == []
    for link in links:
        figures = link.close()
        assert min(figures["dropped"], figures["doubled"], figures["swapped"]) > 0


def test_auto_takes_it_where_it_comes_through(far: Far) -> None:
    bad = far.net.worsen(1)
    bad.treat(drop=1)
    far.feed(source__sim__rate=1000, source__sim__ticks=3000)
    bots = [far.bot(number, "auto", "--start", "begin") for number in range(2)]
    wait_for(lambda: [far.transport_of(number) for number in range(2)] == ["mold", "tcp"], "both to report")
    assert "no mold, so tcp:" in bots[1].process.says("no mold")
    for each in bots:
        each.reaches(3000)
        got = each.collected
        assert got.ticks == far.stage.log()
        assert got.gaps == []


def test_the_benchmark_beside_udp_in_c() -> None:
    options = {"bench": "latency", "transport": "mold", "rate": 2000, "ticks": 500, "vs": "udp-c", "alternations": 1}
    mine, theirs = run(msgspec.convert({**options, "hosts": 1, "log_bytes": 4 << 20}, Options))
    assert (mine.transport, mine.lost, mine.ticks) == ("mold", 0, 500)
    assert (theirs.peer, theirs.transport, theirs.lost, theirs.ticks) == ("udp-c", "mold", 0, 500)
    assert mine.ratio_p50
