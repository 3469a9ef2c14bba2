"""Alternates ours and the peer, each in a process of its own, and sums them up by medians."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson

from feed.bench.ingest.messages import messages, write
from feed.bench.peers import SOURCES
from feed.bench.result import Result
from feed.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feed.bench.ingest.plan import Options

__all__ = ["run"]

_PEERS = SOURCES / "ingest_peers.py"


def run(options: Options, tell: Callable[[str], None]) -> list[Result]:
    """Measure; `tell` gets a line for each run.

    :raises ConfigError: options that do not go together.
    :raises SourceError: the file holds no message of this venue.
    :raises HostError: the peer is not there, or a run failed.
    """
    options.check()
    with tempfile.TemporaryDirectory(prefix="tickcast-bench-") as folder:
        file = options.file.resolve()
        if options.kind != "itch":
            file = Path(folder) / "messages"
            write(file, messages(options.kind, options.file))
        given = [options.kind, str(file), str(options.messages)]
        ours = [sys.executable, "-m", "feed.bench.ingest.decoding", *given]
        commands: dict[str | None, list[str]] = {None: ours}
        if options.vs is not None:
            if not _PEERS.exists():
                raise HostError(
                    "the peer's source is not here", expected=str(_PEERS), remedy="Use a checkout of tickcast"
                )
            commands[options.vs] = [options.peer_python, str(_PEERS), options.vs, *given]
        runs: dict[str | None, list[dict[str, Any]]] = {name: [] for name in commands}
        for turn in range(options.alternations):
            order = list(commands) if turn % 2 == 0 else list(reversed(commands))
            for name in order:
                measured = _measure(name, commands[name])
                runs[name].append(measured)
        told = runs[None][0]["messages"]
        for measured in (each for rows in runs.values() for each in rows if not each["messages"]):
            measured["messages"] = told  # itch-book does not say
        for turn in range(options.alternations):
            figures = ", ".join(f"{name or 'tickcast'} {_rate(rows[turn]):,.0f}/s" for name, rows in runs.items())
            tell(f"{turn + 1} of {options.alternations}: {figures}")
    return [_result(options, name, rows, runs) for name, rows in runs.items()]


def _measure(name: str | None, command: Sequence[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[3])
    except OSError as error:
        raise HostError("no such interpreter", found=str(error), where="--peer-python") from None
    if done.returncode:
        *_, last = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        remedy = f'pip install "tickcast[bench]", or name an interpreter that has {name} with --peer-python'
        raise HostError(f"{name or 'tickcast'} failed", found=last, remedy=remedy if name else None)
    measured: dict[str, Any] = orjson.loads(done.stdout)
    return measured


def _rate(measured: dict[str, Any]) -> float:
    return float(measured["messages"] / measured["seconds"])


def _result(
    options: Options, name: str | None, rows: list[dict[str, Any]], runs: dict[str | None, list[dict[str, Any]]]
) -> Result:
    """`ticks` and ticks_per_s are messages; the ratios are medians over pairs of neighbouring runs."""
    detail: dict[str, Any] = {
        "messages": rows[0]["messages"],
        "records": rows[0]["records"],
        "refused": rows[0].get("refused", {}),
        "messages_per_cpu_s": round(median(each["messages"] / each["cpu_s"] for each in rows), 1),
        "memory_mib": round(median(each["rss_bytes"] for each in rows) / (1 << 20), 1),
        "version": rows[0]["version"],
        "runs": len(rows),
    }
    made = Result(
        bench="ingest",
        transport=options.kind,
        engine="decoder",
        peer=name,
        bots=0,
        rate_hz=0.0,
        payload_bytes=0,
        ticks=sum(each["messages"] for each in rows),
        lost=0,
        p50_us=None,
        p90_us=None,
        p99_us=None,
        p999_us=None,
        max_us=None,
        ticks_per_s=round(median(map(_rate, rows)), 1),
        skew_p50_us=None,
        cores=len(os.sched_getaffinity(0)),
        detail=detail,
    )
    if name is None and options.vs is not None:
        pairs = list(zip(rows, runs[options.vs], strict=True))
        made.ratio_ticks_per_s = round(median(_rate(ours) / _rate(peer) for ours, peer in pairs), 3)
        detail["ratio_per_cpu_s"] = round(
            median(ours["messages"] / ours["cpu_s"] / (peer["messages"] / peer["cpu_s"]) for ours, peer in pairs), 3
        )
    return made
