"""What every link promises, over each of them: real log, real publisher, real sockets."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from typing import Any

import pytest

from bots import Bot, Gap, Quote, Subscriber, Tick, Trade, run
from feed.errors import ControlError
from feed.wire.records import BY_WORD, SCHEMAS

from .conftest import PATIENCE_S, LiveFeed, facts, take, until

TOPICS = [
    f"{schema}.{symbol}" for schema in ("trade", "quote", "order") for symbol in ("AAPL", "MSFT", "ESU4", "BRK.B")
]


def test_every_record_comes_byte_equal_and_in_order(feed: LiveFeed) -> None:
    with feed.subscriber() as sub:
        feed.send(*TOPICS * 50)
        got = [facts(tick) for tick in take(sub, len(feed.sent))]
    by_topic = {topic: [sent for sent in feed.sent if sent[0] == topic] for topic in TOPICS}
    assert {topic: [each for each in got if each[0] == topic] for topic in TOPICS} == by_topic
    if feed.transport == "shm":
        assert got == feed.sent
    assert not feed.gaps


def test_every_schema_has_its_tick(feed: LiveFeed) -> None:
    with feed.subscriber() as sub:
        feed.send(*(f"{schema.word}.X" for schema in SCHEMAS))
        ticks = take(sub, len(SCHEMAS))
    assert [facts(tick) for tick in sorted(ticks, key=lambda tick: tick.seq)] == feed.sent
    assert {type(tick).__name__ for tick in ticks} == {
        "Trade", "Quote", "Bbo", "Book", "Order", "Bar", "Status", "Stat", "Imbalance", "Definition",
    }  # fmt: skip


def test_times_rise_from_stage_to_stage(feed: LiveFeed) -> None:
    with feed.subscriber() as sub:
        feed.send(*["quote.AAPL"] * 20)
        for tick in take(sub, 20):
            assert 0 < tick.ts_in <= tick.ts_sent <= tick.ts_bot
        latency = sub.stats()["latency"]
    assert latency["wire"]["count"] == latency["total"]["count"] == 20
    assert latency["wire"]["negative"] == latency["total"]["negative"] == 0


@pytest.mark.parametrize(
    ("symbols", "schemas", "wanted"),
    [
        (["AAPL"], None, [topic for topic in TOPICS if topic.endswith(".AAPL")]),
        (["ES*"], ["quote"], ["quote.ESU4"]),
        (["*"], ["order"], [topic for topic in TOPICS if topic.startswith("order.")]),
        (["AAPL", "ES*", "BRK.B"], ["trade"], ["trade.AAPL", "trade.ESU4", "trade.BRK.B"]),
    ],
)
def test_only_what_was_asked_for(feed: LiveFeed, symbols: list[str], schemas: list[str], wanted: list[str]) -> None:
    feed.send(*TOPICS)  # known before we come
    feed.settle()
    with feed.subscriber(symbols, schemas) as sub:
        feed.sent.clear()
        feed.send(*TOPICS * 3, "trade.AAPLW", "quote.E", "quote.ES")
        feed.send(*wanted)
        more = [] if schemas != ["quote"] else ["quote.ES"]
        expected = [each for each in feed.sent if each[0] in wanted + more]
        got = [facts(tick) for tick in take(sub, len(expected))]
        assert sorted(got, key=lambda each: each[1]) == expected
        assert sub.recv(0) is None
    assert not feed.gaps


def test_recv_gives_none_after_its_time(feed: LiveFeed) -> None:
    with feed.subscriber() as sub:
        assert sub.recv(0) is None
        assert sub.recv(0.01) is None
        assert sub.recv_many(10, 0.01) is None


def test_batches_hold_the_same(feed: LiveFeed) -> None:
    with feed.subscriber() as sub:
        feed.send(*TOPICS * 40)
        got = []
        while len(got) < len(feed.sent):
            batch = sub.recv_many(97, PATIENCE_S)
            assert batch is not None
            assert 1 <= len(batch) <= 97
            assert batch.records.dtype == BY_WORD[batch.schema].dtype
            assert (batch.ts_in <= batch.ts_sent).all()
            assert (batch.ts_sent <= batch.ts_bot).all()
            for i in range(len(batch)):
                topic = f"{batch.schema}.{batch.symbols[i]}"
                got.append((topic, int(batch.seq[i]), int(batch.topic_seq[i]), batch.records[i].tobytes()))
        assert sub.recv_many(10, 0) is None
        assert sub.stats()["ticks"] == len(feed.sent)
    for topic in TOPICS:
        assert [each for each in got if each[0] == topic] == [each for each in feed.sent if each[0] == topic]


def test_a_batch_that_is_kept_is_not_filled_again(feed: LiveFeed) -> None:
    with feed.subscriber("AAPL", ["quote"]) as sub:
        kept = []
        for _ in range(12):
            feed.send(*["quote.AAPL"] * 5)
            have = 0
            while have < 5:
                batch = sub.recv_many(5, PATIENCE_S)
                assert batch is not None
                kept.append(batch.records if have else batch)  # an array alone keeps its memory too
                have += len(batch)
        records = b"".join(each.tobytes() if hasattr(each, "tobytes") else each.records.tobytes() for each in kept)
    assert records == b"".join(each[3] for each in feed.sent)


def test_stream_order_is_the_feeds_order(feed: LiveFeed) -> None:
    with feed.subscriber(order="stream") as sub:
        feed.send(*TOPICS * 60)
        assert [facts(tick) for tick in take(sub, len(feed.sent))] == feed.sent
    assert not feed.gaps


def test_stream_order_holds_for_batches(feed: LiveFeed) -> None:
    with feed.subscriber(order="stream") as sub:
        feed.send(*TOPICS * 30)
        seqs: list[int] = []
        while len(seqs) < len(feed.sent):
            batch = sub.recv_many(1000, PATIENCE_S)
            assert batch is not None
            seqs += batch.seq.tolist()
    assert seqs == [each[1] for each in feed.sent]


def test_spinning_gets_the_same(feed: LiveFeed) -> None:
    with feed.subscriber(idle="spin") as sub:
        feed.send(*TOPICS)
        assert sorted(facts(tick)[1] for tick in take(sub, len(TOPICS))) == [each[1] for each in feed.sent]
        assert sub.recv(0.01) is None


def test_async_for(feed: LiveFeed) -> None:
    async def collect() -> list[Any]:
        got = []
        async with feed.subscriber() as sub:
            sender = asyncio.get_running_loop().call_later(0.05, feed.send, *TOPICS * 30)
            async for tick in sub:
                got.append(facts(tick))
                if len(got) == 30 * len(TOPICS):
                    sender.cancel()
                    return got
        return got

    got = asyncio.run(asyncio.wait_for(collect(), PATIENCE_S))
    assert sorted(got, key=lambda each: each[1]) == feed.sent


def test_async_for_lets_others_have_their_turn(feed: LiveFeed) -> None:
    async def count() -> int:
        turns = 0
        async with feed.subscriber() as sub:
            feed.send(*["quote.AAPL"] * 2000)

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            got = 0
            async for _ in sub:
                got += 1
                if got == 2000:
                    break
            task.cancel()
        return turns

    assert asyncio.run(asyncio.wait_for(count(), PATIENCE_S)) > 1


# --- callbacks --------------------------------------------------------------------------------------------------------


class Recorder(Bot):
    def __init__(self, stop_after: int) -> None:
        self.told: list[Any] = []
        self.left = stop_after

    def on_start(self) -> None:
        self.told.append("start")

    def on_live(self) -> None:
        self.told.append("live")

    def on_trade(self, t: Trade) -> None:
        assert isinstance(t, Trade)
        self.take(t)

    def on_quote(self, q: Quote) -> None:
        assert isinstance(q, Quote)
        self.take(q)

    def take(self, tick: Tick) -> None:
        self.told.append(facts(tick))
        self.left -= 1
        if self.left == 0:
            self.subscriber.stop()

    def on_batch_end(self) -> None:
        self.told.append("end")

    def on_stop(self) -> None:
        self.told.append("stop")


def test_callbacks(feed: LiveFeed) -> None:
    wanted = [topic for topic in TOPICS if not topic.startswith("order")]
    bot = Recorder(5 * len(wanted))
    sub = feed.subscriber()
    with sub_sender(feed, sub, TOPICS * 5):
        run(bot, sub)
    assert sub.schemas == ["trade", "quote"]
    assert bot.told[:2] == ["start", "live"]
    assert bot.told[-1] == "stop"
    got = sorted((each for each in bot.told if isinstance(each, tuple)), key=lambda each: each[1])
    assert got == [each for each in feed.sent if each[0] in wanted]
    assert sub.stats()["latency"]["handler"]["count"] == len(got)


def test_batch_end_comes_once_after_what_was_waiting(feed: LiveFeed) -> None:
    bot = Recorder(6)
    sub = feed.subscriber()
    bot.on_batch_end = lambda: (bot.told.append("end"), feed.send(*["trade.AAPL"] * 3))  # type: ignore[method-assign]
    with sub_sender(feed, sub, ["trade.AAPL"]):
        run(bot, sub)
    assert "end" in bot.told
    assert bot.told[bot.told.index("end") - 1] == feed.sent[0]


def test_a_bot_that_raises_says_which_tick(feed: LiveFeed) -> None:
    class Broken(Bot):
        def on_quote(self, q: Quote) -> None:
            if q.topic_seq == 3:
                raise ZeroDivisionError("no such luck")

        def on_stop(self) -> None:
            self.stopped = True

    bot, sub = Broken(), feed.subscriber()
    with (
        sub_sender(feed, sub, ["trade.AAPL", "quote.AAPL"] * 4),
        pytest.raises(ZeroDivisionError) as caught,
    ):
        run(bot, sub)
    assert bot.stopped
    which = "quote of AAPL, seq 6, topic_seq 3"
    assert any(which in note for note in caught.value.__notes__)
    assert "on_quote" in str(caught.traceback[-1])


def test_stop_from_another_thread_ends_every_loop(feed: LiveFeed) -> None:
    with feed.subscriber() as sub:
        threading.Timer(0.05, sub.stop).start()
        assert list(sub) == []
        assert sub.recv() is None
        assert sub.recv_many() is None


@pytest.mark.parametrize("idle", ["park", "spin"])
def test_close_from_another_thread_is_safe(feed: LiveFeed, idle: str) -> None:
    sub = feed.subscriber(idle=idle).open()
    closing = threading.Timer(0.05, sub.close)
    closing.start()
    assert list(sub) == []
    closing.join()


class sub_sender:  # noqa: N801 - reads as a statement
    """Sends once the subscriber is live, from a thread."""

    def __init__(self, feed: LiveFeed, sub: Subscriber, topics: list[str]) -> None:
        self._thread = threading.Thread(target=self._send, args=(feed, sub, topics))

    def _send(self, feed: LiveFeed, sub: Subscriber, topics: list[str]) -> None:
        while not sub.opened:
            threading.Event().wait(0.005)
        feed.send(*topics)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._thread.join()


# --- keeping ticks ----------------------------------------------------------------------------------------------------


def test_kept_ticks_stay_what_they_were(feed: LiveFeed) -> None:
    with feed.subscriber() as sub:
        feed.send(*TOPICS * 20)
        kept = take(sub, len(feed.sent))
        feed.send(*TOPICS)
        take(sub, len(TOPICS))
    assert sorted((facts(tick) for tick in kept), key=lambda each: each[1]) == feed.sent[: len(kept)]
    assert len({id(tick) for tick in kept}) == len(kept)


def test_objects_nobody_keeps_are_used_again(feed: LiveFeed) -> None:
    with feed.subscriber("AAPL", ["quote"]) as sub:
        feed.send(*["quote.AAPL"] * 100)
        ids = set()
        tick = None
        for _ in range(100):
            tick = sub.recv(PATIENCE_S)
            ids.add(id(tick))
        assert len(ids) == 2  # the loop still holds one when it asks for the next
        del tick
        gc.collect()


# --- loss -----------------------------------------------------------------------------------------------------------


def lose(feed: LiveFeed, sub: Subscriber, *topics: str) -> None:
    """Send `topics` so that `sub`, which is idle, never gets them."""
    if feed.transport == "shm":
        feed.send(*topics)
        filler = feed.writer.topic("definition", "FILLER")
        for _ in range(2 * feed.log_bytes // 560):
            feed.writer.publish(filler, bytes(520))
    else:
        feed.unpublish()
        until(sub, lambda: not sub.live)
        feed.send(*topics)
        feed.publish("other")  # a publisher of another name has no position to go on from
        until(sub, lambda: sub.live)


def test_a_gap_is_told_exactly_and_before_what_is_behind_it(feed: LiveFeed) -> None:
    order: list[object] = []
    with feed.subscriber(["AAPL", "MSFT"], on_gap=order.append) as sub:
        feed.send(*["quote.AAPL"] * 5, *["trade.MSFT"] * 2)
        take(sub, 7)
        lose(feed, sub, *["quote.AAPL"] * 7)
        if feed.transport == "shm":
            until(sub, lambda: bool(order))
        feed.send("trade.MSFT", "quote.AAPL")
        order += [tick.topic_seq for tick in until(sub, lambda: sub.stats()["ticks"] == 9)]
        cause = "overrun" if feed.transport == "shm" else "slow"
        assert sub.stats()["gaps"] == {cause: 1}
        assert sub.stats()["lost"] == {cause: 7}
    assert order == [Gap("quote.AAPL", 6, 12, cause, sub.stats()["epoch"]), 3, 13]


def test_a_loss_at_a_quiet_topics_tail_is_told(feed: LiveFeed) -> None:
    with feed.subscriber("AAPL", ["quote", "trade"]) as sub:
        feed.send("quote.AAPL", "trade.AAPL")
        take(sub, 2)
        lose(feed, sub, *["quote.AAPL"] * 3, "trade.AAPL")
        assert until(sub, lambda: len(feed.gaps) == 2) == []
        assert sorted((gap.topic, gap.first, gap.last) for gap in feed.gaps) == [
            ("quote.AAPL", 2, 4), ("trade.AAPL", 2, 2),
        ]  # fmt: skip
        feed.send("quote.AAPL")
        assert take(sub, 1)[0].topic_seq == 5
    assert len(feed.gaps) == 2


def test_what_was_before_the_bot_came_is_no_gap(feed: LiveFeed) -> None:
    feed.send(*TOPICS * 3)
    feed.settle()
    with feed.subscriber() as sub:
        feed.send(*TOPICS)
        assert {tick.topic_seq for tick in take(sub, len(TOPICS))} == {4}
        assert sub.recv(0.2) is None
    assert not feed.gaps


# --- the feed goes and comes back -----------------------------------------------------------------------------------


def test_a_feed_that_goes_on_is_followed_without_loss(feed: LiveFeed) -> None:
    with feed.subscriber() as sub:
        feed.send(*TOPICS)
        take(sub, len(TOPICS))
        if feed.transport == "shm":
            feed.writer.close()
            feed.writer = type(feed.writer).open(feed.directory, log_bytes=feed.log_bytes, max_topics=4096)
        else:
            feed.unpublish()
            until(sub, lambda: not sub.live)
            feed.publish()
            until(sub, lambda: sub.live)
        feed.send(*TOPICS)
        got = [facts(tick) for tick in take(sub, len(TOPICS))]
    assert sorted(got, key=lambda each: each[1]) == feed.sent[len(TOPICS) :]
    assert not feed.gaps


def test_a_new_epoch_is_told_and_read_from_its_first_tick(feed: LiveFeed) -> None:
    told: list[str] = []
    with feed.subscriber(on_stale=lambda _: told.append("stale"), on_live=lambda: told.append("live")) as sub:
        feed.send(*TOPICS * 2)
        take(sub, 2 * len(TOPICS))
        before = sub.stats()["epoch"]
        feed.renew()
        feed.send(*TOPICS[::-1])
        got = [facts(tick) for tick in take(sub, len(TOPICS))]
        assert sorted(got, key=lambda each: each[1]) == feed.sent
        after = sub.stats()["epoch"]
        assert after > before
        assert feed.gaps == [Gap("*", 0, 0, "epoch", after)]
        feed.send(*TOPICS)
        assert {tick.topic_seq for tick in take(sub, len(TOPICS))} == {2}
    assert told == (["live", "stale", "live"] if feed.transport == "shm" else ["live"])


def test_a_feed_that_is_not_there_is_waited_for(feed: LiveFeed, caplog: pytest.LogCaptureFixture) -> None:
    if feed.transport == "shm":
        feed.writer.close(remove=True)
    else:
        feed.unpublish()
    with pytest.raises(ControlError), feed.subscriber(timeout=0.1):
        pass
    sub = feed.subscriber()
    caplog.clear()
    opening = threading.Thread(target=sub.open)
    with caplog.at_level(logging.WARNING, "bots"):
        opening.start()
        threading.Event().wait(0.3)
        if feed.transport == "shm":
            feed.renew()
        else:
            feed.publish()
        opening.join(PATIENCE_S)
    assert sub.opened
    said = [record.message for record in caplog.records]
    assert sum("waiting" in message for message in said) <= 1
    feed.send("quote.AAPL")
    assert facts(take(sub, 1)[0]) == feed.sent[-1]
