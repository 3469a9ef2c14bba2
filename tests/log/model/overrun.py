"""Overrun: what a reader copies from a place that is being overwritten is never taken for a frame.

Before the writer touches a segment again it says so in `low`, and a fence keeps the overwriting stores behind that.
A reader copies first and looks at `low` then: if any word of its copy came from an overwriting store, it sees the
`low` that went before. A word that reads 0 is judged in the same way, for in the next lap it may be any part of any
frame.

A reader that was overtaken goes on at `low` itself, the oldest whole frame. It must find it there.

Here one place of the log holds the frame of lap 1; the position of this place in lap k is k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .program import Program, Thread, Violation, fence, load, store
from .protocol import Protocol


@dataclass(frozen=True)
class Overrun(Protocol):
    """The writer comes round and overwrites the frame that a reader is copying."""

    over: int = 0
    """What lap 2 has where lap 1 had its length: a length not yet stored, or the inside of some longer frame."""

    needs: ClassVar[dict[str, str]] = {
        "void_below_fence": "overwriting stores are seen before `low`",
        "low_after_copy_fence": "`low` is read before the copy is made",
    }
    spares: ClassVar[dict[str, str]] = {
        "committed": "the fence that comes after the copy comes after this load too; Commit needs it",
    }
    slips: ClassVar[dict[str, str]] = {
        "voids after overwriting": "the copy is torn, and `low` has not moved yet",
        "looks at low before copying": "the copy is torn after it was found whole",
        "never looks at low": "the copy is torn and nobody asks",
    }

    def program(self) -> Program:
        memory = {"low": 1, "length": 8, "body.a": "lap 1", "body.b": "lap 1"}
        return Program({"writer": self.writer, "reader": self.reader}, memory)

    def writer(self) -> Thread:
        if self.slip != "voids after overwriting":
            yield from self.void_below(2)
        yield store("length", self.over)
        yield store("body.a", "lap 2")
        yield store("body.b", "lap 2")
        if self.slip == "voids after overwriting":
            yield from self.void_below(2)

    def void_below(self, position: int) -> Thread:
        yield store("low", position, self.fences.void_below)
        yield fence(self.fences.void_below_fence)

    def reader(self) -> Thread:
        low = (yield from self.low_after_copy()) if self.slip == "looks at low before copying" else 0
        length = yield load("length", self.fences.committed)
        a = yield load("body.a")
        b = yield load("body.b")
        if not self.slip:
            low = yield from self.low_after_copy()
        if low > 1:
            return "overtaken"
        if length != 8:
            raise Violation(f"took {length}, which lap 2 stored, for the length of its frame")
        if (a, b) != ("lap 1", "lap 1"):
            raise Violation(f"took a torn copy for a frame: {a}, {b}")
        return "read"

    def low_after_copy(self) -> Thread:
        yield fence(self.fences.low_after_copy_fence)
        return (yield load("low", self.fences.low_after_copy))


@dataclass(frozen=True)
class Rejoin(Protocol):
    """The writer commits the frame of lap 1 and a lap later makes it the oldest; an overtaken reader goes there."""

    needs: ClassVar[dict[str, str]] = {
        "void_below": "`low` is seen before the frame that it points to",
        "low": "the frame is read before `low`",
    }
    spares: ClassVar[dict[str, str]] = {
        "commit": "`low` comes later and is a release too; Commit needs it",
        "committed": "`low` was acquired before; Commit needs it",
    }

    def program(self) -> Program:
        return Program({"writer": self.writer, "reader": self.reader}, {"low": 0, "length": 0, "body": "lap 0"})

    def writer(self) -> Thread:
        yield store("body", "lap 1")
        yield store("length", 8, self.fences.commit)
        yield store("low", 1, self.fences.void_below)

    def reader(self) -> Thread:
        if (yield load("low", self.fences.low)) != 1:
            return "not overtaken"
        if (yield load("length", self.fences.committed)) != 8:
            raise Violation("found no frame at the oldest position")
        if (yield load("body")) != "lap 1":
            raise Violation("found the body of lap 0 at the oldest position")
        return "rejoined"
