"""Groups of bots, in the control agent: their clock, their lease, and the log, whose end bounds what anyone has had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feed import clock
from feed.config import duration_ns
from feed.control.counting import Counting
from feed.control.groups import Groups, parse_group
from feed.errors import ControlError, LogError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from feed.config import FeedConfig
    from feed.control.groups import Place
    from feed.control.selection import Selection
    from feed.log.observer import LogObserver

__all__ = ["LEASE_MIN_NS", "Sharing"]

HEARTBEATS = 2
"""How long a member's lease is."""

LEASE_MIN_NS = 1_000_000_000
"""But never shorter: a machine that is busy for a moment must not cost its bots their shares."""

SLICE_NS = 1_000_000
"""How long one bot's records may be counted while others wait."""


class Sharing:
    """`log` gives the present one, or raises ControlError."""

    def __init__(self, config: FeedConfig, directory: Path, log: Callable[[], LogObserver]) -> None:
        heartbeats = [duration_ns(each.heartbeat) for each in config.publish.values()]
        lease_ns = max(HEARTBEATS * max(heartbeats, default=0), LEASE_MIN_NS)
        self._directory = directory
        self._log = log
        self._counting: Counting | None = None
        self._groups = Groups(
            lease_ns, clock.monotonic_ns(), self._end, self._count, lambda: clock.now_ns() // 1_000_000
        )

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Raises ControlError."""
        return self._groups.hear(parse_group(asked), clock.monotonic_ns())

    def poll(self) -> int:
        """Go on with what is to be counted; 0: nothing is."""
        return self._groups.poll()

    def close(self) -> None:
        """Leave the log."""
        if self._counting is not None:
            self._counting.close()
            self._counting = None

    def _end(self) -> Place | None:
        try:
            log = self._log()
        except ControlError:
            return None
        return log.epoch, log.next_seq

    def _count(self, selection: Selection, epoch: int, first: int, behind: int) -> tuple[int, int] | None:
        if self._counting is not None and (self._counting.epoch != epoch or self._counting.state != "open"):
            self.close()
        if self._counting is None:
            try:
                self._counting = Counting(self._directory)
            except LogError:
                return first, 0
        if self._counting.epoch != epoch:
            return None
        return self._counting.count(selection, first, behind, SLICE_NS)
