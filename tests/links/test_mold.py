"""Our own multicast over bad cables, beside other programs' decoders, and among strangers' packets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest
from moldudp.codec.decoder import MoldUDPDecoder
from moldudp.msg.msgsub import MsgSubscriber

from bots.links.mold import MoldLink
from feed.errors import ConfigError, ControlError, HostError
from feed.shards import parse_mold
from feed.wire import frames, mold

from .conftest import PATIENCE_S, LiveFeed, facts, group_of_ours, take, until
from .relay import Faults, Relay, plain_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bots import Subscriber

TOPICS = [f"{schema}.{symbol}" for schema in ("quote", "trade") for symbol in ("AAPL", "MSFT", "ESU4", "QQQ", "BRK.B")]
LONG_NS = 60_000_000_000
"""Longer than any thread is stopped between a packet and the one that closes the hole before it."""


@pytest.fixture
def feed(root: Path) -> Iterator[LiveFeed]:
    live = LiveFeed(root, "mold", 4 << 20)
    try:
        yield live
    finally:
        live.close()


def settings_of(lines: int, **more: Any) -> dict[str, Any]:
    """Of a publisher on so many lines."""
    each = [group_of_ours() for _ in range(lines)]
    endpoint = ",".join(one["endpoint"].removeprefix("mold://") for one in each)
    return {"endpoint": f"mold://{endpoint}", "requests": each[0]["requests"], **more}


def republish(feed: LiveFeed, **settings: Any) -> None:
    """The same feed with another publisher, that nobody has heard yet."""
    feed.unpublish()
    feed.mold = settings
    feed.publish("another")


@contextlib.contextmanager
def cables(feed: LiveFeed, *faults: Faults, requests: bool = True) -> Iterator[list[Relay]]:
    """Relays on each line; the feed's endpoint is behind them from now on."""
    address = parse_mold(feed.endpoint)
    behind = parse_mold(settings_of(len(address.lines))["endpoint"])
    relays = [
        Relay(source, target, each) for source, target, each in zip(address.lines, behind.lines, faults, strict=True)
    ]
    feed.endpoint = str(behind) + (f"?requests={address.requests}" if requests else "")
    try:
        yield relays
    finally:
        for relay in relays:
            relay.close()


def link_of(sub: Subscriber) -> MoldLink:
    link = sub._connection.link
    assert isinstance(link, MoldLink)
    return link


def check(feed: LiveFeed, got: list[Any]) -> None:
    """Nothing missing, nothing twice, each topic in order."""
    for topic in {each[0] for each in feed.sent}:
        assert [each for each in got if each[0] == topic] == [each for each in feed.sent if each[0] == topic]


def stream(feed: LiveFeed, sub: Subscriber, rounds: int, burst: int = 10) -> list[Any]:
    """Send in small bursts, and take what comes until all is there."""
    got: list[Any] = []
    for _ in range(rounds):
        feed.send(*random.Random(len(feed.sent)).choices(TOPICS, k=burst))
        while (tick := sub.recv(0.0)) is not None:
            got.append(facts(tick))
    got += [facts(tick) for tick in take(sub, len(feed.sent) - len(got))]
    return got


# --- bad cables -----------------------------------------------------------------------------------------------------


def test_loss_doubles_and_swaps_are_mended_by_requests(feed: LiveFeed) -> None:
    with cables(feed, Faults(drop=0.05, double=0.05, swap=0.05)) as [relay], feed.subscriber() as sub:
        link = link_of(sub)
        link.give_up_ns = LONG_NS
        got = stream(feed, sub, 400)
        assert relay.touched > 30
        assert relay.dropped
        assert link.requested > 0
        assert link.given_up == 0
    check(feed, got)
    assert not feed.gaps


def test_swapped_packets_alone_need_no_request(feed: LiveFeed) -> None:
    with cables(feed, Faults(swap=0.2), requests=False) as [relay], feed.subscriber() as sub:
        link_of(sub).give_up_ns = LONG_NS
        got = stream(feed, sub, 200)
        assert relay.touched > 10
    check(feed, got)
    assert not feed.gaps


def test_asyncio_bots_ask_too(feed: LiveFeed) -> None:
    async def collect() -> list[Any]:
        got = []
        async with feed.subscriber() as sub:
            link_of(sub).give_up_ns = LONG_NS
            relay.faults.drop = 0.2
            for _ in range(30):
                feed.send(*TOPICS)
                await asyncio.sleep(0.001)
            async for tick in sub:
                got.append(facts(tick))
                if len(got) == len(feed.sent):
                    return got
        return got

    with cables(feed, Faults()) as [relay]:
        got = asyncio.run(asyncio.wait_for(collect(), PATIENCE_S))
        assert relay.dropped
    check(feed, got)
    assert not feed.gaps


