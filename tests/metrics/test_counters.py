"""feed.metrics.counters: rows found again, shared between processes, surviving the death of any of them."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from feed.errors import CallerError, HostError, LogMissing
from feed.metrics import counters as module
from feed.metrics.counters import Counters
from feed.metrics.table import BY_NAME, METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROW_AT, ROW_BYTES = 4096, 256


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    opened = Counters.open(tmp_path, create=True)
    yield opened
    opened.close()


def child(code: str, directory: Path) -> subprocess.Popen[str]:
    """A Python process that has `counters` open on the directory and runs `code`; it says what it likes on stdout."""
    head = (
        "import os, sys, time, signal, pathlib, fcntl\n"
        "from feed.metrics.counters import Counters\n"
        "counters = Counters.open(pathlib.Path(sys.argv[1]))\n"
    )
    return subprocess.Popen([sys.executable, "-c", head + code, str(directory)], stdout=subprocess.PIPE, text=True)


def values(directory: Path) -> dict[tuple[str, tuple[str, ...]], int]:
    rows = list(Counters.open(directory, writable=False).rows())
    found = {(row.name, tuple(row.labels.values())): row.value for row in rows}
    assert len(found) == len(rows), "two rows for the same name and labels"
    return found


def test_every_kind_is_read_by_another_opening(counters: Counters, tmp_path: Path) -> None:
    counters.counter("tickcast_ticks_total", source="sim", schema="trade").add(3)
    counters.gauge("tickcast_clock_offset_seconds", bot="b").set(-5)
    counters.histogram("tickcast_latency_seconds", stage="total", transport="shm").record(13_400)
    ticks, offset, latency = Counters.open(tmp_path, writable=False).rows()
    assert ticks[:4] == ("tickcast_ticks_total", {"source": "sim", "schema": "trade"}, "counter", 3)
    assert offset[:4] == ("tickcast_clock_offset_seconds", {"bot": "b"}, "gauge", -5)
    assert latency[:3] == ("tickcast_latency_seconds", {"stage": "total", "transport": "shm"}, "histogram")
    assert latency.histogram is not None
    assert (latency.histogram.count, latency.histogram.sum_ns) == (1, 13_400)
    assert {row.pid for row in (ticks, offset, latency)} == {os.getpid()}


def test_counters_wrap_their_word_and_gauges_are_signed(counters: Counters) -> None:
    count = counters.counter("tickcast_sent_total", publisher="tcp")
    count.set(2**64 - 1)
    assert count.value == 2**64 - 1
    gauge = counters.gauge("tickcast_bot_lag_seconds", bot="b")
    gauge.put(-(2**63))
    assert gauge.value == -(2**63)
    gauge.set(5)
    gauge.add(-7)
    assert gauge.value == -2


def test_the_same_name_and_labels_are_the_same_row_in_any_order_and_opening(counters: Counters, tmp_path: Path) -> None:
    counters.counter("tickcast_ticks_total", source="sim", schema="trade").add(1)
    other = Counters.open(tmp_path)
    other.counter("tickcast_ticks_total", schema="trade", source="sim").add(1)
    other.counter("tickcast_ticks_total", schema="sim", source="trade").add(5)
    assert values(tmp_path) == {
        ("tickcast_ticks_total", ("sim", "trade")): 2,
        ("tickcast_ticks_total", ("trade", "sim")): 5,
    }


def test_a_restarted_process_finds_its_rows_and_counts_on(counters: Counters, tmp_path: Path) -> None:
    code = (
        "c = counters.counter('tickcast_sent_total', publisher='tcp'); c.add(7)\n"
        "h = counters.histogram('tickcast_latency_seconds', stage='publish', transport='tcp'); h.record(500)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        process = child(code, tmp_path)
        assert process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()
    sent, latency = counters.rows()
    assert sent.value == 14
    assert sent.pid != os.getpid()
    assert latency.histogram is not None
    assert latency.histogram.count == 2


def test_a_reader_in_another_process_sees_figures_only_grow(counters: Counters, tmp_path: Path) -> None:
    code = (
        "c = counters.counter('tickcast_sent_total', publisher='tcp')\n"
        "h = counters.histogram('tickcast_latency_seconds', stage='publish', transport='tcp')\n"
        "stop = counters.gauge('tickcast_archive_stopped')\n"
        "print('ready', flush=True)\n"
        "i = 0\n"
        "while i < 200_000 or not stop.value:\n"
        "    c.add(1); h.record(i); i += 1\n"
        "print(i)\n"
    )
    process = child(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    seen: list[tuple[int, ...]] = [(0, 0, 0, 0)]
    while len(set(seen)) < 1000:  # not so long as it takes: it may be through before anybody looks
        assert process.poll() is None
        sent, latency, _ = counters.rows()
        assert latency.histogram is not None
        seen.append((sent.value, latency.histogram.count, latency.histogram.sum_ns, latency.histogram.max_ns))
        assert all(now >= before for before, now in zip(seen[-2], seen[-1], strict=True))
    counters.gauge("tickcast_archive_stopped").set(1)
    told = int(process.stdout.readline())
    process.stdout.close()
    assert process.wait() == 0
    sent, latency, _ = counters.rows()
    assert sent.value == told >= 200_000
    assert latency.histogram is not None
    assert latency.histogram.count == told


def test_processes_that_make_the_same_rows_at_once_make_them_once(counters: Counters, tmp_path: Path) -> None:
    code = (
        "for i in range(100):\n"
        "    counters.counter('tickcast_sent_total', publisher=f'p{i}')\n"
        "    counters.counter('tickcast_bot_ticks_total', bot=f'{os.getpid()}-{i % 7}').add(1)\n"
    )
    processes = [child(code, tmp_path) for _ in range(4)]
    for process in processes:
        assert process.wait() == 0
        assert process.stdout is not None
        process.stdout.close()
    found = values(tmp_path)
    assert len(found) == 100 + 4 * 7
    assert sum(found.values()) == 4 * 100


def test_threads_that_make_the_same_rows_at_once_make_them_once(counters: Counters, tmp_path: Path) -> None:
    def make() -> None:
        for i in range(150):
            counters.counter("tickcast_sent_total", publisher=f"p{i}")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(values(tmp_path)) == 150


def test_more_rows_than_a_metric_may_have_are_refused_and_counted(counters: Counters, tmp_path: Path) -> None:
    limit = BY_NAME["tickcast_bot_lag_seconds"].limit
    handles = [counters.gauge("tickcast_bot_lag_seconds", bot=f"bot{i}") for i in range(limit + 3)]
    for handle in handles:
        handle.set(1)
    assert handles[-1].value == 1, "a refused handle still works, for itself"
    assert len(values(tmp_path)) == limit
    assert Counters.open(tmp_path, writable=False).refused == 3
    counters.gauge("tickcast_bot_lag_seconds", bot="bot5").set(9)
    counters.counter("tickcast_bot_ticks_total", bot="bot5").add(1)
    assert counters.refused == 3, "neither a row that exists nor another metric is refused"


def test_a_file_without_room_refuses_rows(counters: Counters, tmp_path: Path) -> None:
    with (tmp_path / "counters").open("r+b") as file:
        file.seek(40)  # next_value
        file.write(struct.pack("<Q", (64 << 20) - 64))
    counters.counter("tickcast_sent_total", publisher="fits").add(1)
    refused = counters.counter("tickcast_sent_total", publisher="does not")
    refused.add(1)
    histogram = counters.histogram("tickcast_latency_seconds", stage="total", transport="shm")
    histogram.record(1)
    assert values(tmp_path) == {("tickcast_sent_total", ("fits",)): 1}
    assert counters.refused == 2


def test_no_memory_left_is_a_refusal(counters: Counters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    counters.counter("tickcast_sent_total", publisher="tcp").add(1)
    assert values(tmp_path) == {}
    assert counters.refused == 1


def test_a_retired_row_serves_another_one_from_zero(counters: Counters, tmp_path: Path) -> None:
    limit = BY_NAME["tickcast_bot_lag_seconds"].limit
    for i in range(limit):
        counters.gauge("tickcast_bot_lag_seconds", bot=f"bot{i}").set(i)
    assert counters.retire("tickcast_bot_lag_seconds", bot="bot7")
    assert not counters.retire("tickcast_bot_lag_seconds", bot="bot7")
    assert ("tickcast_bot_lag_seconds", ("bot7",)) not in values(tmp_path)
    assert counters.gauge("tickcast_bot_lag_seconds", bot="new").value == 0
    assert (counters.refused, counters.used_rows) == (0, limit)
    other = Counters.open(tmp_path)
    assert other.gauge("tickcast_bot_lag_seconds", bot="new").value == 0
    assert other.gauge("tickcast_bot_lag_seconds", bot="bot8").value == 8


def test_another_opening_notices_that_a_row_it_knew_is_anothers_now(counters: Counters, tmp_path: Path) -> None:
    other = Counters.open(tmp_path)
    other.gauge("tickcast_bot_lag_seconds", bot="old").set(3)
    counters.retire("tickcast_bot_lag_seconds", bot="old")
    counters.gauge("tickcast_bot_lag_seconds", bot="new").set(4)
    other.gauge("tickcast_bot_lag_seconds", bot="old").set(5)
    assert values(tmp_path) == {("tickcast_bot_lag_seconds", ("new",)): 4, ("tickcast_bot_lag_seconds", ("old",)): 5}


def test_a_process_killed_while_it_holds_the_lock_blocks_nobody(counters: Counters, tmp_path: Path) -> None:
    code = (
        "fd = os.open(pathlib.Path(sys.argv[1]) / 'counters', os.O_RDWR); fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "print('locked', flush=True); time.sleep(60)"
    )
    process = child(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    thread = threading.Thread(target=lambda: counters.counter("tickcast_sent_total", publisher="tcp").add(1))
    thread.start()
    time.sleep(0.1)
    assert thread.is_alive(), "the lock is held"
    process.kill()
    process.wait()
    process.stdout.close()
    thread.join()
    assert values(tmp_path) == {("tickcast_sent_total", ("tcp",)): 1}


def test_processes_killed_at_any_moment_leave_whole_rows(counters: Counters, tmp_path: Path) -> None:
    code = (
        "print('ready', flush=True)\n"
        "i = 0\n"
        "while True:\n"
        "    i = (i + 1) % 200\n"
        "    counters.gauge('tickcast_bot_lag_seconds', bot=f'bot{i}').set(i)\n"
        "    counters.retire('tickcast_bot_lag_seconds', bot=f'bot{(i * 7) % 200}')\n"
    )
    for round_ in range(6):
        process = child(code, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.02 + 0.011 * round_)
        process.kill()
        process.wait()
        process.stdout.close()
        for (name, labels), value in values(tmp_path).items():
            if name == "tickcast_bot_lag_seconds":
                assert value in {0, int(labels[0].removeprefix("bot"))}
        counters.counter("tickcast_sent_total", publisher=f"p{round_}").add(1)
    assert counters.used_rows < 220, "rows of the dead are used again"


def test_a_half_made_row_is_not_shown_and_is_made_anew(counters: Counters, tmp_path: Path) -> None:
    counters.counter("tickcast_sent_total", publisher="first").add(1)
    counters.counter("tickcast_sent_total", publisher="dies").add(1)
    with (tmp_path / "counters").open("r+b") as file:
        file.seek(ROW_AT + ROW_BYTES)
        (stamp,) = struct.unpack("<I", file.read(4))
        assert stamp == 2
        file.seek(ROW_AT + ROW_BYTES)
        file.write(struct.pack("<I", 3))
        file.seek(ROW_AT + ROW_BYTES + 24)
        file.write(b"\xff\xfe half")
    assert values(tmp_path) == {("tickcast_sent_total", ("first",)): 1}
    counters.counter("tickcast_sent_total", publisher="next").add(5)
    assert values(tmp_path) == {("tickcast_sent_total", ("first",)): 1, ("tickcast_sent_total", ("next",)): 5}
    assert counters.used_rows == 2


def test_a_lock_that_is_held_too_long_is_an_error(
    counters: Counters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_NS", 1_000_000)
    with (tmp_path / "counters").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(HostError, match="locked"):
            counters.counter("tickcast_sent_total", publisher="tcp")


def test_handles_outlive_the_counters_and_the_file(counters: Counters, tmp_path: Path) -> None:
    opened = Counters.open(tmp_path)
    count = opened.counter("tickcast_sent_total", publisher="tcp")
    histogram = opened.histogram("tickcast_latency_seconds", stage="total", transport="shm")
    opened.close()
    opened.close()
    (tmp_path / "counters").unlink()
    del opened
    gc.collect()
    count.add(2)
    histogram.record(5)
    assert (count.value, histogram.count) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "name", "labels"),
    [
        ("counter", "tickcast_no_such_total", {}),
        ("gauge", "tickcast_sent_total", {"publisher": "tcp"}),
        ("counter", "tickcast_sent_total", {}),
        ("counter", "tickcast_sent_total", {"publisher": "tcp", "cause": "slow"}),
        ("gauge", "tickcast_log_bytes", {}),
        ("histogram", "tickcast_bot_lag_seconds", {"bot": "b"}),
    ],
)
def test_what_the_table_does_not_have_is_refused(
    counters: Counters, kind: str, name: str, labels: dict[str, str]
) -> None:
    with pytest.raises(CallerError, match=name):
        getattr(counters, kind)(name, **labels)
    assert counters.used_rows == 0


def test_label_values_are_made_fit_to_print(counters: Counters, tmp_path: Path) -> None:
    long = "é" * 60
    for bot in ("a\nb\0c", long, "", "x=y", "\ud800"):
        counters.gauge("tickcast_bot_lag_seconds", bot=bot).set(1)
        counters.gauge("tickcast_bot_lag_seconds", bot=bot).set(2)
    assert [labels for _, labels in values(tmp_path)] == [("a?b?c",), ("é" * 31,), ("",), ("x=y",), ("?",)]


def test_every_metric_of_the_table_fits_a_row(counters: Counters) -> None:
    for metric in METRICS:
        if not metric.derived:
            labels = dict.fromkeys(metric.labels, "x" * 63)
            getattr(counters, metric.kind)(metric.name, **labels)
    assert counters.used_rows == sum(not metric.derived for metric in METRICS)


def test_opening_needs_a_file_of_this_version(tmp_path: Path) -> None:
    with pytest.raises(LogMissing, match="feed run"):
        Counters.open(tmp_path)
    path = tmp_path / "counters"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(HostError, match="this version"):
        Counters.open(tmp_path, writable=False)
    old = path.open("rb")
    Counters.open(tmp_path, create=True).counter("tickcast_sent_total", publisher="tcp").add(4)
    assert values(tmp_path) == {("tickcast_sent_total", ("tcp",)): 4}
    with old:
        assert old.read(14) == b"something else", "a file of another version is replaced, never emptied under its users"


def test_opening_again_with_create_keeps_what_is_there(counters: Counters, tmp_path: Path) -> None:
    counters.counter("tickcast_sent_total", publisher="tcp").add(4)
    again = Counters.open(tmp_path, create=True)
    assert again.counter("tickcast_sent_total", publisher="tcp").value == 4
    path = tmp_path / "counters"
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_blocks * 512 < 2 << 20, "sparse"


def test_reading_counters_gives_out_no_handles(counters: Counters, tmp_path: Path) -> None:
    counters.counter("tickcast_sent_total", publisher="tcp")
    with pytest.raises(CallerError, match="for reading"):
        Counters.open(tmp_path, writable=False).counter("tickcast_sent_total", publisher="tcp")
