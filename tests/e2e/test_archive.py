"""The archive beside a feed that runs: killed, out of room, played again, exported."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import databento_dbn
import pytest

from feed.log.reader import LogReader
from feed.metrics.counters import Counters
from feed.store.reader import StoreReader
from tests.archive.recorded import frames, records
from tests.e2e.processes import alive, wait_for

if TYPE_CHECKING:
    from tests.e2e.processes import Process, Stage

RATE = 20_000


def end(stage: Stage, feed: Process) -> int:
    """SIGTERM, and the last seq that was in the log, seen by a reader that outlives it."""
    with LogReader.open(stage.directory, name="test") as reader:
        assert feed.end(signal.SIGTERM) == 0, feed.said
        return reader.next_seq - 1


def figure(stage: Stage, name: str) -> int:
    counters = Counters.open(stage.directory)
    try:
        return sum(row.value for row in counters.rows() if row.name == f"tickcast_archive_{name}")
    finally:
        counters.close()


def seqs(folder: Path) -> list[tuple[int, int, str]]:
    """(first, last, "" or why it is missing) of what an archive says of its one epoch, in order."""
    with StoreReader(folder) as reader:
        assert len(reader.epochs()) == 1
        found = []
        while (block := reader.read_block()) is not None:
            found.append((block.first_seq, block.last_seq, block.missing))
        return found


def require_no_hole(spans: list[tuple[int, int, str]]) -> None:
    assert spans[0][0] == 1
    for (_, last, _), (first, _, _) in itertools.pairwise(spans):
        assert first == last + 1


@pytest.mark.parametrize("agents", ["many", "one"])
def test_all_ticks_of_a_feed_are_archived_when_it_has_ended(stage: Stage, agents: str) -> None:
    folder = stage.temporary / "archive"
    feed = stage.up(stage.feed(archive__path=folder, feed__processes=agents, source__sim__rate=RATE))
    wait_for(lambda: figure(stage, "durable_seq") > 2000, "durable ticks")
    if agents == "many":
        assert os.getpriority(os.PRIO_PROCESS, stage.agent("archive")["pid"]) > os.getpriority(
            os.PRIO_PROCESS, feed.pid
        )
    assert end(stage, feed) == len(records(frames(folder / "main")))
    assert stage.left() == []


def test_an_archive_agent_that_is_killed_loses_nothing_and_repeats_nothing(stage: Stage) -> None:
    folder = stage.temporary / "archive"
    settings = {"archive__path": folder, "archive__segment": "256KiB", "source__sim__rate": RATE}
    feed = stage.up(stage.feed(**settings))
    for _ in range(2):
        before = figure(stage, "durable_seq")
        stage.kill_agent("archive")
        wait_for(lambda before=before: figure(stage, "durable_seq") > before, "more durable ticks")  # type: ignore[misc]
    feed.kill()  # the supervisor: its agents end by themselves, and the next feed goes on in the same epoch
    wait_for(lambda: not any(alive(pid) for pid in stage.agents), "agents to end")
    feed = stage.up(stage.feed(**settings))
    before = figure(stage, "durable_seq")
    wait_for(lambda: figure(stage, "durable_seq") > before + 1000, "more durable ticks")
    last = end(stage, feed)
    assert [frame.seq for frame in frames(folder / "main") if frame.kind == 0] == list(range(1, last + 1))


def test_an_archive_that_is_played_again_is_archived_equal(stage: Stage) -> None:
    folder = stage.temporary / "archive"
    first = stage.feed(
        archive__path=folder, archive__segment="1MiB", source__sim__rate=0, source__sim__ticks=60_000,
        feed__linger="false", log__gating="archive", feed__processes="one",
    )  # fmt: skip
    assert first.wait() == 0, first.said
    again = stage.feed(
        "replay", folder / "main", "--speed", "max", archive__path=folder, feed__name="again", log__gating="archive"
    )
    assert again.wait() == 0, again.said
    assert "source archive has ended: 60,000 records, 100.0 %" in again.said
    played, original = frames(folder / "again"), frames(folder / "main")
    assert len(original) > 60_000
    assert played == original
    listed = stage.run(
        *stage.feed_args("replay", folder / "main", "--from", 101, "--to", 200, feed__processes="one"),
        "--speed", "max", "--symbols", "A*",
    )  # fmt: skip
    wanted = [f for f in original if f.kind == 0 and 101 <= f.seq <= 200 and f.name.split(".")[1].startswith("A")]
    assert f"source archive has ended: {len(wanted)} records" in listed


def test_what_the_configuration_archives_is_played_and_exported_by_name(stage: Stage) -> None:
    folder = stage.temporary / "archive"
    settings = {"archive__path": folder, "source__sim__rate": 0, "source__sim__ticks": 3000, "feed__linger": "false"}
    feed = stage.feed(**settings, feed__processes="one")
    assert feed.wait() == 0, feed.said
    before = sorted(path.name for path in (folder / "main").iterdir())
    played = stage.run(*stage.feed_args("replay", "--speed", "max", archive__path=folder, feed__processes="one"))
    assert "source archive has ended: 3,000 records" in played
    assert sorted(path.name for path in (folder / "main").iterdir()) == before
    out = stage.temporary / "out.dbn.zst"
    said = stage.run("feed", "export", "--format", "dbn", out, "--set", f"archive.path={folder}")
    assert "3,000 records" in said
    store = databento_dbn.DBNDecoder()
    import zstandard  # noqa: PLC0415 - only here

    store.write(zstandard.ZstdDecompressor().stream_reader(out.read_bytes(), read_across_frames=True).read())
    exported = [bytes(message) for message in store.decode()[1:]]
    assert exported == [record for _, record in records(frames(folder / "main"))]


needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs root and mount namespaces",
)


@needs_mounts
def test_a_full_disk_stops_the_archive_never_the_feed(stage: Stage) -> None:
    disk = stage.temporary / "disk"
    disk.mkdir()
    args = stage.feed_args(
        archive__path=disk / "archive", archive__segment="256KiB", archive__interval="20ms", archive__compress="false",
        source__sim__rate=RATE, log__bytes="1MiB",
    )  # fmt: skip
    feed = stage.start_in_mount(disk, "size=3m", *args)
    stage.up(feed)
    wait_for(lambda: figure(stage, "stopped"), "the archive to stop")
    before = stage.stat()["log"]["next_seq"]
    wait_for(lambda: stage.stat()["log"]["next_seq"] > before + 2 * RATE, "the feed to go on")
    assert figure(stage, "stopped") == 1
    assert figure(stage, "errors_total") >= 2
    assert stage.agent("archive")["restarts"] == 0
    assert feed.said.count("archive stopped, the feed goes on") == 1
    assert "disk is full" in feed.said
    subprocess.run(
        ["nsenter", "-t", str(feed.pid), "-m", "mount", "-o", "remount,size=64m", "tmpfs", str(disk)], check=True
    )
    feed.says("archive: works again")
    before = figure(stage, "durable_seq")
    wait_for(lambda: figure(stage, "durable_seq") > before + 1000, "more durable ticks")
    assert figure(stage, "stopped") == 0
    spans = seqs(Path(f"/proc/{feed.pid}/root{disk}/archive/main"))
    require_no_hole(spans)
    missing = [(first, last, why) for first, last, why in spans if why]
    assert {why for _, _, why in missing} <= {"disk full", "disk error", "overrun"}
    assert sum(last - first + 1 for first, last, _ in missing) == figure(stage, "missing_total") > 0
    assert feed.end(signal.SIGTERM) == 0, feed.said
    assert stage.left() == []


def test_a_file_that_may_not_grow_stops_the_archive_until_it_may(stage: Stage) -> None:
    import resource  # noqa: PLC0415 - only here

    folder = stage.temporary / "archive"
    feed = stage.up(stage.feed(archive__path=folder, archive__interval="20ms", source__sim__rate=RATE))
    pid = stage.agent("archive")["pid"]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, hard))
    wait_for(lambda: figure(stage, "stopped"), "the archive to stop")
    before = stage.stat()["log"]["next_seq"]
    wait_for(lambda: stage.stat()["log"]["next_seq"] > before + RATE // 2, "the feed to go on")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    feed.says("archive: works again")
    assert stage.agent("archive")["pid"] == pid
    last = end(stage, feed)
    spans = seqs(folder / "main")
    require_no_hole(spans)
    assert not any(why for _, _, why in spans)  # the log held all of it
    assert spans[-1][1] == last