def test_what_nobody_brings_is_a_gap_of_its_topic_alone(feed: LiveFeed) -> None:
    with cables(feed, Faults(), requests=False) as [relay], feed.subscriber() as sub:
        feed.send(*TOPICS)
        take(sub, len(TOPICS))
        until(sub, lambda: not relay.faults.script)
        relay.faults.drop = 1.0
        feed.send("quote.AAPL", "quote.AAPL")
        deadline = time.monotonic() + PATIENCE_S
        while len(relay.dropped) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        relay.faults.drop = 0.0
        feed.send("quote.MSFT", "quote.AAPL")
        ticks = [(tick.topic, tick.topic_seq) for tick in take(sub, 2)]
        assert link_of(sub).given_up == 2
    assert sorted(ticks) == [("quote.AAPL", 4), ("quote.MSFT", 2)]
    assert [(gap.topic, gap.first, gap.last) for gap in feed.gaps] == [("quote.AAPL", 2, 3)]


def test_a_lost_packet_delays_no_other_symbol(feed: LiveFeed) -> None:
    with cables(feed, Faults(), requests=False) as [relay], feed.subscriber() as sub:
        feed.send("quote.AAPL", "quote.MSFT")
        take(sub, 2)
        link = link_of(sub)
        at_last_ns, link.give_up_ns = link.give_up_ns, LONG_NS
        relay.faults.drop = 1.0
        feed.send("quote.AAPL")
        deadline = time.monotonic() + PATIENCE_S
        while not relay.dropped:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        relay.faults.drop = 0.0
        feed.send("quote.AAPL", *["quote.MSFT"] * 3)
        assert [(tick.topic, tick.topic_seq) for tick in take(sub, 3)] == [("quote.MSFT", n) for n in (2, 3, 4)]
        link.give_up_ns = at_last_ns
        assert take(sub, 1)[0].topic_seq == 3


def test_two_lines_mend_each_other(feed: LiveFeed) -> None:
    republish(feed, **settings_of(2))
    with cables(feed, Faults(drop=0.02, seed=3), Faults(drop=0.02, seed=4)) as [a, b], feed.subscriber() as sub:
        link = link_of(sub)
        link.ask_after_ns, link.give_up_ns = 1_000_000_000, 10_000_000_000  # relays that share an interpreter are slow
        got = stream(feed, sub, 1500, burst=4)
        until(sub, lambda: sum(link.line_counts()[1]) + sum(link.line_counts()[0]) == 2 * len(feed.sent))
        both = a.dropped & b.dropped
        counts = link.line_counts()
        assert [line[2] for line in counts] == [len(a.dropped), len(b.dropped)]
        assert sub.stats()["lines"] == {
            f"{name}.{what}": counts[i][k]
            for i, name in enumerate("AB")
            for k, what in enumerate(("first", "late", "lost"))
        }
        assert sub.stats()["queued_ns_max"] > 0
        assert a.dropped
        assert b.dropped
        assert (link.requested == 0) == (not both)  # nothing else is asked for
    check(feed, got)
    assert not feed.gaps
    assert sum(line[0] for line in counts) == len(feed.sent) - len(both)
    assert (sub.stats()["lines"], sub.stats()["queued_ns_max"]) == ({}, None)  # it is closed
    assert sum(line[1] for line in counts) == len(feed.sent) - len(a.dropped | b.dropped)


def test_one_line_alone_is_enough(feed: LiveFeed) -> None:
    republish(feed, **settings_of(2))
    with cables(feed, Faults(), Faults(drop=1.0), requests=False), feed.subscriber() as sub:
        got = stream(feed, sub, 50)
    check(feed, got)
    assert not feed.gaps


# --- the publisher --------------------------------------------------------------------------------------------------


