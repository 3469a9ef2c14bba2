"""A part of an archive: which blocks it has, how far it is, and what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feed.errors import CallerError, SymbolError
from feed.position import Position
from feed.store.excerpt import Excerpt, Missing, feed_folder, told
from tests.archive.recorded import Recorder, Tick, record_archive
from tests.archive.ticks import trade

if TYPE_CHECKING:
    from pathlib import Path

START = 1_719_840_600 * 10**9
STEP_NS = 10**9


def ticks(n: int, first: int = 0) -> list[Tick]:
    return [Tick("trade", f"S{i % 2}", trade(i), START + i * STEP_NS) for i in range(first, first + n)]


def spans(excerpt: Excerpt) -> list[tuple[int, int]]:
    found = []
    while (block := excerpt.read_block()) is not None:
        found.append((block.first_seq, block.last_seq))
    return found


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """Seq 1 to 1000, of which 301 to 400 and 701 to 710 are missing; a second lies between two records."""
    recorder = Recorder(tmp_path / "main")
    recorder.put(ticks(300))
    recorder.lose(100, "overrun")
    recorder.put(ticks(300, 400))
    recorder.lose(10, "disk full")
    recorder.put(ticks(290, 710))
    recorder.close()
    return tmp_path / "main"


def test_what_lies_in_it_is_missing_and_nothing_beside_it(holed: Path) -> None:
    for first, last, expected in [
        ("", "", [(301, 400), (701, 710)]),
        ("", "300", []),
        ("350", "705", [(350, 400), (701, 705)]),
        (str(START + 410 * STEP_NS), str(START + 600 * STEP_NS), []),
        (str(START + 410 * STEP_NS), "", [(701, 710)]),
    ]:
        excerpt = Excerpt(holed, first=Position.parse(first), last=Position.parse(last))
        spans(excerpt)
        assert [(each.first, each.last) for each in excerpt.missing] == expected, (first, last)
        excerpt.rewind()
        assert excerpt.missing == []
        spans(excerpt)
        assert [(each.first, each.last) for each in excerpt.missing] == expected, (first, last)


def test_a_time_ends_it_soon_after_its_last_record(holed: Path) -> None:
    excerpt = Excerpt(holed, last=Position(time_ns=START + 50 * STEP_NS))
    assert 50 <= spans(excerpt)[-1][1] <= 300


def test_its_fraction_grows_to_one(holed: Path) -> None:
    for bounds in ({}, {"first": Position(seq=100)}, {"first": Position(time_ns=START)}, {"last": Position(seq=600)}):
        excerpt = Excerpt(holed, **bounds)  # type: ignore[arg-type]
        shown = [excerpt.fraction]
        while excerpt.read_block() is not None:
            shown.append(excerpt.fraction)
        assert shown == sorted(shown)
        assert 0 <= shown[0] < 0.5 < shown[-1] <= 1


def test_topics_that_are_wanted(holed: Path) -> None:
    excerpt = Excerpt(holed, symbols=["S1", "X*"], schemas=["trade"])
    assert excerpt.read_block() is not None
    assert (excerpt.wanted(0), excerpt.wanted(1)) == (None, ("trade", "S1"))
    with pytest.raises(SymbolError):
        Excerpt(holed, symbols=["a|b"])
    with pytest.raises(SymbolError):
        Excerpt(holed, schemas=["quotes"])


def test_the_folder_of_a_feed_or_the_one_that_holds_it(tmp_path: Path, holed: Path) -> None:
    assert feed_folder(holed) == feed_folder(tmp_path) == holed
    record_archive(tmp_path / "other", ticks(1))
    with pytest.raises(CallerError, match="several feeds"):
        feed_folder(tmp_path)


def test_told_names_a_few_ranges() -> None:
    assert told([]) == ""
    missing = [Missing(1, 10 * i, 10 * i + 1, "overrun") for i in range(1, 8)]
    assert told(missing).startswith("14 records of all topics: seq 10 to 11 (overrun), seq 20 to 21 (overrun)")
    assert told(missing).endswith(" and 2 more ranges")
