"""The units: systemd finds nothing wrong with them, and what they forbid the feed and its bots do without."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feed.cli import app
from feed.service import Service
from tests.deploy import confined
from tests.e2e import processes
from tests.e2e.processes import REPOSITORY, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = REPOSITORY / "deploy" / "systemd"
CONFINED = Path(confined.__file__)
EXPOSURE = 25
"""Of 100: what `systemd-analyze security` may find at most; a service that forbids nothing has 96."""


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(processes.WAIT_S)
        yield listening


def heard(listening: socket.socket) -> list[str]:
    """What came so far."""
    found = []
    listening.setblocking(False)
    try:
        while True:
            found.append(listening.recv(100).decode())
    except BlockingIOError:
        return found
    finally:
        listening.settimeout(processes.WAIT_S)


@pytest.mark.parametrize("name", ["tickcast@.service", "tickcast-bot@.service"])
def test_systemd_finds_nothing_wrong_and_little_exposed(name: str, tmp_path: Path) -> None:
    text = (UNITS / name).read_text()
    instance = tmp_path / name.replace("@", "@test")
    instance.write_text(text.replace("/opt/tickcast/current/bin", str(Path(sys.executable).parent)))
    command = ["systemd-analyze", "verify", "--man=no", str(instance)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(instance)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


def test_users_and_folders_are_as_systemd_reads_them(tmp_path: Path) -> None:
    for tool, name in (("sysusers", "tickcast.sysusers"), ("tmpfiles", "tickcast.tmpfiles")):
        shutil.copy(UNITS / name, tmp_path / "tickcast.conf")
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True, exist_ok=True)
        extra = ["--create"] if tool == "tmpfiles" else []
        done = subprocess.run(
            [f"systemd-{tool}", f"--root={root}", *extra, str(tmp_path / "tickcast.conf")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if os.geteuid() == 0:
            assert done.returncode == 0, done.stderr
    if os.geteuid() == 0:
        groups = (root / "etc" / "group").read_text()
        assert re.search(r"^tickcast:x:\d+:tickcast-bot$", groups, re.M)
        assert (root / "dev" / "shm" / "tickcast").is_dir()


def test_the_units_name_what_there_is() -> None:
    feed = confined.settings(UNITS / "tickcast@.service")
    bot = confined.settings(UNITS / "tickcast-bot@.service")
    assert feed["ExecStart"] == ["/opt/tickcast/current/bin/feed run /etc/tickcast/%i.toml"]
    assert "run" in {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert bot["ExecStart"][0].startswith("/opt/tickcast/current/bin/bots run ${BOT} --symbols ${SYMBOLS}")
    example = dict(
        line.split("=", 1) for line in (UNITS / "example.env").read_text().splitlines() if not line.startswith("#")
    )
    assert set(re.findall(r"\$\{?([A-Z]+)", bot["ExecStart"][0])) == set(example)
    users = (UNITS / "tickcast.sysusers").read_text()
    for unit in (feed, bot):
        assert f"u {unit['User'][0]} " in f"{users.replace('     ', ' ')}"
        assert unit["RemoveIPC"] == ["no"]


def test_the_feed_and_a_bot_do_without_what_the_units_forbid(told: socket.socket) -> None:
    with processes.stage() as stage:
        args = stage.feed_args(
            archive__path=stage.temporary / "archive", source__sim__rate=2000, publish__ipc__kind="zmq"
        )
        within = (sys.executable, str(CONFINED), str(UNITS / "tickcast@.service"))
        environment = {"NOTIFY_SOCKET": str(told.getsockname()), "WATCHDOG_USEC": "400000"}
        feed = stage.up(stage.within(within, *args, **environment))
        assert told.recv(100) == b"READY=1"
        assert told.recv(100) == b"WATCHDOG=1"
        status = Path(f"/proc/{stage.agent('ingest')['pid']}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert os.geteuid() != 0 or "CapEff:\t0000000000000000" in status
        collector = processes.COLLECTOR
        within = (sys.executable, str(CONFINED), str(UNITS / "tickcast-bot@.service"))
        bots = []
        for transport in ("shm", "tcp", "ipc"):
            to = stage.temporary / transport
            words = [
                "bots", "run", collector, "--symbols", "*", "--transport", transport, "--name", transport,
                "--durable", transport, "--feed", stage.address, "--slow", "fill",
            ]  # fmt: skip
            process = stage.within(within, *words, COLLECT_TO=str(to))
            bots.append(processes.Bot(process, transport, transport, to))
        for bot in bots:
            bot.reaches(500)
        stage.run("feed", "stat", "--json", "--interval", "0.2")
        assert all(agent["restarts"] == 0 for agent in stage.stat()["agents"])
        for bot in bots:
            assert bot.process.end(signal.SIGTERM) == 0, bot.process.said
            assert bot.collected.gaps == []
        assert "WATCHDOG=1" in heard(told)  # it takes a few only, until they are read
        assert feed.end(signal.SIGTERM) == 0, feed.said
        assert "refused" not in feed.said
        assert "STOPPING=1" in heard(told)
        assert stage.left() == []


def test_a_feed_that_lets_no_tick_pass_gives_no_sign_of_life(told: socket.socket) -> None:
    with processes.stage() as stage:
        settings = {"NOTIFY_SOCKET": str(told.getsockname()), "WATCHDOG_USEC": "400000"}
        feed = stage.up(stage.start(*stage.feed_args(source__sim__rate=100), **settings))
        assert told.recv(100) == b"READY=1"
        control, publisher = (stage.agent(name)["pid"] for name in ("control", "publish.tcp"))
        for pid in (control, publisher):
            os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: {stage.agent(n)["state"] for n in ("control", "publish.tcp")} == {"stuck"}, "both to be stuck")
        time.sleep(0.2)
        heard(told)
        time.sleep(0.6)
        assert heard(told) == []
        os.kill(publisher, signal.SIGCONT)
        wait_for(lambda: heard(told) != [], "signs of life without control")
        os.kill(control, signal.SIGCONT)
        assert feed.end(signal.SIGTERM) == 0, feed.said


def test_nothing_is_said_where_nobody_asks(told: socket.socket) -> None:
    at = str(told.getsockname())
    for environment in ({}, {"NOTIFY_SOCKET": "/no/such"}, {"WATCHDOG_USEC": "1000"}):
        service = Service(environment)
        service.look(lambda: True, lambda: True)
        service.stopping()
    somebody_else = Service({"NOTIFY_SOCKET": at, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    somebody_else.look(lambda: True, lambda: True)
    assert heard(told) == ["READY=1"]


def test_signs_of_life_come_four_times_as_often_as_they_must(told: socket.socket) -> None:
    now = [0]
    turns = [False]
    service = Service({"NOTIFY_SOCKET": str(told.getsockname()), "WATCHDOG_USEC": "4000000"}, lambda: now[0])
    service.look(lambda: False, lambda: True)
    assert heard(told) == []
    service.look(lambda: True, lambda: turns[0])
    assert heard(told) == ["READY=1"]
    turns[0] = True
    for step in range(40):
        now[0] = step * 10**8
        service.look(lambda: True, lambda: turns[0])
    assert heard(told) == ["WATCHDOG=1"] * 3
