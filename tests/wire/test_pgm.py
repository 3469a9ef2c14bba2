"""Interfaces as a host has them, and what this Python can do: clear errors before libpgm is asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import zmq

from bots import Subscriber
from feed.errors import HostError
from feed.multicast import Group, Window
from feed.wire import pgm
from feed.wire.interfaces import choose, interfaces
from tests.links.hosts import FEED_ADDRESS, Hosts, hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

WHERE = "publish.mc.endpoint"
GROUP = "239.192.0.1"


@pytest.fixture(scope="module")
def net() -> Iterator[Hosts]:
    with hosts(0) as made:
        made.feed.run("ip", "link", "add", "bare", "type", "veth", "peer", "name", "down0")
        made.feed.run("ip", "address", "add", "10.98.0.1/24", "dev", "down0")
        made.feed.run("ip", "address", "add", "10.99.0.2/24", "dev", "eth0", "label", "eth0:second")
        yield made


def refused(net: Hosts, interface: str, **window: int) -> str:
    with net.feed.entered(), pytest.raises(HostError) as caught:
        pgm.here(Group("epgm", interface, GROUP, 5560), Window(**window), where=WHERE)
    assert str(caught.value).startswith(WHERE)
    return str(caught.value)


def test_an_interface_is_found_by_name_by_address_and_by_the_route(net: Hosts) -> None:
    with net.feed.entered():
        assert {each.address for each in interfaces()} == {"127.0.0.1", FEED_ADDRESS, "10.99.0.2", "10.98.0.1"}
        assert choose("eth0", GROUP).address == FEED_ADDRESS
        assert choose("10.99.0.2", GROUP).name == "eth0"
        found = choose("", GROUP)
        assert (found.name, found.address, found.mtu) == ("eth0", FEED_ADDRESS, 1500)
        assert choose("lo", GROUP, loopback=True).loopback
        assert str(pgm.here(Group("epgm", "eth0", GROUP, 5560), Window())) == f"epgm://{FEED_ADDRESS};{GROUP}:5560"


def test_what_is_wrong_with_an_interface_is_said(net: Hosts) -> None:
    assert f"no such interface; expected eth0 ({FEED_ADDRESS})" in refused(net, "eth9").replace(
        ": expected", "; expected"
    )
    assert "no such interface" in refused(net, "10.1.1.1")
    assert "an interface without an IPv4 address" in refused(net, "bare")
    assert "the interface carries no multicast" in refused(net, "lo")
    down = refused(net, "down0")
    assert "the interface is down" in down
    assert "ip link set down0 up" in down


def test_packets_that_do_not_fit_are_refused(net: Hosts) -> None:
    said = refused(net, "eth0", tpdu=1501)
    assert "do not fit" in said
    assert "at most 1500 bytes" in said
    assert "tpdu = 1501" in said


def test_without_a_route_an_interface_must_be_named(net: Hosts) -> None:
    net.feed.run("ip", "route", "del", "239.0.0.0/8")
    try:
        said = refused(net, "")
        assert f"no way to the group {GROUP}" in said
        assert "ip route add 239.0.0.0/8" in said
        with net.feed.entered():
            assert choose("eth0", GROUP).address == FEED_ADDRESS
    finally:
        net.feed.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth0")


def test_a_pyzmq_without_pgm_is_told_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "has", lambda _: False)
    with pytest.raises(HostError, match=r"epgm needs a pyzmq that has PGM.*make pgm.*\.venv-pgm/bin/feed"):
        pgm.require(Group("epgm", "eth0", GROUP, 5560), where=WHERE)
    with pytest.raises(HostError, match=r"transport: epgm needs a pyzmq that has PGM.*\.venv-pgm/bin/bots"):
        Subscriber("AAPL", transport="epgm")


def test_a_bots_interface_is_looked_for_at_once() -> None:
    with pytest.raises(HostError, match="interface: no such interface"):
        Subscriber("AAPL", interface="eth99")


def test_pgm_without_udp_needs_raw_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import zmq; zmq.has = lambda _: True\n"
        "from feed.wire import pgm\n"
        f"pgm.require(pgm.Group('pgm', 'eth0', '{GROUP}', 7500), where='{WHERE}')\n"
    )
    assert shutil.which("setpriv"), "setpriv is part of util-linux"
    confined = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable, "-c", script]
    done = subprocess.run(confined, capture_output=True, text=True, check=False)
    assert f"{WHERE}: pgm:// needs raw sockets, which this process may not have" in done.stderr
    assert "CAP_NET_RAW" in done.stderr
