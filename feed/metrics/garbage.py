"""How long Python's garbage collections hold a process up."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from feed.clock import monotonic_ns

if TYPE_CHECKING:
    from feed.metrics.histogram import Histogram

__all__ = ["GarbagePauses"]


class GarbagePauses:
    """Times each collection from construction to close(), into `histogram` where there is one.

    :ivar total_ns: of all so far.
    """

    def __init__(self, histogram: Histogram | None = None) -> None:
        self.total_ns = 0
        self._histogram = histogram
        self._began_ns = 0
        gc.callbacks.append(self._note)

    def close(self) -> None:
        """Time no more; may be called twice."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = monotonic_ns()
        elif self._began_ns:
            pause_ns = monotonic_ns() - self._began_ns
            self.total_ns += pause_ns
            if self._histogram is not None:
                self._histogram.record(pause_ns)
