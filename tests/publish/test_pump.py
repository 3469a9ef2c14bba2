"""What goes out is the log, frame by frame, and nobody is told anything that is not so."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.errors import HostError
from feed.publish.outlet import Outlet
from feed.wire import frames
from feed.wire.frames import FLAG_LOSS
from tests.publish.harness import Feed, Subscriber

if TYPE_CHECKING:
    from feed.publish.zmq import ZmqPublisher


def spread(ticks: list[frames.Frame]) -> list[tuple[int, bytes, int, int, bytes]]:
    """(seq, topic, topic_seq, ts_in, record) of each record, in stream order."""
    rows = [
        (int(seq), frame.topic, frame.topic_seq + i, int(ts_in), record.tobytes())
        for frame in ticks
        for i, (seq, ts_in, record) in enumerate(zip(frame.seqs, frame.ts_ins, frame.records, strict=True))
    ]
    return sorted(rows)


def logged(feed: Feed, topics: dict[int, bytes], first_seq: int = 1) -> list[tuple[int, bytes, int, int, bytes]]:
    """The same of the log."""
    return [
        (tick.seq, topics[tick.topic_id], tick.topic_seq, tick.ts_in, tick.record)
        for tick in feed.log()
        if tick.kind == 0 and tick.seq >= first_seq and tick.topic_id in topics
    ]


def quotes(feed: Feed, n: int) -> dict[int, bytes]:
    """`n` quote topics: id and what stands on the wire."""
    return {feed.writer.topic("quote", f"S{i}"): b"quote.S%d|" % i for i in range(n)}


@pytest.mark.parametrize("batch", [1, 2, 64, 65_535])
def test_frames_are_the_log(feed: Feed, batch: int) -> None:
    topics = quotes(feed, 7)
    publisher = feed.publisher(batch=batch)
    subscriber = feed.subscriber(publisher, b"quote.")
    ids = [int(i) for i in np.random.default_rng(3).zipf(1.5, 9_000) % 7]
    feed.write(ids)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == len(ids))
    assert spread(subscriber.ticks) == logged(feed, topics)
    assert max(frame.count for frame in subscriber.ticks) == min(batch, max(frame.count for frame in subscriber.ticks))
    assert all(frame.flags == 0 and frame.epoch == feed.writer.epoch for frame in subscriber.ticks)
    # Frames go out in the order in which they were opened, those of a topic without a hole.
    seqs = [frame.seq for frame in subscriber.ticks]
    assert all(a < b for a, b in itertools.pairwise(seqs))
    upcoming: dict[bytes, int] = defaultdict(lambda: 1)
    for frame in subscriber.ticks:
        assert frame.topic_seq == upcoming[frame.topic]
        upcoming[frame.topic] += frame.count
    assert publisher.pump.frames == len(subscriber.ticks)
    if batch == 1:
        assert len(subscriber.ticks) == len(ids)
    else:
        assert len(subscriber.ticks) < len(ids)
    assert feed.counted("tickcast_sent_total", publisher="tcp") == len(ids)


def test_a_lone_tick_goes_out_alone_and_stamped(feed: Feed) -> None:
    quotes(feed, 1)
    publisher = feed.publisher()
    subscriber = feed.subscriber(publisher, b"quote.S0|")
    for n in range(1, 4):
        feed.write([0], seed=n)
        feed.turn(publisher, lambda n=n: bool(subscriber.take()) and subscriber.records == n)
    assert [frame.count for frame in subscriber.ticks] == [1, 1, 1]
    committed = [tick.committed for tick in feed.log() if tick.kind == 0]
    assert all(frame.ts_sent >= at for frame, at in zip(subscriber.ticks, committed, strict=True))
    waited = feed.counters.histogram("tickcast_latency_seconds", stage="publish", transport="tcp")
    assert waited.count == 3
    assert waited.sum_ns == sum(frame.ts_sent - at for frame, at in zip(subscriber.ticks, committed, strict=True))


def test_schemas_of_all_sizes(feed: Feed) -> None:
    publisher = feed.publisher()
    subscriber = feed.subscriber(publisher, b"")
    sizes = {"trade": 48, "quote": 80, "book": 368, "order": 56, "status": 40, "definition": 520}
    for schema, size in sizes.items():
        topic = feed.writer.topic(schema, "ES H5.x")
        feed.write([topic] * 5, record_bytes=size)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 5 * len(sizes))
    topics = {i: f"{schema}.ES H5.x|".encode() for i, schema in enumerate(sizes)}
    assert spread(subscriber.ticks) == logged(feed, topics)
    assert {frame.schema: frame.record_bytes for frame in subscriber.ticks} == sizes


def test_what_does_not_fit_a_frame_begins_the_next(feed: Feed) -> None:
    topics = quotes(feed, 1)
    publisher = feed.publisher()
    subscriber = feed.subscriber(publisher, b"quote.")
    second = 10**9
    start = 1_700_000_000 * second
    for ts_in in (start, start + 4 * second, start + 5 * second, start + 5 * second - 1, start + 6 * second):
        feed.writer.publish_batch(np.array([0], np.uint32), np.zeros(80, np.uint8), 80, np.array([ts_in], np.uint64))
    for flags in (1, 1, 0):
        feed.writer.publish(0, bytes(80), start + 6 * second, flags)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 8)
    assert [(frame.count, frame.flags) for frame in subscriber.ticks] == [(2, 0), (1, 0), (2, 0), (2, 1), (1, 0)]
    assert spread(subscriber.ticks) == logged(feed, topics)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ticks=st.lists(
        st.tuples(st.integers(0, 4), st.integers(-(10**9), 6 * 10**9), st.sampled_from([0, 0, 0, 1, 2])), max_size=40
    )
)
def test_any_stream_comes_out_as_it_went_in(streams: tuple[Feed, ZmqPublisher, Subscriber], ticks: list) -> None:
    feed, publisher, subscriber = streams
    subscriber.forget()
    first, now = feed.writer.next_seq, 1_700_000_000 * 10**9
    for topic, step, flags in ticks:
        now += step
        feed.writer.publish(topic, np.random.default_rng(now).bytes(80), now, flags)
    feed.turn(publisher, lambda: subscriber.take() >= 0 and subscriber.records == len(ticks))
    topics = {i: b"quote.S%d|" % i for i in range(5)}
    assert spread(subscriber.ticks) == logged(feed, topics, first)
    wanted = {tick.seq: tick.flags for tick in feed.log()}
    assert all(frame.flags == wanted[int(seq)] for frame in subscriber.ticks for seq in frame.seqs)


@pytest.fixture
def streams(feed: Feed) -> tuple[Feed, ZmqPublisher, Subscriber]:
    quotes(feed, 5)
    publisher = feed.publisher(batch=8)
    return feed, publisher, feed.subscriber(publisher, b"quote.")


# --- subscriptions ----------------------------------------------------------------------------------------------------


def test_nobody_listens_nothing_is_built(feed: Feed) -> None:
    quotes(feed, 3)
    publisher = feed.publisher()
    feed.write([0, 1, 2] * 100)
    feed.turn(publisher, publisher.drain)
    assert publisher.pump.frames == 0
    assert feed.counted("tickcast_sent_total", publisher="tcp") == 0

    subscriber = feed.subscriber(publisher, b"quote.S1|")
    feed.write([0, 1, 2] * 100)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 100)
    assert publisher.pump.frames == len(subscriber.ticks)
    assert {frame.topic for frame in subscriber.ticks} == {b"quote.S1|"}
    assert feed.counted("tickcast_sent_total", publisher="tcp") == 100


def test_the_last_to_leave_turns_the_light_off(feed: Feed) -> None:
    quotes(feed, 2)
    publisher = feed.publisher()
    one = feed.subscriber(publisher, b"quote.S0|", b"quote.S1|")
    two = feed.subscriber(publisher, b"quote.", b"quote.S1|")
    one.socket.unsubscribe(b"quote.S0|")
    two.socket.close()
    feed.unheard(publisher, 0)
    before = publisher.pump.frames
    feed.write([0] * 10)
    feed.turn(publisher, publisher.drain)
    assert publisher.pump.frames == before
    feed.write([0, 1] * 10)
    feed.turn(publisher, lambda: bool(one.take()) and one.records == 10)
    assert {frame.topic for frame in one.ticks} == {b"quote.S1|"}


def test_prefixes_overlap(feed: Feed) -> None:
    feed.writer.topic("quote", "ESU4")
    feed.writer.topic("quote", "ESZ4")
    feed.writer.topic("quote", "NQU4")
    publisher = feed.publisher()
    subscriber = feed.subscriber(publisher, b"quote.ES", b"quote.ESU4|", b"quote.")
    for gone, heard in ((None, {0, 1, 2}), (b"quote.", {0, 1}), (b"quote.ES", {0}), (b"quote.ESU4|", set())):
        if gone:
            subscriber.socket.unsubscribe(gone)
            feed.unheard(publisher, len(heard))
        subscriber.take()
        subscriber.forget()
        before = publisher.pump.frames
        feed.write([0, 1, 2])
        feed.turn(publisher, lambda heard=heard: subscriber.take() >= 0 and subscriber.records == len(heard))
        feed.turn(publisher, publisher.drain)
        assert publisher.pump.frames - before == len(heard)


def test_a_topic_that_comes_later_is_wanted_at_once(feed: Feed) -> None:
    publisher = feed.publisher()
    subscriber = feed.subscriber(publisher, b"quote.S", b"trade.X|")
    for i in range(300):  # more than one batch of new topics, records between them
        feed.write([feed.writer.topic("quote", f"S{i}")] * 2)
    trade = feed.writer.topic("trade", "X")
    feed.write([trade], record_bytes=48)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 601)
    assert all(frame.topic_seq in {1, 2} for frame in subscriber.ticks)
    assert publisher.pump.interest.known == 301


def test_a_subscription_is_answered_with_where_it_came_in(feed: Feed) -> None:
    quotes(feed, 3)
    publisher = feed.publisher()
    feed.write([0, 0, 0, 1])
    subscriber = Subscriber(feed.context, 1000)
    feed.subscribers.append(subscriber)
    subscriber.socket.connect(publisher.endpoint)
    subscriber.socket.subscribe(b"quote.")
    subscriber.socket.subscribe(b"heartbeat|")
    feed.turn(publisher, lambda: subscriber.take() > 0 and len(subscriber.frames) >= 4)
    empties = {frame.topic: frame for frame in subscriber.frames if frame.topic != b"heartbeat|"}
    assert {topic: frame.topic_seq for topic, frame in empties.items()} == {
        b"quote.S0|": 4,
        b"quote.S1|": 2,
        b"quote.S2|": 1,
    }
    assert all((f.count, f.record_bytes, f.seq, f.ts_in) == (0, 0, 5, 0) for f in subscriber.frames)
    assert subscriber.frames[-1].topic == b"heartbeat|"
    # Nobody is told of a topic that he did not ask for, and a second subscriber of the same prefix is answered too.
    other = feed.subscriber(publisher)
    other.socket.subscribe(b"quote.S1|")
    feed.turn(publisher, lambda: bool(other.take()))
    assert [frame.topic for frame in other.frames] == [b"quote.S1|"]


def test_answers_are_bounded_in_a_turn(feed: Feed) -> None:
    quotes(feed, 3000)
    publisher = feed.publisher()
    subscriber = Subscriber(feed.context, 100_000)
    feed.subscribers.append(subscriber)
    subscriber.socket.connect(publisher.endpoint)
    subscriber.socket.subscribe(b"quote.")
    turns = []
    deadline = 10_000
    while len(subscriber.frames) < 3000 and deadline:
        before = publisher.pump.empties
        if not publisher.poll():
            publisher.park(1_000_000)
        turns.append(publisher.pump.empties - before)
        subscriber.take()
        deadline -= 1
    assert len({frame.topic for frame in subscriber.frames}) == 3000
    assert max(turns) <= 300


def test_odd_messages_from_below_are_not_minded(feed: Feed) -> None:
    quotes(feed, 1)
    publisher = feed.publisher()
    odd = feed.context.socket(zmq.XSUB)
    odd.setsockopt(zmq.LINGER, 0)
    odd.connect(publisher.endpoint)
    for message in (b"", b"\x07whatever", b"\x01" + b"q" * 200, b"\x00never", b"\x01quote.S0|"):
        odd.send(message)
    got: list[bytes] = []
    feed.turn(publisher, lambda: bool(odd.poll(0)) and not got.append(odd.recv()))
    assert frames.decode(got[0]).topic == b"quote.S0|"
    odd.close()


# --- news of the numbering --------------------------------------------------------------------------------------------


def test_heartbeats_say_what_is_next(feed: Feed) -> None:
    quotes(feed, 1)
    publisher = feed.publisher(heartbeat="20ms")
    subscriber = feed.subscriber(publisher)
    subscriber.socket.subscribe(b"heartbeat|")
    feed.turn(publisher, lambda: subscriber.take() >= 0 and len(subscriber.heartbeats) >= 3)
    feed.write([0] * 9)
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.heartbeats[-1].seq == 10)
    assert {(f.seq, f.topic_seq, f.count, f.epoch) for f in subscriber.heartbeats} == {
        (1, 0, 0, feed.writer.epoch),
        (10, 0, 0, feed.writer.epoch),
    }


def test_a_dead_feed_does_not_look_like_a_quiet_one(feed: Feed) -> None:
    quotes(feed, 1)
    publisher = feed.publisher(heartbeat="50ms", firehose="tcp://127.0.0.1:0")
    subscriber, hose = feed.subscriber(publisher), Subscriber(feed.context, 1000)
    feed.subscribers.append(hose)
    hose.socket.connect(publisher.firehose_endpoint)
    both = (subscriber, hose)

    def hear(heartbeats: int) -> None:
        for each in both:
            each.take()
            each.forget()
        feed.turn(publisher, lambda: all(each.take() >= 0 and len(each.heartbeats) >= heartbeats for each in both))

    for each in both:
        each.socket.subscribe(b"heartbeat|")
    hose.socket.subscribe(b"*|")
    feed.rest(publisher, 0.5)
    hear(3)  # a quiet market

    feed.lives = False
    feed.rest(publisher, 0.5)
    hear(0)
    late = Subscriber(feed.context, 1000)
    feed.subscribers.append(late)
    late.socket.connect(publisher.endpoint)
    late.socket.subscribe(b"quote.S0|")
    late.socket.subscribe(b"heartbeat|")
    feed.turn(publisher, lambda: late.take() > 0)
    feed.rest(publisher, 0.3)
    late.take()
    assert {frame.topic for frame in late.frames} == {b"quote.S0|"}, "no proof of life for newcomers, and so for nobody"
    for each in both:
        each.take()
        assert each.heartbeats == []
        assert not any(raw.startswith(b"*|") for raw in each.raw)

    feed.write([0])  # a commit is a sign of life too
    hear(1)
    feed.turn(publisher, lambda: late.take() >= 0 and len(late.heartbeats) >= 1)
    feed.rest(publisher, 0.5)
    feed.lives = True
    hear(3)


def test_a_quiet_topic_repeats_its_end_ever_more_seldom(feed: Feed) -> None:
    quotes(feed, 2)
    publisher = feed.publisher(heartbeat="40ms")
    subscriber = feed.subscriber(publisher, b"quote.S0|")
    feed.write([0, 1, 0])
    feed.turn(publisher, lambda: subscriber.take() >= 0 and len(subscriber.empties(b"quote.S0|")) == 4)
    sent = [frame.ts_sent for frame in subscriber.frames]
    pauses = [b - a for a, b in itertools.pairwise(sent)]
    heartbeat = 40_000_000
    for times, pause in zip((1, 2, 4, 8), pauses[-4:], strict=True):
        assert pause >= times * heartbeat * 0.9  # from the clock read of the poll that sent it
    assert all((f.topic_seq, f.seq) == (3, 4) for f in subscriber.empties(b"quote.S0|"))
    # A tick begins the schedule again.
    feed.write([0])
    before = len(subscriber.frames)
    feed.turn(publisher, lambda: subscriber.take() >= 0 and len(subscriber.frames) >= before + 2)
    assert [f.count for f in subscriber.frames[before : before + 2]] == [1, 0]
    assert subscriber.frames[before + 1].topic_seq == 4


# --- losses -----------------------------------------------------------------------------------------------------------


def test_overtaken_is_counted_to_the_tick_and_told_on_every_topic(feed: Feed) -> None:
    feed.rewrite(log_bytes=1 << 20)
    quotes(feed, 3)
    publisher = feed.publisher()
    subscriber = feed.subscriber(publisher, b"quote.S0|", b"quote.S1|", b"quote.S2|")
    feed.write([0, 1, 2])
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 3)
    assert all(frame.flags == 0 for frame in subscriber.ticks)
    subscriber.forget()
    for seed in range(15):
        feed.write([0, 1] * 1000, seed)
    total = 30_000
    feed.turn(publisher, publisher.drain)
    lost = feed.counted("tickcast_dropped_total", publisher="tcp", cause="overrun")
    assert 0 < lost < total
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == total - lost)
    first = {frame.topic: frame for frame in reversed(subscriber.ticks)}
    assert [first[b"quote.S%d|" % i].flags for i in (0, 1)] == [FLAG_LOSS, FLAG_LOSS]
    assert sum(frame.flags == FLAG_LOSS for frame in subscriber.ticks) == 2
    assert min(frame.seq for frame in subscriber.ticks) == 4 + lost
    assert spread(subscriber.ticks) == logged(feed, {0: b"quote.S0|", 1: b"quote.S1|"}, 4 + lost)
    # The third topic lost nothing, but nobody can know that.
    feed.write([2])
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.ticks[-1].topic == b"quote.S2|")
    assert (subscriber.ticks[-1].flags, subscriber.ticks[-1].topic_seq) == (FLAG_LOSS, 2)
    feed.write([2])
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.ticks[-1].topic_seq == 3)
    assert subscriber.ticks[-1].flags == 0


def test_a_topic_whose_beginning_was_lost_is_numbered_right(feed: Feed) -> None:
    feed.rewrite(log_bytes=1 << 20)
    quotes(feed, 1)
    publisher = feed.publisher()
    subscriber = feed.subscriber(publisher, b"quote.")
    feed.write([feed.writer.topic("quote", "NEW")] * 5)
    for seed in range(12):
        feed.write([0] * 1000, seed)
    feed.turn(publisher, lambda: subscriber.take() >= 0 and publisher.drain())
    assert not subscriber.empties(b"quote.NEW|")
    subscriber.socket.subscribe(b"quote.NEW|")
    feed.turn(publisher, lambda: subscriber.take() >= 0 and bool(subscriber.empties(b"quote.NEW|")))
    (told,) = subscriber.empties(b"quote.NEW|")
    assert (told.topic_seq, told.flags) == (6, FLAG_LOSS)


def test_a_plan_that_is_overwritten_is_not_sent(feed: Feed) -> None:
    """The publisher has read the headers when its socket is full; the log goes round before it can copy the records."""
    feed.rewrite(log_bytes=1 << 20)
    topics = quotes(feed, 1)
    publisher = feed.publisher("ipc", slow="wait", hwm=64, batch=8)
    subscriber = feed.subscriber(publisher, b"quote.", hwm=4)
    written = feed.stall(publisher)
    position = feed.reported("publish.ipc")
    for _ in range(10):
        feed.write([0] * 2000, written)
        written += 2000
        publisher.poll()
        assert feed.reported("publish.ipc") == position
    feed.turn(publisher, lambda: subscriber.take() >= 0 and publisher.drain())
    lost = feed.counted("tickcast_dropped_total", publisher="ipc", cause="overrun")
    feed.turn(publisher, lambda: subscriber.take() >= 0 and subscriber.records == written - lost)
    assert lost > 500
    assert feed.counted("tickcast_sent_total", publisher="ipc") == written - lost
    # Each record that came is the one that was written under its number.
    seen = spread(subscriber.ticks)
    assert len({row[0] for row in seen}) == len(seen)
    known = {row[0]: row for row in logged(feed, topics)}
    assert all(known[row[0]] == row for row in seen if row[0] in known)
    assert sum(frame.flags == FLAG_LOSS for frame in subscriber.ticks) == 1


def test_a_record_of_the_wrong_size_is_counted_and_skipped(feed: Feed) -> None:
    quotes(feed, 1)
    publisher = feed.publisher()
    subscriber = feed.subscriber(publisher, b"quote.")
    feed.write([0])
    feed.write([0], record_bytes=88)
    feed.write([0])
    feed.turn(publisher, lambda: bool(subscriber.take()) and subscriber.records == 2)
    assert [frame.topic_seq for frame in subscriber.ticks] == [1, 3]
    assert feed.counted("tickcast_dropped_total", publisher="tcp", cause="misfit") == 1


def test_the_socket_must_be_open(feed: Feed) -> None:
    bound = feed.context.socket(zmq.XPUB)
    bound.close()
    with pytest.raises(HostError, match="closed"):
        Outlet(bound, feed.counters.counter("tickcast_sent_total", publisher="tcp"), None)


def test_racing_a_writer_that_laps_it_nothing_torn_gets_out(feed: Feed) -> None:
    """Every record names its own seq ten times over; all are either received or counted."""
    feed.rewrite(log_bytes=1 << 20)
    quotes(feed, 5)
    publisher = feed.publisher("ipc", slow="wait", batch=16)
    subscriber = feed.subscriber(publisher, b"quote.")
    batches, size = 150, 2000

    def write() -> None:
        rng = np.random.default_rng(11)
        for n in range(batches):
            seqs = np.arange(n * size + 1, (n + 1) * size + 1, dtype=np.uint64)
            records = np.repeat(seqs, 10).view(np.uint8)
            feed.writer.publish_batch(rng.integers(0, 5, size).astype(np.uint32), records, 80)

    writer = threading.Thread(target=write)
    writer.start()
    received = 0

    def settled() -> bool:
        nonlocal received
        subscriber.take()
        for frame in subscriber.ticks:
            words = np.frombuffer(frame.records.tobytes(), np.uint64).reshape(frame.count, 10)
            assert (words == frame.seqs[:, None]).all()
            received += frame.count
        subscriber.forget()
        lost = feed.counted("tickcast_dropped_total", publisher="ipc", cause="overrun")
        return not writer.is_alive() and publisher.drain() and received + lost == batches * size

    feed.turn(publisher, settled)
    writer.join()
    assert feed.counted("tickcast_sent_total", publisher="ipc") == received
