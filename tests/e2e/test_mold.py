"""A whole feed and bots over our own multicast, on one host: two lines, two groups, a publisher that is killed."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest

from feed import config
from feed.wire.topics import Pattern
from tests.e2e.processes import free_port, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.processes import Stage

TICKS = 10_000
WATCHED = ("AAPL,MSFT,NVDA", "A*", "*")


def publisher(tmp_path: Path, **settings: object) -> Path:
    """A configuration with a publisher that no other test's packets reach."""
    ports = [free_port(), free_port()]
    lines = ",".join(f"lo;239.195.{port >> 8}.{port & 255}:{port}" for port in ports)
    keys = {"endpoint": f'"mold://{lines}"', "heartbeat": '"200ms"', "shards": 2, **settings}
    file = tmp_path / "mold.toml"
    file.write_text(
        '[source.sim]\nkind = "sim"\n[publish.tcp]\nkind = "zmq"\n[publish.group]\nkind = "mold"\n'
        + "".join(f"{key} = {value}\n" for key, value in keys.items())
    )
    return file


def test_every_bot_gets_every_tick_while_the_publisher_is_killed(stage: Stage, tmp_path: Path) -> None:
    file = publisher(tmp_path)
    rate = {"source__sim__rate": 2000, "source__sim__ticks": TICKS, "feed__wait_bots": len(WATCHED)}
    stage.up(stage.feed("run", file, **rate))
    bots = [
        (stage.bot(f"mold-{i}", "mold", symbols, "quote,trade"), [Pattern(text) for text in symbols.split(",")])
        for i, symbols in enumerate(WATCHED)
    ]
    wait_for(lambda: stage.stat()["log"]["next_seq"] > TICKS // 4, "some ticks")
    stage.kill_agent("publish.group")
    wait_for(lambda: stage.stat()["log"]["next_seq"] == TICKS + 1, "the last tick")
    log = {name: ticks for name, ticks in stage.log().items() if name.startswith(("quote.", "trade."))}
    for bot, patterns in bots:
        expected = {
            name: ticks for name, ticks in log.items() if any(p.matches(name.partition(".")[2]) for p in patterns)
        }
        bot.reaches(sum(len(ticks) for ticks in expected.values()))
        assert bot.collected.ticks == expected
        assert bot.collected.gaps == []
    first = 'tickcast_bot_line_first_total{bot="mold-2",line="A"}'
    wait_for(lambda: first in metrics(stage), lambda: f"the figures of line A, there are {metrics(stage)[-4000:]}")
    assert 'tickcast_sent_total{publisher="group"}' in metrics(stage)


def metrics(stage: Stage) -> str:
    return str(urllib.request.urlopen(f"http://127.0.0.1:{stage.monitor_port}/metrics").read().decode())


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"endpoint": '"mold://lo;10.1.1.1:5560"'}, "not a multicast group"),
        ({"mtu": 600}, "too small for the longest tick"),
        ({"mtu": 9300}, "not a MTU"),
        ({"ttl": 256}, "not a TTL"),
        ({"shards": 65}, "not a number of shards"),
        ({"lists": '[["A|"]]'}, "not a symbol for a list"),
        ({"requests": '"nowhere"'}, "not an endpoint"),
        ({"endpoint": '"mold://lo;239.195.1.1:5560?shards=2"'}, "keys of their own"),
    ],
    ids=str,
)
def test_what_no_host_could_do_is_found_by_check(tmp_path: Path, settings: dict[str, object], why: str) -> None:
    found = [str(fault) for fault in config.check(publisher(tmp_path, **settings))]
    assert len(found) == 1
    assert why in found[0]
    assert "publish.group." in found[0]


def test_two_publishers_in_one_group_are_refused(tmp_path: Path) -> None:
    file = publisher(tmp_path)
    endpoint = next(line for line in file.read_text().splitlines() if line.startswith("endpoint"))
    file.write_text(f'{file.read_text()}[publish.second]\nkind = "mold"\n{endpoint}\n')
    assert "would mix" in str(config.check(file)[0])


def test_what_this_host_can_not_do_is_said_before_anything_starts(stage: Stage, tmp_path: Path) -> None:
    feed = stage.feed("run", publisher(tmp_path, endpoint='"mold://nic9;239.195.1.1:5560"'))
    assert feed.wait() == 1
    assert "publish.group.endpoint: no such interface" in feed.said
    assert stage.left() == []
