"""Endpoints, and who has a port, over real sockets."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from feed import ports
from feed.errors import AddressInUse, ConfigError, HostError
from feed.ports import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp://127.0.0.1:5551", Endpoint("tcp", "127.0.0.1", 5551)),
        ("tcp://*:0", Endpoint("tcp", "*", 0)),
        ("tcp://[::1]:80", Endpoint("tcp", "::1", 80)),
        ("tcp://feed-1.example:80", Endpoint("tcp", "feed-1.example", 80)),
        ("ipc:///run/x", Endpoint("ipc", path="/run/x")),
        ("ipc://@name", Endpoint("ipc", path="@name")),
    ],
)
def test_endpoints_are_read_and_written(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text", ["", "x", "tcp://", "tcp://:1", "tcp://a:b", "tcp://a:-1", "tcp://a b:1", "udp://a:1", "ipc://"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"publish\.x.endpoint: .*expected"):
        parse_endpoint(text, where="publish.x.endpoint")


def test_loopback() -> None:
    for text in ("tcp://127.0.0.1:1", "tcp://127.3.2.1:1", "tcp://[::1]:1", "tcp://localhost:1", "ipc:///x"):
        assert parse_endpoint(text).loopback
    for text in ("tcp://*:1", "tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://10.0.0.1:1", "tcp://eth0:1"):
        assert not parse_endpoint(text).loopback


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", True),
        ("tcp://localhost:1", "tcp://127.0.0.1:1", True),
        ("tcp://127.0.0.1:1", "tcp://*:1", True),
        ("tcp://0.0.0.0:1", "tcp://10.0.0.1:1", True),
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", False),
        ("tcp://127.0.0.1:1", "tcp://127.0.0.2:1", False),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", False),
        ("ipc:///x", "ipc:///x", True),
        ("ipc:///x", "ipc:///y", False),
        ("ipc:///x", "tcp://127.0.0.1:1", False),
    ],
)
def test_overlap(one: str, other: str, overlap: bool) -> None:
    assert parse_endpoint(one).overlaps(parse_endpoint(other)) is overlap
    assert parse_endpoint(other).overlaps(parse_endpoint(one)) is overlap


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_holder_of_a_port_is_named(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as server:
        try:
            server.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
        port = server.getsockname()[1]
        assert ports.holder(host, port) is None, "bound is not listening"
        server.listen()
        mine = f"{Path('/proc/self/comm').read_text().strip()} (process {os.getpid()})"
        assert ports.holder(host, port) == mine
        assert ports.holder("*", port) == mine
        error = ports.bind_error(Endpoint("tcp", host, port), errno.EADDRINUSE, where="control.endpoint")
    assert ports.holder(host, port) is None
    assert isinstance(error, AddressInUse)
    assert f"process {os.getpid()}" in str(error)
    assert "--set control.endpoint=" in str(error)


def test_a_port_on_another_address_is_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.2", 0))
        server.listen()
        port = server.getsockname()[1]
        assert ports.holder("127.0.0.1", port) is None
        assert ports.holder("0.0.0.0", port) is not None


def test_other_errors_of_binding_keep_their_reason() -> None:
    error = ports.bind_error(Endpoint("tcp", "192.0.2.1", 1), errno.EADDRNOTAVAIL, where="publish.tcp.endpoint")
    assert type(error) is HostError
    assert "Cannot assign requested address" in str(error)


def test_a_living_unix_socket_is_not_bound_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    ports.refuse_taken(Endpoint("ipc", path=str(path)), where="x")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        ports.refuse_taken(Endpoint("ipc", path=str(path)), where="x")  # nobody listens: left by a crash
        server.listen()
        with pytest.raises(AddressInUse, match=rf"is taken.*process {os.getpid()}\."):
            ports.refuse_taken(Endpoint("ipc", path=str(path)), where="x")
    ports.refuse_taken(Endpoint("tcp", "127.0.0.1", 1), where="x")
