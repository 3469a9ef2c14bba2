"""Replays over real sockets, against the list of what was written."""

from __future__ import annotations

import struct
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.control import replay
from feed.control.scan import RANGES_MAX
from feed.wire.topics import Pattern
from tests.control.conftest import Served
from tests.control.history import NAMES, History, told, walked


@pytest.fixture
def written(served: Served) -> History:
    made = History(served)
    made.write(*(i % len(NAMES) if i % 7 else 0 for i in range(700)))
    return made


SEQS = st.integers(0, 760)
FIELDS = st.fixed_dictionaries(
    {"from": SEQS}, optional={"to": SEQS, "bytes": st.sampled_from([0, 1, 500, 5000, 1 << 20, 2**40])}
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    fields=FIELDS,
    patterns=st.lists(st.sampled_from(["*", "AAPL", "A*", "ES*", "Z", "NONE", "Q*"]), max_size=3),
    schemas=st.none() | st.lists(st.sampled_from(["quote", "order", "trade"]), max_size=2),
)
def test_any_range_of_any_topics(
    served: Served, written: History, fields: dict[str, int], patterns: list[str], schemas: list[str] | None
) -> None:
    found, missing, words = walked(served, **fields, patterns=patterns, schemas=schemas)
    assert found == [
        each
        for each in written
        if max(fields["from"], 1) <= each.seq <= fields.get("to", 2**63)
        and (schemas is None or each.schema in schemas)
        and any(Pattern(text).matches(each.symbol) for text in patterns)
    ]
    assert missing == []
    if "to" not in fields:
        assert words["next"] == max(served.writer.next_seq, fields["from"])


RANGE = st.tuples(st.integers(0, len(NAMES) - 1), st.integers(0, 130), st.integers(0, 130))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(fields=FIELDS, ranges=st.lists(RANGE, max_size=8))
def test_any_ranges_of_numbers_in_topics(
    served: Served, written: History, fields: dict[str, int], ranges: list[tuple[int, int, int]]
) -> None:
    topics = [[*NAMES[which], first, last] for which, first, last in ranges]
    found, missing, _ = walked(served, **fields, topics=topics)
    assert found == [
        each
        for each in written
        if max(fields["from"], 1) <= each.seq <= fields.get("to", 2**63)
        and any([each.schema, each.symbol] == t[:2] and t[2] <= each.topic_seq <= t[3] for t in topics)
    ]
    assert missing == []


def test_ranges_that_were_met_end_the_search(served: Served, written: History) -> None:
    """Nothing more is wanted, so what lies behind need not be looked at."""
    answer = served.asker.ask("replay", topics=[["bbo", "Z", 10, 10]], **{"from": 1})
    assert [each.topic_seq for each in told(answer)] == [10]
    assert (answer.words["next"], answer.words["end"]) == (served.writer.next_seq, True)
    answer = served.asker.ask("replay", topics=[["bbo", "Z", 10, 10]], to=500, **{"from": 1})
    assert answer.words["next"] == 501
    answer = served.asker.ask("replay", topics=[["bbo", "Z", 10, 10]], to=10**6, **{"from": 1})
    assert (answer.words["next"], answer.words["end"]) == (served.writer.next_seq, True)


def test_a_thousand_topics_in_one_request(served: Served) -> None:
    ids = [served.writer.topic("trade", f"S{i}") for i in range(RANGES_MAX)]
    for _ in range(3):
        for topic_id in ids:
            served.writer.publish(topic_id, bytes(48))
    answer = served.asker.replay(topics=[["trade", f"S{i}", 2, 2] for i in range(RANGES_MAX)], **{"from": 1})
    assert [(each.symbol, each.topic_seq) for each in told(answer)] == [(f"S{i}", 2) for i in range(RANGES_MAX)]


def test_a_search_that_takes_too_long_says_how_far_it_came(
    served: Served, written: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "WITHIN_NS", 0)
    written.write(*([0] * 2000))
    answer = served.asker.ask("replay", patterns=["NONE"], **{"from": 1})
    assert (answer.frames, answer.words["end"]) == ([], False)
    assert 1 < answer.words["next"] < served.writer.next_seq
    found, missing, words = walked(served, patterns=["*"], **{"from": 1})
    assert (found, missing, words["next"]) == (list(written), [], served.writer.next_seq)


def test_answers_are_bounded(served: Served) -> None:
    topic_id = served.writer.topic("definition", "A")
    n = 1800
    for _ in range(n):
        served.writer.publish(topic_id, bytes(520))
    assert served.writer.position < 1 << 20
    answer = served.asker.ask("replay", patterns=["*"], **{"from": 1})
    assert len(answer.records) == n
    answer = served.asker.ask("replay", patterns=["*"], bytes=100_000, **{"from": 1})
    assert 99_000 < sum(answer.sizes) < 100_100
    answer = served.asker.ask("replay", patterns=["*"], bytes=1, **{"from": 1})
    assert len(answer.records) == 1


def test_at_the_end_there_is_nothing_yet_and_then_there_is(served: Served, written: History) -> None:
    at = served.writer.next_seq
    for _ in range(3):
        answer = served.asker.ask("replay", patterns=["*"], **{"from": at})
        assert (answer.frames, answer.words["next"], answer.words["end"]) == ([], at, True)
        written.write(1)
        answer = served.asker.ask("replay", patterns=["*"], **{"from": at})
        assert (told(answer), answer.words["next"], answer.words["end"]) == ([written[-1]], at + 1, True)
        at += 1


