"""Snapshots over real sockets: what a late bot is given, in which chunks, and what it is told that it lacks."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.control import following
from feed.control.selection import PATTERNS_MAX
from feed.log.writer import LogWriter
from feed.wire.frames import FLAG_SNAPSHOT, LogFrame
from feed.wire.records import BY_ID, SCHEMAS
from feed.wire.topics import Pattern
from tests.control.asking import RECORD, TOPIC, Answer
from tests.control.conftest import Served

KEPT = ["quote", "bbo", "book", "status", "definition"]
CHUNK_BYTES = 1 << 20


def body(schema: str, value: int) -> bytes:
    """A record that differs from others; only its size is looked at here."""
    size = {each.word: each.record_bytes for each in SCHEMAS}[schema]
    return struct.pack("<Q", value) * (size // 8)


def topics_of(answer: Answer) -> dict[str, list[LogFrame]]:
    """Frames by topic, in order; each topic's begin with its announcement and stand together."""
    found: dict[str, list[LogFrame]] = {}
    name = ""
    for frame in answer.frames:
        if frame.kind == TOPIC:
            schema, length = struct.unpack_from("<HH", frame.record)
            name = f"{BY_ID[schema].word}.{frame.record[8 : 8 + length].decode()}"
            assert name not in found
            found[name] = []
        assert frame.topic_id == (found[name][0] if found[name] else frame).topic_id
        assert frame.flags & FLAG_SNAPSHOT
        found[name].append(frame)
    return found


def test_states_have_their_last_record_and_events_their_number(served: Served) -> None:
    writer = served.writer
    names = {schema.word: writer.topic(schema.word, "AAPL") for schema in SCHEMAS if schema.word != "order"}
    writer.topic("quote", "NEVER")
    for value in range(1, 4):
        for word, topic_id in names.items():
            writer.publish(topic_id, body(word, value), ts_in=1000 + value)
    answer = served.asker.snapshot()
    assert answer.words["epoch"] == writer.epoch
    assert answer.words["seq"] == writer.next_seq - 1
    assert answer.words["incomplete"] == []
    found = topics_of(answer)
    assert set(found) == {f"{word}.AAPL" for word in names} | {"quote.NEVER"}
    for word in names:
        announced, *records = found[f"{word}.AAPL"]
        assert announced.topic_seq == 3
        if word in KEPT:
            assert [(r.kind, r.topic_seq, r.ts_in, r.record) for r in records] == [(RECORD, 3, 1003, body(word, 3))]
            assert writer.next_seq - len(names) <= records[0].seq < writer.next_seq
        else:
            assert records == []
    assert [frame.topic_seq for frame in found["quote.NEVER"]] == [0]


def test_what_was_written_before_the_request_is_in_the_answer(served: Served) -> None:
    topic_id = served.writer.topic("quote", "A")
    for value in range(1, 200):
        served.writer.publish(topic_id, body("quote", value))
        (_, record), *_ = topics_of(served.asker.snapshot("A")).values()
        assert (record.topic_seq, record.record) == (value, body("quote", value))


def test_chunks_are_bounded_and_divide_no_topic(served: Served) -> None:
    wanted = {f"S{i}" for i in range(1500)}
    for i, symbol in enumerate(wanted):
        for word in ("definition", "trade"):
            served.writer.publish(served.writer.topic(word, symbol), body(word, 1))
        if i % 100 == 0:
            served.asker.ask("snapshot", patterns=[])  # it has kept up
    answer = served.asker.snapshot()
    assert len(answer.sizes) == 2
    assert max(answer.sizes) <= CHUNK_BYTES + 1000
    found = topics_of(answer)
    assert set(found) == {f"{word}.{symbol}" for symbol in wanted for word in ("definition", "trade")}
    assert {len(frames) for name, frames in found.items() if name.startswith("definition.")} == {2}


def test_a_cursor_behind_the_last_topic_finds_nothing(served: Served) -> None:
    served.writer.topic("quote", "A")
    answer = served.asker.ask("snapshot", patterns=["*"], **{"from": 10**6})
    assert (answer.frames, answer.words["next"]) == ([], None)


