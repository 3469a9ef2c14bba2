"""Order books in snapshots, against a simple model and against a real session."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import databento_dbn
import numpy as np
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.wire.frames import FLAG_LOSS
from feed.wire.records import BY_WORD, UNDEF_PRICE
from tests.control.asking import Answer
from tests.control.conftest import Served

MBO = BY_WORD["order"].dtype
LAST, TOB, SNAPSHOT, BAD_TS_RECV, MAYBE_BAD_BOOK = 128, 64, 32, 8, 4
Key = tuple[int, int]


class Resting(NamedTuple):
    side: str
    price: int
    size: int


class Model:
    """The rules of DBN's MBO records, as plainly as can be. Order of the dict is order of priority."""

    def __init__(self) -> None:
        self.orders: dict[Key, Resting] = {}
        self.strangers = 0

    def apply(self, action: str, side: str, order_id: int, price: int, size: int, publisher: int, flags: int) -> None:
        key = (publisher, order_id)
        known = self.orders.get(key)
        if action == "R":
            self.orders = {k: v for k, v in self.orders.items() if k[0] != publisher}
        elif action == "A" or (action == "M" and known is None):
            if flags & TOB:
                self.orders = {k: v for k, v in self.orders.items() if k[0] != publisher or v.side != side}
                if price == UNDEF_PRICE:
                    return
            self.orders.pop(key, None)
            self.orders[key] = Resting(side, price, size)
        elif action == "M" and known is not None:
            if price != known.price or side != known.side or size > known.size:
                del self.orders[key]
            self.orders[key] = Resting(side, price, size)
        elif action == "C" and known is not None:
            if size < known.size:
                self.orders[key] = known._replace(size=known.size - size)
            else:
                del self.orders[key]
        elif action == "C":
            self.strangers += 1


def order(
    action: str,
    side: str = "B",
    order_id: int = 1,
    price: int = 100,
    size: int = 10,
    publisher: int = 1,
    flags: int = 0,
) -> bytes:
    record = np.zeros(1, MBO)[0]
    record["length"], record["rtype"] = 14, 0xA0
    record["publisher_id"], record["instrument_id"] = publisher, 5
    record["ts_event"], record["ts_recv"], record["sequence"] = 1_000, 2_000, 77
    record["order_id"], record["price"], record["size"] = order_id, price, size
    record["action"], record["side"], record["flags"] = action.encode(), side.encode(), flags
    return record.tobytes()


def book(served: Served, symbol: str) -> tuple[Answer, dict[Key, Resting]]:
    """The book that a snapshot gives, with what is true of all of them."""
    answer = served.asker.snapshot(symbol, schemas=["order"])
    announced, *frames = answer.frames
    assert {frame.topic_seq for frame in frames} <= {announced.topic_seq}
    records = np.frombuffer(b"".join(frame.record for frame in frames), MBO)
    if not len(records):
        assert announced.topic_seq == 0
        return answer, {}
    assert (records[0]["action"], records[0]["side"]) == (b"R", b"N")
    assert (records[0]["price"], records[0]["size"], records[0]["order_id"]) == (UNDEF_PRICE, 0, 0)
    assert set(records[1:]["action"]) <= {b"A"}
    flags = SNAPSHOT | BAD_TS_RECV | (MAYBE_BAD_BOOK if answer.words["incomplete"] else 0)
    assert list(records["flags"]) == [flags] * (len(records) - 1) + [flags | LAST]
    resting = {
        (int(r["publisher_id"]), int(r["order_id"])): Resting(r["side"].decode(), int(r["price"]), int(r["size"]))
        for r in records[1:]
    }
    assert len(resting) == len(records) - 1
    return answer, resting


