"""What the feed tells about itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed import config
from feed.control.directory import CHUNK, SymbolIndex, directory_answer, transports
from feed.errors import ControlError


def index_of(*symbols: str) -> SymbolIndex:
    index = SymbolIndex()
    for topic_id, symbol in enumerate(symbols):
        index.add("quote", symbol, topic_id)
    return index


def walk(index: SymbolIndex, pattern: str) -> list[str]:
    """All chunks of one question."""
    found: list[str] = []
    start: int | None = 0
    while start is not None:
        answer = index.answer({"pattern": pattern, "from": start})
        assert len(answer["symbols"]) == len(answer["schemas"]) <= CHUNK
        assert answer["next"] is None or answer["next"] > start
        found += answer["symbols"]
        start = answer["next"]
    return found


def test_a_symbol_stands_once_with_all_its_schemas() -> None:
    index = index_of("AAPL", "MSFT")
    index.add("trade", "AAPL", 2)
    assert index.answer({}) == {"symbols": ["AAPL", "MSFT"], "schemas": [["quote", "trade"], ["quote"]], "next": None}
    assert len(index) == 2


def test_retired_topics_are_not_told_of() -> None:
    index = index_of("AAPL", "MSFT", "IBM")
    index.add("trade", "AAPL", 3)
    assert index.answer({}, {0, 1}.__contains__) == {
        "symbols": ["AAPL", "IBM"],
        "schemas": [["trade"], ["quote"]],
        "next": None,
    }
    assert index.answer({"pattern": "MSFT"}, {0, 1}.__contains__)["symbols"] == []
    assert index.answer({"pattern": "AAPL"}, {0, 1}.__contains__)["schemas"] == [["trade"]]


def test_patterns() -> None:
    index = index_of("ESU4", "ESZ4", "NQU4")
    assert walk(index, "ES*") == ["ESU4", "ESZ4"]
    assert walk(index, "*") == ["ESU4", "ESZ4", "NQU4"]
    assert walk(index, "NQU4") == ["NQU4"]
    assert walk(index, "NQ") == []


@settings(deadline=None)
@given(st.integers(0, 3 * CHUNK), st.integers(1, 7))
def test_chunks_together_are_everything_once(count: int, every: int) -> None:
    names = [f"{'A' if i % every else 'B'}{i}" for i in range(count)]
    index = index_of(*names)
    assert walk(index, "*") == names
    assert walk(index, "B*") == names[::every]


def test_a_rare_symbol_among_many_takes_more_than_one_answer() -> None:
    index = index_of(*(f"A{i}" for i in range(45_000)), "Z")
    first = index.answer({"pattern": "Z*"})
    assert (first["symbols"], first["next"]) == ([], 20_000)
    assert walk(index, "Z*") == ["Z"]


@pytest.mark.parametrize(
    "request_", [{"pattern": 5}, {"pattern": "a|b"}, {"pattern": ""}, {"from": -1}, {"from": "0"}, {"from": True}]
)
def test_what_is_no_question(request_: dict[str, object]) -> None:
    with pytest.raises(ControlError):
        index_of("A").answer(request_)


def test_a_start_behind_the_end_finds_nothing() -> None:
    assert index_of("A").answer({"from": 10**15})["symbols"] == []


def test_the_directory_has_what_a_bot_needs() -> None:
    loaded = config.load(None, {"TICKCAST_LOG_ROOT": "/x"}, ["publish.ipc.heartbeat=250ms"])
    answer = directory_answer(
        loaded, {"tcp": "tcp://127.0.0.1:7"}, version="1", pid=2, boot_id="b", epoch=3, next_seq=4, symbols=5
    )
    assert answer["heartbeat_ns"] == 250_000_000
    assert answer["log_path"] == "/x/main"
    assert {key: answer[key] for key in ("feed", "version", "pid", "boot_id", "epoch", "next_seq", "symbols")} == {
        "feed": "main", "version": "1", "pid": 2, "boot_id": "b", "epoch": 3, "next_seq": 4, "symbols": 5
    }  # fmt: skip
    assert [(each["publisher"], each["transport"], each["endpoint"]) for each in answer["transports"]] == [
        ("tcp", "tcp", "tcp://127.0.0.1:7"),
        ("ipc", "ipc", "ipc:///x/main/ipc"),
    ]
    assert (answer["archive"], answer["alive_age_ns"]) == (None, None)


def test_the_directory_tells_of_archive_and_life() -> None:
    loaded = config.load(None, {}, ["archive.path=/data"])
    told = {"version": "1", "pid": 2, "boot_id": "b", "epoch": 3, "next_seq": 4, "symbols": 5}
    answer = directory_answer(loaded, {}, **told, alive_ns=7, now_ns=10, durable_seq=3)
    assert (answer["archive"], answer["alive_age_ns"]) == ({"path": "/data/main", "durable_seq": 3}, 3)
    assert directory_answer(loaded, {}, **told, alive_ns=10, now_ns=7)["alive_age_ns"] == 0


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "[::]"])
def test_all_interfaces_are_told_as_a_star(host: str) -> None:
    loaded = config.load(None, {}, [f"publish.tcp.endpoint=tcp://{host}:7", f"publish.tcp.firehose=tcp://{host}:8"])
    tcp = transports(loaded, {})[0]
    assert (tcp["endpoint"], tcp["firehose"]) == ("tcp://*:7", "tcp://*:8")
