"""The archive agent: all that the log held is on disk, whatever happens to either."""

from __future__ import annotations

import errno
import itertools
import logging
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feed import config
from feed.archive.agent import Archive
from feed.errors import ArchiveBusy, ConfigError, LogMissing
from feed.log.writer import LogWriter
from feed.store.disk import Disk
from feed.store.folder import segments
from feed.store.reader import StoreReader
from feed.store.segment import SegmentFile
from tests.archive.recorded import frames, records
from tests.archive.ticks import trade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from feed.metrics.counters import Counters


HOUR_NS = 3600 * 10**9


class Stand:
    """A log, and an agent that archives it, turned by hand."""

    def __init__(self, folder: Path, counters: Counters, log_bytes: int = 8 << 20) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
        self.path = folder
        self.folder = folder / "main"
        self.counters = counters
        self.log_bytes = log_bytes
        self.log = self.open_log()
        self.count = 0
        self.agents: list[Archive] = []

    def open_log(self) -> LogWriter:
        return LogWriter.open(self.root / "main", log_bytes=self.log_bytes, max_topics=1000)

    def agent(self, disk: Disk | None = None, **settings: object) -> Archive:
        sets = [f"log.root={self.root}", f"archive.path={self.path}", "archive.segment=64KiB"]
        sets += [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
        agent = Archive(config.load(None, {}, sets), self.root / "main", self.counters, disk=disk)
        self.agents.append(agent)
        return agent

    def publish(self, n: int) -> None:
        for _ in range(n):
            topic_id = self.log.topic("trade", f"S{self.count % 5}")
            self.log.publish(topic_id, trade(self.count))
            self.count += 1

    def archived(self, *, whole: bool = True) -> list[int]:
        """The numbers of the trades in the archive; `whole`: nothing may be missing."""
        return [int.from_bytes(record[44:48], "little") for _, record in records(frames(self.folder, whole=whole))]

    def missing(self) -> list[tuple[int, int, str]]:
        with StoreReader(self.folder) as reader:
            found = []
            while (block := reader.read_block()) is not None:
                if block.missing:
                    found.append((block.first_seq, block.last_seq, block.missing))
            return found

    def metric(self, name: str, **labels: str) -> int:
        rows = self.counters.rows()
        return sum(
            row.value for row in rows if row.name == f"tickcast_archive_{name}" and labels.items() <= row.labels.items()
        )

    def close(self) -> None:
        for agent in self.agents:
            agent.close()
        self.log.close(remove=True)
        shutil.rmtree(self.root)


@pytest.fixture
def stand(tmp_path: Path, counters: Counters) -> Iterator[Stand]:
    made = Stand(tmp_path / "archive", counters)
    yield made
    made.close()


def settle(agent: Archive) -> None:
    """Poll until nothing is waiting."""
    while agent.poll():
        pass


def crash(stand: Stand, agent: Archive) -> None:
    """Leave the files as kill -9 leaves them: what was written is there, nothing was ended."""
    image = stand.path / "image"
    shutil.copytree(stand.folder, image)
    agent.close()
    shutil.rmtree(stand.folder)
    image.rename(stand.folder)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finish(agent: Archive) -> None:
    """As the loop ends it."""
    while not agent.drain():
        agent.poll()
    agent.close()


class Faulty(Disk):
    """A disk that fails while `fault` is an errno: writes, or with `sync` only syncs."""

    def __init__(self, *, sync: bool = False) -> None:
        self.fault = 0
        self.syncs_fail = sync
        self.syncs = 0

    def write(self, fd: int, offset: int, parts: Sequence[bytes | memoryview]) -> int:
        if self.fault and not self.syncs_fail:
            raise OSError(self.fault, "no")
        return super().write(fd, offset, parts)

    def sync(self, fd: int) -> None:
        self.syncs += 1
        if self.fault and self.syncs_fail:
            raise OSError(self.fault, "no")
        super().sync(fd)


def test_all_that_comes_is_archived_and_sealed_at_the_end(stand: Stand) -> None:
    stand.publish(100)
    agent = stand.agent()
    settle(agent)
    for _ in range(10):
        stand.publish(300)
        settle(agent)
    finish(agent)
    assert stand.archived() == list(range(3100))
    assert stand.metric("durable_seq") == 3100
    assert stand.missing() == []
    assert len(segments(stand.folder)) > 3
    assert all(SegmentFile(each.path, each.epoch).sealed for each in segments(stand.folder))


def test_it_goes_on_where_it_was_after_a_restart_and_after_a_crash(stand: Stand) -> None:
    agent = stand.agent()
    stand.publish(500)
    finish(agent)
    agent = stand.agent()
    stand.publish(500)
    settle(agent)
    crash(stand, agent)
    stand.publish(500)
    finish(stand.agent())
    assert stand.archived() == list(range(1500))
    assert stand.missing() == []


def test_a_torn_tail_is_cut_and_said(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    agent = stand.agent()
    stand.publish(500)
    settle(agent)
    crash(stand, agent)
    last = segments(stand.folder)[-1].path
    with last.open("r+b") as file:
        file.seek(-100, 2)
        file.truncate()
    with caplog.at_level(logging.WARNING):
        agent = stand.agent()
    assert f"bytes of {last.name} were no whole block: cut off" in caplog.text
    finish(agent)
    assert stand.archived() == list(range(500))


def test_what_it_was_too_late_for_is_recorded_counted_and_said(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    stand.log_bytes = 1 << 20
    stand.log.close(remove=True)
    stand.log = stand.open_log()
    stand.publish(12_000)  # more than a log's worth: what is oldest when the archive begins is not 1
    agent = stand.agent()
    settle(agent)
    stand.publish(12_000)
    settle(agent)
    finish(agent)
    (_, first_lost, one), (second, second_lost, other) = stand.missing()
    assert (one, other) == ("overrun", "overrun")
    assert stand.archived(whole=False) == [*range(first_lost, second - 1), *range(second_lost, 24_000)]
    assert stand.metric("missing_total", cause="overrun") == first_lost + second_lost - second + 1
    assert "records that it will never have" in caplog.text


def test_a_new_epoch_follows_the_old_one_which_is_taken_to_its_end(stand: Stand) -> None:
    agent = stand.agent()
    stand.publish(300)
    settle(agent)
    stand.publish(300)
    stand.log.close(remove=True)
    stand.log = stand.open_log()
    stand.publish(400)
    until(lambda: agent.poll() == 0 and agent.poll() == 0 and stand.metric("durable_seq") == 400)
    finish(agent)
    assert stand.archived() == list(range(1000))
    with StoreReader(stand.folder) as reader:
        assert [(each.first_seq, each.last_seq) for each in reader.epochs()] == [(1, 600), (1, 400)]


def test_a_log_that_was_wiped_is_noticed_too(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feed.archive.agent.LOOK_NS", 1)
    agent = stand.agent()
    stand.publish(300)
    settle(agent)
    stand.publish(300)
    shutil.rmtree(stand.root / "main")
    stand.log.close()
    stand.log = stand.open_log()
    stand.publish(400)
    until(lambda: agent.poll() == 0 and agent.poll() == 0 and stand.metric("durable_seq") == 400)
    finish(agent)
    assert stand.archived() == list(range(1000))


@pytest.mark.parametrize("durability", ["async", "interval", "every"])
def test_durability(stand: Stand, durability: str) -> None:
    disk = Faulty()
    agent = stand.agent(disk, archive__durability=durability, archive__interval="5ms")
    before = disk.syncs
    for _ in range(5):
        stand.publish(10)
        settle(agent)
    if durability == "interval":
        until(lambda: agent.poll() == 0 and stand.metric("durable_seq") == 50)
        assert disk.syncs > before
    elif durability == "every":
        assert stand.metric("durable_seq") == 50
        assert disk.syncs - before >= 5
    else:
        assert (stand.metric("durable_seq"), disk.syncs) == (0, before)
    finish(agent)
    assert stand.metric("durable_seq") == 50


@pytest.mark.parametrize(("fault", "cause"), [(errno.ENOSPC, "full"), (errno.EIO, "disk")])
@pytest.mark.parametrize("sync", [False, True])
def test_a_disk_that_fails_stops_the_archive_until_it_works_again(
    stand: Stand, caplog: pytest.LogCaptureFixture, fault: int, cause: str, sync: bool
) -> None:
    disk = Faulty(sync=sync)
    agent = stand.agent(disk, archive__durability="every")
    stand.publish(100)
    settle(agent)
    disk.fault = fault
    for _ in range(3):
        stand.publish(10)
        agent._retry_ns = 0  # its pauses are not what this is about
        assert agent.poll() == 0
    assert stand.metric("stopped") == 1
    assert stand.metric("errors_total", cause=cause) == 3
    assert caplog.text.count("archive stopped, the feed goes on") == 1
    stand.publish(10)
    disk.fault = 0
    agent._retry_ns = 0
    settle(agent)
    assert stand.metric("stopped") == 0
    assert "archive: works again" in caplog.text
    finish(agent)
    assert stand.archived() == list(range(140))
    assert stand.missing() == []


def test_what_the_log_lost_while_the_disk_was_full_is_missing(stand: Stand) -> None:
    stand.log_bytes = 1 << 20
    stand.log.close(remove=True)
    stand.log = stand.open_log()
    disk = Faulty()
    agent = stand.agent(disk)
    stand.publish(100)
    settle(agent)
    disk.fault = errno.ENOSPC
    stand.publish(15_000)
    agent.poll()
    disk.fault = 0
    agent._retry_ns = 0
    settle(agent)
    finish(agent)
    ((first, last, cause),) = stand.missing()
    assert (first, cause) == (101, "disk full")
    assert stand.archived(whole=False) == [*range(100), *range(last, 15_100)]
    assert stand.metric("missing_total", cause="disk full") == last - 100


def test_pauses_between_attempts_grow(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Faulty()
    agent = stand.agent(disk)
    now = [10**15]
    monkeypatch.setattr("feed.archive.agent.monotonic_ns", lambda: now[0])
    disk.fault = errno.ENOSPC
    stand.publish(1)
    attempts = []
    for _ in range(2000):
        before = stand.metric("errors_total")
        agent.poll()
        if stand.metric("errors_total") > before:
            attempts.append(now[0])
        now[0] += 10_000_000
    pauses = [round((b - a) / 1e9, 1) for a, b in itertools.pairwise(attempts)]
    assert pauses == [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    disk.fault = 0


def test_a_full_disk_at_the_start_keeps_no_feed_from_starting(stand: Stand) -> None:
    agent = stand.agent()
    stand.publish(10)
    settle(agent)
    crash(stand, agent)
    disk = Faulty(sync=True)
    disk.fault = errno.ENOSPC
    agent = stand.agent(disk)
    assert stand.metric("stopped") == 1
    disk.fault = 0
    agent._retry_ns = 0
    stand.publish(10)
    settle(agent)
    assert stand.metric("stopped") == 0
    finish(agent)
    assert stand.archived() == list(range(20))


def test_an_end_with_a_full_disk_does_not_hang(stand: Stand) -> None:
    disk = Faulty()
    agent = stand.agent(disk)
    disk.fault = errno.ENOSPC
    stand.publish(10)
    agent.poll()
    assert not agent.drain()
    agent.poll()
    assert agent.drain()
    agent.close()
    assert stand.metric("stopped") == 1


def test_the_session_roll_ends_the_segment(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = stand.agent(feed__roll="17:00 America/Chicago")
    stand.publish(10)
    settle(agent)
    now = agent._roll_ns
    monkeypatch.setattr("feed.archive.agent.now_ns", lambda: now)
    settle(agent)
    assert agent._roll_ns - now in {23 * HOUR_NS, 24 * HOUR_NS, 25 * HOUR_NS}
    stand.publish(10)
    settle(agent)
    assert [each.first_seq for each in segments(stand.folder)] == [1, 11]
    monkeypatch.undo()
    finish(agent)
    assert stand.archived() == list(range(20))


def test_a_second_archive_in_the_folder_is_refused(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feed.archive.agent.BUSY_NS", 0)
    stand.agent()
    with pytest.raises(ArchiveBusy, match="this archive has a writer already"):
        stand.agent()


def test_one_that_ends_makes_room_for_the_next(stand: Stand) -> None:
    first = stand.agent()
    timer = threading.Timer(0.2, first.close)
    timer.start()
    finish(stand.agent())
    timer.join()


def test_what_can_not_be_an_archive(stand: Stand) -> None:
    stand.path.parent.mkdir(exist_ok=True)
    stand.path.write_text("a file")
    with pytest.raises(ConfigError, match=r"archive\.path: the archive can't be written here"):
        stand.agent()
    stand.path.unlink()
    stand.log.close(remove=True)
    with pytest.raises(LogMissing):
        stand.agent()
    stand.log = stand.open_log()


def test_sealed_segments_are_compressed_and_read_all_the_same(stand: Stand) -> None:
    agent = stand.agent()
    for _ in range(20):
        stand.publish(200)
        settle(agent)
        agent._writer.sync()  # type: ignore[union-attr]
    until(lambda: len([each for each in segments(stand.folder) if each.compressed]) >= 3)
    assert stand.metric("bytes") > 0
    finish(agent)
    assert stand.archived() == list(range(4000))
