"""MoldUDP64 lines into ITCH messages in order: whatever is lost, doubled, swapped, given up or noise."""

from __future__ import annotations

import random
import struct
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.normalize.itch import NO_TOPIC, SCHEMAS, Itch
from feed.normalize.itch_frames import ItchFrames, Want
from feed.normalize.itch_lines import OTHER, TAKEN, ItchLines
from feed.wire import mold
from tests.normalize.itch_messages import message
from tests.normalize.itch_play import MIDNIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sources.tape import Tape

S1 = b"SESSION001"
ORDERS = [message("R", 1, 1)] + [message("A", 1, n, reference=n, side="B", shares=n, price=100) for n in range(2, 201)]


class Heard:
    """Lines whose orders are looked at."""

    def __init__(self, tape: Tape, *, held_bytes: int = 1 << 20) -> None:
        self._tape = tape
        self.itch = Itch("XNAS", orders=100_000)
        self.itch.begin(MIDNIGHT)
        self.frames = ItchFrames(self.itch, packets=True)
        self.lines = ItchLines(self.frames, 2, held_bytes=held_bytes)
        self.lines.begin(S1, 1)
        self.lost: list[tuple[int, int]] = []

    def pour(self) -> None:
        """Deal with all that is there, and go on behind what is lost."""
        while True:
            self.frames.pour(self._tape.sink, 1 << 20, 0)
            self.frames.flush(self._tape.sink)
            self._tape.take()
            if self.frames.want == Want.NAME:
                locate, stock = self.itch.waiting
                self.itch.bind(locate, stock, [self._tape.sink.topic("quote", "S1"), *[NO_TOPIC] * (len(SCHEMAS) - 1)])
                continue
            self.lines.release()
            if self.frames.left:
                continue
            if not self.lines.lost:
                return
            self.lost.append((self.lines.next, self.lines.lost))
            self.lines.skip()

    @property
    def resting(self) -> list[int]:
        """Shares of the one level: the sum of what came."""
        return [size for _, size, _ in self.itch.resting.levels(1, 0)]


def packets(cuts: Sequence[int]) -> list[bytes]:
    """All messages, cut into datagrams at these places."""
    places = sorted({0, len(ORDERS), *(cut % len(ORDERS) for cut in cuts)})
    return [mold.encode(S1, a + 1, ORDERS[a:b]) for a, b in pairwise(places)]


@given(
    st.lists(st.integers(0, 400), max_size=60),
    st.lists(st.integers(0, 400), max_size=60),
    st.floats(0, 0.4),
    st.integers(0, 2**32),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_what_any_line_brings_is_dealt_with_once_and_in_order(
    tape: Tape, a: list[int], b: list[int], lose: float, seed: int
) -> None:
    rnd = random.Random(seed)
    heard = Heard(tape)
    came: set[int] = set()
    sent: list[tuple[float, int, bytes]] = []
    for line, cuts in enumerate((a, b)):
        for n, datagram in enumerate(packets(cuts)):
            for _ in range(rnd.choice((1, 1, 1, 2))):
                if rnd.random() >= lose:
                    sent.append((n + rnd.random() * 4, line, datagram))
                    first, count = struct.unpack_from(">QH", datagram, 10)
                    came.update(range(first, first + count))
    for _, line, datagram in sorted(sent):
        assert heard.lines.take(line, datagram, 1) == TAKEN
        if rnd.random() < 0.3:
            heard.pour()
    heard.pour()
    assert heard.lost == []
    heard.lines.take(2, mold.heartbeat(S1, len(ORDERS) + 1), 1)
    heard.lines.arbiter.give_up(2)
    heard.pour()
    assert heard.frames.messages == len(ORDERS)
    lost = {n for first, count in heard.lost for n in range(first, first + count)}
    assert lost == set(range(1, len(ORDERS) + 1)) - came
    assert sum(heard.resting) == sum(came - {1})
    assert heard.itch.is_bad(1) == bool(lost)
    assert heard.itch.take_rejected() == []
    assert heard.lines.held_bytes == 0


def test_what_waits_is_bounded_and_then_nothing_earlier_is_waited_for(tape: Tape) -> None:
    heard = Heard(tape, held_bytes=1000)
    for n in (1, *range(5, 60)):
        heard.lines.take(0, mold.encode(S1, n, [ORDERS[n - 1]]), 1)
        assert heard.lines.held_bytes < 1100
        heard.pour()
    assert heard.lost == [(2, 3)]
    assert heard.frames.messages == 59


def test_while_it_is_paused_all_waits_and_then_goes_on_where_it_is_told(tape: Tape) -> None:
    for cut in (1, 7, 10):
        heard = Heard(tape)
        heard.lines.pause()
        for first in range(1, 100, cut):
            heard.lines.take(0, mold.encode(S1, first, ORDERS[first - 1 : first - 1 + cut]), 1)
        heard.pour()
        assert heard.frames.left == 0
        heard.frames.number(52)
        heard.lines.resume(52)
        heard.pour()
        last = heard.frames.messages
        assert last >= 99
        assert sum(heard.resting) == sum(range(52, last + 1))
        assert heard.lost == []


def test_a_pause_that_takes_too_long_costs_the_latest(tape: Tape) -> None:
    heard = Heard(tape, held_bytes=1000)
    heard.lines.pause()
    for n in range(1, 100):
        heard.lines.take(0, mold.encode(S1, n, [ORDERS[n - 1]]), 1)
    assert heard.lines.held_bytes <= 1000
    heard.lines.resume(1)
    heard.pour()
    assert heard.lost[0][0] + heard.lost[0][1] == 100
    assert dict(heard.lines.take_rejected()) == {"no_room": heard.lost[0][1]}


def test_another_session_is_left_to_the_caller(tape: Tape) -> None:
    heard = Heard(tape)
    assert heard.lines.take(0, mold.encode(b"SESSION002", 5, [b"x"]), 1) == OTHER
    assert (heard.lines.other_session, heard.lines.other_sequence) == (b"SESSION002", 5)
    assert heard.lines.take(0, mold.end_of_session(S1, 9), 1) == TAKEN
    assert heard.lines.end == 9


def test_empty_messages_have_numbers_too(tape: Tape) -> None:
    heard = Heard(tape)
    heard.lines.take(0, mold.encode(S1, 1, [ORDERS[0], b"", b"", ORDERS[1]]), 1)
    heard.pour()
    assert heard.frames.messages == 4
    assert heard.itch.resting.orders == 1


def test_damaged_datagrams_do_no_harm(tape: Tape) -> None:
    rnd = random.Random(9)
    heard = Heard(tape, held_bytes=1 << 16)
    n = 0
    for _ in range(20_000):
        n = n % (len(ORDERS) - 4) + 1
        datagram = bytearray(mold.encode(S1, n, ORDERS[n - 1 : n + 3]))
        for _ in range(rnd.randint(1, 3)):
            datagram[rnd.randrange(10 if rnd.random() < 0.9 else 0, len(datagram))] = rnd.randrange(256)
        heard.lines.take(rnd.randrange(2), datagram, 1)
        if rnd.random() < 0.1:
            heard.pour()
        assert heard.lines.held_bytes < 1 << 17
    heard.pour()
    assert sum(n for _, n in heard.lines.take_rejected()) > 1000
    assert heard.itch.memory_bytes < 64 << 20
