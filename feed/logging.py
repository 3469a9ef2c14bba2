"""What the daemon says of itself on stderr: lines for people or JSON objects for machines, and never a flood.

A line is a change of state, never a tick. Of lines with the same logger, level and template the first LINES in WINDOW_S
pass; the others are counted, and one line says how many were left out.

A JSON line has ``ts`` (RFC 3339, UTC, µs), ``level``, ``logger``, ``feed``, ``agent``, ``pid`` and ``message``;
``thread`` where it is not the main one, ``error`` and ``traceback`` with an exception, and what was given as ``extra``.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import orjson

from feed.clock import monotonic_ns

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SUPERVISOR", "Format", "JsonLines", "Level", "Sparing", "as_json", "configure"]

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["human", "json"]

SUPERVISOR = "supervisor"
"""What the process that keeps the agents alive is called in the lines."""

LINES = 10
WINDOW_S = 10.0
"""Of one kind of line so many pass in so long."""

KINDS = 256
"""More kinds than this are only remembered while their windows last."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: Level, form: Format, *, feed: str, agent: str = SUPERVISOR) -> None:
    """Let this process, which runs `agent` of the feed of that name, speak on stderr.

    As JSON, warnings and exceptions that nobody caught are lines too. Does nothing where logging is set up already.
    """
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonLines(feed, agent))
    elif agent == SUPERVISOR:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter(f"%(levelname)s {agent}: %(message)s"))
    sparing = Sparing(partial(_emit, handler))
    handler.addFilter(sparing)
    atexit.register(sparing.flush)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    if form == "json":
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def as_json() -> bool:
    """Do the lines of this process go out as JSON?"""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


class JsonLines(logging.Formatter):
    """One JSON object a line, whatever is in it."""

    def __init__(self, feed: str, agent: str) -> None:
        super().__init__()
        self._feed = feed
        self._agent = agent

    def format(self, record: logging.LogRecord) -> str:
        main = record.threadName in {None, "MainThread"}
        # Where agents are threads of the supervisor, each has its agent's name.
        agent = self._agent if main or self._agent != SUPERVISOR else record.threadName
        line: dict[str, Any] = {
            "ts": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "feed": self._feed,
            "agent": agent,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if not main:
            line["thread"] = record.threadName
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
            line["traceback"] = self.formatException(record.exc_info)
        line |= {key: value for key, value in vars(record).items() if key not in _OWN and key not in line}
        try:
            return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
        except orjson.JSONEncodeError:  # text that is no Unicode (a file's name, say), an integer of more than 64 bits
            return orjson.dumps({key: _plain(value) for key, value in line.items()}).decode()


@dataclass(slots=True)
class _Window:
    ends_ns: int
    passed: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None


class Sparing(logging.Filter):
    """Lets a kind of line (logger, level, template) pass `lines` times in `window_s`, then counts what it leaves out.

    `say` is given the record that tells the count, at the end of the window (`later` sees to that), or before the next
    line of the kind, or at `flush`.
    """

    def __init__(
        self,
        say: Callable[[logging.LogRecord], None],
        *,
        lines: int = LINES,
        window_s: float = WINDOW_S,
        clock: Callable[[], int] = monotonic_ns,
        later: Callable[[float, Callable[[], None]], None] | None = None,
    ) -> None:
        super().__init__()
        self._say = say
        self._lines = lines
        self._window_ns = int(1e9 * window_s)
        self._clock = clock
        self._later = later or _later
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, int, str], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        template = record.msg if isinstance(record.msg, str) and record.msg != "%s" else record.getMessage()
        kind = record.name, record.levelno, template
        now, ended, wait_ns = self._clock(), None, 0
        with self._lock:
            window = self._windows.get(kind)
            if window is None or now >= window.ends_ns:
                ended = window
                window = self._begin(kind, now)
            passes = window.passed < self._lines
            if passes:
                window.passed += 1
            else:
                if not window.left_out:
                    wait_ns = window.ends_ns - now
                window.left_out += 1
                window.last = record
        if ended is not None:
            self._tell(ended)
        if wait_ns:
            self._later(wait_ns / 1e9, self.look)
        return passes

    def look(self) -> None:
        """Tell of all windows that have ended."""
        self._close(self._clock())

    def flush(self) -> None:
        """Tell of all windows, ended or not: nothing more is to come."""
        self._close(None)

    def _begin(self, kind: tuple[str, int, str], now: int) -> _Window:
        if len(self._windows) >= KINDS:
            self._windows = {k: each for k, each in self._windows.items() if each.left_out or now < each.ends_ns}
        window = self._windows[kind] = _Window(now + self._window_ns)
        return window

    def _close(self, now: int | None) -> None:
        with self._lock:
            ended = [(kind, each) for kind, each in self._windows.items() if now is None or now >= each.ends_ns]
            for kind, _ in ended:
                del self._windows[kind]
        for _, window in ended:
            self._tell(window)

    def _tell(self, window: _Window) -> None:
        if window.last is None:
            return
        told = logging.makeLogRecord(vars(window.last))
        told.msg = "%d more like this were left out, the last: %s"
        told.args = window.left_out, window.last.getMessage()
        told.exc_info = told.exc_text = None
        told.left_out = window.left_out
        self._say(told)


def _emit(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Past the handler's filters."""
    handler.acquire()
    try:
        handler.emit(record)
    finally:
        handler.release()


def _later(seconds: float, do: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    logging.getLogger("tickcast").critical("ended by an error: %r", error, exc_info=(kind, error or kind(), trace))


def _plain(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()
