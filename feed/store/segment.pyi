from collections.abc import Iterator
from pathlib import Path

from feed.store.index import SparseIndex

class SegmentFile:
    """One segment for reading, whatever its state.

    :raises FileNotFoundError: it was removed, or compressed and removed.
    :raises StoreError: it cannot be opened.
    """

    path: Path
    epoch: int
    sealed: bool
    index: SparseIndex
    def __init__(self, path: Path, epoch: int) -> None: ...
    def blocks(self) -> Iterator[bytes]:
        """Its whole blocks in order but for the index, runs of frames merged to about 1 MiB; no others."""
    def figures(self) -> SparseIndex:
        """Its index, brought up to what is in the file now."""
    def close(self) -> None: ...
