"""What a bot is told when ticks are missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["CAUSES", "EVERYTHING", "Gap", "Losses"]

EVERYTHING = "*"

CAUSES: Final = {
    "slow": "dropped on the way, as ZeroMQ does at a high-water mark or while reconnecting",
    "overrun": "overtaken by the log's writer: the bot, the publisher or the archive was too slow",
    "epoch": "the feed lost its log and began a new numbering",
    "expired": "older than what the feed's log and archive still hold",
    "timeout": "asked for, and no answer came in time",
    "refused": "asked for, and the feed refused",
    "disk full": "no longer in the log, and the archive's disk was full when they came",
    "disk error": "no longer in the log, and the archive's disk failed when they came",
}
"""Why ticks are missing. The first three where nobody could be asked for them, the others where recovery was tried."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Ticks of one topic that did not come: `first` to `last` are their topic_seqs.

    `cause` is a word of CAUSES, `why` says it in a sentence. A change of epoch itself is told with topic ``*`` and
    `first` = `last` = 0: what the old one still had, nobody knows.
    """

    topic: str
    first: int
    last: int
    cause: str
    epoch: int

    @property
    def count(self) -> int:
        """How many ticks are missing; 0 where nobody knows."""
        return self.last - self.first + 1 if self.last else 0

    @property
    def why(self) -> str:
        return CAUSES.get(self.cause, self.cause)

    @property
    def schema(self) -> str:
        return self.topic.partition(".")[0]

    @property
    def symbol(self) -> str:
        return self.topic.partition(".")[2] or EVERYTHING


@dataclass(slots=True)
class Losses:
    """Gaps and lost ticks by cause, since the bot began."""

    gaps: dict[str, int] = field(default_factory=dict)
    ticks: dict[str, int] = field(default_factory=dict)

    def add(self, gap: Gap) -> None:
        self.gaps[gap.cause] = self.gaps.get(gap.cause, 0) + 1
        self.ticks[gap.cause] = self.ticks.get(gap.cause, 0) + gap.count
