"""What was written to a log, and what replays make of it."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from feed.wire.frames import FLAG_REPLAYED
from feed.wire.records import BY_ID, SCHEMAS
from tests.control.asking import TOPIC, Answer
from tests.control.conftest import Served

SIZES = {schema.word: schema.record_bytes for schema in SCHEMAS}
NAMES = [
    ("quote", "AAPL"),
    ("trade", "AAPL"),
    ("quote", "AAPLW"),
    ("order", "ESU4"),
    ("definition", "ESU4"),
    ("bbo", "Z"),
]


class Written(NamedTuple):
    epoch: int
    schema: str
    symbol: str
    seq: int
    topic_seq: int
    ts_in: int
    record: bytes


class History(list[Written]):
    """Everything that went into a log."""

    def __init__(self, served: Served) -> None:
        super().__init__()
        self.served = served
        self.begin()

    def begin(self) -> None:
        """The log that is there now is another one."""
        self.writer = self.served.writer
        self.ids = {name: self.writer.topic(*name) for name in NAMES}
        self.counts = dict.fromkeys(NAMES, 0)

    def __repr__(self) -> str:
        return f"<{len(self)} records>"

    def write(self, *which: int) -> None:
        """A record to each of these topics (indices into NAMES), different from all others, a µs after the last."""
        for each in which:
            name = NAMES[each]
            seq = self.writer.next_seq
            record = struct.pack("<Q", seq) * (SIZES[name[0]] // 8)
            ts_in = self.writer.epoch + 1000 * seq
            assert self.writer.publish(self.ids[name], record, ts_in=ts_in) == seq
            self.counts[name] += 1
            self.append(Written(self.writer.epoch, *name, seq, self.counts[name], ts_in, record))


def told(answer: Answer) -> list[Written]:
    """The records of one answer, by the topics that it announces itself."""
    names: dict[int, tuple[str, str]] = {}
    found = []
    for frame in answer.frames:
        assert frame.flags == FLAG_REPLAYED
        if frame.kind == TOPIC:
            assert frame.topic_id not in names
            schema, length = struct.unpack_from("<HH", frame.record)
            names[frame.topic_id] = (BY_ID[schema].word, frame.record[8 : 8 + length].decode())
        else:
            found.append(
                Written(
                    answer.words["epoch"], *names[frame.topic_id], frame.seq, frame.topic_seq, frame.ts_in, frame.record
                )
            )
    assert {(each.schema, each.symbol) for each in found} == set(names.values())
    return found


def walked(served: Served, **fields: Any) -> tuple[list[Written], list[list[Any]], dict[str, Any]]:
    """All answers to a question, one after the other, through all epochs: records, missing ranges, the last words."""
    found, missing, at = [], [], dict(fields)
    while True:
        answer = served.asker.ask("replay", **at)
        words = answer.words
        assert "error" not in words, words
        part = told(answer)
        assert all(words["from"] <= each.seq < words["next"] for each in part)
        assert words["next_seq"] <= served.writer.next_seq
        found += part
        missing += words["missing"]
        at.pop("from_time", None)
        if words["end"] and words["next_epoch"] is not None:
            assert words["epoch"] < words["next_epoch"] <= served.writer.epoch
            at |= {"from": 1, "epoch": words["next_epoch"]}
            continue
        if words["end"] or words["next"] > fields.get("to", 2**63):
            return found, missing, words
        assert words["next"] > words["from"], words
        at |= {"from": words["next"], "epoch": words["epoch"]}
