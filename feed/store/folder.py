"""A folder of segments: their names, and the lock of its one writer."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from feed.clock import now_ns
from feed.errors import ArchiveBusy, CallerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMPRESSED", "UNFINISHED", "Folder", "Segment", "hold", "name", "named", "segments"]

COMPRESSED = ".zst"
UNFINISHED = ".part.zst"
_NAME = re.compile(r"(\d{20})-(\d{20})\.ticks(\.zst)?")

_PID_BYTES = 20
_SETTLED_NS = 1_000_000_000
_HIGHEST = str((1 << 64) - 1)


class Segment(NamedTuple):
    """One file; ordered as its records are."""

    epoch: int
    first_seq: int
    path: Path

    @property
    def compressed(self) -> bool:
        return self.path.suffix == COMPRESSED


def name(epoch: int, first_seq: int) -> str:
    """The name of an open segment whose first record is to be `first_seq`."""
    return f"{epoch:020}-{first_seq:020}.ticks"


def named(path: Path) -> Segment:
    """The segment that a file's name says it is.

    :raises CallerError: it is no segment's name.
    """
    segment = _segment(path)
    if segment is None:
        raise CallerError("no segment's name", expected="EPOCH-FIRSTSEQ.ticks or .ticks.zst", found=path.name)
    return segment


def segments(folder: Path) -> list[Segment]:
    """Those that are there now, oldest first; of one that is there twice, plain and compressed, the compressed: it is
    renamed only when it is whole. A folder that does not exist has none."""
    found: dict[tuple[int, int], Segment] = {}
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    for path in paths:
        if segment := _segment(path):
            found[segment.epoch, segment.first_seq] = segment
    return sorted(found.values())


class Folder:
    """A folder that is looked at again and again, often without anything new in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: list[Segment] = []
        self._changed_ns = 0
        self._certain = False

    def segments(self) -> list[Segment]:
        """As the function of this name; it is only listed again if it may have changed since."""
        try:
            changed_ns = self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if not self._certain or changed_ns != self._changed_ns:
            # A change in the same tick of the file system's clock would not show.
            self._certain = now_ns() - changed_ns > _SETTLED_NS
            self._changed_ns = changed_ns
            self._known = segments(self.path)
        return self._known


def hold(folder: Path) -> int:
    """Become the folder's one writer for the life of the descriptor that this gives: the kernel frees the lock however
    its holder dies.

    :raises ArchiveBusy: another process is.
    :raises OSError: the folder cannot be written.
    """
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = int(os.pread(fd, _PID_BYTES, 0) or b"0")
        os.close(fd)
        raise ArchiveBusy(
            "this archive has a writer already",
            holder=holder,
            found=f"process {holder}",
            where=str(folder),
            remedy=f"Stop it (kill {holder}) or give this feed another archive.path or feed.name",
        ) from None
    # The lock holds without it, and the disk may be full.
    with contextlib.suppress(OSError):
        os.pwrite(fd, str(os.getpid()).ljust(_PID_BYTES).encode(), 0)
    return fd


def _segment(path: Path) -> Segment | None:
    match = _NAME.fullmatch(path.name)
    if match is None or max(match[1], match[2]) > _HIGHEST:
        return None
    return Segment(int(match[1]), int(match[2]), path)
