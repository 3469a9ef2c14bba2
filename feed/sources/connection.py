"""One websocket of a venue's source: what it is for, what it is doing, and what it brings, handed on as it is read."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import picows

from feed.sources.rest import waiting_s

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MESSAGE_BYTES_MAX", "Connection", "Ear", "Line", "Owner", "Request", "asked_wait_s", "proxy_of", "words"]

MESSAGE_BYTES_MAX = 32 << 20


class Request(NamedTuple):
    """A message of ours that the venue answers; `key` is by what the answer is known (`WebsocketSource.answered`)."""

    key: str
    message: Any


class Line(NamedTuple):
    """What one connection is for."""

    url: str
    symbols: tuple[str, ...]
    requests: tuple[Request, ...]
    """Sent in this order once it is up, as fast as the venue allows."""


class Connection:
    """One line, while it is up and while it is not."""

    def __init__(self, index: int, line: Line) -> None:
        self.index = index
        self.line = line
        self.transport: picows.WSTransport | None = None
        """None: it is not up."""
        self.cause = ""
        """Why we end it; "": the venue does."""
        self.silent = 0
        """Looks since anything was heard."""
        self.waits: dict[str, int] = {}
        """Requests without an answer, and for how many looks."""

    @property
    def name(self) -> str:
        """Its channel in a capture."""
        return f"line {self.index}"


class Owner(Protocol):
    """Whose connection it is: what is told of it, in the order in which it happens."""

    def came_up(self, connection: Connection, transport: picows.WSTransport) -> None:
        """It is up."""

    def heard(self, connection: Connection, payload: bytes, received_ns: int) -> None:
        """A whole message; all of a read have one time."""

    def landed(self) -> None:
        """All of a read has been told."""

    def failed(self, error: BaseException) -> None:
        """`heard` raised."""

    def came_down(self, connection: Connection) -> None:
        """It has ended; may be told twice."""

    def drop(self, connection: Connection, cause: str) -> None:
        """It is to be ended."""


class Ear(picows.WSListener):
    """Hands the messages of one connection on."""

    def __init__(self, owner: Owner, connection: Connection, clock: Callable[[], int]) -> None:
        self._owner = owner
        self._connection = connection
        self._clock = clock
        self._received_ns = 0
        self._fresh = True
        self._parts = bytearray()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._owner.came_up(self._connection, transport)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        connection = self._connection
        if self._fresh:
            self._received_ns = self._clock()
            connection.silent = 0
        self._fresh = frame.last_in_buffer
        kind = frame.msg_type
        try:
            if kind == picows.WSMsgType.TEXT and frame.fin:
                self._message(frame.get_payload_as_bytes())
            elif kind == picows.WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            elif kind == picows.WSMsgType.CLOSE:
                transport.disconnect()
            elif kind != picows.WSMsgType.PONG:
                self._part(frame)
        except Exception as error:  # the library would log it and close the connection, again and again
            self._owner.failed(error)
        if self._fresh:
            self._owner.landed()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._owner.came_down(self._connection)

    def _message(self, payload: bytes) -> None:
        self._owner.heard(self._connection, payload, self._received_ns)

    def _part(self, frame: picows.WSFrame) -> None:
        """A message in several frames, or a binary one."""
        if frame.msg_type != picows.WSMsgType.CONTINUATION:
            self._parts.clear()
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > MESSAGE_BYTES_MAX:
            self._owner.drop(self._connection, "protocol")
        elif frame.fin:
            payload = bytes(self._parts)
            self._parts.clear()
            self._message(payload)


def proxy_of(url: str) -> str | None:
    """The host's proxy for an address, as the environment has it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get("https" if parts.scheme == "wss" else "http") or proxies.get("all")


def asked_wait_s(error: BaseException) -> float:
    """How long the venue wants to be left alone after it refused a connection; 0: it does not say."""
    answer = error.response if isinstance(error, picows.WSHandshakeError) else None
    if answer is None or answer.status not in {418, 429, 503}:
        return 0.0
    return waiting_s(answer.headers.get("Retry-After"))


def words(error: BaseException) -> str:
    return str(error) or type(error).__name__
