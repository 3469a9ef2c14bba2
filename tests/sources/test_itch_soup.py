"""ITCH over SoupBinTCP from a server on loopback that cuts, refuses, forgets and changes its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from feed.config import ItchSoupConfig
from feed.errors import ConfigError
from feed.sources.itch_soup import ItchSoup
from tests.fakevenue.nasdaq import SoupServer, snapshot
from tests.normalize.itch_messages import message, split
from tests.sources.itch_live import AAPL, BAD, DATE, ENVIRON, SNAPSHOT, Turned, captured, from_file, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from feed.metrics.counters import Counters
    from tests.sources.tape import Tape

HEAD = [message("S", 0, code="S"), message("R", 1, 1, stock="AAPL"), message("R", 2, 1, stock="MSFT")]
ORDERS = [
    message("A", 1 + n % 2, 10 + n, stock=stock, reference=n + 1, side=side, shares=100, price=50_0000 + n)
    for n, (stock, side) in enumerate([("AAPL", "B"), ("MSFT", "S")] * 20)
]
SESSION = HEAD + ORDERS


@pytest.fixture
def servers() -> Iterator[Callable[..., SoupServer]]:
    made: list[SoupServer] = []

    def make(*args: Any, **settings: Any) -> SoupServer:
        made.append(SoupServer(*args, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def start(tape: Tape, counters: Counters) -> Iterator[Callable[..., Turned]]:
    made: list[Turned] = []

    def make(server: SoupServer, glimpse: SoupServer | None = None, **settings: Any) -> Turned:
        settings = {"date": DATE, "reconnect": "2ms", **settings}
        config = ItchSoupConfig(address=server.address, glimpse=glimpse.address if glimpse else "", **settings)
        made.append(Turned(ItchSoup("n", config, tape.sink, counters, environ=ENVIRON), tape, counters))
        return made[-1]

    yield make
    for each in made:
        each.source.close()


def test_a_real_morning_with_three_reconnects_is_that_of_the_file(
    servers: Callable[..., SoupServer],
    start: Callable[..., Turned],
    tape: Tape,
    counters: Counters,
    data_dir: Path,
    tmp_path: Path,
) -> None:
    messages = split((data_dir / AAPL).read_bytes())
    server = servers(messages, cuts=[1, 4000, 9999])
    turned = start(server)
    turned.reaches(10_000)
    assert server.logins == [("", 1), ("S1", 2), ("S1", 4001), ("S1", 10_000)]
    assert turned.counted() == {}
    assert len(turned.of("quote")) == 2792
    assert plain(turned.taken) == plain(from_file(messages, tmp_path, tape, counters))
    for one in turned.taken:
        at = 16 if one.schema in ("status", "definition") else 32
        assert int.from_bytes(one.record[at : at + 8], "little") == one.ts_in, "ts_recv is when it came"


def test_a_snapshot_stands_for_what_came_before_it(
    servers: Callable[..., SoupServer], start: Callable[..., Turned], data_dir: Path
) -> None:
    messages = split((data_dir / AAPL).read_bytes())
    server, glimpse = servers(messages), servers(snapshot(messages, 6000), ends=True)
    turned = start(server, glimpse, schemas=["quote", "order", "book"])
    turned.reaches(10_000)
    whole = start(servers(messages), schemas=["quote", "order", "book"])
    whole.reaches(10_000)
    assert server.logins == [("", 6001)]
    quotes, all_quotes = turned.of("quote"), whole.of("quote")
    assert quotes["flags"][0] == 128, "the first one says what the snapshot holds, which is whole by then"
    before = all_quotes[all_quotes["sequence"] <= 6000][-1]
    for name in ("bid_px", "ask_px", "bid_sz", "ask_sz", "bid_ct", "ask_ct"):
        assert quotes[0][name] == before[name]
    later = all_quotes[all_quotes["sequence"] > 6000]
    assert quotes["sequence"][1:].tolist() == later["sequence"].tolist()
    assert quotes["bid_px"][1:].tolist() == later["bid_px"].tolist()
    assert turned.of("book")["levels"][-1].tolist() == whole.of("book")["levels"][-1].tolist()
    orders = turned.of("order")
    flagged = orders[(orders["flags"] & SNAPSHOT) != 0]
    assert flagged["action"].tolist() == [b"R"] + [b"A"] * (len(glimpse.messages) - 4)
    assert not (turned.of("quote")["flags"] & BAD).any()


def test_a_rejected_login_is_tried_again_and_says_why_without_the_password(
    servers: Callable[..., SoupServer], start: Callable[..., Turned], caplog: pytest.LogCaptureFixture
) -> None:
    server = servers(SESSION, refusals=["S", "S"])
    turned = start(server)
    turned.reaches(len(SESSION))
    assert len(server.logins) == 3
    assert "there is no such session; again in" in caplog.text
    wrong = start(servers(SESSION, password="other"))
    wrong.until(lambda: "not accepted" in caplog.text)
    assert "user or password not accepted; again in" in caplog.text
    assert "secret" not in caplog.text
    assert wrong.source._backoff._next_ns >= 30 * 10**9, "nothing will be better soon"


def test_what_the_server_has_no_longer_marks_every_book(
    servers: Callable[..., SoupServer], start: Callable[..., Turned]
) -> None:
    server = servers(SESSION[:20])
    turned = start(server)
    turned.reaches(20)
    before = len(turned.taken)
    server.go_on(SESSION, forgotten=30)
    turned.reaches(len(SESSION))
    assert turned.counted() == {
        "lost_messages": 10,
        "gap": 1,
    }
    later = [one for one in turned.taken[before:] if one.schema == "quote"]
    assert {one.symbol for one in later[:2]} == {"AAPL", "MSFT"}, "told at once, of both"
    assert all(one.record[30] & BAD for one in later)


def test_a_new_snapshot_mends_what_was_lost(servers: Callable[..., SoupServer], start: Callable[..., Turned]) -> None:
    server, glimpse = servers(SESSION[:20]), servers(snapshot(SESSION, 10), ends=True)
    turned = start(server, glimpse)
    turned.reaches(20)
    before = len(turned.taken)
    glimpse.messages = snapshot(SESSION, 35)
    server.go_on(SESSION, forgotten=30)
    turned.reaches(len(SESSION))
    quotes = [one for one in turned.taken[before:] if one.schema == "quote"]
    marks = [bool(one.record[30] & BAD) for one in quotes]
    assert marks[:2] == [True, True], "doubtful from the loss on"
    assert not any(marks[2:]), "right again with the snapshot"
    assert turned.counted() == {"lost_messages": 10, "gap": 1}
    assert not turned.source._books.itch.is_bad(1)


def test_a_snapshot_that_the_server_cannot_go_on_from_is_not_fetched_without_a_pause(
    servers: Callable[..., SoupServer], start: Callable[..., Turned]
) -> None:
    server, glimpse = servers(SESSION, forgotten=30), servers(snapshot(SESSION, 10), ends=True)
    turned = start(server, glimpse)
    turned.rests(0.4)
    assert len(glimpse.logins) < 15, "each pause is twice the one before"
    turned.until(lambda: len(glimpse.logins) >= 2)
    glimpse.messages = snapshot(SESSION, 35)
    turned.reaches(len(SESSION))


def test_another_session_begins_with_empty_books(
    servers: Callable[..., SoupServer], start: Callable[..., Turned]
) -> None:
    server = servers(SESSION)
    turned = start(server)
    turned.reaches(len(SESSION))
    server.next_session("S2", SESSION[:5])
    turned.until(lambda: turned.source._session == "S2" and turned.source._frames.messages == 5)
    assert server.logins[-2:] == [("S1", 44), ("", 1)]
    assert turned.source._books.itch.resting.orders == 2
    assert turned.counted() == {"session": 1}


def test_after_the_end_of_a_session_the_next_one_is_waited_for(
    servers: Callable[..., SoupServer], start: Callable[..., Turned]
) -> None:
    server = servers(SESSION, ends=True)
    turned = start(server)
    turned.until(lambda: len(server.logins) >= 4)
    assert set(server.logins[1:]) == {("", 0)}
    count = len(turned.taken)
    server.next_session("S2", SESSION[:6])
    turned.until(lambda: turned.source._session == "S2")
    turned.reaches(6)
    assert len(turned.taken) > count
    fixed = start(servers(SESSION, ends=True), session="S1")
    fixed.until(lambda: fixed.source.finished)


def test_a_server_that_says_nothing_is_given_up(
    servers: Callable[..., SoupServer], tape: Tape, counters: Counters
) -> None:
    server = servers(SESSION, silent=True)
    now = [10**9]
    config = ItchSoupConfig(address=server.address, date=DATE, reconnect="2ms")
    source = ItchSoup("n", config, tape.sink, counters, environ=ENVIRON, monotonic=lambda: now[0])
    turned = Turned(source, tape, counters)
    turned.until(lambda: source._frames.messages == len(SESSION))
    for beats in range(1, 6):
        now[0] += 1_000_000_001
        turned.until(lambda beats=beats: server.heartbeats >= beats)  # type: ignore[misc]
    now[0] += 11_000_000_000

    def comes_again() -> bool:
        now[0] += 1_000_000
        return len(server.logins) == 2

    turned.until(comes_again)
    assert server.logins[1] == ("S1", len(SESSION) + 1)
    source.close()


def test_noise_is_counted_and_ends_in_another_connection(
    servers: Callable[..., SoupServer], start: Callable[..., Turned]
) -> None:
    server = servers(SESSION, noise=b"\0\5?abcd\0\1+\0\1?")
    turned = start(server)
    turned.reaches(len(SESSION))
    assert turned.counted() == {"unknown_packet": 2}
    broken = servers(SESSION, noise=b"\0\0")
    turned = start(broken)
    turned.until(lambda: len(broken.logins) >= 3)
    broken.noise = b""
    turned.reaches(len(SESSION))


def test_a_snapshot_that_breaks_off_says_nothing_and_comes_again(
    servers: Callable[..., SoupServer], start: Callable[..., Turned]
) -> None:
    whole = snapshot(SESSION, 20)
    server, glimpse = servers(SESSION), servers(whole, cuts=[10, 15])
    turned = start(server, glimpse)
    turned.reaches(len(SESSION))
    assert len(glimpse.logins) == 3
    assert [one.symbol for one in turned.taken if one.schema == "quote"][:2] == ["AAPL", "MSFT"]
    without = servers([*whole[:-1], b"G" + b"x" * 20])
    turned = start(server, without)
    turned.until(lambda: len(without.logins) >= 2)
    assert all(one.record[30] & BAD for one in turned.taken if one.schema == "quote")


def test_a_capture_gives_the_same_again_to_the_byte(
    servers: Callable[..., SoupServer], start: Callable[..., Turned], tape: Tape, counters: Counters, tmp_path: Path
) -> None:
    server = servers(SESSION[:30], cuts=[20], refusals=["S"])
    glimpse = servers(snapshot(SESSION, 10), cuts=[7], ends=True)
    turned = start(server, glimpse, capture=str(tmp_path / "kept"), schemas=["quote", "order", "book", "definition"])
    turned.reaches(30)
    glimpse.messages = snapshot(SESSION, 40)
    server.go_on(SESSION, forgotten=35)
    turned.reaches(len(SESSION))
    server.forgotten = 0
    server.next_session("S2", SESSION[:9])
    glimpse.messages = snapshot(SESSION, 5)
    turned.until(lambda: turned.source._session == "S2" and turned.source._frames.messages == 9)
    turned.source.close()
    again = captured(tmp_path / "kept", tape, counters)
    assert [(one.schema, one.symbol, one.record) for one in again] == [
        (one.schema, one.symbol, one.record) for one in turned.taken
    ]
    assert {"quote", "order", "book", "definition"} == {one.schema for one in again}


def test_user_and_password_stand_in_the_environment_alone(tape: Tape, counters: Counters) -> None:
    config = ItchSoupConfig(address="127.0.0.1:1")
    with pytest.raises(ConfigError, match="not a password of SoupBinTCP: expected at most 10") as caught:
        ItchSoup("n", config, tape.sink, counters, environ={"TICKCAST_N_PASSWORD": "a-long-secret"})
    assert "TICKCAST_N_PASSWORD" in str(caught.value)
    assert "a-long-secret" not in str(caught.value)
