"""The sequencer: numbering, geometry, one writer, gates, and going on after kill -9."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from feed import config
from feed.errors import CallerError, LogBusy, LogSpace
from feed.log import lifetime
from feed.log.lifetime import discard, require_free
from feed.log.observer import LogObserver
from feed.log.place import DEFAULT_ROOT
from feed.log.reader import LogReader
from feed.log.writer import LogWriter

SMALL = {"log_bytes": 1 << 20, "max_topics": 64}
QUOTE = bytes(range(80))


def read_all(reader: LogReader) -> list[tuple[int, int, int, bytes]]:
    """(topic id, seq, topic_seq, record) of all records that are waiting."""
    found = []
    while (tick := reader.read()) is not None:
        if tick.kind == 0:
            found.append((tick.topic_id, tick.seq, tick.topic_seq, tick.record))
    return found


def test_numbers_run_over_the_stream_and_within_each_topic(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        a, b = writer.topic("quote", "AAPL"), writer.topic("trade", "MSFT")
        reader = LogReader.open(place, start="begin")
        for topic in (a, b, a, a, b):
            writer.publish(topic, QUOTE if topic == a else QUOTE[:48])
        assert [t[:3] for t in read_all(reader)] == [(a, 1, 1), (b, 2, 1), (a, 3, 2), (a, 4, 3), (b, 5, 2)]
        assert writer.next_seq == 6
        assert (reader.topic_seq(a), reader.topic_seq(b)) == (3, 2)
        reader.close()


def test_a_batch_is_the_same_as_its_ticks(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        ids = np.array([writer.topic("quote", f"S{i}") for i in range(4)] * 3, np.uint32)
        records = np.random.default_rng(1).integers(0, 256, 80 * len(ids), np.uint8)
        times = np.arange(1, 1 + len(ids), dtype=np.uint64)
        reader = LogReader.open(place)
        assert writer.publish_batch(ids, records, 80, times) == 1
        got = []
        while (tick := reader.read()) is not None:
            got.append(tick)
        assert [t.record for t in got] == [records[80 * i : 80 * i + 80].tobytes() for i in range(len(ids))]
        assert [t.ts_in for t in got] == times.tolist()
        assert [t.topic_seq for t in got] == [1] * 4 + [2] * 4 + [3] * 4
        reader.close()


@pytest.mark.parametrize(
    ("ids", "records", "nbytes"),
    [([0, 99], 160, 80), ([0], 79, 80), ([0], 80, 0), ([0], 8192, 8192)],
)
def test_a_batch_that_does_not_fit_is_refused_whole(place: Path, ids: list[int], records: int, nbytes: int) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        writer.topic("quote", "AAPL")
        with pytest.raises(CallerError):
            writer.publish_batch(np.array(ids, np.uint32), np.zeros(records, np.uint8), nbytes)
        assert writer.next_seq == 1


def test_a_topic_is_announced_once_and_before_its_first_record(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        topic = writer.topic("quote", "AAPL")
        assert writer.topic("quote", "AAPL") == topic
        writer.publish(topic, QUOTE)
        reader = LogReader.open(place, start="begin")
        kinds = [reader.read().kind, reader.read().kind]
        assert kinds == [1, 0]
        assert reader.topic(topic) == ("quote", "AAPL")
        reader.close()


@pytest.mark.parametrize("symbol", ["", "A|B", "ES*", "Z?", "x" * 72, "Ä", "a b\n"])
def test_symbols_that_are_none(place: Path, symbol: str) -> None:
    with LogWriter.open(place, **SMALL) as writer, pytest.raises(CallerError):
        writer.topic("quote", symbol)


def test_a_full_topic_table_refuses_and_counts(place: Path) -> None:
    with LogWriter.open(place, log_bytes=1 << 20, max_topics=2) as writer:
        writer.topic("quote", "A"), writer.topic("quote", "B")
        for _ in range(3):
            with pytest.raises(LogSpace, match="max_topics"):
                writer.topic("quote", "C")
        assert writer.refused_topics == 3
        assert writer.topic("quote", "A") == 0


def test_a_second_writer_is_refused_and_told_who_holds_it(place: Path) -> None:
    with LogWriter.open(place, **SMALL):
        with pytest.raises(LogBusy) as caught:
            LogWriter.open(place, **SMALL)
        assert caught.value.holder == os.getpid()
        assert str(os.getpid()) in str(caught.value)
        with pytest.raises(LogBusy):
            require_free(place)
        with pytest.raises(LogBusy):
            discard(place)
    require_free(place)


def test_a_log_that_does_not_fit_is_refused_with_the_remedy(place: Path) -> None:
    with pytest.raises(LogSpace, match="shm-size"):
        LogWriter.open(place, log_bytes=1 << 45)
    assert not (place / "segments").exists()


@pytest.mark.parametrize("nbytes", [0, 1 << 19, (1 << 20) + 1, 3 << 20])
def test_sizes_that_are_none(place: Path, nbytes: int) -> None:
    with pytest.raises(CallerError, match="power of two"):
        LogWriter.open(place, log_bytes=nbytes)


def test_the_configuration_and_the_log_mean_the_same_log() -> None:
    """Bots may not import the configuration, and the configuration is below the log: what both say is tied here."""
    assert config.LOG_SEGMENTS == lifetime.SEGMENTS
    assert Path(config.DEFAULT_ROOT) == DEFAULT_ROOT


def test_files_and_their_modes(place: Path) -> None:
    with LogWriter.open(place, **SMALL):
        assert place.stat().st_mode & 0o777 == 0o750
        modes = {p.name: p.stat().st_mode & 0o777 for p in place.iterdir()}
    assert modes == {"lock": 0o640, "log": 0o640, "topics": 0o640, "segments": 0o640, "readers": 0o660}


def test_a_clean_end_leaves_nothing_and_tells_the_readers(place: Path) -> None:
    writer = LogWriter.open(place, **SMALL)
    reader = LogReader.open(place)
    writer.close(remove=True)
    assert reader.state == "closed"
    assert not place.exists()
    reader.close()


def test_the_next_writer_goes_on_in_the_same_epoch(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        topic = writer.topic("quote", "AAPL")
        writer.publish(topic, QUOTE)
        epoch, position = writer.epoch, writer.position
    with LogWriter.open(place, **SMALL) as writer:
        assert writer.resumed
        assert (writer.epoch, writer.position, writer.next_seq) == (epoch, position, 2)
        assert writer.topic("quote", "AAPL") == topic
        assert writer.publish(topic, QUOTE) == 2


def test_another_geometry_begins_a_new_epoch_and_tells_the_readers(place: Path) -> None:
    with LogWriter.open(place, **SMALL) as writer:
        epoch = writer.epoch
    reader = LogReader.open(place)
    with LogWriter.open(place, log_bytes=2 << 20, max_topics=64) as writer:
        assert not writer.resumed
        assert writer.epoch > epoch
        assert reader.state == "replaced"
    reader.close()


WRITE_FOR_EVER = """
import sys
from pathlib import Path
import numpy as np
from feed.log.writer import LogWriter
writer = LogWriter.open(Path(sys.argv[1]), log_bytes=1 << 20, max_topics=4096)
print("open", flush=True)
n = 0
while True:
    topics = [writer.topic("quote", f"S{(n + k) % 4000}") for k in range(7)]
    ids = np.array(topics * 5, np.uint32)
    writer.publish_batch(ids, np.full(80 * len(ids), n % 251, np.uint8), 80)
    for topic in topics:
        writer.publish(topic, bytes([n % 251]) * 80)
    n += 1
