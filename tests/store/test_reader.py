"""Reading an archive: from any place, while it grows, shrinks and is damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.errors import CallerError, StoreError
from feed.log.reader import LogReader
from feed.log.writer import LogWriter
from feed.store.folder import Segment, segments
from feed.store.reader import StoreReader
from feed.store.seal import compress
from feed.store.writer import StoreWriter
from tests.store.archive import Gone, Market, blocks, contents

BLOCKS = (3, 1, 40, 7, 100, 2, 2, 60, 5)
TICKS = sum(BLOCKS)


@pytest.fixture(params=["open", "sealed", "compressed"])
def archive(request: pytest.FixtureRequest, market: Market, folder: Path) -> Path:
    """220 ticks in 9 blocks in 4 segments."""
    with StoreWriter(folder, segment_bytes=5_000) as writer:
        writer.begin(market.epoch, market.topics)
        for n in BLOCKS:
            market.tick(n)
            writer.take(market.reader)
        if request.param != "open":
            writer.seal()
        if request.param == "compressed":
            for segment in segments(folder):
                compress(segment.path)
    assert len(segments(folder)) == 4
    return folder


def test_from_every_seq(archive: Path, market: Market) -> None:
    reader = StoreReader(archive)
    for seq in range(1, TICKS + 1):
        for found in (StoreReader(archive, epoch=market.epoch, seq=seq), reader):
            found.seek(epoch=market.epoch, seq=seq)
            block = found.read_block()
            assert block is not None
            assert not block.missing
            assert block.first_seq <= seq <= block.last_seq
        rest = [seq for _, seq in contents(StoreReader(archive, seq=seq)).records]
        assert rest[-1] == TICKS
        assert rest == list(range(rest[0], TICKS + 1))


def test_from_every_time(archive: Path) -> None:
    for seq in range(1, TICKS + 1):
        for time_ns in (1000 * seq - 999, 1000 * seq):
            block = StoreReader(archive, time_ns=time_ns).read_block()
            assert block is not None
            assert block.first_seq <= seq <= block.last_seq


def test_beyond_the_end_there_is_nothing_yet(archive: Path, market: Market) -> None:
    for where in ({"seq": TICKS + 1}, {"seq": 10_000}, {"time_ns": 10**9}, {"epoch": market.epoch + 1}):
        reader = StoreReader(archive, **where)
        assert [reader.read_block() for _ in range(3)] == [None] * 3


def test_before_the_beginning_all_is_missing(archive: Path, market: Market) -> None:
    segments(archive)[0].path.unlink()
    first = segments(archive)[0].first_seq
    assert not contents(archive).missing
    assert contents(archive, seq=2).missing == [Gone(market.epoch, 2, first - 1, "expired")]
    assert contents(archive, time_ns=1).seqs(market.epoch)[0] == first


def test_an_epoch_that_is_gone_stands_for_the_next(archive: Path, market: Market) -> None:
    assert len(contents(archive, epoch=market.epoch - 1, seq=100).records) == TICKS


def test_epochs(archive: Path, market: Market) -> None:
    ((epoch, first_seq, last_seq, first_ns, last_ns),) = StoreReader(archive).epochs()
    assert (epoch, first_seq, last_seq, last_ns) == (market.epoch, 1, TICKS, 1000 * TICKS)
    assert first_ns == 1000


def test_a_folder_that_is_not_there_yet(folder: Path, market: Market) -> None:
    reader = StoreReader(folder)
    assert reader.read_block() is None
    assert reader.epochs() == []
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        assert reader.read_block() is None
        market.tick()
        writer.take(market.reader)
        assert contents(reader).seqs(market.epoch) == [1]


def test_it_follows_a_writer_over_segments_and_epochs(folder: Path, market: Market) -> None:
    reader = StoreReader(folder)
    got: list[int] = []
    with StoreWriter(folder, segment_bytes=3_000) as writer:
        for _ in range(3):
            writer.begin(market.epoch, market.topics)
            for n in (1, 9, 30, 0, 4):
                market.tick(n)
                writer.take(market.reader)
                got += contents(reader).seqs(market.epoch)
                assert reader.read_block() is None
            assert got == list(range(1, 45))
            got.clear()
            market.new_epoch()


def test_removed_segments_are_expired_not_errors(archive: Path, market: Market) -> None:
    reader = StoreReader(archive)
    first = reader.read_block()
    assert first is not None
    there = segments(archive)
    for segment in there[:3]:
        segment.path.unlink()
    found = contents(reader)
    # The file that is open is read to its end.
    assert found.missing == [Gone(market.epoch, there[1].first_seq, there[3].first_seq - 1, "expired")]
    assert found.seqs(market.epoch) == [
        *range(first.last_seq + 1, there[1].first_seq),
        *range(there[3].first_seq, TICKS + 1),
    ]


def test_a_segment_lost_from_the_middle_is_damage(archive: Path, market: Market) -> None:
    there = segments(archive)
    there[1].path.unlink()
    assert contents(archive).missing == [Gone(market.epoch, there[1].first_seq, there[2].first_seq - 1, "damage")]


def test_an_archive_that_is_removed_and_begun_anew(folder: Path, market: Market) -> None:
    reader = StoreReader(folder)
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        market.tick(5)
        writer.take(market.reader)
        assert len(contents(reader).records) == 5
        market.new_epoch()
        for segment in segments(folder):
            segment.path.unlink()
        assert reader.read_block() is None
        writer.begin(market.epoch, market.topics)
        market.tick(5)
        writer.take(market.reader)
        assert contents(reader).seqs(market.epoch) == [1, 2, 3, 4, 5]


def test_a_segment_that_is_compressed_under_its_reader(folder: Path, market: Market) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        for _ in range(3):
            market.tick(20)
            writer.take(market.reader)
            sealed = writer.seal()
            assert sealed is not None
        reader = StoreReader(folder)
        assert reader.read_block() is not None
        for segment in segments(folder):
            compress(segment.path)
        assert contents(reader).seqs(market.epoch) == list(range(21, 61))
        reader.seek(epoch=market.epoch, seq=5)
        assert contents(reader).seqs(market.epoch)[-1] == 60


def test_a_block_may_be_kept(archive: Path) -> None:
    kept = [(block, bytes(block.data)) for block in blocks(StoreReader(archive))]
    assert len(kept) >= 4
    for block, data in kept:
        assert bytes(block.data) == data
        assert bytes(memoryview(block)) == data
    with pytest.raises(TypeError):
        kept[0][0].data[0] = 1


def test_a_view_keeps_its_block(archive: Path) -> None:
    views = [block.data for block in blocks(StoreReader(archive))]
    again = [bytes(block.data) for block in blocks(StoreReader(archive))]
    assert [bytes(view) for view in views] == again


def test_ids_mean_other_topics_in_another_epoch(folder: Path, market: Market) -> None:
    reader = StoreReader(folder)
    with StoreWriter(folder) as writer:
        for symbol in ("ONE", "TWO"):
            market.reader.close()
            market.writer.close(remove=True)
            log = LogWriter.open(market.directory, log_bytes=1 << 20, max_topics=64)
            topic_id = log.topic("trade", symbol)
            log.publish(topic_id, bytes(48))
            market.writer, market.reader = log, LogReader.open(market.directory, start="begin")
            writer.begin(log.epoch, [])
            writer.take(market.reader)
            block = reader.read_block()
            assert block is not None
            assert block.epoch == log.epoch
            assert reader.topic(topic_id) == ("trade", symbol)
            with pytest.raises(CallerError):
                reader.topic(topic_id + 1)


def test_a_file_that_may_not_be_read(archive: Path) -> None:
    path = segments(archive)[0].path
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(StoreError, match="cannot open"):
        StoreReader(archive).read_block()


@pytest.mark.parametrize("form", ["open", "sealed", "compressed"])
def test_no_damage_goes_unseen_or_stops_a_reader(form: str, tmp_path: Path, market: Market) -> None:
    """Bytes are changed, zeroed and cut off at random: what is given is right, and what is not given is named."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from("xzt"), st.floats(0, 1), st.integers(1, 5000)),
            min_size=1,
            max_size=4,
        )
    )
    def damaged(harm: list[tuple[int, str, float, int]]) -> None:
        for segment, content in zip(segments(folder), whole, strict=True):
            data = bytearray(content)
            for which, how, where, n in harm:
                if segment.path == segments(folder)[which].path and data:
                    at = min(int(where * len(data)), len(data) - 1)
                    if how == "x":
                        data[at] ^= 1 << n % 8
                    elif how == "z":
                        data[at : at + n] = bytes(len(data[at : at + n]))
                    else:
                        del data[-n:]
            segment.path.write_bytes(data)
        found = contents(reader := StoreReader(folder))
        assert reader.read_block() is None
        assert all(gone.cause == "damage" for gone in found.missing)
        for gone in found.missing:
            assert not any((market.epoch, seq) in found.records for seq in range(gone.first, gone.last + 1))
        for seq in (1, 50, 120, 215):
            some = contents(folder, epoch=market.epoch, seq=seq)
            assert {s for s in found.seqs(market.epoch) if s >= seq} <= set(some.seqs(market.epoch))
        StoreReader(folder).epochs()

    folder = tmp_path / "damaged"
    with StoreWriter(folder, segment_bytes=5_000) as writer:
        writer.begin(market.epoch, market.topics)
        for n in BLOCKS:
            market.tick(n)
            writer.take(market.reader)
        if form != "open":
            writer.seal()
        if form == "compressed":
            for segment in segments(folder):
                compress(segment.path)
    whole = [segment.path.read_bytes() for segment in segments(folder)]
    damaged()


