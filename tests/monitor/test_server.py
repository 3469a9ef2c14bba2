"""feed.monitor.server over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from feed.config import load
from feed.errors import AddressInUse, ConfigError, HostError, LogMissing
from feed.monitor.server import Monitor, serve

if TYPE_CHECKING:
    from pathlib import Path

    from feed.config import FeedConfig
    from tests.monitor.conftest import FakeFeed


def settings(endpoint: str = "127.0.0.1:0") -> FeedConfig:
    return load(sets=[f"monitor.endpoint={endpoint}"])


def get(url: str, **headers: str) -> tuple[int, str, str]:
    """(status, content type, text)"""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def fetch(feed: FakeFeed, path: str, **headers: str) -> tuple[int, str, str]:
    async def body() -> tuple[int, str, str]:
        async with Monitor(settings(), feed.directory) as monitor:
            return await asyncio.to_thread(get, f"{monitor.url}{path}", **headers)

    return asyncio.run(body())


def test_metrics_are_prometheus_text(fake_feed: FakeFeed) -> None:
    fake_feed.tick(4)
    status, kind, text = fetch(fake_feed, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert found["tickcast_sent"].samples[0].value == 4
    assert {s.labels["quantile"]: s.value for s in found["tickcast_latency_target_seconds"].samples} == {
        "0.5": 1.34e-05,
        "0.99": 1e-4,
    }


def test_metrics_are_openmetrics_where_asked_for(fake_feed: FakeFeed) -> None:
    status, kind, text = fetch(fake_feed, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert status == 200
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


def test_a_well_feed(fake_feed: FakeFeed) -> None:
    fake_feed.tick()
    status, kind, text = fetch(fake_feed, "/healthz")
    answer = json.loads(text)
    assert (status, kind) == (200, "application/json")
    assert (answer["feed"], answer["status"], answer["ills"]) == ("main", "well", [])
    assert [agent["agent"] for agent in answer["agents"]] == ["ingest", "publish.tcp", "control"]
    assert answer["log"]["next_seq"] == 2
    assert answer["log"]["writer_pid"] == os.getpid()


def test_an_ill_feed(fake_feed: FakeFeed) -> None:
    fake_feed.beat("publish.tcp", up=0, restarts=2)
    fake_feed.beat("control", age_ns=60 * 10**9)
    fake_feed.end_log()
    status, _, text = fetch(fake_feed, "/healthz")
    assert status == 503
    assert json.loads(text)["ills"] == ["agent publish.tcp is down", "agent control is stuck", "the log is closed"]


def test_serve_beats_and_ends_when_told(fake_feed: FakeFeed) -> None:
    stop, beats = threading.Event(), []

    def beat(wall_ns: int) -> None:
        beats.append(wall_ns)
        if len(beats) == 3:
            stop.set()

    thread = threading.Thread(target=serve, args=(settings(), fake_feed.directory, stop.is_set, beat))
    thread.start()
    thread.join()
    assert beats == sorted(beats)
    serve(settings(), fake_feed.directory, lambda: True)


def test_an_open_connection_does_not_hold_up_the_end(fake_feed: FakeFeed) -> None:
    def ask_and_stay(port: int) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        return connection

    async def body() -> http.client.HTTPConnection:
        async with Monitor(settings(), fake_feed.directory) as monitor:
            return await asyncio.to_thread(ask_and_stay, int(monitor.url.rsplit(":", 1)[1]))

    with contextlib.closing(asyncio.run(body())) as idle:
        assert idle.sock.recv(1) == b""


def test_a_taken_port_names_who_has_it(fake_feed: FakeFeed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=rf"{port} is taken.*process {os.getpid()}.*monitor\.endpoint"):
            serve(settings(f"127.0.0.1:{port}"), fake_feed.directory, lambda: True)


@pytest.mark.parametrize("endpoint", ["192.0.2.1:9464", "no-such-host.invalid:9464"])
def test_an_address_that_is_not_ours(fake_feed: FakeFeed, endpoint: str) -> None:
    with pytest.raises(HostError, match=r"monitor\.endpoint"):
        serve(settings(endpoint), fake_feed.directory, lambda: True)


def test_an_endpoint_that_is_none(fake_feed: FakeFeed) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.endpoint"):
        serve(settings("9464"), fake_feed.directory, lambda: True)


def test_all_interfaces(fake_feed: FakeFeed) -> None:
    async def body() -> tuple[int, str, str]:
        async with Monitor(settings("*:0"), fake_feed.directory) as monitor:
            port = monitor.url.rsplit(":", 1)[1]
            return await asyncio.to_thread(get, f"http://127.0.0.1:{port}/healthz")

    assert asyncio.run(body())[0] == 200


def test_no_feed(tmp_path: Path) -> None:
    with pytest.raises(LogMissing):
        serve(settings(), tmp_path, lambda: True)
