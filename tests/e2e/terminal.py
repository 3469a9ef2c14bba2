"""A command in a terminal of its own: what it shows, and the keys somebody presses."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING, Self

from tests.e2e.processes import REPOSITORY, WAIT_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.processes import Stage

ROWS, COLUMNS = 50, 160


class Terminal:
    """`python -m ARGS` as the foreground job of a pseudo-terminal."""

    def __init__(self, stage: Stage, args: Sequence[str]) -> None:
        self.shown = ""
        self._status: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(REPOSITORY)
            os.execve(sys.executable, [sys.executable, "-m", *args], {**os.environ, **stage.env, "TERM": "xterm"})
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGTERM)
            self.wait()
        self._reader.join()
        os.close(self._fd)

    def shows(self, text: str) -> str:
        """Wait until `text` has been on the screen."""
        return wait_for(lambda: text in self.shown and self.shown, lambda: f"{text!r} in:\n{self.shown}")

    def ctrl_c(self) -> None:
        """The key: the terminal sends SIGINT to the whole foreground group."""
        os.write(self._fd, b"\x03")

    def wait(self) -> int:
        """The exit code, negative for a signal."""
        deadline = time.monotonic() + WAIT_S
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"does not end:\n{self.shown}")
            else:
                time.sleep(0.02)
        return self._status

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # EIO: nobody has the other side open any more
                return
            if not data:
                return
            self.shown += data.decode(errors="replace")