def test_one_bad_block_costs_only_itself(folder: Path, market: Market) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        ends = []
        for n in BLOCKS:
            market.tick(n)
            writer.take(market.reader)
            assert writer.path is not None
            ends.append((writer.written_seq, writer.path.stat().st_size))
        path = writer.path
    whole = path.read_bytes()
    for (last, start), (next_last, end) in pairwise(ends):
        for at in (start, start + 60, start + 64, end - 1, random.randrange(start, end)):
            data = bytearray(whole)
            data[at] ^= 0x40
            path.write_bytes(data)
            found = contents(folder)
            if end == len(whole):
                assert not found.missing, "at the tail it may only be on its way"
            else:
                assert found.missing == [Gone(market.epoch, last + 1, next_last, "damage")]
            assert found.seqs(market.epoch) == [seq for seq in range(1, TICKS + 1) if not last < seq <= next_last]


@pytest.mark.parametrize("sealed", [True, False])
def test_what_comes_between_two_looks_is_not_passed_by(
    folder: Path, market: Market, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    """The reader has found nothing more in a segment; before it looks for the next one the writer adds to both."""

    def busy(path: Path) -> list[Segment]:
        if todo:
            todo.pop()()
        return segments(path)

    def turn() -> None:
        market.tick(10)
        writer.take(market.reader)
        if sealed:
            writer.seal()
        else:
            market.new_epoch()
            writer.begin(market.epoch, market.topics)
        market.tick(10)
        writer.take(market.reader)

    todo: list[Callable[[], None]] = []
    monkeypatch.setattr("feed.store.folder.segments", busy)
    with StoreWriter(folder) as writer:
        old = market.epoch
        writer.begin(old, market.topics)
        market.tick(10)
        writer.take(market.reader)
        reader = StoreReader(folder)
        assert reader.read_block() is not None
        todo.append(turn)
        found = contents(reader)
        assert not found.missing
        assert found.seqs(old) == list(range(11, 31 if sealed else 21))
        assert sealed or found.seqs(market.epoch) == list(range(1, 11))
