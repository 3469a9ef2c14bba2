"""What a push source remembers beyond its own death: up to where each pusher's records are in the log.

Two files beside the log, which last as long as the log does: DIRECTORY/pushers/NAME, and NAME.topics with a line for
each topic that this source has ever named. The first is 64-bit words in this machine's order, mapped, each stored at
once:

    header    8 words   magic · epoch of the log · newest ts_in given · intents begun · intents settled · uses · 0 · 0
    pushers   1,024 of 8 words    name (4 words, NUL-padded) · session · committed · refused · when it was used last
    intents   1,024 of 8 words    pusher · first · count · records · ts_in · seq · put · refused

An intent is stored before the first record of its message goes to the sink and settled once the last is in the log. A
source that is killed between leaves intents unsettled, and the next one asks the log: every message has a ts_in
that no other message of this source has from `seq` on, so that the records from there on with that ts_in in topics of
this source are those of this message that came so far. They are its first ones, since a sink keeps order.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feed.log.reader import LogReader

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["INTENTS", "NOT_YET", "PUSHERS", "Intent", "PushMemory", "Pusher"]

PUSHERS = 1024
"""Pushers that are remembered, those used last."""

INTENTS = 1024
"""Messages that may be on their way into the log at once."""

NOT_YET = 2**64 - 1
_SET_BACK_NS = 1_000_000_000
"""Longer than a message is on its way."""

_MAGIC = 0x31_48_53_55_50_54_43  # "CTPUSH1"
_WORDS = 8
_EPOCH, _TS_IN, _BEGUN, _SETTLED, _USES = range(1, 6)
_PUSHERS_AT = _WORDS
_INTENTS_AT = _PUSHERS_AT + PUSHERS * _WORDS
_BYTES = 8 * (_INTENTS_AT + INTENTS * _WORDS)
_NAME_BYTES = 32
_SESSION, _COMMITTED, _REFUSED, _USED = range(4, 8)
_RECORD = 0
"""Kind of a log frame that holds a record, TC_KIND_RECORD."""


class Pusher:
    """One remembered pusher. ``received`` runs ahead of ``committed`` by what is on its way into the log, ``turned`` of
    ``refused`` by what was refused behind that."""

    __slots__ = ("_at", "_words", "index", "name", "received", "turned")

    def __init__(self, words: memoryview, index: int, name: bytes) -> None:
        self._words = words
        self._at = _PUSHERS_AT + index * _WORDS
        self.index = index
        self.name = name
        self.received = self.committed
        self.turned = self.refused

    @property
    def session(self) -> int:
        return int(self._words[self._at + _SESSION])

    @session.setter
    def session(self, value: int) -> None:
        self._words[self._at + _SESSION] = value

    @property
    def committed(self) -> int:
        """Up to this number its records are in the log, or were refused."""
        return int(self._words[self._at + _COMMITTED])

    @committed.setter
    def committed(self, value: int) -> None:
        self._words[self._at + _COMMITTED] = value

    @property
    def refused(self) -> int:
        """How many of its records were refused."""
        return int(self._words[self._at + _REFUSED])

    @refused.setter
    def refused(self, value: int) -> None:
        self._words[self._at + _REFUSED] = value


@dataclass(frozen=True, slots=True)
class Intent:
    """A message on its way: numbers first to first + count - 1 of a pusher, of which `records` go into the log."""

    pusher: int
    first: int
    count: int
    records: int
    """0: it was refused."""
    ts_in: int
    seq: int
    put: int
    """How far the sink was filled when all of it was there; NOT_YET before."""
    refused: int
    """Of this pusher, with this message."""


class PushMemory:
    """The files of source `name` in the log's `directory`; of another epoch of the log they count for nothing.

    Made before anything is appended to the log. ``pushers`` by name; ``doubtful`` says how many messages the one before
    left half way; ``topics`` are those that this source has ever named.
    """

    def __init__(self, directory: Path, name: str) -> None:
        folder = directory / "pushers"
        folder.mkdir(mode=0o750, exist_ok=True)
        self._file = folder / name
        self._map = _mapped(self._file)
        self._words = memoryview(self._map).cast("Q")
        self.pushers: dict[bytes, Pusher] = {}
        self.doubtful = 0
        with LogReader.open(directory, start="begin") as reader:
            self.epoch = reader.epoch
            fresh = self._words[0] != _MAGIC or self._words[_EPOCH] != self.epoch
            if fresh:
                self._clear()
            self._topics_fd, self.topics = _topics(folder / f"{name}.topics", fresh)
            self._slots = [Pusher(self._words, i, found) if (found := self._name(i)) else None for i in range(PUSHERS)]
            self._free = [index for index in reversed(range(PUSHERS)) if self._slots[index] is None]
            self.pushers.update((each.name, each) for each in self._slots if each is not None)
            self._settle_doubts(reader)

    def close(self) -> None:
        """Nothing is stored after it."""
        self.pushers.clear()
        self._words.release()
        self._map.close()
        os.close(self._topics_fd)

    # --- pushers ----------------------------------------------------------------------------------------------------

    def pusher(self, name: bytes) -> Pusher | None:
        """The pusher of that name, a new one where there was none; for it the one whose hello is the oldest is
        forgotten.

        None: there is no room, since messages of all the others are on their way.
        """
        known = self.pushers.get(name)
        if known is not None:
            self._use(known.index)
            return known
        if not self._free and not self._forget():
            return None
        index = self._free.pop()
        at = _PUSHERS_AT + index * _WORDS
        for word in range(_WORDS):
            self._words[at + word] = 0
        for word, value in enumerate(memoryview(name.ljust(_NAME_BYTES, b"\0")).cast("Q")):
            self._words[at + word] = value
        self._use(index)
        made = self._slots[index] = self.pushers[name] = Pusher(self._words, index, name)
        return made

    def _forget(self) -> bool:
        busy = {self._intent(n).pusher for n in range(self._words[_SETTLED], self._words[_BEGUN])}
        idle = [each for each in self.pushers.values() if each.index not in busy]
        if not idle:
            return False
        oldest = min(idle, key=self._used)
        del self.pushers[oldest.name]
        self._slots[oldest.index] = None
        self._free.append(oldest.index)
        return True

    def _used(self, pusher: Pusher) -> int:
        return int(self._words[_PUSHERS_AT + pusher.index * _WORDS + _USED])

    def _use(self, index: int) -> None:
        self._words[_USES] += 1
        self._words[_PUSHERS_AT + index * _WORDS + _USED] = self._words[_USES]

    def _name(self, index: int) -> bytes:
        at = _PUSHERS_AT + index * _WORDS
        return self._words[at : at + 4].tobytes().rstrip(b"\0")

    # --- intents ----------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """No room for another intent."""
        return bool(self._words[_BEGUN] - self._words[_SETTLED] >= INTENTS)

    @property
    def open(self) -> int:
        """Messages on their way."""
        return int(self._words[_BEGUN] - self._words[_SETTLED])

    def ts_in(self, now_ns: int) -> int:
        """`now_ns`, or the least later time that no message on its way has. A clock that was set back is followed."""
        last = self._words[_TS_IN]
        self._words[_TS_IN] = now_ns if last - now_ns > _SET_BACK_NS else max(now_ns, last + 1)
        return int(self._words[_TS_IN])

    def begin(self, intent: Intent) -> None:
        """A message is about to go to the sink."""
        begun = self._words[_BEGUN]
        at = _INTENTS_AT + (begun % INTENTS) * _WORDS
        told = (intent.pusher, intent.first, intent.count, intent.records, intent.ts_in, intent.seq, intent.put)
        for word, value in enumerate((*told, intent.refused)):
            self._words[at + word] = value
        self._words[_BEGUN] = begun + 1

    def filled(self, put: int) -> None:
        """All of the message begun last is in the sink, which is filled so far."""
        self._words[_INTENTS_AT + ((self._words[_BEGUN] - 1) % INTENTS) * _WORDS + 6] = put

    def settle(self, landed: int) -> list[Pusher]:
        """Whose messages are in the log to the last record, now that it has all up to `landed`."""
        done = []
        while self._words[_SETTLED] < self._words[_BEGUN]:
            intent = self._intent(self._words[_SETTLED])
            if intent.put > landed:
                break
            pusher = self._slots[intent.pusher]
            assert pusher is not None, "nobody is forgotten who has a message on its way"
            pusher.committed = max(pusher.committed, intent.first + intent.count - 1)
            pusher.refused = max(pusher.refused, intent.refused)
            done.append(pusher)
            self._words[_SETTLED] += 1
        return done

    def _intent(self, number: int) -> Intent:
        at = _INTENTS_AT + (number % INTENTS) * _WORDS
        return Intent(*self._words[at : at + _WORDS])

    def _settle_doubts(self, reader: LogReader) -> None:
        """Ask the log how much of each unsettled message came."""
        open_ = [self._intent(n) for n in range(self._words[_SETTLED], self._words[_BEGUN])]
        self.doubtful = len(open_)
        there = _counted(reader, self.topics, open_) if any(each.records for each in open_) else {}
        for intent in open_:
            pusher = self._slots[intent.pusher]
            if pusher is None or intent.first > pusher.committed + 1:
                continue  # what goes before it did not come, so that neither did this
            came = there.get(intent.ts_in, 0) if intent.records else intent.count
            pusher.committed = max(pusher.committed, intent.first + came - 1)
            pusher.refused = max(pusher.refused, intent.refused)
            pusher.received, pusher.turned = pusher.committed, pusher.refused
        self._words[_SETTLED] = self._words[_BEGUN]

    # --- topics -----------------------------------------------------------------------------------------------------

    def own(self, schema: str, symbol: str) -> None:
        """This source is about to name a topic."""
        if (schema, symbol) not in self.topics:
            os.write(self._topics_fd, f"{schema}.{symbol}\n".encode("ascii"))
            self.topics.add((schema, symbol))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        """Of another log, or new. The epoch is stored last."""
        self._words[_EPOCH] = 0
        for word in range(2, len(self._words)):
            self._words[word] = 0
        self._words[0] = _MAGIC
        self._words[_EPOCH] = self.epoch


def _mapped(file: Path) -> mmap.mmap:
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        os.posix_fallocate(fd, 0, _BYTES)
        return mmap.mmap(fd, _BYTES)
    finally:
        os.close(fd)


def _topics(file: Path, fresh: bool) -> tuple[int, set[tuple[str, str]]]:
    """The file, open for appending, and what it names: a line that was not finished names nothing."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    text = b"" if fresh else file.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    os.ftruncate(fd, len(whole))
    names = (line.decode("ascii").partition(".") for line in whole.splitlines())
    return fd, {(schema, symbol) for schema, _, symbol in names}


def _counted(reader: LogReader, topics: set[tuple[str, str]], intents: list[Intent]) -> dict[int, int]:
    """How many records in `topics` have the ts_in of each of `intents`."""
    wanted = {each.ts_in: 0 for each in intents if each.records}
    ours: dict[int, bool] = {}
    reader.seek(min(each.seq for each in intents if each.records))
    while (tick := reader.read()) is not None:
        if tick.kind != _RECORD or tick.ts_in not in wanted:
            continue
        if tick.topic_id not in ours:
            ours[tick.topic_id] = reader.topic(tick.topic_id) in topics
        wanted[tick.ts_in] += ours[tick.topic_id]
    return wanted
