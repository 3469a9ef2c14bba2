"""epgm as it is used: a feed on one host and bots on others, over cables that lose, double and swap; in .venv-pgm."""

from __future__ import annotations

import random
import socket
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from feed.bench import Options
from feed.bench.run import run
from tests.e2e.processes import wait_for

from .far import Far, on_hosts
from .hosts import FEED_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "239.192.0.1:5560"
MULTICAST = {"publish__mc__kind": "pgm", "publish__mc__endpoint": f"epgm://eth0;{GROUP}"}


@pytest.fixture
def far() -> Iterator[Far]:
    with on_hosts(MULTICAST) as made:
        yield made


# With `wait_bots` the ticks come when the bots are up: what is lost is lost before their eyes.


def test_over_bad_cables_nothing_is_missing_and_nothing_comes_twice(far: Far) -> None:
    links = [far.net.worsen(number, seed=number) for number in range(2)]
    ticks = 15_000
    far.feed(feed__wait_bots=2, source__sim__rate=5000, source__sim__ticks=ticks)
    for link in links:
        link.treat(drop=0.03, double=0.03, swap=0.03)
    bots = [far.bot(number, "epgm") for number in range(2)]
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


def test_a_publisher_that_dies_goes_on_where_it_was_and_is_counted(far: Far) -> None:
    far.feed(feed__wait_bots=1, source__sim__rate=2000, source__sim__ticks=6000)
    one = far.bot(0, "epgm")
    one.reaches(1000)
    far.stage.kill_agent("publish.mc")
    assert far.stage.agent("publish.mc")["restarts"] == 1
    one.reaches(6000)
    got = one.collected
    assert got.ticks == far.stage.log()
    assert got.gaps == []


def test_auto_takes_multicast_where_it_comes_through_and_says_where_not(far: Far) -> None:
    good, bad = far.net.worsen(0), far.net.worsen(1)
    bad.treat(drop=1)
    far.feed(feed__wait_bots=2, source__sim__rate=1000, source__sim__ticks=4000)
    bots = [far.bot(0, "auto"), far.bot(1, "auto", "--start", "begin")]
    for each in bots:
        each.reaches(500)
    assert "no epgm, so tcp:" in bots[1].process.says("no epgm")
    wait_for(lambda: [far.transport_of(number) for number in range(2)] == ["epgm", "tcp"], "both to report")
    assert "no epgm" not in bots[0].process.said

    good.treat(drop=1)  # and multicast may end later
    assert "no epgm, so tcp:" in bots[0].process.says("no epgm")
    for each in bots:
        each.reaches(4000)
        got = each.collected
        assert got.ticks == far.stage.log()
        assert got.gaps == []


def test_a_host_that_can_not_do_it_starts_nothing(far: Far) -> None:
    args = far.feed_args(publish__mc__endpoint=f"epgm://eth9;{GROUP}")
    process = far.stage.within(far.net.feed.within, *args)
    assert process.wait() == 1
    assert "publish.mc.endpoint: no such interface: expected eth0 (10.99.0.1), found 'eth9'" in process.said
    assert far.stage.left() == []


def test_the_benchmark_beside_libzmq_in_c() -> None:
    options = {"bench": "latency", "transport": "epgm", "rate": 2000, "ticks": 500, "vs": "libzmq-c", "alternations": 1}
    mine, theirs = run(msgspec.convert({**options, "log_bytes": 4 << 20}, Options))
    assert (mine.transport, mine.lost, mine.ticks) == ("epgm", 0, 500)
    assert (theirs.peer, theirs.transport, theirs.lost, theirs.ticks) == ("libzmq-c", "epgm", 0, 500)
    assert mine.ratio_ticks_per_s


def test_a_strangers_datagrams_end_nobody(far: Far) -> None:
    far.feed(feed__wait_bots=1, source__sim__rate=2000, source__sim__ticks=6000)
    one = far.bot(0, "epgm")
    one.reaches(500)
    port = int(GROUP.partition(":")[2])
    rng = random.Random(5)
    with far.net.bots[1].entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(1000):  # libpgm would end the process at the first that is empty
            for host in (FEED_ADDRESS, far.net.bots[0].address, GROUP.partition(":")[0]):
                stranger.sendto(rng.randbytes(rng.choice((0, 1, 15, 16, 40, 200))), (host, port))
            time.sleep(0.001)
    one.reaches(6000)
    got = one.collected
    assert got.ticks == far.stage.log()
    assert got.gaps == []
    assert far.stage.agent("publish.mc")["restarts"] == 0


def test_pgm_without_udp(far: Far) -> None:
    far.feed(publish__mc__endpoint=f"pgm://eth0;{GROUP}", source__sim__rate=2000, source__sim__ticks=4000)
    one = far.bot(0, "pgm", "--start", "begin", "--interface", "eth0")
    one.reaches(4000)
    assert one.collected.ticks == far.stage.log()
    wait_for(lambda: far.transport_of(0) == "pgm", "the bot to report")


def test_what_pgm_can_not_bring_again_comes_from_control(far: Far) -> None:
    cable = far.net.worsen(0)
    sim = {"source__sim__rate": 3000, "source__sim__ticks": 12_000}
    far.feed(feed__wait_bots=1, publish__mc__recovery="100ms", **sim)
    one = far.bot(0, "epgm")
    one.reaches(1000)
    cable.treat(drop=1)
    time.sleep(2)
    cable.treat()
    one.reaches(12_000)
    got = one.collected
    assert got.ticks == far.stage.log()
    assert got.gaps == []
    assert got.states[:4] == ["start", "live", "stale", "live"]
