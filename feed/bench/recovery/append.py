"""The archive's appending: its writer alone beside ``dd`` on the same bytes, and a feed's archive agent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from feed.bench import plan
from feed.bench.children import Children
from feed.bench.loops import send_flat_out
from feed.bench.recovery.daemon import Daemon
from feed.bench.recovery.result import APPEND_TICKS_PER_S, Row
from feed.errors import HostError
from feed.log.reader import LogReader
from feed.log.writer import LogWriter
from feed.store.reader import StoreReader
from feed.store.writer import StoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from feed.bench.recovery.plan import Options

__all__ = ["measure"]

_OTHER_BYTES = 64 << 20
_FRAME_BYTES = 120
_FILLED = 0.75
"""Of the log at a time: what is read shall not be overwritten meanwhile."""

_BATCH = 1 << 16
_DD_SHARE = 0.7
_DRAIN_S = 120.0


class _Appended(NamedTuple):
    ticks_per_s: float
    synced_ticks_per_s: float
    nbytes: int
    lost: int
    dd_ticks_per_s: float


class _Drained(NamedTuple):
    ticks_per_s: float
    waiting_bytes: int
    lost: int


def measure(options: Options, progress: Callable[[str], None]) -> list[Row]:
    """Rows of the writer, of the agent, and of dd as the writer's peer."""
    rows = _beside_dd(options, progress)
    return [*rows, _through_the_agent(options, progress, rows[0].bounds)]


# --- the writer alone -------------------------------------------------------------------------------------------------


def _beside_dd(options: Options, progress: Callable[[str], None]) -> list[Row]:
    size, rounds = options.append, options.few
    what = f"{size.ticks:,} ticks in {size.ticks * _FRAME_BYTES / 1e6:,.0f} MB"
    done: list[_Appended] = []
    with Children(options.log_bytes + _OTHER_BYTES) as children:
        folder = children.folder(options.folder)
        for i in range(rounds):
            progress(f"append, {i + 1} of {rounds}: {what}, and dd")
            done.append(_round(children.work / "log", options.log_bytes, size.ticks, folder))
    ours = round(median(each.ticks_per_s for each in done), 1)
    dd = round(median(each.dd_ticks_per_s for each in done), 1)
    bound = round(min(APPEND_TICKS_PER_S, _DD_SHARE * dd), 1)
    writer = Row(
        measure="append",
        what=f"writer alone, async: {what}",
        engine="store",
        bots=0,
        rounds=rounds,
        ticks=rounds * size.ticks,
        lost=sum(each.lost for each in done),
        ticks_per_s=ours,
        ratio_ticks_per_s=round(median(each.ticks_per_s / each.dd_ticks_per_s for each in done), 4),
        bounds={"ticks_per_s": bound},
        detail={"rounds": [each._asdict() for each in done]},
    )
    peer = Row(
        measure="append",
        what="dd bs=1M conv=fdatasync, the same bytes",
        engine="disk",
        peer="dd",
        bots=0,
        rounds=rounds,
        ticks=rounds * size.ticks,
        lost=0,
        ticks_per_s=dd,
    )
    return [writer, peer]


def _round(log: Path, log_bytes: int, ticks: int, folder: Path) -> _Appended:
    """Append, make durable, copy the segment with dd; everything is gone afterwards."""
    archive, copy = folder / "archive", folder / "copy"
    try:
        spent_s, sync_s, lost = _append(log, log_bytes, ticks, archive)
        (segment,) = archive.glob("*.ticks")
        dd_s = _dd(segment, copy)
        return _Appended(ticks / spent_s, ticks / (spent_s + sync_s), segment.stat().st_size, lost, ticks / dd_s)
    finally:
        shutil.rmtree(archive, ignore_errors=True)
        copy.unlink(missing_ok=True)


