"""Commit: a reader that sees a frame's length sees the whole frame, and no stale word where the next will be.

A frame's length is stored last, with release; the word where the next frame's length will be is cleared before
that, for the memory still holds whatever the last lap left there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .program import Program, Thread, Value, Violation, load, store
from .protocol import Protocol

FRAMES = 2
STALE = "stale"


@dataclass(frozen=True)
class Commit(Protocol):
    """A writer appends two frames; a reader follows as far as it can see."""

    needs: ClassVar[dict[str, str]] = {
        "commit": "the length is seen before the body",
        "committed": "the body is read before the length",
    }
    slips: ClassVar[dict[str, str]] = {
        "never clears": "the reader takes a stale word for the next frame's length",
        "clears after the commit": "the reader is at the next frame before its length is cleared",
        "commits before the body": "the reader sees a frame that is not there yet",
    }

    def program(self) -> Program:
        lengths: dict[str, Value] = {f"length[{n}]": STALE if n else 0 for n in range(FRAMES + 1)}
        bodies = {f"body[{n}]": STALE for n in range(FRAMES)}
        return Program({"writer": self.writer, "reader": self.reader}, lengths | bodies)

    def writer(self) -> Thread:
        for n in range(FRAMES):
            clear_next = store(f"length[{n + 1}]", 0, self.fences.clear_next)
            commit = store(f"length[{n}]", 8, self.fences.commit)
            if self.slip not in {"never clears", "clears after the commit"}:
                yield clear_next
            if self.slip == "commits before the body":
                yield commit
            yield store(f"body[{n}]", f"frame {n}")
            if self.slip != "commits before the body":
                yield commit
            if self.slip == "clears after the commit":
                yield clear_next

    def reader(self) -> Thread:
        for n in range(FRAMES + 1):
            length = yield load(f"length[{n}]", self.fences.committed)
            if length == 0:
                return f"{n} frames"
            if length == STALE:
                raise Violation(f"took a stale word for the length of frame {n}")
            if (yield load(f"body[{n}]")) != f"frame {n}":
                raise Violation(f"saw the length of frame {n} but not its body")
        return f"{FRAMES} frames"
