"""Crashes: whatever a power cut or a kill -9 leaves opens again, has all that was durable, and nothing not written."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.store.folder import segments
from feed.store.reader import StoreReader
from feed.store.seal import compress
from feed.store.writer import StoreWriter
from tests.store.archive import Market, contents
from tests.store.crash import Op, Recorder, Surface, put
from tests.store.killed import Nursery, prove

SOAK = os.environ.get("TICKCAST_SOAK") == "1"


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory: what is synced here is a matter of the recording."""
    root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    yield root / "archive"
    shutil.rmtree(root)


def record_run(market: Market, folder: Path, steps: list[tuple[str, int]], there: dict[str, bytes]) -> Recorder:
    """Take up the archive and do these steps: tick n, sync, seal, pack (compress what is sealed)."""
    disk = Recorder(there)
    put(there, folder)
    market.reader.seek(1)
    writer = StoreWriter(folder, segment_bytes=9_000, disk=disk)
    writer.begin(market.epoch, market.topics)
    first = max(1, writer.next_seq)
    disk.durable(first, writer.durable_seq)
    for step, n in steps:
        if step == "tick":
            while market.writer.next_seq < writer.next_seq + n:
                market.tick()
            writer.take(market.reader, n + 5 * (writer.next_seq == 0))
        elif step == "seal":
            writer.seal()
        elif step == "pack":
            for segment in segments(folder):
                if segment.path != writer.path and not segment.compressed:
                    compress(segment.path, disk=disk)
                    break
        elif step == "sync":
            writer.sync()
        disk.durable(first, writer.durable_seq)
    ops = list(disk.ops)
    writer.close()
    disk.ops[:] = ops
    return disk


def check(market: Market, folder: Path, image: dict[str, bytes], durable: frozenset[int]) -> frozenset[int]:
    """A reader, and the next writer, find all that was durable and nothing that was not written; then it goes on.

    Gives the seqs that were found.
    """
    epoch = market.epoch
    market.reader.seek(1)
    put(image, folder)
    found = contents(folder)
    assert durable <= set(found.seqs(epoch))
    with StoreWriter(folder, segment_bytes=9_000) as writer:
        writer.begin(epoch, market.topics)
        again = contents(folder)
        assert durable <= set(again.seqs(epoch)) <= set(found.seqs(epoch))
        assert writer.next_seq == max([*again.seqs(epoch), *(gone.last for gone in again.missing)], default=-1) + 1
        while writer.take(market.reader):
            pass
    whole = contents(folder, seq=1)
    missing = {seq for gone in whole.missing for seq in range(gone.first, gone.last + 1)}
    assert set(whole.seqs(epoch)) | missing == set(range(1, market.writer.next_seq))
    assert not missing & durable
    return frozenset(again.seqs(epoch))


def check_every(market: Market, folder: Path, ops: list[Op]) -> int:
    """Every image of a crash after any number of these operations; gives how many there are."""
    seen = set()
    for n in range(len(ops) + 1):
        surface = Surface({}, ops[:n])
        for image in surface.every_image():
            key = (surface.durable, frozenset(image.items()))
            if key not in seen:
                seen.add(key)
                check(market, folder, image, surface.durable)
    return len(seen)


SHORT = [
    [("tick", 2), ("sync", 0), ("tick", 3), ("tick", 1), ("sync", 0)],
    [("tick", 2), ("tick", 40), ("sync", 0), ("tick", 2)],
    [("tick", 4), ("sync", 0), ("seal", 0), ("tick", 2), ("sync", 0), ("tick", 1)],
    [("tick", 3), ("seal", 0), ("tick", 2), ("seal", 0), ("tick", 1), ("sync", 0)],
    [("tick", 3), ("sync", 0), ("seal", 0), ("pack", 0), ("tick", 1), ("sync", 0)],
]


@pytest.mark.parametrize("steps", SHORT, ids=lambda steps: "-".join(f"{step}{n or ''}" for step, n in steps))
def test_every_image_of_a_short_run(market: Market, folder: Path, steps: list[tuple[str, int]]) -> None:
    market.tick(60)
    disk = record_run(market, folder, steps, {})
    assert check_every(market, folder, disk.ops) >= 20


