"""A benchmark's results for people: a table with the targets under it, then what each role cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from feed.bench.result import QUANTILES
from feed.config import LatencyConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from feed.bench.result import Result

__all__ = ["TICKS_PER_S_TARGET", "show"]

TICKS_PER_S_TARGET = 4_100_000


def show(results: Sequence[Result]) -> RenderableType:
    """Everything of `results` that a person compares; the rest is in the JSON."""
    parts: list[RenderableType] = [_figures(results)]
    for each in results:
        parts += _notes(each)
    return Group(*parts)


def _figures(results: Sequence[Result]) -> Table:
    """A column for each measurement and a row for each figure, so that it fits a narrow terminal."""
    first = results[0]
    table = Table("", title=f"{first.bench}: {first.payload_bytes}-byte quotes, {first.cores} cores", box=SIMPLE_HEAD)
    for each in results:
        table.add_column(f"{each.peer or 'tickcast'}\n{each.transport}", justify="right")
    table.add_column("target", justify="right", style="dim")
    rows: dict[str, Sequence[str | Text]] = {
        "bots": [str(each.bots) for each in results],
        "rate/s": [f"{each.rate_hz:,.0f}" if each.rate_hz else "flat out" for each in results],
        "ticks": [f"{each.ticks:,}" for each in results],
        "lost": [Text(f"{each.lost:,}", style="red" if each.lost else "") for each in results],
        "ticks/s": [f"{each.ticks_per_s:,.0f}" for each in results],
    }
    targets = {"lost": "0", "ticks/s": f"{TICKS_PER_S_TARGET:,}" if first.bench == "throughput" else ""}
    limits = {f"p{f'{q:g}'[2:].ljust(2, '0')}_us": ns / 1e3 for q, ns in LatencyConfig().targets_ns.items()}
    for name, head in _HEADS.items():
        if any(getattr(each, name) is not None for each in results):
            rows[head] = [_judged(getattr(each, name), limits.get(name)) for each in results]
            targets[head] = f"{limits[name]:,.1f}" if name in limits else ""
    for head, values in rows.items():
        table.add_row(head, *values, targets.get(head, ""))
    return table


_HEADS = dict(zip(QUANTILES, ("p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs"), strict=True)) | {
    "skew_p50_us": "skew p50 µs"
}


def _judged(value: float | None, target: float | None) -> Text:
    if value is None:
        return Text("")
    return Text(f"{value:,.2f}", style="" if target is None else "green" if value <= target else "yellow")


def _cpu(used_s: float, of_s: float) -> str:
    return f"{100 * used_s / of_s:.0f} %" if of_s else f"{used_s:.2f} s"


def _notes(result: Result) -> list[RenderableType]:
    detail: dict[str, Any] = result.detail
    who = f"{result.peer or 'tickcast'} over {result.transport}, {result.bots} bot{'s' * (result.bots != 1)}"
    lines = []
    ratios = {
        "p50": result.ratio_p50,
        "p99": result.ratio_p99,
        "ticks/s": result.ratio_ticks_per_s,
    }
    if said := [f"{name} {value:.3f}" for name, value in ratios.items() if isinstance(value, float)]:
        lines.append(f"ours divided by the peer's, median of {detail['runs']} alternations: {', '.join(said)}")
    if detail.get("saturated"):
        lines.append(f"[yellow]{who}: ticks only queued up, so no latency is quoted; lower --rate[/yellow]")
    if result.bench == "fanout" and not result.rate_hz and result.lost:
        lines.append(f"{who}: flat out nobody waits for the bots; what was lost is how far they were overtaken")
    if detail.get("checksums_equal") is False:
        lines.append(f"[red]{who}: the sum of what was read is not that of what was sent[/red]")
    if cpu := detail.get("cpu_s"):
        paced = detail["seconds"] if result.rate_hz else 0.0
        share = ", ".join(f"{role} {_cpu(used, paced)}" for role, used in cpu.items() if used)
        lines.append(
            f"{who}: CPU {share}; writer {detail['writer_cpu_ns_per_tick']:,.0f} ns a tick, "
            f"{detail['writer_wakes_per_batch']:.2f} system calls a batch"
        )
    if "writer_cpu_ratio_to_1_bot" in detail:
        lines.append(
            f"{who}: the writer's CPU per tick is {detail['writer_cpu_ratio_to_1_bot']:.2f} of that with 1 bot"
        )
    return [Text.from_markup(line) for line in lines]
