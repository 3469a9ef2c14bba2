"""What `bots watch` and `bots lag` show.

Drawing takes milliseconds in which no tick could be received, so a process of its own draws on the terminal. It gets a
picture's figures a few times a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from feed.metrics.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from multiprocessing.connection import Connection

    from rich.console import RenderableType

    from feed.metrics.words import Trends

__all__ = ["Picture", "Row", "Screen", "console_for", "lag_table", "watch_table"]

FILE_COLUMNS = 160
_BAD, _DIM, _GOOD = "bold red", "dim", "green"


@dataclass(slots=True)
class Row:
    """One symbol; prices None until there is one, times in ns, None until measured."""

    symbol: str
    bid_px: float | None = None
    ask_px: float | None = None
    bid_sz: int = 0
    ask_sz: int = 0
    last_px: float | None = None
    last_sz: int = 0
    ticks: int = 0
    ticks_per_s: float = 0.0
    age_ns: int | None = None
    p50_ns: float | None = None
    p99_ns: float | None = None
    gaps: int = 0
    lost: int = 0


@dataclass(slots=True)
class Picture:
    """Everything `bots watch` shows at one moment. `said` is the last thing that had to be said."""

    rows: list[Row] = field(default_factory=list)
    state: str = "waiting"
    """waiting (for the feed), live or stale."""
    transport: str = "none"
    feed: str = ""
    said: str = ""
    hidden: int = 0
    """Symbols that have no row of their own."""


class Screen:
    """Shows pictures: live on a terminal, elsewhere only the last one, at the end."""

    def __init__(self) -> None:
        self._last: Picture | None = None
        self._pipe: Connection | None = None
        if sys.stdout.isatty():
            ours, theirs = multiprocessing.Pipe()
            # fork: the drawing process needs nothing but what is imported already.
            self._process = multiprocessing.get_context("fork").Process(target=_draw, args=(theirs, ours), daemon=True)
            self._process.start()
            theirs.close()
            self._pipe = ours

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._process.join()
        elif self._last is not None:
            console_for(sys.stdout).print(watch_table(self._last))

    @property
    def live(self) -> bool:
        """Is there a terminal?"""
        return self._pipe is not None

    def show(self, picture: Picture) -> None:
        self._last = picture
        if self._pipe is not None:
            self._pipe.send(picture)


def console_for(file: IO[str]) -> Console:
    """Prints to `file`; a table is not squeezed for want of a terminal that says how wide it is."""
    console = Console(file=file)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(file=file, width=FILE_COLUMNS)


SYMBOL_WIDTH = 6
_WIDTHS = {"bid": 8, "ask": 8, "last": 8, "gaps": 4, "lost": 4}
"""At least: on a narrow terminal other figures give way, never prices and losses."""


def watch_table(picture: Picture, rows: int = sys.maxsize) -> RenderableType:
    """A picture; of more than `rows` symbols the busiest."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("symbol", no_wrap=True, min_width=SYMBOL_WIDTH)
    for name in ("bid", "size", "ask", "size", "last", "size", "ticks/s", "age", "p50", "p99", "gaps", "lost"):
        table.add_column(name, justify="right", no_wrap=True, min_width=_WIDTHS.get(name))
    shown = sorted(picture.rows, key=lambda row: -row.ticks)[:rows]
    for row in sorted(shown, key=lambda row: row.symbol):
        table.add_row(
            row.symbol,
            *(_price(row.bid_px), _size(row.bid_px, row.bid_sz), _price(row.ask_px), _size(row.ask_px, row.ask_sz)),
            *(_price(row.last_px), _size(row.last_px, row.last_sz)),
            *(f"{row.ticks_per_s:,.0f}", duration(row.age_ns)),
            *(duration(row.p50_ns), duration(row.p99_ns)),
            *(Text(f"{n:,}", style=_BAD if n else _DIM) for n in (row.gaps, row.lost)),
        )
    parts: list[RenderableType] = [_headline(picture)]
    if picture.rows:
        parts.append(table)
    hidden = picture.hidden + len(picture.rows) - len(shown)
    if hidden:
        parts.append(Text(f"and {hidden:,} more symbols", style=_DIM))
    if picture.said:
        parts.append(Text(picture.said, style=_DIM if picture.state == "live" else _BAD))
    return Group(*parts)


def lag_table(bots: Iterable[Mapping[str, Any]], now_ns: int, trends: Trends | None = None) -> RenderableType:
    """The control address's answer to `bots`: how far behind each is and what it lost; with `trends`, how that went."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("bot", no_wrap=True)
    table.add_column("over", no_wrap=True)
    figures = ("ticks", "behind", "ticks\nbehind", "after\nthe first", "filled", "gaps", "lost", "p50", "p99", "seen")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    if trends is not None:
        table.add_column("behind, lately", no_wrap=True)
    for bot in sorted(bots, key=lambda bot: (bot["name"], bot["transport"])):
        latency = bot["latency_ns"] or {}
        table.add_row(
            bot["name"],
            bot["transport"],
            f"{bot['ticks']:,}",
            duration(bot["lag_ns"]),
            "-" if bot["lag_ticks"] is None else f"{bot['lag_ticks']:,}",
            duration(bot.get("skew_ns")),
            f"{bot.get('filled', 0):,}",
            *(Text(_causes(bot[key]), style=_BAD if any(bot[key].values()) else _DIM) for key in ("gaps", "lost")),
            *(duration(latency.get(key)) for key in ("p50", "p99")),
            duration(max(0, now_ns - bot["reported_ns"])),
            *([trends.line((bot["name"], bot["transport"]), bot["lag_ns"])] if trends is not None else []),
        )
    return table if table.row_count else Text("no bot has reported yet")


def _headline(picture: Picture) -> Text:
    text = Text()
    text.append(picture.state, style=_GOOD if picture.state == "live" else _BAD)
    text.append(f"  {picture.feed}")
    if picture.transport != "none":
        rate = sum(row.ticks_per_s for row in picture.rows)
        text.append(f" over {picture.transport} · {rate:,.0f} ticks/s · latency from the feed's receipt until here")
    return text


def _price(price: float | None) -> str:
    return "-" if price is None else f"{price:,.9f}".rstrip("0").rstrip(".")


def _size(price: float | None, size: int) -> str:
    return "-" if price is None else f"{size:,}"


def _causes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {cause}" for cause, n in sorted(counts.items()) if n) or "0"


def _draw(pictures: Connection, other_end: Connection) -> None:
    """The drawing process: until the other end is closed."""
    other_end.close()  # else it would never be
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the one that watches
        signal.signal(number, signal.SIG_IGN)
    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                picture = pictures.recv()
                while pictures.poll():
                    picture = pictures.recv()
            except EOFError:
                return
            live.update(watch_table(picture, max(1, console.height - 6)), refresh=True)
