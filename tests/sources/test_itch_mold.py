"""ITCH over MoldUDP64 on loopback: lines that lose, double and swap, a request server, sessions, snapshots, noise."""

from __future__ import annotations

import os
import random
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

from feed.config import ItchMoldConfig
from feed.errors import HostError
from feed.sources.itch_mold import ItchMold
from tests.fakevenue.nasdaq import Line, RequestServer, SoupServer, datagrams, heartbeat, publish, snapshot
from tests.normalize.itch_messages import message, split
from tests.sources.itch_live import AAPL, BAD, DATE, ENVIRON, Turned, captured, from_file, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from feed.metrics.counters import Counters
    from tests.sources.tape import Tape

S1, S2 = b"SESSION001", b"SESSION002"
HEAD = [message("S", 0, code="S"), message("R", 1, 1, stock="AAPL"), message("R", 2, 1, stock="MSFT")]
ORDERS = [
    message(
        "A",
        1 + n % 2,
        10 + n,
        stock=("AAPL", "MSFT")[n % 2],
        reference=n + 1,
        side="BS"[n % 2],
        shares=9,
        price=500 + n,
    )
    for n in range(97)
]
SESSION = HEAD + ORDERS


@pytest.fixture
def lines() -> Iterator[Callable[..., list[Line]]]:
    """Makes two lines, on groups and ports that no other test process has."""
    made: list[Line] = []
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

    def make(**faults: float) -> list[Line]:
        middle = random.randrange(256)
        port = random.randrange(20_000, 30_000)
        both = [Line(f"239.{193 + worker}.{middle}.{1 + n}", port + n, **faults) for n in range(2)]  # type: ignore[arg-type]
        made.extend(both)
        return both

    yield make
    for each in made:
        each.close()


@pytest.fixture
def requests() -> Iterator[Callable[[Sequence[bytes]], RequestServer]]:
    made: list[RequestServer] = []

    def make(messages: Sequence[bytes]) -> RequestServer:
        made.append(RequestServer(messages, S1))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def start(tape: Tape, counters: Counters) -> Iterator[Callable[..., Turned]]:
    made: list[Turned] = []

    def make(on: Sequence[Line], request: RequestServer | None = None, **settings: Any) -> Turned:
        settings = {"date": DATE, "reconnect": "2ms", "give_up": "100ms", **settings}
        config = ItchMoldConfig(
            groups=[f"{line.group}:{line.port}" for line in on],
            interface="127.0.0.1",
            request=request.address if request else "",
            **settings,
        )
        made.append(Turned(ItchMold("n", config, tape.sink, counters, environ=ENVIRON), tape, counters))
        return made[-1]

    yield make
    for each in made:
        each.source.close()


def test_a_real_morning_over_two_lines_that_lose_is_that_of_the_file(
    lines: Callable[..., list[Line]],
    requests: Callable[[Sequence[bytes]], RequestServer],
    start: Callable[..., Turned],
    tape: Tape,
    counters: Counters,
    data_dir: Path,
    tmp_path: Path,
) -> None:
    messages = split((data_dir / AAPL).read_bytes())
    both = lines(lose=0.01, double=0.01, swap=0.01)
    server = requests(messages)
    turned = start(both, server, give_up="20s")
    sender = threading.Thread(target=publish, args=(messages, S1, both), kwargs={"most": 3})
    sender.start()
    turned.until(lambda: not sender.is_alive())
    heartbeat(S1, len(messages) + 1, both)
    turned.reaches(10_000)
    sender.join()
    assert turned.counted() == {}
    assert len(turned.of("quote")) == 2792
    assert plain(turned.taken) == plain(from_file(messages, tmp_path, tape, counters))
    arbiter = turned.source._lines.arbiter
    assert arbiter.lost == 0
    assert min(arbiter.line(0).lost, arbiter.line(1).lost) > 0
    assert arbiter.line(0).first > 0
    assert arbiter.line(1).first > 0, "what line A lost"
    for one in turned.taken[:100]:
        at = 16 if one.schema in ("status", "definition") else 32
        assert int.from_bytes(one.record[at : at + 8], "little") == one.ts_in, "ts_recv is when it came"


def send(line: Line, messages: Sequence[bytes], first: int = 1, session: bytes = S1, most: int = 1) -> None:
    for _, datagram in datagrams(messages, session, first, most):
        line.send(datagram)


def test_what_no_line_brings_is_asked_for(
    lines: Callable[..., list[Line]], requests: Callable[[Sequence[bytes]], RequestServer], start: Callable[..., Turned]
) -> None:
    (a, b), server = lines(), requests(SESSION)
    turned = start([a, b], server, give_up="20s")
    send(a, SESSION[:10])
    send(a, SESSION[20:30], 21)
    turned.reaches(30)
    assert server.asked[0] == (11, 10)
    send(b, SESSION[:30])
    heartbeat(S1, 41, [b])
    turned.reaches(40)
    assert (31, 10) in server.asked, "a heartbeat shows a loss at the end"
    assert turned.counted() == {}


