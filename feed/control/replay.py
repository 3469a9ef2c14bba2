"""The answer to `replay`: records of the past, from the log or, behind it, the archive (README.md beside this file).

Each request says all that is needed; all that is kept between answers is where the last ones ended: it saves a search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from feed.control.past import Past
from feed.control.scan import RANGES_MAX, Scan, seek_time, stand, standing, step_aside
from feed.errors import ControlError, ControlRefused
from feed.log.reader import LogReader

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ANSWER_BYTES", "Replay", "ReplayRequest", "parse_replay"]

ANSWER_BYTES = 1 << 20
"""Log frames in one answer at most, but that there is at least one record where any is wanted."""

WITHIN_NS = 3_000_000
"""How long one search may take: the others wait meanwhile."""

ENDS_KEPT = 256
EXPIRED = "expired"
GONE = "epoch"

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ReplayRequest(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A request that was read; `topics` or `patterns` is there, not both."""

    epoch: Number = 0
    from_: Number | None = None
    from_time: Number | None = None
    to: Number | None = None
    topics: list[tuple[str, str, Number, Number]] | None = None
    patterns: list[str] | None = None
    schemas: list[str] | None = None
    bytes: Number = ANSWER_BYTES


class Answer(NamedTuple):
    """The JSON part and the data parts."""

    told: dict[str, Any]
    parts: list[bytes]


def parse_replay(asked: dict[str, Any]) -> ReplayRequest:
    """Raises ControlError saying which field is wrong, ControlRefused for too many ranges."""
    try:
        request = msgspec.convert(asked, ReplayRequest)
    except msgspec.ValidationError as error:
        raise ControlError(f"not a request for a replay: {error}") from None
    if (request.topics is None) == (request.patterns is None):
        raise ControlError("not a request for a replay", expected="either topics or patterns")
    if request.from_ is not None and request.from_time is not None:
        raise ControlError("not a request for a replay", expected="either from or from_time", found="both")
    if request.topics is not None and len(request.topics) > RANGES_MAX:
        raise ControlRefused(
            "ranges", "too many ranges", expected=f"at most {RANGES_MAX} in one request", found=len(request.topics)
        )
    return request


class Replay:
    """Serves the log in `directory` and the archive in the folder `archive`, None: there is none.

    :raises LogMissing: there is no log.
    """

    def __init__(self, directory: Path, archive: Path | None) -> None:
        self._log = LogReader.open(directory, name="control.replay")
        self._past = None if archive is None else Past(archive)
        self._scan = Scan()
        self._ends: dict[int, int] = {}  # seq to position, where answers ended

    def close(self) -> None:
        self._log.close()
        if self._past is not None:
            self._past.close()

    def rest(self) -> None:
        """Nothing is being read: this reader is not behind."""
        step_aside(self._log)

    def answer(self, request: ReplayRequest) -> Answer:
        """Raises ControlError for what is no topic or pattern, StoreError where the archive can't be read."""
        if request.topics is not None:
            self._scan.select_ranges(request.topics)
        else:
            self._scan.select(request.patterns, request.schemas)
        epoch, first = self._start(request)
        told: dict[str, Any] = {"epoch": epoch, "from": first, "next_epoch": None, "missing": []}
        self._begin(request, epoch, first, None)
        if request.to is not None and request.to < first:
            told |= {"next": first, "end": False}
        elif epoch == self._log.epoch:
            self._present(request, first, told)
        else:
            self._former(request, epoch, first, told)
        told["next_seq"] = max(self._log.next_seq, standing(self._log))
        return Answer(told, self._scan.taken())

    # --- the present epoch ------------------------------------------------------------------------------------------

    def _present(self, request: ReplayRequest, first: int, told: dict[str, Any]) -> None:
        there = stand(self._log, first, self._ends.get(first, 0))
        if there > first:
            self._begin(request, told["epoch"], first, there - 1)
            outcome = "end"
            if self._past is not None:
                outcome, told["missing"], _ = self._past.search(self._scan, told["epoch"])
            if self._scan.next > first or outcome == "met":
                told |= {"next": self._came_to(request, outcome, self._log.next_seq), "end": False}
                return
            told["missing"] = [[first, _least(request.to, there - 1), EXPIRED]]
            self._begin(request, told["epoch"], there, None)
        outcome = self._scan.search(self._log)
        if outcome in {"full", "time", "end"} and standing(self._log) == self._scan.next:
            self._remember(self._scan.next, self._log.position)
        told["next"] = self._came_to(request, outcome, self._log.next_seq)
        told["end"] = outcome == "end" or (outcome in {"done", "met"} and told["next"] >= self._log.next_seq)

    def _came_to(self, request: ReplayRequest, outcome: str, end: int) -> int:
        """The seq below which all that is wanted is in the answer; where all ranges were met, that is the end of it."""
        if outcome == "met":
            return max(self._scan.next, end if request.to is None else min(request.to + 1, end))
        return self._scan.next

    def _remember(self, seq: int, position: int) -> None:
        self._ends[seq] = position
        if len(self._ends) > ENDS_KEPT:
            del self._ends[next(iter(self._ends))]

    # --- an epoch that is over --------------------------------------------------------------------------------------

    def _former(self, request: ReplayRequest, epoch: int, first: int, told: dict[str, Any]) -> None:
        present = self._log.epoch
        if self._past is None:
            told |= {"next": first, "end": True, "next_epoch": present, "missing": [_unknown(first)]}
            return
        outcome, told["missing"], following = self._past.search(self._scan, epoch)
        first_there, last_there = self._past.epochs().get(epoch, (0, 0))
        told["next"] = self._came_to(request, outcome, last_there + 1)
        told["end"] = outcome in {"end", "epoch"}
        if told["end"]:
            told["next_epoch"] = min(following or present, present) if epoch < present else present
            if not first_there:
                told["missing"].append(_unknown(told["next"]))

    # --- where to begin ---------------------------------------------------------------------------------------------

    def _start(self, request: ReplayRequest) -> tuple[int, int]:
        """(epoch, seq) where the answer begins; a time before all that is kept is the beginning of its epoch."""
        if request.from_time is None:
            return request.epoch or self._log.epoch, max(1, request.from_ or 1)
        time_ns, present = request.from_time, self._log.epoch
        if request.epoch in {0, present}:
            seq, passed = seek_time(self._log, time_ns)
            if passed or (seq == 1 and request.epoch):
                return present, seq
        found = None if self._past is None else self._past.at_time(time_ns, request.epoch)
        if self._past is None or found is None or found[0] > present:
            return request.epoch or present, 1
        epoch, seq = found
        return epoch, 1 if seq == self._past.epochs().get(epoch, (seq, seq))[0] else seq

    def _begin(self, request: ReplayRequest, epoch: int, first: int, last: int | None) -> None:
        self._scan.begin(
            epoch=epoch,
            first=first,
            last=request.to if last is None else _least(request.to, last),
            nbytes=min(request.bytes, ANSWER_BYTES),
            within_ns=WITHIN_NS,
        )


def _unknown(first: int) -> list[int | str]:
    """The epoch's records from `first` on are gone, and nobody knows how many they were: an empty range."""
    return [first, first - 1, GONE]


def _least(to: int | None, other: int) -> int:
    return other if to is None else min(to, other)
