"""A client of the control address: a DEALER that asks and takes answers apart."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple, Self

import orjson
import zmq

from feed.wire.frames import FLAG_REPLAYED, FLAG_SNAPSHOT, LogFrame, decode_firehose

WAIT_MS = 20_000
"""How long an answer may take before a test gives up: it bounds a hang, it is no requirement."""

RECORD, TOPIC = 0, 1


class Answer(NamedTuple):
    """`words` is the JSON part; `frames` are the log frames of all data parts; `sizes` are theirs, in bytes."""

    words: dict[str, Any]
    frames: list[LogFrame]
    sizes: list[int]

    @property
    def records(self) -> list[LogFrame]:
        return [frame for frame in self.frames if frame.kind == RECORD]


class Asker:
    """One connection."""

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = WAIT_MS
        self.socket.connect(endpoint)
        self._numbers = itertools.count(1)

    def send(self, request: str, **fields: Any) -> int:
        number = next(self._numbers)
        self.socket.send(orjson.dumps({"id": number, "request": request, **fields}))
        return number

    def take(self) -> Answer:
        """The next answer, whatever it is to."""
        words, *parts = self.socket.recv_multipart()
        answer = orjson.loads(words)
        frames: list[LogFrame] = []
        for part in parts:
            run = decode_firehose(part)
            flag = FLAG_SNAPSHOT if answer["answer"] == "snapshot" else FLAG_REPLAYED
            assert run.flags == flag
            assert run.epoch == answer["epoch"]
            assert all(frame.flags & flag for frame in run.frames)
            assert (run.seq, run.ts_in) == (run.frames[0].seq, run.frames[0].ts_in)
            frames += run.frames
        return Answer(answer, frames, [len(part) for part in parts])

    def ask(self, request: str, **fields: Any) -> Answer:
        number = self.send(request, **fields)
        answer = self.take()
        assert answer.words["id"] == number
        return answer

    def snapshot(self, *patterns: str, schemas: list[str] | None = None) -> Answer:
        """All chunks as one: the words of the last, with what was incomplete in any."""
        frames, sizes, incomplete, cursor = [], [], [], 0
        while cursor is not None:
            answer = self.ask("snapshot", patterns=list(patterns) or ["*"], schemas=schemas, **{"from": cursor})
            assert "error" not in answer.words, answer.words
            assert answer.words["next"] is None or answer.words["next"] > cursor
            frames += answer.frames
            sizes += answer.sizes
            incomplete += answer.words["incomplete"]
            cursor = answer.words["next"]
        return Answer({**answer.words, "incomplete": incomplete}, frames, sizes)

    def replay(self, **fields: Any) -> Answer:
        """All answers as one, until the end of the range, of the epoch or of time; `missing` of all of them."""
        frames, sizes, missing = [], [], []
        at = dict(fields)
        while True:
            answer = self.ask("replay", **at)
            words = answer.words
            assert "error" not in words, words
            assert words["next"] >= words["from"]
            frames += answer.frames
            sizes += answer.sizes
            missing += words["missing"]
            if words["end"] or ("to" in fields and words["next"] > fields["to"]):
                return Answer({**words, "missing": missing}, frames, sizes)
            at |= {"from": words["next"], "epoch": words["epoch"]}
            at.pop("from_time", None)

    def close(self) -> None:
        self.socket.close()
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
