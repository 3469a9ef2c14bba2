"""The processes of a benchmark: started, spoken with by lines of JSON over pipes, and always ended.

A child says one JSON object per line on its standard output and is told lines on its standard input. It ends with the
process that started it, however that ends; a benchmark's shared memory is below one directory of its own, and so is
what it writes to a disk.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from feed.bench.loops import die_with_parent
from feed.clock import set_timer_slack_ns
from feed.errors import HostError
from feed.log.place import require_space

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Child", "Children", "begin", "python", "say", "told", "until_told"]

_ROOT = Path("/dev/shm")
_HOME = Path(__file__).parents[2]
"""Where children start: -m looks in the current directory first, and the user's may hold a "bots" or a "feed" too."""

_PREFIX = "tickcast-bench-"
_Spec = TypeVar("_Spec", bound=msgspec.Struct)


class Child:
    """One started process; with `term_s` it is ended by SIGTERM and has so long for it, else by its pipes' end."""

    def __init__(self, name: str, command: Sequence[str], work: Path, *, term_s: float = 0.0) -> None:
        self.name = name
        self._term_s = term_s
        self._errors = (work / f"{name}.stderr").open("w+b")
        self._buffer = b""
        # Line by line, unbuffered: select() must see what is there.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            cwd=_HOME,
            # The user's own settings, where an archive is among them, are not for a benchmark's feed.
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("TICKCAST_")},
                "TICKCAST_LOG_ROOT": str(work),
            },
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """The next object it says. :raises HostError: it ended or said nothing for `timeout_s`; with its last words."""
        out = self._process.stdout
        assert out is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            if not select.select([out], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise HostError(
                    "a benchmark process says nothing", found=f"{timeout_s:.1f} s{self._words()}", where=self.name
                )
            piece = os.read(out.fileno(), 65_536)
            if not piece:
                self._process.wait(5)
                self.require()
            self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        said: dict[str, Any] = msgspec.json.decode(line)
        return said

    def require(self) -> None:
        """:raises HostError: it has ended; with its last words."""
        status = self._process.poll()
        if status is not None:
            raise HostError("a benchmark process ended early", found=f"status {status}{self._words()}", where=self.name)

    def tell(self, what: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it died of is said by hear()
            self._process.stdin.write(msgspec.json.encode(what) + b"\n")

    def cpu_s(self) -> float:
        """CPU seconds that all its threads have used, to a hundredth (proc(5), /proc/pid/stat, fields 14 and 15)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sent(self, interface: str) -> tuple[int, int]:
        """Packets and bytes that have left its host by `interface`; (0, 0) where there is none (proc(5), net/dev)."""
        for line in Path(f"/proc/{self._process.pid}/net/dev").read_text(encoding="utf-8").splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == interface:
                columns = numbers.split()
                return int(columns[9]), int(columns[8])
        return 0, 0

    def end(self) -> None:
        """End it and give everything back."""
        process = self._process
        if self._term_s:
            process.terminate()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(self._term_s or 0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._errors.close()

    def _words(self) -> str:
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip()
        return f", saying:\n{words[-4000:]}" if words else ""


class Children:
    """The processes of one run and their directory in shared memory, `work`; both are gone after the ``with`` block."""

    def __init__(self, space_bytes: int) -> None:
        _clear_left_overs(_ROOT)
        self.work = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_ROOT))
        self._folders = [self.work]
        self._all: list[Child] = []
        try:
            require_space(self.work, space_bytes)
        except BaseException:
            self.work.rmdir()
            raise

    def start(self, name: str, command: Sequence[str], *, term_s: float = 0.0) -> Child:
        child = Child(name, command, self.work, term_s=term_s)
        self._all.append(child)
        return child

    def folder(self, below: Path) -> Path:
        """A directory for what is measured on a disk, gone after the ``with`` block like the other."""
        _clear_left_overs(below)
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=below.absolute()))
        self._folders.append(folder)
        return folder

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            for child in reversed(self._all):
                child.end()
        finally:
            for folder in self._folders:
                shutil.rmtree(folder, ignore_errors=True)


def python(module: str) -> list[str]:
    """The command that runs one of our modules as a child; it waits for its spec (:meth:`Child.tell`)."""
    return [sys.executable, "-m", module]


# --- the child's side -----------------------------------------------------------------------------------------------


def begin(spec: type[_Spec]) -> _Spec:
    """A child's first act: end with the parent, leave Ctrl-C to it, sleep to the nanosecond; then take its spec."""
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_timer_slack_ns(1)
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 65_536) or b"\n"
    return msgspec.json.decode(line, type=spec)


def say(**what: object) -> None:
    """One object to the parent."""
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


def told(within_s: float = 0.0) -> Any:
    """The next that the parent says, "end" once it is gone; None: nothing within `within_s`."""
    if not select.select([0], [], [], within_s)[0]:
        return None
    line = b""
    while not line.endswith(b"\n"):  # byte by byte, for select() must see what follows
        piece = os.read(0, 1)
        if not piece:
            return "end"
        line += piece
    return msgspec.json.decode(line)


def until_told(every_s: float) -> Iterator[None]:
    """Come round every `every_s` until the parent says a line, which is taken, or is gone."""
    while told(every_s) is None:
        yield


def _clear_left_overs(below: Path) -> None:
    """Remove what benchmarks that were killed left behind: their process is no more."""
    for place in below.glob(f"{_PREFIX}*"):
        pid = place.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(place, ignore_errors=True)
