"""The control address as a bot sees it, against a real control agent and against none."""

from __future__ import annotations

import time

import pytest

from bots.directory import ControlClient
from feed.errors import ControlError
from feed.wire.records import BY_WORD

from .conftest import PATIENCE_S, WholeFeed


def test_the_directory_names_the_feed_and_its_transports(whole: WholeFeed) -> None:
    whole.start()
    client = ControlClient(whole.address)
    try:
        directory = client.directory(PATIENCE_S)
        assert directory.feed == whole.config.feed.name
        assert directory.epoch == whole.writer.epoch
        tcp = directory.find("tcp")
        assert tcp is not None
        assert tcp.endpoint == whole.config.publish["tcp"].endpoint
        assert directory.find("pigeon") is None
    finally:
        client.close()


def test_asking_without_waiting(whole: WholeFeed) -> None:
    client = ControlClient(whole.address)
    try:
        with pytest.raises(ControlError, match="no feed answers"):
            client.directory_soon(0.1)
        whole.start()
        directory, deadline = None, time.monotonic() + PATIENCE_S
        while directory is None:
            assert time.monotonic() < deadline
            try:
                directory = client.directory_soon(1)
            except ControlError:
                time.sleep(0.05)  # not connected again yet
        assert directory.epoch == whole.writer.epoch
    finally:
        client.close()


def test_a_refusal_is_an_error(whole: WholeFeed) -> None:
    whole.start()
    client = ControlClient(whole.address)
    try:
        with pytest.raises(ControlError, match="not served by this feed"):
            client.ask("dinner", PATIENCE_S)
        number = client.report({"name": "a bot without a transport"})
        deadline = time.monotonic() + PATIENCE_S
        while whole.control.refused < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert number is not None
        assert client.reported() is None
    finally:
        client.close()


def test_one_report_at_a_time(whole: WholeFeed) -> None:
    whole.start()
    client = ControlClient(whole.address)
    try:
        client.directory(PATIENCE_S)
        bot = {"name": "a", "pid": 1, "host": "h", "transport": "tcp", "ticks": 3}
        first = client.report(bot)
        assert first is not None
        deadline = time.monotonic() + PATIENCE_S
        done = None
        while done is None:
            assert time.monotonic() < deadline
            assert client.report(bot) is None, "the first is not answered yet"
            done = client.reported()
        assert done == first
        assert client.reported() is None
        assert client.report(bot) not in (None, first)
    finally:
        client.close()


def test_a_star_is_the_host_of_the_control_address() -> None:
    for feed, endpoint, reached in [
        ("tcp://10.0.0.7:5550", "tcp://*:5551", "tcp://10.0.0.7:5551"),
        ("tcp://[::1]:5550", "tcp://*:5551", "tcp://[::1]:5551"),
        ("tcp://10.0.0.7:5550", "tcp://10.0.0.8:5551", "tcp://10.0.0.8:5551"),
        ("tcp://10.0.0.7:5550", "ipc:///tmp/x", "ipc:///tmp/x"),
    ]:
        client = ControlClient(feed)
        assert client.reach(endpoint) == reached
        client.close()


def test_where_the_numbering_of_each_topic_stands(whole: WholeFeed) -> None:
    whole.start()
    whole.send("quote.AAPL", "trade.AAPL", "quote.AAPL", "quote.MSFT", "trade.IBM", "quote.AA")
    client = ControlClient(whole.address)
    quote, trade = BY_WORD["quote"].id, BY_WORD["trade"].id
    try:
        epoch, due = client.due(["AA*", "IBM", "NONE"], PATIENCE_S)
        assert epoch == whole.writer.epoch
        assert due == {(quote, "AAPL"): 3, (trade, "AAPL"): 2, (trade, "IBM"): 2, (quote, "AA"): 2}
        assert client.due(["*"], PATIENCE_S)[1] == {**due, (quote, "MSFT"): 2}
    finally:
        client.close()
