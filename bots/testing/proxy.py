"""A fault proxy for ZeroMQ: relays between bots and a feed's sockets that lose, double, delay, reorder and cut.

    with Proxy() as proxy:
        relay = proxy.relay("tcp://127.0.0.1:5551")     # bots connect to relay.endpoint
        relay.lose(3, "trade.AAPL|")                    # the next three messages of this topic
        relay.cut(0.5)                                  # connections die; nobody gets through for half a second
        relay.dropped                                   # which ticks were in the three

Whole messages are meddled with, and only on the way from the publisher to the bot; the handshake, ZMTP's commands and
heartbeats pass untouched. Everything happens in one thread; when a method returns, what it ordered is in force.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self, TypeVar

from bots.testing.faults import NONE, Chances, Faults
from bots.testing.relay import Relay
from feed.clock import monotonic_ns
from feed.errors import CallerError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["Proxy"]

T = TypeVar("T")


class Proxy:
    """A thread and the relays that it turns; close() ends both."""

    def __init__(self) -> None:
        self.timers: dict[object, tuple[int, Callable[[], None]]] = {}
        """By whose it is: when (monotonic ns), and what to call then."""
        self._selector = selectors.DefaultSelector()
        self._relays: list[Relay] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._wake_fd, self._waker_fd = os.pipe()
        os.set_blocking(self._wake_fd, False)
        self._selector.register(self._wake_fd, selectors.EVENT_READ, self._woken)
        self._lock = threading.Lock()
        self._ended = False
        self._closed = False
        self._died_of: BaseException | None = None
        self._thread = threading.Thread(target=self._turn, name="fault proxy", daemon=True)
        self._thread.start()

    def relay(
        self,
        upstream: str,
        listen: str = "tcp://127.0.0.1:0",
        *,
        seed: int = 0,
        chances: Chances = NONE,
        change: Callable[[bytes], bytes] | None = None,
    ) -> Relay:
        """A new relay to `upstream`. Endpoints are tcp://HOST:PORT (port 0: any that is free) or ipc://PATH.

        `change` gets each part of each message on its way to the bot and gives what is to stand there.

        :raises CallerError: it can't listen there.
        """
        relay = Relay(self, upstream, listen, Faults(seed, chances), change)

        def begin() -> None:
            self._relays.append(relay)
            relay.open()

        self.call(begin)
        return relay

    def close(self) -> None:
        """End all connections and the thread; unix sockets are removed."""
        if not self._closed:
            self._closed = True
            with self._lock:
                self._ended = True
                os.write(self._waker_fd, b"!")
            self._thread.join()
            self._selector.close()
            os.close(self._wake_fd)
            os.close(self._waker_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- for relays -------------------------------------------------------------------------------------------------

    def call(self, what: Callable[[], T]) -> T:
        """Run `what` in the proxy's thread and wait for it.

        :raises CallerError: the proxy is closed.
        """
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(what())
            except BaseException as error:
                done.set_exception(error)

        with self._lock:
            if self._ended:
                raise CallerError("the proxy is closed") from self._died_of
            self._calls.append(run)
            os.write(self._waker_fd, b"!")
        return done.result()

    def remove(self, relay: Relay) -> None:
        """End a relay; in the proxy's thread."""
        if relay in self._relays:
            self._relays.remove(relay)
            relay.close()

    def watch(self, of: socket.socket, events: int, then: Callable[[int], None]) -> None:
        """Call `then` with what has come about of `events`; 0: never mind."""
        known = self._selector.get_map().get(of)
        if known is None:
            if events:
                self._selector.register(of, events, then)
        elif not events:
            self._selector.unregister(of)
        elif known.events != events:
            self._selector.modify(of, events, then)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        try:
            while not self._ended:
                self._look()
        except BaseException as error:
            self._died_of = error
            raise
        finally:
            with self._lock:
                self._ended = True
            for relay in list(self._relays):
                self.remove(relay)
            while self._calls:
                self._calls.popleft()()

    def _look(self) -> None:
        for key, events in self._selector.select(self._pause_s()):
            now = self._selector.get_map().get(key.fd)
            if now is not None and now.fileobj is key.fileobj:  # else one before it has closed it
                key.data(events)
        while self._calls:
            self._calls.popleft()()
        if self.timers:
            now_ns = monotonic_ns()
            for due_ns, then in list(self.timers.values()):
                if due_ns <= now_ns:
                    then()

    def _pause_s(self) -> float | None:
        if not self.timers:
            return None
        return max(0, min(due_ns for due_ns, _ in self.timers.values()) - monotonic_ns()) / 1e9

    def _woken(self, _: int) -> None:
        os.read(self._wake_fd, 4096)
