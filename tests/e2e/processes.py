"""A feed and its bots as a user runs them: processes with ports and a root in shared memory of their own."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from feed.log.reader import LogReader
from feed.monitor import stat
from feed.wire.frames import FLAG_REPLAYED
from feed.wire.topics import topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
COLLECTOR = Path(__file__).with_name("collector.py")
WAIT_S = 60.0
"""For anything that does not come at once; only a failure takes so long."""

RECORD = 0
"""Kind of a log frame that holds a record, TC_KIND_RECORD."""

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: object = "it", seconds: float = WAIT_S) -> T:
    """Poll until `condition()` is true; gives what it gave. `what` is called, or shown, should it never be."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what() if callable(what) else what}")
        time.sleep(0.02)
    return found


def free_port() -> int:
    """A port that nobody has, no other test process gives, and the kernel gives nobody by itself.

    From the range for outgoing connections it could go to anybody before the feed has it, or even to the bot that tries
    to connect to it: a socket may connect to itself.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.randrange(max(1024, first - 12_000) + worker, first, workers)
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port


_given: set[int] = set()


def alive(pid: int) -> bool:
    """Does a process of this id run? A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


@dataclass
class Process:
    """A command of ours with its output in files."""

    args: list[str]
    env: dict[str, str]
    output: Path
    within: tuple[str, ...] = ()
    """A command that runs it."""
    popen: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.output.open("wb") as out:
            self.popen = subprocess.Popen(
                [*self.within, sys.executable, "-m", *self.args],
                cwd=REPOSITORY,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def said(self) -> str:
        """All it has printed so far, stdout and stderr together."""
        return self.output.read_text(errors="replace")

    def says(self, text: str) -> str:
        """Wait until it has printed `text`; gives all that it printed."""
        wait_for(lambda: text in self.said or self.popen.poll() is not None, lambda: f"{text!r} in:\n{self.said}")
        assert text in self.said, f"{self.args} ended with {self.popen.poll()}:\n{self.said}"
        return self.said

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        try:
            return self.popen.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.args} does not end:\n{self.said}") from None

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@dataclass
class Collected:
    """What a collector bot wrote down, in order; see collector.py for the lines."""

    ticks: dict[str, list[tuple[int, int, bytes]]] = field(default_factory=dict)
    """topic -> [(seq, topic_seq, record), ...]"""
    seqs: list[int] = field(default_factory=list)
    replayed: list[bool] = field(default_factory=list)
    """Was it flagged so? For each of `seqs`."""
    gaps: list[tuple[str, int, int, str]] = field(default_factory=list)
    """(topic, first, last, cause)"""
    epochs: list[int] = field(default_factory=list)
    """At each time it became live."""
    states: list[str] = field(default_factory=list)
    """start, live, stale, stop, in order."""

    @staticmethod
    def read(file: Path) -> Collected:
        found = Collected()
        text = file.read_text() if file.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            match line.split(" "):
                case ["tick", name, seq, topic_seq, flags, record]:
                    found.ticks.setdefault(name, []).append((int(seq), int(topic_seq), bytes.fromhex(record)))
                    found.seqs.append(int(seq))
                    found.replayed.append(bool(int(flags) & FLAG_REPLAYED))
                case ["gap", name, first, last, cause]:
                    found.gaps.append((name, int(first), int(last), cause))
                case ["live", epoch]:
                    found.states.append("live")
                    found.epochs.append(int(epoch))
                case [state]:
                    found.states.append(state)
                case _:
                    raise AssertionError(f"{file}: {line!r}")
        return found

    @property
    def count(self) -> int:
        return len(self.seqs)

    def topic_seqs(self, name: str) -> list[int]:
        return [topic_seq for _, topic_seq, _ in self.ticks.get(name, [])]

    def missing(self, name: str) -> list[int]:
        """The topic_seqs that were told as gaps."""
        return [n for topic, first, last, _ in self.gaps if topic == name for n in range(first, last + 1)]


@dataclass
class Bot:
    """A collector under `bots run`."""

    process: Process
    name: str
    transport: str
    file: Path

    @property
    def collected(self) -> Collected:
        return Collected.read(self.file)

    def lines(self) -> int:
        """How much it was told so far, cheaply."""
        return self.file.read_bytes().count(b"\n") if self.file.exists() else 0

    def reaches(self, ticks: int) -> None:
        """Wait until it has been given so many ticks."""
        wait_for(
            lambda: self.lines() >= ticks and self.collected.count >= ticks,
            lambda: f"{self.name} to have {ticks} ticks, it has {self.collected.count}:\n{self.process.said}",
        )


