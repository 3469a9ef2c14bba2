"""Snapshots and replays: requests whose answers are work. They take turns, one between any two looks at the socket."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from feed.config import size_bytes
from feed.control.replay import parse_replay
from feed.control.selection import Selection
from feed.control.snapshot import Snapshots
from feed.control.turns import Turns
from feed.errors import ControlError, ControlRefused, TickcastError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from feed.config import FeedConfig
    from feed.control.following import Following
    from feed.control.outbox import Outbox

__all__ = ["BEHIND_NS", "WORK_BYTES_PER_MS", "Job", "Work"]

BEHIND_NS = 1_000_000_000
"""A snapshot that the cache has not caught up for by then is refused, ns."""

WORK_BYTES_PER_MS = 128 << 10
"""What a millisecond of this thread is worth of a bot's bytes, where its answer is smaller: searching is work too."""

Number = int | str | None
Answer = tuple[dict[str, Any], list[bytes]]


@dataclass(slots=True)
class Job:
    """A request that waits for its turn; its answer goes to `route`, with `number`. `heard_ns` is monotonic."""

    route: list[bytes]
    number: Number
    what: str
    request: bytes
    heard_ns: int
    epoch: int = 0
    position: int = 0  # of the log, in `epoch`: a snapshot waits until the cache has reached it


class Work:
    """What waits. `told` makes an answer of number, request and fields, `refusal` one of number, reason and error."""

    def __init__(
        self,
        config: FeedConfig,
        following: Following,
        outbox: Outbox,
        told: Callable[[Number, str, dict[str, Any]], bytes],
        refusal: Callable[[Number, str, Exception], bytes],
    ) -> None:
        self._following = following
        self._outbox = outbox
        self._told = told
        self._refusal = refusal
        self._snapshots = Snapshots()
        self._turns: Turns[Job] = Turns(size_bytes(config.control.replay_bytes_per_s), config.control.replay_waiting)
        self.kinds: Mapping[str, Callable[[dict[str, Any]], Answer]] = {
            "snapshot": self._snapshot,
            "replay": self._replay,
        }

    def __len__(self) -> int:
        """Jobs that wait."""
        return len(self._turns)

    def put(self, job: Job) -> None:
        """Let a job wait for its turn. Raises ControlError."""
        if job.what == "snapshot":
            state = self._following.state
            job.epoch, job.position = state.epoch, state.tail
        before = self._turns.put(job.route[0], job.what, job, job.heard_ns)
        if before is not None:
            why = ControlRefused("replaced", "asked again before it was this request's turn", found=repr(job.number))
            self._outbox.send(before.route, [self._refusal(before.number, str(why), why)], job.heard_ns)

    def do(self, now_ns: int) -> int:
        """Do the job whose turn it is; 0: none can be done now."""
        taken = self._turns.take(now_ns, lambda job: now_ns - job.heard_ns > BEHIND_NS or self._caught_up(job))
        if taken is None:
            return 0
        bot, job = taken
        began_ns = time.thread_time_ns()
        parts: list[bytes] = []
        try:
            if not self._caught_up(job):
                raise ControlRefused("behind", "the snapshot cache is behind the log; ask again")
            told, parts = self.kinds[job.what](orjson.loads(job.request))
            reply = self._told(job.number, job.what, told)
        except (TickcastError, OSError) as error:  # the archive's disk may say anything
            reply, parts = self._refusal(job.number, str(error), error), []
        spent_ns = time.thread_time_ns() - began_ns
        self._turns.charge(bot, max(sum(map(len, parts)), spent_ns * WORK_BYTES_PER_MS // 1_000_000))
        if not self._outbox.send(job.route, [reply, *parts], now_ns):
            self._turns.drop(bot)
        return 1

    def wait_ns(self, now_ns: int) -> int | None:
        """How long until somebody's turn may come; None: nobody waits."""
        return self._turns.wait_ns(now_ns)

    def _caught_up(self, job: Job) -> bool:
        """Has the snapshot cache taken in what the log held when this was asked? With no log the answer says so."""
        if job.what != "snapshot":
            return True
        try:
            state = self._following.state
        except ControlError:
            return True
        return state.epoch != job.epoch or state.reached(job.position)

    def _snapshot(self, asked: dict[str, Any]) -> Answer:
        state = self._following.state
        selection = Selection.of(asked.get("patterns", ["*"]), asked.get("schemas"))
        chunk = self._snapshots.chunk(state, selection, asked.get("from", 0))
        told = {"epoch": state.epoch, "seq": chunk.seq, "next": chunk.next, "incomplete": chunk.incomplete}
        return told, chunk.parts

    def _replay(self, asked: dict[str, Any]) -> Answer:
        return self._following.replay.answer(parse_replay(asked))
