"""The client's side of a SoupBinTCP session, without I/O and without a clock: packets and times in, bytes to send out.

    state      packet            becomes
    LOGIN      A accepted        LIVE      `session` and `sequence` are what the server says
    LOGIN      J rejected        REFUSED   `why`, and `reject`: A not authorised, S no such session
    LIVE       Z end of session  ENDED
    any of two silence           BROKEN    15 s without a byte; a packet that there is not in this state
    LIVE       H, U, +           LIVE      they only say that the server lives

A client says that it lives once a second when it has nothing else to say. A sequenced message has no number: the first
one after A has A's, and each further one is one more.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from feed.errors import CallerError
from feed.wire.soup import packet

__all__ = ["HEARTBEAT_NS", "PASSWORD_MAX", "SILENCE_NS", "USER_MAX", "SoupSession", "State", "login"]

HEARTBEAT_NS: Final = 1_000_000_000
SILENCE_NS: Final = 15_000_000_000
USER_MAX: Final = 6
PASSWORD_MAX: Final = 10
_SESSION_BYTES = 10
_SEQUENCE_BYTES = 20

_REJECTED = {b"A": "user or password not accepted", b"S": "there is no such session"}


class State(Enum):
    LOGIN = "login"
    LIVE = "live"
    ENDED = "ended"
    REFUSED = "refused"
    BROKEN = "broken"


def login(user: str, password: str, session: str, sequence: int) -> bytes:
    """The first packet. `session` "" is the one that runs; `sequence` 1 is its first message, 0 the next to come.

    :raises CallerError: user or password are longer than the protocol has room for, which is all it says of them.
    """
    for what, text, most in (("user", user, USER_MAX), ("password", password, PASSWORD_MAX)):
        if len(text) > most or not text.isascii():
            raise CallerError(f"not a {what} of SoupBinTCP", expected=f"at most {most} ASCII characters")
    content = f"{user:<{USER_MAX}}{password:<{PASSWORD_MAX}}{session:>{_SESSION_BYTES}}{sequence:>{_SEQUENCE_BYTES}}"
    return packet(b"L", content.encode("ascii"))


class SoupSession:
    """One connection's. Times are monotonic ns; it begins when the connection is there, at `now_ns`."""

    def __init__(self, user: str, password: str, session: str, sequence: int, now_ns: int) -> None:
        self.state = State.LOGIN
        self.session = ""
        self.sequence = 0
        self.why = ""
        self.reject = ""
        self._login = login(user, password, session, sequence)
        self._heard_ns = self._said_ns = now_ns

    @property
    def over(self) -> bool:
        """Nothing more comes of it."""
        return self.state not in (State.LOGIN, State.LIVE)

    def to_send(self, now_ns: int) -> bytes:
        """What is to be sent now, often nothing; it counts as sent."""
        if self._login:
            said, self._login = self._login, b""
        elif not self.over and now_ns - self._said_ns >= HEARTBEAT_NS:
            said = packet(b"R")
        else:
            return b""
        self._said_ns = now_ns
        return said

    def due_ns(self) -> int:
        """When `to_send` or `look` have something to do next."""
        return min(self._said_ns + HEARTBEAT_NS, self._heard_ns + SILENCE_NS)

    def heard(self, now_ns: int) -> None:
        """Bytes came, whatever they are."""
        self._heard_ns = now_ns

    def look(self, now_ns: int) -> None:
        """Has the server been silent for too long?"""
        if not self.over and now_ns - self._heard_ns >= SILENCE_NS:
            self.fail(f"not a sign of life for {SILENCE_NS // 10**9} s")

    def fail(self, why: str) -> None:
        """It is over because of something else."""
        if not self.over:
            self.state, self.why = State.BROKEN, why

    def take(self, kind: bytes, content: bytes) -> bool:
        """A packet that is not a sequenced one; False: there is no such packet, and nothing came of it."""
        if kind in (b"H", b"U", b"+"):
            return True
        if kind == b"Z":
            self.state = State.ENDED
            return True
        if self.state is not State.LOGIN or kind not in (b"A", b"J"):
            return False
        if kind == b"J":
            self.reject = content[:1].decode("latin-1")
            self.why = _REJECTED.get(content[:1], f"rejected for a reason that there is not: {content[:1]!r}")
            self.state = State.REFUSED
            return True
        session, sequence = content[:_SESSION_BYTES], content[_SESSION_BYTES:].strip(b" ")
        if len(content) != _SESSION_BYTES + _SEQUENCE_BYTES or not sequence.isdigit() or not session.isascii():
            self.fail("the answer to the login is none")
            return True
        self.session, self.sequence = session.decode("ascii").strip(), int(sequence)
        self.state = State.LIVE
        return True
