"""ITCH out of captures of the network: pcap and pcapng, whatever lies around the datagrams, and damage."""

from __future__ import annotations

import gzip
import io
import random
import struct
from typing import TYPE_CHECKING, Any

import dpkt
import pytest

from feed.config import ItchConfig
from feed.sources.itch import ItchDays
from feed.sources.itch_packets import udp_payload
from tests.fakevenue.nasdaq import datagrams
from tests.normalize.itch_messages import framed, message, split
from tests.sources.itch_live import AAPL, BAD, DATE, from_file, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from feed.metrics.counters import Counters
    from tests.sources.tape import Taken, Tape

S1, S2 = b"SESSION001", b"SESSION002"
A, B = ("239.1.1.1", 5000), ("239.1.1.2", 5001)
SESSION = [message("R", 1, 1, stock="AAPL")] + [
    message("A", 1, 10 + n, stock="AAPL", reference=n, side="B", shares=1, price=100 + n) for n in range(1, 60)
]


def ip(payload: bytes, to: tuple[str, int] = A, protocol: int = 17, fragment: int = 0) -> bytes:
    host = bytes(int(part) for part in to[0].split("."))
    udp = struct.pack(">HHHH", 4000, to[1], 8 + len(payload), 0) + payload
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, fragment, 1, protocol, 0, b"\n\0\0\1", host) + udp


def ethernet(content: bytes, *, tags: int = 0, kind: int = 0x0800) -> bytes:
    return bytes(12) + struct.pack(">HH", 0x8100, 5) * tags + struct.pack(">H", kind) + content + b"\0\0"


def pcap(packets: Iterable[bytes], *, form: str = "pcap", link: int = 1, every_s: float = 0.001) -> bytes:
    """A capture of these, one every ms."""
    file = io.BytesIO()
    if form == "pcapng":
        block = dpkt.pcapng.InterfaceDescriptionBlockLE(snaplen=1 << 16, linktype=link)
        writer: Any = dpkt.pcapng.Writer(file, idb=block)
    else:
        writer = dpkt.pcap.Writer(file, linktype=link, nano=form == "nano")
    for n, packet in enumerate(packets):
        writer.writepkt(packet, 1_580_389_000 + n * every_s)
    return file.getvalue()


def play(tape: Tape, counters: Counters, *paths: Path, **settings: Any) -> tuple[list[Taken], ItchDays]:
    config = ItchConfig(files=[str(path) for path in paths], **{"speed": "max", "date": DATE, **settings})
    source = ItchDays("i", config, tape.sink, counters)
    taken: list[Taken] = []
    while not source.finished:
        assert 0 <= source.poll(1000) <= 1000
        taken += tape.take()
    source.close()
    return taken, source


def counted(counters: Counters) -> dict[str, int]:
    rows = (row for row in counters.rows() if row.name == "tickcast_rejected_total" and row.value)
    return {row.labels["reason"]: row.value for row in rows}


def two_lines(messages: Sequence[bytes], lose: float, seed: int) -> list[bytes]:
    """Packets of both lines, B behind A by some; each loses so many; none is lost on both."""
    rnd = random.Random(seed)
    packets: list[tuple[float, bytes]] = []
    for n, (_, datagram) in enumerate(datagrams(messages, S1, most=4)):
        lost = rnd.random()
        if lost > lose:
            packets.append((n, ethernet(ip(datagram, A))))
        if not lose < lost < 2 * lose:
            packets.append((n + rnd.random() * 9, ethernet(ip(datagram, B), tags=n % 3)))
    return [packet for _, packet in sorted(packets, key=lambda each: each[0])]


@pytest.mark.parametrize("form", ["pcap", "nano", "pcapng", "pcapng.gz"])
def test_two_lines_of_a_real_morning_are_that_of_the_file(
    tape: Tape, counters: Counters, data_dir: Path, tmp_path: Path, form: str
) -> None:
    messages = split((data_dir / AAPL).read_bytes())
    raw = pcap(two_lines(messages, 0.01, 1), form=form.removesuffix(".gz"))
    path = tmp_path / form
    path.write_bytes(gzip.compress(raw, 1) if form.endswith(".gz") else raw)
    taken, source = play(tape, counters, path)
    assert source.error is None
    assert counted(counters) == {}
    assert plain(taken) == plain(from_file(messages, tmp_path, tape, counters))
    assert taken[0].record[16:24] == taken[0].record[8:16], "ts_recv of what is played is the message's own time"
    assert "10,000 messages, 100.0 %" in source.progress()


