"""feed.progress: a bar on a terminal, of what the counters say; nothing elsewhere."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from feed.metrics.counters import Counters
from feed.progress import Bar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    counters = Counters.open(tmp_path, create=True)
    yield counters
    counters.close()


def test_it_shows_share_ticks_and_rate(counters: Counters) -> None:
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True, width=100))
    assert bar.wanted
    with bar:
        counters.counter("tickcast_ticks_total", source="a", schema="quote").add(1000)
        bar.look(counters.rows(), time.monotonic())
        counters.counter("tickcast_ticks_total", source="b", schema="trade").add(500)
        counters.gauge("tickcast_source_read_bytes", source="a").set(25)
        counters.gauge("tickcast_source_file_bytes", source="a").set(100)
        bar.look(counters.rows(), time.monotonic() + 1)
    shown = screen.getvalue()
    assert "1,500 ticks" in shown
    assert "25%" in shown


def test_nobody_looks_at_what_is_no_terminal() -> None:
    assert not Bar(Console(file=io.StringIO())).wanted
