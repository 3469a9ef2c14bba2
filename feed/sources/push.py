"""The source of whoever pushes: a ROUTER socket at which processes of your own deliver ticks (PUSH.md,
feed.push.Pusher).

A message is looked at whole before any of it is taken: it goes into the log as it is, or it is refused with a reason,
which its pusher is told and ``tickcast_rejected_total`` counts, and nothing else suffers. Records pass through
unchanged; all of a message have one ts_in. What a pusher has sent is acknowledged once it is in the log, and only then.
A log that cannot take more is not read for: no acknowledgements go out, windows fill, and pushers wait.

A pusher's numbers make what comes twice known, also after this process was killed (push_memory.py); such records are
dropped and counted as ``duplicate``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import zmq

from feed.clock import now_ns
from feed.config import size_bytes
from feed.errors import HostError, WireError
from feed.ports import bind_error, parse_endpoint, refuse_taken
from feed.sources.capture import capture_of
from feed.sources.pacing import Rate, sleep_full
from feed.sources.push_memory import NOT_YET, Intent, PushMemory
from feed.sources.push_messages import HeardPush, PushMessages
from feed.sources.pushed import Pushed
from feed.sources.source import Tally
from feed.wire.pushing import (
    HEADER_BYTES,
    MESSAGE_BYTES_MAX,
    NAME,
    RECORDS_MAX,
    Answer,
    Kind,
    answer,
    parse_message,
)
from feed.wire.records import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.config import PushConfig
    from feed.errors import SourceError
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.sources.push_memory import Pusher
    from feed.wire.pushing import Message

__all__ = ["Push"]

_MESSAGES_PER_POLL = 256
_QUEUE_MESSAGES = 64
"""Messages of one pusher that wait here; those of one that keeps to its window are fewer bytes than that."""

_DROPPED_BYTES = 4 * MESSAGE_BYTES_MAX
"""libzmq ends the connection of whoever sends a longer message, before it is in memory."""

_SEQ_MAX = 2**63
_LINGER_MS = 100


class Push:
    """Listens at ``config.endpoint`` and ``config.tcp``; `directory` is the log's. `clock`: wall ns.

    :raises AddressInUse: naming who has an address.
    """

    error: SourceError | None = None
    finished = False

    def __init__(
        self,
        name: str,
        config: PushConfig,
        sink: Sink,
        counters: Counters,
        *,
        directory: Path,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self.name = name
        self._config = config
        self._sink = sink
        self._clock = clock
        self._directory = directory
        self._window = size_bytes(config.window)
        self._tally = Tally(counters, name)
        self._pushed = Pushed(sink, counters.histogram("tickcast_latency_seconds", stage="venue", transport=name))
        self._memory = PushMemory(directory, name)
        self._messages = PushMessages(name, self._pushed, sink, config.topics, self._memory.topics, self._memory.own)
        self._capture = capture_of(name, config, counters)
        self._routes: dict[bytes, Pusher] = {}
        self._pushers: dict[Pusher, bytes] = {}
        self._owed: set[Pusher] = set()
        """Who is to hear how far it is."""
        self._held: dict[Pusher, int] = {}
        """Whose welcome waits until what came before it is in the log, and the number of the hello."""
        self._asked: set[bytes] = set()
        """Routes that were told to say hello and have not yet."""
        self._done = self._refused = 0
        self._rate = Rate(clock)
        self._context = zmq.Context(io_threads=1)
        self._files: list[Path] = []
        try:
            self._socket = self._listening()
        except BaseException:
            self._context.destroy(linger=0)
            self._memory.close()
            if self._capture is not None:
                self._capture.close()
            raise

    @classmethod
    def hearing(cls, name: str, config: PushConfig, sink: Sink, counters: Counters) -> HeardPush:
        """What its captures go through."""
        return HeardPush(name, config, sink, counters)

    # --- what a source is -------------------------------------------------------------------------------------------

    def poll(self, limit: int) -> int:
        done = 0
        for _ in range(_MESSAGES_PER_POLL):
            if self._pushed.left:
                done += self._pour(limit - done)
                if self._pushed.left:
                    break
            if done >= limit or self._memory.full or not self._receive():
                break
        if done or self._memory.open:
            self._pushed.flush()
            self._owed.update(self._memory.settle(self._pushed.landed))
        if done:
            self._done += done
            for schema_id, n in self._pushed.take_ticks():
                self._tally.ticks(BY_ID[schema_id].word, n)
        if self._owed:
            self._acknowledge()
        if self._held:
            self._welcome_held()
        return done

    def due_ns(self) -> int:
        return 0

    def park(self, timeout_ns: int) -> None:
        if self._pushed.left or self._memory.open or self._owed:
            sleep_full(self._clock(), timeout_ns)
        else:
            self._socket.poll(max(1, timeout_ns // 1_000_000))

    def progress(self) -> str:
        rate = self._rate.look(self._done)
        return f"{self._done:,} records of {len(self._pushers):,} pushers, {rate:,.0f}/s, {self._refused:,} refused"

    def close(self) -> None:
        """Acknowledge what is in the log, and leave nothing behind but the memory, which goes with the log."""
        if self._socket.closed:
            return
        self._owed.update(self._memory.settle(self._pushed.landed))
        self._acknowledge()
        self._socket.close(linger=_LINGER_MS)
        self._context.term()
        self._memory.close()
        if self._capture is not None:
            self._capture.close()
        for file in self._files:
            file.unlink(missing_ok=True)

    # --- messages ---------------------------------------------------------------------------------------------------

    def _receive(self) -> bool:
        """Deal with one message; False: there was none."""
        try:
            route, *frames = self._frames()
        except zmq.Again:
            return False
        data = frames[-1] if frames else b""
        if data[:1] == b"{":
            self._introduce(route)
            return True
        try:
            if len(frames) != 1:
                raise WireError("a message is one frame", found=len(frames))
            heard = parse_message(data)
            if heard.seq > _SEQ_MAX or heard.session == 0:
                raise WireError("no number of a record, or no session", found=f"{heard.seq}, {heard.session}")
            if heard.kind == Kind.HELLO:
                self._hello(route, heard, data[HEADER_BYTES:])
                return True
            if heard.seq == 0 or not 0 < heard.records <= RECORDS_MAX:
                raise WireError("not so many records", expected=f"1 to {RECORDS_MAX}, from 1", found=heard.records)
        except WireError as error:
            if self._capture is not None:
                self._capture.keep("refused", data, self._clock())
            self._refuse(route, None, Answer(Kind.REFUSED, 0, 0, 0, 0, 0, 0, text=f"malformed: {error}"), 1)
            return True
        pusher = self._routes.get(route)
        if pusher is None or pusher.session != heard.session or heard.seq > pusher.received + 1:
            if route not in self._asked:
                self._tell(route, pusher, Kind.AGAIN)
                self._ask(route)
            return True
        self._take(route, pusher, heard, data)
        return True

    def _take(self, route: bytes, pusher: Pusher, heard: Message, data: bytes) -> None:
        """Records of a pusher whose number is the next, or of which some were here before."""
        last = heard.seq + heard.records - 1
        skip = pusher.received + 1 - heard.seq
        if skip:
            self._tally.rejected("duplicate", min(skip, heard.records))
        if skip >= heard.records:
            self._owed.add(pusher)
            return
        why, at = self._messages.look(heard, data, skip)
        records = heard.records - skip
        pusher.turned += records if why else 0
        self._pushed.stamp(ts_in := self._memory.ts_in(self._clock()))
        if self._capture is not None:
            self._capture.keep("refused" if why else f"{skip} {pusher.name.decode()}", data, ts_in)
        self._memory.begin(
            Intent(
                pusher.index,
                heard.seq + skip,
                records,
                0 if why else records,
                ts_in,
                self._pushed.next_seq,
                self._pushed.put if why else NOT_YET,
                pusher.turned,
            )
        )
        pusher.received = last
        if why:
            told = Answer(Kind.REFUSED, 0, 0, 0, 0, 0, 0, heard.seq + skip, records, max(0, at - skip), why)
            self._refuse(route, pusher, told, records)

    def _pour(self, limit: int) -> int:
        n = self._pushed.pour(limit)
        if not self._pushed.left:
            self._memory.filled(self._pushed.put)
        return n

    # --- pushers ----------------------------------------------------------------------------------------------------

    def _hello(self, route: bytes, heard: Message, name: bytes) -> None:
        """Take up a pusher where it is; a new session takes the name from an old one, never the other way round."""
        if not NAME.fullmatch(name):
            raise WireError("not a pusher's name", expected="1 to 31 letters, digits, _ . -", found=repr(name[:40]))
        known = self._memory.pushers.get(name)
        if known is not None and heard.again and known.session not in {heard.session, 0}:
            self._tell(route, None, Kind.REPLACED)
            return
        pusher = self._memory.pusher(name)
        if pusher is None:
            return
        if pusher is not known:
            self._drop_forgotten()
        before = self._pushers.get(pusher)
        if before is not None and before != route:
            del self._routes[before]
            if pusher.session != heard.session:
                self._tell(before, None, Kind.REPLACED)
        if pusher.session != heard.session and pusher.received != pusher.committed:
            # What the session before has on its way may be lost with this process: the new one hears afterwards.
            self._held[pusher] = 0
        pusher.session = heard.session
        if heard.seq > pusher.received:  # this source's memory is younger than the pusher's
            pusher.committed = pusher.received = heard.seq
        taken = self._routes.get(route)
        if taken is not None and taken is not pusher:
            del self._pushers[taken]
        self._routes[route] = pusher
        self._pushers[pusher] = route
        self._asked.discard(route)
        if pusher in self._held:
            self._held[pusher] = heard.records & 0xFF
        else:
            self._tell(route, pusher, Kind.WELCOME, heard.records & 0xFF)

    def _welcome_held(self) -> None:
        for pusher in [each for each in self._held if each.received == each.committed]:
            hello = self._held.pop(pusher)
            if (route := self._pushers.get(pusher)) is not None:
                self._tell(route, pusher, Kind.WELCOME, hello)

    def _drop_forgotten(self) -> None:
        for pusher in [each for each in self._pushers if self._memory.pushers.get(each.name) is not each]:
            del self._routes[self._pushers.pop(pusher)]
            self._owed.discard(pusher)
            self._held.pop(pusher, None)

    def _acknowledge(self) -> None:
        """Tell everybody who is owed it how far it is. Who can't be told now is told with the next, or says hello."""
        for pusher in self._owed:
            route = self._pushers.get(pusher)
            if route is not None:
                self._tell(route, pusher, Kind.ACKNOWLEDGED)
        self._owed.clear()

    def _tell(self, route: bytes, pusher: Pusher | None, kind: Kind, hello: int = 0) -> None:
        standing = (0, 0, 0) if pusher is None else (pusher.committed, pusher.received, pusher.turned)
        self._send(route, answer(Answer(kind, hello, self._window, *standing, self._memory.epoch)))

    def _refuse(self, route: bytes, pusher: Pusher | None, told: Answer, records: int) -> None:
        self._refused += records
        self._tally.rejected(told.text.partition(":")[0], records)
        if pusher is not None:
            told = told._replace(committed=pusher.committed, received=pusher.received, refused=pusher.turned)
        self._send(route, answer(told._replace(window=self._window, epoch=self._memory.epoch)))

    def _send(self, route: bytes, data: bytes) -> None:
        try:
            self._socket.send_multipart([route, data], zmq.NOBLOCK)
        except zmq.Again:
            pass  # it takes nothing in; it asks when it does again
        except zmq.ZMQError:  # it has gone
            self._asked.discard(route)
            pusher = self._routes.pop(route, None)
            if pusher is not None and self._pushers.get(pusher) == route:
                del self._pushers[pusher]

    def _ask(self, route: bytes) -> None:
        if len(self._asked) >= 2 * _QUEUE_MESSAGES:
            self._asked.clear()
        self._asked.add(route)

    def _introduce(self, route: bytes) -> None:
        """What is asked in JSON is the control address's question; whoever asks it here has found the pushers'
        entrance."""
        told = {"id": 0, "answer": "push", "source": self.name, "epoch": self._memory.epoch}
        self._send(route, orjson.dumps(told))

    # --- the socket -------------------------------------------------------------------------------------------------

    def _listening(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.router_mandatory = True
        socket.rcvhwm = _QUEUE_MESSAGES
        socket.maxmsgsize = _DROPPED_BYTES
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
        told = self._directory / "endpoints" / f"push.{self.name}"
        bound = []
        for key, text in (("endpoint", self._config.endpoint), ("tcp", self._config.tcp)):
            if not text:
                continue
            where = f"source.{self.name}.{key}"
            endpoint = parse_endpoint(text, where=where)
            file = Path(endpoint.path) if endpoint.path.startswith("/") else None
            refuse_taken(endpoint, where=where)
            if file is not None and file.exists() and not file.is_socket():
                raise HostError(
                    "can't bind", expected="a path for a socket", found=f"another file at {file}", where=where
                )
            socket.ipv6 = ":" in endpoint.host
            try:
                socket.bind(text)
            except zmq.ZMQError as error:
                raise bind_error(endpoint, error.errno or 0, where=where) from None
            if file is not None:
                os.chown(file, -1, self._directory.stat().st_gid)
                file.chmod(0o660)  # who may read the log may push: connecting takes permission to write
                self._files.append(file)
            bound.append(socket.get_string(zmq.LAST_ENDPOINT))
        told.parent.mkdir(mode=0o750, exist_ok=True)
        fresh = told.with_name(f".{told.name}.{os.getpid()}")
        fresh.write_text("\n".join(bound), encoding="utf-8")
        fresh.replace(told)
        self._files.append(told)
        return socket

    def _frames(self) -> list[bytes]:
        """One message's frames, no more of them kept than tell that there are too many."""
        frames = [self._socket.recv(zmq.NOBLOCK)]
        while self._socket.rcvmore:
            frame = self._socket.recv(zmq.NOBLOCK)
            if len(frames) < 3:
                frames.append(frame)
        return frames
