"""The control agent: a ROUTER that answers bots' requests, each one JSON object, from the log and from bots' reports.

    {"id": 7, "request": "directory"}   ->  {"id": 7, "answer": "directory", ...}   or   {"id": 7, "error": "..."}

A request is one frame (a REQ socket's empty frame in front of it is taken too). What is malformed, too large or unknown
is answered with an error and counted; nothing that arrives can end the agent. It is served outside the publishing
agents: the worst a flood of requests can do is to make other requests wait.

Snapshots and replays are work and take turns, one between any two looks at the socket; everything else is answered at
once. The protocol: README.md beside this file.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from typing import TYPE_CHECKING, Any

import orjson
import zmq

from feed import clock, ports
from feed.config import PushConfig
from feed.control.directory import SymbolIndex, directory_answer
from feed.control.following import Following
from feed.control.outbox import PEER_ANSWERS, Outbox
from feed.control.sharing import Sharing
from feed.control.stats import Bots, parse_report
from feed.control.work import Job, Work
from feed.errors import ControlError, ControlRefused, LogError, TickcastError
from feed.log.observer import LogObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from feed.config import FeedConfig
    from feed.metrics.counters import Counters

__all__ = ["REQUEST_BYTES_MAX", "Control"]

REQUEST_BYTES_MAX = 256 << 10
"""A larger request is refused; three full histograms as JSON are 120 KiB at the most."""

MESSAGE_BYTES_MAX = 4 << 20
"""libzmq drops the connection of whoever sends a larger one, before it is in memory."""

POLL_REQUESTS = 64
TOPICS_PER_REQUEST = 50_000

HELD_PARK_NS = 5_000_000


class Control:
    """The agent. `directory` is the log's; figures of bots go to `counters`. Raises AddressInUse naming the holder."""

    name = "control"

    def __init__(self, config: FeedConfig, directory: Path, counters: Counters) -> None:
        self.served = 0
        self.refused = 0
        self._config = config
        self._directory = directory
        self._durable_seq = counters.gauge("tickcast_archive_durable_seq") if config.archive_directory else None
        self._bots = Bots(counters)
        self._log: LogObserver | None = None
        self._left = 0  # logs that were left before this one
        self._symbols = SymbolIndex()
        self._topics_seen = 0
        self._heard_ns = 0  # when the request at hand came, wall time
        self._boot_id = clock.boot_id()
        self._sharing = Sharing(config, directory, self._open_log)
        self._answers: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "directory": self._answer_directory,
            "clock": self._answer_clock,
            "symbols": self._answer_symbols,
            "stats": self._answer_stats,
            "bots": lambda _: {"bots": self._bots.answer()},
            "group": self._sharing.answer,
        }
        self._following = Following(config, directory)
        self._context = zmq.Context(io_threads=1)
        self._socket = self._bind(config.control.endpoint)
        self._outbox = Outbox(self._socket)
        self._work = Work(config, self._following, self._outbox, self._told, self._refusal)
        self._announce()

    @property
    def endpoint(self) -> str:
        """What the socket is bound to, as DIRECTORY/endpoints/control says too: the port where port 0 was asked for."""
        return self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def poll(self) -> int:
        """Follow the log a little; hear what is waiting, at most 64 requests; do one piece of work."""
        now = clock.monotonic_ns()
        work = int(self._following.poll())
        if self._outbox:
            work += self._outbox.flush(now)
        for _ in range(POLL_REQUESTS):
            try:
                frames = self._receive()
            except zmq.Again:
                break
            work += 1
            self._heard_ns = clock.now_ns()
            route, request = frames[:-1], frames[-1]
            reply: bytes | None
            if len(frames) < 2 or len(frames) > 3 or (len(frames) == 3 and frames[1]):
                route, reply = frames[:1], self._refusal(None, "a request is one frame of JSON")
            else:
                reply = self.hear(route, request, now)
            if reply is not None:
                self._outbox.send(route, [reply], now)
        if self._work:
            work += self._work.do(now)
        return work + self._sharing.poll()

    def park(self, timeout_ns: int) -> None:
        """Sleep until a request comes, at most `timeout_ns`, or less where somebody's turn comes earlier."""
        due = self._work.wait_ns(clock.monotonic_ns())
        if due is not None:
            timeout_ns = min(timeout_ns, due)
        if self._outbox:
            timeout_ns = min(timeout_ns, HELD_PARK_NS)
        self._socket.poll(max(1, timeout_ns // 1_000_000))

    def drain(self) -> bool:
        """Answers owe nobody anything: an unanswered request is asked again."""
        return True

    def close(self) -> None:
        """Free the address and leave the log."""
        (self._directory / "endpoints" / self.name).unlink(missing_ok=True)
        self._following.close()
        self._sharing.close()
        self._socket.close(linger=0)
        self._context.term()
        self._log = None

    def hear(self, route: list[bytes], request: bytes, now_ns: int) -> bytes | None:
        """The answer to one request, both JSON; whatever is wrong with the request is in the answer. None: it is work,
        and the answer will be sent to `route` when its turn has come. `now_ns` is monotonic.
        """
        number: int | str | None = None
        try:
            asked = _parse(request)
            number = _number(asked)
            what = asked.get("request")
            if isinstance(what, str) and what in self._work.kinds:
                self._work.put(Job(route, number, what, request, now_ns))
                return None
            if not isinstance(what, str) or what not in self._answers:
                raise ControlError(
                    "not served by this feed",
                    expected=f"request to be {', '.join([*self._answers, *self._work.kinds])}",
                    found=repr(what[:40]) if isinstance(what, str) else type(what).__name__,
                )
            return self._told(number, what, self._answers[what](asked))
        except TickcastError as error:
            return self._refusal(number, str(error), error)

    # --- the answers ----------------------------------------------------------------------------------------------

    def _answer_directory(self, _: dict[str, Any]) -> dict[str, Any]:
        log = self._open_log()
        return directory_answer(
            self._config,
            self._bound(),
            version=_version(),
            pid=os.getpid(),
            boot_id=self._boot_id,
            epoch=log.epoch,
            next_seq=log.next_seq,
            symbols=len(self._symbols) - self._following.retired_symbols,
            alive_ns=log.alive_ns,
            now_ns=clock.now_ns(),
            durable_seq=self._durable_seq.value if self._durable_seq is not None else 0,
        )

    def _answer_clock(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"received_ns": self._heard_ns, "sent_ns": clock.now_ns()}

    def _answer_symbols(self, asked: dict[str, Any]) -> dict[str, Any]:
        log = self._open_log()
        if not asked.get("due"):
            return {"epoch": log.epoch, **self._symbols.answer(asked, self._following.retired)}
        if self._topics_seen < log.topic_count:
            raise ControlError("still learning the feed's topics; ask again", found=f"{self._topics_seen} so far")
        told = self._symbols.answer(asked, due=lambda topic_id: log.topic_seq(topic_id) + 1)
        return {"epoch": log.epoch, **told}

    def _answer_stats(self, asked: dict[str, Any]) -> dict[str, Any]:
        log = None
        with contextlib.suppress(ControlError):
            log = self._open_log()
        self._bots.put(parse_report(asked.get("bot")), clock.now_ns(), log.epoch if log is not None else 0)
        return {"ok": True, "next_seq": log.next_seq if log is not None else None}

    def _told(self, number: int | str | None, what: str, told: dict[str, Any]) -> bytes:
        reply = orjson.dumps({"id": number, "answer": what, **told})
        self.served += 1
        return reply

    def _refusal(self, number: int | str | None, why: str, error: Exception | None = None) -> bytes:
        self.refused += 1
        reply: dict[str, Any] = {"id": number, "error": why.encode("utf-8", "replace").decode()}
        if isinstance(error, ControlRefused):
            reply["refused"] = error.limit
        return orjson.dumps(reply)

    # --- log and socket -------------------------------------------------------------------------------------------

    def _open_log(self) -> LogObserver:
        """The log of the present epoch, its new topics taken in. Raises ControlError while there is none."""
        if self._log is None or self._log.state != "open" or self._left != self._following.left:
            self._log = None
            self._left = self._following.left
            try:
                found = LogObserver(self._directory)
            except LogError as error:
                raise ControlError("the feed has no log yet; ask again", found=str(error)) from None
            if found.state != "open":
                raise ControlError("the feed's log has ended; ask again", found=found.state)
            self._log = found
            self._symbols, self._topics_seen = SymbolIndex(), 0
        count = min(self._log.topic_count, self._topics_seen + TOPICS_PER_REQUEST)
        for topic_id in range(self._topics_seen, count):
            self._symbols.add(*self._log.topic(topic_id), topic_id)
        self._topics_seen = count
        return self._log

    def _bound(self) -> dict[str, str]:
        """What each publisher and each push source (push.NAME) says it is bound to, by name."""
        bound = {}
        pushers = (f"push.{name}" for name, source in self._config.source.items() if isinstance(source, PushConfig))
        for name in (*self._config.publish, *pushers):
            with contextlib.suppress(OSError):
                bound[name] = (self._directory / "endpoints" / name).read_text().strip()
        return bound

    def _bind(self, text: str) -> zmq.Socket[bytes]:
        endpoint = ports.parse_endpoint(text, where="control.endpoint")
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.maxmsgsize = MESSAGE_BYTES_MAX
        socket.sndhwm = PEER_ANSWERS
        socket.router_mandatory = True
        socket.ipv6 = ":" in endpoint.host
        try:
            ports.refuse_taken(endpoint, where="control.endpoint")
            socket.bind(text)
        except zmq.ZMQError as error:
            self._abandon(socket)
            raise ports.bind_error(endpoint, error.errno or 0, where="control.endpoint") from None
        except TickcastError:
            self._abandon(socket)
            raise
        return socket

    def _announce(self) -> None:
        """Say in a file where the socket is, as publishers do: scripts and tests may have asked for any free port."""
        directory = self._directory / "endpoints"
        directory.mkdir(mode=0o750, exist_ok=True)
        fresh = directory / f".{self.name}.{os.getpid()}"
        fresh.write_text(self.endpoint, encoding="utf-8")
        fresh.replace(directory / self.name)

    def _abandon(self, socket: zmq.Socket[bytes]) -> None:
        socket.close()
        self._context.term()

    def _receive(self) -> list[bytes]:
        """One message's frames, no more of them kept than tell that there are too many."""
        frames = [self._socket.recv(zmq.NOBLOCK)]
        while self._socket.rcvmore:
            frame = self._socket.recv(zmq.NOBLOCK)
            if len(frames) < 4:
                frames.append(frame)
        return frames


def _parse(request: bytes) -> dict[str, Any]:
    if len(request) > REQUEST_BYTES_MAX:
        raise ControlError("too large", expected=f"at most {REQUEST_BYTES_MAX} bytes", found=len(request))
    try:
        asked = orjson.loads(request)
    except orjson.JSONDecodeError as error:
        raise ControlError(f"not JSON: {error}") from None
    if not isinstance(asked, dict):
        raise ControlError("not a request", expected="a JSON object", found=type(asked).__name__)
    return asked


def _number(asked: Mapping[str, Any]) -> int | str | None:
    """The request's id, to be sent back; only short ones are worth it."""
    number = asked.get("id")
    short = isinstance(number, int) or (isinstance(number, str) and len(number) <= 64)
    return number if short else None


def _version() -> str:
    try:
        return importlib.metadata.version("tickcast")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
