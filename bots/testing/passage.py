"""One connection through a relay: bytes up as they come, pieces down as the faults will have it.

Runs in the proxy's thread.
"""

from __future__ import annotations

import socket
import struct
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING

from bots.testing import zmtp
from bots.testing.faults import Outflow
from feed.clock import monotonic_ns
from feed.errors import CallerError, WireError

if TYPE_CHECKING:
    from bots.testing.relay import Relay

__all__ = ["Passage", "listening", "shut"]

READ_BYTES = 1 << 18
BEHIND_BYTES = 4 << 20
"""A peer that takes nothing for so long is read for no further: the sender's queue shall fill, as without a proxy."""

BACKLOG = 128
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: closing sends RST, as when a host's state is lost."""


class Passage:
    """A subscriber's connection, and the one that it takes for the publisher's.

    :raises OSError: nobody is upstream.
    """

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
        shut(self._client, reset)
        if not self._last:
            self._proxy.watch(self._upstream, 0, self._from_upstream)
            shut(self._upstream, reset)
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


def listening(endpoint: str) -> tuple[socket.socket, str]:
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


def shut(of: socket.socket, reset: bool) -> None:
    if reset and of.family == socket.AF_INET:
        of.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    of.close()
