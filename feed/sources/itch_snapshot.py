"""A snapshot of what rests at Nasdaq (GLIMPSE 5.0): a SoupBinTCP session of its own whose messages add every resting
order and whose last one is the number of the message from which the live stream goes on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from feed.config import duration_ns
from feed.sources.pacing import Backoff
from feed.sources.soup_line import SoupLine, credentials

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping

    from feed.sources.capture import Capture
    from feed.sources.itch_books import ItchBooks

__all__ = ["ItchSnapshot"]

log = logging.getLogger("tickcast.ingest")


class ItchSnapshot:
    """Into `books`, from `address`, again and again until one is whole. Times are monotonic ns but `clock`'s.

    :raises ConfigError: user or password in `environ` are none.
    """

    def __init__(
        self,
        name: str,
        address: str,
        reconnect: str,
        books: ItchBooks,
        capture: Capture | None,
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], int],
        chance: Callable[[], float],
        environ: Mapping[str, str],
    ) -> None:
        self.running = False
        self._name = name
        self._books = books
        self._monotonic = monotonic
        keep = None if capture is None else (lambda payload, at: capture.keep("glimpse", payload, at))
        self._line = SoupLine(address, *credentials(name, environ), clock=monotonic, wall=clock, keep=keep)
        self._backoff = Backoff(duration_ns(reconnect), chance)
        self._day: datetime.date | None = None
        self._open_ns = 0

    def begin(self, day: datetime.date) -> None:
        """Fetch one; the books are made anew once it comes."""
        self.running = True
        self._day = day
        self._open_ns = self._monotonic()

    def read(self) -> bool:
        """More of it into the frames, with all before dealt with; False: there is none for now."""
        line, frames = self._line, self._books.frames
        if self._open_ns:
            if self._monotonic() < self._open_ns:
                return False
            self._open_ns = 0
            line.open("", 1)
        line.turn()
        was_live = line.live
        n = line.read(frames.space())
        if n:
            frames.filled(n)
            self._books.received_ns = line.received_ns
        elif line.live and not was_live:
            assert self._day is not None
            self._books.begin(self._day, snapshot=True)
            self._books.number(1)
            self._books.did("accepted", on="glimpse")
        elif line.over:
            self._again(line.reason or "the snapshot broke off")
        return n > 0 or (line.live and not was_live)

    def end(self, at_least: int = 1) -> int:
        """It is whole: the number of the message that follows it; 0: it says none, or one below `at_least`, and another
        one is fetched."""
        number = self._books.frames.live_from
        if not at_least <= number < 1 << 63:
            self._books.skip(1)  # what is in it is not told for right
            self._again("the snapshot is older than what came" if number else "the snapshot ends without a number")
            return 0
        self._backoff.succeeded()
        self.close()
        return number

    def due_ns(self) -> int:
        """When there is something to do even if nothing comes."""
        return self._open_ns or self._line.due_ns()

    def wait(self, timeout_ns: int) -> None:
        self._line.wait(timeout_ns)

    def close(self) -> None:
        self._line.close()
        self.running = False

    def take_unknown(self) -> int:
        """Packets of no known type since the last call."""
        n, self._line.unknown = self._line.unknown, 0
        return n

    def _again(self, why: str) -> None:
        self._line.close()
        pause = self._backoff.failed(hopeless=self._line.unwanted)
        log.warning("source %s: %s: %s; again in %.1f s", self._name, self._line.address, why, pause / 1e9)
        self._open_ns = self._monotonic() + pause
