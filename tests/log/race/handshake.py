"""One writer and one sleeper that meet as closely as they can, over and over: is one ever left asleep beside a frame?

The writer commits one frame and waits for the sleeper to answer; the sleeper answers, pauses and parks. The writer
pauses too, a little longer when its last commit came before the sleeper's claim and a little shorter when it came
after: so it feels its way to the moment in which the sleeper makes its claim and looks once more, and stays there.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import time
from pathlib import Path
from random import Random

from feed.log.writer import LogWriter
from tests.log.race.reader import ASLEEP_NS, RECORD, join

PAUSE, JITTER = 400, 30
"""Turns of an empty loop, some 20 ns each: how long the sleeper pauses, and what is left to chance."""
SPINS = 20_000
LOOKS, LOOK_EVERY_S = 20, 0.01
"""A sleeper that was woken runs, or waits to run; one that is found asleep so often in a row was not woken."""


class LeftAsleep(Exception):
    """A frame is committed and announced, and the reader next to it sleeps on."""


def meet(directory: Path, seconds: float, seed: int) -> dict[str, int]:
    """For so long.

    :returns: how often they met, and how many of the commits found the other asleep or about to sleep.
    :raises LeftAsleep: the sleeper was not woken.
    """
    answered = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")  # the last seq that was read; shared with the child
    pid = os.fork()
    if pid == 0:
        sleep(directory, answered, Random(seed))
    try:
        return call(directory, answered, pid, seconds, Random(seed + 1))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def call(directory: Path, answered: memoryview, pid: int, seconds: float, random: Random) -> dict[str, int]:
    """Commit and wait for the answer."""
    with LogWriter.open(directory, log_bytes=1 << 20, max_topics=64) as writer:
        topic = writer.topic("trade", "T")
        seq, pause, end = 0, 0, time.monotonic() + seconds
        while time.monotonic() < end:
            wait(pause + random.randrange(JITTER))
            rings = writer.rings
            seq = writer.publish(topic, bytes(48))
            pause = max(0, pause - 1) if writer.rings > rings else min(pause + 1, 2 * PAUSE)
            for _ in range(SPINS):
                if answered[0] == seq:
                    break
            else:
                await_answer(answered, seq, pid)
        return {"met": seq, "rings": writer.rings}


def await_answer(answered: memoryview, seq: int, pid: int) -> None:
    """:raises LeftAsleep: it will not come."""
    looks = 0
    while answered[0] != seq:
        looks = looks + 1 if is_asleep(pid) else 0
        if looks == LOOKS:
            raise LeftAsleep(f"seq {seq} is committed, the sleeper has read up to {answered[0]} and was not woken")
        time.sleep(LOOK_EVERY_S)


def is_asleep(pid: int) -> bool:
    """proc(5), /proc/pid/stat, field 3."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def sleep(directory: Path, answered: memoryview, random: Random) -> None:
    """Read, answer and park, for ever."""
    with join(directory, start="begin") as reader:
        while True:
            tick = reader.read()
            if tick is None:
                reader.wait(ASLEEP_NS)
            elif tick.kind == RECORD:
                answered[0] = tick.seq
                wait(PAUSE + random.randrange(JITTER))


def wait(turns: int) -> None:
    for _ in range(turns):
        pass


if __name__ == "__main__":
    try:
        print(json.dumps(meet(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))))
    except LeftAsleep as left:
        print(json.dumps({"wrong": str(left)}))
        sys.exit(1)