def test_a_topic_that_appears_meanwhile_is_met(served: Served) -> None:
    for symbol in "ABC":
        served.writer.publish(served.writer.topic("quote", symbol), body("quote", 1))
        assert set(topics_of(served.asker.snapshot())) == {f"quote.{c}" for c in "ABC"[: "ABC".index(symbol) + 1]}


SYMBOLS = ["A", "AA", "AAB", "ABC", "B", "BA", "ES U4", "ESZ4", "Z" * 71, "."]
PATTERNS = st.lists(
    st.sampled_from(SYMBOLS)
    | st.sampled_from(["*", "A*", "AA*", "ES*", "Q*", "Z*", "B*", "ES *", "NONE"])
    | st.text("ABESZ", min_size=1, max_size=71).map(lambda text: text + "*"),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(patterns=PATTERNS, schemas=st.none() | st.lists(st.sampled_from(["quote", "trade", "order"])))
def test_patterns_and_schemas_select(served: Served, patterns: list[str], schemas: list[str] | None) -> None:
    for symbol in SYMBOLS:
        for word in ("quote", "trade"):
            served.writer.topic(word, symbol)
    answer = served.asker.ask("snapshot", patterns=patterns, schemas=schemas)
    expected = {
        f"{word}.{symbol}"
        for symbol in SYMBOLS
        for word in ("quote", "trade")
        if (schemas is None or word in schemas) and any(Pattern(text).matches(symbol) for text in patterns)
    }
    assert set(topics_of(answer)) == expected


def test_many_symbols_in_one_request(served: Served) -> None:
    for i in range(2000):
        served.writer.publish(served.writer.topic("quote", f"S{i}"), body("quote", i))
    answer = served.asker.snapshot(*(f"S{i}" for i in range(0, 4000, 3)))
    assert set(topics_of(answer)) == {f"quote.S{i}" for i in range(0, 2000, 3)}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"patterns": "A"}, "not a list of patterns: expected at most 20000, such as ES*, found str"),
        ({"patterns": ["A"] * (PATTERNS_MAX + 1)}, f"found {PATTERNS_MAX + 1}"),
        ({"patterns": [5]}, "not a pattern"),
        ({"patterns": ["a|b"]}, "not a symbol"),
        ({"patterns": ["*A"]}, "not a symbol"),
        ({"patterns": [""]}, "not a symbol"),
        ({"patterns": ["x" * 72]}, "1 to 71"),
        ({"schemas": "quote"}, "not a list of schemas"),
        ({"schemas": ["quotes"]}, "no such schema"),
        ({"schemas": [["quote"]]}, "no such schema"),
        ({"from": -1}, "not a cursor"),
        ({"from": "0"}, "not a cursor"),
        ({"from": True}, "not a cursor"),
        ({"from": 2**64 - 1}, "not a cursor"),
    ],
)
def test_what_is_no_request_for_a_snapshot(served: Served, fields: dict[str, object], why: str) -> None:
    answer = served.asker.ask("snapshot", **fields)
    assert why in answer.words["error"]
    assert "refused" not in answer.words


# --- what the log has forgotten, and what control never saw ---------------------------------------------------------


def test_the_last_record_outlives_the_log(served: Served) -> None:
    quiet, busy = (served.writer.topic("quote", symbol) for symbol in ("QUIET", "BUSY"))
    served.writer.publish(quiet, body("quote", 7))
    served.asker.snapshot()
    for _ in range(3):
        served.lap(busy, body("quote", 1), laps=1)
        served.asker.snapshot()  # it has kept up
    found = topics_of(served.asker.snapshot("QUIET"))
    assert [(f.topic_seq, f.record) for f in found["quote.QUIET"][1:]] == [(1, body("quote", 7))]


