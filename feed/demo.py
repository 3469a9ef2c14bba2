"""`feed demo`: the daemon on the simulator with three example bots, one on each transport, watched live.

It is the three uses at once: a feed that runs, bots that subscribe by symbol, latency against its targets.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

from feed import supervisor
from feed.errors import LogMissing
from feed.monitor import stat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feed.config import FeedConfig
    from feed.running import Feed

__all__ = ["run"]

EXAMPLE = "mean.py"
REDRAW_S = 0.5
WINDOW = 20
"""Redraws that rates and quantiles look back on."""

BOT_END_S = 2.0


def run(config: FeedConfig, *, duration_s: float | None = None) -> int:
    """Until Ctrl-C or for `duration_s`; the exit code. Prints a summary at the end."""
    console = Console()
    screen = _Screen(config, console)
    with _bots(config), screen:
        code = supervisor.run(config, duration_s=duration_s, watch=screen.look)
    screen.summarise()
    return code


class _Screen:
    """The live screen on a terminal, a line a second where there is none."""

    def __init__(self, config: FeedConfig, console: Console) -> None:
        self._directory = config.directory
        self._console = console
        self._live = Live(console=console, auto_refresh=False, screen=False) if console.is_terminal else None
        self._taken: list[dict[str, Any]] = []
        self._next = 0.0

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.stop()

    def look(self, feed: Feed) -> None:
        """Called by the supervisor about ten times a second."""
        if time.monotonic() < self._next or not feed.ready():
            return
        self._next = time.monotonic() + REDRAW_S
        with contextlib.suppress(LogMissing):
            self._taken = [*self._taken[-WINDOW + 1 :], stat.snapshot(self._directory)]
            if self._live is not None:
                self._live.update(stat.render(self._taken[0], self._taken[-1]), refresh=True)
            else:
                self._line()

    def _line(self) -> None:
        first, last = self._taken[0], self._taken[-1]
        seconds = (last["taken_ns"] - first["taken_ns"]) / 1e9
        if seconds <= 0:
            return
        rate = (last["log"]["next_seq"] - first["log"]["next_seq"]) / seconds
        gaps = sum(sum(bot["gaps"].values()) for bot in last["bots"])
        self._console.print(f"{rate:,.0f} ticks/s in, {len(last['bots'])} bots, {gaps} gaps", highlight=False)

    def summarise(self) -> None:
        """What it came to, over the whole run."""
        if not self._taken:
            return
        last = self._taken[-1]
        if self._live is None:
            self._console.print(stat.render(None, last))
        ticks = last["log"]["next_seq"] - 1
        given = sum(bot["ticks"] for bot in last["bots"])
        gaps = sum(sum(bot["gaps"].values()) for bot in last["bots"])
        lost = sum(sum(bot["lost"].values()) for bot in last["bots"])
        restarts = sum(agent["restarts"] for agent in last["agents"])
        self._console.print(
            f"\n{ticks:,} ticks in, {given:,} given to {len(last['bots'])} bots, {gaps} gaps ({lost:,} ticks), "
            f"{restarts} restarts; nothing is left running.\n"
            "Next: feed run config/feed.toml, then bots watch AAPL, then a bot of your own (README).",
            highlight=False,
        )


@contextlib.contextmanager
def _bots(config: FeedConfig) -> Iterator[None]:
    """Three processes of the same example, each on another transport; they wait for the feed and end with it."""
    spec = find_spec("bots")
    assert spec is not None
    assert spec.origin is not None
    example = Path(spec.origin).parent / "examples" / EXAMPLE
    command = [sys.executable, "-m", "bots", "run", str(example), "--symbols", "*", "--feed", config.control.endpoint]
    bots = [
        subprocess.Popen(
            [*command, "--transport", transport, "--name", f"mean-{transport}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for transport in ("shm", "ipc", "tcp")
    ]
    try:
        yield
    finally:
        for bot in bots:
            bot.terminate()
        for bot in bots:
            try:
                bot.wait(BOT_END_S)
            except subprocess.TimeoutExpired:
                bot.kill()
                bot.wait()
