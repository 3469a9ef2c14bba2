"""Live ITCH sources in a test: turned until they have what is to come, and what they gave beside what a file gives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from feed.config import CaptureConfig, ItchConfig
from feed.sources.captured import Captured
from feed.sources.itch import ItchDays
from feed.wire.records import BY_WORD
from tests.normalize.itch_messages import framed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from feed.metrics.counters import Counters
    from tests.sources.tape import Taken, Tape

AAPL = "runk-itch/test/locate-13-10k.bin"
DATE = "2020-01-30"
ENVIRON = {"TICKCAST_N_USER": "user", "TICKCAST_N_PASSWORD": "secret"}
WAIT_S = 30.0
BAD = 4
SNAPSHOT = 32


class Turned:
    """A source and all that it has put in so far."""

    def __init__(self, source: Any, tape: Tape, counters: Counters) -> None:
        self.source = source
        self.taken: list[Taken] = []
        self._tape = tape
        self._counters = counters

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, (self.source.progress(), self.counted())
            if not self.source.poll(1000):
                self.source.park(1_000_000)
            self.taken += self._tape.take()

    def reaches(self, message: int) -> None:
        """Turn it until this message has been dealt with."""
        frames = self.source._frames
        self.until(lambda: frames.messages >= message and frames.dealt)

    def rests(self, seconds: float = 0.05) -> None:
        """Turn it for a while."""
        deadline = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > deadline)

    def counted(self) -> dict[str, int]:
        """By reason or cause."""
        names = ("tickcast_rejected_total", "tickcast_source_resyncs_total")
        found: dict[str, int] = {}
        for row in self._counters.rows():
            if row.name in names and row.value:
                found[row.labels.get("reason") or row.labels["cause"]] = row.value
        return found

    def of(self, schema: str) -> np.ndarray[Any, Any]:
        return records(self.taken, schema)


def records(taken: Sequence[Taken], schema: str) -> np.ndarray[Any, Any]:
    raw = b"".join(one.record for one in taken if one.schema == schema)
    return np.frombuffer(raw, BY_WORD[schema].dtype)


def plain(taken: Sequence[Taken]) -> list[tuple[str, str, bytes]]:
    """All but when it came."""
    made = []
    for one in taken:
        at = {"order": 40, "status": 16, "definition": 16}.get(one.schema, 32)
        made.append((one.schema, one.symbol, one.record[:at] + one.record[at + 8 :]))
    return made


def from_file(
    messages: Sequence[bytes], tmp_path: Path, tape: Tape, counters: Counters, **settings: Any
) -> list[Taken]:
    """What a file of these messages gives."""
    path = tmp_path / f"file-{DATE}"
    path.write_bytes(framed(*messages))
    source = ItchDays("file", ItchConfig(files=[str(path)], speed="max", **settings), tape.sink, counters)
    taken: list[Taken] = []
    while not source.finished:
        source.poll(1000)
        taken += tape.take()
    source.close()
    assert source.error is None
    return taken


def captured(folder: Path, tape: Tape, counters: Counters) -> list[Taken]:
    """What the one capture in `folder` gives when it is played."""
    (path,) = folder.iterdir()
    source = Captured("again", CaptureConfig(files=[str(path)], speed="max"), tape.sink, counters)
    taken: list[Taken] = []
    while not source.finished:
        source.poll(1000)
        taken += tape.take()
    assert source.error is None
    source.close()
    return taken
