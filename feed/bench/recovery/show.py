"""The rows for people: what was measured, what was found, what it may be at the most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from feed.bench.recovery.result import Row

__all__ = ["show"]

_FIGURES: Final = {
    "ms": ("ms", ",.1f"),
    "ticks_per_s": ("ticks/s", ",.0f"),
    "p50_us": ("others' p50 µs", ",.1f"),
    "p99_us": ("others' p99 µs", ",.1f"),
    "ratio_p50": ("p50, of quiet", ".3f"),
    "ratio_p99": ("p99, of quiet", ".3f"),
    "ratio_ticks_per_s": ("of the peer's", ".3f"),
    "lost": ("lost", ",d"),
}
"""Figure to what it is called, and how it is written."""


def show(rows: Sequence[Row]) -> RenderableType:
    """A row each, a line for each of its figures; the rest is in the JSON."""
    table = Table(title=f"recovery, {rows[0].cores} cores", box=SIMPLE_HEAD)
    for head in ("", "what", "over", "figure"):
        table.add_column(head)
    for head in ("found", "bound"):
        table.add_column(head, justify="right", style="dim" if head == "bound" else "")
    for row in rows:
        names = [name for name in _FIGURES if getattr(row, name) is not msgspec.UNSET]
        over = "" if row.transport is msgspec.UNSET else row.transport
        figures = "\n".join(_FIGURES[name][0] for name in names)
        found = Text("\n").join(_found(row, name) for name in names)
        bounds = "\n".join(_bound(row, name) for name in names)
        table.add_row(row.peer or row.measure, row.what, over, figures, found, bounds)
    return Group(table, *_notes(rows))


def _found(row: Row, name: str) -> Text:
    holds = row.lost == 0 if name == "lost" else row.within(name)
    judged = name in row.bounds or name == "lost"
    return Text(f"{getattr(row, name):{_FIGURES[name][1]}}", style="" if not judged else "green" if holds else "red")


def _bound(row: Row, name: str) -> str:
    if name == "lost":
        return "0"
    if name not in row.bounds:
        return ""
    return f"{'≥' if name == 'ticks_per_s' else '≤'} {row.bounds[name]:,.10g}"


def _notes(rows: Sequence[Row]) -> list[RenderableType]:
    lines = []
    for row in rows:
        if memory := row.detail.get("rss_bytes"):
            of = {key: f"{nbytes / 1e6:,.0f}" for key, nbytes in memory.items()}
            lines.append(
                f"memory, MB: the publisher {of['publisher_before']} before and {of['publisher_most']} at most, "
                f"the stopped bot {of['stopped_bot_before']} and {of['stopped_bot_most']}; "
                f"{row.detail['stopped_bot_filled']:,} ticks were dropped for it, and filled in afterwards"
            )
        if "missed_by" in row.detail:
            lines.append(f"how ticks went missing: {row.detail['missed_by']}")
    return [Text(line) for line in lines]
