"""The ticks that a bot was given, one by one: what is missing among them, how late they were, when none came."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np

from feed.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


__all__ = ["COLUMNS", "Taken", "middle", "quantiles", "ratio"]

COLUMNS = 5
"""Words of 8 bytes for each tick in a file: topic and whether repeated, topic_seq, ts_in, ts_sent, ts_bot."""

_REPEATED = 1
_PAUSE_BEFORE_NS = 50_000_000


@dataclass(frozen=True)
class Taken:
    """What a Taking wrote, in the order in which it came; columns of uint64, times in ns since 1970."""

    names: Sequence[str]
    topic: NDArray[np.uint64]
    repeated: NDArray[np.bool_]
    topic_seq: NDArray[np.uint64]
    ts_in: NDArray[np.uint64]
    ts_sent: NDArray[np.uint64]
    ts_bot: NDArray[np.uint64]

    @classmethod
    def read(cls, file: Path, names: Sequence[str]) -> Self:
        words = np.fromfile(file, np.uint64).reshape(-1, COLUMNS)
        head, topic_seq, ts_in, ts_sent, ts_bot = words.T
        return cls(names, head >> np.uint64(1), (head & np.uint64(_REPEATED)) != 0, topic_seq, ts_in, ts_sent, ts_bot)

    def __len__(self) -> int:
        return len(self.topic)

    def lost(self) -> int:
        """Ticks missing between the first and the last of each topic, and those that came twice or out of turn."""
        order = np.argsort(self.topic, kind="stable")
        same = np.diff(self.topic[order]) == 0
        steps = np.diff(self.topic_seq[order].astype(np.int64))[same]
        return int((steps[steps > 1] - 1).sum()) + int((steps < 1).sum())

    def late_us(self, first_ns: int, last_ns: int, *, without: str = "", since: str = "ts_in") -> NDArray[np.float64]:
        """How late the ticks were that came in a time, µs after `since` (ts_in or ts_sent), repeated ones left out.

        `without`: a topic that is left out too.
        """
        chosen = (self.ts_bot >= first_ns) & (self.ts_bot < last_ns) & ~self.repeated
        if without in self.names:
            chosen &= self.topic != self.names.index(without)
        then: NDArray[np.uint64] = getattr(self, since)
        return np.maximum(self.ts_bot[chosen].astype(np.int64) - then[chosen].astype(np.int64), 0) / 1e3

    def resumed_ns(self, stopped_ns: int, over_ns: int) -> int:
        """The first tick behind the longest pause that began about `stopped_ns` and ended before `over_ns`.

        :raises HostError: no ticks came then.
        """
        times = self.ts_bot[(self.ts_bot >= stopped_ns - _PAUSE_BEFORE_NS) & (self.ts_bot < over_ns)]
        if len(times) < 2:
            raise HostError("the bot was given nothing after a restart", expected="ticks", found=len(times))
        return int(times[1 + int(np.argmax(np.diff(times)))])


def quantiles(late_us: NDArray[np.float64]) -> dict[str, float]:
    """p50_us and p99_us, and how many they are of; {"ticks": 0} of nothing."""
    if not len(late_us):
        return {"ticks": 0}
    p50, p99 = np.quantile(late_us, (0.5, 0.99))
    return {"ticks": len(late_us), "p50_us": round(float(p50), 3), "p99_us": round(float(p99), 3)}


def ratio(pairs: Sequence[Sequence[Mapping[str, float]]], figure: str) -> float | msgspec.UnsetType:
    """Median of the first divided by the second, pair by pair; UNSET if one of them has no such figure."""
    if not all(figure in each for pair in pairs for each in pair):
        return msgspec.UNSET
    return round(median(first[figure] / second[figure] for first, second in pairs), 4)


def middle(found: Sequence[Mapping[str, float]], figure: str) -> float | msgspec.UnsetType:
    """Median of a figure; UNSET if one has it not."""
    return (
        msgspec.UNSET if not all(figure in each for each in found) else round(median(each[figure] for each in found), 2)
    )
