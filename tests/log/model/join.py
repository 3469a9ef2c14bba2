"""Join: a reader begins at the published tail and knows the seq of what comes there.

The writer stores next_seq and then the tail, both with release, after the frames that they count. A reader takes
the tail, then next_seq. If there is no frame at that tail, then next_seq is still that of the tail; if there is
one, it says its seq itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .program import Program, Thread, Value, Violation, load, store
from .protocol import Protocol

FRAMES = 2
STALE = "stale"


@dataclass(frozen=True)
class Join(Protocol):
    """The writer appends frame after frame and publishes each; frame n has seq n + 1. A reader joins."""

    needs: ClassVar[dict[str, str]] = {
        "publish": "the tail is seen before the length there is cleared",
        "read_published": "the length at the tail is read before the tail",
        "commit": "a frame at the tail is seen before its seq",
        "committed": "the seq of a frame at the tail is read before its length",
    }
    slips: ClassVar[dict[str, str]] = {
        "takes next_seq before the tail": "frames come in between, and the seq is too low",
        "looks for a frame before taking next_seq": "frames come in between, and the seq is too high",
    }

    def program(self) -> Program:
        lengths: dict[str, Value] = {f"length[{n}]": STALE if n else 0 for n in range(FRAMES + 1)}
        seqs = {f"seq[{n}]": STALE for n in range(FRAMES + 1)}
        return Program({"writer": self.writer, "reader": self.reader}, {"tail": 0, "next_seq": 1} | lengths | seqs)

    def writer(self) -> Thread:
        for n in range(FRAMES):
            yield store(f"length[{n + 1}]", 0, self.fences.clear_next)
            yield store(f"seq[{n}]", n + 1)
            yield store(f"length[{n}]", 8, self.fences.commit)
            yield store("next_seq", n + 2, self.fences.publish)
            yield store("tail", n + 1, self.fences.publish)

    def reader(self) -> Thread:
        take_next_seq = load("next_seq", self.fences.read_published)
        if self.slip == "takes next_seq before the tail":
            seq = yield take_next_seq
        tail = yield load("tail", self.fences.read_published)
        look = load(f"length[{tail}]", self.fences.committed)
        if self.slip == "looks for a frame before taking next_seq":
            length = yield look
        if self.slip != "takes next_seq before the tail":
            seq = yield take_next_seq
        if self.slip != "looks for a frame before taking next_seq":
            length = yield look
        if length:
            seq = yield load(f"seq[{tail}]")
        if seq != tail + 1:
            raise Violation(f"joined at frame {tail} and took its seq for {seq}")
        return f"joined at frame {tail}"
