"""A stalled bot: one of many is stopped for a while; what that costs the others, and in memory."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from feed.bench import plan
from feed.bench.children import Children
from feed.bench.recovery.daemon import Daemon, rss_bytes
from feed.bench.recovery.recorder import Recorder, sdk_lost
from feed.bench.recovery.result import RATIO_P50, RATIO_P99, Row
from feed.bench.recovery.ticks import middle, quantiles, ratio
from feed.clock import now_ns
from feed.normalize.activity import symbol_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feed.bench.recovery.plan import Options
    from feed.bench.recovery.ticks import Taken

__all__ = ["measure"]

_OTHER_BYTES = 128 << 20
_WARM_S = 1.0
_REST_S = 0.5

Window = tuple[int, int]


@dataclass(frozen=True)
class _Memory:
    """Resident bytes of the tcp publisher and of the bot that is stopped."""

    publisher: int
    bot: int


def measure(options: Options, progress: Callable[[str], None]) -> list[Row]:
    """How late all the others' ticks are while one tcp bot stands still, beside a window in which it runs.

    Every other bot is on shm and on tcp. Each has nine of the quieter symbols; the one that is stopped has all, so that
    its queues are full, and what comes on top is dropped for it, when the window begins.
    """
    size = options.stalled
    what = f"1 of {size.bots} bots stopped, {size.rate:,.0f} ticks/s"
    settings = {
        "source.sim.kind": "sim",
        "source.sim.symbols": size.symbols,
        "source.sim.rate": size.rate,
        "publish.tcp.hwm": size.hwm,
    }
    pairs: list[tuple[Window, Window]] = []
    with Children(options.log_bytes + _OTHER_BYTES) as children, Daemon(children, options.log_bytes, settings) as feed:
        progress(f"stalled: starts {size.bots} bots")
        *others, stopped = _start(children, feed, size.bots, size.symbols)
        publisher = feed.pid("publish.tcp")
        time.sleep(_WARM_S)
        before = _Memory(rss_bytes(publisher), rss_bytes(stopped.pid))
        most = before
        for i in range(options.rounds):
            progress(f"stalled, {i + 1} of {options.rounds}: {what}")
            running = _window(size.window_s) if i % 2 else None
            os.kill(stopped.pid, signal.SIGSTOP)
            full = feed.log().next_seq + size.before
            feed.until(lambda full=full: feed.log().next_seq >= full, "to go on")  # type: ignore[misc]
            still = _window(size.window_s)
            now = _Memory(rss_bytes(publisher), rss_bytes(stopped.pid))
            os.kill(stopped.pid, signal.SIGCONT)
            most = _Memory(max(most.publisher, now.publisher), max(most.bot, now.bot))
            stopped.until_well()
            time.sleep(_REST_S)
            pairs.append((still, running or _window(size.window_s)))
        heard = [bot.end() for bot in (*others, stopped)]
    late = [tuple(_late([taken for taken, _ in heard[:-1]], window) for window in pair) for pair in pairs]
    return [_row(options, what, heard, late, before, most)]


def _start(children: Children, feed: Daemon, bots: int, symbols: int) -> list[Recorder]:
    """All of them with their subscriptions in force; the one to be stopped comes last."""
    names = symbol_names(symbols)
    started = [
        Recorder(
            children, feed, f"bot{i}", "tcp" if i % 2 else "shm",
            symbols=tuple(names[k] for k in plan.wanted(i, symbols)[1:]) if i < bots - 1 else tuple(names),
        )
        for i in range(bots)
    ]  # fmt: skip
    return [bot.opened() for bot in started]


def _window(seconds: float) -> Window:
    first = now_ns()
    time.sleep(seconds)
    return first, now_ns()


def _late(heard: Sequence[Taken], window: Window) -> dict[str, float]:
    return quantiles(np.concatenate([taken.late_us(*window) for taken in heard]))


def _row(
    options: Options,
    what: str,
    heard: Sequence[tuple[Taken, dict[str, Any]]],
    late: Sequence[Sequence[dict[str, float]]],
    before: _Memory,
    most: _Memory,
) -> Row:
    size = options.stalled
    return Row(
        measure="stalled",
        what=what,
        transport="mixed",
        engine="log+libzmq",
        bots=size.bots,
        rate_hz=size.rate,
        rounds=options.rounds,
        ticks=sum(len(taken) for taken, _ in heard),
        lost=sum(max(taken.lost(), sdk_lost(figures)) for taken, figures in heard),
        p50_us=middle([still for still, _ in late], "p50_us"),
        p99_us=middle([still for still, _ in late], "p99_us"),
        ratio_p50=ratio(late, "p50_us"),
        ratio_p99=ratio(late, "p99_us"),
        bounds={"ratio_p50": RATIO_P50, "ratio_p99": RATIO_P99},
        detail={
            "stopped": [still for still, _ in late],
            "running": [running for _, running in late],
            "hwm": size.hwm,
            "stopped_bot_filled": heard[-1][1]["filled"],
            "rss_bytes": {
                "publisher_before": before.publisher,
                "publisher_most": most.publisher,
                "stopped_bot_before": before.bot,
                "stopped_bot_most": most.bot,
            },
        },
    )
