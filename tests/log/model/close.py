"""Close: a reader that hears of the end has read everything that came before it.

The writer commits its last frame, says that the log is closed and rings, whoever waits. A reader that found no
frame and then finds the log closed looks for a frame once more: both may have come since it looked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .park import until_changed
from .program import Program, Thread, Violation, fetch_add, load, store
from .protocol import Protocol


@dataclass(frozen=True)
class Close(Protocol):
    """A writer commits one frame and closes; a reader reads, parks, and goes when it is told."""

    needs: ClassVar[dict[str, str]] = {
        "publish": "the end is seen before the frame in front of it",
        "read_published": "the last look for a frame comes before the news of the end",
        "ring": "the ring is heard before the end is seen, and there will be no other",
        "rings": "the same, seen from the reader",
    }
    spares: ClassVar[dict[str, str]] = {
        "commit": "the store of the state orders it too; Commit needs it",
        "committed": "the load of the state orders it too; Commit needs it",
    }
    slips: ClassVar[dict[str, str]] = {
        "does not look again": "frame and end both come between the look for the one and the look for the other",
        "rings before it closes": "the reader wakes, finds the log open and sleeps on",
    }

    def program(self) -> Program:
        return Program({"writer": self.writer, "reader": self.reader}, {"length": 0, "state": "open", "doorbell": 0})

    def writer(self) -> Thread:
        yield store("length", 8, self.fences.commit)
        ring = fetch_add("doorbell", 1, self.fences.ring)
        if self.slip == "rings before it closes":
            yield ring
        yield store("state", "closed", self.fences.publish)
        if self.slip != "rings before it closes":
            yield ring

    def reader(self) -> Thread:
        look = load("length", self.fences.committed)
        state = load("state", self.fences.read_published)
        read = False
        while True:
            read = read or (yield look) != 0
            if (yield state) == "closed":
                if self.slip != "does not look again":
                    read = read or (yield look) != 0
                if not read:
                    raise Violation("went, and left the last frame unread")
                return "read all"
            rung = yield load("doorbell", self.fences.rings)
            if not (not read and (yield look)) and (yield state) == "open":
                yield from until_changed("doorbell", rung)
