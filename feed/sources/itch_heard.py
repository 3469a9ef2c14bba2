"""What the captures of Nasdaq's live sources go through: the packets as they came, and what the source did with them.

Which of two sessions to follow, what to wait for no longer, when to fetch a snapshot: the live source decides that by
the clock, and keeps each decision as a message of the channel ``did``, in its place among the packets. Here they are
repeated; all else is the live source's own decoder.

    begin  number  skip        of the books (itch_books.py)          accepted      messages of that connection count
    session  kept  lost        of the lines: another session,        pause  resume while a snapshot is fetched
                               what came of it before, a loss
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import orjson

from feed.config import ItchMoldConfig
from feed.normalize.itch_frames import Want
from feed.normalize.itch_lines import ItchLines
from feed.sources.itch_books import ItchBooks
from feed.sources.mold_sessions import MoldSessions
from feed.wire.soup import SoupPackets

if TYPE_CHECKING:
    from feed.config import ItchSoupConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["ItchHeard"]


class ItchHeard:
    """A :class:`feed.sources.source.Hearing`."""

    def __init__(self, name: str, config: ItchMoldConfig | ItchSoupConfig, sink: Sink, counters: Counters) -> None:
        self.name = name
        self._books = ItchBooks(name, config, sink, counters, packets=True)
        self._frames = self._books.frames
        lines = len(config.groups) if isinstance(config, ItchMoldConfig) else 1
        self._lines = ItchLines(self._frames, lines)
        self._sessions = MoldSessions(self._lines, self._books.tally)
        self._kept: list[tuple[int, bytes]] = []
        self._packets = {"live": SoupPackets(), "glimpse": SoupPackets()}
        self._came_ns: dict[str, int] = {}
        self._accepted: set[str] = set()

    @property
    def waiting(self) -> bool:
        return not self._frames.dealt and self._frames.want != Want.LIVE

    def hear(self, channel: str, payload: bytes, received_ns: int) -> None:
        try:
            if channel == "did":
                self._repeat(orjson.loads(payload))
            elif channel in self._packets:
                self._bytes(channel, payload, received_ns)
            else:
                self._books.received_ns = received_ns
                if self._lines.take(int(channel), payload, received_ns):
                    self._sessions.other(int(channel), payload)
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError):
            self._books.tally.rejected("bad_capture", 1)

    def poll(self, limit: int) -> int:
        done = 0
        while True:
            done += self._books.pour(limit - done, 0)
            if self._frames.want != Want.BYTES:
                break
            self._lines.release()
            if not self._frames.left:
                break
        self._books.settle(done)
        for reason, n in self._lines.take_rejected():
            self._books.tally.rejected(reason, n)
        return done

    def progress(self) -> str:
        return f"{self._books.done:,} records of {self._frames.messages:,} messages"

    def close(self) -> None:
        pass

    def _bytes(self, channel: str, payload: bytes, received_ns: int) -> None:
        """Of a SoupBinTCP connection; none: another one begins."""
        packets = self._packets[channel]
        if not payload:
            packets.begin()
            self._accepted.discard(channel)
            return
        space = packets.space()
        space[: len(payload)] = payload
        packets.filled(len(payload))
        self._came_ns[channel] = received_ns
        self._unwrap(channel)

    def _unwrap(self, channel: str) -> None:
        """Messages into the frames; behind the answer to the login once it is known where they begin."""
        packets = self._packets[channel]
        while True:
            if channel in self._accepted and (n := packets.messages(self._frames.space())):
                self._frames.filled(n)
                self._books.received_ns = self._came_ns[channel]
                continue
            control = packets.control()
            if control is None or control[0] == b"A":
                return

    def _repeat(self, op: dict[str, Any]) -> None:
        match op["did"]:
            case "begin":
                self._books.begin(datetime.date.fromisoformat(op["day"]), snapshot=op["snapshot"])
            case "number":
                self._books.number(op["n"])
            case "skip":
                self._books.skip(op["n"])
            case "accepted":
                self._accepted.add(op["on"])
                self._unwrap(op["on"])
            case "session":
                session, _, self._kept = self._sessions.take()
                self._lines.begin(session, op["n"])
            case "kept":
                for line, datagram in self._kept:
                    self._lines.take(line, datagram, self._books.received_ns)
                self._kept = []
            case "lost":
                self._lines.skip(op["n"])
            case "pause":
                self._lines.pause()
            case "resume":
                self._lines.resume(op["n"])
