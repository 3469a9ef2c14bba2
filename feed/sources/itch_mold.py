"""The source of Nasdaq's TotalView-ITCH 5.0, live over MoldUDP64: one multicast group, or two that carry the same
messages.

Whichever line brings a message first gives it; what comes before others waits for them. What no line brings is asked
for at ``request`` and, once that has been of no use for ``give_up``, counted as ``lost_messages``: then every book is
marked, until a new snapshot (``glimpse``) or the next session.

A session is heard from its first message on where ``request`` gives the earlier ones. Where there is a snapshot
instead, it is fetched while what comes meanwhile waits. With neither, whoever comes late marks every book.

Another session is begun once a few datagrams of it have come, which are kept until then; nobody goes back to one that
was left.
"""

from __future__ import annotations

import logging
import os
import random
import select
import socket
import struct
from typing import TYPE_CHECKING

from feed.clock import monotonic_ns, now_ns
from feed.config import duration_ns
from feed.errors import HostError
from feed.normalize.itch_frames import Want
from feed.normalize.itch_lines import ItchLines
from feed.ports import parse_endpoint
from feed.sources.capture import capture_of
from feed.sources.datagrams import Datagrams
from feed.sources.itch_books import ItchBooks, trading_day
from feed.sources.itch_heard import ItchHeard
from feed.sources.itch_snapshot import ItchSnapshot
from feed.sources.mold_sessions import MoldSessions
from feed.sources.pacing import Rate, sleep_full
from feed.wire import mold
from feed.wire.interfaces import choose

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping

    from feed.config import ItchMoldConfig
    from feed.errors import SourceError
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["ItchMold"]

log = logging.getLogger("tickcast.ingest")

_ROUNDS_PER_POLL = 16
_ASK_AFTER_NS = 2_000_000
"""What the other line may still bring, or the network has swapped."""

_ASK_AGAIN_NS = 50_000_000
_ASKED_AT_ONCE = 8
_IN_VAIN_MAX = 16
_RECEIVE_BYTES = 16 << 20