def test_who_comes_late_asks_for_all_that_was(
    lines: Callable[..., list[Line]], requests: Callable[[Sequence[bytes]], RequestServer], start: Callable[..., Turned]
) -> None:
    (a, b), server = lines(), requests(SESSION)
    turned = start([a, b], server, give_up="20s")
    heartbeat(S1, 51, [a])
    turned.reaches(50)
    send(a, SESSION[50:], 51)
    turned.reaches(100)
    assert turned.counted() == {}
    assert turned.source._books.itch.resting.orders == 97


def test_what_nobody_has_any_more_marks_every_book_and_the_rest_goes_on(
    lines: Callable[..., list[Line]], requests: Callable[[Sequence[bytes]], RequestServer], start: Callable[..., Turned]
) -> None:
    (a, b), server = lines(), requests(SESSION)
    server.gone = {41, 42}
    turned = start([a, b], server, give_up="1s")
    send(a, SESSION[:30])
    turned.reaches(30)
    send(a, SESSION[50:60], 51)
    turned.reaches(60)
    assert turned.counted() == {"lost_messages": 2, "gap": 1}
    quotes = turned.of("quote")
    marked = (quotes["flags"] & BAD) != 0
    first = int(marked.argmax())
    assert quotes["sequence"][first : first + 2].tolist() == [40, 40], "told at once"
    assert quotes["instrument_id"][first : first + 2].tolist() == [1, 2], "of both"
    assert marked[first:].all()
    send(a, SESSION[40:42], 41)  # too late
    send(a, SESSION[60:], 61)
    turned.reaches(100)
    assert turned.source._books.itch.resting.orders == 95


def test_without_a_server_a_late_start_is_doubtful_from_the_first_quote_on(
    lines: Callable[..., list[Line]], start: Callable[..., Turned]
) -> None:
    a, b = lines()
    turned = start([a, b])
    send(a, SESSION[50:], 51)
    turned.reaches(100)
    assert turned.counted() == {"lost_messages": 50, "gap": 1}
    assert ((turned.of("quote")["flags"] & BAD) != 0).all()


def test_a_snapshot_is_fetched_while_what_comes_meanwhile_waits(
    lines: Callable[..., list[Line]], start: Callable[..., Turned]
) -> None:
    a, b = lines()
    glimpse = SoupServer(snapshot(SESSION, 60), refusals=["S", "S"], ends=True)
    turned = start([a, b], glimpse=glimpse.address)
    send(a, SESSION[49:70], 50)
    turned.reaches(70)
    assert len(glimpse.logins) == 3
    quotes = turned.of("quote")
    assert not (quotes["flags"] & BAD).any()
    assert quotes["sequence"][2:].tolist() == [
        62,
        64,
        66,
        68,
        70,
    ]  # the best bid is the last one, the best ask the first
    assert turned.source._books.itch.resting.orders == 67
    # A loss ends in another one.
    glimpse.messages = snapshot(SESSION, 90)
    send(a, SESSION[80:], 81)
    turned.reaches(100)
    assert turned.counted() == {"lost_messages": 10, "gap": 1}
    assert turned.source._books.itch.resting.orders == 97
    assert not turned.source._books.itch.is_bad(1)
    later = turned.of("quote")[len(quotes) :]
    marked = ((later["flags"] & BAD) != 0).tolist()
    assert marked[:2] == [True, True]
    assert not any(marked[2:])
    glimpse.close()


def test_a_snapshot_older_than_what_came_is_fetched_again(
    lines: Callable[..., list[Line]], start: Callable[..., Turned]
) -> None:
    a, b = lines()
    glimpse = SoupServer(snapshot(SESSION, 20), ends=True)
    turned = start([a, b], glimpse=glimpse.address)
    send(a, SESSION[49:70], 50)
    turned.until(lambda: len(glimpse.logins) >= 2)
    glimpse.messages = snapshot(SESSION, 55)
    turned.reaches(70)
    assert turned.source._books.itch.resting.orders == 67
    glimpse.close()