STEP = st.one_of(
    st.tuples(st.just("tick"), st.sampled_from([1, 1, 2, 5, 35, 80, 200])),
    st.tuples(st.sampled_from(["sync", "sync", "seal", "pack"]), st.just(0)),
)
RUN = st.lists(STEP, min_size=1, max_size=12)


def test_some_images_of_long_runs(market: Market, folder: Path) -> None:
    """Up to three crashes one behind the other, in recoveries too."""

    @settings(
        max_examples=3_000 if SOAK else 120,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(RUN, min_size=1, max_size=3), st.data())
    def crashes(runs: list[list[tuple[str, int]]], data: st.DataObject) -> None:
        image: dict[str, bytes] = {}
        held = durable = frozenset[int]()
        for steps in runs:
            disk = record_run(market, folder, steps, image)
            cut = data.draw(st.integers(0, len(disk.ops)), "operations")
            surface = Surface(image, disk.ops[:cut], held, durable)
            image = surface.some_image(lambda n: data.draw(st.integers(0, n - 1)))
            durable = surface.durable
            held = check(market, folder, image, durable)

    crashes()


@pytest.mark.parametrize("lie", ["sync", "sync_folder"])
def test_a_writer_that_does_not_sync_is_found_out(
    market: Market, folder: Path, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images are worth something: without either kind of sync some of them have lost what was durable."""
    monkeypatch.setattr(Recorder, lie, lambda *_: None)
    market.tick(60)
    disk = record_run(market, folder, SHORT[0], {})
    with pytest.raises(AssertionError):
        check_every(market, folder, disk.ops)


def test_a_compression_that_does_not_sync_is_found_out(market: Market, folder: Path) -> None:
    """Its rename may reach the disk before its bytes, and the segment that it replaces is gone."""
    market.tick(60)
    disk = record_run(market, folder, SHORT[4], {})
    renamed = next(i for i, op in enumerate(disk.ops) if op.call == "rename")
    ops = [op for i, op in enumerate(disk.ops) if (op.call, i) != ("sync", renamed - 1)]
    assert len(ops) == len(disk.ops) - 1
    with pytest.raises(AssertionError):
        check_every(market, folder, ops)


@pytest.fixture
def shared() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    yield root
    shutil.rmtree(root)


def test_killed_at_any_instant(tmp_path: Path, shared: Path) -> None:
    """Feed and archive are killed together and go on where they were; the kernel keeps what they wrote."""
    with Nursery(shared) as nursery:
        for archive in range(20 if SOAK else 2):
            last = 0
            folder = tmp_path / f"archive{archive}"
            for i in range(10 if SOAK else 8):
                nursery.begin(shared / f"feed{archive}", folder, anew=i == 0)
                turns = random.choice((0, 0, 1, random.randrange(50)))
                while nursery.turns < turns:
                    time.sleep(0.0005)
                time.sleep(random.uniform(0, 0.01 if turns else 0.05))
                nursery.kill()
                first, reached = prove(StoreReader(folder))
                assert first in {0, 1}
                assert reached >= max(last, nursery.durable_seq)
                last = reached


def test_readers_of_a_writer_at_work_never_see_what_is_only_half_there(tmp_path: Path, shared: Path) -> None:
    """It seals, compresses and syncs meanwhile. One reader follows it, others begin anywhere."""
    folder = tmp_path / "archive"
    with Nursery(shared) as nursery:
        nursery.begin(shared / "feed", folder)
        follower = StoreReader(folder, seq=1)
        reached = 0
        while nursery.turns < (5_000 if SOAK else 300):
            first, last = prove(follower)
            assert first in {0, reached + 1}
            reached = max(reached, last)
            if reached:
                seq = random.randrange(max(1, reached - 5_000), reached + 1)
                first, last = prove(StoreReader(folder, seq=seq))
                assert first <= seq <= reached <= last
        nursery.kill()
        assert prove(follower)[0] in {0, reached + 1}
