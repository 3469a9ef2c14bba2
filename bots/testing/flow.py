"""Where what was published is by now: not in the log yet, on its way to a bot, or not had by one. Pure questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bots.testing.given import Inbox
    from bots.testing.line import Line
    from bots.testing.tested import Tested

__all__ = ["Flow"]


class Flow:
    """Each question is answered with what is missing, in words; empty: nothing is."""

    def __init__(self, inbox: Inbox, lines: Sequence[Line], tested: Sequence[Tested]) -> None:
        self._inbox = inbox
        self._lines = lines
        self._tested = tested

    def missing(self, epoch: int) -> str:
        """Anything at all."""
        return self.unwritten() or self.on_the_way() or self.not_had(epoch)

    def unwritten(self) -> str:
        """What is not in the log yet."""
        inbox = self._inbox
        if inbox.taken_seq == inbox.next_seq:
            return ""
        return f"the log has {inbox.taken_seq - 1:,} of {inbox.next_seq - 1:,} ticks"

    def on_the_way(self, held: bool = True) -> str:
        """A line that has not passed everything on, as heartbeats tell; one that is held only if `held`."""
        for line in self._lines:
            for name, relay in line.data.items():
                if relay.held and not held:
                    continue
                behind = any(seq < self._inbox.next_seq for seq in relay.heard_seqs())
                if behind or not relay.idle():
                    why = "it is held: release() it" if relay.held else f"of {self._inbox.next_seq - 1} ticks"
                    return f"{line.name} over {name} ({why})"
        return ""

    def not_had(self, epoch: int) -> str:
        """Ticks that a bot which runs here has neither had nor been told to be missing; in a group, that nobody has."""
        topic_seqs = self._inbox.topic_seqs
        for each in self._tested:
            mates = [other for other in self._tested if other.group and other.group == each.group] or [each]
            for topic in each.missing(epoch, topic_seqs):
                far = max(other.seen(epoch, topic) for other in mates)
                if far < topic_seqs[topic]:
                    return f"{each.name} has {far} of {topic_seqs[topic]} ticks of {topic}"
        return ""
