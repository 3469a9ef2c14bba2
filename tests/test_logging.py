"""The daemon's lines: JSON whatever is in them, few of a kind, each agent with its name."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from feed.logging import JsonLines, Sparing
from tests.e2e import processes
from tests.e2e.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable


class Flood:
    """A logger behind a Sparing filter, a clock that is turned by hand, and what got through."""

    def __init__(self, **options: Any) -> None:
        self.now_ns = 0
        self.seen: list[str] = []
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.sparing = Sparing(
            lambda record: self.seen.append(record.getMessage()),
            clock=lambda: self.now_ns,
            later=lambda seconds, do: self.due.append((seconds, do)),
            **options,
        )

    def say(self, template: str, *args: object, name: str = "x", level: int = logging.WARNING) -> None:
        record = logging.LogRecord(name, level, __file__, 1, template, args, None)
        if self.sparing.filter(record):
            self.seen.append(record.getMessage())


def test_of_one_kind_some_pass_and_the_others_are_counted() -> None:
    flood = Flood(lines=3, window_s=10.0)
    for n in range(8):
        flood.say("bot %d is slow", n)
    assert flood.seen == ["bot 0 is slow", "bot 1 is slow", "bot 2 is slow"]
    ((seconds, look),) = flood.due
    assert seconds == 10.0
    flood.now_ns = 10 * 10**9
    look()
    look()
    assert flood.seen[3:] == ["5 more like this were left out, the last: bot 7 is slow"]
    flood.say("bot %d is slow", 8)
    assert flood.seen[4:] == ["bot 8 is slow"]


def test_the_count_comes_before_the_next_line_of_its_kind() -> None:
    flood = Flood(lines=1, window_s=10.0)
    flood.say("a")
    flood.say("a")
    flood.now_ns = 11 * 10**9
    flood.say("a")
    assert flood.seen == ["a", "1 more like this were left out, the last: a", "a"]


def test_what_was_left_out_is_told_at_the_end_too() -> None:
    flood = Flood(lines=1)
    flood.say("a")
    flood.say("a")
    flood.sparing.flush()
    flood.sparing.flush()
    assert flood.seen == ["a", "1 more like this were left out, the last: a"]


def test_lines_of_other_loggers_levels_and_templates_are_other_lines() -> None:
    flood = Flood(lines=1)
    flood.say("a %s", 1)
    flood.say("b %s", 1)
    flood.say("a %s", 1, name="y")
    flood.say("a %s", 1, level=logging.ERROR)
    flood.say("%s", "one error")
    flood.say("%s", "another")
    flood.say("a %s", 2)
    assert flood.seen == ["a 1", "b 1", "a 1", "a 1", "one error", "another"]


def test_a_slow_trickle_is_no_flood() -> None:
    flood = Flood(lines=10, window_s=10.0)
    for second in range(60):
        flood.now_ns = second * 10**9
        flood.say("once a second")
    assert flood.seen == ["once a second"] * 60


def test_kinds_that_are_over_are_forgotten() -> None:
    flood = Flood(lines=1, window_s=1.0)
    for n in range(10_000):
        flood.now_ns = n * 10**8
        flood.say(f"kind {n}")
    assert len(flood.seen) == 10_000
    assert len(flood.sparing._windows) < 1000


def lines(form: logging.Formatter) -> tuple[logging.Logger, list[str]]:
    """A logger of its own and what it writes."""
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    logger = logging.Logger("tickcast.test")
    handler = Handler()
    handler.setFormatter(form)
    logger.addHandler(handler)
    return logger, written


def test_a_json_line_says_when_who_and_what() -> None:
    logger, written = lines(JsonLines("main", "control"))
    before = datetime.now(UTC)
    logger.warning("agent %s ended", "ingest", extra={"code": 3, "at": {1: None}})
    (line,) = written
    assert "\n" not in line
    told = orjson.loads(line)
    at = told.pop("ts")
    assert at.endswith("Z")
    assert before <= datetime.fromisoformat(at) <= datetime.now(UTC)
    assert told == {
        "level": "warning", "logger": "tickcast.test", "feed": "main", "agent": "control", "pid": os.getpid(),
        "message": "agent ingest ended", "code": 3, "at": {"1": None},
    }  # fmt: skip


def test_an_exception_is_one_line() -> None:
    logger, written = lines(JsonLines("main", "control"))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("failed\nhere")
    (line,) = written
    assert "\n" not in line
    told = orjson.loads(line)
    assert told["message"] == "failed\nhere"
    assert told["error"] == "ValueError: two\nlines"
    assert told["traceback"].startswith("Traceback")
    assert "test_logging.py" in told["traceback"]


@pytest.mark.parametrize("strange", ["caf\udce9", 1 << 70, float("nan"), {1, 2}, b"\xff", object()])
def test_whatever_is_in_a_line_it_is_json(strange: object) -> None:
    logger, written = lines(JsonLines("main", "control"))
    logger.error("%s", strange, extra={"strange": strange})
    assert orjson.loads(written[0])["agent"] == "control"


def test_agents_that_are_threads_have_their_names() -> None:
    logger, written = lines(JsonLines("main", "supervisor"))
    thread = threading.Thread(target=logger.warning, args=("from there",), name="publish.tcp")
    thread.start()
    thread.join()
    logger.warning("from here")
    assert [orjson.loads(each)["agent"] for each in written] == ["publish.tcp", "supervisor"]


def test_errors_that_nobody_caught_and_warnings_are_lines_of_json() -> None:
    script = (
        "import threading, warnings; from feed.logging import configure\n"
        "configure('info', 'json', feed='main', agent='control')\n"
        "warnings.warn('mind')\n"
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()\n"
        "raise SystemError('over')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    warned, thread, last = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert "mind" in warned["message"]
    assert (thread["error"], thread["level"]) == ("ZeroDivisionError: division by zero", "critical")
    assert (last["error"], last["agent"]) == ("SystemError: over", "control")


def test_a_flood_ends_with_its_count_when_the_process_ends() -> None:
    script = (
        "import logging; from feed.logging import configure\n"
        "configure('info', 'human', feed='main', agent='control')\n"
        "for n in range(100): logging.getLogger('x').warning('again %d', n)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    told = done.stderr.splitlines()
    assert told[:10] == [f"WARNING control: again {n}" for n in range(10)]
    assert told[10:] == ["WARNING control: 90 more like this were left out, the last: again 99"]


def test_all_that_a_feed_says_is_json_and_names_its_agent() -> None:
    with processes.stage() as stage:
        args = stage.feed_args(source__sim__rate=1000, log__bytes="4MiB", feed__log_format="json")
        feed = stage.start(*args, TICKCAST_FEED__LOG_LEVEL="debug")
        stage.up(feed)
        stage.kill_agent("publish.tcp")
        assert feed.end(signal.SIGTERM) == 0
        told = [orjson.loads(line) for line in feed.said.splitlines()]
        assert {each["feed"] for each in told} == {"main"}
        (died,) = [each for each in told if "starting it again" in each["message"]]
        assert (died["agent"], died["ended"], died["code"]) == ("supervisor", "publish.tcp", -signal.SIGKILL)
        assert {"supervisor", "monitor"} <= {each["agent"] for each in told}


def test_a_feed_that_can_not_run_says_so_in_json() -> None:
    with processes.stage() as stage:
        first = stage.up(stage.feed(source__sim__rate=10, feed__processes="one"))
        second = stage.feed("run", "--log-format", "json", feed__processes="one")
        assert second.wait() == 1
        wait_for(lambda: second.said.endswith("\n"))
        last = orjson.loads(second.said.splitlines()[-1])
        assert (last["level"], last["agent"]) == ("error", "supervisor")
        assert str(first.pid) in last["message"]
