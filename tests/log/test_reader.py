"""Readers: joining, being overtaken, parking, slots, and what they are told at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.errors import CallerError, LogError, LogMissing
from feed.log.observer import log_figures
from feed.log.place import directory
from feed.log.reader import LogReader
from feed.log.writer import LogWriter

SMALL = {"log_bytes": 1 << 20, "max_topics": 64}
QUOTE = bytes(range(80))


def fill(writer: LogWriter, topic: int, n: int) -> None:
    writer.publish_batch(np.full(n, topic, np.uint32), np.zeros(80 * n, np.uint8), 80)


def test_no_feed_is_a_clear_error(place: Path) -> None:
    with pytest.raises(LogMissing, match="feed run"):
        LogReader.open(place)


def test_live_begins_with_what_comes_next(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        topic = writer.topic("quote", "AAPL")
        writer.publish(topic, QUOTE)
        with LogReader.open(place) as reader:
            assert reader.read() is None
            writer.publish(topic, QUOTE)
            assert reader.read().seq == 2
            assert reader.lag_bytes == 0


def test_overtaken_readers_know_exactly_what_they_lost(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer, LogReader.open(place) as reader:
        topic = writer.topic("quote", "AAPL")
        assert reader.read().kind == 1
        writer.publish(topic, QUOTE)
        assert reader.read().seq == 1
        fill(writer, topic, 30_000)
        with pytest.raises(LogError, match="lost seq 2 to"):
            reader.read()
        assert reader.lost_first == 2
        seqs = []
        while (tick := reader.read()) is not None:
            seqs.append(tick.seq)
        assert seqs == list(range(reader.lost_last + 1, 30_002))


def test_a_reader_overtaken_before_its_first_frame_knows_too(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        topic = writer.topic("quote", "AAPL")
        fill(writer, topic, 100)
        with LogReader.open(place) as reader:
            fill(writer, topic, 30_000)
            with pytest.raises(LogError):
                reader.read()
            assert reader.lost_first == 101


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000)), min_size=1, max_size=6))
def test_read_and_lost_together_are_everything(place: Path, steps: list[tuple[int, int]]) -> None:
    """However writing and reading alternate: what was read and what was reported lost is 1, 2, 3 ...."""
    with LogWriter.open(place, **SMALL) as writer, LogReader.open(place) as reader:
        topic = writer.topic("quote", "AAPL")
        expected = writer.next_seq
        for written, read in steps:
            fill(writer, topic, written)
            for _ in range(read):
                try:
                    tick = reader.read()
                except LogError:
                    assert reader.lost_first == expected
                    expected = reader.lost_last + 1
                    continue
                if tick is None:
                    assert expected == writer.next_seq
                    break
                if tick.kind == 0:
                    assert tick.seq == expected
                    expected += 1


def test_a_sleeping_reader_is_woken(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer, LogReader.open(place) as reader:
        topic = writer.topic("quote", "AAPL")
        while reader.read() is not None:
            pass
        for _ in range(50):
            asleep = threading.Thread(target=reader.wait, args=(60_000_000_000,))
            asleep.start()
            while not log_figures(place).readers[0].parked:
                pass
            writer.publish(topic, QUOTE)
            asleep.join(30)
            assert not asleep.is_alive()
            assert reader.read() is not None


def test_many_sleepers_cost_the_writer_one_call_a_batch(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        topic = writer.topic("quote", "AAPL")
        readers = [LogReader.open(place) for _ in range(24)]
        for _ in range(5):
            threads = [threading.Thread(target=r.wait, args=(60_000_000_000,)) for r in readers]
            for thread in threads:
                thread.start()
            while sum(r.parked for r in log_figures(place).readers) < 24:
                pass
            before = writer.rings
            fill(writer, topic, 100)
            for thread in threads:
                thread.join(30)
                assert not thread.is_alive()
            assert writer.rings == before + 1
            for reader in readers:
                while reader.read() is not None:
                    pass
        for reader in readers:
            reader.close()


def test_resume_goes_on_where_the_last_one_of_that_name_reported(place: Path) -> None:
    code = """
