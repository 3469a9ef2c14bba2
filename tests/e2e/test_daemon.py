"""The life of a feed: its end, its death and what comes after, and what it refuses."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import alive, wait_for
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from tests.e2e.processes import Stage


@pytest.mark.parametrize("agents", ["many", "one"])
def test_sigterm_ends_everything_and_leaves_nothing(stage: Stage, agents: str) -> None:
    feed = stage.up(stage.feed(feed__processes=agents, source__sim__rate=2000))
    wait_for(lambda: stage.stat()["log"]["next_seq"] > 100, "ticks")
    assert feed.end(signal.SIGTERM) == 0, feed.said
    assert "ended cleanly" in feed.said
    assert stage.left() == []


def test_a_killed_supervisor_takes_its_agents_along_and_the_next_feed_resumes_the_epoch(stage: Stage) -> None:
    feed = stage.up(stage.feed(source__sim__rate=2000))
    wait_for(lambda: stage.stat()["log"]["next_seq"] > 100, "ticks")
    before = stage.stat()["log"]
    feed.kill()
    wait_for(lambda: not any(alive(pid) for pid in stage.agents), "agents to end")
    last = stage.stat()["log"]
    assert last["next_seq"] >= before["next_seq"]
    feed = stage.up(stage.feed(source__sim__rate=2000))
    after = wait_for(lambda: (log := stage.stat()["log"])["next_seq"] > last["next_seq"] and log, "more ticks")
    assert after["epoch"] == before["epoch"]
    for name, ticks in stage.log().items():
        assert [topic_seq for _, topic_seq, _ in ticks] == list(range(1, len(ticks) + 1)), name
    assert feed.end(signal.SIGTERM) == 0, feed.said
    assert stage.left() == []


def test_a_second_feed_of_the_same_name_is_refused_naming_the_first(stage: Stage) -> None:
    stage.up(stage.feed(source__sim__rate=1000, feed__processes="one"))
    holder = stage.agent("ingest")["pid"]
    second = stage.feed(control__endpoint="tcp://127.0.0.1:0", publish__tcp__endpoint="tcp://127.0.0.1:0")
    assert second.wait() == 1
    assert second.said.count("\n") == 1, second.said
    assert str(holder) in second.said
    assert stage.agent("ingest")["state"] == "up"


@pytest.mark.parametrize(
    ("key", "agents"), [("control.endpoint", "many"), ("publish.tcp.endpoint", "one"), ("monitor.endpoint", "one")]
)
def test_a_taken_port_is_a_loud_error(stage: Stage, key: str, agents: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = {"control": stage.control_port, "publish": stage.tcp_port, "monitor": stage.monitor_port}
        taken.bind(("127.0.0.1", port[key.partition(".")[0]]))
        taken.listen()
        feed = stage.feed(feed__processes=agents)
        assert feed.wait() == 1
    assert f"{key}: " in feed.said
    assert f"process {os.getpid()}" in feed.said
    assert "Traceback" not in feed.said
    assert stage.left() == []


def test_ctrl_c_in_a_terminal_ends_the_feed_cleanly(stage: Stage) -> None:
    with Terminal(stage, stage.feed_args(source__sim__rate=2000)) as terminal:
        terminal.shows("bots: --feed")
        stage.agents.update(agent["pid"] for agent in stage.stat()["agents"])
        terminal.ctrl_c()
        assert terminal.wait() == 0, terminal.shown
    assert "ended cleanly" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert stage.left() == []
