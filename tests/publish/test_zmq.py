"""The agent around the pump: addresses, resuming, slow subscribers, a log that ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time

import pytest
import zmq

from feed.agent import Agent
from feed.errors import AddressInUse, ConfigError, HostError, LogMissing
from feed.wire.frames import FLAG_LOSS
from tests.publish.harness import PATIENCE_S, Feed, Subscriber


def announced(feed: Feed, name: str) -> str:
    return (feed.directory / "endpoints" / name).read_text()


# --- addresses --------------------------------------------------------------------------------------------------------


def test_is_an_agent_and_says_where_it_is(feed: Feed) -> None:
    publisher = feed.publisher()
    assert isinstance(publisher, Agent)
    assert publisher.name == "publish.tcp"
    assert re.fullmatch(r"tcp://127\.0\.0\.1:[1-9]\d+", publisher.endpoint)
    assert announced(feed, "tcp") == publisher.endpoint
    publisher.close()
    publisher.close()
    assert list((feed.directory / "endpoints").iterdir()) == []
    assert publisher.poll() == 0
    assert publisher.drain()


def test_ipc_lies_by_the_log(feed: Feed) -> None:
    publisher = feed.publisher("ipc")
    path = feed.directory / "ipc"
    assert publisher.endpoint == announced(feed, "ipc") == f"ipc://{path}"
    assert publisher.transport == "ipc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    feed.writer.topic("quote", "A")
    subscriber = feed.subscriber(publisher, b"quote.")
    feed.write([0] * 3)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 3)
    publisher.close()
    assert not path.exists()


def test_a_taken_port_names_who_has_it(feed: Feed) -> None:
    publisher = feed.publisher()
    with pytest.raises(AddressInUse) as caught:
        feed.publisher("other", endpoint=publisher.endpoint)
    text = str(caught.value)
    assert publisher.endpoint in text
    assert f"(process {os.getpid()})" in text
    assert "publish.other.endpoint" in text
    assert not (feed.directory / "endpoints" / "other").exists()
    assert feed.reported("publish.other") == []


def test_a_taken_path_names_who_has_it(feed: Feed) -> None:
    publisher = feed.publisher("ipc")
    with pytest.raises(AddressInUse, match=rf"process {os.getpid()}"):
        feed.publisher("other", endpoint=publisher.endpoint)
    feed.writer.topic("quote", "A")
    subscriber = feed.subscriber(publisher, b"quote.")  # the first one is unharmed
    feed.write([0])
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 1)


def test_what_a_dead_publisher_left_is_cleared(feed: Feed) -> None:
    path = feed.directory / "ipc"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    publisher = feed.publisher("ipc")
    feed.subscriber(publisher)


def test_a_file_at_the_path_is_not_touched(feed: Feed) -> None:
    path = feed.directory / "notes"
    path.write_text("mine")
    with pytest.raises(HostError, match="notes"):
        feed.publisher("ipc", endpoint=f"ipc://{path}")
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("endpoint", "error"),
    [("tcp://192.0.2.1:5551", HostError), ("udp://127.0.0.1:1", ConfigError), ("nonsense", ConfigError)],
)
def test_an_address_that_is_none(feed: Feed, endpoint: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"publish\.tcp\.endpoint"):
        feed.publisher(endpoint=endpoint)


def test_no_log_no_publisher(feed: Feed) -> None:
    feed.writer.close(remove=True)
    with pytest.raises(LogMissing):
        feed.publisher()
    feed.rewrite()


def test_a_stranger_reads_it_with_nothing_but_pyzmq(feed: Feed) -> None:
    """The frame's layout by hand, as a subscriber in any language would."""
    topic = feed.writer.topic("quote", "AAPL")
    publisher = feed.publisher()
    sub = feed.context.socket(zmq.SUB)
    sub.connect(publisher.endpoint)
    sub.setsockopt(zmq.SUBSCRIBE, b"quote.AAPL|")
    feed.turn(publisher, lambda: bool(sub.poll(0)))
    sub.recv()
    feed.write([topic] * 2)
    feed.turn(publisher, lambda: bool(sub.poll(0)))
    message = sub.recv()
    sub.close()
    name, _, rest = message.partition(b"|")
    assert (name, rest[0], rest[1]) == (b"quote.AAPL", 0x54, 1)
    assert int.from_bytes(rest[4:6], "little") == 2
    logged = [tick.record for tick in feed.log() if tick.kind == 0]
    assert [rest[56:136], rest[136:216]] == logged
    assert len(rest) == 56 + 2 * 80 + 2 * 8


