"""A feed as a bot can know it, without a thread or a socket: its numbering, its log, its frames, its control address.

Everything is exact and decided by the test: which frames are lost, doubled or late, which requests are answered, when,
how much of them at once, and what the log has forgotten by then.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from feed.wire import frames
from feed.wire.frames import FLAG_CONFLATED, FLAG_REPLAYED, FLAG_SNAPSHOT, LogFrame
from feed.wire.records import BY_WORD

Key = tuple[str, str]

TOPICS: tuple[Key, ...] = (
    ("trade", "A"),
    ("quote", "A"),
    ("trade", "B"),
    ("quote", "B"),
    ("order", "A"),
    ("status", "A"),
)
"""Events and states; `status` is an event of which snapshots know the last."""

UNWANTED: Key = ("stat", "A")
RESTING = 3
"""Frames of an order book in a snapshot: a Clear and so many less one Adds."""

STATE_KEPT = {"quote", "bbo", "book", "definition", "status"}
FRESH_NS, OLD_NS = 1 << 62, 1
"""A ts_sent that makes nobody late, and one that makes anybody late."""

RECORD, TOPIC = 0, 1
_TOPIC_ENTRY = struct.Struct("<HHI72s")
_DBN_HEADER = struct.Struct("<BBHIQ")


Piece = tuple[int, bytes, tuple[int, int] | None]
"""A block as bots.links.history takes it: epoch, log frames, and the seqs that will not come."""


class Tick(NamedTuple):
    """A record of the log."""

    epoch: int
    seq: int
    key: Key
    topic_seq: int

    @property
    def record(self) -> bytes:
        """It holds its own numbers: `ts_event` its seq, `instrument_id` its topic_seq, `publisher_id` its epoch."""
        size = BY_WORD[self.key[0]].record_bytes
        return _DBN_HEADER.pack(size // 4, 0, self.epoch % 65536, self.topic_seq, self.seq).ljust(size, b"\0")


class Frame(NamedTuple):
    """A message of the wire and what it holds; `key` is None for a heartbeat."""

    data: bytes
    epoch: int
    key: Key | None
    topic_seq: int
    ticks: tuple[Tick, ...]
    folded: int

    @property
    def begins(self) -> int:
        """The first topic_seq that it accounts for."""
        return self.topic_seq - self.folded

    @property
    def ends(self) -> int:
        """The last topic_seq that the topic has as of this frame."""
        return self.topic_seq + len(self.ticks) - 1


@dataclass
class Feed:
    """The sequencer's numbers, the log of each epoch, and the publisher's frames."""

    epoch: int = 10
    next_seq: int = 1
    logs: dict[int, list[Tick]] = field(default_factory=dict)
    last: dict[Key, int] = field(default_factory=dict)
    horizon: dict[int, int] = field(default_factory=dict)
    """Of each epoch: what lies below is in neither log nor archive."""

    known_epochs: set[int] = field(default_factory=set)
    """Epochs before this one that the archive has."""

    def __post_init__(self) -> None:
        self.logs[self.epoch] = []

    def begin(self, epoch: int, archived: bool) -> None:
        """The log is lost."""
        if archived:
            self.known_epochs.add(self.epoch)
        self.epoch = epoch
        self.next_seq = 1
        self.last = {}
        self.logs[epoch] = []

    def forget(self, seq: int) -> None:
        self.horizon[self.epoch] = max(self.oldest(self.epoch), min(seq, self.next_seq))

    def oldest(self, epoch: int) -> int:
        return self.horizon.get(epoch, 1)

    def tick(self, key: Key) -> Tick:
        self.last[key] = self.last.get(key, 0) + 1
        tick = Tick(self.epoch, self.next_seq, key, self.last[key])
        self.next_seq += 1
        self.logs[self.epoch].append(tick)
        return tick

    # --- the publisher ----------------------------------------------------------------------------------------------

    def publish(self, keys: list[Key], batch: int, conflate: bool, sent: int = FRESH_NS) -> list[Frame]:
        """Ticks of `keys`, all there when the publisher comes: at most `batch` in a frame; states may be conflated."""
        open_: dict[Key, list[Tick]] = {}
        waiting: list[list[Tick]] = []
        for key in keys:
            tick = self.tick(key)
            ticks = open_.get(key)
            if ticks is None or len(ticks) == batch:
                waiting.append(ticks := [])
                open_[key] = ticks
            ticks.append(tick)
        made = []
        for ticks in waiting:
            folds = conflate and BY_WORD[ticks[0].key[0]].conflatable
            made.append(frame_of(ticks[-1:] if folds else ticks, len(ticks) - 1 if folds else 0, sent))
        return sorted(made, key=lambda each: each.ticks[0].seq)

    def empty(self, key: Key) -> Frame:
        """News of the numbering of one topic."""
        due = self.last.get(key, 0) + 1
        data = frames.encode(name_of(key), epoch=self.epoch, seq=self.next_seq, topic_seq=due, ts_sent=FRESH_NS)
        return Frame(data, self.epoch, key, due, (), 0)

    def heartbeat(self) -> Frame:
        data = frames.heartbeat(epoch=self.epoch, seq=self.next_seq, ts_sent=FRESH_NS)
        return Frame(data, self.epoch, None, 0, (), 0)

    # --- the archive ------------------------------------------------------------------------------------------------

    def history(self, epoch: int, seq: int, most: int = 5) -> list[Piece]:
        """Everything from record `seq` of `epoch` on, in blocks of at most `most` records, and the epochs after it."""
        pieces: list[Piece] = []
        for each in sorted(self.logs):
            if each < epoch or (each != self.epoch and each not in self.known_epochs):
                continue
            first = max(1, seq) if each == epoch else 1
            oldest = self.oldest(each)
            if first < oldest:
                pieces.append((each, b"", (first, oldest - 1)))
            log = self.logs[each][max(first, oldest) - 1 :]
            for at in range(0, len(log), most):
                runs = packed(log[at : at + most], 0, each)
                pieces += [(each, bytes(frames.log_frames(run)), None) for run in runs]
        return pieces

    # --- the control address ------------------------------------------------------------------------------------------

    def replay(self, asked: dict[str, Any], most: int, look: int) -> tuple[dict[str, Any], list[bytes]]:
        """The answer to `asked`: at most `most` records, and at most `look` looked at."""
        epoch = asked["epoch"] or self.epoch
        first, to = max(1, asked.get("from", 1)), asked.get("to")
        words: dict[str, Any] = {
            "epoch": epoch,
            "from": first,
            "next_epoch": None,
            "missing": [],
            "next_seq": self.next_seq,
        }
        log = self.logs.get(epoch, [])
        if epoch != self.epoch and epoch not in self.known_epochs:
            unknown = [[first, first - 1, "epoch"]]
            return words | {"next": first, "end": True, "next_epoch": self.epoch, "missing": unknown}, []
        oldest = self.oldest(epoch)
        if first < oldest:
            words["missing"] = [[first, oldest - 1 if to is None else min(to, oldest - 1), "expired"]]
        ranges = (
            [((word, symbol), low, high) for word, symbol, low, high in asked["topics"]] if "topics" in asked else None
        )
        open_ = set(ranges or ())
        found: list[Tick] = []
        at = max(first, oldest)
        end = False
        while True:
            if ranges is not None and not open_:
                at = max(at, min(to + 1, self.next_seq)) if to is not None else at
                break
            if to is not None and at > to:
                break
            if at > len(log):
                end = True
                break
            if look == 0:
                break
            tick = log[at - 1]
            wanted = ranges is None or any(
                key == tick.key and low <= tick.topic_seq <= high for key, low, high in ranges
            )
            if wanted:
                if len(found) == most:
                    break
                found.append(tick)
            open_ -= {each for each in open_ if each[0] == tick.key and tick.topic_seq >= each[2]}
            look -= 1
            at += 1
        words |= {"next": at, "end": end or at > len(log)}
        if words["end"] and epoch != self.epoch:
            words["next_epoch"] = min(each for each in self.logs if each > epoch)
        return words, packed(found, FLAG_REPLAYED, epoch)

    def snapshot(self, asked: dict[str, Any], most: int) -> tuple[dict[str, Any], list[bytes]]:
        """The state of at most `most` topics, from the cursor on."""
        keys = list(self.last)
        at = asked["from"]
        told = keys[at : at + most]
        run: list[LogFrame] = []
        for key in told:
            last = next(tick for tick in reversed(self.logs[self.epoch]) if tick.key == key)
            run.append(announced(key, last.seq, last.topic_seq))
            if key[0] in STATE_KEPT:
                run.append(logged(last, FLAG_SNAPSHOT))
            elif key[0] == "order":
                run += [logged(last, FLAG_SNAPSHOT)] * RESTING
        words: dict[str, Any] = {
            "epoch": self.epoch,
            "seq": self.next_seq - 1,
            "next": at + most if at + most < len(keys) else None,
            "incomplete": [],
        }
        data = frames.encode_firehose(run, epoch=self.epoch, seq=self.next_seq, flags=FLAG_SNAPSHOT)
        return words, [data] if run else []


class Ask(NamedTuple):
    """A request as it reached the control address."""

    number: int
    name: str
    fields: dict[str, Any]


class Control:
    """What a bot has of the control address (bots.directory.ControlClient); the test answers."""

    def __init__(self) -> None:
        self.connected = True
        self.asks: list[Ask] = []
        """Not answered yet, whether anybody still waits or not."""

        self.waiting: set[int] = set()
        self.asked = 0
        self.forgotten = 0
        self._answers: dict[int, tuple[dict[str, Any], list[bytes]]] = {}

    @property
    def unanswered(self) -> set[int]:
        """Requests whose answer the bot waits for."""
        return self.waiting - self._answers.keys()

    def request(self, request: str, **fields: Any) -> int | None:
        if not self.connected:
            return None
        self.asked += 1
        self.asks.append(Ask(self.asked, request, fields))
        self.waiting.add(self.asked)
        return self.asked

    def answer(self, number: int) -> tuple[dict[str, Any], list[bytes]] | None:
        if number not in self._answers:
            return None
        self.waiting.discard(number)
        return self._answers.pop(number)

    def forget(self, number: int) -> None:
        self.waiting.discard(number)
        self._answers.pop(number, None)
        self.forgotten += 1

    def reply(self, number: int, words: dict[str, Any], pieces: list[bytes]) -> bool:
        """An answer comes; false if nobody waits for it any more."""
        if number not in self.waiting or number in self._answers:
            return False
        self._answers[number] = {"id": number, **words}, pieces
        return True


class Archive:
    """Blocks for a HistoryLink; of what the feed appends meanwhile nothing comes."""

    def __init__(self, pieces: list[Piece], epoch: int) -> None:
        self.epoch = epoch
        self.ended = False
        self._pieces = pieces[::-1]

    def next_block(self) -> Piece | None:
        if self._pieces:
            return self._pieces.pop()
        self.ended = True
        return None

    def wait(self, timeout_s: float) -> bool:
        return True

    def topic(self, topic_id: int) -> tuple[str, str]:
        raise KeyError(topic_id)

    def close(self) -> None:
        self._pieces = []


# --- bytes ------------------------------------------------------------------------------------------------------------


def name_of(key: Key) -> bytes:
    return f"{key[0]}.{key[1]}|".encode()


def frame_of(ticks: list[Tick], folded: int = 0, sent: int = FRESH_NS) -> Frame:
    """One frame of the wire; `folded` ticks before its only one are not in it."""
    data = frames.encode(
        name_of(ticks[0].key),
        b"".join(tick.record for tick in ticks),
        epoch=ticks[0].epoch,
        seq=ticks[0].seq,
        topic_seq=ticks[0].topic_seq,
        ts_in=1000 + ticks[0].seq,
        ts_sent=sent,
        flags=FLAG_CONFLATED if folded else 0,
        folded=folded,
        seqs=[tick.seq for tick in ticks],
        ts_ins=[1000 + tick.seq for tick in ticks],
    )
    return Frame(data, ticks[0].epoch, ticks[0].key, ticks[0].topic_seq, tuple(ticks), folded)


def topic_id(key: Key) -> int:
    """Ids of the log have nothing to do with indices of a link."""
    return _IDS.setdefault(key, 7 + 3 * len(_IDS))


_IDS: dict[Key, int] = {}


def logged(tick: Tick, flags: int = 0) -> LogFrame:
    return LogFrame(topic_id(tick.key), tick.seq, tick.topic_seq, 1000 + tick.seq, 5, RECORD, flags, tick.record)


def announced(key: Key, seq: int, topic_seq: int = 0) -> LogFrame:
    entry = _TOPIC_ENTRY.pack(BY_WORD[key[0]].id, len(key[1]), topic_id(key), key[1].encode())
    return LogFrame(topic_id(key), seq, topic_seq, 0, 0, TOPIC, 0, entry)


def packed(ticks: list[Tick], flags: int, epoch: int) -> list[bytes]:
    """The data parts of an answer; each topic is announced before its first record. Long answers have two parts."""
    run: list[LogFrame] = []
    told: set[Key] = set()
    for tick in ticks:
        if tick.key not in told:
            told.add(tick.key)
            run.append(announced(tick.key, tick.seq))
        run.append(logged(tick))
    half = len(run) // 2 if len(run) > 8 else len(run)
    return [
        frames.encode_firehose(part, epoch=epoch, seq=part[0].seq, flags=flags)
        for part in (run[:half], run[half:])
        if part
    ]
