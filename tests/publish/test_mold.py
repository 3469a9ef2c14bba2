"""The publisher of our own multicast, turned by hand: its numbering, its datagrams, and what it sends again."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from feed.config import MoldConfig
from feed.errors import AddressInUse, HostError
from feed.log.reader import LogReader
from feed.publish.mold import MoldPublisher
from feed.publish.numbering import Numbering
from feed.shards import parse_mold
from feed.store.writer import StoreWriter
from feed.wire import frames, mold
from feed.wire.groups import open_receiver
from tests.e2e.processes import free_port, wait_for
from tests.publish.harness import PATIENCE_S, Feed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from feed.wire.mold import Packet

SYMBOLS = ("AAPL", "MSFT", "ESU4", "QQQ", "BRK.B")


class Group:
    """One publisher of a feed, and a receiver in each of its groups."""

    def __init__(self, feed: Feed, **settings: Any) -> None:
        port = free_port()
        self.feed = feed
        self.archive: Path | None = None
        self.settings = {
            "endpoint": f"mold://lo;239.196.{port >> 8}.{port & 255}:{port}",
            "requests": f"127.0.0.1:{free_port()}",
            "heartbeat": "1h",
            **settings,
        }
        self.publisher = self.open()
        self.address = parse_mold(self.publisher.endpoint)
        self.receiving = [
            open_receiver(line, shard, buffer_bytes=8 << 20)
            for line in self.address.lines
            for shard in range(self.address.shards.count)
        ]
        self.ids = [feed.writer.topic("quote", symbol) for symbol in SYMBOLS]
        for i in range(len(self.receiving)):
            self.take(i)

    def open(self, archive: Path | None = None) -> MoldPublisher:
        return MoldPublisher("group", MoldConfig(**self.settings), self.feed.directory, self.feed.counters, archive)

    def restart(self, archive: Path | None = None) -> None:
        self.publisher.close()
        self.publisher = self.open(archive)

    def turn(self) -> None:
        """Until everything is sent."""
        deadline = time.monotonic() + PATIENCE_S
        idle = 0
        while idle < 3:
            assert time.monotonic() < deadline
            self.feed.writer.beat()
            idle = 0 if self.publisher.poll() or not self.publisher.drain() else idle + 1

    def take(self, at: int = 0) -> list[Packet]:
        """Turn, and give what one receiver has got."""
        self.turn()
        packets = []
        self.receiving[at].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                packets.append(mold.decode(self.receiving[at].recv(1 << 16)))
        return packets

    def ask(self, session: bytes, first: int, count: int, there: int = 0) -> list[bytes]:
        """The blocks of the answers, until nothing more comes; `there` at least are waited for."""
        host, _, port = self.address.requests.rpartition(":")
        blocks: list[bytes] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(mold.request(session, first, count), (host, int(port)))
            with contextlib.suppress(TimeoutError):
                while len(blocks) < count:
                    asking.settimeout(PATIENCE_S if len(blocks) < there else 0.5)
                    packet = mold.decode(asking.recv(1 << 16))
                    assert packet.session == session
                    assert packet.sequence == first + len(blocks)
                    blocks += packet.blocks
        return blocks

    def outcomes(self) -> dict[str, int]:
        rows = [row for row in self.feed.counters.rows() if row.name == "tickcast_requests_total"]
        return {row.labels["outcome"]: row.value for row in rows if row.value}

    def close(self) -> None:
        self.publisher.close()
        for each in self.receiving:
            each.close()


@pytest.fixture
def group(feed: Feed) -> Iterator[Group]:
    made = Group(feed)
    yield made
    made.close()


def ticks(packets: list[Packet]) -> list[bytes]:
    return [block for packet in packets for block in packet.blocks]


def seqs(blocks: list[bytes]) -> list[int]:
    return [frames.decode(block).seq for block in blocks]


def news(packet: Packet) -> list[bytes]:
    """The frames behind the header of a heartbeat."""
    found, rest = [], packet.rest
    while rest:
        (length,) = struct.unpack_from(">H", rest)
        found.append(rest[2 : 2 + length])
        rest = rest[2 + length :]
    return found


def test_what_is_waiting_shares_datagrams_up_to_the_mtu(group: Group) -> None:
    group.feed.write([group.ids[0]] * 100)
    packets = [packet for packet in group.take() if packet.blocks]
    assert seqs(ticks(packets)) == list(range(1, 101))
    assert [packet.sequence for packet in packets] == [1 + 9 * i for i in range(12)]  # 9 x 149 bytes fit into 1472
    group.feed.write([group.ids[0]])
    assert [len(packet.blocks) for packet in group.take() if packet.blocks] == [1]


def test_batch_one_is_a_tick_a_datagram(feed: Feed) -> None:
    with contextlib.closing(Group(feed, batch=1)) as group:
        feed.write(group.ids * 3)
        assert {len(packet.blocks) for packet in group.take() if packet.blocks} == {1}


def test_frames_without_records_are_no_messages(feed: Feed) -> None:
    with contextlib.closing(Group(feed, heartbeat="50ms")) as group:
        feed.write([group.ids[0]] * 3)
        deadline = time.monotonic() + PATIENCE_S
        told: dict[bytes, int] = {}
        while not told.keys() >= {b"heartbeat|", b"quote.AAPL|"}:
            assert time.monotonic() < deadline
            for packet in group.take():
                assert not (packet.blocks and packet.rest)
                for frame in map(frames.decode, news(packet)):
                    assert frame.count == 0
                    told[frame.topic] = frame.topic_seq
        assert told[b"quote.AAPL|"] == 4


def test_each_shard_is_a_numbering_of_its_own(feed: Feed) -> None:
    with contextlib.closing(Group(feed, shards=4)) as group:
        feed.write([*group.ids, *group.ids] * 20)
        for shard in {group.address.shards.of(symbol) for symbol in SYMBOLS}:
            packets = [packet for packet in group.take(shard) if packet.blocks]
            blocks = ticks(packets)
            assert {group.address.shards.of(frames.decode(block).symbol) for block in blocks} == {shard}
            assert packets[0].sequence == 1
            assert len({packet.session for packet in packets}) == 1
            assert packets[0].session.endswith(b"0%d" % shard)
            assert group.ask(packets[0].session, 11, 7, 7) != []
            assert seqs(group.ask(packets[0].session, 11, 7, 7)) == seqs(blocks)[10:17]


def test_lines_carry_the_same(feed: Feed) -> None:
    port = free_port()
    a, b = (f"lo;239.197.{port >> 8}.{port & 255}:{port + i}" for i in range(2))
    with contextlib.closing(Group(feed, endpoint=f"mold://{a},{b}")) as group:
        feed.write(group.ids * 50)
        first, second = group.take(0), group.take(1)
        assert first == second
        assert len(ticks(first)) == 250


# --- sent again -----------------------------------------------------------------------------------------------------


def test_what_the_log_has_no_more_comes_from_the_archive(group: Group, tmp_path: Path) -> None:
    feed = group.feed
    session = group.publisher._numbering.session_of(0)  # type: ignore[union-attr]
    with LogReader.open(feed.directory, start="begin") as reader, contextlib.closing(StoreWriter(tmp_path)) as store:
        store.begin(reader.epoch, [(i, *reader.topic(i)) for i in range(reader.topic_count)])
        for _ in range(60):  # 12 MB, of which the log holds 4
            feed.write(group.ids * 300)
            group.turn()
            while store.take(reader):
                pass
        store.sync()
    assert group.ask(session, 1001, 20) == []
    assert group.outcomes() == {"gone": 1}
    group.restart(tmp_path)
    assert seqs(group.ask(session, 1001, 20, 20)) == list(range(1001, 1021))
    last = 60 * 300 * len(group.ids)
    assert seqs(group.ask(session, last - 9, 100, 10)) == list(range(last - 9, last + 1))


def test_no_more_than_so_many_packets_a_second_are_sent_again(feed: Feed) -> None:
    with contextlib.closing(Group(feed, request_rate=10)) as group:
        feed.write(group.ids * 400)
        session = next(packet for packet in group.take() if packet.blocks).session
        assert 9 * 60 <= len(group.ask(session, 1, 2000, 9 * 60)) <= 9 * 75
        group.ask(session, 1, 9)
        group.ask(session, 1, 9)
        assert feed.counted("tickcast_resent_total", publisher="group") <= 9 * 100


def test_strangers_requests_get_no_answer(group: Group) -> None:
    group.feed.write(group.ids)
    session = next(packet for packet in group.take() if packet.blocks).session
    assert group.ask(b"FOREIGN000", 1, 1) == []
    assert group.ask(session, 6, 1) == []
    assert len(group.ask(session, 5, 1, 1)) == 1
    # it counts behind the answer
    wait_for(lambda: group.outcomes() == {"foreign": 1, "gone": 1, "answered": 1}, group.outcomes)


# --- what is lost -----------------------------------------------------------------------------------------------------


def test_a_publisher_that_was_overtaken_begins_another_session(group: Group) -> None:
    feed = group.feed
    feed.write(group.ids)
    before = {packet.session for packet in group.take()}
    for _ in range(30):
        feed.write(group.ids * 400)
    packets = [packet for packet in group.take() if packet.blocks]
    sessions = {packet.session for packet in packets}
    assert sessions.isdisjoint(before)
    assert packets[0].sequence == 1
    blocks = ticks(packets)
    assert feed.counted("tickcast_dropped_total", publisher="group", cause="overrun") > 0
    assert frames.decode(blocks[0]).flags & frames.FLAG_LOSS
    session = packets[0].session
    assert seqs(group.ask(session, 1, 3, 3)) == seqs(blocks)[:3]


def test_what_a_publisher_missed_while_it_was_not_there_is_a_new_session(group: Group) -> None:
    feed = group.feed
    feed.write(group.ids)
    before = {packet.session for packet in group.take()}
    group.publisher.close()
    for _ in range(30):
        feed.write(group.ids * 400)
    group.publisher = group.open()
    assert {packet.session for packet in group.take() if packet.blocks}.isdisjoint(before)


def test_another_division_of_the_symbols_is_another_session(group: Group) -> None:
    group.feed.write(group.ids)
    before = {packet.session for packet in group.take()}
    group.settings["lists"] = (("AAPL",),)
    group.restart()
    group.feed.write(group.ids)
    assert {packet.session for packet in group.take(0)}.isdisjoint(before)


# --- the numbering ----------------------------------------------------------------------------------------------------


def test_a_numbering_knows_a_place_before_every_message(tmp_path: Path) -> None:
    numbering = Numbering(tmp_path / "n", 2, 7)
    assert numbering.resume(5) == 0
    numbering.renew(5, 1_700_000_000 * 10**9, 1, 0)
    shards = np.random.default_rng(1).integers(0, 2, 20_000)
    of: dict[tuple[int, int], int] = {}
    for seq, shard in enumerate(shards.tolist(), 1):
        of[shard, numbering.count(shard, seq, 100 * seq)] = seq
    numbering.rest(20_001, 100 * 20_001)
    for (shard, sequence), seq in of.items():
        place = numbering.place(shard, sequence)
        assert place is not None
        at, position, there = place
        assert at <= seq <= at + 2048
        assert position == 100 * at
        assert there == sequence - sum(1 for each in shards[at - 1 : seq - 1].tolist() if each == shard)
    name = numbering.session_of(1)
    numbering.close()
    again = Numbering(tmp_path / "n", 2, 7)
    assert again.resume(5) == 20_001
    assert again.session_of(1) == name
    assert again.of(0) + again.of(1) == 20_002
    assert Numbering(tmp_path / "n", 2, 8).resume(5) == 0  # another rule


# --- what is refused --------------------------------------------------------------------------------------------------


def test_what_this_host_can_not_do_is_refused(feed: Feed, group: Group) -> None:
    def opened(**settings: Any) -> None:
        MoldPublisher("other", MoldConfig(**{**group.settings, **settings}), feed.directory, feed.counters)

    with pytest.raises(HostError, match="no such interface"):
        opened(endpoint="mold://nic9;239.196.1.1:5560")
    with pytest.raises(HostError, match="do not fit the interface"):
        opened(endpoint=group.settings["endpoint"].replace("lo;", "127.0.0.1;"), mtu=70_000)
    with pytest.raises(AddressInUse, match="taken"):
        opened()
