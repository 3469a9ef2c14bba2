"""One SoupBinTCP connection after the other to one address: sockets, and what feed.wire.soup_session says."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from typing import TYPE_CHECKING

from feed.errors import CallerError, ConfigError
from feed.ports import is_address, parse_endpoint
from feed.wire.soup import ROOM_MIN, SoupPackets
from feed.wire.soup_session import SoupSession, State, login

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SoupLine", "credentials"]

_CONNECT_NS = 10_000_000_000
_UNKNOWN_MAX = 64
"""Packets of no known type on one connection before it is given up."""


class SoupLine:
    """To `address`, HOST:PORT. Nothing here waits: whoever turns it calls :meth:`turn` and :meth:`read` again and
    again.

    `clock`: monotonic ns; `wall`: wall ns. `keep` is given all that is received as it came, and when; nothing where a
    connection begins. ``session`` is None until the connection
    is there; once that is over, or ``why`` says why there is none, `open` begins another.
    """

    def __init__(
        self,
        address: str,
        user: str,
        password: str,
        *,
        clock: Callable[[], int],
        wall: Callable[[], int],
        keep: Callable[[bytes | memoryview, int], None] | None = None,
    ) -> None:
        self.address = address
        self.received_ns = 0
        """When something came last, wall ns."""
        self.session: SoupSession | None = None
        self.why = ""
        self.unknown = 0
        """Packets of no known type; whoever counts them sets it back."""
        self._endpoint = parse_endpoint(address, bare=True)
        self._user, self._password = user, password
        self._clock = clock
        self._wall = wall
        self._keep = keep
        self._packets = SoupPackets()
        self._scratch = bytearray(ROOM_MIN)
        self._socket: socket.socket | None = None
        self._found: _Lookup | None = None
        self._wanted = ("", 1)
        self._deadline_ns = 0
        self._to_send = b""
        self._unknown_left = 0
        self._attempts = 0

    @property
    def live(self) -> bool:
        return self.session is not None and self.session.state is State.LIVE

    @property
    def over(self) -> bool:
        """Nothing more comes of this connection."""
        return bool(self.why) or (self.session is not None and self.session.over)

    @property
    def reason(self) -> str:
        """Why it is over, as far as that is known."""
        return self.why or (self.session.why if self.session is not None else "")

    @property
    def unwanted(self) -> bool:
        """The server does not let this user in, which trying again will not mend soon."""
        session = self.session
        return session is not None and session.state is State.REFUSED and session.reject != "S"

    def open(self, session: str, sequence: int) -> None:
        """Begin to connect and log in, to `session` ("": the one that runs) from message `sequence` on."""
        self.close()
        self.session = None
        self.why = ""
        self._wanted = (session, sequence)
        self._deadline_ns = self._clock() + _CONNECT_NS
        self._packets.begin()
        self._unknown_left = _UNKNOWN_MAX
        self._found = _Lookup(self._endpoint.host, self._endpoint.port)
        self._attempts += 1

    def turn(self) -> None:
        """Connect, log in, say and hear that both ends live."""
        now = self._clock()
        if self.over:
            return
        if self.session is None:
            self._connect(now)
            return
        self.session.look(now)
        self._send(now)

    def read(self, into: memoryview) -> int:
        """Messages that came, each with its length before it; `into` has ROOM_MIN bytes at least. 0: none, for now."""
        session, packets = self.session, self._packets
        if session is None or self.why:
            return 0
        while True:
            if session.state is State.LIVE and (n := packets.messages(into)):
                return n
            if session.state is State.LOGIN and packets.messages(memoryview(self._scratch)):
                session.fail("messages before the login was answered")
            if session.over:
                return 0
            if (control := packets.control()) is not None:
                if not session.take(*control):
                    self.unknown += 1
                    self._unknown_left -= 1
                    if self._unknown_left < 0:
                        session.fail("too many packets of no known type")
                if session.state is State.LIVE and control[0] == b"A":
                    return 0  # who reads must know where the messages begin, first
                continue
            if packets.broken:
                session.fail("a packet without a type")
            if session.over or not self._receive(session):
                return 0

    def due_ns(self) -> int:
        """When `turn` has something to do next, even if nothing comes."""
        return self.session.due_ns() if self.session is not None else self._deadline_ns

    def wait(self, timeout_ns: int) -> None:
        """Sleep until something comes, or for `timeout_ns`."""
        if self._socket is None:
            threading.Event().wait(min(timeout_ns, 1_000_000) / 1e9)
            return
        poll = select.poll()
        poll.register(self._socket, select.POLLIN if self.session is not None else select.POLLOUT)
        poll.poll(max(0, timeout_ns) / 1e6)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._found = None
        self._to_send = b""

    def fail(self, why: str) -> None:
        """Give this connection up."""
        if self.session is not None:
            self.session.fail(why)
        else:
            self.why = why
        self.close()

    # --- sockets ----------------------------------------------------------------------------------------------------

    def _connect(self, now: int) -> None:
        if now >= self._deadline_ns:
            self.fail("no connection in time")
            return
        if self._socket is None:
            if self._found is None or not self._found.done:
                return
            if not self._found.addresses:
                self.fail(self._found.why)
                return
            family, address = self._found.addresses[self._attempts % len(self._found.addresses)]
            self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = self._socket.connect_ex(address)
            if number not in (0, errno.EINPROGRESS):
                self._fail_connecting(number)
                return
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        if not poll.poll(0):
            return
        if number := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail_connecting(number)
            return
        self.session = SoupSession(self._user, self._password, *self._wanted, now)
        if self._keep is not None:
            self._keep(b"", self._wall())
        self._send(now)

    def _fail_connecting(self, number: int) -> None:
        self.fail(os.strerror(number))

    def _send(self, now: int) -> None:
        assert self.session is not None
        self._to_send += self.session.to_send(now)
        if self._to_send and self._socket is not None:
            try:
                self._to_send = self._to_send[self._socket.send(self._to_send) :]
            except BlockingIOError:
                pass
            except OSError as e:
                self.session.fail(e.strerror or str(e))

    def _receive(self, session: SoupSession) -> bool:
        """More bytes; False: there are none."""
        if self._socket is None:
            return False
        space = self._packets.space()
        try:
            n = self._socket.recv_into(space)
        except BlockingIOError:
            return False
        except OSError as e:
            session.fail(e.strerror or str(e))
            return False
        if n == 0:
            session.fail("the server has ended the connection")
            return False
        self.received_ns = self._wall()
        if self._keep is not None:
            self._keep(space[:n], self.received_ns)
        self._packets.filled(n)
        session.heard(self._clock())
        return True


def credentials(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """User and password of source `name`, as the environment has them. Raises ConfigError, which never shows them."""
    keys = f"TICKCAST_{name.upper()}_USER", f"TICKCAST_{name.upper()}_PASSWORD"
    user, password = (environ.get(key, "") for key in keys)
    try:
        login(user, password, "", 1)
    except CallerError as error:
        raise ConfigError(error.what, expected=error.expected, where=" or ".join(keys)) from None
    return user, password


class _Lookup:
    """The addresses of a host; looking up a name may take long, so another thread does it."""

    def __init__(self, host: str, port: int) -> None:
        self.addresses: list[tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]] = []
        self.why = ""
        self.done = False
        if is_address(host):
            self._look(host, port)
        else:
            threading.Thread(target=self._look, args=(host, port), name="lookup", daemon=True).start()

    def _look(self, host: str, port: int) -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self.addresses = [(row[0], row[4]) for row in rows]  # type: ignore[misc]
        except OSError as e:
            self.why = f"{host} has no address: {e.strerror or e}"
        self.done = True
