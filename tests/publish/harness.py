"""A log, a publisher that the test turns by hand, and plain pyzmq subscribers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import zmq

from feed.config import ZmqConfig
from feed.log.observer import log_figures
from feed.log.reader import LogReader, LogTick
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters
from feed.publish.zmq import ZmqPublisher
from feed.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_S = 20.0
"""How long anything may take before a test gives up: it bounds a hang, it is no requirement."""


class Subscriber:
    """What a stranger would write: a SUB socket of pyzmq. Keeps what it got, decoded."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], hwm: int) -> None:
        self.socket = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.RCVHWM, hwm)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.frames: list[frames.Frame] = []
        self.raw: list[bytes] = []

    def take(self) -> int:
        """Receive what is there; how many messages that were."""
        n = 0
        while self.socket.poll(0):
            message = self.socket.recv()
            self.raw.append(message)
            if not message.startswith(b"*|"):
                self.frames.append(frames.decode(message))
            n += 1
        return n

    @property
    def ticks(self) -> list[frames.Frame]:
        return [frame for frame in self.frames if frame.count]

    @property
    def records(self) -> int:
        return sum(frame.count for frame in self.frames)

    @property
    def heartbeats(self) -> list[frames.Frame]:
        return [frame for frame in self.frames if frame.topic == b"heartbeat|"]

    def empties(self, topic: bytes) -> list[frames.Frame]:
        return [frame for frame in self.frames if frame.topic == topic and not frame.count]

    def forget(self) -> None:
        self.frames, self.raw = [], []


class Feed:
    """One feed's log, counters and publishers in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lives = True
        """Does the sequencer's loop turn? `turn` says so for it."""
        self.writer = LogWriter.open(directory, log_bytes=4 << 20, max_topics=4096)
        self.counters = Counters.open(directory, create=True)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.subscribers: list[Subscriber] = []
        self.publishers: list[ZmqPublisher] = []

    def rewrite(self, **geometry: int) -> None:
        """Begin the log again, with another geometry."""
        self.writer.close(remove=True)
        self.writer = LogWriter.open(self.directory, **{"log_bytes": 4 << 20, "max_topics": 4096, **geometry})

    def publisher(self, name: str = "tcp", **settings: object) -> ZmqPublisher:
        """A publisher of the log; over TCP on any port unless told otherwise."""
        settings.setdefault("endpoint", "tcp://127.0.0.1:0" if name == "tcp" else "")
        settings.setdefault("heartbeat", "1h")
        publisher = ZmqPublisher(name, ZmqConfig(**settings), self.directory, self.counters)  # type: ignore[arg-type]
        self.publishers.append(publisher)
        return publisher

    def subscriber(self, publisher: ZmqPublisher, *prefixes: bytes, hwm: int = 100_000) -> Subscriber:
        """Connected, and its subscriptions proved; what it got by then is forgotten."""
        subscriber = Subscriber(self.context, hwm)
        self.subscribers.append(subscriber)
        subscriber.socket.connect(publisher.endpoint)
        for prefix in (*prefixes, b"heartbeat|"):
            subscriber.socket.subscribe(prefix)
        self.turn(publisher, lambda: bool(subscriber.take()) and bool(subscriber.heartbeats))
        subscriber.socket.unsubscribe(b"heartbeat|")
        subscriber.take()
        subscriber.forget()
        return subscriber

    def turn(self, publisher: ZmqPublisher, until: Callable[[], bool]) -> None:
        """The duty loop, until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < deadline, "it never came about"
            if self.lives:
                self.writer.beat()
            if not publisher.poll():
                publisher.park(1_000_000)

    def rest(self, publisher: ZmqPublisher, seconds: float = 0.1) -> None:
        """The duty loop for a while."""
        deadline = time.monotonic() + seconds
        self.turn(publisher, lambda: time.monotonic() > deadline)

    def write(self, topic_ids: list[int], seed: int = 0, record_bytes: int = 80) -> None:
        """Records of random bytes, one for each topic id, in one batch."""
        rng = np.random.default_rng(seed)
        records = rng.integers(0, 256, size=len(topic_ids) * record_bytes, dtype=np.uint8)
        self.writer.publish_batch(np.array(topic_ids, dtype=np.uint32), records, record_bytes)

    def unheard(self, publisher: ZmqPublisher, topic_id: int) -> None:
        """The duty loop, until the publisher knows that nobody listens to a topic any more."""

        def passed_over() -> bool:
            before = self.handed_over(publisher)
            self.write([topic_id])
            self.turn(publisher, publisher.drain)
            return self.handed_over(publisher) == before

        self.turn(publisher, passed_over)

    def stall(self, publisher: ZmqPublisher, chunk: int = 500) -> int:
        """Write records of topic 0 until a subscriber that takes nothing stops the publisher; how many."""
        written = 0
        while True:
            if publisher.drain():
                self.write([0] * chunk, written)
                written += chunk
            before = self.handed_over(publisher)
            self.rest(publisher, 0.05)
            if not publisher.drain() and self.handed_over(publisher) == before:
                self.rest(publisher, 1.0)  # it may be a thread of libzmq that was stopped
                if not publisher.drain() and self.handed_over(publisher) == before:
                    return written

    def handed_over(self, publisher: ZmqPublisher) -> int:
        """Records, on either endpoint."""
        name = publisher.name.removeprefix("publish.")
        return sum(self.counted("tickcast_sent_total", publisher=each) for each in (name, f"{name}.firehose"))

    def reported(self, name: str) -> list[int]:
        """Where the readers of that name say they are."""
        log = log_figures(self.directory)
        assert log is not None
        return [log.tail - reader.lag_bytes for reader in log.readers if reader.name == name]

    def log(self) -> list[LogTick]:
        """All that the log holds."""
        with LogReader.open(self.directory, start="begin") as reader:
            return list(iter(reader.read, None))

    def counted(self, name: str, **labels: str) -> int:
        return self.counters.counter(name, **labels).value

    def close(self) -> None:
        for subscriber in self.subscribers:
            subscriber.socket.close()
        for publisher in self.publishers:
            publisher.close()
        self.context.term()
        self.counters.close()
        self.writer.close()
