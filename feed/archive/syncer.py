"""Durability "interval": a thread that makes durable what the archive's writer has written meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from feed.errors import StoreError

if TYPE_CHECKING:
    from feed.store.writer import StoreWriter

__all__ = ["Syncer"]


class Syncer:
    """Syncs `writer` every `interval_ns`, if there is something to sync, until close(). After a failure it pauses until
    that was taken."""

    def __init__(self, writer: StoreWriter, interval_ns: int) -> None:
        self._writer = writer
        self._interval_s = interval_ns / 1e9
        self._stop = threading.Event()
        self._error: StoreError | None = None
        self._thread = threading.Thread(target=self._turn, name="archive.sync", daemon=True)
        self._thread.start()

    def take_error(self) -> StoreError | None:
        """What failed since the last call."""
        error, self._error = self._error, None
        return error

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _turn(self) -> None:
        while not self._stop.wait(self._interval_s):
            if self._error is None and self._writer.written_seq > self._writer.durable_seq:
                try:
                    self._writer.sync()
                except StoreError as error:
                    self._error = error
