"""A sink whose ticks can be looked at: a log of its own, and a reader that begins at its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from feed.log.reader import LogReader
from feed.log.writer import LogWriter

if TYPE_CHECKING:
    from pathlib import Path

KIND_RECORD = 0


class Taken(NamedTuple):
    schema: str
    symbol: str
    ts_in: int
    record: bytes


class Tape:
    def __init__(self, directory: Path, max_topics: int = 4096) -> None:
        self.sink = LogWriter.open(directory, log_bytes=8 << 20, max_topics=max_topics)
        self._reader = LogReader.open(directory, start="begin")
        self._topics: dict[int, tuple[str, str]] = {}

    def take(self) -> list[Taken]:
        """What was put in since the last call: at most some MB, or the log has gone on over it."""
        taken = []
        while (tick := self._reader.read()) is not None:
            if tick.kind == KIND_RECORD:
                if tick.topic_id not in self._topics:
                    self._topics[tick.topic_id] = self._reader.topic(tick.topic_id)
                taken.append(Taken(*self._topics[tick.topic_id], tick.ts_in, tick.record))
        return taken

    def close(self) -> None:
        self._reader.close()
        self.sink.close(remove=True)