# --- slow subscribers -------------------------------------------------------------------------------------------------


def test_wait_loses_nothing_however_long_a_subscriber_sleeps(feed: Feed) -> None:
    feed.writer.topic("quote", "A")
    publisher = feed.publisher("ipc", slow="wait", hwm=64)
    subscriber = feed.subscriber(publisher, b"quote.", hwm=4)
    written = feed.stall(publisher)
    feed.write([0] * 2000, written)
    written += 2000
    sent = feed.counted("tickcast_sent_total", publisher="ipc")
    feed.rest(publisher, 0.05)
    assert feed.counted("tickcast_sent_total", publisher="ipc") == sent < written
    held = feed.reported("publish.ipc")
    feed.turn(publisher, lambda: subscriber.take() >= 0 and subscriber.records == written)
    assert publisher.drain()
    assert feed.reported("publish.ipc") == [feed.writer.position] != held
    assert [frame.topic_seq for frame in subscriber.ticks[1:]] == [
        frame.topic_seq + frame.count for frame in subscriber.ticks[:-1]
    ]
    assert feed.counted("tickcast_dropped_total", publisher="ipc", cause="overrun") == 0


def test_drop_never_waits(feed: Feed) -> None:
    feed.writer.topic("quote", "A")
    publisher = feed.publisher("ipc", slow="drop", hwm=4)
    subscriber = feed.subscriber(publisher, b"quote.", hwm=4)
    for seed in range(20):
        feed.write([0] * 1000, seed)
        feed.turn(publisher, publisher.drain)
    assert feed.counted("tickcast_sent_total", publisher="ipc") == 20_000
    feed.turn(publisher, lambda: subscriber.take() >= 0 and subscriber.records > 0)
    caught_up = False
    while not caught_up:  # the pipe opens again when half of it was read
        feed.write([0])
        feed.rest(publisher, 0.01)
        caught_up = subscriber.take() >= 0 and subscriber.ticks[-1].seq == feed.writer.next_seq - 1
    assert subscriber.records < 20_000  # what is missing shows in topic_seq


def test_a_slow_subscriber_can_leave(feed: Feed) -> None:
    feed.writer.topic("quote", "A")
    publisher = feed.publisher("ipc", slow="wait", hwm=64)
    slow = feed.subscriber(publisher, b"quote.", hwm=4)
    feed.stall(publisher)
    slow.socket.close()
    feed.turn(publisher, publisher.drain)
    assert feed.counted("tickcast_dropped_total", publisher="ipc", cause="overrun") == 0


# --- from one life to the next ----------------------------------------------------------------------------------------


def test_a_publisher_goes_on_where_it_was(feed: Feed) -> None:
    feed.writer.topic("quote", "A")
    publisher = feed.publisher(port := "tcp")
    subscriber = feed.subscriber(publisher, b"quote.")
    feed.write([0] * 10)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 10)
    endpoint = publisher.endpoint
    publisher.close()
    feed.write([0] * 7)
    again = feed.publisher(port, endpoint=endpoint)
    assert not again.drain()
    feed.turn(again, again.drain)
    subscriber.forget()
    # By now it is connected again, and told what it missed; what comes next has the right numbers.
    feed.turn(again, lambda: subscriber.take() >= 0 and bool(subscriber.empties(b"quote.A|")))
    assert subscriber.empties(b"quote.A|")[-1].topic_seq == 18
    feed.write([0])
    feed.turn(again, lambda: bool(subscriber.take()) and subscriber.records == 1)
    assert (subscriber.ticks[0].seq, subscriber.ticks[0].topic_seq) == (18, 18)