class ItchMold:
    """Listens to ``config.groups``. `clock`: wall ns; `monotonic`: ns; `chance`: 0 to 1, for pauses of the snapshot's.

    :raises HostError: a group can't be joined.
    :raises ConfigError: user or password for the snapshot, in `environ`, are none.
    """

    error: SourceError | None = None
    finished = False

    def __init__(
        self,
        name: str,
        config: ItchMoldConfig,
        sink: Sink,
        counters: Counters,
        *,
        clock: Callable[[], int] = now_ns,
        monotonic: Callable[[], int] = monotonic_ns,
        chance: Callable[[], float] = random.random,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.name = name
        self._config = config
        self._clock = clock
        self._monotonic = monotonic
        venue = counters.histogram("tickcast_latency_seconds", stage="venue", transport=name)
        self._capture = capture_of(name, config, counters)
        self._books = ItchBooks(name, config, sink, counters, packets=True, venue=venue, capture=self._capture)
        self._frames = self._books.frames
        self._lines = ItchLines(self._frames, len(config.groups))
        self._gaps = counters.counter("tickcast_source_resyncs_total", source=name, cause="gap")
        self._changes = counters.counter("tickcast_source_resyncs_total", source=name, cause="session")
        self._snapshot: ItchSnapshot | None = None
        if config.glimpse:
            self._snapshot = ItchSnapshot(
                name, config.glimpse, config.reconnect, self._books, self._capture,
                clock=clock, monotonic=monotonic, chance=chance, environ=environ,
            )  # fmt: skip
        self._give_up_ns = duration_ns(config.give_up)
        self._sessions = MoldSessions(self._lines, self._books.tally)
        self._said_end = False
        self._told = False
        """That the books of the session before may be wrong, now that it is left."""
        self._hole: tuple[int, int] | None = None
        """The first one, first message and number of them, and since when it is as it is."""
        self._moved_ns = 0
        self._answered = False
        self._in_vain = 0
        """Requests since the last answer."""
        self._rate = Rate(clock)
        self._sockets: list[socket.socket] = []
        self._poll = select.poll()
        try:
            for group in config.groups:
                self._sockets.append(self._join(group))
            self._asking = self._ask_socket() if config.request else None
        except BaseException:
            self.close()
            raise
        self._inputs = [Datagrams(each.fileno()) for each in self._sockets]
        if self._asking is not None:
            self._inputs.append(Datagrams(self._asking.fileno()))
        for each in self._inputs:
            self._poll.register(each.fd, select.POLLIN)

    @classmethod
    def hearing(cls, name: str, config: ItchMoldConfig, sink: Sink, counters: Counters) -> ItchHeard:
        """What its captures go through."""
        return ItchHeard(name, config, sink, counters)

    # --- what a source is -------------------------------------------------------------------------------------------

    def poll(self, limit: int) -> int:
        done = 0
        now = self._monotonic()
        for _ in range(_ROUNDS_PER_POLL):
            done += self._books.pour(limit - done, 0)
            if self._frames.want == Want.LIVE:
                self._snapshot_ends()
            elif self._frames.want != Want.BYTES or not self._more(now):
                break
        if self._sessions.began:
            self._mend(now)
        self._books.settle(done)
        for reason, n in self._lines.take_rejected():
            self._books.tally.rejected(reason, n)
        return done

    def due_ns(self) -> int:
        return 0

    def park(self, timeout_ns: int) -> None:
        if self._frames.want == Want.ROOM:
            sleep_full(self._clock(), timeout_ns)
            return
        if self._lines.arbiter.holes or self._fetching:
            timeout_ns = min(timeout_ns, _ASK_AFTER_NS)
        self._poll.poll(timeout_ns / 1e6)

    def progress(self) -> str:
        rate = self._rate.look(self._books.done)
        arbiter = self._lines.arbiter
        counts = [arbiter.line(i) for i in range(len(self._sockets))]
        lines = ", ".join(f"{'AB'[i]} lost {each.lost:,}" for i, each in enumerate(counts))
        return (
            f"{self._books.done:,} records of {self._frames.messages:,} messages of session "
            f"{arbiter.of_session.decode('latin-1').strip() or '?'} ({lines}; both {arbiter.lost:,}), {rate:,.0f}/s, "
            f"{self._books.itch.resting.orders:,} orders rest"
        )

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        asking = getattr(self, "_asking", None)
        if asking is not None:
            asking.close()
        if self._snapshot is not None:
            self._snapshot.close()
        if self._capture is not None:
            self._capture.close()

    @property
    def _fetching(self) -> bool:
        return self._snapshot is not None and self._snapshot.running

    # --- what comes -------------------------------------------------------------------------------------------------

    def _more(self, now: int) -> bool:
        """More into the frames, all of which is dealt with: what waited, what comes, what follows a loss."""
        if self._sessions.changes and self._frames.dealt:
            self._begin(now)
            return True
        if not self._fetching:
            return self._skip() or self._receive(now)
        assert self._snapshot is not None
        came = self._receive(now)
        return self._snapshot.read() or came

    def _receive(self, now: int) -> bool:
        if not sum([each.receive() for each in self._inputs]):
            return False
        self._books.received_ns = self._clock()
        self._answered = self._answered or (self._asking is not None and self._inputs[-1].count > 0)
        for line, each in enumerate(self._inputs):
            if self._capture is not None:
                for i in range(each.count):
                    self._capture.keep(str(line), each.payload(i), self._books.received_ns)
            while not each.give(self._lines, line, now):
                self._sessions.other(line, each.payload(each.taken))
                each.leave()
        return True

    def _begin(self, now: int) -> None:
        """The session that follows: from its first message on, if anybody can still give that."""
        if self._sessions.began and not self._told:
            self._told = True
            self._books.skip(self._frames.messages + 1)  # nobody may take the old books for right
            return
        self._told = False
        if self._sessions.began:
            self._changes.add(1)
        session, first, kept = self._sessions.take()
        start = 1 if self._config.request and self._snapshot is None else first
        self._books.did("session", n=start)
        self._lines.begin(session, start)
        self._hole = None
        log.info("source %s: session %s from message %d on", self.name, session.decode("latin-1"), start)
        day = trading_day(self._config.date, self._clock())
        if self._snapshot is not None and first > 1:
            self._fetch(day)
        else:
            if self._snapshot is not None:
                self._snapshot.close()
            self._books.begin(day)
            self._books.number(start)
            if start > 1:
                self._lose(start - 1)
                self._books.skip(start)
        self._books.did("kept")
        for line, datagram in kept:
            self._lines.take(line, datagram, now)

    # --- what does not come -----------------------------------------------------------------------------------------

    def _mend(self, now: int) -> None:
        """Ask for what is missing, and give up what nobody brings."""
        arbiter = self._lines.arbiter
        if arbiter.complete_below == arbiter.next:
            self._hole = None
            over = 0 < self._lines.end <= arbiter.next
            if over and not self._said_end:
                log.info("source %s: the session has ended after message %d", self.name, self._lines.end - 1)
            self._said_end = over
            return
        hole = arbiter.holes[0]
        if hole != self._hole:
            self._hole, self._moved_ns = hole, now
        if self._asking is not None:
            if self._answered:
                self._in_vain = 0
            asked_before = now if self._answered else now - _ASK_AGAIN_NS
            self._answered = False
            for _ in range(_ASKED_AT_ONCE):
                missing = arbiter.ask(now - _ASK_AFTER_NS, asked_before - 1, now)
                if missing is None:
                    break
                self._ask(*missing)
        if now - self._moved_ns >= self._give_up_ns and not self._fetching:
            arbiter.give_up(now - self._give_up_ns)

    def _ask(self, first: int, count: int) -> None:
        """For these messages; where that was in vain, for the later ones of them, which a server may still have."""
        assert self._asking is not None
        session = self._lines.arbiter.of_session
        later = count - max(1, count >> self._in_vain)
        first, count = first + later, count - later
        self._in_vain = (self._in_vain + 1) % _IN_VAIN_MAX
        try:
            self._asking.send(mold.request(session, first, min(count, mold.REQUEST_MAX)))
        except OSError as error:
            log.debug("source %s: request not sent: %s", self.name, error)

    def _skip(self) -> bool:
        """With all dealt with that came before: go on behind what was given up."""
        self._lines.release()
        lost = self._lines.lost
        if lost and self._frames.dealt:
            first = self._lines.next
            self._lose(lost)
            log.warning("source %s: messages %d to %d are lost", self.name, first, first + lost - 1)
            if self._snapshot is not None:
                self._pause()  # what waited is newer than the snapshot, or in it
            self._books.did("lost", n=first + lost)
            self._lines.skip()
            if self._snapshot is not None:
                self._fetch(trading_day(self._config.date, self._clock()))
            return True
        return not self._frames.dealt

    def _fetch(self, day: datetime.date) -> None:
        """Make the books anew from a snapshot; what comes meanwhile waits."""
        assert self._snapshot is not None
        self._pause()
        self._snapshot.begin(day)

    def _pause(self) -> None:
        self._books.did("pause")
        self._lines.pause()

    def _snapshot_ends(self) -> None:
        assert self._snapshot is not None
        if number := self._snapshot.end(self._lines.next):
            self._books.number(number)
            self._books.did("resume", n=number)
            self._lines.resume(number)

    def _lose(self, messages: int) -> None:
        self._books.tally.rejected("lost_messages", messages)
        self._gaps.add(1)

    # --- sockets ----------------------------------------------------------------------------------------------------

    def _join(self, group: str) -> socket.socket:
        where = f"source.{self.name}.groups"
        host, _, port = group.rpartition(":")
        interface = choose(self._config.interface, host, where=f"source.{self.name}.interface", loopback=True)
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            made.bind((host, int(port)))  # to the group: what others send to this port does not come
            member = struct.pack("=4s4s", socket.inet_aton(host), socket.inet_aton(interface.address))
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        except OSError as error:
            made.close()
            raise HostError(f"can't join {group} on {interface}", found=error.strerror, where=where) from None
        return made

    def _ask_socket(self) -> socket.socket:
        endpoint = parse_endpoint(self._config.request, bare=True)
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        try:
            made.connect((endpoint.host, endpoint.port))  # what comes from elsewhere is no answer
        except OSError as error:
            made.close()
            where = f"source.{self.name}.request"
            raise HostError(f"no way to {self._config.request}", found=str(error), where=where) from None
        return made
