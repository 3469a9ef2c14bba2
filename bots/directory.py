"""The control address, seen from a bot: ask where the feed is, report figures. One DEALER socket; requests
and answers are JSON, history comes as data parts behind it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import orjson
import zmq

from bots.offset import RoundTrips
from feed.clock import monotonic_ns, now_ns
from feed.errors import ControlError
from feed.wire.pgm import Window  # noqa: TC001 - msgspec reads annotations when it runs
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Archive", "ControlClient", "Directory", "Transport"]

PIECES = "pieces"
"""Where an answer keeps the data parts that came with it."""

LINGER_MS = 100
"""How long closing waits for the last report to leave, where somebody is connected."""

ANSWER_BYTES_MAX = 16 << 20
REPORT_PATIENCE_NS = 5_000_000_000
"""How long an unanswered report holds the next one back."""

STALE_NS = 5_000_000_000
"""An answer that nobody came for in this time is asked for again."""


class Transport(msgspec.Struct, frozen=True):
    """One publisher of the feed; a host of ``*`` is that at which the control address was reached. `window`: of PGM."""

    publisher: str
    transport: str
    endpoint: str
    heartbeat_ns: Annotated[int, msgspec.Meta(gt=0)] = 1_000_000_000
    window: Window | None = None


class Archive(msgspec.Struct, frozen=True):
    """The feed's archive: its folder on the feed's host, and the seq up to which it is on disk."""

    path: str
    durable_seq: int = 0


class Directory(msgspec.Struct, frozen=True):
    """What the feed says of itself; fields of newer feeds are skipped. `epoch` in ns since 1970; `alive_age_ns`: how
    long ago the sequencer gave a sign of life, None where that is not known.
    """

    feed: str
    version: str
    pid: int
    boot_id: str
    log_path: str
    epoch: Annotated[int, msgspec.Meta(gt=0)]
    next_seq: int
    transports: list[Transport]
    archive: Archive | None = None
    alive_age_ns: int | None = None

    def find(self, transport: str) -> Transport | None:
        """The first publisher that offers `transport`."""
        return next((each for each in self.transports if each.transport == transport), None)


class _Due(msgspec.Struct, frozen=True):
    """One chunk of an answer to `symbols` with `due`."""

    epoch: int
    symbols: list[str]
    schemas: list[list[str]]
    due: list[list[int]]
    next: int | None


class ControlClient:
    """A connection to one control address; opening it says nothing about whether anybody answers there.

    :ivar next_seq: of the feed's log, as of the last answer that told.
    :ivar asked_ns: when the directory that was given last had been asked for, monotonic.
    :ivar trips: what is known of the feed's clock.
    """

    def __init__(self, feed: str) -> None:
        self.feed = feed
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, Any] | None] = {}
        self.next_seq = 0
        self.asked_ns = 0
        self.trips = RoundTrips()
        self._asked: tuple[int, int] | None = None
        self._reported: tuple[int, int] | None = None
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
        self.asked_ns = monotonic_ns()
        return self._directory(self.ask("directory", timeout))

    def directory_soon(self, patience: float) -> Directory | None:
        """The same without waiting: None while the answer is on its way, at most `patience` seconds."""
        if self._asked is not None and monotonic_ns() > self._asked[1] + STALE_NS:
            del self._answers[self._asked[0]]
            self._asked = None
        if self._asked is None:
            number = self._send("directory")
            if number is None:
                raise self._no_answer()
            now = monotonic_ns()
            self._asked = number, now + int(patience * 1e9)
            self.asked_ns = now
            return None
        number, deadline_ns = self._asked
        self._receive()
        answer = self._answers[number]
        if answer is None and monotonic_ns() < deadline_ns:
            return None
        self._asked = None
        del self._answers[number]
        if answer is None:
            raise self._no_answer()
        return self._directory(answer)

    def due(self, patterns: Sequence[str], timeout: float) -> tuple[int, dict[tuple[int, str], int]]:
        """The epoch, and of every topic of these symbols the topic_seq that its next record will have, by schema id and
        symbol. Raises ControlError where an answer takes longer than `timeout` seconds or is none.
        """
        found: dict[tuple[int, str], int] = {}
        epoch = 0
        for pattern in patterns:
            start: int | None = 0
            while start is not None:
                answer = self.ask("symbols", timeout, pattern=pattern, due=True, **{"from": start})
                try:
                    told = msgspec.convert(answer, _Due)
                    for symbol, words, numbers in zip(told.symbols, told.schemas, told.due, strict=True):
                        for word, number in zip(words, numbers, strict=True):
                            if word in BY_WORD:  # else of a newer feed
                                found[BY_WORD[word].id, symbol] = number
                except (msgspec.ValidationError, ValueError) as error:
                    raise ControlError(f"not an answer about symbols: {error}", where=self.feed) from None
                if epoch not in (0, told.epoch):
                    raise ControlError("the feed began a new epoch meanwhile; ask again", where=self.feed)
                epoch, start = told.epoch, told.next
        return epoch, found

    def compare_clocks(self, timeout: float) -> bool:
        """Make a round trip for `trips`; False if it takes longer than `timeout` seconds."""
        sent_ns = now_ns()
        number = self._send("clock")
        if number is None:
            return False
        if self._socket.poll(max(1, int(timeout * 1000))):
            had_ns = now_ns()
            self._receive()
        answer = self._answers.pop(number)
        if answer is None:
            return False
        received_ns, answered_ns = answer.get("received_ns"), answer.get("sent_ns")
        if not isinstance(received_ns, int) or not isinstance(answered_ns, int):
            return False  # a feed that does not serve this
        self.trips.put(sent_ns, received_ns, answered_ns, had_ns, monotonic_ns())
        return True

    @property
    def host(self) -> str:
        """At which the control address is reached."""
        return self.feed.partition("://")[2].rpartition(":")[0]

    def reach(self, endpoint: str) -> str:
        """`endpoint` with a host of ``*`` replaced by the host of the control address."""
        scheme, _, place = endpoint.partition("://")
        host, _, port = place.rpartition(":")
        if scheme != "tcp" or host != "*":
            return endpoint
        return f"tcp://{self.host}:{port}"

    def ask(self, request: str, timeout: float, **fields: Any) -> dict[str, Any]:
        """One request's answer; raises ControlError after `timeout` seconds without one, or if it is refused."""
        deadline_ns = monotonic_ns() + int(timeout * 1e9)
        if self._wait(zmq.POLLOUT, deadline_ns) and (number := self._send(request, **fields)) is not None:
            try:
                while self._wait(zmq.POLLIN, deadline_ns):
                    self._receive()
                    answer = self._answers[number]
                    if answer is not None:
                        return self._accepted(answer)
            finally:
                del self._answers[number]
        raise self._no_answer()

    def request(self, request: str, **fields: Any) -> int | None:
        """Send a request without waiting; gives its number for `answer`, None if nobody is connected."""
        return self._send(request, **fields)

    def answer(self, number: int) -> tuple[dict[str, Any], list[bytes]] | None:
        """The answer to a request, once it is there, and its data parts; it is given once."""
        self._receive()
        answer = self._answers[number]
        if answer is None:
            return None
        del self._answers[number]
        return answer, answer.pop(PIECES)

    def forget(self, number: int) -> None:
        """Wait no longer for an answer."""
        self._answers.pop(number, None)

    def wait(self, timeout_s: float) -> bool:
        """Until an answer comes, at most so long."""
        return bool(self._socket.poll(int(timeout_s * 1000)))

    def report(self, bot: dict[str, Any]) -> int | None:
        """Send figures without waiting; gives the report's number, or None if it could not be sent now."""
        now = monotonic_ns()
        if self._reported is not None:
            if now < self._reported[1]:
                return None
            del self._answers[self._reported[0]]
        number = self._send("stats", bot=bot)
        self._reported = None if number is None else (number, now + REPORT_PATIENCE_NS)
        return number

    def reported(self) -> int | None:
        """The number of the last report, once it was answered and not refused; each is given once."""
        if self._reported is None:
            return None
        self._receive()
        number = self._reported[0]
        if self._answers[number] is None:
            return None
        self._reported = None
        answer = self._answers.pop(number)
        return number if answer and answer.get("ok") else None

    def close(self) -> None:
        self._socket.close(linger=LINGER_MS)
        self._context.term()

    def _send(self, request: str, **fields: Any) -> int | None:
        """Send a request whose answer is waited for from now on; gives its number, None if nobody is connected."""
        number = next(self._numbers)
        try:
            self._socket.send(orjson.dumps({"id": number, "request": request, **fields}), zmq.NOBLOCK)
        except zmq.Again:
            return None
        self._answers[number] = None
        return number

    def _receive(self) -> None:
        """Put every answer that is there to its request; what nobody waits for any more is dropped."""
        while self._socket.poll(0):
            words, *pieces = self._socket.recv_multipart()
            try:
                answer = orjson.loads(words)
            except orjson.JSONDecodeError:
                continue
            if isinstance(answer, dict) and answer.get("id") in self._answers:
                answer[PIECES] = pieces
                self.next_seq = max(self.next_seq, answer.get("next_seq") or 0)
                self._answers[answer["id"]] = answer

    def _wait(self, event: int, deadline_ns: int) -> bool:
        rest_ms = max(0, deadline_ns - monotonic_ns()) // 1_000_000
        return bool(self._socket.poll(rest_ms, event))

    def _directory(self, answer: dict[str, Any]) -> Directory:
        try:
            return msgspec.convert(self._accepted(answer), Directory)
        except msgspec.ValidationError as error:
            raise ControlError(f"not a directory: {error}", where=self.feed) from None

    def _accepted(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" in answer:
            raise ControlError("the feed refused", found=str(answer["error"]), where=self.feed)
        return answer

    def _no_answer(self) -> ControlError:
        return ControlError("no feed answers", where=self.feed, remedy="Start one with: feed run (or: feed demo)")