def _append(log: Path, log_bytes: int, ticks: int, archive: Path) -> tuple[float, float, int]:
    """Seconds spent appending, then making durable, and ticks that are not there. Filling the log is not timed."""
    at_once = int(_FILLED * log_bytes) // _FRAME_BYTES
    symbols, drawn, template = plan.symbols(100), plan.draw(100), plan.record()
    spent = 0.0
    with LogWriter.open(log, log_bytes=log_bytes, max_topics=4096) as feed:
        for symbol in symbols:
            feed.topic(plan.SCHEMA.word, symbol)
        with (
            LogReader.open(log, name="bench", start="begin") as reader,
            StoreWriter(archive, segment_bytes=2 * ticks * _FRAME_BYTES) as store,
        ):
            store.begin(feed.epoch, [(i, *reader.topic(i)) for i in range(reader.topic_count)])
            for first in range(0, ticks, at_once):
                send_flat_out(feed, template, drawn, first, min(at_once, ticks - first), 1024)
                began = time.monotonic()
                while store.take(reader, _BATCH):
                    pass
                spent += time.monotonic() - began
            began = time.monotonic()
            store.sync()
            sync_s = time.monotonic() - began
        with StoreReader(archive) as there:
            (epoch,) = there.epochs()
        feed.close(remove=True)
    return spent, sync_s, ticks - epoch.last_seq + sum(store.missed.values())


def _dd(segment: Path, copy: Path) -> float:
    """Seconds that dd takes for the same bytes on the same disk."""
    command = ["dd", f"if={segment}", f"of={copy}", "bs=1M", "conv=fdatasync", "status=none"]
    began = time.monotonic()
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise HostError("dd failed", found=getattr(error, "stderr", "") or str(error)) from None
    return time.monotonic() - began


# --- the agent --------------------------------------------------------------------------------------------------------


def _through_the_agent(options: Options, progress: Callable[[str], None], bounds: dict[str, float]) -> Row:
    """A feed's archive agent stands still while the log fills, then takes all of it, with no source beside it."""
    ticks, rounds = int(_FILLED * options.log_bytes) // _FRAME_BYTES, options.few
    what = f"the agent, async: {ticks:,} ticks that wait in the log"
    done: list[_Drained] = []
    for i in range(rounds):
        progress(f"append, {i + 1} of {rounds}: {what}")
        done.append(_drain(options, ticks))
    return Row(
        measure="append",
        what=what,
        engine="archive agent",
        bots=0,
        rounds=rounds,
        ticks=rounds * ticks,
        lost=sum(each.lost for each in done),
        ticks_per_s=round(median(each.ticks_per_s for each in done), 1),
        bounds=bounds,
        detail={"rounds": [each._asdict() for each in done]},
    )


def _drain(options: Options, ticks: int) -> _Drained:
    with Children(options.log_bytes + _OTHER_BYTES) as children:
        folder = children.folder(options.folder)
        settings = {
            "source.sim.kind": "sim",
            "source.sim.rate": 0.0,
            "source.sim.ticks": ticks,
            "feed.wait_bots": 1,
            "archive.path": str(folder),
            "archive.durability": "async",
        }
        with Daemon(children, options.log_bytes, settings) as feed:
            agent = feed.pid("archive")
            os.kill(agent, signal.SIGSTOP)
            feed.let_go()
            feed.until(lambda: feed.log().next_seq > ticks, "to fill the log", _DRAIN_S)
            waited = next(each.lag_bytes for each in feed.log().readers if each.name == "archive")
            began = time.monotonic()
            os.kill(agent, signal.SIGCONT)
            feed.until(lambda: feed.archived(ticks), "to archive it", _DRAIN_S)
            spent = time.monotonic() - began
            lost = feed.figure("tickcast_archive_missing_total")
            with StoreReader(folder / feed.directory.name) as there:
                (epoch,) = there.epochs()
    return _Drained(ticks / spent, waited, lost + ticks - epoch.last_seq)
