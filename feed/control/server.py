"""The control agent: a ROUTER that answers bots' requests, each one JSON object, from the log and from bots' reports.

    {"id": 7, "request": "directory"}   ->  {"id": 7, "answer": "directory", ...}   or   {"id": 7, "error": "..."}

A request is one frame (a REQ socket's empty frame in front of it is taken too). What is malformed, too large or unknown
is answered with an error and counted; nothing that arrives can end the agent. It is served outside the publishing
agents: the worst a flood of requests can do is to make other requests wait.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from typing import TYPE_CHECKING, Any

import orjson
import zmq

from feed import clock, ports
from feed.control.directory import SymbolIndex, directory_answer
from feed.control.stats import Bots, parse_report
from feed.errors import ControlError, LogError, TickcastError
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


class Control:
    """The agent. `directory` is the log's; figures of bots go to `counters`. Raises AddressInUse naming the holder."""

    name = "control"

    def __init__(self, config: FeedConfig, directory: Path, counters: Counters) -> None:
        self.served = 0
        self.refused = 0
        self._config = config
        self._directory = directory
        self._bots = Bots(counters)
        self._log: LogObserver | None = None
        self._symbols = SymbolIndex()
        self._topics_seen = 0
        self._boot_id = clock.boot_id()
        self._answers: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "directory": self._answer_directory,
            "symbols": self._answer_symbols,
            "stats": self._answer_stats,
            "bots": lambda _: {"bots": self._bots.answer()},
        }
        self._context = zmq.Context(io_threads=1)
        self._socket = self._bind(config.control.endpoint)
        self._announce()

    @property
    def endpoint(self) -> str:
        """What the socket is bound to, as DIRECTORY/endpoints/control says too: the port where port 0 was asked for."""
        return self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def poll(self) -> int:
        """Answer what is waiting, at most 64 requests."""
        for done in range(POLL_REQUESTS):
            try:
                frames = self._receive()
            except zmq.Again:
                return done
            route, request = frames[:-1], frames[-1]
            if len(frames) < 2 or len(frames) > 3 or (len(frames) == 3 and frames[1]):
                route, reply = frames[:1], self._refusal(None, "a request is one frame of JSON")
            else:
                reply = self.answer(request)
            try:
                self._socket.send_multipart([*route, reply], zmq.NOBLOCK)
            except zmq.ZMQError:  # who asked has gone, or reads none of its answers
                self.refused += 1
        return POLL_REQUESTS

    def park(self, timeout_ns: int) -> None:
        """Sleep until a request comes, at most `timeout_ns`."""
        self._socket.poll(max(1, timeout_ns // 1_000_000))

    def drain(self) -> bool:
        """Answers owe nobody anything: an unanswered request is asked again."""
        return True

    def close(self) -> None:
        """Free the address and leave the log."""
        (self._directory / "endpoints" / self.name).unlink(missing_ok=True)
        self._socket.close(linger=0)
        self._context.term()
        self._log = None

    def answer(self, request: bytes) -> bytes:
        """One request's answer, both JSON; whatever is wrong with the request is in the answer."""
        number: int | str | None = None
        try:
            asked = _parse(request)
            number = _number(asked)
            what = asked.get("request")
            if not isinstance(what, str) or what not in self._answers:
                raise ControlError(
                    "not served by this feed",
                    expected=f"request to be {', '.join(self._answers)}",
                    found=repr(what[:40]) if isinstance(what, str) else type(what).__name__,
                )
            reply = orjson.dumps({"id": number, "answer": what, **self._answers[what](asked)})
        except TickcastError as error:
            return self._refusal(number, str(error))
        self.served += 1
        return reply

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
            symbols=len(self._symbols),
        )

    def _answer_symbols(self, asked: dict[str, Any]) -> dict[str, Any]:
        log = self._open_log()
        return {"epoch": log.epoch, **self._symbols.answer(asked)}

    def _answer_stats(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._bots.put(parse_report(asked.get("bot")), clock.now_ns())
        return {"ok": True}

    def _refusal(self, number: int | str | None, why: str) -> bytes:
        self.refused += 1
        return orjson.dumps({"id": number, "error": why.encode("utf-8", "replace").decode()})

    # --- log and socket -------------------------------------------------------------------------------------------

    def _open_log(self) -> LogObserver:
        """The log of the present epoch, its new topics taken in. Raises ControlError while there is none."""
        if self._log is None or self._log.state != "open":
            self._log = None
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
            self._symbols.add(*self._log.topic(topic_id))
        self._topics_seen = count
        return self._log

    def _bound(self) -> dict[str, str]:
        """What each publisher says it is bound to, by name."""
        bound = {}
        for name in self._config.publish:
            with contextlib.suppress(OSError):
                bound[name] = (self._directory / "endpoints" / name).read_text().strip()
        return bound

    def _bind(self, text: str) -> zmq.Socket[bytes]:
        endpoint = ports.parse_endpoint(text, where="control.endpoint")
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.maxmsgsize = MESSAGE_BYTES_MAX
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
