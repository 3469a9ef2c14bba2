from collections.abc import Iterable
from pathlib import Path
from typing import Self

from feed.log.reader import LogReader
from feed.store.disk import Disk
from feed.store.recovery import Cut

class StoreWriter:
    """The one writer of a folder; it holds the folder's lock until close().

    One thread calls everything but sync(), which another may call meanwhile.

    `missed` counts the records that were recorded as missing since this writer was made, by cause.

    :param segment_bytes: a segment ends when it holds so many bytes of frames.
    :raises ArchiveBusy: another process writes here.
    :raises StoreError: the folder cannot be made or written.
    """

    cut: list[Cut]
    missed: dict[str, int]
    def __init__(self, folder: Path, *, segment_bytes: int = 256 << 20, disk: Disk | None = None) -> None: ...
    def begin(self, epoch: int, topics: Iterable[tuple[int, str, str]]) -> None:
        """Go on in this epoch, or begin it; segments of other epochs are sealed.

        Segments that a crash left open are read through and their torn tails cut: `cut` says what. `next_seq` then says
        where to go on, and all before it is on the disk.

        :param topics: (id, schema word, symbol) of all topics that may come without being announced.
        """
    def take(self, reader: LogReader, limit: int = 1 << 16) -> int:
        """Append what waits in the log, at most about `limit` frames; gives how many. 0: nothing is waiting.

        The reader need not stand anywhere special: it is led to `next_seq` first. Records that the log no longer holds
        are recorded as missing, cause "overrun" (after an error of the disk: "disk full" or "disk error").

        :raises StoreError: the disk is full (`full` is true) or failed. The folder is valid and the writer can go on:
            call take() again later.
        """
    def missing(self, first: int, last: int, cause: str) -> None:
        """Record that seq `first` to `last` will never come; `first` is next_seq, or anything if nothing is there yet.

        :param cause: 1 to 31 printable ASCII characters.
        """
    def sync(self) -> int:
        """Make all that has been written durable (fdatasync of the files, fsync of the folder); gives durable_seq.

        :raises StoreError: the disk failed. What was not durable before is distrusted for good: the segment is left,
            `next_seq` goes back to behind durable_seq, and the next take() reads it from the log again into a new one.
        """
    def seal(self) -> Path | None:
        """End the open segment with its index; gives its path, None if it holds no record.

        The next take() begins another.
        """
    @property
    def folder(self) -> Path: ...
    @property
    def epoch(self) -> int:
        """0: none is begun."""
    @property
    def next_seq(self) -> int:
        """Where to go on in this epoch; 0: nothing yet."""
    @property
    def durable_seq(self) -> int:
        """All records up to here are on the disk, or a reader is told that they are missing; 0: none."""
    @property
    def written_seq(self) -> int:
        """The last seq that is written, durable or not; 0: none."""
    @property
    def path(self) -> Path | None:
        """The open segment; None: the next block begins one."""
    def close(self) -> None:
        """Sync, leave the segment open for the next begin(), and free the folder."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
