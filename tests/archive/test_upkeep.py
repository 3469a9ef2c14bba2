"""What becomes of segments that are done: compressed, and removed from the oldest on."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.archive.upkeep import Durable, Keep, Upkeep, expired
from feed.errors import StoreError
from feed.store.folder import Segment, segments
from feed.store.segment import SegmentFile
from tests.archive.recorded import Recorder, Tick, frames, record_archive
from tests.archive.ticks import trade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUR_NS = 3600 * 10**9
NOW = 10**18
ALL = Keep()


def ticks(n: int, ts_in: int = NOW) -> list[Tick]:
    return [Tick("trade", "A", trade(i), ts_in) for i in range(n)]


class Watched:
    """An upkeep whose writer is wherever a test says."""

    def __init__(self, folder: Path, durable: Durable, keep: Keep = ALL, *, compressed: bool = False) -> None:
        self.durable = durable
        self.sizes: list[int] = []
        self.errors: list[Exception] = []
        self.upkeep = Upkeep(
            folder,
            lambda: self.durable,
            keep=keep,
            compressed=compressed,
            told=self.sizes.append,
            failed=self.errors.append,
        )

    def looked(self, times: int = 2) -> None:
        """Wait until it has looked so often."""
        goal = len(self.sizes) + times
        until(lambda: len(self.sizes) >= goal)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Watched]]:
    monkeypatch.setattr("feed.archive.upkeep.LOOK_S", 0.005)
    made = []

    def make(*args: object, **more: object) -> Watched:
        made.append(Watched(tmp_path / "main", *args, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.upkeep.close()


def test_only_what_is_done_is_compressed(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    recorder = Recorder(tmp_path / "main")
    recorder.put(ticks(3000))
    before = frames(tmp_path / "main")
    there = segments(tmp_path / "main")
    assert len(there) >= 4
    epoch, is_open = recorder.log.epoch, recorder.store.path
    # the second segment ends behind what is durable: it might have to be written again
    watched = watch(Durable(epoch, there[2].first_seq - 2, is_open), compressed=True)
    watched.looked()
    assert [each.compressed for each in segments(tmp_path / "main")] == [True, *[False] * (len(there) - 1)]
    watched.durable = Durable(epoch, 3000, is_open)
    until(lambda: [each.compressed for each in segments(tmp_path / "main")] == [*[True] * (len(there) - 1), False])
    watched.looked()
    assert frames(tmp_path / "main") == before
    assert watched.errors == []
    recorder.close()


def test_without_an_epoch_nothing_is_touched(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    record_archive(tmp_path / "main", ticks(2000))
    before = segments(tmp_path / "main")
    watch(Durable(0, 0, None), Keep(1, 1), compressed=True).looked()
    assert segments(tmp_path / "main") == before


def test_the_oldest_go_while_there_are_too_many_bytes(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    recorder = Recorder(tmp_path / "main")
    recorder.put(ticks(3000))
    there = segments(tmp_path / "main")
    sizes = [each.path.stat().st_size for each in there]
    watched = watch(Durable(recorder.log.epoch, 3000, recorder.store.path), Keep(nbytes=sum(sizes[-2:]) + 1))
    watched.looked()
    assert segments(tmp_path / "main") == there[-2:]
    assert watched.sizes[-1] == sum(sizes[-2:])
    recorder.close()


def test_what_is_too_old_goes_of_any_epoch(
    tmp_path: Path, watch: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    record_archive(tmp_path / "main", ticks(1000, now))
    record_archive(tmp_path / "main", ticks(1000, now + 2 * HOUR_NS))
    _, young = sorted({each.epoch for each in segments(tmp_path / "main")})
    monkeypatch.setattr("feed.archive.upkeep.now_ns", lambda: now + 3 * HOUR_NS)
    watch(Durable(young + 1, 0, None), Keep(age_ns=2 * HOUR_NS)).looked()
    assert {each.epoch for each in segments(tmp_path / "main")} == {young}


def test_a_failure_is_told_and_tried_again(
    tmp_path: Path, watch: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    record_archive(tmp_path / "main", ticks(1000))
    monkeypatch.setattr("feed.archive.upkeep.PAUSES_S", (0.001,))
    with monkeypatch.context() as patch:
        patch.setattr("feed.archive.upkeep.compress", fail)
        watched = watch(Durable(1, 0, None), compressed=True)
        until(lambda: len(watched.errors) > 2)
    until(lambda: all(each.compressed for each in segments(tmp_path / "main")))


def fail(path: Path) -> Path:
    raise StoreError("full", full=True, where=str(path))


def test_a_segment_that_a_crash_left_open_is_not_compressed(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    recorder = Recorder(tmp_path / "main")
    recorder.put(ticks(100))
    shutil.copytree(tmp_path / "main", tmp_path / "copy")
    recorder.close()
    (left,) = segments(tmp_path / "copy")
    shutil.rmtree(tmp_path / "main")
    (tmp_path / "copy").rename(tmp_path / "main")
    watched = watch(Durable(left.epoch + 1, 0, None), compressed=True)
    watched.looked()
    assert [each.compressed for each in segments(tmp_path / "main")] == [False]
    assert not SegmentFile(tmp_path / "main" / left.path.name, left.epoch).sealed
    assert watched.errors == []


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 100)), max_size=12),
    st.integers(1, 100),
    st.builds(Keep, st.integers(0, 500), st.integers(0, 100)),
)
def test_expired_is_the_shortest_run_from_the_oldest_that_keeps_the_bounds(
    sealed: list[tuple[int, int]], open_bytes: int, keep: Keep
) -> None:
    done = [Segment(1, i + 1, Path(f"{i}")) for i in range(len(sealed))]
    sizes = {Path(f"{i}"): nbytes for i, (nbytes, _) in enumerate(sealed)} | {Path("open"): open_bytes}
    last_ns = {Path(f"{i}"): NOW - age for i, (_, age) in enumerate(sealed)}
    gone = expired(done, sizes, last_ns, keep, NOW)
    assert gone == done[: len(gone)]
    left = sum(sizes.values()) - sum(sizes[each.path] for each in gone)
    if len(gone) < len(done):
        assert not keep.nbytes or left <= keep.nbytes
        assert not keep.age_ns or last_ns[done[len(gone)].path] >= NOW - keep.age_ns
    if gone:
        last = gone[-1].path
        assert (keep.nbytes and left + sizes[last] > keep.nbytes) or (keep.age_ns and last_ns[last] < NOW - keep.age_ns)
