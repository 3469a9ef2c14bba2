"""The firehose is the log's bytes, in order, without a hole that is not told."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import zmq

from feed.wire import frames
from feed.wire.frames import FLAG_LOSS, FLAG_SNAPSHOT, LogFrame
from tests.publish.harness import Feed, Subscriber

if TYPE_CHECKING:
    from feed.publish.zmq import ZmqPublisher

HEADER = struct.Struct("<IIQQQIHH")


def hose(feed: Feed, publisher: ZmqPublisher, *, hwm: int = 100_000) -> Subscriber:
    """Subscribed to the firehose, and told so."""
    subscriber = Subscriber(feed.context, hwm)
    feed.subscribers.append(subscriber)
    subscriber.socket.connect(publisher.firehose_endpoint)
    subscriber.socket.subscribe(b"*|")
    feed.turn(publisher, lambda: subscriber.take() > 0 and not runs(subscriber)[-1].frames)
    return subscriber


def runs(subscriber: Subscriber) -> list[frames.Firehose]:
    return [frames.decode_firehose(raw) for raw in subscriber.raw if raw.startswith(b"*|")]


def live(subscriber: Subscriber) -> list[LogFrame]:
    return [frame for run in runs(subscriber) if not run.flags & FLAG_SNAPSHOT for frame in run.frames]


def as_bytes(found: list[LogFrame]) -> list[bytes]:
    return [
        HEADER.pack(
            HEADER.size + len(f.record), f.topic_id, f.seq, f.topic_seq, f.ts_in, f.committed_delta, f.kind, f.flags
        )
        + f.record
        for f in found
    ]


def logged(feed: Feed, first_seq: int) -> list[bytes]:
    return [
        HEADER.pack(
            HEADER.size + len(t.record), t.topic_id, t.seq, t.topic_seq, t.ts_in, t.committed - t.ts_in, t.kind, t.flags
        )
        + t.record
        for t in feed.log()
        if t.seq >= first_seq
    ]


def test_it_is_the_log_byte_for_byte(feed: Feed) -> None:
    """More than a segment, so that padding lies between; topics and records of several sizes."""
    publisher = feed.publisher(firehose="tcp://127.0.0.1:0", slow="wait")
    subscriber = hose(feed, publisher)
    first = feed.writer.next_seq
    rng = np.random.default_rng(5)
    for n in range(40):
        quote, status = feed.writer.topic("quote", f"Q{n}"), feed.writer.topic("status", f"Q{n}")
        feed.write([quote] * int(rng.integers(1, 120)), n)
        feed.write([status] * int(rng.integers(1, 50)), n, record_bytes=40)
        publisher.poll()
    last = feed.writer.next_seq - 1
    feed.turn(publisher, lambda: subscriber.take() >= 0 and bool(found := live(subscriber)) and found[-1].seq == last)
    assert as_bytes(live(subscriber)) == logged(feed, first)
    ticks = [run for run in runs(subscriber) if run.frames]
    assert all(run.seq == run.frames[0].seq and run.ts_in == run.frames[0].ts_in for run in ticks[1:])
    assert all(run.epoch == feed.writer.epoch and run.ts_sent > 0 for run in ticks)
    assert max(len(raw) for raw in subscriber.raw) <= 2 + 56 + 64 * 1024 + 4096
    assert feed.counted("tickcast_sent_total", publisher="tcp.firehose") == last - first + 1
    assert publisher.pump.frames == 0  # the other endpoint's subscribers are its own


def test_a_late_reader_is_given_the_topics(feed: Feed) -> None:
    ids = {feed.writer.topic("quote", f"S{n}"): f"S{n}" for n in range(1200)}
    feed.write([0] * 10)
    publisher = feed.publisher(firehose="ipc://" + str(feed.directory / "hose"))
    subscriber = hose(feed, publisher)
    told = [frame for run in runs(subscriber) if run.flags & FLAG_SNAPSHOT for frame in run.frames]
    entries = [struct.unpack("<HHI72s", frame.record) for frame in told]
    assert {topic: symbol[:n].decode() for _, n, topic, symbol in entries} == ids
    assert all((frame.kind, frame.topic_id) == (1, entry[2]) for frame, entry in zip(told, entries, strict=True))
    assert runs(subscriber)[-1].seq == 11
    feed.write([7])
    feed.turn(publisher, lambda: subscriber.take() >= 0 and bool(live(subscriber)))
    assert [(frame.topic_id, frame.seq) for frame in live(subscriber)] == [(7, 11)]


def test_it_beats_and_nobody_pays_who_does_not_listen(feed: Feed) -> None:
    feed.writer.topic("quote", "A")
    publisher = feed.publisher(firehose="tcp://127.0.0.1:0", heartbeat="20ms")
    feed.write([0] * 10)
    feed.turn(publisher, publisher.drain)
    assert feed.counted("tickcast_sent_total", publisher="tcp.firehose") == 0
    subscriber = hose(feed, publisher)
    subscriber.socket.subscribe(b"heartbeat|")
    feed.turn(publisher, lambda: subscriber.take() >= 0 and len(subscriber.heartbeats) >= 3)
    assert {frame.seq for frame in subscriber.heartbeats} == {11}
    subscriber.socket.unsubscribe(b"*|")
    feed.unheard(publisher, 0)
    before = feed.counted("tickcast_sent_total", publisher="tcp.firehose")
    feed.write([0] * 10)
    feed.turn(publisher, publisher.drain)
    assert feed.counted("tickcast_sent_total", publisher="tcp.firehose") == before


def test_overtaken_is_counted_and_told(feed: Feed) -> None:
    feed.rewrite(log_bytes=1 << 20)
    feed.writer.topic("quote", "A")
    publisher = feed.publisher(firehose="tcp://127.0.0.1:0")
    subscriber = hose(feed, publisher)
    feed.write([0])
    feed.turn(publisher, lambda: subscriber.take() >= 0 and bool(live(subscriber)))
    for seed in range(15):
        feed.write([0] * 1000, seed)
    feed.turn(publisher, lambda: subscriber.take() >= 0 and live(subscriber)[-1].seq == 15_001)
    lost = feed.counted("tickcast_dropped_total", publisher="tcp.firehose", cause="overrun")
    seqs = [frame.seq for frame in live(subscriber)]
    assert seqs == [1, *range(2 + lost, 15_002)]
    assert lost > 0
    flagged = [run for run in runs(subscriber) if run.flags & FLAG_LOSS]
    assert [run.seq for run in flagged] == [2 + lost]


def test_wait_holds_for_the_firehose_too(feed: Feed) -> None:
    feed.writer.topic("quote", "A")
    publisher = feed.publisher(firehose=f"ipc://{feed.directory / 'hose'}", slow="wait", hwm=64)
    subscriber = hose(feed, publisher, hwm=1)
    written = feed.stall(publisher)
    feed.turn(
        publisher, lambda: subscriber.take() >= 0 and bool(live(subscriber)) and live(subscriber)[-1].seq == written
    )
    assert [frame.seq for frame in live(subscriber)] == list(range(1, written + 1))
    assert publisher.drain()


def test_it_resumes(feed: Feed) -> None:
    feed.writer.topic("quote", "A")
    where = f"ipc://{feed.directory / 'hose'}"
    publisher = feed.publisher(firehose=where)
    feed.write([0] * 5)
    feed.turn(publisher, publisher.drain)
    publisher.close()
    feed.write([0] * 5)
    again = feed.publisher(firehose=where)
    assert not again.drain()
    assert feed.reported("firehose.tcp") == feed.reported("publish.tcp")
    sub = feed.context.socket(zmq.SUB)
    sub.connect(where)
    sub.close()
