"""The real feed that a measurement runs on: ``feed run`` or ``feed replay``, with a name and addresses of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bots.directory import ControlClient
from feed.bench.children import python
from feed.bench.loops import die_with_parent
from feed.clock import now_ns
from feed.errors import HostError
from feed.log.observer import log_figures
from feed.metrics.counters import Counters
from feed.monitor import stat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from feed.bench.children import Children
    from feed.log.observer import LogFigures

__all__ = ["Daemon", "rss_bytes", "until"]

_START_S = 60.0
_END_S = 20.0
"""An archive that is behind may take its time."""

_LOOK_S = 0.005


class Daemon:
    """Starts at once; `settings` are keys of the configuration, such as {"source.sim.rate": 5}.

    :param command: words behind ``feed``, "run" or "replay" and its options.

    :ivar address: its control address.
    :ivar directory: where its log is.
    """

    def __init__(
        self,
        children: Children,
        log_bytes: int,
        settings: Mapping[str, Any],
        *,
        command: tuple[str, ...] = ("run",),
        name: str = "bench",
    ) -> None:
        self.directory = children.work / name
        self._ports = [_Port() for _ in range(2)]
        self.address, tcp = (f"tcp://127.0.0.1:{port.number}" for port in self._ports)
        config = children.work / f"{name}.toml"
        config.write_text(
            _toml(
                {
                    "feed.name": name,
                    "log.root": str(children.work),
                    "log.bytes": f"{log_bytes}B",
                    "publish.tcp.kind": "zmq",
                    "publish.tcp.endpoint": tcp,
                    "control.endpoint": self.address,
                    "monitor.endpoint": "",
                    **settings,
                }
            )
        )
        where = ("--config", str(config)) if command[0] == "replay" else (str(config),)
        words = [*command, *where, "--log-level", "warning"]
        self._child = children.start(name, [*python("feed.bench.recovery.daemon"), *words], term_s=_END_S)

    def __enter__(self) -> Self:
        """Returns when every agent turns. :raises HostError: it does not come up, with its last words."""
        self.until((self.directory / "endpoints" / "control").exists, "to have an address")
        self.until(lambda: all(each["state"] == "up" for each in self.agents()), "to come up")
        return self

    def __exit__(self, *exc: object) -> None:
        """The children's end is the feed's; addresses are free from here on."""
        for port in self._ports:
            port.close()

    def end(self) -> None:
        """End it now; Ctrl-C and errors end it with the other children."""
        self._child.end()

    def until(self, condition: Callable[[], object], what: str, within_s: float = _START_S) -> None:
        """Wait. :raises HostError: it takes too long, or the feed has ended meanwhile."""
        until(condition, f"the feed {what}", within_s, self._child.require)

    def let_go(self) -> None:
        """Let sources begin that wait for a bot (feed.wait_bots = 1), now that all agents turn."""
        bot = {"name": "bench", "pid": os.getpid(), "host": socket.gethostname(), "transport": "tcp"}
        client = ControlClient(self.address)
        try:
            client.ask("stats", _START_S, bot=bot)
        finally:
            client.close()

    def agents(self) -> list[dict[str, Any]]:
        """The rows of ``feed stat``."""
        agents: list[dict[str, Any]] = stat.snapshot(self.directory)["agents"]
        return agents

    def pid(self, agent: str) -> int:
        """The process in which an agent runs."""
        return next(int(each["pid"]) for each in self.agents() if each["agent"] == agent)

    def kill(self, agent: str) -> int:
        """kill -9; gives when that was, ns since 1970."""
        pid, now = self.pid(agent), now_ns()
        os.kill(pid, signal.SIGKILL)
        return now

    def until_again(self, agent: str, killed_ns: int) -> None:
        """Until an agent that was killed then turns again."""

        def turns() -> bool:
            (found,) = (each for each in self.agents() if each["agent"] == agent)
            age_ns = found["heartbeat_age_ns"]
            return found["state"] == "up" and age_ns is not None and now_ns() - age_ns > killed_ns

        self.until(turns, f"to have {agent} again")

    def figure(self, name: str) -> int:
        """A metric's value, all its labels together."""
        counters = Counters.open(self.directory, writable=False)
        try:
            return sum(row.value for row in counters.rows() if row.name == name)
        finally:
            counters.close()

    def archived(self, ticks: int) -> bool:
        """Has its log so many ticks, and its archive taken all there are?"""
        log = self.log()
        return log.next_seq > ticks and any(each.lag_bytes == 0 for each in log.readers if each.name == "archive")

    def log(self) -> LogFigures:
        """:raises HostError: it has no log."""
        figures = log_figures(self.directory)
        if figures is None:
            raise HostError("the feed has no log", where=str(self.directory))
        return figures


def until(
    condition: Callable[[], object], what: str, within_s: float, check: Callable[[], None] = lambda: None
) -> None:
    """Look again and again. :raises HostError: it takes too long; `check` may raise too."""
    deadline = time.monotonic() + within_s
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise HostError(f"waited in vain for {what}", expected=f"within {within_s:.0f} s")
        time.sleep(_LOOK_S)


def rss_bytes(pid: int) -> int:
    """Memory that a process has in use (proc(5), /proc/pid/statm, field 2)."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGESIZE")


class _Port:
    """A port that the kernel chose, and gives to nobody else while this is open, not even between two owners of it."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        # Bound and not listening: whoever sets SO_REUSEADDR too, as libzmq does, may bind it and listen.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


def _toml(settings: Mapping[str, Any]) -> str:
    """Each key as a dotted one; what JSON writes of strings, numbers, booleans and lists of them is TOML."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def main() -> None:
    """Become the feed, which ends with whoever started it, however that ends (prctl(2) outlives execve(2))."""
    die_with_parent(signal.SIGTERM)
    os.execv(sys.executable, [sys.executable, "-m", "feed", *sys.argv[1:]])


if __name__ == "__main__":
    main()
