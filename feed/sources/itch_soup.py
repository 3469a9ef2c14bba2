"""The source of Nasdaq's TotalView-ITCH 5.0, live over SoupBinTCP: every message of the session in order, by its
number.

At start all messages of the session come, or, with ``glimpse``, a snapshot of what rests (GLIMPSE 5.0) and what is
newer. A connection that ends is made again at the next number, with growing, jittered pauses, and nothing is lost by
it. What the server has no longer is counted as ``lost_messages``; then every book is marked, until a new snapshot or
the next session. Another session begins with empty books.

User and password are those of the environment: ``TICKCAST_NAME_USER``, ``TICKCAST_NAME_PASSWORD``, NAME the source's.
"""

from __future__ import annotations

import logging
import os
import random
from typing import TYPE_CHECKING

from feed.clock import monotonic_ns, now_ns
from feed.config import duration_ns
from feed.normalize.itch_frames import Want
from feed.sources.capture import capture_of
from feed.sources.itch_books import ItchBooks, trading_day
from feed.sources.itch_heard import ItchHeard
from feed.sources.itch_snapshot import ItchSnapshot
from feed.sources.pacing import Backoff, Rate, sleep_full
from feed.sources.soup_line import SoupLine, credentials
from feed.wire.soup_session import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from feed.config import ItchSoupConfig
    from feed.errors import SourceError
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["ItchSoup"]

log = logging.getLogger("tickcast.ingest")

_READS_PER_POLL = 64


