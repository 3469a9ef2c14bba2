"""An agent that a thread turns, for tests that need one beside them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feed.agent import Agent


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
