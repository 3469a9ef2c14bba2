from pathlib import Path
from typing import NamedTuple

from feed.store.disk import Disk
from feed.store.tail import Tail

class Cut(NamedTuple):
    """What was cut off: the last `bytes` of `file` were no whole block."""

    file: Path
    bytes: int

def tidy(folder: Path, disk: Disk) -> None:
    """Clear away what a compression left that a crash interrupted; only for who holds the folder. Raises OSError."""

def recover(tail: Tail, epoch: int, *, doubted: bool) -> list[Cut]:
    """Cut what is torn, seal what will not be written to again, and have the tail stand behind the epoch's last record.

    :param doubted: a recovery before this one could not make durable what it found.
    :raises OSError: the disk failed or is full; the tail is to be left.
    :raises StoreError: the same.
    """
