"""A part of an archive: from one place to another, of some topics. What replays and exports read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from feed.errors import CallerError
from feed.position import Position
from feed.store.reader import Epoch, StoreReader
from feed.wire.topics import Pattern, check_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from feed.store.reader import Block

__all__ = ["Excerpt", "Missing", "feed_folder", "told"]

TOLD = 5
"""Missing ranges that are named one by one."""

CROSSING_NS = 1_000_000_000
"""How far behind the stream a ts_in may be, ns: sources of their own threads stamp what they give."""

ANYWHERE = Position()
_ALL = 2**64 - 1


class Missing(NamedTuple):
    """Sequence numbers of one epoch, of whatever topic, that the archive does not have, and why."""

    epoch: int
    first: int
    last: int
    cause: str

    @property
    def records(self) -> int:
        return self.last - self.first + 1


class Excerpt:
    """Reads what lies between two places, block by block. Its end is fixed when it is made, so it ends even where the
    archive grows; blocks at either end may hold frames that are outside of the four bounds.

    :param first: where to begin: a seq, or the first records with this ts_in or a later one. Neither: the oldest.
    :param last: the last seq, or the ts_in before which to stop. Neither: all there is now.
    :param epoch: only this one; 0: all, in order. A seq means nothing without its epoch where there are several.
    :param symbols: patterns of symbols; none: all. `schemas`: topic words; none: all.
    :ivar epochs: those that are read.
    :ivar missing: what was met so far that the archive does not have, all topics together.
    :raises CallerError: no archive is there, no such epoch, a seq without its epoch, a pattern or schema that is none.
    :raises StoreError: files cannot be read; also when reading.
    """

    def __init__(
        self,
        folder: Path,
        *,
        first: Position = ANYWHERE,
        last: Position = ANYWHERE,
        epoch: int = 0,
        symbols: Sequence[str] = (),
        schemas: Sequence[str] = (),
    ) -> None:
        self.folder = feed_folder(folder)
        self.first_seq, self.from_ns = first.seq, first.time_ns
        self.last_seq, self.to_ns = last.seq or _ALL, last.time_ns or _ALL
        self._patterns = [Pattern(text) for text in symbols]
        self._schemas = {check_schema(word) for word in schemas}
        self._reader = StoreReader(self.folder)
        self.epochs = self._chosen(epoch, by_seq=bool(first.seq or last.seq))
        self._ends = {each.epoch: min(each.last_seq, self.last_seq) for each in self.epochs}
        self.rewind()

    def rewind(self) -> None:
        """Begin again; the end stays."""
        self.missing: list[Missing] = []
        self._unproved: list[Missing] = []
        self._at_seq = self._at_ns = 0
        self._reader.seek(epoch=self.epochs[0].epoch, seq=self.first_seq, time_ns=self.from_ns)

    def read_block(self) -> Block | None:
        """The next block of frames; None at the end."""
        while (block := self._reader.read_block()) is not None:
            if block.epoch not in self._ends:
                if block.epoch > self.epochs[-1].epoch:
                    break
                continue
            end = self._ends[block.epoch]
            if block.first_seq > end:
                if block.epoch == self.epochs[-1].epoch:
                    break
                continue
            if block.missing:
                first = max(block.first_seq, self.first_seq)
                self._unproved.append(Missing(block.epoch, first, min(block.last_seq, end), block.missing))
                continue
            if self.to_ns != _ALL and block.first_ns >= self.to_ns + CROSSING_NS:
                break
            self._at_seq, self._at_ns = block.last_seq, block.last_ns
            if self.to_ns == _ALL or block.first_ns < self.to_ns:
                self._prove()
            return block
        if self.to_ns == _ALL:
            self._prove()
        return None

    def wanted(self, topic_id: int) -> tuple[str, str] | None:
        """(schema word, symbol) of a topic of the last block's epoch; None if it was not asked for."""
        schema, symbol = self._reader.topic(topic_id)
        if self._schemas and schema not in self._schemas:
            return None
        if self._patterns and not any(pattern.matches(symbol) for pattern in self._patterns):
            return None
        return schema, symbol

    @property
    def fraction(self) -> float:
        """How much of the way lies behind, 0 to 1: in time where it is bounded in time, else in records."""
        if self.from_ns or self.to_ns != _ALL:
            first = max(self.from_ns, min(each.first_ns for each in self.epochs))
            last = min(self.to_ns, max(each.last_ns for each in self.epochs))
            return _ratio(self._at_ns - first, last - first)
        sizes = [self._ends[each.epoch] - max(each.first_seq, self.first_seq) + 1 for each in self.epochs]
        done = 0
        for each, size in zip(self.epochs, sizes, strict=True):
            if each.epoch == self._reader.epoch:
                return _ratio(done + self._at_seq - max(each.first_seq, self.first_seq) + 1, sum(sizes))
            done += size
        return 0.0

    def close(self) -> None:
        self._reader.close()

    def _prove(self) -> None:
        """What is missing counts once it is known to lie before the end."""
        self.missing += self._unproved
        self._unproved = []

    def _chosen(self, epoch: int, *, by_seq: bool) -> list[Epoch]:
        there = self._reader.epochs()
        listed = "; ".join(f"{each.epoch} (seq {each.first_seq:,} to {each.last_seq:,})" for each in there)
        if not there:
            raise CallerError("the archive is empty", expected="records", found="none", where=str(self.folder))
        if epoch:
            chosen = [each for each in there if each.epoch == epoch]
            if not chosen:
                raise CallerError("no such epoch in the archive", expected=listed, found=epoch, where=str(self.folder))
            return chosen
        if by_seq and len(there) > 1:
            raise CallerError(
                "a sequence number means nothing without its epoch where there are several",
                found=listed,
                where=str(self.folder),
                remedy="Say which with --epoch, or give a time",
            )
        return there


def feed_folder(path: Path) -> Path:
    """The folder of one feed's archive: `path`, or the only one in it (`path` is then what archive.path says).

    :raises CallerError: it is not there, or is none, or holds several.
    """
    if not path.is_dir():
        raise CallerError("there is no such folder", expected="a feed's archive", found=str(path))
    if StoreReader(path).epochs():
        return path
    inner = sorted(each for each in path.iterdir() if each.is_dir() and StoreReader(each).epochs())
    if len(inner) == 1:
        return inner[0]
    if inner:
        names = ", ".join(each.name for each in inner)
        raise CallerError("several feeds have their archives here", found=names, where=str(path), remedy="Name one")
    raise CallerError(
        "there is no archive here", expected="segments of a feed's archive", found="none", where=str(path)
    )


def told(missing: Sequence[Missing]) -> str:
    """What is missing, in words: how much, and the first few ranges; "" if nothing is."""
    if not missing:
        return ""
    ranges = ", ".join(f"seq {each.first} to {each.last} ({each.cause})" for each in missing[:TOLD])
    more = f" and {len(missing) - TOLD} more ranges" if len(missing) > TOLD else ""
    return f"{sum(each.records for each in missing):,} records of all topics: {ranges}{more}"


def _ratio(part: int, whole: int) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
