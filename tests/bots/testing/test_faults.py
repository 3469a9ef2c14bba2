"""What becomes of messages, without any network."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bots.testing.faults import Chances, Dropped, Faults, Outflow
from bots.testing.zmtp import Splitter
from feed.wire import frames

from .test_zmtp import GREETING, frame

EPOCH = 7


def tick(n: int, topic: str = "trade.A") -> bytes:
    """Message `n` of a topic."""
    return frame(frames.encode(f"{topic}|".encode(), bytes(48), epoch=EPOCH, seq=n, topic_seq=n))


def heartbeat(seq: int) -> bytes:
    return frame(frames.heartbeat(epoch=EPOCH, seq=seq))


def through(faults: Faults, pieces: list[bytes], now_ns: int = 0) -> list[bytes]:
    """What comes out at once."""
    flow = Outflow(faults)
    for piece in pieces:
        flow.put(piece, now_ns)
    return split(flow.take(now_ns))


def split(data: bytes) -> list[bytes]:
    return Splitter().feed(GREETING + data)


def test_without_faults_everything_passes_as_it_is() -> None:
    pieces = [frame(b"\5READY", command=True), tick(1), heartbeat(2), frame(b"anything"), tick(2)]
    assert through(Faults(), pieces) == pieces


def test_the_next_ones_are_lost_and_recorded() -> None:
    faults = Faults()
    faults.lose(2)
    assert through(faults, [tick(1), tick(2), tick(3)]) == [tick(3)]
    assert faults.dropped == [Dropped("trade.A", EPOCH, 1, 1, 1), Dropped("trade.A", EPOCH, 2, 2, 1)]
    assert faults.counts == {"lost": 2, "passed": 1}
    assert faults.pending == 0


def test_a_batch_is_lost_as_a_whole() -> None:
    three = frames.encode(
        b"trade.A|", bytes(3 * 48), epoch=EPOCH, seq=4, topic_seq=2, seqs=[4, 6, 9], ts_ins=[1, 2, 3], ts_in=1
    )
    batch = frame(three)
    faults = Faults()
    faults.lose(1)
    assert through(faults, [batch]) == []
    assert faults.dropped == [Dropped("trade.A", EPOCH, 4, 2, 3)]


def test_only_a_topics_messages_are_lost() -> None:
    faults = Faults()
    faults.lose(1, "trade.A|")
    faults.lose(1, "quote.")
    pieces = [tick(1, "trade.AB"), tick(1), tick(2)]
    assert through(faults, pieces) == [pieces[0], pieces[2]]
    assert faults.pending == 1


def test_signs_of_life_and_commands_are_never_lost() -> None:
    empty = frame(frames.encode(b"trade.A|", epoch=EPOCH, seq=9, topic_seq=9))
    pieces = [heartbeat(1), empty, frame(b"\4PING", command=True), frame(b"no tickcast frame"), frame(b"")]
    faults = Faults(chances=Chances(lose=1.0))
    faults.lose(1)
    assert through(faults, pieces) == pieces
    assert faults.pending == 1


def test_duplicates_follow_each_other() -> None:
    faults = Faults()
    faults.duplicate(1)
    assert through(faults, [tick(1), tick(2)]) == [tick(1), tick(1), tick(2)]


def test_one_lets_so_many_pass() -> None:
    faults = Faults()
    faults.reorder(2)
    assert through(faults, [tick(n) for n in range(1, 5)]) == [tick(2), tick(3), tick(1), tick(4)]


def test_a_heartbeat_lets_it_come_on_a_quiet_line() -> None:
    faults = Faults()
    faults.reorder(1)
    assert through(faults, [tick(1), heartbeat(2)]) == [heartbeat(2), tick(1)]


def test_late_ones_come_in_order_and_what_follows_waits() -> None:
    faults = Faults()
    faults.delay(100, 1)
    flow = Outflow(faults)
    flow.put(tick(1), 1000)
    flow.put(tick(2), 1010)
    assert (flow.take(1099), flow.due_ns) == (b"", 1100)
    assert split(flow.take(1100)) == [tick(1), tick(2)]
    assert flow.due_ns is None


def test_a_delay_lasts_until_it_is_ended() -> None:
    faults = Faults()
    faults.delay(100)
    flow = Outflow(faults)
    for n in (1, 2):
        flow.put(tick(n), n)
    assert split(flow.take(101)) == [tick(1)]
    assert split(flow.take(102)) == [tick(2)]
    faults.delay(0)
    flow.put(tick(3), 200)
    assert split(flow.take(200)) == [tick(3)]


def test_the_last_heartbeat_that_went_on_is_known() -> None:
    flow = Outflow(Faults())
    flow.put(heartbeat(5), 0)
    assert flow.heard_seq == 0
    flow.take(0)
    assert flow.heard_seq == 5


def test_the_rest_is_not_kept_back_at_the_end() -> None:
    faults = Faults()
    faults.reorder(3)
    faults.delay(10**9)
    flow = Outflow(faults)
    for n in (1, 2):
        flow.put(tick(n), 0)
    assert Counter(split(flow.rest())) == Counter([tick(1), tick(2)])
    assert flow.rest() == b""


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 300))
def test_chance_loses_nothing_unrecorded_and_the_seed_repeats_it(seed: int, by: int, n: int) -> None:
    def play() -> tuple[Faults, list[bytes]]:
        faults = Faults(seed, Chances(lose=0.1, duplicate=0.1, reorder=0.1, reorder_by=by))
        flow = Outflow(faults)
        for i in range(1, n + 1):
            flow.put(tick(i), 0)
        return faults, split(flow.take(0) + flow.rest())

    faults, got = play()
    lost = [drop.topic_seq for drop in faults.dropped]
    assert {*got, *map(tick, lost)} == {tick(i) for i in range(1, n + 1)}
    assert len(got) == n - len(lost) + faults.counts["duplicated"]
    assert sum(faults.counts.values()) == n
    for i, piece in enumerate(dict.fromkeys(got)):
        assert abs(i - int.from_bytes(piece[26:34], "little")) <= n
    assert play()[1] == got
