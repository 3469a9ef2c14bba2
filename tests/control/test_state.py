"""The snapshot cache's file: kill -9, torn and foreign files, want of room; and the session's roll."""

from __future__ import annotations

import errno
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.control.selection import Selection
from feed.control.snapshot import Snapshots
from feed.control.state import State
from feed.errors import LogBusy, LogMissing, LogSpace
from feed.log.writer import LogWriter
from feed.wire.frames import decode_firehose
from feed.wire.records import SCHEMAS
from tests.control.asking import TOPIC, Asker
from tests.control.test_books import order

SIZES = {schema.word: schema.record_bytes for schema in SCHEMAS}
ENTRIES_AT, ENTRY = 4096, 32


@pytest.fixture
def at(root: Path) -> Path:
    return root / "feed"


@pytest.fixture
def writer(at: Path) -> Iterator[LogWriter]:
    with LogWriter.open(at, log_bytes=1 << 20, max_topics=1000) as writer:
        yield writer


def record(schema: str, value: int) -> bytes:
    return struct.pack("<Q", value) * (SIZES[schema] // 8)


def opened(at: Path, orders: int = 100) -> State:
    """A state that has taken in all there is."""
    state = State.open(at, orders=orders, now_ns=1)
    take_in(state)
    assert state.reached(state.tail)
    return state


def take_in(state: State) -> None:
    while state.follow(1000):
        pass


def shown(state: State, *patterns: str) -> dict[str, tuple[int, bytes | None]]:
    """topic_seq and last record (None: there is none in the snapshot) of each topic, by "schema.symbol"."""
    found: dict[str, tuple[int, bytes | None]] = {}
    name, cursor = "", 0
    while cursor is not None:
        chunk = Snapshots().chunk(state, Selection.of(list(patterns) or ["*"], None), cursor)
        for part in chunk.parts:
            for frame in decode_firehose(part).frames:
                if frame.kind == TOPIC:
                    schema, length = struct.unpack_from("<HH", frame.record)
                    name = f"{SCHEMAS[schema - 1].word}.{frame.record[8 : 8 + length].decode()}"
                    found[name] = (frame.topic_seq, None)
                else:
                    found[name] = (frame.topic_seq, frame.record)
        cursor = chunk.next
    return found


# --- kill -9 ----------------------------------------------------------------------------------------------------------

CONTROL = """
import sys
from pathlib import Path
from feed import agent, config
from feed.control import Control
from feed.metrics.counters import Counters
loaded = config.load(None, {"TICKCAST_LOG_ROOT": sys.argv[1]}, ["control.endpoint=tcp://127.0.0.1:0", "feed.name=feed"])
counters = Counters.open(loaded.directory, create=True)
agent.run([Control(loaded, loaded.directory, counters)], idle="park", stop=lambda: False)
"""


class Market:
    """What is written while control is killed again. Records are made of one number: torn ones would show."""

    def __init__(self, writer: LogWriter, seed: int) -> None:
        words = ("quote", "book", "definition", "status", "trade")
        self.writer = writer
        self.moments = random.Random(seed)
        self.quiet = {f"{word}.Q{i}": writer.topic(word, f"Q{i}") for i in range(20) for word in words}
        self.busy = {f"{word}.B{i}": writer.topic(word, f"B{i}") for i in range(20) for word in words}
        self.book = writer.topic("order", "A")
        self.orders: list[int] = []
        self.last: dict[str, int] = {}
        self.counts = dict.fromkeys([*self.quiet, *self.busy], 0)
        self.write(self.quiet)

    def write(self, topics: dict[str, int]) -> None:
        """A record to each of these topics, and an order to the book for each."""
        for name, topic_id in topics.items():
            self.last[name] = self.writer.next_seq
            self.counts[name] += 1
            self.writer.publish(topic_id, record(name.partition(".")[0], self.last[name]))
            self.orders.append(self.writer.next_seq)
            self.writer.publish(self.book, order("A", order_id=self.orders[-1]))
            if len(self.orders) > 30:
                gone = self.orders.pop(self.moments.randrange(30))
                self.writer.publish(self.book, order("C", order_id=gone))

    def check(self, asker: Asker) -> None:
        """What is served is what was written last."""
        while "error" in asker.ask("snapshot").words:
            pass
        answer = asker.snapshot("A")
        if answer.words["incomplete"]:  # killed while it changed the book
            assert answer.words["incomplete"] == ["order.A"]
            self.writer.publish(self.book, order("R"))
            self.orders = []
        else:
            assert [struct.unpack_from("<Q", frame.record, 16)[0] for frame in answer.frames[2:]] == self.orders
        answer = asker.snapshot("Q*", "B*")
        assert answer.words["incomplete"] == []
        name, met = "", set()
        for frame in answer.frames:
            if frame.kind == TOPIC:
                schema, length = struct.unpack_from("<HH", frame.record)
                name = f"{SCHEMAS[schema - 1].word}.{frame.record[8 : 8 + length].decode()}"
                met.add(name)
                assert frame.topic_seq == self.counts[name]
            else:
                assert frame.record == record(name.partition(".")[0], self.last[name])
        assert met == set(self.counts)


def test_killed_at_any_moment_it_serves_what_is_true(root: Path, at: Path, writer: LogWriter) -> None:
    """And it knows the quiet topics, which the log has long forgotten."""
    market = Market(writer, seed=3)
    for _ in range(5):
        (at / "endpoints" / "control").unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", CONTROL, str(root)], cwd=Path(__file__).parents[2])
        try:
            while not (at / "endpoints" / "control").exists():
                assert process.poll() is None
                time.sleep(0.005)
            with Asker((at / "endpoints" / "control").read_text()) as asker:
                market.check(asker)
            until = time.monotonic() + market.moments.uniform(0, 0.1)
            while time.monotonic() < until:
                market.write(market.busy)
                time.sleep(0.001)  # it keeps up, so nothing may be missing afterwards
        finally:
            process.kill()
            process.wait()


def test_a_write_that_was_cut_off_is_not_served(at: Path, writer: LogWriter) -> None:
    topic_id, busy = writer.topic("quote", "A"), writer.topic("trade", "BUSY")
    for value in (1, 2, 3):
        writer.publish(topic_id, record("quote", value))
    opened(at).close()
    with (at / "state").open("r+b") as f:  # as if killed while the next record was being copied
        f.seek(ENTRIES_AT)
        _, _, slots, current = struct.unpack("<QQII", f.read(24))
        assert current in (1, 2)
        f.seek(8 * slots + (120 if current == 1 else 0))
        f.write(os.urandom(60))
    while writer.position < 3 << 20:
        writer.publish(busy, bytes(48))
    state = opened(at)
    assert shown(state, "A") == {"quote.A": (3, record("quote", 3))}
    state.close()


def test_a_record_is_never_written_over_the_one_that_counts(at: Path, writer: LogWriter) -> None:
    topic_id = writer.topic("quote", "A")
    state = opened(at)
    kept: list[bytes] = []
    for value in range(1, 10):
        writer.publish(topic_id, record("quote", value))
        take_in(state)
        with (at / "state").open("rb") as f:
            f.seek(ENTRIES_AT)
            _, _, slots, current = struct.unpack("<QQII", f.read(24))
            f.seek(8 * slots)
            both = [f.read(120), f.read(120)]
        assert both[current - 1][40:] == record("quote", value)
        assert not kept or both[2 - current] == kept[-1]
        kept.append(both[current - 1])
    state.close()


def test_a_record_without_its_number_gets_it(at: Path, writer: LogWriter) -> None:
    """Killed between the two stores: the record counts already."""
    topic_id, busy = writer.topic("quote", "A"), writer.topic("trade", "BUSY")
    for value in (1, 2, 3):
        writer.publish(topic_id, record("quote", value))
    opened(at).close()
    with (at / "state").open("r+b") as f:
        f.seek(ENTRIES_AT)
        f.write(struct.pack("<Q", 2))
    while writer.position < 3 << 20:
        writer.publish(busy, bytes(48))
    state = opened(at)
    assert shown(state, "A") == {"quote.A": (3, record("quote", 3))}
    state.close()


def test_it_goes_on_where_it_was(at: Path, writer: LogWriter) -> None:
    """Without books there is nothing to be read again."""
    topic_id = writer.topic("quote", "A")
    for value in range(1, 1000):
        writer.publish(topic_id, record("quote", value))
    opened(at).close()
    writer.publish(topic_id, record("quote", 1000))
    state = State.open(at, orders=1, now_ns=1)
    assert state.seq == 999
    assert not state.follow(10), "there is no more"
    assert (state.seq, shown(state)) == (1000, {"quote.A": (1000, record("quote", 1000))})
    state.close()


@pytest.mark.parametrize(
    ("offset", "bytes_"),
    [
        (0, b"\0" * 8),  # magic
        (8, b"\xff" * 4),  # max_topics
        (12, b"\xff" * 4),  # topics
        (16, b"\x01" * 8),  # epoch
        (24, b"\xff" * 8),  # slots_used
        (ENTRIES_AT + 16, b"\x01\0\0\0"),  # slots before their region
        (ENTRIES_AT + 16, b"\xff" * 4),  # behind it
        (ENTRIES_AT + 20, b"\x07\0\0\0"),  # current
        (ENTRIES_AT + 24, b"\xff\xff"),  # slot_bytes
        (ENTRIES_AT + 26, b"\x01\0"),  # schema
    ],
)
def test_a_file_that_is_not_sound_is_begun_anew(at: Path, writer: LogWriter, offset: int, bytes_: bytes) -> None:
    topic_id = writer.topic("quote", "A")
    writer.publish(topic_id, record("quote", 1))
    opened(at).close()
    with (at / "state").open("r+b") as f:
        f.seek(offset)
        f.write(bytes_)
    state = opened(at)
    assert shown(state) == {"quote.A": (1, record("quote", 1))}
    state.close()


@pytest.mark.parametrize("size", [0, 5, 4096, 100_000])
def test_a_file_of_another_size_is_begun_anew(at: Path, writer: LogWriter, size: int) -> None:
    (at / "state").write_bytes(os.urandom(size))
    writer.publish(writer.topic("quote", "A"), record("quote", 1))
    state = opened(at)
    assert shown(state) == {"quote.A": (1, record("quote", 1))}
    state.close()


def resting(state: State) -> list[int]:
    """order_ids in the book of A."""
    (part,) = Snapshots().chunk(state, Selection.of(["A"], ["order"]), 0).parts
    return [struct.unpack_from("<Q", frame.record, 16)[0] for frame in decode_firehose(part).frames[2:]]


def crowd(writer: LogWriter) -> int:
    """Orders 1 to 50 in the book of A, some of them gone again; the topic id."""
    topic_id = writer.topic("order", "A")
    for i in range(1, 51):
        writer.publish(topic_id, order("A", order_id=i))
    for i in range(5, 51, 7):
        writer.publish(topic_id, order("C", order_id=i))
    return topic_id


@pytest.mark.parametrize("overwritten", [False, True])
def test_books_that_were_being_changed_are_made_again(at: Path, writer: LogWriter, overwritten: bool) -> None:
    crowd(writer)
    busy = writer.topic("trade", "BUSY")
    state = opened(at)
    before = resting(state)
    assert len(before) == 43
    state.close()
    with (at / "books").open("r+b") as f:
        f.seek(36)
        f.write(struct.pack("<I", 1))
    while overwritten and writer.position < 3 << 20:
        writer.publish(busy, bytes(48))
    state = opened(at)
    incomplete = Snapshots().chunk(state, Selection.of(["A"], None), 0).incomplete
    assert (resting(state), incomplete) == (([], ["order.A"]) if overwritten else (before, []))
    state.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(where=st.integers(0, 1 << 20), value=st.integers(0, 2**32 - 1) | st.integers(0, 60))
def test_wrong_numbers_in_books_lead_nowhere(at: Path, writer: LogWriter, where: int, value: int) -> None:
    """Any one number in the file may be wrong: then all is as before, or the books are made again from the log."""
    if writer.next_seq == 1:
        crowd(writer)
        state = opened(at)
        state.close()
        (at / "books.good").write_bytes((at / "books").read_bytes())
    good = bytearray((at / "books.good").read_bytes())
    used = [*range(0, 40, 4), *range(4096, 4096 + 96, 4), *range(4096 + 96_000, len(good) - 3, 4)]
    struct.pack_into("<I", good, used[where % len(used)], value)
    (at / "books").write_bytes(good)
    state = opened(at)
    chunk = Snapshots().chunk(state, Selection.of(["A"], None), 0)
    assert chunk.seq == writer.next_seq - 1
    assert len(resting(state)) <= 100
    state.close()


def test_one_process_keeps_it(at: Path, writer: LogWriter) -> None:
    state = opened(at)
    with pytest.raises(LogBusy):
        State.open(at, orders=1, now_ns=1)
    state.close()
    opened(at).close()


def test_without_a_log_there_is_none(at: Path) -> None:
    at.mkdir()
    with pytest.raises(LogMissing):
        State.open(at, orders=1, now_ns=1)


def test_no_room_for_the_table_is_told(at: Path, writer: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(LogSpace, match="No space left"):
        State.open(at, orders=1, now_ns=1)


def test_no_room_for_records_makes_topics_incomplete(
    at: Path, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = opened(at)
    first = writer.topic("quote", "FIRST")
    writer.publish(first, record("quote", 1))
    take_in(state)
    real = os.posix_fallocate

    def full(*args: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    late = [writer.topic("definition", f"S{i}") for i in range(990)]
    for topic_id in late:
        writer.publish(topic_id, record("definition", 1))
        take_in(state)
    assert state.unkept > 0
    assert shown(state, "FIRST") == {"quote.FIRST": (1, record("quote", 1))}
    chunk = Snapshots().chunk(state, Selection.of(["S989"], None), 0)
    assert chunk.incomplete == ["definition.S989"]
    monkeypatch.setattr(os, "posix_fallocate", real)
    state.close()


def test_many_topics(at: Path, writer: LogWriter) -> None:
    state = opened(at)
    expected = {}
    for i in range(995):
        word = SCHEMAS[i % len(SCHEMAS)].word
        writer.publish(writer.topic(word, f"S{i}"), record(word, i))
        if word != "order":
            keeps = word in {"quote", "bbo", "book", "definition", "status"}
            expected[f"{word}.S{i}"] = (1, record(word, i) if keeps else None)
        if i % 100 == 99:
            take_in(state)
    take_in(state)
    found = shown(state)
    assert {name: each for name, each in found.items() if not name.startswith("order.")} == expected
    state.close()
    state = opened(at)
    assert shown(state) == found
    state.close()


# --- the session rolls over -------------------------------------------------------------------------------------------


def session(state: State, writer: LogWriter, *ids: int) -> None:
    """Something happens in these topics, then the session rolls over."""
    for topic_id in ids:
        writer.publish(topic_id, record("trade", 1))
    state.roll(2)
    take_in(state)


def test_topics_without_a_record_for_a_session_are_retired_until_they_have_one(at: Path, writer: LogWriter) -> None:
    alive, dead = writer.topic("trade", "ALIVE"), writer.topic("trade", "DEAD")
    state = opened(at)
    session(state, writer, alive, dead)
    session(state, writer, alive, dead)
    assert set(shown(state)) == {"trade.ALIVE", "trade.DEAD"}
    session(state, writer, alive)
    assert set(shown(state)) == {"trade.ALIVE"}
    assert (state.retired(alive), state.retired(dead), state.retired_symbols) == (False, True, 1)
    state.close()
    state = opened(at)
    assert set(shown(state)) == {"trade.ALIVE"}
    assert state.retired_symbols == 1
    writer.publish(dead, record("trade", 1))
    take_in(state)
    assert shown(state)["trade.DEAD"] == (3, None)
    assert state.retired_symbols == 0
    state.close()


def test_a_definition_lives_as_long_as_its_symbol(at: Path, writer: LogWriter) -> None:
    trade, dead = writer.topic("trade", "A"), writer.topic("trade", "B")
    for symbol in "AB":
        for word in ("definition", "status", "quote"):
            writer.publish(writer.topic(word, symbol), record(word, 1))
    state = opened(at)
    for _ in range(3):
        session(state, writer, trade)
    assert set(shown(state)) == {"trade.A", "definition.A", "status.A"}
    assert state.retired_symbols == 1
    writer.publish(dead, record("trade", 1))
    take_in(state)
    assert set(shown(state)) == {"trade.A", "definition.A", "status.A", "trade.B", "definition.B", "status.B"}
    assert state.retired_symbols == 0
    state.close()


def test_what_is_announced_in_a_session_is_not_dead_yet(at: Path, writer: LogWriter) -> None:
    alive = writer.topic("trade", "A")
    state = opened(at)
    for _ in range(3):
        session(state, writer, alive)
    writer.topic("trade", "NEW")
    session(state, writer, alive)
    assert set(shown(state)) == {"trade.A", "trade.NEW"}
    session(state, writer, alive)
    assert set(shown(state)) == {"trade.A"}
    state.close()
