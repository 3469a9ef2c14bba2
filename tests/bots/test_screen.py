"""bots.screen: what stands in the tables."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from bots.screen import Picture, Row, console_for, lag_table, watch_table
from feed.metrics.words import Trends

if TYPE_CHECKING:
    from rich.console import RenderableType


def text(shown: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(shown: RenderableType, first: str) -> list[str]:
    """The columns of the line that begins with `first`."""
    (line,) = [line for line in text(shown).splitlines() if line.strip().startswith(first)]
    return re.split(r" {2,}", line.strip())


def test_a_row_shows_what_is_known_and_a_dash_for_the_rest() -> None:
    full = Row(
        "ESU4", bid_px=5521.75, ask_px=5522.0, bid_sz=3, ask_sz=1200, last_px=5521.75, last_sz=2, ticks=1234,
        ticks_per_s=99.6, age_ns=1_500_000, p50_ns=9_000.0, p99_ns=101_000.0, gaps=2, lost=40,
    )  # fmt: skip
    picture = Picture(rows=[full, Row("NEW")], state="live", transport="shm", feed="tcp://127.0.0.1:5550")
    assert cells(watch_table(picture), "ESU4") == [
        *("ESU4", "5,521.75", "3", "5,522", "1,200", "5,521.75", "2", "100", "1.5 ms", "9 µs", "101 µs"),
        *("2", "40"),
    ]
    assert cells(watch_table(picture), "NEW") == ["NEW", *["-"] * 6, "0", *["-"] * 3, "0", "0"]
    assert text(watch_table(picture)).startswith("live  tcp://127.0.0.1:5550 over shm · 100 ticks/s")


def test_of_too_many_symbols_the_busiest_are_shown_by_name() -> None:
    rows = [Row(f"S{i}", ticks=i) for i in range(10)]
    shown = text(watch_table(Picture(rows=rows, hidden=5), rows=3))
    assert [f"S{i}" for i in range(10) if f"S{i} " in shown] == ["S7", "S8", "S9"]
    assert "and 12 more symbols" in shown


def test_waiting_says_why() -> None:
    shown = text(watch_table(Picture(feed="tcp://127.0.0.1:5550", said="no feed answers")))
    assert shown.splitlines() == ["waiting  tcp://127.0.0.1:5550", "no feed answers"]


def test_the_lag_table_names_causes() -> None:
    bot = {
        "name": "mean", "pid": 7, "host": "h", "transport": "tcp", "reported_ns": 10**9, "ticks": 5000,
        "gaps": {"slow": 2}, "lost": {"slow": 40, "epoch": 0}, "lag_ns": 2_000, "lag_ticks": 3, "skew_ns": 700,
        "filled": 9,
        "latency_ns": {"p50": 12_000.0, "p90": 1.0, "p99": 90_000.0, "p999": 1.0, "max": 1.0},
    }  # fmt: skip
    new = {
        **bot,
        "name": "new",
        "transport": "shm",
        "latency_ns": None,
        "gaps": {},
        "lost": {},
        "lag_ticks": None,
        "skew_ns": None,
    }
    table = lag_table([new, bot], now_ns=3 * 10**9)
    assert cells(table, "mean") == [
        *("mean", "tcp", "5,000", "2 µs", "3", "700 ns", "9", "2 slow", "40 slow", "12 µs", "90 µs", "2 s"),
    ]
    assert cells(table, "new") == ["new", "shm", "5,000", "2 µs", "-", "-", "9", "0", "0", "-", "-", "2 s"]
    watched = lag_table([new, bot], now_ns=3 * 10**9, trends=Trends())
    assert cells(watched, "mean")[-1] == "▁"
    assert text(lag_table([], 0)) == "no bot has reported yet\n"


def test_a_file_is_as_wide_as_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console_for(io.StringIO()).width == 160
    monkeypatch.setenv("COLUMNS", "50")
    assert console_for(io.StringIO()).width == 50
