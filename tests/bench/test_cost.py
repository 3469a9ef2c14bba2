"""What measuring costs: the benchmark runs, and its loops do what they say."""

from __future__ import annotations

from io import StringIO

import orjson
import pytest
from rich.console import Console

from feed import cli
from feed.bench import cost


def test_every_place_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cost, "TICKS", 10_000)
    monkeypatch.setattr("sys.argv", ["feed", "bench", "measuring", "--rounds", "1", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    rows = orjson.loads(capsys.readouterr().out)
    assert [row["place"] for row in rows] == ["sequencer", "publisher", "bot"]
    assert all(row["ns"] == pytest.approx(row["on_ns"] - row["off_ns"]) and row["off_ns"] > 0 for row in rows)


def test_the_table_sums_up() -> None:
    costs = [cost.Cost("sequencer", 3.0, 1.0), cost.Cost("bot", 9.0, 1.0)]
    console = Console(width=80, file=StringIO())
    console.print(cost.show(costs))
    assert "10.0" in console.file.getvalue()  # type: ignore[attr-defined]
