"""Starts the processes, kills some of them, and judges what the others say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.log.race.handshake import is_asleep

REPOSITORY = Path(__file__).parents[3]
READERS = ("eager", "slow", "parked")
MORTALS = ("mortal eager", "mortal parked")
KILL_WRITER_BEFORE_S = 2.0
"""A writer takes a while to start, and must be there for the last record."""
GRACE_S = 30.0
"""For a reader to come to the last record after it is written; one that is left asleep never does."""


@dataclass
class Verdict:
    """What a race came to; `wrong` is empty if every promise was kept."""

    wrong: list[str] = field(default_factory=list)
    committed: int = 0
    delivered: int = 0
    lost: int = 0
    losses: int = 0
    met: int = 0
    rings: int = 0
    readers_killed: int = 0
    writers_killed: int = 0

    def hear(self, name: str, process: subprocess.Popen[str]) -> None:
        """Take down what a process that ended had to say."""
        said, _ = process.communicate()
        if not said:
            cause = signal.Signals(-process.returncode).name if process.returncode < 0 else "an error of its own"
            self.wrong.append(f"{name} died of {cause}")
            return
        for key, value in json.loads(said).items():
            if key == "wrong":
                self.wrong.append(f"{name}: {value}")
            else:
                setattr(self, key, getattr(self, key) + value)

    def hear_all(self, running: dict[str, subprocess.Popen[str]], but: str = "") -> None:
        """The same for all that have ended, which are then no longer running."""
        for name in [name for name, process in running.items() if name != but and process.poll() is not None]:
            self.hear(name, running.pop(name))


def start(role: str, *arguments: object, feed: Path = REPOSITORY) -> subprocess.Popen[str]:
    """A process of this package, with the feed of `feed`."""
    command = [sys.executable, "-m", f"tests.log.race.{role}", *map(str, arguments)]
    path = os.pathsep.join(map(str, (feed, REPOSITORY)))
    return subprocess.Popen(
        command, cwd=feed, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )


def handshakes(
    directory: Path, seconds: float, *, sleepers: int = 1, feed: Path = REPOSITORY, seed: int = 1
) -> Verdict:
    """One writer and its sleepers; ends early when something is wrong."""
    verdict = Verdict()
    verdict.hear("handshake", start("handshake", directory, sleepers, seconds, seed, feed=feed))
    return verdict


def race(directory: Path, seconds: float, *, feed: Path = REPOSITORY, seed: int = 1) -> Verdict:
    """A fast writer and readers of every temper. Some of these are killed again and again; now and then the writer is.

    Ends early when something is wrong.
    """
    verdict, random = Verdict(), Random(seed)
    end = time.monotonic() + seconds
    running = {"writer": start("writer", directory, seconds, seed, feed=feed)}

    def enter(name: str) -> None:
        running[name] = start("reader", directory, name.removeprefix("mortal "), name, feed=feed)

    def kill(name: str) -> None:
        running[name].kill()
        running.pop(name).communicate()

    try:
        for name in (*READERS, *MORTALS):
            enter(name)
        while not verdict.wrong and running["writer"].poll() is None:
            time.sleep(random.uniform(0.02, 0.3))
            verdict.hear_all(running, but="writer")
            left = end - time.monotonic()
            if left > KILL_WRITER_BEFORE_S and random.random() < 0.05:
                kill("writer")
                verdict.writers_killed += 1
                running["writer"] = start("writer", directory, left, random.randrange(1 << 30), feed=feed)
            mortal = random.choice(MORTALS)
            if left > 0 and mortal in running and random.random() < 0.3:  # later it may have read the last record
                kill(mortal)
                verdict.readers_killed += 1
                enter(mortal)
        if not verdict.wrong:
            end_of(running, verdict)
        return verdict
    finally:
        for name in list(running):
            kill(name)


def end_of(running: dict[str, subprocess.Popen[str]], verdict: Verdict) -> None:
    """The last record is written: everybody comes to it."""
    deadline = time.monotonic() + GRACE_S
    while running and time.monotonic() < deadline and not verdict.wrong:
        verdict.hear_all(running)
        time.sleep(0.01)
    if not verdict.wrong:
        for name, process in running.items():
            how = "was left asleep" if is_asleep(process.pid) else "does not come to the last record"
            verdict.wrong.append(f"{name} {how}")
