"""A writer and sleepers that meet as closely as they can, over and over: is one ever left asleep beside a frame?

The writer commits one frame and waits for every answer; a sleeper answers, pauses and parks. The writer pauses too, a
little longer when its last commit came before a claim and a little shorter when it came after: so it feels its way to
the moment in which a sleeper makes its claim and looks once more, and stays there. It wakes few sleepers itself, and
many by its doorbell thread.
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
from typing import NoReturn

from feed.log.writer import LogWriter
from tests.log.race.reader import ASLEEP_NS, RECORD, join

PAUSE, JITTER = 400, 30
"""Turns of an empty loop, some 20 ns each: how long the sleeper pauses, and what is left to chance."""
SPINS = 20_000
LOOKS, LOOK_EVERY_S = 60, 0.01
"""A sleeper that was woken runs, or waits to run; one that is found asleep so often in a row was not woken."""


class LeftAsleep(Exception):
    """A frame is committed and announced, and a reader next to it sleeps on."""


def meet(directory: Path, sleepers: int, seconds: float, seed: int) -> dict[str, int]:
    """For so long.

    :returns: how often they met, and how many of the commits found somebody asleep or about to sleep.
    :raises LeftAsleep: somebody was not woken.
    """
    answered = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")  # by each sleeper: the last seq that it read
    pids = []
    try:
        for i in range(sleepers):
            pids.append(os.fork())
            if pids[i] == 0:
                sleep(directory, answered, i, Random(seed + i))
        return call(directory, answered, pids, seconds, Random(seed + sleepers))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def call(directory: Path, answered: memoryview, pids: list[int], seconds: float, random: Random) -> dict[str, int]:
    """Commit and wait for the answers."""
    with LogWriter.open(directory, log_bytes=1 << 20, max_topics=64) as writer:
        topic = writer.topic("trade", "T")
        seq, pause, end = 0, 0, time.monotonic() + seconds
        while time.monotonic() < end:
            wait(pause + random.randrange(JITTER))
            rings = writer.rings
            seq = writer.publish(topic, bytes(48))
            pause = max(0, pause - 1) if writer.rings > rings else min(pause + 1, 2 * PAUSE)
            for i, pid in enumerate(pids):
                for _ in range(SPINS):
                    if answered[i] == seq:
                        break
                else:
                    await_answer(answered, i, seq, pid)
        return {"met": seq, "rings": writer.rings}


def await_answer(answered: memoryview, i: int, seq: int, pid: int) -> None:
    """:raises LeftAsleep: it will not come."""
    looks = 0
    while answered[i] != seq:
        looks = looks + 1 if is_asleep(pid) else 0
        if looks == LOOKS:
            raise LeftAsleep(f"seq {seq} is committed, a sleeper has read up to {answered[i]} and was not woken")
        time.sleep(LOOK_EVERY_S)


def is_asleep(pid: int) -> bool:
    """proc(5), /proc/pid/stat, field 3."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def sleep(directory: Path, answered: memoryview, i: int, random: Random) -> NoReturn:
    """Read, answer and park, as long as the writer lives."""
    writer = os.getppid()
    with join(directory, start="begin") as reader:
        while True:
            tick = reader.read()
            if tick is None:
                reader.wait(ASLEEP_NS)
                if os.getppid() != writer:
                    os._exit(0)
            elif tick.kind == RECORD:
                answered[i] = tick.seq
                wait(PAUSE + random.randrange(JITTER))


def wait(turns: int) -> None:
    for _ in range(turns):
        pass


if __name__ == "__main__":
    try:
        print(json.dumps(meet(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))))
    except LeftAsleep as left:
        print(json.dumps({"wrong": str(left)}))
        sys.exit(1)
