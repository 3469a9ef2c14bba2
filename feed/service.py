"""systemd's side of a daemon: it is told when the feed is up, that it lives, and that it ends (sd_notify(3)).

Silent where nobody asks: NOTIFY_SOCKET says where to, WATCHDOG_USEC how often. Nothing here can hold the feed up.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from feed.clock import monotonic_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Service"]

PER_WATCHDOG = 4
"""Signs of life in the time after which systemd gives up (sd_watchdog_enabled(3) advises two)."""


class Service:
    """Tell systemd, as `environ` says; `clock` is monotonic, ns."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], int] = monotonic_ns) -> None:
        self._at = environ.get("NOTIFY_SOCKET", "")
        self._clock = clock
        self._ready = False
        self._next_ns = 0
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit_us = environ.get("WATCHDOG_USEC", "") if ours else ""
        self._every_ns = int(limit_us) * 1000 // PER_WATCHDOG if limit_us.isdigit() else 0

    def look(self, ready: Callable[[], bool], turns: Callable[[], bool]) -> None:
        """Called often: says READY once `ready`, and while `turns` a sign of life as often as was asked."""
        if not self._at:
            return
        if not self._ready:
            if not ready():
                return
            self._ready = True
            self._tell("READY=1")
        if self._every_ns and (now := self._clock()) >= self._next_ns:
            self._next_ns = now + self._every_ns
            if turns():
                self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun, and may take as long as the unit allows."""
        self._tell("STOPPING=1")

    def _tell(self, what: str) -> None:
        if not self._at:
            return
        at = f"\0{self._at[1:]}" if self._at.startswith("@") else self._at
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(0)
            to.sendto(what.encode(), at)
