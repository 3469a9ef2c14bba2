"""Conflation: what a bot that is behind gets stands for everything that came."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bots.conflate import Conflate, Run
from bots.links.frames import Script
from bots.links.shm import ShmLink
from feed.errors import CallerError
from feed.log.writer import LogWriter
from feed.wire import frames
from feed.wire.frames import FLAG_CONFLATED, FLAG_LOSS, FLAG_REPLAYED, FLAG_SNAPSHOT
from feed.wire.records import BY_WORD, SCHEMAS

if TYPE_CHECKING:
    from pathlib import Path

    from bots.links.link import Link

STATES = [schema.id for schema in SCHEMAS if schema.conflatable]
TOPICS = ("quote.A", "quote.B", "trade.A", "status.A")
EPOCH = 5
OLD_NS = 1
"""A ts_sent that makes anybody late."""
FRESH_NS = 1 << 62
"""And one that makes nobody late."""


@dataclass
class Stream:
    """Writes frames as a publisher does; each record holds its own number."""

    script: Script
    numbers: int = 0
    seq: int = 1
    epoch: int = EPOCH
    topic_seqs: dict[str, int] = field(default_factory=dict)

    def put(
        self,
        topic: str,
        count: int = 1,
        *,
        skip: int = 0,
        flags: int = 0,
        folded: int = 0,
        sent: int = OLD_NS,
    ) -> None:
        """A frame of `count` records, `skip` numbers after the last one of the topic (or, negative, before)."""
        folded = folded if count == 1 else 0
        first = max(1, self.topic_seqs.get(topic, 1) + skip) + folded
        size = BY_WORD[topic.partition(".")[0]].record_bytes
        records = b"".join((self.numbers + i).to_bytes(8, "little").ljust(size, b".") for i in range(count))
        seqs = [self.seq + 2 * i for i in range(count)]
        self.numbers += count
        self.seq += max(2 * count, 1)
        self.topic_seqs[topic] = max(self.topic_seqs.get(topic, 1), first + count)
        several = count > 1
        frame = frames.encode(
            f"{topic}|".encode(),
            records,
            epoch=self.epoch,
            seq=seqs[0] if seqs else self.seq,
            topic_seq=first,
            ts_in=1000 + self.seq,
            ts_sent=sent,
            folded=folded,
            flags=flags | (FLAG_CONFLATED if folded else 0),
            seqs=seqs if several else None,
            ts_ins=[1000 + self.seq + i for i in range(count)] if several else None,
        )
        self.script.put(frame)

    def heartbeat(self) -> None:
        self.script.put(frames.heartbeat(epoch=self.epoch, seq=self.seq, ts_sent=OLD_NS))

    def new_epoch(self) -> None:
        self.epoch += 1
        self.seq = 1
        self.topic_seqs = {}


def numbers(run: Run) -> list[int]:
    """Those in its records; of what has none, one that says what it is."""
    size = len(run.records) // max(run.ticks, 1)
    return [int.from_bytes(run.records[i * size :][:8], "little") for i in range(run.ticks)]


def waiting(link: Conflate, source: Link) -> list[Run]:
    """All that comes until nothing does."""
    runs = []
    while (run := link.read()).what != "none":
        if run.what == "topic":
            assert run.topic is not None
            source.want(run.topic, True)
        else:
            runs.append(run)
        if run.what == "closed":
            break
    return runs


def both(behind_ns: int = 10**6, schemas: list[int] = STATES) -> tuple[Stream, Conflate]:
    script = Script()
    return Stream(script), Conflate(script, schemas, behind_ns)


def settled(*topics: str) -> tuple[Stream, Conflate]:
    """The topics are known already, so that no question ends a drain; the next run is looked at."""
    stream, link = both()
    for topic in topics:
        stream.put(topic, sent=FRESH_NS)
    stream.heartbeat()
    assert len(waiting(link, stream.script)) == len(topics) + 1
    for _ in range(20):  # the last look may have found us in time and long pauses good enough
        stream.put(topics[0], sent=OLD_NS)
    waiting(link, stream.script)
    stream.numbers = 0
    return stream, link


# --- one by one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["trade", "order", "status", "bar1s", "stat", "imbalance"])
def test_events_are_never_conflated(word: str) -> None:
    with pytest.raises(CallerError, match="quote, bbo, book, definition"):
        Conflate(Script(), [BY_WORD[word].id], 1)


def test_in_time_nothing_is_touched() -> None:
    stream, link = both()
    for n in (1, 3, 2, 1):
        for topic in TOPICS:
            stream.put(topic, n, sent=FRESH_NS)
    runs = waiting(link, stream.script)
    assert [number for run in runs for number in numbers(run)] == list(range(4 * 7))
    assert [run.ticks for run in runs] == [n for n in (1, 3, 2, 1) for _ in TOPICS]
    assert (link.folded, link.drains) == (0, 0)


def test_behind_the_newest_state_stands_for_all_and_events_keep_their_place() -> None:
    stream, link = settled("quote.A", "quote.B", "trade.A")
    before = link.folded
    due = dict(stream.topic_seqs)
    for topic, n in (("quote.A", 1), ("trade.A", 2), ("quote.B", 1), ("quote.A", 3), ("trade.A", 1)):
        stream.put(topic, n)
    trades, b, a, trade = waiting(link, stream.script)
    assert (numbers(trades), numbers(b), numbers(a), numbers(trade)) == ([1, 2], [3], [6], [7])
    assert (trades.ticks, trades.flags, trades.topic_seq, len(trades.ts_ins)) == (2, 0, due["trade.A"], 2)
    assert (b.ticks, b.flags, b.folded, b.topic_seq) == (1, 0, 0, due["quote.B"])
    assert (a.ticks, a.flags, a.folded, a.topic_seq) == (1, FLAG_CONFLATED, 3, due["quote.A"] + 3)
    assert (a.seqs, a.ts_ins) == ([stream.seq - 4], [a.ts_ins[0]])
    assert link.folded == before + 3


def test_only_states_that_were_named_are_folded() -> None:
    stream, link = both(schemas=[BY_WORD["quote"].id])
    for topic in ("bbo.A", "quote.A", "bbo.A", "quote.A", "bbo.A", "quote.A") * 2:
        stream.put(topic)
    runs = waiting(link, stream.script)
    assert sum(run.ticks for run in runs) + link.folded == 12
    assert [n for run in runs for n in numbers(run) if not n & 1] == [0, 2, 4, 6, 8, 10]
    assert link.folded > 0


def test_a_hole_within_a_fold_stays_where_it_is() -> None:
    stream, link = settled("quote.A")
    due = stream.topic_seqs["quote.A"]
    for skip in (0, 0, 2, 0, 0):
        stream.put("quote.A", skip=skip)
    first, second = waiting(link, stream.script)
    assert (first.topic_seq, first.folded) == (due + 1, 1)
    assert (second.topic_seq, second.folded) == (due + 6, 2)


def test_what_the_feed_folded_counts_on() -> None:
    stream, link = settled("quote.A")
    due = stream.topic_seqs["quote.A"]
    before = link.folded
    stream.put("quote.A", folded=7)
    stream.put("quote.A", 2)
    stream.put("quote.A", folded=5)
    (run,) = waiting(link, stream.script)
    assert (run.topic_seq, run.folded, run.flags) == (due + 15, 15, FLAG_CONFLATED)
    assert link.folded == before + 3


def test_what_cannot_be_counted_any_more_is_a_run_of_its_own() -> None:
    stream, link = settled("quote.A")
    for _ in range(3):
        stream.put("quote.A", folded=2**31)
    assert [run.folded for run in waiting(link, stream.script)] == [2**31, 2**31, 2**31]
    stream.put("quote.A", folded=2**32 - 1)
    (run,) = waiting(link, stream.script)
    assert run.folded == 2**32 - 1


@pytest.mark.parametrize("flag", [FLAG_SNAPSHOT, FLAG_REPLAYED])
def test_answers_pass_as_they_are_and_are_overtaken_by_nothing(flag: int) -> None:
    stream, link = settled("quote.A", "trade.A")
    for flags in (0, 0, flag, flag, 0, 0):
        stream.put("quote.A", 2, flags=flags)
    runs = waiting(link, stream.script)
    assert [numbers(run) for run in runs] == [[3], [4, 5], [6, 7], [11]]
    assert [run.flags for run in runs] == [FLAG_CONFLATED, flag, flag, FLAG_CONFLATED]


def test_heartbeats_and_epochs_are_overtaken_by_nothing() -> None:
    stream, link = settled("quote.A")
    stream.put("quote.A")
    stream.put("quote.A")
    stream.heartbeat()
    stream.put("quote.A")
    stream.put("quote.A")
    due = stream.topic_seqs["quote.A"]
    stream.new_epoch()
    stream.put("quote.A", skip=due - 1)  # as if it went on
    stream.put("quote.A")
    runs = waiting(link, stream.script)
    assert [(run.topic, run.epoch, numbers(run)) for run in runs] == [
        (0, EPOCH, [1]), (None, EPOCH, []), (0, EPOCH, [3]), (0, EPOCH + 1, [5]),
    ]  # fmt: skip


def test_news_of_the_numbering_are_overtaken_by_nothing_of_their_topic() -> None:
    stream, link = settled("quote.A", "quote.B")
    due = stream.topic_seqs["quote.A"]
    for topic, n in (("quote.A", 1), ("quote.A", 1), ("quote.B", 1), ("quote.A", 0), ("quote.A", 1), ("quote.B", 1)):
        stream.put(topic, n)
    runs = waiting(link, stream.script)
    assert [(run.topic, run.topic_seq, numbers(run)) for run in runs[:3]] == [
        (0, due + 1, [1]), (0, due + 2, []), (0, due + 2, [3]),
    ]  # fmt: skip
    assert [numbers(run) for run in runs[3:]] == [[4]]


def test_a_question_is_asked_once_what_came_before_is_out() -> None:
    stream, link = settled("quote.A")
    for topic in ("quote.A", "quote.A", "quote.C", "quote.C", "quote.A"):
        stream.put(topic)
    assert numbers(link.read()) == [1]
    asked = link.read()
    assert (asked.what, asked.topic) == ("topic", 1)
    stream.script.want(1, True)
    assert [numbers(run) for run in waiting(link, stream.script)] == [[3], [4]]


def test_the_end_is_told_once_what_came_before_is_out() -> None:
    stream, link = settled("quote.A")
    stream.put("quote.A", 5)
    stream.script.ended = True
    runs = waiting(link, stream.script)
    assert [run.what for run in runs] == ["run", "closed"]
    assert numbers(runs[0]) == [4]
    assert link.read().what == "closed"


def test_memory_is_bounded_and_events_are_kept_for_later() -> None:
    stream, link = settled("trade.A", "quote.A", "imbalance.A")
    drains = link.drains
    for i in range(40_000):  # more runs than may be kept
        stream.put("quote.A" if i == 20_000 else "trade.A")
    runs = waiting(link, stream.script)
    assert [n for run in runs for n in numbers(run)] == list(range(40_000))
    assert link.drains == drains + 2
    for _ in range(60):  # more bytes
        stream.put("imbalance.A", 1000)
    assert sum(run.ticks for run in waiting(link, stream.script)) == 60_000
    assert link.drains > drains + 3
    stream.put("imbalance.A", 65_535)  # alone more than may be kept
    stream.put("imbalance.A")
    assert [run.ticks for run in waiting(link, stream.script)] == [65_535, 1]


def test_the_clock_is_looked_at_again_soon() -> None:
    stream, link = settled("quote.A")
    for _ in range(100):
        stream.put("quote.A", sent=FRESH_NS)
    assert len(waiting(link, stream.script)) == 100
    for _ in range(100):
        stream.put("quote.A")
    assert len(waiting(link, stream.script)) <= 17, "16 unlooked at, then one for the rest"


# --- anything ---------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    kind: str
    topic: int = 0
    ticks: int = 1
    skip: int = 0
    flags: int = 0
    folded: int = 0
    late: bool = True


STEPS = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(["put"] * 12 + ["heartbeat", "epoch", "pause"]),
        topic=st.sampled_from([0, 0, 0, 0, 1, 2, 3]),
        ticks=st.sampled_from([1, 1, 1, 2, 4, 0]),
        skip=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 3, -1, -2, -5]),
        flags=st.sampled_from([0] * 6 + [FLAG_LOSS, FLAG_LOSS, FLAG_SNAPSHOT, FLAG_REPLAYED]),
        folded=st.sampled_from([0, 0, 0, 2]),
        late=st.sampled_from([True, True, True, False]),
    ),
    min_size=5,
    max_size=80,
)

BARRIER = FLAG_SNAPSHOT | FLAG_REPLAYED


def holes(runs: list[Run]) -> dict[tuple[int, int], list[tuple[int, int, bool]]]:
    """(epoch, topic) -> (first, last, was the feed the loser?) of each hole, as an order by topic finds them."""
    due: dict[tuple[int, int], int] = {}
    found: dict[tuple[int, int], list[tuple[int, int, bool]]] = {}
    for run in runs:
        if run.topic is None or run.flags & BARRIER:
            continue
        key = run.epoch, run.topic
        begins = run.topic_seq - run.folded
        if begins > due.get(key, begins):
            found.setdefault(key, []).append((due[key], begins - 1, bool(run.flags & FLAG_LOSS)))
        due[key] = max(due.get(key, 0), run.topic_seq + run.ticks)
    return found


def is_state(run: Run) -> bool:
    return run.topic in {0, 1} and run.ticks > 0 and not run.flags & BARRIER


def is_barrier(run: Run) -> bool:
    return run.topic is None or bool(run.flags & BARRIER)


def segments(runs: list[Run]) -> list[list[Run]]:
    """What stands between two barriers, or two epochs."""
    return [
        list(part)
        for barrier, part in groupby(runs, key=lambda run: (is_barrier(run), run.epoch))
        if not barrier[0]
    ]  # fmt: skip


def play(steps: list[Step], link: Conflate, stream: Stream) -> list[Run]:
    """All runs of the steps through `link`; first the topics, in their order, so that their indices are known."""
    runs = []
    for topic in TOPICS:
        stream.put(topic, sent=FRESH_NS)
    for step in steps:
        if step.kind == "put":
            stream.put(
                TOPICS[step.topic], step.ticks, skip=step.skip, flags=step.flags, folded=step.folded,
                sent=OLD_NS if step.late else FRESH_NS,
            )  # fmt: skip
        elif step.kind == "heartbeat":
            stream.heartbeat()
        elif step.kind == "epoch":
            stream.new_epoch()
        else:
            runs += waiting(link, stream.script)
    return runs + waiting(link, stream.script)


@settings(max_examples=500, deadline=None)
@given(STEPS)
@example([Step("put")] * 3 + [Step("put", ticks=0)] + [Step("put", skip=-2)] * 3 + [Step("put")] * 20)
def test_what_comes_stands_for_all_that_was_sent(steps: list[Step]) -> None:
    stream, link = both()
    got = play(steps, link, stream)
    stream, plain = both(schemas=[])
    sent = play(steps, plain, stream)
    assert plain.folded == 0

    # Nothing that is no state is touched, or leaves its place among its like.
    assert [run for run in got if not is_state(run)] == [run for run in sent if not is_state(run)]
    # No tick is made up or changes places: what comes is a part of what was sent.
    order = {number: place for place, number in enumerate(n for run in sent for n in numbers(run))}
    places = [order[n] for run in got for n in numbers(run)]
    assert places == sorted(set(places))
    # Nothing is folded away but what is counted, and nothing is counted that was not folded.
    assert sum(run.ticks for run in got) + link.folded == sum(run.ticks for run in sent)
    for topic in (0, 1):
        assert sum(run.ticks + run.folded for run in got if run.topic == topic) == sum(
            run.ticks + run.folded for run in sent if run.topic == topic
        )
    # The last state of each topic comes, before anything that says so.
    for ours, all_of_them in zip(segments(got), segments(sent), strict=True):
        for topic in (0, 1):
            last = [numbers(run)[-1] for run in all_of_them if run.topic == topic and run.ticks]
            delivered = [numbers(run)[-1] for run in ours if run.topic == topic and run.ticks]
            assert delivered[-1:] == last[-1:]
    # What is missing is told by the same numbers.
    assert holes(got) == holes(sent)
    # A run that stands for others says so, and each is a whole record with its own numbers.
    by_number = {
        number: (run.seqs[i], run.topic_seq + i, run.ts_ins[i], run.ts_sent)
        for run in sent
        for i, number in enumerate(numbers(run))
    }
    for run in got:
        assert bool(run.flags & FLAG_CONFLATED) == bool(run.folded)
        assert not run.folded or run.ticks == 1
        for i, number in enumerate(numbers(run)):
            assert (run.seqs[i], run.topic_seq + i, run.ts_ins[i], run.ts_sent) == by_number[number]


def test_racing_a_writer_that_overtakes_it_every_tick_is_delivered_folded_or_missing(tmp_path: Path) -> None:
    written = 200_000
    with LogWriter.open(tmp_path / "feed", log_bytes=1 << 20, max_topics=64) as writer:
        ids = np.array([writer.topic("quote", "A"), writer.topic("quote", "B"), writer.topic("trade", "A")])
        drawn = np.random.default_rng(5).choice(3, written, p=[0.6, 0.39, 0.01])

        def write() -> None:
            at = 0
            while at < written:  # the reader keeps up for a while, then the writer laps it in one go
                some = drawn[at : at + (500 if at // 500 % 80 else 20_000)]
                records = np.zeros((len(some), 10), dtype=np.uint64)
                records[:, 0] = np.arange(at, at + len(some))
                writer.publish_batch(ids[some].astype(np.uint32), records.view(np.uint8).ravel(), 80)
                at += len(some)
                time.sleep(0.001)

        source = ShmLink(tmp_path / "feed")
        link = Conflate(source, STATES, 10_000)
        thread = threading.Thread(target=write)
        thread.start()
        got = []
        while thread.is_alive():
            got += waiting(link, source)
        got += waiting(link, source)
        source.close()
    runs = [run for run in got if run.what == "run"]
    due = dict.fromkeys(range(3), 1)
    missing = 0
    for run in runs:
        topic = int(np.flatnonzero(ids == run.topic)[0])
        assert run.topic_seq - run.folded >= due[topic], "nothing twice"
        missing += run.topic_seq - run.folded - due[topic]
        due[topic] = run.topic_seq + run.ticks
        assert all(drawn[number] == topic for number in numbers(run))
    assert sum(run.ticks for run in runs) + link.folded + missing == written
    assert not missing or any(run.what == "lost" for run in got)
    for topic in range(2):
        of_it = [run for run in runs if run.topic == ids[topic]]
        assert numbers(of_it[-1])[-1] == np.flatnonzero(drawn == topic)[-1]
