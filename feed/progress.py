"""How far a feed of recordings is, on the terminal that started it: a bar, ticks and ticks a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feed.metrics.counters import Row
    from feed.running import Feed

__all__ = ["Bar"]

_LOOK_S = 0.5


class Bar:
    """What `feed.supervisor.run` calls as its `watch`, within ``with``; a bar where `console` is a terminal, else
    nothing. Where no source knows how far it is, there is no share and no end."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, visible=False)
        self._next = 0.0
        self._before = (time.monotonic(), 0)

    @property
    def wanted(self) -> bool:
        """Is there somebody to look at it?"""
        return self._console.is_terminal

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def __call__(self, feed: Feed) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOOK_S
            self.look(feed._counters.rows(), now)

    def look(self, rows: Iterable[Row], now: float) -> None:
        """Show what the counters say; `now` is monotonic, in s."""
        found = {"tickcast_ticks_total": 0, "tickcast_source_read_bytes": 0, "tickcast_source_file_bytes": 0}
        for row in rows:
            if row.name in found:
                found[row.name] += row.value
        ticks, read, whole = found.values()
        then, before = self._before
        self._before = (now, ticks)
        rate = (ticks - before) / max(1e-3, now - then)
        shown = f"{ticks:,} ticks, {rate:,.0f}/s"
        self._bar.update(self._task, description=shown, completed=read, total=whole or None, visible=True)
        self._bar.refresh()
