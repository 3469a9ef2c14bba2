"""The arbiter between lines, beside a plain set of numbers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import CallerError
from feed.wire.arbiter import Arbiter, HoldBack

SESSION = b"0123456789"
PACKETS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60), st.integers(0, 9)), max_size=80)


@given(PACKETS)
def test_fresh_is_what_no_line_brought_before(packets: list[tuple[int, int, int]]) -> None:
    arbiter = Arbiter(3)
    arbiter.begin(SESSION, 1)
    came: set[int] = set()
    lines: list[set[int]] = [set(), set(), set()]
    highest, reach = 1, [1, 1, 1]
    brought = [0, 0, 0]
    for line, first, count in packets:
        fresh = [n for start, many in arbiter.take(line, first, count) for n in range(start, start + many)]
        assert fresh == [n for n in range(first, first + count) if n not in came]
        came.update(fresh)
        lines[line].update(range(first, first + count))
        brought[line] += len(fresh)
        highest = max(highest, first + count)
        reach[line] = max(reach[line], first + count)
        assert arbiter.next == highest
        holes = [n for start, many in arbiter.holes for n in range(start, start + many)]
        assert holes == [n for n in range(1, highest) if n not in came]
        assert arbiter.complete_below == min([*holes, highest])
    for i in range(3):
        counts = arbiter.line(i)
        assert counts.first == brought[i]
        assert counts.lost == sum(n not in lines[i] for n in range(1, reach[i]))
        assert counts.first + counts.late == sum(count for line, _, count in packets if line == i)


def test_a_session_begins_where_its_first_message_is() -> None:
    arbiter = Arbiter(1)
    assert arbiter.of_session == b""
    assert arbiter.take(0, 1000, 3) == [(1000, 3)]
    assert arbiter.holes == []
    arbiter.take(0, 1010, 1)
    arbiter.begin(SESSION)
    assert arbiter.of_session == SESSION
    assert arbiter.holes == []
    assert arbiter.take(0, 7, 1) == [(7, 1)]
    assert arbiter.line(0) == (5, 0, 7)


def test_the_oldest_hole_is_asked_for_then_again_then_given_up() -> None:
    arbiter = Arbiter(2)
    arbiter.begin(SESSION, 1)
    arbiter.take(0, 5, 1, now_ns=100)
    arbiter.take(0, 9, 1, now_ns=200)
    assert arbiter.ask(50, 0, 300) is None
    assert arbiter.ask(150, 0, 300) == (1, 4)
    assert arbiter.ask(300, 0, 310) == (6, 3)
    assert arbiter.ask(300, 299, 320) is None
    assert arbiter.ask(300, 305, 320) == (1, 4)
    assert arbiter.take(1, 2, 2, now_ns=330) == [(2, 2)]
    assert arbiter.holes == [(1, 1), (4, 1), (6, 3)]
    assert arbiter.give_up(150) == 2
    assert arbiter.lost == 2
    assert arbiter.complete_below == 6
    assert arbiter.take(1, 1, 1) == []  # too late: it was told as lost


def test_holes_are_bounded() -> None:
    arbiter = Arbiter(1)
    arbiter.begin(SESSION, 1)
    for i in range(3000):
        arbiter.take(0, 2 * i + 2, 1)
    assert len(arbiter.holes) == 1024
    assert arbiter.lost == 3000 - 1024
    assert arbiter.holes[-1] == (5999, 1)
    wide = Arbiter(1)
    wide.begin(SESSION, 1)
    wide.take(0, 10_000, 1)
    for i in random.Random(3).sample(range(1, 10_000), 9_999):
        assert wide.take(0, i, 1) in ([(i, 1)], [])
    assert wide.holes == []


def test_two_lines_with_loss_of_their_own_lose_only_what_both_lost() -> None:
    rng = random.Random(7)
    arbiter = Arbiter(2)
    arbiter.begin(SESSION, 1)
    both = 0
    for n in range(1, 20_001):
        dropped = [rng.random() < 0.02, rng.random() < 0.02]
        both += all(dropped)
        for line in (0, 1):
            if not dropped[line]:
                arbiter.take(line, n, 1)
    arbiter.take(0, 20_001, 0)
    arbiter.take(1, 20_001, 0)
    assert sum(many for _, many in arbiter.holes) == both
    assert 300 < arbiter.line(0).lost < 500
    assert arbiter.line(1).first == arbiter.line(0).lost - both


def test_what_is_asked_wrongly_is_refused() -> None:
    for wrong in (lambda: Arbiter(0), lambda: Arbiter(6), lambda: Arbiter(1).take(1, 1, 1)):
        with pytest.raises(CallerError):
            wrong()
    with pytest.raises(CallerError):
        Arbiter(1).begin(b"short")
    with pytest.raises(CallerError):
        Arbiter(1).line(-1)


@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 29), max_size=3))
def test_messages_go_out_in_order_whatever_order_they_come_in(order: list[int], never: list[int]) -> None:
    arbiter, held, due, out = Arbiter(1), HoldBack(64, 10_000), 1, []
    arbiter.begin(SESSION, 1)
    for n in order:
        if n in never:
            continue
        assert arbiter.take(0, n, 1) == [(n, 1)]
        assert held.put(n, due, bytes([n]) * n)
        while (message := held.take(due)) is not None:
            assert message == bytes([due]) * due
            out.append(due)
            due += 1
        assert held.kept == sum(k >= due and k not in never for k in order[: order.index(n) + 1])
    assert due == min([*never, 30])
    assert out == list(range(1, due))
    held.forget()
    assert (held.kept, held.kept_bytes) == (0, 0)


def test_what_is_held_back_is_bounded() -> None:
    held = HoldBack(5, 100)
    assert held.put(3, 1, bytes(40))
    assert held.put(3, 1, bytes(40))  # twice is once
    assert held.put(8, 1, bytes(40))
    assert not held.put(9, 1, bytes(1))  # too far ahead
    assert not held.put(4, 1, bytes(40))  # too much
    assert not held.put(1, 2, b"")  # behind
    assert (held.kept, held.kept_bytes, held.refused) == (2, 80, 3)
    assert held.put(11, 9, bytes(20))  # 3 was passed over: its place is free
    assert held.take(3) is None
    assert held.take(11) == bytes(20)
    assert held.put(10, 10, b"")
    assert held.take(10) == b""
    for wrong in (0, 1 << 25):
        with pytest.raises(CallerError):
            HoldBack(wrong, 1)