def test_the_next_session_begins_with_its_first_message(
    lines: Callable[..., list[Line]], start: Callable[..., Turned], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    a, b = lines()
    turned = start([a, b])
    send(a, SESSION[:20])
    turned.reaches(20)
    send(b, SESSION[:3], session=S2)  # not believed yet
    send(a, SESSION[20:22], 21)
    turned.reaches(22)
    assert turned.source._lines.arbiter.of_session == S1
    send(b, SESSION[3:8], 4, session=S2)
    turned.until(lambda: turned.source._lines.arbiter.of_session == S2)
    turned.reaches(8)
    assert turned.source._books.itch.resting.orders == 5
    send(a, SESSION[22:25], 23)  # of the old one
    turned.until(lambda: turned.counted().get("old_session", 0) >= 3)
    turned.rests()
    assert turned.counted() == {"session": 1, "old_session": 3}
    quotes = turned.of("quote")
    assert not (quotes["flags"][-5:] & BAD).any()
    heartbeat(S2, 9, [a, b], end=True)
    turned.until(lambda: "the session has ended after message 8" in caplog.text)
    for _ in range(4):
        heartbeat(b"SESSION003", 1, [a])
    turned.until(lambda: turned.source._lines.arbiter.of_session == b"SESSION003")


def test_noise_is_counted_and_does_no_harm(lines: Callable[..., list[Line]], start: Callable[..., Turned]) -> None:
    a, b = lines()
    turned = start([a, b])
    send(a, SESSION[:20])
    turned.reaches(20)
    for noise in (
        b"",
        b"x" * 19,
        struct.pack(">10sQH", b"\x01" * 10, 1, 0),
        struct.pack(">10sQH", S1, 0, 0),
        struct.pack(">10sQH", S1, 21, 1) + b"\0\5abc",
        struct.pack(">10sQH", S1, 21, 1) + b"\0\1ab",
        struct.pack(">10sQH", S1, 1 << 40, 1) + b"\0\1a",
        *(struct.pack(">10sQH", b"NOISE%05d" % n, 1, 0) for n in range(9)),
    ):
        b.send(noise)
    send(a, SESSION[20:], 21)
    turned.reaches(100)
    turned.until(lambda: sum(turned.counted().values()) >= 15)
    assert turned.counted() == {
        "short_datagram": 2,
        "bad_session": 1,
        "bad_sequence": 1,
        "bad_block": 1,
        "bytes_left": 1,
        "sequence_jump": 1,
        "unknown_session": 8,
    }
    assert turned.source._books.itch.resting.orders == 97


def test_a_line_that_is_far_ahead_is_believed_when_it_goes_on_there(
    lines: Callable[..., list[Line]], start: Callable[..., Turned]
) -> None:
    a, b = lines()
    turned = start([a, b], give_up="20ms")
    send(a, SESSION[:50])
    turned.reaches(50)
    send(a, SESSION[50:], 5_000_051)
    turned.reaches(5_000_100)
    assert turned.counted() == {"sequence_jump": 3, "lost_messages": 5_000_003, "gap": 1}


def test_a_capture_gives_the_same_again_to_the_byte(
    lines: Callable[..., list[Line]],
    requests: Callable[[Sequence[bytes]], RequestServer],
    start: Callable[..., Turned],
    tape: Tape,
    counters: Counters,
    tmp_path: Path,
) -> None:
    (a, b), server = lines(lose=0.2, double=0.2, swap=0.2), requests(SESSION)
    server.gone = {30, 31, 60}
    turned = start([a, b], server, give_up="200ms", capture=str(tmp_path / "kept"), schemas=["quote", "order"])
    publish(SESSION, S1, [a, b], most=2)
    for _ in range(9):
        heartbeat(S1, 101, [a, b])
    turned.reaches(100)
    publish(SESSION[:50], S2, [a, b], most=2)
    for _ in range(9):
        heartbeat(S2, 51, [a, b])
    turned.until(lambda: turned.source._lines.arbiter.of_session == S2)
    turned.reaches(50)
    turned.rests()
    turned.source.close()
    again = captured(tmp_path / "kept", tape, counters)
    assert [(one.schema, one.symbol, one.record) for one in again] == [
        (one.schema, one.symbol, one.record) for one in turned.taken
    ]
    assert turned.counted()["session"] == 1


def test_a_capture_with_snapshots_gives_the_same_again(
    lines: Callable[..., list[Line]], start: Callable[..., Turned], tape: Tape, counters: Counters, tmp_path: Path
) -> None:
    a, b = lines()
    glimpse = SoupServer(snapshot(SESSION, 60), ends=True)
    turned = start([a, b], glimpse=glimpse.address, capture=str(tmp_path / "kept"), schemas=["quote", "order", "book"])
    send(a, SESSION[49:70], 50)
    turned.reaches(70)
    glimpse.messages = snapshot(SESSION, 90)
    send(b, SESSION[80:], 81)
    turned.reaches(100)
    turned.source.close()
    glimpse.close()
    again = captured(tmp_path / "kept", tape, counters)
    assert [(one.schema, one.symbol, one.record) for one in again] == [
        (one.schema, one.symbol, one.record) for one in turned.taken
    ]
    assert turned.counted()["lost_messages"] == 10


def test_a_group_on_an_interface_that_is_not_there_is_refused(tape: Tape, counters: Counters) -> None:
    config = ItchMoldConfig(groups=["239.1.1.1:5000"], interface="nowhere0")
    with pytest.raises(HostError, match=r"source.n.interface: no such interface"):
        ItchMold("n", config, tape.sink, counters, environ=ENVIRON)