def test_it_outlives_control_too(served: Served) -> None:
    quiet, busy = (served.writer.topic("quote", symbol) for symbol in ("QUIET", "BUSY"))
    for value in range(1, 4):
        served.writer.publish(quiet, body("quote", value))
    served.asker.snapshot()
    served.stop()
    served.lap(busy, body("quote", 1))
    served.start()
    answer = served.asker.snapshot()
    assert answer.words["incomplete"] == []
    assert [(f.topic_seq, f.record) for f in topics_of(answer)["quote.QUIET"][1:]] == [(3, body("quote", 3))]


def test_missed_records_leave_the_number_of_the_one_that_is_known(served: Served) -> None:
    """Whoever is given it sees what is missing, and can ask for it."""
    quiet, trades, busy = (
        served.writer.topic(word, symbol) for word, symbol in (("quote", "Q"), ("trade", "Q"), ("quote", "BUSY"))
    )
    served.writer.publish(quiet, body("quote", 1))
    served.writer.publish(trades, body("trade", 1))
    served.asker.snapshot()
    served.stop()
    served.writer.publish(quiet, body("quote", 2))
    served.writer.publish(trades, body("trade", 2))
    served.lap(busy, body("quote", 1))
    served.start()
    found = topics_of(served.asker.snapshot("Q"))
    assert [f.topic_seq for f in found["quote.Q"]] == [1, 1]
    assert [f.topic_seq for f in found["trade.Q"]] == [2]  # an event's number is all its state


def test_a_state_that_was_never_seen_is_incomplete(served: Served) -> None:
    served.stop()
    (served.at / "state").unlink(missing_ok=True)
    quiet, busy = (served.writer.topic("quote", symbol) for symbol in ("QUIET", "BUSY"))
    for value in range(1, 6):
        served.writer.publish(quiet, body("quote", value))
    served.lap(busy, body("quote", 1))
    served.start()
    answer = served.asker.snapshot()
    assert answer.words["incomplete"] == ["quote.QUIET"]
    assert [f.topic_seq for f in topics_of(answer)["quote.QUIET"]] == [5]
    served.writer.publish(quiet, body("quote", 6))
    answer = served.asker.snapshot()
    assert answer.words["incomplete"] == []
    assert [f.topic_seq for f in topics_of(answer)["quote.QUIET"]] == [6, 6]


@pytest.mark.parametrize("how", ["ended", "replaced", "wiped"])
def test_a_new_epoch_begins_empty(serve: Callable[..., Served], how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_NS", 10_000_000)
    served = serve()
    served.writer.publish(served.writer.topic("quote", "OLD"), body("quote", 1))
    before = served.asker.snapshot()
    assert set(topics_of(before)) == {"quote.OLD"}
    if how == "replaced":  # the file `state` stays where it is
        served.writer.close()
        served.writer = LogWriter.open(served.at, log_bytes=2 << 20, max_topics=4096)
    elif how == "ended":
        served.new_epoch()
    else:  # nobody could tell the readers
        served.writer.close()
        shutil.rmtree(served.at)
        served.writer = LogWriter.open(served.at, log_bytes=1 << 20, max_topics=4096)
        (served.at / "endpoints").mkdir()
    served.writer.publish(served.writer.topic("quote", "NEW"), body("quote", 1))
    answer = served.asker.ask("snapshot", patterns=["*"])
    while "error" in answer.words or answer.words["epoch"] == before.words["epoch"]:
        answer = served.asker.ask("snapshot", patterns=["*"])
    assert answer.words["epoch"] == served.writer.epoch
    assert set(topics_of(answer)) == {"quote.NEW"}
    assert served.asker.ask("directory").words["epoch"] == served.writer.epoch
    assert served.asker.ask("symbols").words["symbols"] == ["NEW"]


def test_without_a_log_the_answer_says_so(serve: Callable[..., Served]) -> None:
    served = serve()
    served.asker.snapshot()
    served.writer.close(remove=True)
    while "error" not in (answer := served.asker.ask("snapshot")).words:
        pass
    assert "ask again" in answer.words["error"]
    assert "ask again" in served.asker.ask("replay", patterns=["*"]).words["error"]
