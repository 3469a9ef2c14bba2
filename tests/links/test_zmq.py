"""The ZeroMQ link against a publisher that the test plays by hand: what no honest publisher would send, too."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from bots import Gap, Subscriber
from bots.directory import Directory, Transport
from bots.offset import RoundTrips
from feed.wire import frames

from .conftest import PATIENCE_S, take, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORD = bytes(range(80))
EPOCH = 1_700_000_000_000_000_000


class Hand:
    """An XPUB socket; answers nothing by itself."""

    def __init__(self, root: Path) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.socket.linger = 0
        self.socket.sndhwm = 0
        self.endpoint = f"ipc://{root}/hand"
        self.socket.bind(self.endpoint)
        self.subscriptions: list[bytes] = []
        self.gaps: list[Gap] = []
        self.sub: Subscriber | None = None

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self.socket.send(message)

    def beat(self, seq: int = 1, epoch: int = EPOCH) -> None:
        self.send(frames.heartbeat(epoch=epoch, seq=seq))

    def quote(
        self, seqs: list[int], topic_seq: int, topic: bytes = b"quote.AAPL|", epoch: int = EPOCH, **more: int
    ) -> None:
        self.send(
            frames.encode(
                topic, RECORD * len(seqs), epoch=epoch, seq=seqs[0], topic_seq=topic_seq, ts_in=5, seqs=seqs,
                ts_ins=[5 + i for i in range(len(seqs))], **more,  # type: ignore[arg-type]
            )
        )  # fmt: skip

    def empty(self, seq: int, topic_seq: int, topic: bytes = b"quote.AAPL|") -> None:
        self.send(frames.encode(topic, epoch=EPOCH, seq=seq, topic_seq=topic_seq))

    def listen(self) -> None:
        """Until the subscriber asked for the heartbeat."""
        while b"\x01heartbeat|" not in self.subscriptions:
            assert self.socket.poll(PATIENCE_S * 1000)
            self.subscriptions.append(self.socket.recv())

    def open(self, symbols: str = "*", schemas: tuple[str, ...] = ("quote",), order: str = "topic") -> Subscriber:
        """A subscriber that has had its proof."""
        self.sub = Subscriber(
            symbols,
            schemas,
            endpoint=self.endpoint,
            on_gap=self.gaps.append,
            timeout=PATIENCE_S,
            slow="fill",
            order=order,
        )  # type: ignore[call-overload]
        opening = threading.Thread(target=self.sub.open)
        opening.start()
        self.listen()
        self.beat()
        opening.join()
        return self.sub

    def close(self) -> None:
        if self.sub is not None:
            self.sub.close()
        self.socket.close()
        self.context.term()


@pytest.fixture
def hand(root: Path) -> Iterator[Hand]:
    by_hand = Hand(root)
    yield by_hand
    by_hand.close()


def test_open_waits_for_the_proof_and_asks_for_it_last(hand: Hand) -> None:
    sub = Subscriber(["AAPL", "ES*"], ["quote", "trade"], endpoint=hand.endpoint, timeout=PATIENCE_S, slow="fill")
    hand.sub = sub
    opening = threading.Thread(target=sub.open)
    opening.start()
    hand.listen()
    assert hand.subscriptions == [
        b"\x01quote.AAPL|", b"\x01quote.ES", b"\x01trade.AAPL|", b"\x01trade.ES", b"\x01heartbeat|",
    ]  # fmt: skip
    hand.quote([1], 1)
    opening.join(0.1)
    assert not sub.opened
    hand.beat(2)
    opening.join(PATIENCE_S)
    assert sub.opened
    assert [tick.topic_seq for tick in take(sub, 1)] == [1]  # what came meanwhile is kept


def test_more_subscriptions_than_a_queue_holds(hand: Hand) -> None:
    symbols = [f"S{i}" for i in range(3000)]
    sub = Subscriber(symbols, ["quote"], endpoint=hand.endpoint, timeout=PATIENCE_S, slow="fill")
    hand.sub = sub
    opening = threading.Thread(target=sub.open)
    opening.start()
    hand.listen()
    assert set(hand.subscriptions[:-1]) == {b"\x01quote.%s|" % symbol.encode() for symbol in symbols}
    hand.beat()
    opening.join()


def test_a_frame_of_many_is_taken_apart(hand: Hand) -> None:
    sub = hand.open()
    hand.quote([4, 7, 9], 2)
    ticks = take(sub, 3)
    assert [(tick.seq, tick.topic_seq, tick.ts_in, tick.record) for tick in ticks] == [
        (4, 2, 5, RECORD), (7, 3, 6, RECORD), (9, 4, 7, RECORD),
    ]  # fmt: skip
    hand.quote([10, 11, 12, 13], 5)
    first = sub.recv_many(3, PATIENCE_S)
    second = sub.recv_many(3, PATIENCE_S)
    assert first is not None
    assert second is not None
    assert first.seq.tolist() == [10, 11, 12]
    assert first.ts_in.tolist() == [5, 6, 7]
    assert second.topic_seq.tolist() == [8]
    assert second.ts_in.tolist() == [8]
    assert first.symbols.tolist() == ["AAPL"] * 3


def test_duplicates_are_dropped(hand: Hand) -> None:
    sub = hand.open()
    hand.quote([1, 2, 3], 1)
    hand.quote([1, 2, 3], 1)
    hand.quote([3, 4], 3)
    assert [tick.topic_seq for tick in take(sub, 4)] == [1, 2, 3, 4]
    assert sub.recv(0.05) is None
    assert sub.stats()["duplicates"] == 4
    assert not hand.gaps


def test_an_older_epoch_is_dropped_and_a_newer_one_told(hand: Hand) -> None:
    sub = hand.open()
    hand.quote([9], 5)
    take(sub, 1)
    hand.quote([10], 6, epoch=EPOCH - 1)
    hand.quote([3], 3, epoch=EPOCH + 1)
    assert take(sub, 1)[0].topic_seq == 3
    assert hand.gaps == [Gap("*", 0, 0, "epoch", EPOCH + 1), Gap("quote.AAPL", 1, 2, "epoch", EPOCH + 1)]
    assert sub.stats()["outdated"] == 1
    hand.quote([4], 2, topic=b"quote.NEW|", epoch=EPOCH + 1)  # a topic that the old epoch did not have
    take(sub, 1)
    assert hand.gaps[-1] == Gap("quote.NEW", 1, 1, "epoch", EPOCH + 1)


def test_a_conflated_frame_is_no_gap(hand: Hand) -> None:
    sub = hand.open()
    hand.quote([1], 1)
    hand.quote([5], 5, flags=frames.FLAG_CONFLATED, folded=3)
    tick = take(sub, 2)[1]
    assert tick.topic_seq == 5
    assert tick.flags == frames.FLAG_CONFLATED
    assert not hand.gaps
    hand.quote([9], 9, flags=frames.FLAG_CONFLATED, folded=2)
    take(sub, 1)
    assert [(gap.first, gap.last) for gap in hand.gaps] == [(6, 6)]


def test_a_frame_without_records_tells_of_a_loss(hand: Hand) -> None:
    sub = hand.open()
    hand.empty(10, 4)  # where we came in
    hand.quote([10], 4)
    hand.empty(11, 5)
    take(sub, 1)
    assert sub.recv(0.05) is None
    assert not hand.gaps
    hand.empty(20, 8)
    until(sub, lambda: bool(hand.gaps))
    assert hand.gaps == [Gap("quote.AAPL", 5, 7, "slow", EPOCH)]


def test_a_loss_in_the_feed_itself_is_an_overrun(hand: Hand) -> None:
    sub = hand.open()
    hand.quote([1], 1)
    hand.quote([7], 4, flags=frames.FLAG_LOSS)
    take(sub, 2)
    assert [(gap.first, gap.last, gap.cause) for gap in hand.gaps] == [(2, 3, "overrun")]


def test_what_is_no_frame_is_counted_and_passed_over(hand: Hand) -> None:
    sub = hand.open()
    good = frames.encode(b"quote.AAPL|", RECORD, epoch=EPOCH, seq=1, topic_seq=1)
    hand.send(b"quote.AAPL|", good[:-1], good + b"x", good[:11] + b"?" + good[12:], b"quote.AAPL")
    hand.socket.send_multipart([good, b"and", b"more"])
    hand.send(good)
    assert take(sub, 1)[0].record == RECORD
    assert sub.recv(0.05) is None
    assert sub.stats()["malformed"] == 6
    assert not hand.gaps


def test_a_prefix_that_matches_too_much_is_filtered(hand: Hand) -> None:
    sub = hand.open("AAPL", ("quote",))
    hand.quote([1], 1, topic=b"quote.AAPL|")
    hand.quote([2], 1, topic=b"quote.AAPLW|")
    hand.quote([3], 2, topic=b"quote.AAPL|")
    assert [tick.topic for tick in take(sub, 2)] == ["quote.AAPL"] * 2


def test_thousands_of_topics(hand: Hand) -> None:
    sub = hand.open()
    for round_ in range(2):
        for i in range(3000):
            hand.quote([3000 * round_ + i + 1], round_ + 1, topic=b"quote.S%d|" % i)
    got = {(tick.symbol, tick.topic_seq) for tick in take(sub, 6000)}
    assert got == {(f"S{i}", n) for i in range(3000) for n in (1, 2)}
    assert not hand.gaps


def test_silence_is_told_and_so_is_its_end(hand: Hand) -> None:
    told: list[str] = []
    sub = hand.open()
    sub.on_stale, sub.on_live = lambda _: told.append("stale"), lambda: told.append("live")
    until(sub, lambda: told == ["stale"])  # two heartbeats missed
    assert not sub.live
    hand.beat()
    until(sub, lambda: told == ["stale", "live"])
    assert sub.live


# --- stream order -----------------------------------------------------------------------------------------------------


def test_stream_order_waits_for_the_proof(hand: Hand) -> None:
    sub = hand.open(order="stream")
    hand.quote([1, 4, 6], 1)
    hand.quote([2, 5], 1, topic=b"quote.MSFT|")
    assert [tick.seq for tick in take(sub, 2)] == [1, 2]
    assert sub.recv(0.05) is None  # 3 may still come
    hand.quote([3], 1, topic=b"quote.IBM|")
    assert [tick.seq for tick in take(sub, 1)] == [3]
    assert sub.recv(0.05) is None
    hand.beat(6)
    assert [tick.seq for tick in take(sub, 3)] == [4, 5, 6]
    hand.empty(7, 4)
    assert sub.recv(0.05) is None
    assert not hand.gaps


def test_the_end_of_an_epoch_lets_everything_out(hand: Hand) -> None:
    sub = hand.open(order="stream")
    hand.quote([1, 9], 1)
    hand.quote([3], 1, topic=b"quote.MSFT|")
    hand.quote([1], 1, epoch=EPOCH + 1)
    got = [(tick.symbol, tick.seq) for tick in take(sub, 4)]
    assert got == [("AAPL", 1), ("MSFT", 3), ("AAPL", 9), ("AAPL", 1)]
    assert [gap.cause for gap in hand.gaps] == ["epoch"]


def test_replays_and_snapshots_stand_outside_the_stream(hand: Hand) -> None:
    sub = hand.open(order="stream")
    hand.quote([5, 9], 1)
    take(sub, 1)
    hand.quote([2], 1, topic=b"quote.OLD|", flags=frames.FLAG_SNAPSHOT)
    assert take(sub, 1)[0].symbol == "OLD"


def test_stream_order_of_any_batching(root: Path) -> None:
    """However the records of a stream are batched, they come out in the order in which they went in."""
    hand = Hand(root)
    sub = hand.open(order="stream")
    epoch = EPOCH

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60))
    def check(stream: list[tuple[int, int]]) -> None:
        """`stream`: the topic of each record, and how eager the publisher is to send then."""
        nonlocal epoch
        epoch += 1
        open_: dict[int, list[int]] = {}
        topic_seqs = dict.fromkeys(range(5), 1)

        def flush() -> None:
            for topic, seqs in sorted(open_.items(), key=lambda each: each[1][0]):
                hand.quote(seqs, topic_seqs[topic], topic=b"quote.T%d|" % topic, epoch=epoch)
                topic_seqs[topic] += len(seqs)
            open_.clear()

        for seq, (topic, eager) in enumerate(stream, 1):
            open_.setdefault(topic, []).append(seq)
            if eager == 0:
                flush()
        flush()
        hand.beat(len(stream) + 1, epoch)
        got = [(tick.seq, tick.symbol) for tick in take(sub, len(stream))]
        assert got == [(seq, f"T{topic}") for seq, (topic, _) in enumerate(stream, 1)]

    try:
        check()
        assert {gap.topic for gap in hand.gaps} <= {"*"}
    finally:
        hand.close()


def test_close_while_frames_wait(hand: Hand) -> None:
    sub = hand.open()
    for i in range(200):
        hand.quote([i + 1], i + 1)
    take(sub, 3)
    sub.close()
    assert sub.recv(0) is None
    time.sleep(0.01)


def test_a_clock_that_was_set_back_does_not_make_a_feed_deaf(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new epoch that looks older than the last: the directory decides."""

    class Control:
        epoch = EPOCH
        asked_ns = next_seq = 0
        trips = RoundTrips()

        def __init__(self, feed: str) -> None: ...

        def request(self, name: str, **fields: object) -> None: ...

        def directory(self, timeout: float) -> Directory:
            offered = [Transport("tcp", "ipc", hand.endpoint)]
            return Directory("main", "0", 1, "elsewhere", "", self.epoch, 1, offered)

        directory_soon = directory

        def reach(self, endpoint: str) -> str:
            return endpoint

        def report(self, bot: object) -> None: ...

        def reported(self) -> None: ...

        def compare_clocks(self, timeout: float) -> bool:
            return False

        def close(self) -> None: ...

    monkeypatch.setattr("bots.connection.ControlClient", Control)
    sub = Subscriber(
        schemas=["quote"], feed="tcp://h:1", transport="ipc", on_gap=hand.gaps.append, timeout=PATIENCE_S, slow="fill"
    )
    hand.sub = sub
    opening = threading.Thread(target=sub.open)
    opening.start()
    hand.listen()
    hand.beat()
    opening.join()
    hand.quote([1], 1)
    take(sub, 1)
    Control.epoch = EPOCH - 1
    hand.subscriptions.clear()
    hand.beat(epoch=EPOCH - 1)
    until(sub, lambda: sub.stats()["epoch"] == EPOCH - 1)
    hand.listen()
    hand.quote([1], 1, epoch=EPOCH - 1)
    assert take(sub, 1)[0].topic_seq == 1
    assert [gap.cause for gap in hand.gaps] == ["epoch"]
