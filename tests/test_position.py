"""Times and sequence numbers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import ConfigError
from feed.position import TIME_MIN_NS, Position


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2024-07-01", 1_719_792_000 * 10**9),
        ("2024-07-01T13:30", 1_719_840_600 * 10**9),
        ("2024-07-01 13:30:00", 1_719_840_600 * 10**9),
        ("2024-07-01T13:30:00Z", 1_719_840_600 * 10**9),
        ("20240701T133000Z", 1_719_840_600 * 10**9),
        ("2024-07-01T13:30:00.000000001Z", 1_719_840_600 * 10**9 + 1),
        ("2024-07-01T13:30:00.5", 1_719_840_600 * 10**9 + 500_000_000),
        ("2024-07-01T08:30:00-05:00", 1_719_840_600 * 10**9),
        ("1719840600000000000", 1_719_840_600 * 10**9),
    ],
)
def test_times(text: str, time_ns: int) -> None:
    assert Position.parse(text) == Position(time_ns=time_ns)


def test_sequence_numbers_and_nothing() -> None:
    assert Position.parse("") == Position()
    assert Position.parse("1") == Position(seq=1)
    assert Position.parse(str(TIME_MIN_NS - 1)) == Position(seq=TIME_MIN_NS - 1)
    assert Position.parse(str(TIME_MIN_NS)) == Position(time_ns=TIME_MIN_NS)


@pytest.mark.parametrize(
    "wrong", ["0", "-1", "yesterday", "2024-13-01", "1960-01-01", "17:00", "1.5", str(2**64), "2024-07-01T25:00", "²"]
)
def test_what_is_neither_is_said_with_its_place(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"--from: not a place .* expected a time such as"):
        Position.parse(wrong, where="--from")


SEQS = st.integers(1, TIME_MIN_NS - 1).map(lambda seq: Position(seq=seq))
TIMES = st.integers(1, 2**64 - 1).map(lambda time_ns: Position(time_ns=time_ns))


@given(SEQS | TIMES)
def test_what_is_written_is_read_again(position: Position) -> None:
    assert Position.parse(str(position)) == position
