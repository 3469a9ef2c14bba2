"""The topic table seen from outside, all of it at once: which topics there are, and how far each has come.

The file `topics` of layout.h: u64 topic_seq[max_topics], then struct tc_topic_entry[max_topics]. Entries below the
log's `topic_count` never change; each topic_seq is stored whole by the writer and only grows within an epoch.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np

from feed.errors import LogMissing
from feed.log.observer import LogObserver
from feed.wire.records import BY_ID

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["TopicTable"]

_SEQ_BYTES = 8
_ENTRY = np.dtype([("schema", "<u2"), ("symbol_length", "<u2"), ("topic_id", "<u4"), ("symbol", "S72")])
"""struct tc_topic_entry"""


class TopicTable:
    """The topics of the log in `directory`, mapped for reading; it goes on showing that log when another replaces it.

    :raises LogMissing: there is none, or it is only being made.
    """

    def __init__(self, directory: Path) -> None:
        self._log = LogObserver(directory)
        try:
            with (directory / "topics").open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (FileNotFoundError, ValueError):  # it went, or is being made anew
            raise LogMissing("no feed has its log here", where=str(directory)) from None
        max_topics = len(mapped) // (_SEQ_BYTES + _ENTRY.itemsize)
        self._seqs = np.frombuffer(mapped, np.uint64, max_topics)
        self._entries = np.frombuffer(mapped, _ENTRY, max_topics, offset=_SEQ_BYTES * max_topics)

    @property
    def epoch(self) -> int:
        """When this numbering began, ns since 1970."""
        return self._log.epoch

    @property
    def open(self) -> bool:
        """False once the log is closed or replaced."""
        return self._log.state == "open"

    def seqs(self) -> npt.NDArray[np.uint64]:
        """The last topic_seq of each topic, by topic id; a copy."""
        return self._seqs[: self._log.topic_count].copy()

    def names(self, first: int, end: int) -> list[str]:
        """``schema.SYMBOL`` of the topic ids from `first` up to `end`, which is left out."""
        entries = self._entries[first:end]
        words = {schema.id: schema.word for schema in BY_ID.values()}
        return [
            f"{words[schema]}.{symbol.decode('ascii')}"
            for schema, symbol in zip(entries["schema"].tolist(), entries["symbol"].tolist(), strict=True)
        ]
