"""The push source: its protocol, message by message, and as a machine whose network and processes fail."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from feed.log.ring import Intake
from feed.metrics.counters import Counters
from feed.wire.batching import bodies
from feed.wire.fields import encode
from feed.wire.pushing import MESSAGE_BYTES_MAX, REASONS, Answer, Kind, body, message
from feed.wire.records import BY_WORD
from tests.sources.pushers import Entrance, Hand, trades
from tests.sources.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feed.log.sink import Sink


@pytest.fixture
def entrance(tape: Tape, counters: Counters) -> Iterator[Entrance]:
    made = Entrance(tape.sink.directory, tape.sink, counters, topics=8)
    yield made
    made.close()


@pytest.fixture
def hand(entrance: Entrance) -> Hand:
    made = Hand(entrance, b"hand")
    entrance.poll()
    (told,) = made.hear()
    assert told.kind == Kind.WELCOME
    return made


def sizes(tape: Tape) -> list[int]:
    return [struct.unpack_from("<I", each.record, 24)[0] for each in tape.take()]


def kinds(told: list[Answer]) -> list[Kind]:
    return [each.kind for each in told]


# --- acknowledgement ---


def test_what_is_in_the_log_is_acknowledged(tape: Tape, entrance: Entrance, hand: Hand) -> None:
    hand.push(3)
    hand.push(2)
    assert entrance.poll() == 5
    assert [each.committed for each in hand.hear()] == [5]
    taken = tape.take()
    assert [struct.unpack_from("<I", each.record, 24)[0] for each in taken] == [1, 2, 3, 4, 5]
    assert len({each.ts_in for each in taken}) == 2, "a ts_in for each message"
    assert {(each.schema, each.symbol) for each in taken} == {("trade", "AAPL")}


def test_a_message_that_is_half_in_is_not_acknowledged(entrance: Entrance, hand: Hand) -> None:
    hand.push(5)
    assert entrance.poll(2) == 2
    assert hand.hear() == []
    assert entrance.poll(2) == 2
    assert entrance.poll(2) == 1
    assert [each.committed for each in hand.hear()] == [5]


def test_duplicates_are_dropped_and_counted(tape: Tape, entrance: Entrance, hand: Hand) -> None:
    hand.push(4)
    hand.send(1, 4)
    hand.send(3, 4)  # two that are there, and two more
    entrance.poll()
    assert sizes(tape) == [1, 2, 3, 4, 5, 6]
    assert entrance.rejected() == {"duplicate": 6}
    assert hand.hear()[-1].committed == 6


def test_a_hole_is_not_taken_but_asked_for_once(tape: Tape, entrance: Entrance, hand: Hand) -> None:
    hand.push(2)
    hand.send(4, 1)
    hand.send(5, 1)
    entrance.poll()
    assert kinds(hand.hear()) == [Kind.AGAIN, Kind.ACKNOWLEDGED]
    assert sizes(tape) == [1, 2]
    entrance.poll()
    assert [(each.kind, each.received) for each in hand.hear()] == [(Kind.WELCOME, 2)]


def test_a_connection_that_says_no_hello_is_asked_for_it(tape: Tape, entrance: Entrance, hand: Hand) -> None:
    hand.push(1)
    entrance.poll()
    hand.hear()
    hand.route = b"elsewhere"
    hand.heard = 0
    hand.push(1)
    entrance.poll()
    assert kinds(hand.hear()) == [Kind.AGAIN]
    entrance.poll()
    assert kinds(hand.hear()) == [Kind.WELCOME]
    entrance.poll()
    assert sizes(tape) == [1, 2]


def test_a_new_session_takes_the_name_over_and_the_old_one_is_told(entrance: Entrance, hand: Hand) -> None:
    hand.push(2)
    young = Hand(entrance, b"hand", 7)
    entrance.poll()
    assert kinds(hand.hear()) == [Kind.REPLACED]
    told = young.hear()[-1]
    assert (told.kind, told.received) == (Kind.WELCOME, 2)
    hand.hello()  # it does not take it back
    entrance.poll()
    assert kinds(hand.hear()) == [Kind.REPLACED]
    young.push(1)
    entrance.poll()
    assert young.hear()[-1].committed == 3


def test_whoever_asks_in_json_is_told_what_this_is(entrance: Entrance, hand: Hand) -> None:
    hand.say(b'{"id": 0, "request": "directory"}')
    entrance.poll()
    assert orjson.loads(entrance.router.sent[hand.route][-1])["answer"] == "push"


# --- refusals ---

RECORD = encode("trade", {})
BAD = {
    "malformed": body([b"A"], b"", RECORD)[:-1],
    "wrong_length": body([b"A"], b"", b"\x0d" + RECORD[1:] + bytes(4)),
    "unknown_rtype": body([b"A"], b"", b"\x0c\xfe" + RECORD[2:]),
    "bad_symbol": body([b"A|"], b"", RECORD),
    "too_large": body([b"A"], b"", RECORD + bytes(MESSAGE_BYTES_MAX)),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_message_is_refused_and_the_next_is_not(reason: str, tape: Tape, entrance: Entrance, hand: Hand) -> None:
    hand.say(message(Kind.RECORDS, 1, hand.session, 1, BAD[reason]))
    hand.say(message(Kind.RECORDS, 2, hand.session, 2, trades(2, 2)))
    entrance.poll()
    refusal, acknowledged = hand.hear()
    assert (refusal.kind, refusal.first, refusal.records) == (Kind.REFUSED, 1, 1)
    assert refusal.text.startswith(f"{reason}: ")
    assert reason in REASONS
    assert (acknowledged.committed, acknowledged.refused) == (3, 1)
    assert entrance.rejected() == {reason: 1}
    assert sizes(tape) == [2, 3]


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"\x50\x02" + bytes(22), b"\x50\x01\x09" + bytes(21), message(Kind.RECORDS, 0, 1, 1),
     message(Kind.RECORDS, 70_000, 1, 1), message(Kind.RECORDS, 1, 1, 2**64 - 1), message(Kind.HELLO, 1, 0, 0, b"a"),
     message(Kind.HELLO, 1, 1, 0, b"no name!")],
)  # fmt: skip
def test_no_message_at_all_is_refused(data: bytes, tape: Tape, entrance: Entrance, hand: Hand) -> None:
    hand.say(data)
    hand.say(message(Kind.RECORDS, 1, hand.session, 1, trades(1, 1)), b"more")
    hand.push(1)
    entrance.poll()
    assert kinds(hand.hear()) == [Kind.REFUSED, Kind.REFUSED, Kind.ACKNOWLEDGED]
    assert entrance.rejected() == {"malformed": 2}
    assert sizes(tape) == [1]


def test_one_bad_record_of_many_is_named_and_none_of_them_is_taken(tape: Tape, entrance: Entrance, hand: Hand) -> None:
    content = body([b"A"], b"", RECORD * 3 + b"\x0c\xfe" + RECORD[2:] + RECORD)
    hand.say(message(Kind.RECORDS, 5, hand.session, 1, content))
    entrance.poll()
    refusal = hand.hear()[0]
    assert (refusal.records, refusal.at) == (5, 3)
    assert sizes(tape) == []


def test_topics_beyond_what_all_may_name_are_refused(tape: Tape, entrance: Entrance, hand: Hand) -> None:
    for n in range(1, 11):
        hand.say(message(Kind.RECORDS, 1, hand.session, n, body([b"S%d" % n], b"", RECORD)))
    entrance.poll()
    assert entrance.rejected() == {"topic_refused": 2}
    assert len(tape.take()) == 8
    entrance.kill()
    entrance.start()
    hand.connect()
    entrance.poll()
    hand.say(message(Kind.RECORDS, 1, hand.session, 11, body([b"S11"], b"", RECORD)))
    entrance.poll()
    assert entrance.rejected() == {"topic_refused": 3}, "the next process counts them too"


# --- bodies ---


def test_an_array_of_many_symbols_and_a_few_schemas(tape: Tape, entrance: Entrance, hand: Hand) -> None:
    quotes = np.zeros(6, BY_WORD["quote"].dtype)
    quotes["bid_sz"] = np.arange(6)
    names = ["A", "B", "A", "C", "A", "B"]
    ((count, content),) = bodies(quotes, names, "quote")
    hand.say(message(Kind.RECORDS, count, hand.session, 1, content))
    both = encode("trade", {"size": 9}) + encode("status", {"action": 7})
    ((count, content),) = bodies(both, ["A", "C"])
    hand.say(message(Kind.RECORDS, count, hand.session, 7, content))
    assert entrance.poll() == 8
    taken = tape.take()
    assert [(each.schema, each.symbol) for each in taken] == [
        *(("quote", n) for n in names),
        ("trade", "A"),
        ("status", "C"),
    ]
    assert [struct.unpack_from("<I", each.record, 64)[0] for each in taken[:6]] == [0, 1, 2, 3, 4, 5]
    assert taken[6].record + taken[7].record == both


def test_json_is_exact(tape: Tape, entrance: Entrance, hand: Hand) -> None:
    ticks = [
        {"schema": "trade", "symbol": "BTC", "price": "0.000000001", "size": 1},
        {"schema": "trade", "symbol": "BTC", "price": 189.98, "side": "B"},
        {"schema": "quote", "symbol": "ETH", "bid_px": 12, "ask_px_raw": 12_000_000_001},
    ]
    hand.say(message(Kind.JSON, 3, hand.session, 1, orjson.dumps(ticks)))
    assert entrance.poll() == 3
    taken = tape.take()
    assert [struct.unpack_from("<q", each.record, 16)[0] for each in taken[:2]] == [1, 189_980_000_000]
    assert struct.unpack_from("<qq", taken[2].record, 48) == (12_000_000_000, 12_000_000_001)


@pytest.mark.parametrize(
    ("ticks", "reason"),
    [(b"[", "bad_json"), (b"{}", "bad_json"), (b"[]", "bad_json"), (b"[1]", "bad_json"),
     (b'[{"symbol":"A"}]', "bad_json"),
     (b'[{"schema":"trade","symbol":"A","price":"1.0000000001"}]', "bad_json"),
     (b'[{"schema":"trade","symbol":"A","price":"1e999999999"}]', "bad_json"),
     (b'[{"schema":"trade","symbol":"A","prize":1}]', "bad_json"), (b'[{"schema":[],"symbol":"A"}]', "bad_json"),
     (b'[{"schema":"trade","symbol":""}]', "bad_symbol"), (b'[{"schema":"trade","symbol":7}]', "bad_json")],
)  # fmt: skip
def test_json_that_is_none_of_ticks(ticks: bytes, reason: str, entrance: Entrance, hand: Hand) -> None:
    hand.say(message(Kind.JSON, 1, hand.session, 1, ticks))
    entrance.poll()
    refusal, acknowledged = hand.hear()
    assert refusal.text.startswith(reason)
    assert acknowledged.committed == 1


# --- garbage ---

SOUND = message(Kind.RECORDS, 2, 1001, 1, body([b"A", b"BB"], b"\1\0\0\0", RECORD + encode("quote", {})))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_messages_break_nothing(tape: Tape, counters: Counters, data: st.DataObject) -> None:
    made = Entrance(tape.sink.directory, tape.sink, counters)
    try:
        hand = Hand(made, b"hand")
        for _ in range(5):
            mutated = bytearray(SOUND)
            for at in data.draw(st.lists(st.integers(0, len(SOUND) - 1), max_size=4)):
                mutated[at] = data.draw(st.integers(0, 255))
            cut = data.draw(st.integers(0, len(SOUND)) | st.just(len(SOUND)))
            hand.say(bytes(mutated[:cut]))
        hand.say(data.draw(st.binary(max_size=60)))
        made.poll()
        for each in tape.take():
            assert len(each.record) == BY_WORD[each.schema].record_bytes
    finally:
        made.close()


# --- a network and processes that fail ---


class Failing(RuleBasedStateMachine):
    """Three pushers; messages lost, connections broken, pushers and the source killed anywhere.

    Whatever happens: each pusher's records are in the log once and in order, and so is what it was told.
    """

    through_ring = False

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="tickcast-test-", dir="/dev/shm")
        at = Path(self.folder.name)
        self.counters = Counters.open(at, create=True)
        self.tape = Tape(at / "feed")
        self.intake: Intake | None = None
        self.entrance = Entrance(self.tape.sink.directory, self._sink(), self.counters)
        self.hands = [Hand(self.entrance, b"hand%d" % n, n) for n in range(3)]
        self.there: list[list[int]] = [[], [], []]
        self.greet()

    def greet(self) -> None:
        """Everybody who said hello hears the answer."""
        self.entrance.poll()
        for hand in self.hands:
            hand.hear()

    def _sink(self) -> Sink:
        if not self.through_ring:
            return self.tape.sink
        self.intake = Intake(self.tape.sink)
        return self.intake.ring(1 << 16)

    @rule(who=st.integers(0, 2), count=st.integers(1, 6))
    def push(self, who: int, count: int) -> None:
        self.hands[who].push(count)

    @rule(limit=st.sampled_from([1, 2, 7, 1000]))
    def turn(self, limit: int) -> None:
        self.entrance.poll(limit)

    @precondition(lambda self: self.through_ring)
    @rule(limit=st.sampled_from([1, 3, 1000]))
    def drain(self, limit: int) -> None:
        assert self.intake is not None
        self.intake.poll(limit)

    @rule(who=st.integers(0, 2))
    def hear(self, who: int) -> None:
        self.hands[who].hear()

    @rule(who=st.integers(0, 2), count=st.integers(1, 6))
    def push_and_turn(self, who: int, count: int) -> None:
        """So that several messages are in a ring at once."""
        self.hands[who].push(count)
        self.hands[0].push(2)
        self.entrance.poll()

    @rule(who=st.integers(0, 2), greet=st.booleans())
    def break_connection(self, who: int, greet: bool) -> None:
        self._lose(self.hands[who])
        self.hands[who].connect()
        if greet:
            self.greet()

    @rule(who=st.integers(0, 2))
    def repeat(self, who: int) -> None:
        for each in self.hands[who].kept:
            self.hands[who].send(*each)

    @rule(who=st.integers(0, 2), data=st.data())
    def lose_a_message(self, who: int, data: st.DataObject) -> None:
        """As a broken connection does, of which neither side has heard yet."""
        waiting = self.entrance.router.arrived
        mine = [n for n, (route, _) in enumerate(waiting) if route == self.hands[who].route]
        if mine:
            del waiting[data.draw(st.sampled_from(mine))]

    @rule(who=st.integers(0, 2))
    def kill_pusher(self, who: int) -> None:
        """The next one of this name goes on where the source says."""
        self._lose(self.hands[who])
        self.hands[who].begin()

    @rule(greet=st.booleans())
    def kill_source(self, greet: bool) -> None:
        self.entrance.kill()
        self.entrance.sink = self._sink()  # what was in a ring is lost with its process
        self.entrance.start()
        for hand in self.hands:
            hand.connect()
        if greet:
            self.greet()

    def _lose(self, hand: Hand) -> None:
        left = [each for each in self.entrance.router.arrived if each[0] != hand.route]
        self.entrance.router.arrived.clear()
        self.entrance.router.arrived.extend(left)

    @invariant()
    def each_once_and_in_order(self) -> None:
        if not hasattr(self, "there"):
            return
        for each in self.tape.take():
            publisher_id, size = (
                struct.unpack_from("<H", each.record, 2)[0],
                struct.unpack_from("<I", each.record, 24)[0],
            )
            self.there[publisher_id].append(size)
        for hand, there in zip(self.hands, self.there, strict=True):
            assert there == list(range(1, len(there) + 1))
            assert hand.committed <= len(there)

    def teardown(self) -> None:
        """In the end all that a living pusher has pushed is there."""
        for _ in range(8):
            for hand in self.hands:
                hand.hear()
                hand.hello()
            self.entrance.poll()
            if self.intake is not None:
                self.intake.poll(1000)
                self.entrance.poll()
        self.each_once_and_in_order()
        for hand, there in zip(self.hands, self.there, strict=True):
            assert (len(there), hand.committed, hand.kept) == (hand.last, hand.last, [])
        self.entrance.close()
        self.tape.close()
        self.counters.close()
        self.folder.cleanup()


class FailingBehindRing(Failing):
    """The same where another thread takes the records out of a ring."""

    through_ring = True


TestFailing = Failing.TestCase
TestFailing.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestFailingBehindRing = FailingBehindRing.TestCase
TestFailingBehindRing.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
