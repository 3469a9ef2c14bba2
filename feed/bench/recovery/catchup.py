"""Catching up: a bot from the archive's first tick on, and a whole archive played into a new feed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from feed.bench.children import Child, Children, python
from feed.bench.recovery.bot import BotSpec
from feed.bench.recovery.daemon import Daemon
from feed.bench.recovery.result import REPLAY_TICKS_PER_S, Row
from feed.errors import HostError
from feed.store.folder import segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from feed.bench.recovery.plan import Options

__all__ = ["measure"]

_OTHER_BYTES = 64 << 20
_START_S = 60.0
_COUNT_S = 300.0
_ARCHIVE_S = 300.0
_BOT = "bench"


@dataclass(frozen=True)
class _Archived:
    """`feed` has put `ticks` into the archive in `folder`."""

    feed: Daemon
    folder: Path
    ticks: int


def measure(options: Options, progress: Callable[[str], None]) -> list[Row]:
    """Rows by way: the archive's files, the control address, and `feed replay` with a bot that it waits for.

    The first two are timed from open() on. Over tcp control.replay_bytes_per_s is raised: by default it, and nothing
    else, says how fast that is.
    """
    size, rounds = options.catchup, options.few
    with Children(options.log_bytes + _OTHER_BYTES) as children:
        folder = children.folder(options.folder)
        progress(f"catchup: archives {size.ticks:,} ticks")
        with _archived(children, options.log_bytes, folder, size.ticks) as made:
            files = [_caught_up(children, made, i, "shm", 1, rounds, progress) for i in range(rounds)]
            first = max(1, size.ticks - size.tcp_ticks + 1)
            control = [_caught_up(children, made, i, "tcp", first, rounds, progress) for i in range(rounds)]
        progress(f"catchup: replays {size.ticks:,} ticks into a new feed")
        replayed = _replayed(children, made, options.log_bytes)
    fed, last = f"{size.ticks:,} archived ticks", size.ticks - first + 1
    return [
        _row(f"{fed}, from the files", "shm", "archive", files, size.ticks, bounds=True),
        _row(f"the last {last:,} of them, from control", "tcp", "archive", control, last),
        _row(f"{fed}, feed replay --speed max into a bot", "shm", "log", [replayed], size.ticks, bounds=True),
    ]


@contextlib.contextmanager
def _archived(children: Children, log_bytes: int, folder: Path, ticks: int) -> Iterator[_Archived]:
    """A feed that has poured `ticks` into log and archive, and runs on; all but the last segment is compressed."""
    settings = {
        **_flat_out("archive"),
        "feed.wait_bots": 1,
        "source.sim.kind": "sim",
        "source.sim.rate": 0.0,
        "source.sim.ticks": ticks,
        "archive.path": str(folder),
        "archive.durability": "async",
        "control.replay_bytes_per_s": "10GB",
    }
    with Daemon(children, log_bytes, settings) as feed:
        there = folder / feed.directory.name
        feed.let_go()
        feed.until(lambda: feed.archived(ticks), f"to archive {ticks:,} ticks", _ARCHIVE_S)
        feed.until(lambda: sum(not each.compressed for each in segments(there)) <= 1, "to compress them", _ARCHIVE_S)
        yield _Archived(feed, there, ticks)
        feed.end()


def _flat_out(waits_for: str) -> dict[str, Any]:
    """Settings of a feed that is as fast as one of its readers."""
    return {"log.gating": [waits_for], "log.gate_timeout": "30s"}


def _caught_up(
    children: Children,
    made: _Archived,
    i: int,
    transport: str,
    first: int,
    rounds: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """One bot from seq `first` to the last there is, in a process of its own."""
    progress(f"catchup over {transport}, {i + 1} of {rounds}: from tick {first:,} on")
    bot = _count(
        children,
        f"{_BOT}{i}-{transport}",
        made.feed,
        transport,
        made.ticks - first + 1,
        "begin" if first == 1 else first,
    )
    bot.hear(_START_S)
    said = bot.hear(_COUNT_S)
    bot.end()
    return {**_proved(said, first, made.ticks), "seconds": (said["last_ns"] - said["opened_ns"]) / 1e9}


def _replayed(children: Children, made: _Archived, log_bytes: int) -> dict[str, Any]:
    """The same ticks through a new feed's log to a bot that the log waits for."""
    settings = {**_flat_out(_BOT), "feed.wait_bots": 1}
    command = ("replay", str(made.folder), "--speed", "max")
    with Daemon(children, log_bytes, settings, command=command, name="again") as feed:
        bot = _count(children, _BOT, feed, "shm", made.ticks, "live")
        bot.hear(_START_S)
        said = bot.hear(_COUNT_S)
        return {**_proved(said, 1, made.ticks), "seconds": (said["last_ns"] - said["first_ns"]) / 1e9}


def _count(children: Children, name: str, feed: Daemon, transport: str, ticks: int, start: str | int) -> Child:
    bot = children.start(name, python("feed.bench.recovery.bot"))
    bot.tell(BotSpec(name=name, feed=feed.address, transport=transport, start=start, count=ticks))
    return bot


def _proved(said: dict[str, Any], first: int, last: int) -> dict[str, Any]:
    """What a counting bot said. :raises HostError: it had as many ticks as there are, but not each of them once."""
    wanted = last - first + 1
    seqs = (first + last) * wanted // 2
    if said["ticks"] == wanted and said["seqs"] != seqs:
        raise HostError(
            "the bot was not given each tick once", expected=f"seqs that add up to {seqs}", found=said["seqs"]
        )
    return {**said, "missing": wanted - said["ticks"]}


def _row(
    what: str, transport: str, engine: str, done: list[dict[str, Any]], ticks: int, *, bounds: bool = False
) -> Row:
    return Row(
        measure="catchup",
        what=what,
        transport=transport,
        engine=engine,
        bots=1,
        rounds=len(done),
        ticks=len(done) * ticks,
        lost=sum(max(each["missing"], sum(each["lost"].values())) for each in done),
        ticks_per_s=round(median(each["ticks"] / each["seconds"] for each in done), 1),
        bounds={"ticks_per_s": REPLAY_TICKS_PER_S} if bounds else {},
        detail={"seconds": [round(each["seconds"], 4) for each in done]},
    )