def test_a_restart_goes_on_in_the_same_session(feed: LiveFeed) -> None:
    line = parse_mold(feed.endpoint).lines[0]
    with contextlib.closing(plain_receiver(line)) as receiving:
        feed.send(*TOPICS)
        feed.settle()
        feed.unpublish()
        feed.send(*TOPICS * 20)
        feed.publish()
        feed.settle()
        got: dict[int, bytes] = {}
        sessions = set()
        while len(got) < 21 * len(TOPICS):
            packet = mold.decode(receiving.recv(2000))
            sessions.add(packet.session)
            for i, block in enumerate(packet.blocks):
                got[packet.sequence + i] = block
    assert len(sessions) == 1
    assert sorted(got) == list(range(1, len(feed.sent) + 1))
    decoded = [frames.decode(got[n]) for n in sorted(got)]
    assert [(each.seq, each.records.tobytes()) for each in decoded] == [(each[1], each[3]) for each in feed.sent]


def test_a_request_gets_the_same_messages_from_before_a_restart(feed: LiveFeed) -> None:
    feed.send(*TOPICS * 200)
    feed.settle()
    line = parse_mold(feed.endpoint).lines[0]
    with contextlib.closing(plain_receiver(line)) as receiving:
        session = mold.decode(receiving.recv(2000)).session
    feed.unpublish()
    feed.publish()
    got = ask(feed, session, 501, 300)
    assert [frames.decode(block).seq for block in got] == [each[1] for each in feed.sent[500:800]]
    assert ask(feed, session, len(feed.sent) + 1, 5) == []
    assert ask(feed, session, len(feed.sent) - 1, 50) == ask(feed, session, len(feed.sent) - 1, 2)


def ask(feed: LiveFeed, session: bytes, first: int, count: int) -> list[bytes]:
    """What the server of requests answers, but for ts_sent."""
    host, _, port = parse_mold(feed.endpoint).requests.rpartition(":")
    blocks: list[bytes] = []
    there = max(0, min(count, len(feed.sent) + 1 - first))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(mold.request(session, first, count), (host, int(port)))
        with contextlib.suppress(TimeoutError):
            while len(blocks) < count:
                asking.settimeout(PATIENCE_S if len(blocks) < there else 0.3)  # there may be too many
                packet = mold.decode(asking.recv(1 << 16))
                assert packet.sequence == first + len(blocks)
                blocks += packet.blocks
    at = [block.index(b"|") + 41 for block in blocks]
    return [block[:k] + bytes(8) + block[k + 8 :] for block, k in zip(blocks, at, strict=True)]


def test_a_new_log_is_a_new_session_and_the_old_one_is_said_to_be_over(feed: LiveFeed) -> None:
    line = parse_mold(feed.endpoint).lines[0]
    with contextlib.closing(plain_receiver(line)) as receiving:
        feed.send(*TOPICS)
        feed.settle()
        feed.renew()
        feed.send("quote.AAPL")
        sessions: list[bytes] = []
        ended: list[tuple[bytes, int]] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(ended) < 2:
            assert time.monotonic() < deadline
            packet = mold.decode(receiving.recv(2000))
            if packet.end:
                ended.append((packet.session, packet.sequence))
            elif packet.session not in sessions:
                sessions.append(packet.session)
    assert len(sessions) == 2
    assert sessions[0] < sessions[1]
    assert set(ended) == {(sessions[0], len(TOPICS) + 1)}


def test_a_bot_joins_only_the_groups_of_its_symbols(feed: LiveFeed) -> None:
    republish(feed, **settings_of(1, shards=4))
    shards = parse_mold(feed.endpoint).shards
    with feed.subscriber("AAPL") as one, feed.subscriber() as every:
        assert [link_of(sub).shards_joined for sub in (one, every)] == [[shards.of("AAPL")], [0, 1, 2, 3]]
        feed.send(*TOPICS * 20)
        got = [facts(tick) for tick in take(every, len(feed.sent))]
        mine = [facts(tick) for tick in take(one, 40)]
    check(feed, got)
    assert mine == [each for each in feed.sent if each[0].endswith(".AAPL")]
    with pytest.raises(ControlError, match="no order between them"):
        feed.subscriber(order="stream", timeout=0.1).open()


def test_lists_say_which_group_a_symbol_is_in(feed: LiveFeed) -> None:
    republish(feed, **settings_of(1, lists=(("AAPL", "M*"), ("ES*",))))
    with feed.subscriber(["ESU4", "MSFT"], order="topic") as sub:
        assert link_of(sub).shards_joined == [0, 1]
        feed.send(*TOPICS)
        assert {tick.symbol for tick in take(sub, 4)} == {"ESU4", "MSFT"}


# --- other programs ---------------------------------------------------------------------------------------------------


