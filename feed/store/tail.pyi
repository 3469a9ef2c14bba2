from pathlib import Path

from feed.store.disk import Disk

class Tail:
    folder: Path
    epoch: int
    next_seq: int
    durable_seq: int
    disk: Disk
    path: Path | None
    trouble: str
    distrusted: bool
    def __init__(self, folder: Path, segment_bytes: int, disk: Disk) -> None: ...
    def announce(self, topics: list[tuple[int, str, str]]) -> None:
        """Say in the open segment what topics there are, those that are new."""
    def seal(self) -> Path | None:
        """End the open segment with its index; gives its path, None if it holds no record."""
    def append_index(self) -> None:
        """End the open segment with its index."""
    def end_segment(self) -> None:
        """Leave the open segment as it is; it is still to be synced."""
    def sync(self) -> int:
        """Make all durable that was written before; gives durable_seq. Any thread may call it.

        :raises StoreError: the disk failed, and what was not durable before is distrusted.
        """
    def sync_files(self) -> None:
        """The same without a word about numbers; raises OSError."""
    def settle(self) -> None:
        """After a sync that failed: leave what was not durable and go back to where all was."""
    def safe(self) -> None:
        """All that is written is durable."""
    def finish(self) -> None:
        """End the epoch; what can't be made durable any more stays as it is: nobody could write it again."""
    def leave(self) -> None:
        """Have no epoch and no file open."""
    def failed(self, e: OSError) -> Exception:
        """The StoreError to raise for it."""

def write_whole(disk: Disk, fd: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of it; raises OSError."""
