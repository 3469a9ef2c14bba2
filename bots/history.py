"""Where history comes from, as blocks for a HistoryLink: the archive's files on this host, or the control address."""

from __future__ import annotations

import collections
import time
from typing import TYPE_CHECKING, Any

from feed.clock import monotonic_ns
from feed.errors import WireError
from feed.store.reader import StoreReader
from feed.wire.frames import log_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from typing_extensions import Buffer

    from bots.directory import ControlClient

__all__ = ["ArchiveBlocks", "ControlBlocks"]

Piece = tuple[int, "Buffer", tuple[int, int] | None]

LOOK_S = 0.005
STUCK_NS = 3_000_000_000
"""How long history may stand still before the bot goes on without the rest of it."""

TRY_NS = 500_000_000
BEGINNING = 1
AHEAD = 2
"""Pieces that may wait here, about 1 MiB each."""


class ArchiveBlocks:
    """The files in `folder` from record `seq` of `epoch` on (0: the oldest), until `enough(epoch, next_seq)`.

    :raises StoreError: the folder can't be read.
    """

    def __init__(self, folder: Path, epoch: int, seq: int, enough: Callable[[int, int], bool]) -> None:
        self.ended = False
        self._reader = StoreReader(folder, epoch=epoch, seq=seq)
        self._enough = enough
        self._stood_since_ns = 0

    def next_block(self) -> Piece | None:
        self.ended = self.ended or self._enough(self._reader.epoch, self._reader.next_seq)
        block = None if self.ended else self._reader.read_block()
        if block is None:
            now = monotonic_ns()
            self._stood_since_ns = self._stood_since_ns or now
            self.ended = self.ended or now - self._stood_since_ns > STUCK_NS
            return None
        self._stood_since_ns = 0
        return block.epoch, block.data, (block.first_seq, block.last_seq) if block.missing else None

    @property
    def epoch(self) -> int:
        return self._reader.epoch

    def wait(self, timeout_s: float) -> bool:
        time.sleep(min(timeout_s, LOOK_S))
        return True

    def topic(self, topic_id: int) -> tuple[str, str]:
        return self._reader.topic(topic_id)

    def close(self) -> None:
        self._reader.close()


class ControlBlocks:
    """What matches, from record `seq` of `epoch` on, asked for piece by piece until there is no more of it.

    :param until: (epoch, seq): only what lies below, and all of that, however long it takes.
    """

    def __init__(
        self,
        control: ControlClient,
        epoch: int,
        seq: int,
        patterns: Sequence[str],
        schemas: Sequence[str] | None,
        until: tuple[int, int] | None = None,
    ) -> None:
        self.ended = False
        self._control = control
        self._epoch = epoch
        self._seq = seq
        self._until = until
        self._fields: dict[str, Any] = {
            "patterns": list(patterns),
            "schemas": schemas if schemas is None else list(schemas),
        }
        self._ready: collections.deque[Piece] = collections.deque()
        self._number: int | None = None
        self._asked_ns = 0
        self._heard_ns = monotonic_ns()
        self._last = False
        self._refused = False

    def next_block(self) -> Piece | None:
        if not self._last:
            self._ask()
        if self._ready:
            return self._ready.popleft()
        self.ended = self._last
        return None

    @property
    def epoch(self) -> int:
        return self._epoch

    def wait(self, timeout_s: float) -> bool:
        return self._control.wait(timeout_s)

    def topic(self, topic_id: int) -> tuple[str, str]:
        raise KeyError(topic_id)  # each answer announces its topics

    def close(self) -> None:
        if self._number is not None:
            self._control.forget(self._number)

    def _ask(self) -> None:
        """Take an answer that has come, and ask for what follows: it is under way while these ticks are delivered."""
        now = monotonic_ns()
        if self._number is not None:
            answer = self._control.answer(self._number)
            if answer is not None:
                self._number = None
                self._take(*answer)
            elif now - self._asked_ns > TRY_NS:
                self._control.forget(self._number)
                self._number = None
        patient = not self._refused or now - self._asked_ns > TRY_NS
        if self._number is None and not self._last and patient and len(self._ready) < AHEAD:
            self._number = self._control.request("replay", epoch=self._epoch, **{"from": self._seq}, **self._fields)
            self._asked_ns = now
        if now - self._heard_ns > STUCK_NS and not self._ready and self._until is None:
            self._last = True

    def _take(self, words: dict[str, Any], pieces: list[bytes]) -> None:
        self._refused = "error" in words
        if self._refused:
            return
        self._heard_ns = monotonic_ns()
        epoch = words["epoch"]
        for first, last, _ in words["missing"]:
            self._ready.append((epoch, b"", (first, last)))
        try:
            self._ready += [(epoch, log_frames(piece), None) for piece in pieces]
        except WireError:
            self._refused = True
            return
        self._epoch, self._seq = epoch, words["next"]
        if words["end"]:
            self._last = words["next_epoch"] is None
            if not self._last:
                self._epoch, self._seq = words["next_epoch"], BEGINNING
        if self._until is not None:
            self._last = (self._epoch, self._seq) >= self._until
