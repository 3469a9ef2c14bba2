"""Subscribers with nothing but a control address."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bots import Gap, Subscriber, Tick
from feed.errors import CallerError, ConfigError, ControlError, SymbolError

from .conftest import PATIENCE_S, WholeFeed

if TYPE_CHECKING:
    from collections.abc import Callable


def until(sub: Subscriber, holds: Callable[[], bool]) -> list[Tick]:
    ticks: list[Tick] = []
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        tick = sub.recv(0.02)
        if tick is not None:
            ticks.append(tick)
    return ticks


def bots(whole: WholeFeed) -> list[dict[str, Any]]:
    """What control knows of the bots."""
    answer: list[dict[str, Any]] = whole.control._bots.answer()
    return answer


@pytest.mark.parametrize(("transport", "found"), [("auto", "shm"), ("shm", "shm"), ("tcp", "tcp"), ("ipc", "ipc")])
def test_one_address_is_enough(whole: WholeFeed, transport: str, found: str) -> None:
    whole.start()
    with whole.subscriber(["AAPL"], transport=transport) as sub:
        assert sub.transport == found
        whole.send("quote.AAPL", "trade.AAPL", "quote.MSFT")
        assert [tick.topic for tick in (sub.recv(PATIENCE_S), sub.recv(PATIENCE_S)) if tick] == [
            "quote.AAPL", "trade.AAPL",
        ]  # fmt: skip
        assert sub.stats()["epoch"] == whole.writer.epoch
        assert sub.stats()["lag_ticks"] in (0, 1)  # quote.MSFT is not ours


def test_auto_takes_tcp_where_the_log_is_another_feeds(whole: WholeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    whole.start()
    monkeypatch.setenv("TICKCAST_LOG_ROOT", str(whole.root / "elsewhere"))
    with whole.subscriber() as sub:
        assert sub.transport == "tcp"
    with pytest.raises(ControlError, match="no feed has its log here"), whole.subscriber(transport="shm", timeout=0.2):
        pass


def test_auto_takes_tcp_on_another_host(whole: WholeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    whole.start()
    monkeypatch.setattr("bots.route.boot_id", lambda: "another")
    with whole.subscriber() as sub:
        assert sub.transport == "tcp"


def test_no_feed_within_the_time_is_an_error_with_a_remedy(whole: WholeFeed) -> None:
    with pytest.raises(ControlError, match="feed run") as caught, whole.subscriber(timeout=0.1):
        pass
    assert whole.address in str(caught.value)


def test_no_feed_is_said_once_and_waited_for(whole: WholeFeed, caplog: pytest.LogCaptureFixture) -> None:
    sub = whole.subscriber(["AAPL"])
    opening = threading.Thread(target=sub.open)
    with caplog.at_level(logging.WARNING, "bots"):
        opening.start()
        deadline = time.monotonic() + PATIENCE_S
        while not caplog.records:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.7)  # it asks again
        whole.start()
        opening.join(PATIENCE_S)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "waiting for the feed", "the feed is there, over shm",
    ]  # fmt: skip


@pytest.mark.parametrize("transport", ["auto", "tcp", "ipc"])
def test_a_feed_that_lost_its_log_comes_back_with_a_new_epoch(whole: WholeFeed, transport: str) -> None:
    gaps: list[Gap] = []
    whole.start()
    with whole.subscriber(transport=transport, on_gap=gaps.append) as sub:
        whole.send("quote.AAPL", "quote.AAPL")
        until(sub, lambda: sub.stats()["ticks"] == 2)
        before = sub.stats()["epoch"]
        whole.stop(remove=True)
        until(sub, lambda: not sub.live)
        whole.start()
        until(sub, lambda: sub.live and sub.stats()["epoch"] != before)
        whole.send("quote.AAPL")
        ticks = until(sub, lambda: sub.stats()["ticks"] == 3)
        assert [tick.topic_seq for tick in ticks] == [1]
        assert sub.stats()["gaps"] == {"epoch": 1}
        assert sub.stats()["lost"] == {"epoch": 0}
    assert gaps == [Gap("*", 0, 0, "epoch", whole.writer.epoch)]


@pytest.mark.parametrize("transport", ["auto", "tcp", "ipc"])
def test_a_feed_that_goes_on_leaves_no_gap(whole: WholeFeed, transport: str) -> None:
    whole.start()
    with whole.subscriber(transport=transport) as sub:
        whole.send("quote.AAPL", "quote.AAPL")
        until(sub, lambda: sub.stats()["ticks"] == 2)
        whole.stop(remove=False)
        if transport != "auto":
            until(sub, lambda: not sub.live)
        whole.start()
        until(sub, lambda: sub.live)
        whole.send("quote.AAPL")
        assert [tick.topic_seq for tick in until(sub, lambda: sub.stats()["ticks"] == 3)] == [3]
        assert sub.stats()["gaps"] == {}


@pytest.mark.parametrize("transport", ["auto", "tcp"])
def test_figures_reach_the_feed(whole: WholeFeed, transport: str) -> None:
    whole.start()
    with whole.subscriber(transport=transport, name="mean") as sub:
        whole.send(*["quote.AAPL"] * 50)
        until(sub, lambda: bool(bots(whole)) and bots(whole)[0]["ticks"] == 50)
        whole.send(*["quote.AAPL"] * 5)
        until(sub, lambda: bots(whole)[0]["ticks"] == 55)
        time.sleep(0.01)
        (seen,) = bots(whole)
    assert (seen["name"], seen["transport"], seen["ticks"], seen["gaps"]) == ("mean", sub_transport(transport), 55, {})
    assert seen["latency_ns"]["p50"] > 0
    assert whole.control.refused == 0


def sub_transport(asked: str) -> str:
    return "shm" if asked == "auto" else asked


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, shm, ipc, tcp"):
        Subscriber(transport="pigeon")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="topic, stream"):
        Subscriber(order="none")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="log or endpoint"):
        Subscriber(log="/x", endpoint="tcp://127.0.0.1:1")
    with pytest.raises(SymbolError):
        Subscriber(["AA|PL"])
    with pytest.raises(SymbolError, match="quote"):
        Subscriber(schemas=["quotes"])
    with pytest.raises(ControlError, match="tcp://HOST:PORT"):
        Subscriber(feed="nonsense").open()
    with pytest.raises(ControlError, match="nonsense"):
        Subscriber(endpoint="nonsense").open()


def test_closed_is_closed(whole: WholeFeed) -> None:
    whole.start()
    sub = whole.subscriber()
    sub.open()
    sub.close()
    sub.close()
    assert sub.recv(1) is None
    assert list(sub) == []
    other = whole.subscriber()
    other.stop()
    with pytest.raises(CallerError):
        other.open()


def test_ctrl_c_ends_a_bot_that_waits(whole: WholeFeed) -> None:
    """In a process of its own, for its signal."""
    whole.start()
    script = (
        "import sys\n"
        "from bots import Subscriber\n"
        f"with Subscriber(feed={whole.address!r}, timeout=20) as sub:\n"
        "    try:\n"
        "        print('open', flush=True)\n"
        "        for tick in sub: pass\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(42)\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) as bot:
        assert bot.stdout is not None
        assert bot.stdout.readline() == "open\n"
        bot.send_signal(2)
        assert bot.wait(PATIENCE_S) == 42
