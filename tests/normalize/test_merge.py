from __future__ import annotations

import itertools
import math
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.log.ring import Intake
from feed.normalize.dbn import REFUSED, DbnStream
from feed.normalize.merge import Merge, Want
from feed.wire.records import BY_WORD, SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feed.log.sink import Sink
    from tests.sources.tape import Tape

TRADE = BY_WORD["trade"].id
STATUS = BY_WORD["status"].id
ALL = [schema.id for schema in SCHEMAS]
NOW = 1_700_000_000_000_000_000
UNDEFINED = 2**64 - 1


def trade(ts: int, number: int = 0, instrument_id: int = 1) -> bytes:
    """A TradeMsg whose ts_recv is `ts`; `number` is its sequence."""
    return struct.pack("<BBHIQqIccBBQiI", 12, 0, 0, instrument_id, ts, 0, 1, b"T", b"B", 0, 0, ts, 0, number)


def status(ts: int) -> bytes:
    return struct.pack("<BBHIQQ", 10, 18, 0, 1, ts, ts) + bytes(16)


class Player:
    """Merges byte strings; the topic of an instrument is asked for once and is its number."""

    def __init__(
        self, merge: Merge, files: Sequence[bytes], first_ts: Sequence[int] | None = None, pause_ns: int = 0
    ) -> None:
        self.merge = merge
        self.asked: list[int] = []
        self._files = list(files)
        self.streams = [DbnStream(i, 3, False, first_ts[i] if first_ts else 0) for i in range(len(files))]
        merge.begin(self.streams, pause_ns)

    def pour(self, sink: Sink, limit: int = 1 << 30, now: int = NOW) -> int:
        done = 0
        while True:
            done += self.merge.pour(sink, limit - done, now)
            if self.merge.want == Want.BYTES:
                self._feed(self.merge.next)
            elif self.merge.want == Want.TOPIC:
                self._bind(sink, self.merge.next)
            else:
                self.merge.flush(sink)
                return done

    def _feed(self, i: int) -> None:
        if not self._files[i]:
            self.merge.drop_next()
            return
        space = self.streams[i].space()
        n = min(len(space), len(self._files[i]))
        space[:n] = self._files[i][:n]
        self.streams[i].filled(n)
        self._files[i] = self._files[i][n:]

    def _bind(self, sink: Sink, i: int) -> None:
        instrument_id, schema_id, _ = self.streams[i].waiting
        self.asked.append(instrument_id)
        word = next(schema.word for schema in SCHEMAS if schema.id == schema_id)
        self.streams[i].bind(instrument_id, schema_id, sink.topic(word, f"I{instrument_id}"), 0, UNDEFINED)


def numbers(tape: Tape) -> list[int]:
    return [struct.unpack_from("<I", one.record, 44)[0] for one in tape.take()]


times = st.lists(st.integers(0, 30) | st.just(UNDEFINED), max_size=30)


def test_streams_are_merged_by_time_then_order_and_never_reordered_within(tape: Tape) -> None:
    @given(st.lists(times, min_size=1, max_size=6), st.integers(1, 20), st.booleans())
    @settings(max_examples=200)
    def check(files: list[list[int]], limit: int, ordered: bool) -> None:
        if ordered:
            files = [sorted(file) for file in files]
        count = itertools.count()
        expected = []
        data = []
        for order, file in enumerate(files):
            high = 0
            rows = []
            for ts in file:
                high = max(high, 0 if ts == UNDEFINED else ts)
                number = next(count)
                rows.append(trade(ts, number))
                expected.append((high, order, number))
            data.append(b"".join(rows))
        player = Player(Merge(math.inf, ALL), data)
        while player.merge.left:
            assert player.pour(tape.sink, limit) <= limit
        assert numbers(tape) == [number for _, _, number in sorted(expected)]

    check()


def test_a_file_is_not_looked_at_before_its_first_time(tape: Tape) -> None:
    player = Player(Merge(math.inf, ALL), [trade(10, 0) + trade(30, 2), trade(20, 1)], first_ts=[10, 20])
    merge = player.merge
    assert merge.pour(tape.sink, 10, NOW) == 0
    assert (merge.want, merge.next) == (Want.BYTES, 0)
    player.pour(tape.sink, 1)
    assert merge.pour(tape.sink, 10, NOW) == 0
    assert (merge.want, merge.next) == (Want.BYTES, 1)
    player.pour(tape.sink)
    assert numbers(tape) == [0, 1, 2]


@pytest.mark.parametrize(("speed", "scale"), [(1.0, 1.0), (10.0, 0.1), (0.25, 4.0)])
def test_records_come_when_they_are_due_and_ts_in_is_that(tape: Tape, speed: float, scale: float) -> None:
    offsets = [0, 1000, 1000, 500, 5_000_000_000]  # the fourth is older than the third: it comes right after it
    expected = [NOW + int(after * scale) for after in (0, 1000, 1000, 1000, 5_000_000_000)]
    player = Player(Merge(speed, ALL), [b"".join(trade(77 + at, i) for i, at in enumerate(offsets))])
    assert player.merge.due_ns == 0
    assert player.pour(tape.sink, now=NOW) == 1
    for due in expected[1:]:
        assert player.pour(tape.sink, now=due - 1) == 0
        assert player.merge.due_ns == due
        assert player.pour(tape.sink, 1, now=due + 3) == 1  # late: still the time it was due
    assert [one.ts_in for one in tape.take()] == expected


