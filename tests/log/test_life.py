"""Does the sequencer live? Told by what changes in the log's header, whatever the wall clock does."""

from __future__ import annotations

import mmap
import time
from typing import TYPE_CHECKING

from feed.clock import now_ns
from feed.log.life import Life
from feed.log.observer import LogObserver
from feed.log.reader import LogReader
from feed.log.writer import LogWriter

if TYPE_CHECKING:
    from pathlib import Path

TAIL_NS, ALIVE_NS = 144, 168
SECOND = 10**9
LOOK_S = 0.02
"""Longer than the pause between two looks at the header."""


def poke(place: Path, offset: int, value: int) -> None:
    with (place / "log").open("r+b") as f, mmap.mmap(f.fileno(), 0) as header:
        header[offset : offset + 8] = value.to_bytes(8, "little")


def test_every_beat_is_in_the_header_for_readers_and_observers(place: Path) -> None:
    before = now_ns()
    with LogWriter.open(place, log_bytes=1 << 20, max_topics=64) as writer, LogReader.open(place) as reader:
        observer = LogObserver(place)
        opened = reader.alive_ns
        assert before <= opened <= now_ns()
        writer.beat()
        assert opened < reader.alive_ns <= now_ns()
        assert observer.alive_ns == observer.figures().alive_ns == reader.alive_ns
        writer.publish(writer.topic("quote", "AAPL"), bytes(80))
        assert reader.alive_ns == observer.alive_ns < reader.tail_ns, "commits have a word of their own"
    last = observer.alive_ns
    writer.beat()
    assert observer.alive_ns == last, "a closed writer gives no sign"


def test_beats_and_commits_are_signs_of_life(place: Path) -> None:
    with LogWriter.open(place, log_bytes=1 << 20, max_topics=64) as writer, LogReader.open(place) as reader:
        topic = writer.topic("quote", "AAPL")
        life = Life(reader)
        for sign in (writer.beat, lambda: writer.publish(topic, bytes(80)), writer.beat):
            time.sleep(0.1)
            assert life.silent() >= 0.1 * SECOND
            sign()
            time.sleep(LOOK_S)
            assert life.silent() == 0
    time.sleep(LOOK_S)
    assert life.silent() >= LOOK_S * SECOND, "a reader that was closed is not looked at any more"


def test_a_clock_that_is_set_neither_kills_nor_revives(place: Path) -> None:
    with LogWriter.open(place, log_bytes=1 << 20, max_topics=64) as writer, LogReader.open(place) as reader:
        life = Life(reader)
        for wall in (now_ns() - 3600 * SECOND, now_ns() + 3600 * SECOND, 1):
            poke(place, ALIVE_NS, wall)  # a beat just after the clock was set
            time.sleep(LOOK_S)
            assert life.silent() == 0
            time.sleep(LOOK_S)
            assert life.silent() >= LOOK_S * SECOND
        writer.beat()


def test_the_first_look_goes_by_the_wall_clock(place: Path) -> None:
    with LogWriter.open(place, log_bytes=1 << 20, max_topics=64), LogReader.open(place) as reader:
        for tail_age, alive_age in ((50, 20), (20, 50)):
            poke(place, TAIL_NS, now_ns() - tail_age * SECOND)
            poke(place, ALIVE_NS, now_ns() - alive_age * SECOND)
            assert 20 * SECOND <= Life(reader).silent() < 50 * SECOND
        poke(place, ALIVE_NS, now_ns() + 3600 * SECOND)
        assert Life(reader).silent() < 20 * SECOND, "a sign from the future is a clock that was set back"
        poke(place, ALIVE_NS, 0)
        poke(place, TAIL_NS, 0)
        assert Life(reader).silent() > 50 * SECOND, "none yet"
