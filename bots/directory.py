"""The control address, seen from a bot: ask where the feed is, report figures. One DEALER socket; requests are JSON."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import msgspec
import orjson
import zmq

from feed.clock import monotonic_ns
from feed.errors import ControlError

__all__ = ["ControlClient", "Directory", "Transport"]

ANSWER_BYTES_MAX = 16 << 20
REPORT_PATIENCE_NS = 5_000_000_000
"""How long an unanswered report holds the next one back."""


class Transport(msgspec.Struct, frozen=True):
    """One publisher of the feed; a host of ``*`` is the one at which the control address was reached."""

    publisher: str
    transport: str
    endpoint: str
    heartbeat_ns: Annotated[int, msgspec.Meta(gt=0)] = 1_000_000_000


class Directory(msgspec.Struct, frozen=True):
    """What the feed says of itself; fields of newer feeds are skipped. `epoch` in ns since 1970."""

    feed: str
    version: str
    pid: int
    boot_id: str
    log_path: str
    epoch: Annotated[int, msgspec.Meta(gt=0)]
    next_seq: int
    transports: list[Transport]

    def find(self, transport: str) -> Transport | None:
        """The first publisher that offers `transport`."""
        return next((each for each in self.transports if each.transport == transport), None)


class ControlClient:
    """A connection to one control address; opening it says nothing about whether anybody answers there."""

    def __init__(self, feed: str) -> None:
        self.feed = feed
        self._numbers = itertools.count(1)
        self._reported: int | None = None
        self._reported_ns = 0
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.maxmsgsize = ANSWER_BYTES_MAX
        self._socket.ipv6 = "[" in feed
        # Without a connection nothing queues up: a report that is minutes old is worse than none.
        self._socket.immediate = 1
        self._socket.reconnect_ivl = 100
        self._socket.reconnect_ivl_max = 2000
        try:
            self._socket.connect(feed)
        except zmq.ZMQError as error:
            self.close()
            raise ControlError("not an address", expected="tcp://HOST:PORT", found=feed) from error

    def directory(self, timeout: float) -> Directory:
        """Where the feed is; raises ControlError after `timeout` seconds without an answer, or if it is refused."""
        answer = self.ask("directory", timeout)
        try:
            return msgspec.convert(answer, Directory)
        except msgspec.ValidationError as error:
            raise ControlError(f"not a directory: {error}", where=self.feed) from None

    def reach(self, endpoint: str) -> str:
        """`endpoint` with a host of ``*`` replaced by the host of the control address."""
        scheme, _, place = endpoint.partition("://")
        host, _, port = place.rpartition(":")
        if scheme != "tcp" or host != "*":
            return endpoint
        return f"tcp://{self.feed.partition('://')[2].rpartition(':')[0]}:{port}"

    def ask(self, request: str, timeout: float, **fields: Any) -> dict[str, Any]:
        """One request's answer; raises ControlError after `timeout` seconds without one, or if it is refused."""
        number = next(self._numbers)
        deadline = monotonic_ns() + int(timeout * 1e9)
        if self._wait(zmq.POLLOUT, deadline):
            self._socket.send(orjson.dumps({"id": number, "request": request, **fields}))
            while self._wait(zmq.POLLIN, deadline):
                answer = self._take()
                if answer.get("id") == number:
                    if "error" in answer:
                        raise ControlError("the feed refused", found=str(answer["error"]), where=self.feed)
                    return answer
        raise ControlError("no feed answers", where=self.feed, remedy="Start one with: feed run (or: feed demo)")

    def report(self, bot: dict[str, Any]) -> int | None:
        """Send figures without waiting; gives the report's number, or None if it could not be sent now."""
        now = monotonic_ns()
        if self._reported is not None and now - self._reported_ns < REPORT_PATIENCE_NS:
            return None
        number = next(self._numbers)
        try:
            self._socket.send(orjson.dumps({"id": number, "request": "stats", "bot": bot}), zmq.NOBLOCK)
        except zmq.Again:
            return None
        self._reported, self._reported_ns = number, now
        return number

    def reported(self) -> int | None:
        """The number of the last report, once it was answered and not refused; each is given once."""
        while self._socket.poll(0):
            answer = self._take()
            if answer.get("id") == self._reported and self._reported is not None:
                number, self._reported = self._reported, None
                return number if answer.get("ok") else None
        return None

    def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()

    def _wait(self, event: int, deadline_ns: int) -> bool:
        rest_ms = max(0, deadline_ns - monotonic_ns()) // 1_000_000
        return bool(self._socket.poll(rest_ms, event))

    def _take(self) -> dict[str, Any]:
        try:
            answer = orjson.loads(self._socket.recv_multipart()[-1])
        except orjson.JSONDecodeError:
            return {}
        return answer if isinstance(answer, dict) else {}
