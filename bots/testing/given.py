"""The source of ticks that a program gives: they wait in an inbox until the feed's first agent takes them.

The inbox numbers them as the log will, for it is the only source. So the program knows each tick's place at once, and
an inbox outlives the feeds that it is read by.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from feed.errors import CallerError
from feed.log.writer import LogWriter
from feed.sources.source import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bots.ticks import Tick
    from feed.errors import SourceError
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["Fact", "Given", "Inbox"]

BLOCK_TICKS = 512
INBOX_BLOCKS_MAX = 4096
PATIENCE_S = 20.0


class Fact(NamedTuple):
    """What a tick is, whoever has it: the feed, before it was published, or a bot. `topic` is "trade.AAPL"."""

    topic: str
    seq: int
    topic_seq: int
    record: bytes

    @staticmethod
    def of(tick: Tick) -> Fact:
        """The same of what a bot was given; equal, if nothing happened to it on the way."""
        return Fact(tick.topic, tick.seq, tick.topic_seq, tick.record)


@dataclass
class _Block:
    """Ticks of one schema in a row."""

    schema: str
    symbols: Sequence[str]
    records: bytes
    first_seq: int


class Inbox:
    """Ticks that were given and are not in the log yet. For any number of threads on the giving side."""

    def __init__(self) -> None:
        self.log: list[Fact] = []
        self.taken_seq = 1
        """Below it everything is in the log."""
        self.topic_seqs: dict[str, int] = {}
        self._blocks: deque[_Block] = deque()
        self._changed = threading.Condition()

    @property
    def next_seq(self) -> int:
        return 1 + len(self.log)

    def put(self, schema: str, symbols: Sequence[str], records: bytes) -> list[Fact]:
        """Give `records`, laid end to end, the next numbers; waits while a great many are not taken.

        :raises CallerError: nobody takes them.
        """
        size = len(records) // max(1, len(symbols))
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._blocks) < INBOX_BLOCKS_MAX, PATIENCE_S):
                raise CallerError("nobody takes what is published", remedy="Is the feed running?")
            first = len(self.log)
            for i in range(0, len(symbols), BLOCK_TICKS):
                part = symbols[i : i + BLOCK_TICKS]
                data = records[i * size : (i + len(part)) * size]
                self._blocks.append(_Block(schema, part, data, self.next_seq))
                for j, symbol in enumerate(part):
                    topic = f"{schema}.{symbol}"
                    topic_seq = self.topic_seqs.get(topic, 0) + 1
                    self.topic_seqs[topic] = topic_seq
                    self.log.append(Fact(topic, self.next_seq, topic_seq, data[j * size : (j + 1) * size]))
            self._changed.notify_all()
            return self.log[first:]

    def head(self) -> _Block | None:
        """What is to be taken next; it stays until it was taken()."""
        return self._blocks[0] if self._blocks else None

    def taken(self, next_seq: int) -> None:
        """The head is in the log."""
        with self._changed:
            self._blocks.popleft()
            self.taken_seq = next_seq
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Until there is something to take."""
        with self._changed:
            self._changed.wait_for(lambda: self._blocks, timeout_s)

    def begin_anew(self) -> None:
        """A new epoch: what was in the log counts no longer, and the numbers begin at 1."""
        with self._changed:
            self._blocks.clear()
            self.log.clear()
            self.topic_seqs.clear()
            self.taken_seq = 1


class Given:
    """A source (feed.sources.source.Source) that never ends. Its sink is the log: it is the only one."""

    name = "given"
    error: SourceError | None = None
    finished = False

    def __init__(self, inbox: Inbox, sink: Sink, counters: Counters) -> None:
        assert isinstance(sink, LogWriter)
        self._inbox = inbox
        self._writer = sink
        self._tally = Tally(counters, self.name)

    def poll(self, limit: int) -> int:
        done = 0
        while done + BLOCK_TICKS <= limit and (block := self._inbox.head()) is not None:
            n = len(block.symbols)
            ids = np.fromiter((self._writer.topic(block.schema, symbol) for symbol in block.symbols), np.uint32, n)
            first = self._writer.publish_batch(ids.data, block.records, len(block.records) // n)
            if first != block.first_seq:
                raise CallerError("somebody else writes this log", expected=block.first_seq, found=first)
            self._inbox.taken(first + n)
            self._tally.ticks(block.schema, n)
            done += n
        return done

    def due_ns(self) -> int:
        return 0

    def park(self, timeout_ns: int) -> None:
        self._inbox.wait(timeout_ns / 1e9)

    def progress(self) -> str:
        return f"{self._inbox.taken_seq - 1:,} ticks"

    def close(self) -> None:
        """Nothing to give back."""