def test_what_is_no_such_datagram_is_counted_and_left_out(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    mold = [datagram for _, datagram in datagrams(SESSION, S1, most=10)]
    packets = [
        ethernet(ip(mold[0], A)),
        ethernet(b"\0" * 40, kind=0x0806),
        ethernet(ip(mold[1], A, protocol=6)),
        ethernet(ip(mold[1], A, fragment=0x2000)),
        ethernet(ip(b"something else", A)),
        ethernet(ip(mold[1], A))[:60],
        b"short",
        ethernet(ip(mold[1], ("10.0.0.1", 53))),
        *(ethernet(ip(each, A)) for each in mold[1:]),
    ]
    path = tmp_path / "mixed.pcap"
    path.write_bytes(pcap(packets))
    taken, source = play(tape, counters, path, groups=["239.1.1.1:5000"], schemas=["quote"])
    assert len(taken) == 59
    assert counted(counters) == {
        "not_udp": 3, "fragment": 1, "short_datagram": 1, "cut_packet": 1, "other_group": 1
    }  # fmt: skip
    assert source.error is None


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (1, ethernet(b"")[:14]),
        (101, b""),
        (12, b""),
        (0, b"\2\0\0\0"),
        (113, bytes(14) + b"\x08\0"),
        (276, b"\x08\0" + bytes(18)),
    ],
)
def test_links_of_every_kind_are_read(link: int, head: bytes) -> None:
    found = udp_payload(head + ip(b"payload", B), link)
    assert not isinstance(found, str)
    assert (found[0], found[1], bytes(found[2])) == (b"\xef\x01\x01\x02", 5001, b"payload")


def test_no_packet_is_too_strange() -> None:
    rnd = random.Random(1)
    whole = ethernet(ip(b"payload" * 9), tags=1)
    for _ in range(20_000):
        packet = bytearray(whole[: rnd.randint(0, len(whole))])
        for _ in range(rnd.randint(0, 4)):
            if packet:
                packet[rnd.randrange(len(packet))] = rnd.randrange(256)
        found = udp_payload(bytes(packet), rnd.choice((1, 101, 113, 276, 0, 7)))
        assert isinstance(found, str) or len(found[2]) <= len(packet)


def test_captures_of_one_day_go_on_where_the_last_one_stopped(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    packets = [ethernet(ip(each)) for _, each in datagrams(SESSION, S1, most=1)]
    packets[29], packets[30] = packets[30], packets[29]
    for name, part in (("1.pcap", packets[:30]), ("2.pcap", packets[30:])):
        (tmp_path / name).write_bytes(pcap(part))
    taken, _ = play(tape, counters, tmp_path / "1.pcap", tmp_path / "2.pcap")
    assert counted(counters) == {}
    assert plain(taken) == plain(from_file(SESSION, tmp_path, tape, counters))


def test_a_capture_that_lacks_messages_marks_every_book(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    packets = [ethernet(ip(each)) for _, each in datagrams(SESSION, S1, most=1)]
    path = tmp_path / "holes.pcap"
    path.write_bytes(pcap(packets[5:20] + packets[22:58]))
    taken, source = play(tape, counters, path, schemas=["quote"])
    assert source.error is None
    assert counted(counters) == {"lost_messages": 7}
    assert all(one.record[30] & BAD for one in taken)
    assert len(taken) == 51 + 1


def test_a_session_that_changes_begins_with_empty_books(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    first = [ethernet(ip(each)) for _, each in datagrams(SESSION, S1, most=1)]
    second = [ethernet(ip(each)) for _, each in datagrams(SESSION[:9], S2, most=1)]
    path = tmp_path / "sessions.pcap"
    path.write_bytes(pcap(first + second))
    _, source = play(tape, counters, path)
    assert source._books.itch.resting.orders == 8
    assert counted(counters) == {}


def test_a_capture_cut_anywhere_gives_what_is_whole_and_the_next_goes_on(
    tape: Tape, counters: Counters, tmp_path: Path
) -> None:
    packets = [ethernet(ip(each)) for _, each in datagrams(SESSION, S1, most=20)]
    after = tmp_path / "after-2020-01-31"
    after.write_bytes(framed(message("R", 1)))
    for form in ("pcap", "pcapng"):
        raw = pcap(packets, form=form)
        for cut in range(4, len(raw), 97):
            path = tmp_path / "cut"
            path.write_bytes(raw[:cut])
            taken, source = play(tape, counters, path, after)
            assert taken[-1][:2] == ("definition", "S1")
            assert all("is damaged or cut off" in str(error) for error in source.errors)


def test_damaged_captures_do_no_harm(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    rnd = random.Random(5)
    packets = [ethernet(ip(each)) for _, each in datagrams(SESSION, S1, most=2)]
    for n in range(100):
        raw = bytearray(pcap(packets, form=("pcap", "pcapng")[n % 2]))
        for _ in range(rnd.randint(1, 20)):
            raw[rnd.randrange(4, len(raw))] = rnd.randrange(256)
        path = tmp_path / "damaged"
        path.write_bytes(raw)
        _, source = play(tape, counters, path)
        assert len(source.errors) <= 1
