"""When MoldUDP64 datagrams of another session are the next session, and when they are noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from feed.errors import WireError
from feed.wire import mold

if TYPE_CHECKING:
    from feed.normalize.itch_lines import ItchLines
    from feed.sources.source import Tally

__all__ = ["MoldSessions", "NextSession"]

_BELIEVED = 4
"""Datagrams of another session, with nothing new of the one that runs between them, until it is believed: one that is
damaged there has no others of its kind, and a line that is behind has still to bring the old session's last."""

_SESSIONS_MAX = 4
_KEPT_MAX = 1024


class NextSession(NamedTuple):
    """`first`: its lowest message so far; `kept`: its datagrams, each with its line."""

    session: bytes
    first: int
    kept: list[tuple[int, bytes]]


class MoldSessions:
    """Of `lines`. The first session is taken up at once, the next once it is believed; what came of it by then is
    kept. One that was left is left for ever. What is noise is counted."""

    def __init__(self, lines: ItchLines, tally: Tally) -> None:
        self.began = False
        self._lines = lines
        self._tally = tally
        self._left: set[bytes] = set()
        self._others: dict[bytes, list[tuple[int, bytes]]] = {}
        self._next = b""
        self._streak = (b"", 0, 0)
        """Whose datagrams came last, what the session that runs had by then, and how many they are."""

    @property
    def changes(self) -> bool:
        """Is there a session to go on with, once all of the old one is dealt with?"""
        return bool(self._next)

    def other(self, line: int, datagram: bytes) -> None:
        """A datagram that is not of the session that runs."""
        session = self._lines.other_session
        if session in self._left or (self._next and session != self._next):
            self._tally.rejected("old_session", 1)
            return
        if session not in self._others and len(self._others) >= _SESSIONS_MAX:
            self._tally.rejected("unknown_session", sum(map(len, self._others.values())))
            self._others.clear()
        kept = self._others.setdefault(session, [])
        if len(kept) < _KEPT_MAX:
            kept.append((line, datagram))
        known = self._lines.arbiter.next
        same = self._streak[:2] == (session, known)
        self._streak = (session, known, self._streak[2] + 1 if same else 1)
        if not self.began or self._streak[2] >= _BELIEVED:
            self._next = session

    def take(self) -> NextSession:
        """The session that follows, which now is the one that runs."""
        session, self._next = self._next, b""
        kept = self._others.pop(session)
        if self.began:
            self._left.add(self._lines.arbiter.of_session)
        if self._others:
            self._tally.rejected("unknown_session", sum(map(len, self._others.values())))
            self._others.clear()
        self.began = True
        return NextSession(session, min(_first(datagram) for _, datagram in kept), kept)


def _first(datagram: bytes) -> int:
    try:
        return mold.decode(datagram).sequence
    except WireError:  # the lines have looked at it
        raise AssertionError(datagram) from None
