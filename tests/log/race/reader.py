"""A reader that believes nothing: it works out for each frame what must be in it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from feed.errors import LogError, LogMissing
from feed.log.reader import LogReader, LogTick
from tests.log.race.records import expected, topic, topic_seq
from tests.log.race.writer import LAST

RECORD = 0
ASLEEP_NS = 60_000_000_000
"""How long a sleeper sleeps if nobody wakes it: longer than any run waits for it."""


class Wrong(Exception):
    """A frame that was never written like this, or a loss that was not reported."""


def read(directory: Path, temper: str, name: str) -> dict[str, int]:
    """Read to the last record.

    :param temper: "eager" spins, "parked" sleeps whenever it can, "slow" is overtaken again and again.
    :returns: records delivered, records reported as lost, and how often that was.
    :raises Wrong: at once.
    """
    counts = {"delivered": 0, "lost": 0, "losses": 0}
    following = 0  # seq of the next record; 0: not known yet
    with join(directory, name=name, start="resume") as reader:
        while True:
            try:
                tick = reader.read()
            except LogError:
                first, last = reader.lost_first, reader.lost_last
                if following and (first != following or last < first - 1):  # first - 1: only padding was overwritten
                    raise Wrong(f"lost {first} to {last} reported, where {following} was next") from None
                counts["lost"] += last - first + 1 if following else 0
                counts["losses"] += 1
                following = last + 1
                continue
            if tick is None:
                reader.wait(ASLEEP_NS if temper == "parked" else 1_000_000, spin=temper != "parked")
                continue
            if tick.kind != RECORD:
                continue
            prove(tick, following)
            following = tick.seq + 1
            counts["delivered"] += 1
            if tick.flags & LAST:
                return counts
            if temper == "slow" and tick.seq % 2000 == 0:
                time.sleep(0.01)


def join(directory: Path, *, name: str = "", start: str) -> LogReader:
    """As soon as there is a log."""
    while True:
        try:
            return LogReader.open(directory, name=name, start=start)
        except LogMissing:
            time.sleep(1e-3)


def prove(tick: LogTick, following: int) -> None:
    """:raises Wrong: not the frame that comes next, or not whole."""
    if tick.record != expected(tick.seq, len(tick.record)):
        raise Wrong(f"torn: seq {tick.seq}, record {tick.record[:64].hex(' ', 8)} ...")
    if (tick.topic_id, tick.topic_seq) != (topic(tick.seq), topic_seq(tick.seq)):
        raise Wrong(f"seq {tick.seq} is number {tick.topic_seq} of topic {tick.topic_id}")
    if following and tick.seq != following:
        raise Wrong(f"seq {tick.seq} came where {following} was next, and nothing was reported lost")


if __name__ == "__main__":
    try:
        print(json.dumps(read(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
    except Wrong as wrong:
        print(json.dumps({"wrong": str(wrong)}))
        sys.exit(1)