def test_another_program_reads_it(feed: LiveFeed) -> None:
    """Spelled from the specification, without a line of ours; and by the library moldudp."""
    line = parse_mold(feed.endpoint).lines[0]
    blocks: list[bytes] = []
    with contextlib.closing(plain_receiver(line)) as receiving:
        feed.send(*TOPICS * 30)
        heartbeats = 0
        while len(blocks) < len(feed.sent) or not heartbeats:
            datagram = receiving.recv(2000)
            assert len(datagram) <= 1472
            _, sequence, count = struct.unpack_from(">10sQH", datagram)
            at = 20
            read = []
            for _ in range(count):
                (length,) = struct.unpack_from(">H", datagram, at)
                read.append(datagram[at + 2 : at + 2 + length])
                at += 2 + length
            if count:
                assert at == len(datagram)
                assert sequence == len(blocks) + 1
            else:
                assert sequence == len(blocks) + 1
                heartbeats += 1
            assert library_reads(datagram) == (sequence, read, count == 0)
            blocks += read
    assert [frames.decode(block).records.tobytes() for block in blocks] == [each[3] for each in feed.sent]


def library_reads(datagram: bytes) -> tuple[int, list[bytes], bool]:
    """Sequence, messages, and whether it is a heartbeat, as moldudp has them."""
    told: list[bytes] = []
    beats: list[bool] = []

    class Told(MsgSubscriber):  # type: ignore[misc]
        def on_msgblk(self, message: bytes) -> None:
            told.append(message)

        def on_hb(self) -> None:
            beats.append(True)

    decoder = MoldUDPDecoder(Told())
    decoder.buffer(datagram)
    decoder.decode()
    return decoder.seq(), told, bool(beats)


# --- strangers --------------------------------------------------------------------------------------------------------


def malformed(rng: random.Random, session: bytes) -> bytes:
    """A datagram that is none, or is of somebody else's session."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(20))
    if kind == 1:
        return struct.pack(">10sQH", session, rng.randrange(1, 1000), rng.randrange(1, 0xFFFE)) + rng.randbytes(9)
    if kind == 2:
        return mold.encode(session, rng.randrange(1, 1000), [rng.randbytes(30)])[: rng.randrange(20, 52)]
    if kind == 3:
        return mold.encode(b"FOREIGN%03d" % rng.randrange(999), rng.randrange(1, 1 << 60), [rng.randbytes(30)])
    if kind == 4:
        return mold.heartbeat(b"FOREIGN%03d" % rng.randrange(999), 1, rng.randbytes(rng.randrange(1, 90)))
    return rng.randbytes(rng.randrange(20, 1400))


def test_malformed_datagrams_are_counted_and_change_nothing(feed: LiveFeed) -> None:
    malformed_count = int(os.environ.get("TICKCAST_TEST_STRANGERS", "10000"))  # 1000000 takes a minute
    rng = random.Random(5)
    line = parse_mold(feed.endpoint).lines[0]
    host, _, port = parse_mold(feed.endpoint).requests.rpartition(":")
    with feed.subscriber() as sub, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        session = link_of(sub).sessions[0]
        got: list[Any] = []
        for i in range(malformed_count):
            datagram = malformed(rng, session)
            stranger.sendto(datagram, (line.group, line.port))
            stranger.sendto(datagram, (host, int(port)))
            if i % 50 == 0:
                feed.send(*TOPICS[:2])
                while (tick := sub.recv(0.0)) is not None:
                    got.append(facts(tick))
        got += [facts(tick) for tick in take(sub, len(feed.sent) - len(got))]
        link = link_of(sub)
        assert link.malformed > malformed_count // 3
        assert link.foreign > malformed_count // 6
        assert link.malformed + link.foreign <= malformed_count
        assert link.sessions == [session]
        # The server's packets still come, so it is alive.
        assert len(ask(feed, session, len(feed.sent) - 4, 5)) == 5
    check(feed, got)
    assert not feed.gaps
    requests = [row for row in feed.counters.rows() if row.name == "tickcast_requests_total"]
    outcomes = {row.labels["outcome"]: row.value for row in requests}
    assert outcomes["malformed"] + outcomes["foreign"] > malformed_count // 3


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_link_says_what_is_wrong_with_its_endpoint() -> None:
    with pytest.raises(HostError, match="no such interface"):
        MoldLink("mold://nic9;239.193.1.1:5560", ["*"])
    with pytest.raises(ConfigError, match="not a multicast group"):
        MoldLink("mold://lo;10.0.0.1:5560", ["*"])
    with pytest.raises(ConfigError, match="not an address of mold"):
        MoldLink("tcp://127.0.0.1:5560", ["*"])
