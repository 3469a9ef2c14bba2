"""`feed doctor` on the host that runs the tests: as a process, its JSON, its table; and what asks the kernel."""

from __future__ import annotations

import io
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from feed.doctor import Finding, Host, examine, show
from feed.doctor.finding import listed, size
from feed.doctor.host import processors
from feed.ports import Endpoint
from tests.doctor.hosts import made_up


class Report(msgspec.Struct, forbid_unknown_fields=True):
    """What --json prints."""

    fit: bool
    findings: list[Finding]


def doctor(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    ports = [f"--set={key}={value}" for key, value in (("control.endpoint", "tcp://127.0.0.1:0"), ("log.root", root))]
    free = [
        "--set=monitor.endpoint=127.0.0.1:0",
        "--set=publish.tcp.endpoint=tcp://127.0.0.1:0",
        "--set=log.bytes=1MiB",
    ]
    command = [sys.executable, "-m", "feed", "doctor", *ports, *free, *args]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"COLUMNS": "60"}
    )


def test_json_of_this_host(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--json")
    report = msgspec.json.decode(done.stdout, type=Report)
    assert done.stderr == ""
    assert done.returncode == (0 if report.fit else 1)
    assert [(each.subject, each.check) for each in report.findings] == [
        (each.subject, each.check) for each in examine(made_up(tmp_path))
    ]
    addresses = next(each for each in report.findings if each.check == "addresses")
    assert addresses.status == "ok", addresses


def test_a_taken_address_is_broken_and_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = doctor(tmp_path, f"--set=control.endpoint=tcp://127.0.0.1:{port}")
    assert done.returncode == 1, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert f"BROKEN addresses: tcp://127.0.0.1:{port} (control.endpoint): held by" in said
    assert f"(process {os.getpid()})" in said
    assert "$ feed run --set control.endpoint=" in said


def test_a_wrong_configuration_is_an_error(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--set=log.bytes=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "log.bytes" in done.stderr


@pytest.mark.parametrize("width", [30, 60, 120])
def test_the_table_fits_any_terminal(tmp_path: Path, width: int) -> None:
    limits = {resource.RLIMIT_NOFILE: (64, 64)}
    findings = examine(made_up(tmp_path, {"proc/swaps": None}, limits=limits))
    out = io.StringIO()
    Console(file=out, width=width).print(show(findings))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    text = "".join(line[7:].strip() for line in lines).replace(" ", "")
    for each in findings:
        assert f"{each.check}:{each.found}".replace(" ", "") in text
        assert (each.why.replace(" ", "") in text) == (each.status != "ok")
    assert "1broken,1couldnotberead" in out.getvalue().replace(" ", "").replace("\n", "")
    assert "BROKEN" in out.getvalue()


def test_an_address_is_probed_as_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "*"):
            assert f"(process {os.getpid()})" in (Host().taken(Endpoint("tcp", host, port)) or "")
    assert Host().taken(Endpoint("tcp", "127.0.0.1", port)) is None
    assert Host().taken(Endpoint("tcp", "192.0.2.1", port)) == "Cannot assign requested address"
    assert Host().taken(Endpoint("tcp", "no.such.interface.invalid", port)) is None


def test_a_unix_socket_is_probed(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        assert f"process {os.getpid()}" in (Host().taken(Endpoint("ipc", path=path)) or "")
    assert Host().taken(Endpoint("ipc", path=path)) is None


def test_a_program_that_fails_or_is_not_there() -> None:
    assert Host().run(["echo", "a"]) == "a\n"
    with pytest.raises(FileNotFoundError):
        Host().run(["no-such-program-here"])
    with pytest.raises(OSError, match="506 Cannot talk"):
        Host().run(["sh", "-c", "echo 506 Cannot talk to daemon; exit 1"])


@pytest.mark.parametrize(("text", "found"), [("", set()), ("0", {0}), ("0-3,8", {0, 1, 2, 3, 8}), ("1,3", {1, 3})])
def test_lists_of_processors(text: str, found: set[int]) -> None:
    assert processors(text) == found
    assert listed(found) == (text or "none")


@pytest.mark.parametrize(
    ("nbytes", "text"), [(0, "0 bytes"), (212_992, "208 KiB"), (1 << 30, "1 GiB"), (3 << 39, "1.5 TiB")]
)
def test_sizes(nbytes: int, text: str) -> None:
    assert size(nbytes) == text
