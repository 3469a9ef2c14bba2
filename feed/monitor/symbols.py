"""How often each topic ticks: its last topic_seq, now against a few seconds ago, of all topics at once."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from feed.errors import LogMissing
from feed.log.topics import TopicTable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["Symbols"]

RATE_NS = 5_000_000_000
"""A rate is the mean of so many ns."""


class Symbols:
    """Rates of the topics of the feed in `directory`; without a log there are none."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._table: TopicTable | None = None
        self._past: deque[tuple[int, npt.NDArray[np.uint64]]] = deque()
        self._folded: list[str] = []
        self._per_s: npt.NDArray[np.float64] = np.zeros(0)
        self._order: npt.NDArray[np.intp] | None = None

    def put(self, steady_ns: int) -> None:
        """Look at every topic, about once a second; `steady_ns` is monotonic."""
        if self._table is None or not self._table.open:
            self._begin()
        self._order = None
        if self._table is None:
            self._per_s = np.zeros(0)
            return
        self._past.append((steady_ns, self._table.seqs()))
        while len(self._past) > 1 and self._past[1][0] <= steady_ns - RATE_NS:
            self._past.popleft()
        (was_ns, was), (_, now) = self._past[0], self._past[-1]
        came = now.astype(np.float64)
        came[: len(was)] -= was
        self._per_s = came * 1e9 / (steady_ns - was_ns) if steady_ns > was_ns else np.zeros(len(now))

    def busiest(self, text: str = "", n: int = 100) -> dict[str, Any]:
        """``total`` topics, and the `n` ``busiest`` of those that have `text` in their name, whatever its case."""
        if self._order is None:
            self._order = np.argsort(-self._per_s, kind="stable")
        table, wanted = self._table, text.casefold()
        if table is None:
            return {"total": 0, "busiest": []}
        if wanted:
            self._learn(len(self._per_s))
            folded = self._folded
            chosen = []
            for i in self._order.tolist():
                if wanted in folded[i]:
                    chosen.append(i)
                    if len(chosen) == n:
                        break
        else:
            chosen = self._order[:n].tolist()
        return {
            "total": len(self._per_s),
            "busiest": [{"topic": table.names(i, i + 1)[0], "per_s": float(self._per_s[i])} for i in chosen],
        }

    def _begin(self) -> None:
        """Turn to the log that is there now. Another feed's topics may stand in another order."""
        self._table = None
        self._past.clear()
        self._folded = []
        with contextlib.suppress(LogMissing):
            self._table = TopicTable(self._directory)

    def _learn(self, count: int) -> None:
        """Have the names of the first `count` topics ready for searching."""
        assert self._table is not None
        self._folded += [name.casefold() for name in self._table.names(len(self._folded), count)]