def test_what_comes_behind_the_future(served: Served, written: History) -> None:
    future = served.writer.next_seq + 5
    answer = served.asker.ask("replay", patterns=["*"], **{"from": future})
    assert (answer.frames, answer.words["next"], answer.words["end"]) == ([], future, True)
    assert answer.words["next_seq"] == served.writer.next_seq
    written.write(*range(6), 0)
    answer = served.asker.ask("replay", patterns=["*"], **{"from": future})
    assert told(answer) == [each for each in written if each.seq >= future]


# --- time -------------------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(at=st.integers(0, 720_000), epoch=st.booleans())
def test_from_any_time(served: Served, written: History, at: int, epoch: bool) -> None:
    time_ns = served.writer.epoch + at
    found, missing, _ = walked(
        served, patterns=["*"], from_time=time_ns, bytes=20_000, epoch=served.writer.epoch if epoch else 0
    )
    assert found == [each for each in written if each.ts_in >= time_ns]
    assert missing == []


def test_from_a_time_in_a_log_of_many_segments(served: Served) -> None:
    written = History(served)
    written.write(*([0] * 20_000))
    oldest = served.asker.ask("replay", patterns=["NONE"], **{"from": 1}).words["missing"][0][1] + 1
    for seq in (oldest + 1, oldest + 4321, written[-1].seq):
        answer = served.asker.ask("replay", patterns=["*"], from_time=served.writer.epoch + 1000 * seq - 1, bytes=1)
        assert (answer.words["from"], [each.seq for each in told(answer)]) == (seq, [seq])
    answer = served.asker.ask("replay", patterns=["*"], from_time=served.writer.epoch, bytes=1)
    assert (answer.words["from"], answer.words["missing"]) == (1, [[1, oldest - 1, "expired"]])


# --- what is gone -----------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(start=st.integers(1, 12_000), length=st.integers(0, 4000), laps=st.integers(1, 2))
def test_what_the_log_has_forgotten_is_told_as_missing(served: Served, start: int, length: int, laps: int) -> None:
    written = History(served)
    base = written.writer.next_seq
    while written.writer.next_seq < base + 4000 * laps:
        written.write(0, 1, 3)
    first = base // 2 + start
    found, missing, _ = walked(served, patterns=["*"], to=first + length, **{"from": first})
    there = {each.seq for each in found}
    for lost_first, lost_last, cause in missing:
        assert cause == "expired"
        assert first <= lost_first <= lost_last <= first + length
        assert not there & set(range(lost_first, lost_last + 1))
        there |= set(range(lost_first, lost_last + 1))
    assert there == set(range(first, min(first + length + 1, served.writer.next_seq)))


def test_being_overtaken_while_it_is_read(served: Served) -> None:
    """A bot that catches up while the writer laps it: each number is there, whole, or told as missing."""
    topic_id = served.writer.topic("quote", "A")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for _ in range(50):
                seq = served.writer.next_seq
                served.writer.publish(topic_id, struct.pack("<Q", seq) * 10)

    for _ in range(5000):
        served.writer.publish(topic_id, struct.pack("<Q", served.writer.next_seq) * 10)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        at, lost, seen = 1, 0, 0
        while seen < 60_000 or not lost:
            answer = served.asker.ask("replay", patterns=["*"], bytes=100_000, **{"from": at})
            words = answer.words
            missing = {seq for first, last, _ in words["missing"] for seq in range(first, last + 1)}
            records = {frame.seq: frame for frame in answer.records}
            assert missing | records.keys() == set(range(at, words["next"]))
            for seq, frame in records.items():
                assert (frame.topic_seq, frame.record) == (seq, struct.pack("<Q", seq) * 10)
            at, lost, seen = words["next"], lost + len(missing), seen + len(records)
            if lost == 0:
                at = 1
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("known", [1, 2**62])
def test_an_epoch_that_nobody_has(served: Served, written: History, known: int) -> None:
    answer = served.asker.ask("replay", epoch=known, patterns=["*"], **{"from": 7})
    words = answer.words
    assert (words["epoch"], words["next"], words["end"]) == (known, 7, True)
    assert words["next_epoch"] == served.writer.epoch
    assert words["missing"] == [[7, 6, "epoch"]]


# --- what is no request -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "either topics or patterns"),
        ({"patterns": ["*"], "topics": []}, "either topics or patterns"),
        ({"patterns": ["*"], "from": 1, "from_time": 1}, "either from or from_time"),
        ({"patterns": "*"}, "Expected `array | null`, got `str`"),
        ({"patterns": ["a|b"]}, "not a symbol"),
        ({"patterns": ["*"], "schemas": ["x"]}, "no such schema"),
        ({"patterns": ["*"], "from": -1}, "Expected `int` >= 0"),
        ({"patterns": ["*"], "from": 1.5}, "got `float`"),
        ({"patterns": ["*"], "epoch": "0"}, "got `str`"),
        ({"topics": [["quote", "A", 1]]}, "of length 4"),
        ({"topics": [["quotes", "A", 1, 2]]}, "no such schema"),
        ({"topics": [["quote", "", 1, 2]]}, "not a symbol"),
        ({"topics": [["quote", "A", 1, 2**63]]}, "Expected"),
    ],
)
def test_what_is_no_request_for_a_replay(served: Served, fields: dict[str, object], why: str) -> None:
    answer = served.asker.ask("replay", **fields)
    assert why in answer.words["error"]
    assert "refused" not in answer.words


def test_too_many_ranges_are_refused(served: Served) -> None:
    answer = served.asker.ask("replay", topics=[["quote", "A", 1, 2]] * (RANGES_MAX + 1))
    assert answer.words["refused"] == "ranges"
    assert f"at most {RANGES_MAX}" in answer.words["error"]
