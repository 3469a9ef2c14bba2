"""What happens to segments once they are sealed: compressed, and removed when they are too many or too old.

A thread of its own, at the lowest priority: zstd works without the GIL. Everything it does is safe to be cut off
anywhere: a segment is replaced by its compressed form only when that is whole and on the disk, and removed whole, the
oldest first.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, NamedTuple

from feed.agent import lower_priority
from feed.clock import now_ns
from feed.errors import StoreError
from feed.store.folder import segments
from feed.store.seal import compress
from feed.store.segment import SegmentFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from feed.store.folder import Segment

__all__ = ["Durable", "Keep", "Upkeep", "expired"]

log = logging.getLogger("tickcast.archive")

LOOK_S = 1.0
"""Between two looks at the folder."""

PAUSES_S = (1.0, 5.0, 30.0, 60.0)
"""After a failure, the second, ..."""

NICE = 10
"""How much less urgent than the agent a thread for sealed segments is."""

JOIN_S = 0.2


class Keep(NamedTuple):
    """How much is kept: bytes of the whole archive, and ns since the last tick of a segment. 0: no bound."""

    nbytes: int = 0
    age_ns: int = 0


class Durable(NamedTuple):
    """Where the writer is: its epoch, the seq up to which all is on the disk, the segment it has open (None: none).

    With epoch 0 nobody may touch segments.
    """

    epoch: int
    seq: int
    open: Path | None


class Upkeep:
    """Looks after the segments of `folder` that are done, until close().

    :param durable: says where the writer is now.
    :param told: called with the bytes of the whole archive after each look.
    :param failed: called with the error when a look failed; the next one comes after a growing pause.
    :ivar resting: held while segments are changed; whoever holds it can be sure that they stay.
    """

    def __init__(
        self,
        folder: Path,
        durable: Callable[[], Durable],
        *,
        keep: Keep,
        compressed: bool,
        told: Callable[[int], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.resting = threading.Lock()
        self._folder = folder
        self._durable = durable
        self._keep = keep
        self._compressed = compressed
        self._told = told
        self._failed = failed
        self._figures_of: dict[tuple[int, int], _Figures] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn, name="archive.upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more is begun; a segment in work is left to the end of the process, which may cut it off."""
        self._stop.set()
        self._thread.join(JOIN_S)

    def _turn(self) -> None:
        lower_priority(NICE)
        failures = 0
        while True:
            try:
                while not self._stop.is_set() and self._look():
                    pass
                failures = 0
            except (OSError, StoreError) as error:
                if not self._stop.is_set():
                    self._failed(error)
                failures += 1
            if self._stop.wait(PAUSES_S[min(failures, len(PAUSES_S)) - 1] if failures else LOOK_S):
                return

    def _look(self) -> bool:
        """Remove what has expired, compress one segment; true if there may be more to compress."""
        with self.resting:
            there = segments(self._folder)
            done = self._done(there)
            sizes = {each.path: _size(each.path) for each in there}
            ages = {each.path: self._figures(each).last_ns for each in done} if self._keep.age_ns else {}
            gone = expired(done, sizes, ages, self._keep, now_ns())
            for each in gone:
                log.info("archive: %s has expired", each.path.name)
                each.path.unlink(missing_ok=True)
            self._told(sum(sizes.values()) - sum(sizes[each.path] for each in gone))
            left = [each for each in done[len(gone) :] if not each.compressed] if self._compressed else []
            plain = [each for each in left if self._figures(each).sealed]
            if not plain or self._stop.is_set():
                return False
            compress(plain[0].path)
            return len(plain) > 1

    def _done(self, there: Sequence[Segment]) -> list[Segment]:
        """The oldest segments, as far as they are on the disk and the writer has left them for good.

        What is not durable yet it may have to write again, into another segment.
        """
        epoch, durable_seq, is_open = self._durable()
        done: list[Segment] = []
        for i, each in enumerate(there):
            following = there[i + 1] if i + 1 < len(there) else None
            if epoch == 0 or each.path == is_open:
                safe = False
            elif each.epoch != epoch:
                safe = True
            elif following is not None and following.epoch == epoch:
                safe = following.first_seq <= durable_seq + 1
            else:
                figures = self._figures(each)
                safe = figures.sealed and figures.last_seq <= durable_seq
            if not safe:
                break
            done.append(each)
        return done

    def _figures(self, segment: Segment) -> _Figures:
        """What is in a segment; of one that is sealed it is looked up once."""
        key = (segment.epoch, segment.first_seq)
        known = self._figures_of.get(key)
        if known is None:
            file = SegmentFile(segment.path, segment.epoch)
            index = file.figures()
            known = _Figures(file.sealed, index.last_seq, index.last_ns)
            file.close()
            if known.sealed:
                self._figures_of[key] = known
        return known


class _Figures(NamedTuple):
    sealed: bool
    last_seq: int
    last_ns: int


def expired(
    done: Sequence[Segment], sizes: Mapping[Path, int], last_ns: Mapping[Path, int], keep: Keep, now: int
) -> list[Segment]:
    """Which segments have to go, oldest first. `sizes` are bytes of all there are, the open one too; times in ns.

    Only ever a run from the oldest on, so that no hole comes into being.
    """
    total = sum(sizes.values())
    gone = []
    for each in done:
        too_many = keep.nbytes and total > keep.nbytes
        too_old = keep.age_ns and last_ns[each.path] < now - keep.age_ns
        if not (too_many or too_old):
            break
        gone.append(each)
        total -= sizes[each.path]
    return gone


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
