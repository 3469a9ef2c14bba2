"""Classes of a user's own as sources: found, given their settings, turned; and what is said when one is wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from feed import config, plan
from feed.config import PythonConfig
from feed.errors import ConfigError, SourceError
from feed.log.ring import Intake
from feed.sources.own import Own
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from feed.metrics.counters import Counters
    from tests.sources.tape import Tape

MODULE = """
import numpy as np
from feed.sources import Source
from feed.wire.records import BY_WORD

class Counting(Source):
    def __init__(self, n: int, symbol: str = "A", *, each: list[int] = [1]) -> None:
        self.left, self.symbol, self.each, self.closed = n, symbol, each, False

    def poll(self) -> None:
        for size in self.each:
            self.trade(self.symbol, price="1.5", size=size)
        self.left -= 1
        if not self.left:
            self.records(np.zeros(2000, BY_WORD["quote"].dtype), "B", schema="quote")
            self.end()

class Breaks(Source):
    def poll(self) -> None:
        raise OSError("the line is cut")

class BadInit(Source):
    def __init__(self, key: str) -> None:
        raise ValueError("no key")

class Stranger:
    def poll(self) -> None: ...
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`mine`, importable from the directory where the feed is started."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("1 +")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("mine", None)


def loaded(**settings: Any) -> config.FeedConfig:
    return config.load(None, base={"source": {"s": settings}})


def fault(**settings: Any) -> str:
    (error,) = config.check(None, base={"source": {"s": settings}})
    return str(error)


def test_it_is_turned_until_it_ends(tape: Tape, counters: Counters) -> None:
    settings = PythonConfig(class_="mine:Counting", settings={"n": 2, "each": [1, 2, 3]})
    source = Own("s", settings, tape.sink, counters)
    done = 0
    while not source.finished:
        done += source.poll(5)
    taken = tape.take()
    assert done == len(taken) == 2006
    assert [each.record[24] for each in taken[:6]] == [1, 2, 3, 1, 2, 3]
    assert {(each.schema, each.symbol) for each in taken[6:]} == {("quote", "B")}
    ticks = {row.labels["schema"]: row.value for row in counters.rows() if row.name == "tickcast_ticks_total"}
    assert ticks == {"trade": 6, "quote": 2000}
    assert "mine:Counting" in source.progress()
    source.close()


def test_it_is_not_asked_again_while_there_is_no_room(tape: Tape, counters: Counters) -> None:
    intake = Intake(tape.sink)
    source = Own("s", PythonConfig(class_="mine:Counting", settings={"n": 1}), intake.ring(1 << 16), counters)
    done = source.poll(10_000)
    assert 0 < done < 2001
    source.park(1)
    while not source.finished:
        intake.poll(100)
        done += source.poll(10_000)
    assert done == 2001


def test_topics_that_the_log_has_no_room_for_are_counted(tmp_path: Path, counters: Counters) -> None:
    from tests.sources.tape import Tape  # noqa: PLC0415

    small = Tape(tmp_path / "small", max_topics=1)
    source = Own("s", PythonConfig(class_="mine:Counting", settings={"n": 1}), small.sink, counters)
    while not source.finished:
        source.poll(5000)
    assert [each.symbol for each in small.take()] == ["A"]
    rejected = {row.labels["reason"]: row.value for row in counters.rows() if row.name == "tickcast_rejected_total"}
    assert rejected == {"topic_refused": 2000}
    small.close()


@pytest.mark.parametrize(
    ("name", "settings", "said"), [("Breaks", {}, "poll()"), ("BadInit", {"key": "k"}, "constructor")]
)
def test_what_it_raises_names_it(
    name: str, settings: dict[str, Any], said: str, tape: Tape, counters: Counters
) -> None:
    with pytest.raises(SourceError) as caught:
        Own("s", PythonConfig(class_=f"mine:{name}", settings=settings), tape.sink, counters).poll(1)
    assert f"source.s: {said} of mine:{name} raised" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError | ValueError)


def test_its_table_is_its_arguments() -> None:
    made = loaded(kind="python:mine:Counting", n=3, symbol="XYZ")
    assert made.source["s"] == PythonConfig(class_="mine:Counting", settings={"n": 3, "symbol": "XYZ"})
    assert "mine:Counting(n = 3, symbol = 'XYZ')" in plan.picture(made)
    assert config.from_json(config.to_json(made)) == made
    sets = ["source.s.kind=python:mine:Counting", "source.s.n=4", "source.s.each=1,2"]
    assert config.check(None, sets=sets) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "python:mine:Counting"}, "source.s.n: is missing, and mine:Counting needs it: expected int"),
        (
            {"kind": "python:mine:Counting", "n": "x"},
            "source.s.n: not allowed for mine:Counting: expected int, found 'x'",
        ),
        ({"kind": "python:mine:Counting", "n": 1.5}, "source.s.n: not allowed"),
        (
            {"kind": "python:mine:Counting", "n": 1, "m": 1},
            "mine:Counting has no such setting: expected n, symbol, each, found 'm'",
        ),
        (
            {"kind": "python:mine:Nobody"},
            "module mine has no such class: expected Nobody, found Counting, Breaks, BadInit, Stranger",
        ),
        (
            {"kind": "python:mine:Stranger"},
            "mine:Stranger is not a source: expected a class derived from feed.sources.Source",
        ),
        ({"kind": "python:nowhere.mine:Counting"}, "there is no such module: expected nowhere.mine"),
        ({"kind": "python:broken:Counting"}, "the module can't be imported"),
        ({"kind": "python:mine"}, "does not name a class"),
        ({"kind": "python"}, 'expected kind = "python:package.module:Class"'),
    ],
)
def test_what_is_wrong_with_its_table(settings: dict[str, Any], said: str) -> None:
    assert said in fault(**settings)


def test_the_example_walks(tape: Tape, counters: Counters) -> None:
    settings = PythonConfig(class_="feed.sources.examples.walk:Walk", settings={"symbols": ["A", "B"], "every_ms": 0.0})
    source = Own("s", settings, tape.sink, counters)
    assert [source.poll(100) for _ in range(3)] == [2, 2, 2]
    source.park(1_000_000)
    quotes = np.frombuffer(b"".join(each.record for each in tape.take()), BY_WORD["quote"].dtype)
    assert (quotes["ask_px"] - quotes["bid_px"] == 10_000_000).all()
    with pytest.raises(ConfigError, match="needs it"):
        loaded(kind="python:feed.sources.examples.walk:Walk")