ACTIONS = st.tuples(
    st.sampled_from("AAAAMMCCCRTFN"),
    st.sampled_from("BA"),
    st.integers(1, 6),
    st.sampled_from([99, 100, 101]),
    st.integers(1, 5),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from([0, 0, 0, 0, LAST, TOB]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(events=st.lists(ACTIONS, max_size=40), data=st.data())
def test_a_book_is_what_the_rules_make_of_the_records(
    served: Served, events: list[tuple[str, str, int, int, int, int, int]], data: st.DataObject
) -> None:
    symbol = f"S{served.writer.next_seq}"
    topic_id = served.writer.topic("order", symbol)
    model = Model()
    looks = set(data.draw(st.lists(st.integers(0, 40), max_size=2)))
    for i, (action, side, order_id, price, size, publisher, flags) in enumerate(events):
        px = UNDEF_PRICE if flags & TOB and action == "A" and size == 1 else price
        served.writer.publish(topic_id, order(action, side, order_id, px, size, publisher, flags))
        model.apply(action, side, order_id, px, size, publisher, flags)
        if i in looks:
            assert list(book(served, symbol)[1].items()) == list(model.orders.items())
    answer, resting = book(served, symbol)
    assert list(resting.items()) == list(model.orders.items())
    assert answer.words["incomplete"] == []
    assert answer.frames[0].topic_seq == len(events)


def test_a_book_says_when_and_of_what_it_is(served: Served) -> None:
    topic_id = served.writer.topic("order", "A")
    served.writer.publish(topic_id, order("A"), ts_in=5)
    seq = served.writer.publish(topic_id, order("A", order_id=2, size=3), ts_in=6)
    answer, _ = book(served, "A")
    for frame in answer.frames[1:]:
        assert (frame.seq, frame.topic_seq, frame.ts_in, frame.topic_id) == (seq, 2, 6, topic_id)
        record = np.frombuffer(frame.record, MBO)[0]
        assert (record["publisher_id"], record["instrument_id"], record["ts_recv"]) == (1, 5, 2_000)


def test_two_topics_may_number_alike(served: Served) -> None:
    one, other = (served.writer.topic("order", symbol) for symbol in "AB")
    served.writer.publish(one, order("A", price=1))
    served.writer.publish(other, order("A", price=2))
    served.writer.publish(one, order("C"))
    assert book(served, "A")[1] == {}
    assert book(served, "B")[1] == {(1, 1): Resting("B", 2, 10)}


# --- what is not known ------------------------------------------------------------------------------------------------


def test_a_missed_record_makes_it_incomplete_until_a_clear(served: Served) -> None:
    topic_id, busy = served.writer.topic("order", "A"), served.writer.topic("quote", "BUSY")
    served.writer.publish(topic_id, order("A", order_id=1))
    book(served, "A")
    served.stop()
    served.writer.publish(topic_id, order("A", order_id=2))
    served.lap(busy, bytes(80))
    served.start()
    answer, resting = book(served, "A")
    assert (answer.words["incomplete"], resting, answer.frames[0].topic_seq) == (["order.A"], {}, 2)
    served.writer.publish(topic_id, order("A", order_id=3))
    answer, resting = book(served, "A")
    assert (answer.words["incomplete"], list(resting)) == (["order.A"], [(1, 3)])
    served.writer.publish(topic_id, order("R"))
    served.writer.publish(topic_id, order("A", order_id=4))
    answer, resting = book(served, "A")
    assert (answer.words["incomplete"], list(resting)) == ([], [(1, 4)])


def test_books_come_back_from_the_log_when_control_does(served: Served) -> None:
    topic_id = served.writer.topic("order", "A")
    for i in range(1, 50):
        served.writer.publish(topic_id, order("A", order_id=i))
    before = book(served, "A")
    for _ in range(3):
        served.stop()
        served.start()
        after = book(served, "A")
        assert (after[0].frames, after[1], after[0].words["incomplete"]) == (before[0].frames, before[1], [])


def test_books_outlive_control_and_the_log(served: Served) -> None:
    """What rests was added before anything that the log still holds."""
    topic_id, busy = served.writer.topic("order", "A"), served.writer.topic("quote", "BUSY")
    for i in range(1, 50):
        served.writer.publish(topic_id, order("A", order_id=i))
    for gone in range(1, 4):
        before = book(served, "A")
        assert before[0].words["incomplete"] == []
        served.stop()
        served.lap(busy, bytes(80))
        served.start()
        after = book(served, "A")
        assert (after[0].frames, after[1], after[0].words["incomplete"]) == (before[0].frames, before[1], [])
        served.writer.publish(topic_id, order("C", order_id=gone))


def test_being_overtaken_is_known_by_the_numbers(served: Served) -> None:
    """Control stands still while the log goes round, and then sees a hole in this topic and none in the other."""
    holed, whole = (served.writer.topic("order", symbol) for symbol in "HW")
    served.writer.publish(holed, order("A"))
    served.writer.publish(whole, order("A"))
    assert book(served, "H")[0].words["incomplete"] == []
    stalled = served.control._following
    poll, stalled.poll = stalled.poll, lambda: 0  # type: ignore[method-assign]
    for i in range(2, 20_000):
        served.writer.publish(holed, order("A", order_id=i))
    served.writer.publish(whole, order("A", order_id=2))
    served.writer.publish(holed, order("A", order_id=1))
    stalled.poll = poll  # type: ignore[method-assign]
    assert served.asker.snapshot("H").words["incomplete"] == ["order.H"]
    answer, resting = book(served, "W")
    assert (answer.words["incomplete"], list(resting)) == ([], [(1, 1), (1, 2)])


def test_a_loss_that_the_feed_itself_had_is_a_hole(served: Served) -> None:
    topic_id = served.writer.topic("order", "A")
    served.writer.publish(topic_id, order("A", order_id=1))
    served.writer.publish(topic_id, order("A", order_id=2), flags=FLAG_LOSS)
    answer, resting = book(served, "A")
    assert (answer.words["incomplete"], list(resting)) == (["order.A"], [(1, 2)])


def test_a_record_of_the_wrong_size_is_a_hole(served: Served) -> None:
    topic_id = served.writer.topic("order", "A")
    served.writer.publish(topic_id, order("A", order_id=1))
    served.writer.publish(topic_id, bytes(48))
    served.writer.publish(topic_id, order("A", order_id=2))
    answer, resting = book(served, "A")
    assert (answer.words["incomplete"], list(resting)) == (["order.A"], [(1, 2)])


def test_a_book_too_large_is_given_up_and_named_until_a_clear(serve: Callable[..., Served]) -> None:
    served = serve("control.book_orders=100")
    small, large = (served.writer.topic("order", symbol) for symbol in ("SMALL", "LARGE"))
    for i in range(1, 41):
        served.writer.publish(small, order("A", order_id=i))
    for i in range(1, 100):
        served.writer.publish(large, order("A", order_id=i))
    answer, resting = book(served, "LARGE")
    assert (answer.words["incomplete"], resting) == (["order.LARGE"], {})
    answer, resting = book(served, "SMALL")  # and there is room for the others
    assert (answer.words["incomplete"], len(resting)) == ([], 40)
    served.writer.publish(large, order("R"))
    for i in range(1, 61):
        served.writer.publish(large, order("A", order_id=i))
    answer, resting = book(served, "LARGE")
    assert (answer.words["incomplete"], len(resting)) == ([], 60)


def test_one_book_larger_than_a_chunk_comes_whole(served: Served) -> None:
    small, large = (served.writer.topic("order", symbol) for symbol in ("SMALL", "LARGE"))
    served.writer.publish(small, order("A"))
    n = 70_000
    for i in range(1, n + 1):
        served.writer.publish(large, order("A", order_id=i, size=1 + i % 7))
        if i % 2000 == 0:
            served.asker.ask("snapshot", patterns=[])
    answer, resting = book(served, "LARGE")
    assert answer.words["incomplete"] == []
    assert len(answer.sizes) == 2  # a wire frame counts its log frames in 16 bits
    assert list(resting) == [(1, i) for i in range(1, n + 1)]


# --- a real session ---------------------------------------------------------------------------------------------------


def test_a_real_session(served: Served, data_dir: Path) -> None:
    (path,) = (data_dir / "nautilus-databento").rglob("orderbooks_mbo_*")
    decoder = databento_dbn.DBNDecoder(upgrade_policy=databento_dbn.VersionUpgradePolicy.UPGRADE_TO_V3)
    with path.open("rb") as f:
        decoder.write(zstandard.ZstdDecompressor().stream_reader(f).read())
    topic_id = served.writer.topic("order", "ESM4")
    model = Model()
    published = 0
    for record in decoder.decode():
        if not isinstance(record, databento_dbn.MBOMsg):
            continue
        served.writer.publish(topic_id, bytes(record))
        model.apply(
            str(record.action), str(record.side), record.order_id, record.price, record.size, record.publisher_id,
            int(record.flags),
        )  # fmt: skip
        published += 1
        if int(record.flags) & LAST:
            answer, resting = book(served, "ESM4")
            assert list(resting.items()) == list(model.orders.items())
            assert answer.words["incomplete"] == []
        elif published % 1000 == 0:  # or the log may go round before control, a thread here, has its turn
            served.asker.ask("snapshot", patterns=[])
    assert published > 10_000
    assert model.strangers == 0
    answer, resting = book(served, "ESM4")
    assert list(resting.items()) == list(model.orders.items())
    assert struct.unpack_from("<Q", answer.frames[1].record, 16) == (0,)