class ItchSoup:
    """Listens to ``config.address``. `clock`: wall ns; `monotonic`: ns; `chance`: 0 to 1, for the pauses.

    :raises ConfigError: user or password in `environ` are none.
    """

    error: SourceError | None = None

    def __init__(
        self,
        name: str,
        config: ItchSoupConfig,
        sink: Sink,
        counters: Counters,
        *,
        clock: Callable[[], int] = now_ns,
        monotonic: Callable[[], int] = monotonic_ns,
        chance: Callable[[], float] = random.random,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.name = name
        self.finished = False
        self._config = config
        self._clock = clock
        self._monotonic = monotonic
        venue = counters.histogram("tickcast_latency_seconds", stage="venue", transport=name)
        user_and_password = credentials(name, environ)
        self._capture = capture = capture_of(name, config, counters)
        self._books = ItchBooks(name, config, sink, counters, packets=True, venue=venue, capture=capture)
        self._frames = self._books.frames
        self._connected = counters.gauge("tickcast_source_connections", source=name)
        self._resyncs = {
            cause: counters.counter("tickcast_source_resyncs_total", source=name, cause=cause)
            for cause in ("gap", "session")
        }
        keep = None if capture is None else (lambda payload, at: capture.keep("live", payload, at))
        self._line = SoupLine(config.address, *user_and_password, clock=monotonic, wall=clock, keep=keep)
        self._snapshot: ItchSnapshot | None = None
        if config.glimpse:
            self._snapshot = ItchSnapshot(
                name, config.glimpse, config.reconnect, self._books, capture,
                clock=clock, monotonic=monotonic, chance=chance, environ=environ,
            )  # fmt: skip
        self._session = config.session
        self._over = ""
        """The session that has ended: another one is waited for."""
        self._fresh = True
        """The books begin anew with the next login."""
        self._open_ns = monotonic()
        """When to connect next; 0: connected, or at it."""
        self._backoff = Backoff(duration_ns(config.reconnect), chance)
        self._rate = Rate(clock)

    @classmethod
    def hearing(cls, name: str, config: ItchSoupConfig, sink: Sink, counters: Counters) -> ItchHeard:
        """What its captures go through."""
        return ItchHeard(name, config, sink, counters)

    # --- what a source is -------------------------------------------------------------------------------------------

    def poll(self, limit: int) -> int:
        done = 0
        self._turn()
        for _ in range(_READS_PER_POLL):
            done += self._books.pour(limit - done, 0)
            if self._frames.want == Want.LIVE:
                self._go_live()
            elif self._frames.want != Want.BYTES or not self._read():
                break
        self._books.settle(done)
        unknown, self._line.unknown = self._line.unknown, 0
        if unknown := unknown + (self._snapshot.take_unknown() if self._snapshot is not None else 0):
            self._books.tally.rejected("unknown_packet", unknown)
        return done

    def due_ns(self) -> int:
        return 0

    def park(self, timeout_ns: int) -> None:
        if self._frames.want == Want.ROOM:
            sleep_full(self._clock(), timeout_ns)
            return
        on = self._snapshot if self._snapshot is not None and self._snapshot.running else self._line
        due = self._open_ns or on.due_ns()
        on.wait(max(0, min(timeout_ns, due - self._monotonic())))

    def progress(self) -> str:
        rate = self._rate.look(self._books.done)
        state = "connected" if self._line.live else self._line.reason or "not connected"
        return (
            f"{self._books.done:,} records of {self._frames.messages:,} messages from {self._line.address} ({state}, "
            f"session {self._session or '?'}), {rate:,.0f}/s, {self._books.itch.resting.orders:,} orders rest"
        )

    def close(self) -> None:
        self._line.close()
        if self._snapshot is not None:
            self._snapshot.close()
        if self._capture is not None:
            self._capture.close()

    # --- connections ------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Connect when it is time, and say that we live; see what became of a connection that is over."""
        if self._snapshot is not None and self._snapshot.running:
            return
        if self._open_ns:
            if self._monotonic() >= self._open_ns and self._frames.dealt:
                self._open()
            return
        self._line.turn()
        if self._line.over and self._frames.dealt:
            self._end()

    def _open(self) -> None:
        self._open_ns = 0
        if self._over:
            self._line.open("", 0)  # only to see whether there is another session
        elif self._fresh and self._snapshot is not None:
            self._snapshot.begin(trading_day(self._config.date, self._clock()))
            return
        else:
            self._line.open(self._session, 1 if self._fresh else self._frames.messages + 1)
        self._line.turn()

    def _read(self) -> bool:
        """More messages into the frames; False: there are none for now."""
        line = self._line
        if self._snapshot is not None and self._snapshot.running:
            return self._snapshot.read()
        if self._open_ns:
            return False
        was_live = line.live
        n = line.read(self._frames.space())
        if n:
            self._frames.filled(n)
            self._books.received_ns = line.received_ns
        elif not was_live and line.live:
            self._logged_in()
        return n > 0 or (not was_live and line.live)

    def _logged_in(self) -> None:
        told = self._line.session
        assert told is not None
        if self._over:
            if told.session == self._over:
                self._line.fail("this session is over")
            else:
                self._over = ""
                self._line.fail("")
            return
        expected = self._frames.messages + 1
        if self._fresh:
            self._books.begin(trading_day(self._config.date, self._clock()))
            expected = 1
            self._books.number(expected)
        elif (self._session and told.session != self._session) or told.sequence < expected:
            self._begin_anew("session")
            return
        if told.sequence > expected:
            self._books.tally.rejected("lost_messages", told.sequence - expected)
            log.warning("source %s: messages %d to %d are lost", self.name, expected, told.sequence - 1)
            if self._snapshot is not None:
                self._begin_anew("gap")
                return
            self._resyncs["gap"].add(1)
            self._books.skip(told.sequence)
        log.info("source %s: session %s from message %d on", self.name, told.session, told.sequence)
        self._books.did("accepted", on="live")
        self._fresh = False
        self._session = told.session
        self._connected.set(1)
        self._backoff.succeeded()

    def _go_live(self) -> None:
        """The snapshot is whole."""
        assert self._snapshot is not None
        if number := self._snapshot.end():
            self._books.number(number)
            self._fresh = False
            self._session = self._config.session
            self._open_ns = self._monotonic()

    def _begin_anew(self, cause: str) -> None:
        """What the books hold may be wrong, which is told of each, and they are made anew."""
        self._resyncs[cause].add(1)
        self._books.skip(self._frames.messages + 1)
        self._session = self._config.session
        self._fresh = True
        self._line.fail("the books are made anew")

    def _end(self) -> None:
        """The connection is over: when is the next?"""
        session = self._line.session
        state = session.state if session is not None else State.BROKEN
        why, hopeless = self._line.reason, self._line.unwanted
        self._line.close()
        self._connected.set(0)
        if state is State.ENDED:
            log.info("source %s: session %s has ended", self.name, self._session)
            self.finished = bool(self._config.session)
            self._over, self._session = self._session, ""
            self._fresh = True
        elif state is State.REFUSED and not hopeless and self._session and not self._config.session:
            self._begin_anew("session")  # this one is no more
        pause = self._backoff.failed(hopeless=hopeless) if why or state is State.ENDED else 0
        if why:
            what = f"source {self.name}: {self._line.address}"
            level = logging.INFO if self._over else logging.ERROR if hopeless else logging.WARNING
            log.log(level, "%s: %s; again in %.1f s", what, why, pause / 1e9)
        self._open_ns = self._monotonic() + pause
