"""One address in front of another: connections that pass, are meddled with, are cut or fall silent.

All of it runs in the proxy's thread (bots.testing.proxy) but the public methods of a Relay, which let it run there.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING

from bots.testing import zmtp
from bots.testing.faults import Chances, Dropped, Faults, Outflow
from feed.clock import monotonic_ns
from feed.errors import CallerError, WireError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bots.testing.proxy import Proxy

__all__ = ["Relay"]

READ_BYTES = 1 << 18
BEHIND_BYTES = 4 << 20
"""A peer that takes nothing for so long is read for no further: the sender's queue shall fill, as without a proxy."""

BACKLOG = 128
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: closing sends RST, as when a host's state is lost."""


class Relay:
    """Connections to `endpoint` go on to `upstream`; made by Proxy.relay().

    :ivar endpoint: where to connect to.
    :ivar upstream: where that leads; another one counts for connections to come.
    :ivar faults: what happens to messages, and what has happened.
    :ivar refused: connections that found nobody upstream, or a cut.
    :ivar malformed: connections that were closed because they spoke no ZMTP 3.
    """

    def __init__(
        self, proxy: Proxy, upstream: str, listen: str, faults: Faults, change: Callable[[bytes], bytes] | None
    ) -> None:
        self.upstream = upstream
        self.faults = faults
        self.change = change
        self.refused = 0
        self.malformed = 0
        self.held = False
        self.proxy = proxy
        self._cut_until_ns = 0
        self._connections: list[_Connection] = []
        self._listener, self.endpoint = _listen(listen)
        self._path = Path(listen.removeprefix("ipc://")) if listen.startswith("ipc://") else None

    # --- for everybody ----------------------------------------------------------------------------------------------

    def lose(self, n: int, topic: str = "") -> None:
        """Drop the next `n` messages whose topic begins with `topic` ("trade.", "quote.AAPL|")."""
        self.proxy.call(lambda: self.faults.lose(n, topic))

    def duplicate(self, n: int, topic: str = "") -> None:
        """Send each of the next `n` messages twice."""
        self.proxy.call(lambda: self.faults.duplicate(n, topic))

    def reorder(self, by: int, topic: str = "") -> None:
        """Send the next message behind the `by` messages that follow it, heartbeats among them."""
        self.proxy.call(lambda: self.faults.reorder(by, topic))

    def delay(self, seconds: float, n: int | None = None, topic: str = "") -> None:
        """Send the next `n` messages (None: all) so much later, and what follows behind them; 0 ends it."""
        self.proxy.call(lambda: self.faults.delay(int(seconds * 1e9), n, topic))

    def chances(self, chances: Chances) -> None:
        """From now on leave faults to chance; Chances() ends it."""

        def put() -> None:
            self.faults.chances = chances

        self.proxy.call(put)

    def cut(self, seconds: float = 0.0) -> None:
        """End all connections (RST); who connects within `seconds` is refused. Returns at once."""

        def cut() -> None:
            self._cut_until_ns = monotonic_ns() + int(seconds * 1e9)
            for connection in list(self._connections):
                connection.close(reset=True)

        self.proxy.call(cut)

    def hold(self, seconds: float | None = None) -> None:
        """Let nothing through, without a FIN: a network that is cut. Until release(), or for `seconds`."""

        def hold() -> None:
            self.held = True
            self._watch()
            if seconds is not None:
                self.proxy.timers[self] = (monotonic_ns() + int(seconds * 1e9), self._release)

        self.proxy.call(hold)

    def release(self) -> None:
        """Let everything through that was held."""
        self.proxy.call(self._release)

    def heard_seqs(self) -> list[int]:
        """For each connection the seq of the last heartbeat that was sent on; those that had none are left out."""
        return self.proxy.call(lambda: [each.outflow.heard_seq for each in self._connections if each.outflow.heard_seq])

    def idle(self) -> bool:
        """Is nothing on its way here, neither late nor letting others pass?"""
        return self.proxy.call(lambda: all(each.idle for each in self._connections))

    def end(self) -> None:
        """End all connections and let go of the address."""
        self.proxy.call(lambda: self.proxy.remove(self))

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def dropped(self) -> list[Dropped]:
        """The ticks that were lost, in order."""
        return self.faults.dropped

    # --- in the proxy's thread --------------------------------------------------------------------------------------

    def open(self) -> None:
        self._watch()

    def close(self) -> None:
        for connection in list(self._connections):
            connection.close()
        self.proxy.watch(self._listener, 0, self._accept)
        self._listener.close()
        self.proxy.timers.pop(self, None)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def ended(self, connection: _Connection) -> None:
        self._connections.remove(connection)

    def _release(self) -> None:
        self.held = False
        self._watch()
        self.proxy.timers.pop(self, None)

    def _watch(self) -> None:
        self.proxy.watch(self._listener, 0 if self.held else EVENT_READ, self._accept)
        for connection in self._connections:
            connection.watch()

    def _accept(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            client, _address = self._listener.accept()
            client.setblocking(False)
            if monotonic_ns() < self._cut_until_ns:
                self.refused += 1
                _close(client, reset=True)
                return
            try:
                self._connections.append(_Connection(self, client))
            except OSError:
                self.refused += 1
                client.close()


class _Connection:
    """A subscriber, and the socket that it takes for the publisher's."""

    def __init__(self, relay: Relay, client: socket.socket) -> None:
        self.outflow = Outflow(relay.faults)
        self._relay = relay
        self._proxy = relay.proxy
        self._client = client
        self._upstream, address = _socket(relay.upstream)
        self._splitter = zmtp.Splitter()
        self._up = bytearray()
        self._down = bytearray()
        self._last = False  # nothing more comes from upstream
        self._connected = False
        self._closed = False
        try:
            self._upstream.connect(address)
            self._connected = True
        except BlockingIOError:
            pass
        except OSError:
            self._upstream.close()
            raise
        _no_delay(client)
        self.watch()

    def watch(self) -> None:
        """Look only at what could be dealt with now."""
        if self._closed:
            return
        client = upstream = 0
        if not self._relay.held:
            client = EVENT_READ if len(self._up) < BEHIND_BYTES and not self._last else 0
            client |= EVENT_WRITE if self._down else 0
            upstream = EVENT_READ if self._connected and len(self._down) < BEHIND_BYTES else 0
            upstream |= EVENT_WRITE if self._up or not self._connected else 0
        self._proxy.watch(self._client, client, self._from_client)
        if not self._last:
            self._proxy.watch(self._upstream, upstream, self._from_upstream)

    @property
    def idle(self) -> bool:
        return not self._down and not self.outflow.aside and self.outflow.due_ns is None

    def close(self, reset: bool = False) -> None:
        if self._closed:
            return
        self._closed = True
        self._proxy.watch(self._client, 0, self._from_client)
        _close(self._client, reset)
        if not self._last:
            self._proxy.watch(self._upstream, 0, self._from_upstream)
            _close(self._upstream, reset)
        self._proxy.timers.pop(self, None)
        self._relay.ended(self)

    def _from_client(self, events: int) -> None:
        if events & EVENT_WRITE:
            self._send_down()
        if events & EVENT_READ and not self._closed:
            data = _received(self._client)
            if data:
                self._up += data
                if self._connected:
                    self._send_up()
            elif data is not None:
                self.close()
        self.watch()

    def _from_upstream(self, events: int) -> None:
        if not self._connected:
            if self._upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._relay.refused += 1
                self.close()
                return
            self._connected = True
        if events & EVENT_WRITE:
            self._send_up()
        if events & EVENT_READ and not self._last:
            data = _received(self._upstream)
            if data:
                self._take(data)
            elif data is not None:
                self._end()
        self.watch()

    def _take(self, data: bytes) -> None:
        try:
            pieces = self._splitter.feed(data)
        except WireError:
            self._relay.malformed += 1
            self.close()
            return
        self._down += self._splitter.greeting
        now_ns = monotonic_ns()
        change = self._relay.change
        for piece in pieces:
            changed = piece if change is None or not zmtp.is_message(piece) else zmtp.mapped(piece, change)
            self.outflow.put(changed, now_ns)
        self._flow(now_ns)

    def _flow(self, now_ns: int) -> None:
        self._down += self.outflow.take(now_ns)
        due_ns = self.outflow.due_ns
        if due_ns is not None:
            self._proxy.timers[self] = (due_ns, self._on_time)
        self._send_down()

    def _on_time(self) -> None:
        self._proxy.timers.pop(self, None)
        self._flow(monotonic_ns())
        self.watch()

    def _end(self) -> None:
        """The publisher has gone: what it has sent is still delivered."""
        if self._last or self._closed:
            return
        self._proxy.watch(self._upstream, 0, self._from_upstream)
        self._upstream.close()
        self._last = True
        self._down += self.outflow.rest()
        self._send_down()

    def _send_up(self) -> None:
        if not _sent(self._upstream, self._up):
            self._end()

    def _send_down(self) -> None:
        if not _sent(self._client, self._down) or (self._last and not self._down):
            self.close()


def _received(of: socket.socket) -> bytes | None:
    """What has come; empty: nothing more will, None: nothing yet."""
    try:
        return of.recv(READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _sent(to: socket.socket, waiting: bytearray) -> bool:
    """Send and take away what there is room for; false: the peer has gone."""
    try:
        while waiting:
            sent = to.send(waiting)
            del waiting[:sent]
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


def _listen(endpoint: str) -> tuple[socket.socket, str]:
    """A listening socket, and where it is: port 0 becomes the one that the kernel chose."""
    listener, address = _socket(endpoint)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CallerError("can't listen there", found=error.strerror, where=endpoint) from error
    if isinstance(address, str):
        return listener, endpoint
    host, port = listener.getsockname()[:2]
    return listener, f"tcp://{host}:{port}"


def _socket(endpoint: str) -> tuple[socket.socket, str | tuple[str, int]]:
    """A socket for an endpoint, which does not block, and its address."""
    scheme, _, place = endpoint.partition("://")
    host, _, port = place.rpartition(":")
    address: str | tuple[str, int]
    if scheme == "ipc" and place:
        family, address = socket.AF_UNIX, place
    elif scheme == "tcp" and port.isdigit():
        family, address = socket.AF_INET, (host, int(port))
    else:
        raise CallerError("not an address", expected="tcp://HOST:PORT or ipc://PATH", found=repr(endpoint))
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    _no_delay(made)
    return made, address


def _no_delay(of: socket.socket) -> None:
    if of.family == socket.AF_INET:
        of.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _close(of: socket.socket, reset: bool) -> None:
    if reset and of.family == socket.AF_INET:
        of.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    of.close()