def test_a_recording_from_long_ago_or_of_impossible_length_does_not_overflow(tape: Tape) -> None:
    player = Player(Merge(0.001, ALL), [trade(0) + trade(2**63)])
    assert player.pour(tape.sink) == 1
    assert player.merge.due_ns > NOW + 10**18


def test_a_second_pass_begins_after_the_pause(tape: Tape) -> None:
    merge = Merge(1.0, ALL)
    first = Player(merge, [trade(100) + trade(300)])
    assert first.pour(tape.sink, now=NOW) == 1
    assert first.pour(tape.sink, now=NOW + 200) == 1
    assert (merge.left, merge.at_ns) == (0, 300)
    with pytest.raises(IndexError):
        merge.drop_next()
    with pytest.raises(IndexError):
        _ = merge.next
    second = Player(merge, [trade(100) + trade(300)], pause_ns=50)
    assert second.pour(tape.sink, now=NOW + 249) == 0
    assert merge.due_ns == NOW + 250
    assert second.pour(tape.sink, now=NOW + 250) == 1
    assert merge.due_ns == NOW + 450
    assert tape.take()[-1].ts_in == NOW + 250


def test_only_the_schemas_asked_for_come_and_others_are_not_counted(tape: Tape) -> None:
    player = Player(Merge(math.inf, [STATUS]), [trade(1) + status(2) + trade(3)])
    assert player.pour(tape.sink) == 1
    assert [one.schema for one in tape.take()] == ["status"]
    assert player.merge.take_ticks() == [(STATUS, 1)]
    assert player.merge.take_ticks() == []
    assert player.merge.take_rejected() == []


def test_what_is_skipped_is_counted_by_reason(tape: Tape) -> None:
    junk = bytes((4, 23)).ljust(16, b"\0") * 2 + bytes((4, 99)).ljust(16, b"\0") + bytes((4, 0)).ljust(16, b"\0")
    player = Player(Merge(math.inf, ALL), [junk + trade(1)])
    assert player.pour(tape.sink) == 1
    assert sorted(player.merge.take_rejected()) == [
        ("unknown_rtype", 1),
        ("unsupported_rtype_23", 2),
        ("wrong_length", 1),
    ]
    assert player.merge.take_rejected() == []


def test_an_impossible_length_is_said_after_the_records_before_it(tape: Tape) -> None:
    player = Player(Merge(math.inf, ALL), [trade(1, 0) + trade(3, 2) + bytes(100), trade(2, 1)])
    assert player.pour(tape.sink) == 3
    assert player.merge.want == Want.REPAIR
    assert player.streams[player.merge.next].offset == 96
    player.merge.drop_next()
    assert player.pour(tape.sink) == 0
    assert player.merge.left == 0
    assert numbers(tape) == [0, 1, 2]


def test_a_full_sink_is_tried_again_and_nothing_is_lost(tape: Tape) -> None:
    intake = Intake(tape.sink)
    ring = intake.ring(1 << 16)
    player = Player(Merge(math.inf, ALL), [b"".join(trade(i, i) for i in range(5000))])
    rounds = 0
    while player.merge.left:
        player.pour(ring)
        assert player.merge.want in (Want.ROOM, Want.NOTHING)
        rounds += 1
        while intake.poll(1 << 20):
            pass
    assert rounds > 2
    assert numbers(tape) == list(range(5000))


def test_each_instrument_is_asked_for_once_however_many_there_are(tape: Tape) -> None:
    ids = [i * 4096 for i in range(1500)]
    data = b"".join(trade(1, i, instrument_id) for i, instrument_id in enumerate(ids * 3))
    player = Player(Merge(math.inf, ALL), [data])
    assert player.pour(tape.sink) == len(ids) * 3
    assert player.asked == ids
    assert [one.symbol for one in tape.take()] == [f"I{i}" for i in ids] * 3


def test_an_instrument_is_asked_for_again_outside_its_span_or_when_forgotten(tape: Tape) -> None:
    merge = Merge(math.inf, ALL)
    stream = DbnStream(0, 3)
    stream.space()[: 48 * 4] = trade(5, 0) + trade(9, 1) + trade(10, 2) + trade(11, 3)
    stream.filled(48 * 4)
    merge.begin([stream])
    first, second = tape.sink.topic("trade", "OLD"), tape.sink.topic("trade", "NEW")
    assert merge.pour(tape.sink, 9, NOW) == 0
    stream.bind(1, TRADE, first, 0, 10)
    assert merge.pour(tape.sink, 9, NOW) == 2
    assert (merge.want, stream.waiting) == (Want.TOPIC, (1, TRADE, 10))
    stream.bind(1, TRADE, second, 10, 20)
    assert merge.pour(tape.sink, 1, NOW) == 1
    stream.forget(1)
    assert merge.pour(tape.sink, 9, NOW) == 0
    assert merge.want == Want.TOPIC
    stream.bind(1, TRADE, REFUSED, 0, UNDEFINED)
    assert merge.pour(tape.sink, 9, NOW) == 0
    assert merge.take_rejected() == [("topic_refused", 1)]
    merge.flush(tape.sink)
    assert [one.symbol for one in tape.take()] == ["OLD", "OLD", "NEW"]
