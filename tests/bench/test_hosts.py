"""Benchmarks over hosts of network namespaces; those over epgm are in tests/links/test_epgm.py, for they need PGM."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import zmq

from feed.bench import Options
from feed.bench.hosts import Hosts
from feed.bench.run import run
from feed.errors import ConfigError, HostError
from tests.links.hosts import hosts


def ours() -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"tickcast-{os.getpid()}-*")]


def test_bots_on_hosts_of_their_own_over_tcp() -> None:
    with hosts(0):  # says that root is missing, where it is
        before = ours()
    options = Options(bench="fanout", transport="tcp", hosts=2, rate=2000, ticks=1000, log_bytes=4 << 20)
    (one,) = run(options)
    assert (one.bots, one.lost) == (2, 0)
    assert one.detail["hosts"] == 2
    assert one.detail["packets"] > 0
    assert one.detail["bytes"] > 147 * one.ticks
    assert set(ours()) < set(before)


def test_what_hosts_are_for() -> None:
    assert Options(bench="latency", transport="epgm").complete().hosts == 1
    assert Options(bench="fanout", transport="epgm", hosts=8).complete().bots == 8
    for wrong in (
        Options(bench="latency", transport="shm", hosts=1),
        Options(bench="throughput", transport="epgm"),
        Options(bench="latency", transport="epgm", api="native"),
        Options(bench="latency", transport="epgm", vs="pyzmq"),
    ):
        with pytest.raises(ConfigError, match="not something this benchmark does"):
            wrong.complete()


def test_a_pyzmq_without_pgm_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "has", lambda _: False)
    with pytest.raises(HostError, match="make pgm"):
        run(msgspec.convert({"bench": "latency", "transport": "epgm"}, Options))


def test_hosts_of_a_process_that_was_killed_are_removed_by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = "tickcast-4194305-0-feed"  # above any pid_max
    with hosts(0):
        Path("/run/netns", dead).touch()
    with hosts(0):
        assert not Path("/run/netns", dead).exists()
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    with pytest.raises(HostError, match="need root"):
        Hosts(0)
