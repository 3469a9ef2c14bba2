"""The chaos run: a feed and eight bots as processes, a blow every few seconds, and then: was everybody told the truth?

    python -m tests.chaos.soak --seconds 600 [--seed N] [--rate TICKS] [--every SECONDS]

Bots over tcp and ipc have lines of their own on which one message in a hundred is lost, one doubled and one out of turn
all the time. The seed, which is printed, makes the same blows and chances again (when they meet what is up to the
machine). Exit code 0: no violation.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bots.testing import Chances, Line, Proxy
from tests.chaos import truth
from tests.chaos.checker import Kind, Subject, Verdict, check, excerpt
from tests.chaos.journal import LIVE, STALE, Life
from tests.chaos.plan import Blow, plan
from tests.e2e.processes import Process, Stage, stage, wait_for

CHANCES = Chances(lose=0.01, duplicate=0.01, reorder=0.01)
SETTLE_S = 30.0
"""How long bots that have not had everything yet, nor been told that they will not, may get no further."""

EXCERPTS = 10
"""Violations that are shown with what the bot wrote down around them."""

AGENTS = ("ingest", "publish.tcp", "publish.ipc", "control", "archive")


@dataclass
class BotPlan:
    """One of the eight."""

    name: str
    transport: str
    kind: Kind = "plain"
    symbols: tuple[str, ...] = ("*",)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def judged_as(self) -> str:
        """Members of a group are judged together."""
        return GROUP if self.kind == "group" else self.name


FILL = {"slow": "fill"}
GROUP = "pair"
BOTS = (
    BotPlan("shm-plain", "shm", options=FILL),
    BotPlan("shm-durable", "shm", "durable", ("A*", "M*", "T*"), FILL),
    BotPlan("shm-group", "shm", "group", ("A*", "N*", "G*"), FILL),
    BotPlan("tcp-group", "tcp", "group", ("A*", "N*", "G*"), FILL),
    BotPlan("tcp-plain", "tcp", "plain", ("A*", "M*"), FILL),
    BotPlan("tcp-durable", "tcp", "durable", ("A*", "T*"), FILL),
    BotPlan("ipc-plain", "ipc", "plain", ("AAPL", "N*", "C*")),  # conflates its quotes when it is behind
    BotPlan("ipc-durable", "ipc", "durable", ("M*", "N*", "V*"), FILL),
)
"""Only one takes everything: all eight, the feed and what lies between them share what cores there are."""


class Actor:
    """A bot with its line, and its lives so far."""

    def __init__(self, made: Stage, plan: BotPlan, address: str) -> None:
        self.plan = plan
        self.files: list[Path] = []
        self.line: Line | None = None
        self._stage = made
        self._address = address
        self.process: Process

    def begin(self) -> None:
        """A new life."""
        file = self._stage.temporary / f"{self.plan.name}.{len(self.files) + 1}"
        self.files.append(file)
        options: dict[str, Any] = {
            "file": str(file),
            "symbols": self.plan.symbols,
            "feed": self.line.address if self.line is not None else self._address,
            "transport": self.plan.transport,
            "name": self.plan.name,
            **self.plan.options,
        }
        if self.plan.kind == "durable":
            options["durable"] = self.plan.name
        if self.plan.kind == "group":
            options["group"] = GROUP
        self.process = self._stage.start(
            "tests.chaos.recorder", orjson.dumps(options).decode(), TICKCAST_STATE=str(self._stage.temporary / "state")
        )

    @property
    def lives(self) -> list[Life]:
        return [Life.read(file) for file in self.files]

    def is_live(self) -> bool:
        if self.process.popen.poll() is not None:
            raise AssertionError(f"{self.plan.name} has ended:\n{self.process.said}")
        return len(Life.read(self.files[-1]).of(LIVE)) > 0


class Soak:
    """One run, on a stage that is there."""

    def __init__(self, made: Stage, proxy: Proxy, seed: int, rate: float, console: Console) -> None:
        self.stage = made
        self.proxy = proxy
        self.seed = seed
        self.rate = rate
        self.console = console
        self.archive = made.temporary / "archive"
        self.began = time.monotonic()
        self.actors: dict[str, Actor] = {}

    def start(self) -> None:
        made = self.stage
        heartbeat = "250ms"
        self.feed = made.feed(
            source__sim__rate=self.rate, source__sim__seed=self.seed % 2**32, archive__path=self.archive,
            publish__tcp__heartbeat=heartbeat, publish__ipc__heartbeat=heartbeat, log__bytes="256MiB",
            log__wake_us=1000,  # so many processes on a few cores can do better than wake up for each tick
        )  # fmt: skip
        made.up(self.feed)
        publishers = {"tcp": f"tcp://127.0.0.1:{made.tcp_port}", "ipc": f"ipc://{made.directory}/ipc"}
        for i, each in enumerate(BOTS):
            actor = self.actors[each.name] = Actor(made, each, made.address)
            if each.transport != "shm":
                folder = made.temporary / f"line{i}"
                folder.mkdir()
                actor.line = Line(
                    self.proxy, each.name, made.address, publishers, folder, seed=self.seed + i, chances=CHANCES
                )
            actor.begin()
        for name, actor in self.actors.items():
            wait_for(actor.is_live, f"{name} to be live")
        self.say(f"{len(self.actors)} bots are live")

    def strike(self, blows: list[Blow]) -> None:
        """Blow by blow, each at its time."""
        self.began = time.monotonic()
        for blow in blows:
            time.sleep(max(0.0, self.began + blow.at_s - time.monotonic()))
            self.say(f"seq {self.stage.stat()['log']['next_seq']:>12,}  {blow}")
            if blow.what == "cut":
                line = self.actors[blow.target].line
                assert line is not None
                line.cut(blow.seconds)
            elif blow.target in self.actors:
                actor = self.actors[blow.target]
                actor.is_live()  # else it has ended by itself
                actor.process.kill()
                actor.begin()
            elif pid := self.stage.agent(blow.target)["pid"]:
                self.stage.agents.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.feed.popen.poll() is not None:
                raise AssertionError(f"the feed has ended:\n{self.feed.said}")

    def settle(self) -> None:
        """No more blows nor chances: until everybody has what was published so far, or gets no further."""
        for actor in self.actors.values():
            if actor.line is not None:
                actor.line.each(lambda relay: relay.chances(Chances()))
        for name, actor in self.actors.items():
            wait_for(actor.is_live, lambda name=name: f"{name} to be live again:\n{self.actors[name].process.said}")
        until = self.stage.stat()["log"]["next_seq"]
        self.say(f"the blows are over at seq {until:,}; the archive is read")
        folder = self.archive / "main"
        wait_for(lambda: truth.reached(folder) >= until - 1, lambda: f"the archive at {truth.reached(folder)}")
        known = self.known = truth.read(folder, until)
        waiting = self.judged()
        least, since = 0, time.monotonic()
        while True:
            wrong = {name: _ticks(check(known, self.subject(name))) for name in waiting}
            waiting = {name: waiting[name] for name, n in wrong.items() if n}
            rest, now = sum(wrong.values()), time.monotonic()
            if not least or rest < least:
                least, since = rest, now
            if not rest or now - since > SETTLE_S:
                return
            self.say(f"{rest:,} ticks are on their way to {', '.join(waiting)}, or wrong")
            time.sleep(2)

    def verdicts(self) -> dict[str, Verdict]:
        """Was everybody told the truth, to the end?"""
        return {name: check(self.known, self.subject(name)) for name in self.judged()}

    def subject(self, name: str) -> Subject:
        actors = self.judged()[name]
        lives = [life for actor in actors for life in actor.lives]
        return Subject(name, actors[0].plan.kind, lives, actors[0].plan.symbols)

    def judged(self) -> dict[str, list[Actor]]:
        """Who is judged together, by name."""
        found: dict[str, list[Actor]] = {}
        for actor in self.actors.values():
            found.setdefault(actor.plan.judged_as, []).append(actor)
        return found

    def end(self) -> list[str]:
        """Everything in order; what was not in order."""
        wrong = [f"the archive: {fault}" for fault in self.known.faults]
        wrong += [f"the archive lacks seq {first} to {last} ({why})" for first, last, why in self.known.missing]
        for name, actor in self.actors.items():
            if actor.process.end() != 0:
                wrong.append(f"{name} ended with {actor.process.popen.returncode}:\n{actor.process.said}")
        if self.feed.end(signal.SIGTERM) != 0:
            wrong.append(f"the feed ended with {self.feed.popen.returncode}:\n{self.feed.said}")
        elif left := self.stage.left():
            wrong.append(f"left behind: {', '.join(left)}")
        return wrong

    def say(self, text: str) -> None:
        self.console.print(f"{time.monotonic() - self.began:6.1f} s  {text}", highlight=False)

    def table(self, verdicts: dict[str, Verdict]) -> Table:
        table = Table(title=f"{self.known.ticks:,} ticks were published")
        figures = ("lives", "stale", "ticks", "replayed", "again", "folded", "told missing", "lost on the way", "wrong")
        for column in ("bot", "over", *figures):
            table.add_column(column, justify="right" if column in figures else "left")
        for name, verdict in verdicts.items():
            actors = self.judged()[name]
            told = ", ".join(f"{n:,} {cause}" for cause, n in sorted(verdict.gaps.items())) or "0"
            dropped = sum(drop.ticks for each in actors if each.line is not None for drop in each.line.dropped)
            lives = [life for each in actors for life in each.lives]
            stale = sum(len(life.of(STALE)) for life in lives)
            numbers = (len(lives), stale, verdict.ticks, verdict.replayed, verdict.repeated, verdict.folded)
            wrong = len(verdict.violations)
            shown = f"[red]{wrong}[/red]" if wrong else "0"
            over = ", ".join(each.plan.transport for each in actors)
            table.add_row(name, over, *(f"{n:,}" for n in numbers), told, f"{dropped:,}", shown)
        return table


@contextlib.contextmanager
def stand(seed: int, rate: float, console: Console) -> Iterator[Soak]:
    with stage() as made, Proxy() as proxy:
        yield Soak(made, proxy, seed, rate, console)


def run(seconds: float, *, seed: int, rate: float = 20_000.0, every_s: float = 5.0, console: Console) -> list[str]:
    """A whole run; gives all that was wrong."""
    console.print(f"seed {seed}: {seconds:g} s, {rate:,.0f} ticks/s", highlight=False)
    lines = [each.name for each in BOTS if each.transport != "shm"]
    blows = plan(seed, seconds, every_s=every_s, agents=AGENTS, bots=[each.name for each in BOTS], lines=lines)
    with stand(seed, rate, console) as soak:
        soak.start()
        soak.strike(blows)
        soak.settle()
        disorder = soak.end()
        verdicts = soak.verdicts()
        console.print(soak.table(verdicts))
        wrong = [each for verdict in verdicts.values() for each in verdict.violations]
        for each in wrong[:EXCERPTS]:
            console.print(f"{each}:", style="red", highlight=False, markup=False)
            for line in excerpt(soak.subject(each.subject), each):
                console.print(f"    {line}", highlight=False, markup=False)
        return [str(each) for each in wrong] + disorder


def _ticks(verdict: Verdict) -> int:
    """How many are wrong."""
    return sum(each.last - each.first + 1 for each in verdict.violations)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--rate", type=float, default=20_000.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between blows")
    parser.add_argument("--show", type=int, default=50, help="violations to print")
    given = parser.parse_args()
    console = Console(width=140)
    wrong = run(given.seconds, seed=given.seed, rate=given.rate, every_s=given.every, console=console)
    for each in wrong[: given.show]:
        console.print(each, style="red", highlight=False, markup=False)
    again = f"make soak ARGS='--seed {given.seed} --seconds {given.seconds:g}'"
    console.print(f"{len(wrong)} violations; the same again: {again}" if wrong else "every bot was told the truth")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
