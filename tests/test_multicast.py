"""Groups and windows: what libpgm would abort at, or reckon wrong with, never gets that far."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed import config, plan
from feed.control.directory import transports
from feed.errors import ConfigError
from feed.multicast import RATE_MAX, Group, Window, parse_group

GOOD = "epgm://eth0;239.192.1.1:5560"


def check(*sets: str) -> list[str]:
    """The faults of a feed with a PGM publisher."""
    given = ["publish.mc.kind=pgm", f"publish.mc.endpoint={GOOD}", *sets]
    return [str(error) for error in config.check(None, {}, given)]


def test_a_group_is_read_and_written() -> None:
    assert parse_group(GOOD) == Group("epgm", "eth0", "239.192.1.1", 5560)
    assert parse_group("pgm://239.192.1.1:1") == Group("pgm", "", "239.192.1.1", 1)
    for text in (GOOD, "epgm://10.0.0.1;239.192.1.1:5560", "pgm://239.192.1.1:1", "epgm://eth0.100;224.0.1.1:65535"):
        assert str(parse_group(text)) == text


@given(st.text(max_size=40) | st.from_regex(r"e?pgm://[a-z0-9;.:]{0,30}", fullmatch=True))
def test_any_other_text_is_refused_by_us(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert str(parse_group(text)) == text or ":0" in text


@pytest.mark.parametrize(
    ("endpoint", "message"),
    {
        "epgm://": "not an address of PGM",
        "epgm://eth0:5560": "not an address of PGM",
        "epgm://eth0;239.192.1.1": "not an address of PGM",
        "epgm://eth0;;239.192.1.1:5560": "not an address of PGM",
        "epgm://a;b;239.192.1.1:5560": "not an address of PGM",
        "epgm://[::1];239.192.1.1:5560": "not an address of PGM",
        "tcp://127.0.0.1:5560": "not an address of PGM",
        "epgm://eth0;239.192.1.1:0": "no such port",
        "epgm://eth0;239.192.1.1:65536": "no such port",
        "epgm://eth0;10.0.0.1:5560": "not a multicast group",
        "epgm://eth0;239.192.1.256:5560": "not a multicast group",
        "epgm://eth0;224.0.0.5:5560": "a group that is kept for routing",
    }.items(),
)
def test_what_is_wrong_with_an_endpoint(endpoint: str, message: str) -> None:
    (error,) = check(f"publish.mc.endpoint={endpoint}")
    assert message in error
    assert "publish.mc.endpoint" in error


@pytest.mark.parametrize(
    ("setting", "message"),
    {
        f"rate={RATE_MAX + 1}": "1 to 2,147,483 kbit/s",
        "rate=0": "1 to 2,147,483 kbit/s",
        "rate=-1": "1 to 2,147,483 kbit/s",
        "recovery=1ms": "10ms to 60s",
        "recovery=61s": "10ms to 60s",
        "tpdu=100": "576 to 65000",
        "hops=0": "1 (this network) to 255",
        "hops=256": "1 (this network) to 255",
        "buffer=1KiB": "64KiB to 1GiB",
    }.items(),
)
def test_what_is_wrong_with_a_window(setting: str, message: str) -> None:
    (error,) = check("publish.mc.rate=1000", f"publish.mc.{setting}")
    assert message in error
    assert f"publish.mc.{setting.partition('=')[0]}" in error


def test_the_windows_memory_is_bounded_and_shown() -> None:
    (error,) = check("publish.mc.rate=1_000_000", "publish.mc.recovery=10s")
    assert "at most 1,073,741,824 bytes, found 1,250,000,000 bytes: 1,000,000 kbit/s for 10000 ms" in error
    sets = ["publish.mc.kind=pgm", f"publish.mc.endpoint={GOOD}", "publish.mc.recovery=1s"]
    text = plan.picture(config.load(None, {}, sets))
    assert "400,000 kbit/s for 1s = 50 MB kept at each end" in text
    assert "(open to the network)" in text


@given(st.integers(1, RATE_MAX), st.integers(10, 60_000))
def test_what_is_allowed_libzmq_can_reckon_with(rate: int, recovery_ms: int) -> None:
    window = Window(rate=rate, recovery_ms=recovery_ms)
    if not list(window.faults()):
        assert rate * 1000 < 2**31  # its ints, pgm_socket.cpp
        assert window.size == rate * recovery_ms // 8 <= 1 << 30


def test_a_publisher_of_pgm_has_a_process_of_its_own() -> None:
    (error,) = check("feed.processes=one")
    assert "feed.processes: a PGM publisher is a process of its own" in error


def test_two_publishers_in_one_group_are_refused() -> None:
    twin = ["publish.other.kind=pgm", "publish.other.endpoint=epgm://10.0.0.1;239.192.1.1:5560"]
    (error,) = check(*twin)
    assert "two publishers in one group would mix" in error
    assert check(twin[0], "publish.other.endpoint=epgm://eth0;239.192.1.1:5561") == []


def test_the_directory_tells_group_and_window_and_no_interface() -> None:
    loaded = config.load(None, {}, ["publish.mc.kind=pgm", f"publish.mc.endpoint={GOOD}", "publish.mc.rate=1000"])
    told: dict[str, Any] = next(each for each in transports(loaded, {}) if each["publisher"] == "mc")
    assert told["transport"] == "epgm"
    assert told["endpoint"] == "epgm://239.192.1.1:5560"
    assert msgspec.convert(told["window"], Window) == Window(rate=1000)
