"""Agents that a thread turns, for tests that need some beside them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.agent import Agent
    from feed.log.writer import LogWriter


class Turned:
    """Polls and parks `agent` until close(), which closes it too."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._stop = False
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()

    def _turn(self) -> None:
        while not self._stop:
            if not self.agent.poll():
                self.agent.park(1_000_000)
        self.agent.close()

    def close(self) -> None:
        self._stop = True
        self._thread.join()


class Pulse:
    """An agent that says, as ingest does, that the sequencer lives; `writer` gives the one there is now."""

    name = "pulse"

    def __init__(self, writer: Callable[[], LogWriter]) -> None:
        self._writer = writer

    def poll(self) -> int:
        self._writer().beat()
        return 0

    def park(self, timeout_ns: int) -> None:
        time.sleep(0.02)

    def drain(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing to give back."""
