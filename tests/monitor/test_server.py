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
from feed.monitor.assets import assets
from feed.monitor.recent import Recent
from feed.monitor.server import Monitor, serve

if TYPE_CHECKING:
    from pathlib import Path

    from feed.config import FeedConfig
    from feed.monitor.reading import Reading
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


def test_the_page_and_its_files(fake_feed: FakeFeed) -> None:
    async def body() -> None:
        async with Monitor(settings(), fake_feed.directory) as monitor:
            page = await asyncio.to_thread(urllib.request.urlopen, f"{monitor.url}/")
            with page:
                assert page.headers["Content-Type"] == "text/html; charset=utf-8"
                assert page.headers["Content-Security-Policy"] == "default-src 'self'"
                assert page.headers["Cache-Control"] == "no-cache"
                assert b"<html" in page.read()
            name = next(name for name in assets() if name.endswith(".js"))
            script = await asyncio.to_thread(urllib.request.urlopen, f"{monitor.url}/static/{name}")
            with script:
                assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
                etag = {"If-None-Match": script.headers["ETag"]}
            assert (await asyncio.to_thread(get, f"{monitor.url}/static/{name}", **etag))[0] == 304
            for strange in ("/static/none.js", "/static/..%2fserver.py", "/static/", "/api/other"):
                assert (await asyncio.to_thread(get, f"{monitor.url}{strange}"))[0] == 404

    asyncio.run(body())


def test_the_last_15_minutes(fake_feed: FakeFeed) -> None:
    fake_feed.tick(4)
    status, kind, text = fetch(fake_feed, "/api/recent?since=0&symbols=aap")
    found = json.loads(text)
    assert (status, kind) == (200, "application/json")
    assert (found["feed"], len(found["times_ns"])) == ("main", 1)
    assert found["now"]["symbols"]["busiest"] == [{"topic": "quote.AAPL", "per_s": 0.0}]


@pytest.mark.parametrize("query", ["since=-1", "since=now", "since=1e9", f"since={'9' * 21}", f"symbols={'x' * 72}"])
def test_a_question_that_is_none(fake_feed: FakeFeed, query: str) -> None:
    assert fetch(fake_feed, f"/api/recent?{query}")[0] == 400


def test_it_looks_again_each_second(fake_feed: FakeFeed) -> None:
    async def body() -> None:
        async with Monitor(settings(), fake_feed.directory) as monitor:
            fake_feed.tick(7)
            while "tickcast_ticks_total{" not in (await asyncio.to_thread(get, f"{monitor.url}/metrics"))[2]:
                await asyncio.sleep(0.05)
            found = json.loads((await asyncio.to_thread(get, f"{monitor.url}/api/recent"))[2])
            counts = found["stages"]["total"]["tcp"]["count"]
            assert [n for n in counts if n] == [7], "one look had them, whether or not there was another since"
            assert found["now"]["windows"]["10s"][-1]["count"] == 7

    asyncio.run(body())


def test_a_look_that_fails_ends_the_monitor(fake_feed: FakeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Recent.put

    def fails(self: Recent, reading: Reading) -> None:
        monkeypatch.setattr(Recent, "put", broken)
        first(self, reading)

    def broken(self: Recent, reading: Reading) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(Recent, "put", fails)
    with pytest.raises(ZeroDivisionError):
        serve(settings(), fake_feed.directory, lambda: False)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9464", 200),
        ("10.1.2.3", 200),
        ("[::1]:9464", 200),
        ("LOCALHOST:1", 200),
        (f"{socket.gethostname()}:9464", 200),
        ("evil.example", 403),
        ("evil.example:9464", 403),
        ("127.0.0.1.evil.example:9464", 403),
        ("[evil.example]:9464", 403),
    ],
)
def test_names_that_others_gave_us_are_refused(fake_feed: FakeFeed, host: str, status: int) -> None:
    for path in ("/", "/api/recent", "/metrics"):
        assert fetch(fake_feed, path, Host=host)[0] == status


def test_the_configured_name_is_ours(fake_feed: FakeFeed) -> None:
    async def body() -> int:
        async with Monitor(settings("localhost:0"), fake_feed.directory) as monitor:
            return (await asyncio.to_thread(get, f"{monitor.url}/healthz", Host="localhost:80"))[0]

    assert asyncio.run(body()) == 200


def test_bots_with_metrics_of_their_own(fake_feed: FakeFeed) -> None:
    assert fetch(fake_feed, "/sd")[1:] == ("application/json", "[]")
    fake_feed.report("mean", 1)
    fake_feed.counters.gauge("tickcast_bot_metrics_port", bot="mean", host="box").set(9_000)
    assert json.loads(fetch(fake_feed, "/sd")[2]) == [
        {"targets": ["box:9000"], "labels": {"bot": "mean", "feed": "main"}}
    ]


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