@dataclass
class Stage:
    """A root for feeds in shared memory, an address for one, and everything that was started."""

    root: Path
    temporary: Path
    control_port: int = field(default_factory=free_port)
    tcp_port: int = field(default_factory=free_port)
    monitor_port: int = field(default_factory=free_port)
    processes: list[Process] = field(default_factory=list)
    agents: set[int] = field(default_factory=set)
    """Every process id that an agent has had."""

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.control_port}"

    @property
    def directory(self) -> Path:
        return self.root / "main"

    @property
    def env(self) -> dict[str, str]:
        return {
            "TICKCAST_LOG_ROOT": str(self.root),
            "TICKCAST_STATE": str(self.temporary / "state"),
            "COLUMNS": "160",
        }

    def start(self, *args: object, **env: str) -> Process:
        """Any command: ("feed", "stat", ...)."""
        return self.within((), *args, **env)

    def within(self, within: tuple[str, ...], *args: object, **env: str) -> Process:
        """The same, run by the command `within`."""
        output = self.temporary / f"{len(self.processes)}.output"
        process = Process([str(arg) for arg in args], {**self.env, **env}, output, within)
        self.processes.append(process)
        return process

    def start_in_mount(self, at: Path, options: str, *args: object) -> Process:
        """The same, with a tmpfs at `at` that only it and its children see; needs root."""
        script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
        within = ("unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", options, str(at))
        return self.within(within, *args)

    def run(self, *args: object) -> str:
        """A command that has to succeed; what it printed."""
        process = self.start(*args)
        assert process.wait() == 0, process.said
        return process.said

    def feed_args(self, command: str = "run", *args: object, **settings: object) -> list[str]:
        """`feed run`, or another of its commands, at this stage's ports; settings as publish__tcp__hwm=5."""
        ours = {
            "control.endpoint": self.address,
            "publish.tcp.endpoint": f"tcp://127.0.0.1:{self.tcp_port}",
            "monitor.endpoint": f"127.0.0.1:{self.monitor_port}",
            "log.bytes": "32MiB",
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        sets = [part for key, value in ours.items() for part in ("--set", f"{key}={value}")]
        return ["feed", command, *(str(arg) for arg in args), *sets]

    def feed(self, command: str = "run", *args: object, **settings: object) -> Process:
        return self.start(*self.feed_args(command, *args, **settings))

    def up(self, feed: Process) -> Process:
        """Wait until every agent of `feed` turns."""
        feed.says("bots: --feed")
        self.agents.update(agent["pid"] for agent in self.stat()["agents"])
        return feed

    def bot(self, name: str, transport: str, symbols: str, schemas: str = "", *more: str) -> Bot:
        """A bot under `bots run` that writes down all it is told; `more` are further options."""
        to = self.temporary / f"{name}.collected"
        chosen = ("--schemas", schemas) if schemas else ()
        process = self.start(
            "bots", "run", COLLECTOR, "--symbols", symbols, *chosen, "--transport", transport, "--name", name,
            "--feed", self.address, "--slow", "fill", *more, COLLECT_TO=str(to),
        )  # fmt: skip
        return Bot(process, name, transport, to)

    def stat(self) -> dict[str, Any]:
        return stat.snapshot(self.directory)

    def agent(self, name: str) -> dict[str, Any]:
        """An agent's row of `feed stat`."""
        found: dict[str, Any] = next(agent for agent in self.stat()["agents"] if agent["agent"] == name)
        return found

    def kill_agent(self, name: str) -> None:
        """kill -9, and wait until it runs again."""
        before = self.agent(name)
        os.kill(before["pid"], signal.SIGKILL)
        wait_for(
            lambda: (
                (now := self.agent(name))["restarts"] > before["restarts"]
                and now["pid"] not in {0, before["pid"]}
                and now["heartbeat_age_ns"] is not None
                and now["state"] == "up"
                and self._beat_since(name, now["pid"])
            ),
            lambda: f"{name} to run again: {self.agent(name)}",
        )
        self.agents.add(self.agent(name)["pid"])

    def _beat_since(self, name: str, pid: int) -> bool:
        """Has the loop of this very process turned? Its beat is younger than the process."""
        try:
            ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])
        except OSError:
            return False
        age_s = float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
        return bool(self.agent(name)["heartbeat_age_ns"] < age_s * 1e9)

    def log(self) -> dict[str, list[tuple[int, int, bytes]]]:
        """Everything the log holds, as Collected.ticks has it."""
        found: dict[str, list[tuple[int, int, bytes]]] = {}
        with LogReader.open(self.directory, name="test", start="begin") as reader:
            names = [topic(*reader.topic(i)).decode().rstrip("|") for i in range(reader.topic_count)]
            while (tick := reader.read()) is not None:
                if tick.kind == RECORD:
                    found.setdefault(names[tick.topic_id], []).append((tick.seq, tick.topic_seq, tick.record))
        return found

    def ask(self, request: str, **fields: object) -> dict[str, Any]:
        """The control address's answer."""
        import zmq  # noqa: PLC0415 - few tests ask themselves

        with zmq.Context() as context, context.socket(zmq.REQ) as socket:
            socket.linger = 0
            socket.rcvtimeo = int(WAIT_S * 1000)
            socket.connect(self.address)
            socket.send(orjson.dumps({"id": 1, "request": request, **fields}))
            answer: dict[str, Any] = orjson.loads(socket.recv())
            return answer

    def left(self) -> list[str]:
        """What is in shared memory, and which agents run: nothing of either after a clean end."""
        files = [str(path.relative_to(self.root)) for path in self.root.rglob("*")]
        return files + [f"process {pid}" for pid in self.agents if pid and alive(pid)]


@contextlib.contextmanager
def market(rate: float = 5000) -> Iterator[Stage]:
    """A stage with a simulator that runs: 100 symbols, in one process."""
    with stage() as made:
        made.up(made.feed(source__sim__rate=rate, feed__processes="one"))
        yield made


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """A stage, swept when its block ends."""
    root = Path(tempfile.mkdtemp(prefix="tickcast-e2e-", dir="/dev/shm"))
    temporary = Path(tempfile.mkdtemp(prefix="tickcast-e2e-"))
    made = Stage(root, temporary)
    try:
        yield made
    except BaseException:
        for process in made.processes:
            print(f"--- {' '.join(process.args)}\n{process.said}")
        raise
    finally:
        for process in reversed(made.processes):
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in made.processes:
            with contextlib.suppress(AssertionError):
                process.wait()
            process.kill()
        wait_for(lambda: not any(alive(pid) for pid in made.agents if pid), "agents to end")
        shutil.rmtree(root)
        shutil.rmtree(temporary)
