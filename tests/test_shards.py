"""Addresses of our own multicast, and which shard a symbol is in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import ConfigError
from feed.shards import Line, MoldAddress, Shards, parse_line, parse_mold
from feed.wire.topics import Pattern

SYMBOLS = st.text(st.sampled_from("ABE.S1 &%+"), min_size=1, max_size=5)
PATTERNS = st.tuples(SYMBOLS, st.booleans()).map(lambda each: Pattern(each[0] + "*" * each[1]))


@pytest.mark.parametrize(
    "text",
    [
        "mold://239.192.7.1:5560",
        "mold://eth0;239.192.7.1:5560",
        "mold://127.0.0.1;239.192.7.1:5560,127.0.0.1;239.192.8.1:5560?shards=4&requests=127.0.0.1:5561",
        "mold://239.192.7.1:5560?list=AAPL,MSFT&list=ES*&requests=*:5561",
    ],
)
def test_an_address_is_read_as_it_is_written(text: str) -> None:
    assert str(parse_mold(text)) == text


@given(st.lists(st.lists(PATTERNS, min_size=1, max_size=3), max_size=3), st.integers(1, 9))
def test_lists_travel_in_an_address(lists: list[list[Pattern]], count: int) -> None:
    named = tuple(tuple(each.text for each in patterns) for patterns in lists)
    shards = Shards(len(lists) + 1 if lists else count, named)
    address = MoldAddress((Line("", "239.192.7.1", 5560),), shards, "")
    assert parse_mold(str(address)) == address


def test_a_symbols_shard_is_the_same_everywhere_and_always() -> None:
    assert [Shards(4).of(symbol) for symbol in ("AAPL", "MSFT", "ESU4", "BRK.B", "QQQ")] == [0, 3, 2, 0, 2]
    lists = Shards(3, (("AAPL", "M*"), ("ES*", "MSFT")))
    assert [lists.of(symbol) for symbol in ("AAPL", "MSFT", "ESU4", "QQQ", "AAPLW")] == [0, 0, 1, 2, 2]


@given(st.lists(PATTERNS, min_size=1, max_size=4), st.lists(st.lists(PATTERNS, max_size=3), max_size=3), SYMBOLS)
def test_whoever_wants_a_symbol_joins_its_shard(wanted: list[Pattern], lists: list[list[Pattern]], symbol: str) -> None:
    named = tuple(tuple(each.text for each in patterns) for patterns in lists)
    shards = Shards(len(lists) + 1 if lists else 5, named)
    if any(pattern.matches(symbol) for pattern in wanted):
        assert shards.of(symbol) in shards.of_patterns(each.text for each in wanted)


def test_only_the_groups_of_its_symbols() -> None:
    assert Shards(4).of_patterns(["AAPL", "ESU4"]) == [0, 2]
    assert Shards(4).of_patterns(["A*"]) == [0, 1, 2, 3]
    assert Shards(3, (("AAPL",), ("ES*",))).of_patterns(["ESU4"]) == [1]
    assert Shards(3, (("AAPL",), ("ES*",))).of_patterns(["A*"]) == [0, 2]
    assert Line("", "239.192.7.254", 1).shard(3) == "239.192.8.1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tcp://127.0.0.1:1", "not an address of mold"),
        ("mold://10.0.0.1:5560", "not a multicast group"),
        ("mold://300.0.0.1:5560", "not a multicast group"),
        ("mold://224.0.0.5:5560", "kept for routing"),
        ("mold://239.192.7.1", "not a multicast line"),
        ("mold://239.192.7.1:0", "no such port"),
        ("mold://239.192.7.1:70000", "no such port"),
        ("mold://239.192.7.1:1,239.192.7.1:1", "not the lines of one feed"),
        ("mold://239.192.7.1:1,239.192.8.1:1,239.192.9.1:1", "not the lines of one feed"),
        ("mold://239.255.255.255:1?shards=2", "not a multicast group"),
        ("mold://239.192.7.1:1?shards=0", "not a number of shards"),
        ("mold://239.192.7.1:1?shards=65", "not a number of shards"),
        ("mold://239.192.7.1:1?list=A%7C", "not a symbol for a list"),
        ("mold://239.192.7.1:1?requests=x", "not an address of mold"),
        ("mold://239.192.7.1:1?unknown=1", "not an address of mold"),
    ],
)
def test_what_is_no_address_says_why(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_mold(text, where="endpoint")


def test_other_interfaces() -> None:
    address = parse_mold("mold://239.192.7.1:1,239.192.8.1:1")
    assert str(address.over(["eth1"])) == "mold://eth1;239.192.7.1:1,eth1;239.192.8.1:1"
    assert str(address.over(["eth1", "eth2"])) == "mold://eth1;239.192.7.1:1,eth2;239.192.8.1:1"
    assert not address.loopback
    assert address.over(["lo", "127.0.0.1"]).loopback
    with pytest.raises(ConfigError, match="as many interfaces"):
        address.over(["a", "b", "c"])
    assert parse_line("eth0;239.192.7.1:9") == Line("eth0", "239.192.7.1", 9)
