"""A push source without sockets, and pushers turned by hand: what a network and a kill may do is a method."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import zmq

from feed.config import PushConfig
from feed.sources.push import Push
from feed.wire.fields import encode
from feed.wire.pushing import Answer, Kind, body, message, parse_answer

if TYPE_CHECKING:
    from pathlib import Path

    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

SYMBOL = b"AAPL"


class Router:
    """What Push needs of a ROUTER socket: messages come from `arrived`, answers go to `sent`."""

    closed = False
    rcvmore = False

    def __init__(self) -> None:
        self.arrived: collections.deque[tuple[bytes, list[bytes]]] = collections.deque()
        self.sent: dict[bytes, list[bytes]] = {}
        self.gone: set[bytes] = set()
        self._left: list[bytes] = []

    def recv(self, _: int) -> bytes:
        if not self._left:
            if not self.arrived:
                raise zmq.Again
            route, frames = self.arrived.popleft()
            self._left = [route, *frames]
        first, *self._left = self._left
        self.rcvmore = bool(self._left)
        return first

    def send_multipart(self, frames: list[bytes], _: int) -> None:
        route, data = frames
        if route in self.gone:
            raise zmq.ZMQError(113)
        self.sent.setdefault(route, []).append(data)

    def close(self, linger: int) -> None:
        del linger
        self.closed = True


class Entrance:
    """A push source on `router`; `kill` is kill -9, after which `start` is the next process."""

    def __init__(self, directory: Path, sink: Sink, counters: Counters, **settings: object) -> None:
        self._directory, self.sink, self._counters = directory, sink, counters
        self._settings = settings
        self.start()

    def start(self) -> None:
        self.router = router = Router()

        class OnRouter(Push):
            def _listening(self) -> Router:  # type: ignore[override]
                return router

        settings = PushConfig(endpoint="ipc:///nowhere", **self._settings)  # type: ignore[arg-type]
        self.source = OnRouter("p", settings, self.sink, self._counters, directory=self._directory)

    def kill(self) -> None:
        self.source._memory.close()
        self.source._context.term()

    def close(self) -> None:
        self.source.close()

    def poll(self, limit: int = 1000) -> int:
        return self.source.poll(limit)

    def rejected(self) -> dict[str, int]:
        rows = (row for row in self._counters.rows() if row.name == "tickcast_rejected_total")
        return {row.labels["reason"]: int(row.value) for row in rows}


def trades(count: int, first: int, publisher_id: int = 0) -> bytes:
    """A body of trades whose `size` is their number."""
    records = (encode("trade", {"size": n, "publisher_id": publisher_id}) for n in range(first, first + count))
    return body([SYMBOL], b"", b"".join(records))


class Hand:
    """A pusher turned by hand, as the protocol asks of one; its n-th record is a trade of size n."""

    def __init__(self, entrance: Entrance, name: bytes, publisher_id: int = 0) -> None:
        self._entrance = entrance
        self.name = name
        self.publisher_id = publisher_id
        self.last = self.committed = self.refused = 0
        self.kept: list[tuple[int, int]] = []
        self._runs = 0
        self.begin()

    def begin(self) -> None:
        """A new process of this name: it knows nothing."""
        self._runs += 1
        self.session = self._runs * 1000 + self.publisher_id + 1
        self.kept = []
        self.last = self.committed = self.refused = 0
        self.welcome = False
        self.connect()

    def connect(self) -> None:
        """A connection of its own, so that what was on the way in the old one is lost."""
        self._runs += 1
        self.route = b"%s/%d/%d" % (self.name, self.publisher_id, self._runs)
        self.heard = 0
        self.hello()

    def hello(self) -> None:
        self._hellos = getattr(self, "_hellos", 0) + 1
        again = self.welcome
        self.say(message(Kind.HELLO, self._hellos, self.session, self.committed, self.name, again=again))

    def say(self, *frames: bytes) -> None:
        self._entrance.router.arrived.append((self.route, list(frames)))

    def push(self, count: int) -> None:
        """So many records more, if it may push yet."""
        if self.welcome:
            self.kept.append((self.last + 1, count))
            self.last += count
            self.send(*self.kept[-1])

    def send(self, first: int, count: int) -> None:
        content = trades(count, first, self.publisher_id)
        self.say(message(Kind.RECORDS, count, self.session, first, content))

    def hear(self) -> list[Answer]:
        """All that was answered since, and what follows from it."""
        data = self._entrance.router.sent.get(self.route, [])
        told = [parse_answer(each) for each in data[self.heard :]]
        self.heard = len(data)
        for each in told:
            self._heed(each)
        return told

    def _heed(self, told: Answer) -> None:
        if told.kind == Kind.AGAIN:
            self.hello()
            return
        if told.kind == Kind.REPLACED or (told.kind == Kind.WELCOME and told.hello != self._hellos & 0xFF):
            return
        assert told.committed <= told.received
        self.committed = max(self.committed, told.committed)
        self.refused = told.refused
        self.kept = [(first, count) for first, count in self.kept if first + count - 1 > self.committed]
        if told.kind == Kind.WELCOME:
            if not self.welcome:
                self.welcome, self.last = True, told.received
            for first, count in self.kept:
                if first + count - 1 > told.received:
                    self.send(first, count)
