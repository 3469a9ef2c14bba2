"""One address in front of another: connections that pass, are meddled with, are cut or fall silent.

All of it runs in the proxy's thread (bots.testing.proxy) but the public methods of a Relay, which let it run there.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from selectors import EVENT_READ
from typing import TYPE_CHECKING

from bots.testing.passage import Passage, listening, shut
from feed.clock import monotonic_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from bots.testing.faults import Chances, Dropped, Faults
    from bots.testing.proxy import Proxy

__all__ = ["Relay"]


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
        self._connections: list[Passage] = []
        self._listener, self.endpoint = listening(listen)
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

    def ended(self, connection: Passage) -> None:
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
                shut(client, reset=True)
                return
            try:
                self._connections.append(Passage(self, client))
            except OSError:
                self.refused += 1
                client.close()
