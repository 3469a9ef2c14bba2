"""feed.log.observer: looks without touching."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from feed.log.observer import log_figures
from feed.log.reader import LogReader
from feed.log.writer import LogWriter

if TYPE_CHECKING:
    from pathlib import Path


def test_it_tells_what_the_log_tells(place: Path) -> None:
    with LogWriter.open(place, log_bytes=1 << 20, max_topics=64) as writer:
        topic = writer.topic("quote", "AAPL")
        for _ in range(5):
            writer.publish(topic, bytes(80))
        with LogReader.open(place, name="slow", start="begin"), LogReader.open(place):
            log = log_figures(place)
        assert log is not None
        assert (log.state, log.writer_pid, log.writer_alive) == ("open", os.getpid(), True)
        assert (log.epoch, log.next_seq, log.tail) == (writer.epoch, 6, writer.position)
        assert (log.log_bytes, log.topics) == (1 << 20, 1)
        assert log.tail_ns > log.epoch
        slow, live = log.readers
        assert slow == ("slow", os.getpid(), log.tail, False, "no")
        assert live == ("", os.getpid(), 0, False, "no")
        after = log_figures(place)
        assert after is not None
        assert after.readers == []


def test_no_log_and_one_that_is_being_made(tmp_path: Path) -> None:
    assert log_figures(tmp_path) is None
    (tmp_path / "log").write_bytes(b"")
    (tmp_path / "readers").write_bytes(bytes(10))
    assert log_figures(tmp_path) is None
    (tmp_path / "log").write_bytes(bytes(4096))
    (tmp_path / "readers").write_bytes(bytes(1 << 17))
    assert log_figures(tmp_path) is None


def test_a_dead_writer_and_a_dead_reader(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from feed.log.reader import LogReader\n"
        "from feed.log.writer import LogWriter\n"
        "writer = LogWriter.open(pathlib.Path(sys.argv[1]), log_bytes=1 << 20, max_topics=64)\n"
        "reader = LogReader.open(pathlib.Path(sys.argv[1]), name='gone')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    log = log_figures(tmp_path)
    assert log is not None
    assert (log.state, log.writer_alive, log.readers) == ("open", False, [])
