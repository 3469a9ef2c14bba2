"""Sources that listen to a venue's websockets: connections that are kept up, and what they bring, in the order in which
it came.

A source's thread turns an event loop of its own, inside `poll` and `park`. A message is decoded as soon as it is read,
its records go straight into the sink, which is flushed once per read: nothing is queued here, and while the sink takes
nothing, what the venue sends waits in the socket. All messages of a read have one time of reception.

A connection from which nothing comes for ``stale_after``, not even the answer to a ping, is closed; one that ends for
whatever reason is made anew, after a pause that doubles from ``reconnect`` on up to `PAUSE_S_MAX`, is drawn by lot
between half and all of that, and is at least what the venue asks for. A request that is not answered within
``stale_after`` ends its connection too. ``tickcast_source_resyncs_total`` says how often, and why.

Proxies and certificates are the host's: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, and the system's authorities.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
import orjson
import picows
import uvloop
from python_socks import ProxyError

from feed.agent import SHARED_PARK_NS
from feed.clock import now_ns
from feed.config import duration_ns
from feed.errors import SourceError
from feed.sources.capture import capture_of
from feed.sources.connection import MESSAGE_BYTES_MAX, Connection, Ear, asked_wait_s, proxy_of, words
from feed.sources.pacing import Rate
from feed.sources.rest import Limited, Pace, Rest
from feed.sources.source import Tally
from feed.wire.records import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from feed.config import CryptoTable
    from feed.log.sink import Sink
    from feed.metrics.counters import Counter, Counters
    from feed.normalize.venue import VenueRecords
    from feed.sources.connection import Line, Request

__all__ = ["WebsocketSource"]

log = logging.getLogger("tickcast.ingest")
logging.getLogger("picows").setLevel(logging.WARNING)  # it tells of each connection, which we do

PAUSE_S_MAX = 30.0
STEADY_S = 10.0
"""A connection that has lived for so long is made anew as if it were the first."""

_LOOKS = 4
"""How often within ``stale_after`` connections are looked at; a ping goes out after half of it."""

_CLOSING_S = 1.0

_TURN_S_MAX = 0.2
"""How long a turn of the loop may last while records flow: to end one and begin another takes a tenth of a millisecond
or more, in which nothing is read."""


class WebsocketSource(ABC):
    """Base of the venues' sources: what they have to say is below "the venue's part".

    `records` is the venue's normaliser, which has the sink. `clock`: wall ns.
    """

    SENDS_PER_S: ClassVar[float] = 5.0
    """Messages that the venue takes on one connection."""
    CONNECTS_PER_S: ClassVar[float] = 1.0
    CONNECTS_AT_ONCE: ClassVar[int] = 10
    asks_per_s: float = 1.0
    ASKS_AT_ONCE: ClassVar[int] = 10
    """Of REST: see `ask`."""

    finished = False

    def __init__(
        self,
        name: str,
        config: CryptoTable,
        counters: Counters,
        records: VenueRecords,
        *,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self.name = name
        self.error: SourceError | None = None
        self.connections: list[Connection] = []
        self._settings = config
        self._records = records
        self._clock = clock
        self._counters = counters
        self._tally = Tally(counters, name)
        self._resyncs: dict[str, Counter] = {}
        self._up = counters.gauge("tickcast_source_connections", source=name)
        self._up.set(0)
        self._capture = capture_of(name, config, counters)
        self._chance = random.Random()
        self._stale_s = config.stale_ns / 1e9
        self._counted = 0
        self._rate = Rate(clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None
        self._tls: ssl.SSLContext | None = None
        self._until_landed = False
        self._parked = False
        self._alarm: asyncio.TimerHandle | None = None
        self._hears = False
        self.waiting = False
        """Of a capture: never, as records go into the sink at once."""

    @classmethod
    def hearing(cls, name: str, config: Any, sink: Sink, counters: Counters) -> Self:
        """What the captures of a source go through: no network, and nothing is asked."""
        made: Any = cls
        source: Self = made(name, msgspec.structs.replace(config, capture=""), sink, counters)
        source._hears = True
        source.begin()
        return source

    # --- the venue's part -------------------------------------------------------------------------------------------

    @abstractmethod
    def begin(self) -> None:
        """The source starts: `ask` what has to be known first, or `connect` at once."""

    @abstractmethod
    def on_message(self, connection: Connection, payload: bytes, received_ns: int) -> None:
        """One message of a connection. Whatever is wrong with it is counted, never raised."""

    @abstractmethod
    def on_down(self, connection: Connection, received_ns: int) -> None:
        """A connection has ended: what it carried may be wrong until it is up again and has said so."""

    def on_up(self, connection: Connection, received_ns: int) -> None:  # noqa: B027 - not every venue cares
        """A connection is up; its line's requests go out by themselves. Default: nothing."""

    def on_answer(self, question: str, payload: bytes, received_ns: int) -> None:  # noqa: B027
        """What the venue answered to `ask`; to be asked again, ask again. Default: nothing."""

    # --- for the venue to call --------------------------------------------------------------------------------------

    def connect(self, lines: Iterable[Line]) -> None:
        """Keep up a connection for each of `lines`, until the source is closed."""
        for line in lines:
            connection = Connection(len(self.connections), line)
            self.connections.append(connection)
            if self._loop is not None:
                self._task(self._keep(connection))

    def say(self, connection: Connection, requests: Sequence[Request]) -> None:
        """Send these on a connection, if it is up, as fast as the venue allows."""
        if connection.transport is not None:
            self._task(self._send(connection, connection.transport, requests))

    def answered(self, connection: Connection, key: str) -> bool:
        """The request of this key was answered; False: there is none."""
        return connection.waits.pop(key, None) is not None

    def drop(self, connection: Connection, cause: str) -> None:
        """End a connection; it is made anew. `cause` is one of a few fixed words."""
        if connection.transport is not None and not connection.cause:
            connection.cause = cause
            connection.transport.disconnect(graceful=False)

    def resynced(self, cause: str) -> None:
        """Count one thing that is got anew. `cause` is one of a few fixed words."""
        counter = self._resyncs.get(cause)
        if counter is None:
            counter = self._counters.counter("tickcast_source_resyncs_total", source=self.name, cause=cause)
            self._resyncs[cause] = counter
        counter.add(1)

    def rejected(self, reason: str, n: int = 1) -> None:
        """Count what is not put in. `reason` is one of a few fixed words."""
        self._tally.rejected(reason, n)

    def ask(self, question: str, path: str, query: Mapping[str, str], after_s: float = 0.0) -> None:
        """Ask over REST in `after_s`, again and again until there is an answer, which `on_answer` gets. While it waits,
        a question is not asked twice."""
        if self._loop is not None and question not in self._asking:
            self._asking[question] = self._task(self._ask(question, path, query, after_s))

    def unask(self, question: str) -> None:
        """The answer is wanted no more."""
        if (task := self._asking.pop(question, None)) is not None:
            task.cancel()

    # --- what a source is -------------------------------------------------------------------------------------------

    def poll(self, limit: int) -> int:
        """Read what is there; how much that is at once the sockets' buffers bound, not `limit`. After `park`, which has
        read it, nothing is there: to stop and start the loop takes a tenth of a millisecond, in which nothing is read.
        """
        parked, self._parked = self._parked, False
        if not (parked or self._hears):
            self._turn(0.0)
        done = self._records.done - self._counted
        if done:
            self._counted += done
            for schema_id, n in self._records.take_ticks():
                self._tally.ticks(BY_ID[schema_id].word, n)
        for reason, n in self._records.take_rejected():
            self._tally.rejected(reason, n)
        return 0 if parked else done

    def due_ns(self) -> int:
        return 0

    def park(self, timeout_ns: int) -> None:
        """Read what comes for `timeout_ns`, and longer while records flow, which are sign of life enough. A park as
        short as that of an agent which shares its thread ends once something has come: the others wait for it."""
        self._turn(timeout_ns / 1e9, until_landed=timeout_ns <= SHARED_PARK_NS)
        self._parked = True

    def progress(self) -> str:
        rate = self._rate.look(self._counted)
        up = sum(connection.transport is not None for connection in self.connections)
        return f"{self._counted:,} records, {rate:,.0f}/s, {up} of {len(self.connections)} connections"

    def hear(self, channel: str, payload: bytes, received_ns: int) -> None:
        """Once more what came in on a channel of a capture; asks nobody anything."""
        kind, _, rest = channel.partition(" ")
        if kind == "answer":
            self.on_answer(rest, payload, received_ns)
        elif rest.isdecimal() and int(rest) < len(self.connections):
            connection = self.connections[int(rest)]
            match kind:
                case "line":
                    self.on_message(connection, payload, received_ns)
                case "up":
                    self.on_up(connection, received_ns)
                case "down":
                    self.on_down(connection, received_ns)
        self._records.flush()

    def close(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.run_until_complete(self._end())
            finally:
                self._loop.close()
        if self._capture is not None:
            self._capture.close()
            self._capture = None
        self._up.set(0)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _turn(self, seconds: float, *, until_landed: bool = False) -> None:
        """Turn the loop for so long, or until something is in the sink."""
        if self._loop is None:
            self._loop = uvloop.new_event_loop()
            self._rest = Rest(self._settings.rest_url, Pace(self.asks_per_s, self.ASKS_AT_ONCE), self._stale_s)
            self._connects = Pace(self.CONNECTS_PER_S, self.CONNECTS_AT_ONCE)
            self._task(self._watch())
            self._loop.call_soon(self._begin)
        if self._failure is None:
            self._until_landed = until_landed
            if seconds:
                self._end_in(seconds, self._loop.time() + _TURN_S_MAX - seconds)
            else:
                self._loop.stop()
            self._loop.run_forever()
            self._until_landed = False
            if self._alarm is not None:
                self._alarm.cancel()
        if self._failure is not None:
            raise self._failure

    def _end_in(self, seconds: float, last: float) -> None:
        """End this turn in so many seconds; while records flow it goes on for as long again, begun before `last`."""
        assert self._loop is not None
        self._alarm = self._loop.call_later(seconds, self._over, seconds, last, self._records.done)

    def _over(self, seconds: float, last: float, done: int) -> None:
        assert self._loop is not None
        if self._records.done != done and self._loop.time() < last:
            self._end_in(seconds, last)
        else:
            self._loop.stop()

    def _begin(self) -> None:
        self._guarded(self.begin)

    def landed(self) -> None:
        """All of a read, or of anything else that happened, is in the sink."""
        self._records.flush()
        if self._until_landed and self._loop is not None:
            self._until_landed = False
            self._loop.stop()

    def _guarded(self, call: Callable[..., None], *args: Any) -> None:
        """An error of ours ends the source, and is not a library's to swallow."""
        try:
            call(*args)
        except Exception as error:
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        self._failure = self._failure or error
        if self._loop is not None:
            self._loop.stop()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(error)

    async def _end(self) -> None:
        open_ = [connection.transport for connection in self.connections if connection.transport is not None]
        for connection in self.connections:
            connection.cause = "close"
        for task in list(self._tasks):
            task.cancel()
        for transport in open_:
            transport.disconnect(graceful=False)
        waiting = [asyncio.ensure_future(transport.wait_disconnected()) for transport in open_]
        if waiting or self._tasks:
            await asyncio.wait([*waiting, *self._tasks], timeout=_CLOSING_S)
        await self._rest.close()

    # --- connections ------------------------------------------------------------------------------------------------

    async def _keep(self, connection: Connection) -> None:
        """Keep a connection up."""
        assert self._loop is not None
        failures = 0
        while True:
            await self._connects.turn()
            wait_s, began = 0.0, self._loop.time()
            try:
                transport = await self._open(connection)
            except (OSError, TimeoutError, picows.WSError, ProxyError) as error:
                log.warning("source %s: %s: no connection: %s", self.name, connection.line.url, words(error))
                self.resynced("connect")
                wait_s = asked_wait_s(error)
                if wait_s:
                    self._connects.hold(wait_s)
            else:
                sending = self._task(self._send(connection, transport, connection.line.requests))
                try:
                    await transport.wait_disconnected()
                except picows.WSError as error:  # it broke the protocol
                    connection.cause = connection.cause or "protocol"
                    log.warning("source %s: %s: %s", self.name, connection.line.url, words(error))
                finally:
                    sending.cancel()
                    self.came_down(connection)
            failures = 0 if self._loop.time() - began > STEADY_S else failures + 1
            await asyncio.sleep(max(wait_s, self._pause_s(failures)))

    async def _open(self, connection: Connection) -> picows.WSTransport:
        url = connection.line.url
        connection.cause = ""
        if url.startswith("wss:") and self._tls is None:
            self._tls = ssl.create_default_context()  # takes some 20 ms: once
        transport, _ = await picows.ws_connect(
            lambda: Ear(self, connection, self._clock),
            url,
            ssl_context=self._tls,
            proxy=proxy_of(url),
            websocket_handshake_timeout=self._stale_s,
            enable_auto_pong=False,  # a read would seem to go on if it ended with a ping that nobody is shown
            max_frame_size=MESSAGE_BYTES_MAX,
            logger_name=self.name,
        )
        return transport

    def _pause_s(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        first_s = duration_ns(self._settings.reconnect) / 1e9
        longest_s = min(max(PAUSE_S_MAX, first_s), first_s * 2.0 ** min(max(0, failures - 1), 20))
        return longest_s * self._chance.uniform(0.5, 1.0)

    async def _send(self, connection: Connection, transport: picows.WSTransport, requests: Sequence[Request]) -> None:
        for request in requests:
            if connection.transport is not transport:
                return
            connection.waits[request.key] = 0
            transport.send(picows.WSMsgType.TEXT, orjson.dumps(request.message))
            await asyncio.sleep(1 / self.SENDS_PER_S)

    async def _watch(self) -> None:
        """Look after silent connections and unanswered requests."""
        while True:
            await asyncio.sleep(self._stale_s / _LOOKS)
            for connection in self.connections:
                if connection.transport is None:
                    continue
                connection.silent += 1
                for key in connection.waits:
                    connection.waits[key] += 1
                if connection.silent > _LOOKS:
                    self.drop(connection, "stale")
                elif max(connection.waits.values(), default=0) > _LOOKS:
                    self.drop(connection, "no_answer")
                elif connection.silent > _LOOKS // 2:
                    connection.transport.send_ping()

    def came_up(self, connection: Connection, transport: picows.WSTransport) -> None:
        connection.transport = transport
        connection.silent = 0
        connection.waits.clear()
        self._up.add(1)
        log.info("source %s: %s is up", self.name, connection.line.url)
        self._happened("up", connection)

    def came_down(self, connection: Connection) -> None:
        if connection.transport is None:
            return
        connection.transport = None
        self._up.add(-1)
        if connection.cause != "close":
            cause = connection.cause or "disconnect"
            log.warning("source %s: %s has ended: %s", self.name, connection.line.url, cause)
            self.resynced(cause)
            self._happened("down", connection)

    # --- what came in -----------------------------------------------------------------------------------------------

    def heard(self, connection: Connection, payload: bytes, received_ns: int) -> None:
        if self._capture is not None:
            self._capture.keep(connection.name, payload, received_ns)
        self.on_message(connection, payload, received_ns)

    def _happened(self, what: str, connection: Connection) -> None:
        """A connection came up, or went down."""
        received_ns = self._clock()
        if self._capture is not None:
            self._capture.keep(f"{what} {connection.index}", b"", received_ns)
        self._guarded(self.on_up if what == "up" else self.on_down, connection, received_ns)
        self.landed()

    async def _ask(self, question: str, path: str, query: Mapping[str, str], after_s: float) -> None:
        failures = 0
        await asyncio.sleep(after_s)
        while True:
            try:
                payload = await self._rest.get(path, query)
            except SourceError as error:
                failures += 1
                if not isinstance(error, Limited):
                    log.warning("source %s: %s", self.name, error)
                self.rejected("refused_request" if isinstance(error, Limited) else "failed_request")
                await asyncio.sleep(self._pause_s(failures))
            else:
                break
        self._asking.pop(question, None)
        received_ns = self._clock()
        if self._capture is not None:
            self._capture.keep(f"answer {question}", payload, received_ns)
        self.on_answer(question, payload, received_ns)
        self.landed()
