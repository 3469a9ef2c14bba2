"""How far this host's clock is from the feed's: from round trips on the control address, the best of the last ones.

    bot   sent ──────────────┐                  ┌───────▶ had
                             ▼                  │
    feed                  received ──────────▶ sent

The true offset lies around the middle, within half the time that a trip was under way; so the shortest trip bounds it
best, until clocks may have drifted further apart since then than a longer one was long.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Offset", "RoundTrips"]

DRIFT_PPM = 50
"""By how much two free-running clocks may drift apart."""

KEPT = 64


class Offset(NamedTuple):
    """This host's clock minus the feed's, and how far the true one may be from that, ns."""

    ns: int
    uncertainty_ns: int


class RoundTrips:
    """The last trips to one feed."""

    def __init__(self) -> None:
        self._trips: deque[tuple[Offset, int]] = deque(maxlen=KEPT)

    def put(self, sent_ns: int, received_ns: int, answered_ns: int, had_ns: int, now_ns: int) -> None:
        """One trip: `sent_ns` and `had_ns` by this host's wall clock, the others by the feed's. `now_ns` is monotonic.

        One that makes no sense, for a clock was set meanwhile, is passed over; so are all before it.
        """
        under_way_ns = (had_ns - sent_ns) - (answered_ns - received_ns)
        if under_way_ns < 0 or had_ns < sent_ns or answered_ns < received_ns:
            self._trips.clear()
            return
        offset = Offset((sent_ns + had_ns - received_ns - answered_ns) // 2, (under_way_ns + 1) // 2)
        best = self.best(now_ns)
        if best is not None and abs(best.ns - offset.ns) > best.uncertainty_ns + offset.uncertainty_ns:
            self._trips.clear()  # both can't be true: a clock has stepped
        self._trips.append((offset, now_ns))

    def best(self, now_ns: int) -> Offset | None:
        """The offset that is known best; None before any trip."""
        return min((_aged(*trip, now_ns) for trip in self._trips), key=lambda each: each.uncertainty_ns, default=None)


def _aged(offset: Offset, at_ns: int, now_ns: int) -> Offset:
    return Offset(offset.ns, offset.uncertainty_ns + (now_ns - at_ns) * DRIFT_PPM // 1_000_000)
