"""A folder of segments: their names, and the lock of its one writer."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from feed.errors import ArchiveBusy, LogBusy
from feed.log import lifetime

__all__ = ["COMPRESSED", "UNFINISHED", "Segment", "hold", "name", "segments"]

COMPRESSED = ".zst"
UNFINISHED = ".part"
_NAME = re.compile(r"(\d{20})-(\d{20})\.ticks(\.zst)?")

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


def segments(folder: Path) -> list[Segment]:
    """Those that are there now, oldest first; of one that is there twice, plain and compressed, the compressed: it is
    renamed only when it is whole. A folder that does not exist has none."""
    found: dict[tuple[int, int], Segment] = {}
    try:
        entries = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    for entry in entries:
        match = _NAME.fullmatch(entry)
        if match and max(match[1], match[2]) <= _HIGHEST:
            epoch, first_seq = int(match[1]), int(match[2])
            found[epoch, first_seq] = Segment(epoch, first_seq, folder / entry)
    return sorted(found.values())


def hold(folder: Path) -> int:
    """Become the folder's one writer for the life of the descriptor that this gives.

    :raises ArchiveBusy: another process is.
    """
    try:
        return lifetime.hold(folder / "lock")
    except LogBusy as e:
        raise ArchiveBusy(
            "this archive has a writer already",
            holder=e.holder,
            found=f"process {e.holder}",
            where=str(folder),
            remedy=f"Stop it (kill {e.holder}) or give this feed another archive.path or feed.name",
        ) from None