import os, pathlib, sys
from feed.log.reader import LogReader
reader = LogReader.open(pathlib.Path(sys.argv[1]), name="publish.tcp", start="begin")
for _ in range(11):
    reader.read()
os.kill(os.getpid(), 9)
"""
    with LogWriter.open(place, **SMALL) as writer:
        topic = writer.topic("quote", "AAPL")
        for _ in range(20):
            writer.publish(topic, QUOTE)
        assert subprocess.run([sys.executable, "-c", code, str(place)], check=False).returncode == -signal.SIGKILL
        with LogReader.open(place, name="publish.tcp", start="resume") as reader:
            assert reader.read().seq == 11  # ten ticks and the topic's announcement were read before
        with LogReader.open(place, name="never seen", start="resume") as reader:
            assert reader.read() is None


def test_a_newcomer_leaves_the_place_of_one_that_will_come_back(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        topic = writer.topic("quote", "AAPL")
        reader = LogReader.open(place, name="publish.tcp")
        for _ in range(3):
            writer.publish(topic, QUOTE)
        assert reader.read().seq == 1
        reader.close()
        with (
            LogReader.open(place),
            LogReader.open(place, name="bot"),
            LogReader.open(place, name="publish.tcp", start="resume") as again,
        ):
            assert again.read().seq == 2


def test_slots_of_the_dead_are_used_again(place: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from feed.log.reader import LogReader\n"
        "reader = LogReader.open(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    with LogWriter.open(place, **SMALL), LogReader.open(place):
        subprocess.run([sys.executable, "-c", code, str(place)], check=False)
        assert [r.pid for r in log_figures(place).readers] == [os.getpid()]
        others = [LogReader.open(place) for _ in range(1023)]
        with pytest.raises(LogError, match="too many readers"):
            LogReader.open(place)
        for other in others:
            other.close()


def test_positions_outside_the_log_are_refused(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        topic = writer.topic("quote", "AAPL")
        middle = writer.position
        writer.publish(topic, QUOTE)
        with LogReader.open(place, start=middle) as reader:
            assert reader.read().seq == 1
        for wrong in (-1, writer.position + 1, "yesterday"):
            with pytest.raises(CallerError):
                LogReader.open(place, start=wrong)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_feed_names_that_are_none(name: str) -> None:
    with pytest.raises(CallerError):
        directory(name)


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKCAST_LOG_ROOT", str(tmp_path))
    assert directory("main") == tmp_path / "main"
    monkeypatch.delenv("TICKCAST_LOG_ROOT")
    assert directory("main") == Path("/dev/shm/tickcast/main")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.integers(0, 30_000), wanted=st.integers(1, 31_000))
def test_seek_stands_at_the_record_or_says_that_it_is_gone(place: Path, written: int, wanted: int) -> None:
    with LogWriter.open(place, **SMALL) as writer, LogReader.open(place, start="begin") as reader:
        topic = writer.topic("quote", "AAPL")
        fill(writer, topic, written)
        end = writer.next_seq
        held = reader.seek(wanted)
        tick = reader.read()
        while tick is not None and tick.kind != 0:
            tick = reader.read()
        if wanted >= end:
            assert held
            assert tick is None
        elif held:
            assert tick.seq == wanted
        else:
            assert tick.seq > wanted


def test_seek_before_a_topics_first_record_stands_at_its_announcement(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer, LogReader.open(place) as reader:
        quotes = writer.topic("quote", "AAPL")
        writer.publish(quotes, QUOTE)
        writer.publish(writer.topic("quote", "MSFT"), QUOTE)
        assert reader.seek(2)
        assert [tick.kind for tick in (reader.read(), reader.read())] == [1, 0]
