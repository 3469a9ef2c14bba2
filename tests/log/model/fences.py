"""The orders of feed/log/fences.h, one field for each atomic access and fence there; a test keeps the two equal.

A field is named for the function without its tc_; `_fence` and `_exchange` tell a function's fence and its exchange
from its other access.
"""

from __future__ import annotations

from dataclasses import dataclass

from .program import ACQ, ACQ_REL, NONE, REL, RLX, SC, Order


@dataclass(frozen=True)
class Fences:
    # commit
    clear_next: Order = RLX
    commit: Order = REL
    committed: Order = ACQ
    # overrun
    void_below: Order = REL
    void_below_fence: Order = REL
    low_after_copy_fence: Order = ACQ
    low_after_copy: Order = RLX
    low: Order = ACQ
    # the log's figures, gates
    publish: Order = REL
    read_published: Order = ACQ
    report: Order = REL
    # parking
    rings: Order = ACQ
    say_waiting: Order = RLX
    say_waiting_fence: Order = SC
    somebody_waits_fence: Order = SC
    somebody_waits: Order = RLX
    ring_exchange: Order = ACQ_REL
    ring: Order = REL

    def weaker(self, name: str) -> Order | None:
        """The next weaker order of a field; None where there is none."""
        order: Order = getattr(self, name)
        if order is RLX:
            return None
        if order is SC:
            return ACQ_REL
        return NONE if name.endswith("_fence") else RLX