"""


def test_killed_at_any_instant_the_next_writer_continues_every_number(place: Path) -> None:
    chance = random.Random(7)
    seqs: dict[int, int] = {}
    last = 0
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(place)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        observer = LogObserver(place)
        while observer.next_seq <= max(last, 1):  # it may have stood still since it said so
            time.sleep(0.0005)
        time.sleep(chance.random() * 0.03)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with LogWriter.open(place, log_bytes=1 << 20, max_topics=4096) as after:
            assert after.resumed
            assert after.next_seq > last
            reader = LogReader.open(place, start="begin")
            seqs = {}
            previous = None
            for topic, seq, topic_seq, record in read_all(reader):
                assert previous is None or seq == previous + 1
                assert topic_seq == seqs.get(topic, topic_seq - 1) + 1
                assert record == record[:1] * 80
                previous, seqs[topic] = seq, topic_seq
            assert after.next_seq == (previous or 0) + 1
            for topic, topic_seq in seqs.items():
                assert reader.topic_seq(topic) == topic_seq
            for topic in range(reader.topic_count):
                assert after.topic(*reader.topic(topic)) == topic
            reader.close()
            last = after.next_seq


def test_a_gating_reader_is_waited_for(place: Path) -> None:
    with LogWriter.open(place, **SMALL, gating=("recorder",), gate_timeout_ns=30_000_000_000) as writer:
        topic = writer.topic("quote", "AAPL")
        reader = LogReader.open(place, name="recorder")
        total = 40_000  # several times round the log
        ids = np.full(total, topic, np.uint32)
        feeding = threading.Thread(target=writer.publish_batch, args=(ids, np.zeros(80 * total, np.uint8), 80))
        feeding.start()
        got = 0
        while got < total:
            got += len(read_all(reader)) or reader.wait(100_000_000) * 0
        feeding.join()
        assert writer.evictions == 0
        assert not reader.evicted
        reader.close()


def test_a_gating_reader_that_stalls_is_evicted_told_and_counted(place: Path) -> None:
    with LogWriter.open(place, **SMALL, gating=("recorder",), gate_timeout_ns=1_000_000) as writer:
        topic = writer.topic("quote", "AAPL")
        reader = LogReader.open(place, name="recorder")
        ids = np.full(40_000, topic, np.uint32)
        writer.publish_batch(ids, np.zeros(80 * 40_000, np.uint8), 80)
        assert writer.evictions == 1
        assert reader.evicted
        reader.close()


def test_a_dead_gating_reader_holds_nobody_up(place: Path) -> None:
    with LogWriter.open(place, **SMALL, gating=("recorder",), gate_timeout_ns=60_000_000_000) as writer:
        topic = writer.topic("quote", "AAPL")
        code = (
            "import os, pathlib, sys\n"
            "from feed.log.reader import LogReader\n"
            "reader = LogReader.open(pathlib.Path(sys.argv[1]), name='recorder')\n"
            "os.kill(os.getpid(), 9)\n"
        )
        assert subprocess.run([sys.executable, "-c", code, str(place)], check=False).returncode == -signal.SIGKILL
        ids = np.full(40_000, topic, np.uint32)
        writer.publish_batch(ids, np.zeros(80 * 40_000, np.uint8), 80)
        assert writer.evictions == 0
