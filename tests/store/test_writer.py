"""Out of the log into files: what is appended, where it goes on, what is said to be missing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from feed.errors import ArchiveBusy, CallerError
from feed.log.reader import LogReader
from feed.log.writer import LogWriter
from feed.store.folder import segments
from feed.store.reader import StoreReader
from feed.store.writer import StoreWriter
from tests.store.archive import TOPIC, Gone, Market, blocks, contents, frames
from tests.store.killed import TOPICS, prove_block, records


def test_what_waits_in_the_log_is_appended_once_and_in_order(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        assert (writer.next_seq, writer.written_seq, writer.durable_seq) == (0, 0, 0)
        for n in (1, 2, 300, 0, 700):
            market.tick(n)
            assert writer.take(market.reader) == n + 5 * (n == 1), "the announcements of five topics come along"
            assert writer.take(market.reader) == 0
            assert writer.next_seq == market.writer.next_seq
        assert market.reader.position == market.reader.tail
        assert contents(folder).seqs(market.epoch) == list(range(1, 1004))
        assert not contents(folder).missing


def test_a_limit_bounds_what_is_taken(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        market.tick(100)
        assert [writer.take(market.reader, 30) for _ in range(5)] == [30, 30, 30, 15, 0]
        assert len(contents(folder).records) == 100


def test_padding_is_left_out_and_blocks_reach_over_it(market: Market, folder: Path) -> None:
    """A segment of this log is 64 KiB: 600 ticks lie in two, with padding between."""
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        market.tick(600)
        assert writer.take(market.reader) == 605
        (block,) = blocks(StoreReader(folder))
        assert (block.count, len(block.data)) == (605, 605 * 120)
        assert [frame.kind for frame in frames(block)].count(TOPIC) == 5


def test_an_overtaken_writer_says_what_it_missed(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        market.tick(10)
        writer.take(market.reader)
        market.lap()
        writer.take(market.reader)
        found = contents(folder)
        (gone,) = found.missing
        assert gone[:2] == (market.epoch, 11)
        assert gone.cause == "overrun"
        assert found.seqs(market.epoch) == [*range(1, 11), *range(gone.last + 1, market.writer.next_seq)]
        assert writer.next_seq == market.writer.next_seq


def test_one_that_begins_late_begins_at_what_the_log_still_holds(market: Market, folder: Path) -> None:
    market.tick(10)
    market.lap()
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        writer.take(market.reader)
        found = contents(folder)
        assert not found.missing, "nobody said that it should have been there"
        assert found.seqs(market.epoch)[-1] == market.writer.next_seq - 1
        first = found.seqs(market.epoch)[0]
        assert first > 11
        assert contents(folder, seq=5).missing == [Gone(market.epoch, 5, first - 1, "expired")]


@pytest.mark.parametrize("start", ["begin", "live"])
def test_it_leads_its_reader_to_where_it_has_to_go_on(market: Market, folder: Path, start: str) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        market.tick(20)
        writer.take(market.reader)
    market.tick(20)
    with StoreWriter(folder) as writer, LogReader.open(market.directory, start=start) as reader:
        writer.begin(market.epoch, market.topics)
        assert writer.next_seq == 21
        assert writer.durable_seq == 20
        assert writer.take(reader) == 20
        assert contents(folder).seqs(market.epoch) == list(range(1, 41))


def test_a_topic_that_is_new_between_two_writers_is_known(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, [])
        market.tick(5)
        writer.take(market.reader)
    new = market.writer.topic("trade", "NEW")
    with StoreWriter(folder) as writer, LogReader.open(market.directory, start="live") as reader:
        writer.begin(market.epoch, market.topics)
        writer.take(reader)
        found = StoreReader(folder)
        list(blocks(found))
        assert found.topic(new) == ("trade", "NEW")
        with pytest.raises(CallerError):
            found.topic(new + 1)


def test_a_full_segment_is_sealed_and_the_next_begun(market: Market, folder: Path) -> None:
    with StoreWriter(folder, segment_bytes=12_000) as writer:
        writer.begin(market.epoch, market.topics)
        for _ in range(10):
            market.tick(50)
            writer.take(market.reader)
        there = segments(folder)
        assert [segment.first_seq for segment in there] == [1, 101, 201, 301, 401]
        assert writer.path == there[-1].path
        assert contents(folder).seqs(market.epoch) == list(range(1, 501))
        assert writer.durable_seq >= 300, "at most two segments are unsynced"


def test_sealing_an_empty_segment_does_nothing(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        assert writer.seal() is None
        market.tick(3)
        writer.take(market.reader)
        sealed = writer.seal()
        assert sealed == segments(folder)[0].path
        assert writer.seal() is None
        assert writer.path is None
        market.tick(3)
        writer.take(market.reader)
        assert len(segments(folder)) == 2
        assert contents(folder).seqs(market.epoch) == list(range(1, 7))


def test_missing_is_told_as_it_was_recorded(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        market.tick(3)
        writer.take(market.reader)
        writer.missing(4, 8, "on purpose")
        assert writer.next_seq == 9
        assert contents(folder).missing == [Gone(market.epoch, 4, 8, "on purpose")]
        assert contents(folder, seq=6).missing == [Gone(market.epoch, 6, 8, "on purpose")]
        for first, last, cause in ((4, 9, "x"), (9, 8, "x"), (9, 9, ""), (9, 9, "x" * 32), (9, 9, "\n")):
            with pytest.raises(CallerError):
                writer.missing(first, last, cause)
        market.tick(10)
        writer.take(market.reader)
        assert contents(folder).seqs(market.epoch) == [1, 2, 3, *range(9, 14)]


def test_a_new_epoch_seals_the_one_before(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        old = market.epoch
        writer.begin(old, market.topics)
        market.tick(7)
        writer.take(market.reader)
        market.new_epoch()
        with pytest.raises(CallerError, match="epoch"):
            writer.take(market.reader)
        writer.begin(market.epoch, market.topics)
        assert (writer.next_seq, writer.durable_seq) == (0, 0)
        market.tick(4)
        writer.take(market.reader)
        found = contents(folder)
        assert found.seqs(old) == list(range(1, 8))
        assert found.seqs(market.epoch) == list(range(1, 5))
        assert [(e.epoch, e.first_seq, e.last_seq) for e in StoreReader(folder).epochs()] == [
            (old, 1, 7),
            (market.epoch, 1, 4),
        ]


def test_beginning_again_in_the_same_epoch_changes_nothing(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        for _ in range(3):
            writer.begin(market.epoch, market.topics)
            market.tick(2)
            writer.take(market.reader)
        assert len(segments(folder)) == 1
        assert contents(folder).seqs(market.epoch) == list(range(1, 7))


def test_a_caller_that_is_wrong_is_told(market: Market, folder: Path) -> None:
    with pytest.raises(CallerError):
        StoreWriter(folder, segment_bytes=0)
    with StoreWriter(folder) as writer:
        with pytest.raises(CallerError):
            writer.take(market.reader)
        with pytest.raises(CallerError):
            writer.begin(0, [])
        with pytest.raises(CallerError):
            writer.missing(1, 2, "too early")
        assert writer.sync() == 0
        writer.begin(market.epoch, market.topics)
        market.reader.close()
        with pytest.raises(CallerError):
            writer.take(market.reader)
        writer.close()
        with pytest.raises(CallerError, match="closed"):
            writer.begin(market.epoch, [])


def test_a_second_writer_is_refused_and_told_who_is_there(folder: Path) -> None:
    hold = "import sys, pathlib, feed.store.writer as w; x = w.StoreWriter(pathlib.Path(sys.argv[1])); print(); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ArchiveBusy, match=str(other.pid)) as refused:
            StoreWriter(folder)
        assert refused.value.holder == other.pid
        assert (folder / "lock").read_text().strip() == str(other.pid)
        other.kill()
    StoreWriter(folder).close()


def test_another_thread_may_sync_meanwhile(market: Market, folder: Path) -> None:
    done = threading.Event()
    with StoreWriter(folder, segment_bytes=20_000) as writer:
        writer.begin(market.epoch, market.topics)
        seen = []

        def sync() -> None:
            while not done.is_set():
                written = writer.written_seq
                durable = writer.sync()
                assert durable >= written
                seen.append(durable)

        thread = threading.Thread(target=sync)
        thread.start()
        try:
            for _ in range(200):
                market.tick(20)
                writer.take(market.reader)
        finally:
            done.set()
            thread.join()
        assert seen == sorted(seen)
        assert writer.sync() == 4000
        assert contents(folder).seqs(market.epoch) == list(range(1, 4001))


def test_one_that_is_lapped_all_the_time_writes_nothing_wrong(tmp_path: Path, folder: Path) -> None:
    """The log's writer runs at full speed over 1 MiB: most is overwritten before, and some while, it is copied."""
    done = threading.Event()
    log = LogWriter.open(tmp_path / "feed", log_bytes=1 << 20, max_topics=64)
    reader = LogReader.open(tmp_path / "feed", start="begin")
    for i in range(TOPICS):
        log.topic("quote", f"S{i}")

    def publish() -> None:
        while not done.is_set():
            ids = (np.arange(log.next_seq, log.next_seq + 20_000) % TOPICS).astype(np.uint32)
            log.publish_batch(ids, records(log.next_seq, 20_000).view(np.uint8).ravel(), 80)

    publisher = threading.Thread(target=publish)
    with StoreWriter(folder, segment_bytes=1 << 20) as writer:
        writer.begin(log.epoch, [(i, *reader.topic(i)) for i in range(reader.topic_count)])
        publisher.start()
        taken = holes = 0
        while taken < 50_000 or holes < 20:
            before = writer.next_seq
            n = writer.take(reader)
            taken += n
            holes += writer.next_seq - before > n
        done.set()
        publisher.join()
        while writer.take(reader):
            pass
        last = log.next_seq - 1
    expected = 1
    for block in blocks(StoreReader(folder, seq=1)):
        assert block.first_seq == expected
        expected = block.last_seq + 1
        if block.missing:
            assert block.missing == "overrun"
        else:
            prove_block(block)
    assert expected == last + 1
    reader.close()
    log.close(remove=True)