def test_killed_it_goes_on_at_what_was_not_handed_over(feed: Feed) -> None:
    feed.writer.topic("quote", "A")
    program = f"""
        from pathlib import Path
        from feed.config import ZmqConfig
        from feed.metrics.counters import Counters
        from feed.publish.zmq import ZmqPublisher
        directory = Path({str(feed.directory)!r})
        publisher = ZmqPublisher("ipc", ZmqConfig(slow="wait", hwm=64), directory, Counters.open(directory))
        while True:
            if not publisher.poll():
                publisher.park(1_000_000)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (feed.directory / "endpoints" / "ipc").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        sub = feed.context.socket(zmq.SUB)
        sub.setsockopt(zmq.RCVHWM, 4)
        sub.connect(announced(feed, "ipc"))
        sub.subscribe(b"quote.")
        while not sub.poll(100):
            assert time.monotonic() < deadline
        before = -1
        while before < 0 or feed.reported("publish.ipc") != [before]:  # until it hangs in a batch
            assert time.monotonic() < deadline
            feed.write([0] * 2000)
            time.sleep(0.2)
            (before,) = feed.reported("publish.ipc")
            time.sleep(0.1)
            if before == feed.writer.position:
                before = -1
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    sub.close(0)
    assert announced(feed, "ipc") == f"ipc://{feed.directory / 'ipc'}"
    publisher = feed.publisher("ipc")
    assert feed.reported("publish.ipc") == [before]
    assert before < feed.writer.position
    feed.turn(publisher, publisher.drain)
    assert feed.counted("tickcast_dropped_total", publisher="ipc", cause="overrun") == 0


def test_overrun_while_it_was_away_is_told(feed: Feed) -> None:
    feed.rewrite(log_bytes=1 << 20)
    feed.writer.topic("quote", "A")
    publisher = feed.publisher()
    feed.write([0])
    feed.turn(publisher, publisher.drain)
    publisher.close()
    for seed in range(10):
        feed.write([0] * 1000, seed)
    again = feed.publisher()
    subscriber = Subscriber(feed.context, 1000)
    feed.subscribers.append(subscriber)
    subscriber.socket.connect(again.endpoint)
    subscriber.socket.subscribe(b"quote.")
    feed.turn(again, lambda: subscriber.take() > 0 and again.drain())
    assert [frame.flags for frame in subscriber.frames] == [FLAG_LOSS] + [0] * (len(subscriber.frames) - 1)
    feed.write([0])
    feed.turn(
        again, lambda: subscriber.take() >= 0 and [f.topic_seq + f.count for f in subscriber.ticks][-1:] == [10_003]
    )
    assert [frame.flags for frame in subscriber.frames[1:]] == [0] * (len(subscriber.frames) - 1)


def test_a_new_log_is_taken_up_from_its_beginning(feed: Feed) -> None:
    feed.writer.topic("quote", "OLD")
    feed.writer.topic("quote", "A")
    publisher = feed.publisher(heartbeat="20ms")
    subscriber = feed.subscriber(publisher, b"quote.A|", b"heartbeat|")
    feed.write([1] * 5)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 5)
    old = feed.writer.epoch
    feed.writer.close(remove=True)
    feed.rest(publisher, 0.05)
    assert publisher.drain()
    feed.rewrite(max_topics=128)
    assert feed.writer.epoch > old
    feed.writer.topic("quote", "A")
    feed.write([0] * 3)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 8)
    last = subscriber.ticks[-1]
    assert (last.epoch, last.seq + last.count, last.topic_seq + last.count) == (feed.writer.epoch, 4, 4)
    epochs = [frame.epoch for frame in subscriber.frames]
    assert epochs == sorted(epochs)
    assert not any(frame.flags & FLAG_LOSS for frame in subscriber.frames)


@pytest.mark.parametrize("idle", ["spin", "park"])
def test_idle_strategies_send_alike(feed: Feed, idle: str) -> None:
    feed.writer.topic("quote", "A")
    publisher = feed.publisher(idle=idle)
    subscriber = feed.subscriber(publisher, b"quote.")
    for n in range(1, 20):
        feed.write([0], n)
        feed.turn(publisher, lambda n=n: subscriber.take() >= 0 and subscriber.records == n)
    assert len(subscriber.ticks) == 19
