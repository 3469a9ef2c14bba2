from pathlib import Path
from typing import NamedTuple, Self

class Epoch(NamedTuple):
    """What the folder holds of one epoch; times are ts_in, ns since 1970. last_seq = first_seq - 1: no record yet."""

    epoch: int
    first_seq: int
    last_seq: int
    first_ns: int
    last_ns: int

class Block:
    """A run of log frames in stream order, or the news of a missing range. Offers its frames as a buffer.

    A Block may be kept: its memory is used again only when nobody else refers to it.
    """

    epoch: int
    first_seq: int
    last_seq: int
    first_ns: int
    last_ns: int
    count: int
    missing: str
    @property
    def data(self) -> memoryview: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class StoreReader:
    """Reads the folder's segments in order of epoch and seq; never locks, never writes. One thread uses it at a time.

    :param epoch: where to begin; 0 for the oldest there is. An epoch that is not there stands for the next later one.
    :param seq: first record wanted in that epoch; 0 for the oldest there is (nothing is reported missing before it).
    :param time_ns: instead of seq: the first block that has a record with this ts_in or a later one.
    """

    folder: Path
    epoch: int
    next_seq: int
    def __init__(self, folder: Path, *, epoch: int = 0, seq: int = 0, time_ns: int = 0) -> None: ...
    def read_block(self) -> Block | None:
        """The next block; None: nothing more now (the open segment may grow: call again).

        Every seq from where it began is in exactly one block, as records or as missing: causes are those that the
        writer recorded, "damage" (the file's bytes are not what was written) and "expired" (the file is gone).
        Frames below the wanted seq in the first block are the caller's to skip.

        :raises StoreError: a file cannot be read (permission, I/O error).
        """
    def seek(self, *, epoch: int = 0, seq: int = 0, time_ns: int = 0) -> None:
        """As the parameters of the same names. Costs nothing if the reader stands there already."""
    def topic(self, topic_id: int) -> tuple[str, str]:
        """(schema word, symbol) of a topic id in the epoch of the last block; raises CallerError if it is not known."""
    def epochs(self) -> list[Epoch]:
        """What there is now, oldest first."""
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
