"""What was measured of ingest, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from feed.bench.result import Result

__all__ = ["show"]


def show(results: Sequence[Result]) -> RenderableType:
    """A column for each who took part."""
    first = results[0]
    table = Table("", title=f"ingest: {first.transport}, {first.cores} cores, one is used", box=SIMPLE_HEAD)
    for each in results:
        table.add_column(f"{each.peer or 'tickcast'}\n{each.detail['version']}", justify="right")
    rows = {
        "messages of a run": [f"{each.detail['messages']:,}" for each in results],
        "records, callbacks": [f"{each.detail['records']:,}" for each in results],
        "messages/s": [f"{each.ticks_per_s:,.0f}" for each in results],
        "messages per CPU s": [f"{each.detail['messages_per_cpu_s']:,.0f}" for each in results],
        "memory, MiB": [f"{each.detail['memory_mib']:,.0f}" for each in results],
    }
    for head, values in rows.items():
        table.add_row(head, *values)
    parts: list[RenderableType] = [table]
    if isinstance(first.ratio_ticks_per_s, float):
        parts.append(
            Text(
                f"ours divided by the peer's, median of {first.detail['runs']} alternations: messages/s "
                f"{first.ratio_ticks_per_s:.3f}, per CPU second {first.detail['ratio_per_cpu_s']:.3f}"
            )
        )
    return Group(*parts)
