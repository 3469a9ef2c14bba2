"""The benchmark of recovery, run for real and briefly: rows, nothing lost, nothing left behind; never how fast."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from bots import ticks
from feed.bench.children import Children
from feed.bench.recovery import Options, Row, show
from feed.bench.recovery.plan import MEASUREMENTS, Append, Catchup, Fill, Join, Restart, Stalled
from feed.bench.recovery.run import run
from feed.bench.recovery.taking import Taking
from feed.bench.recovery.ticks import Taken, middle, quantiles, ratio
from feed.errors import ConfigError, HostError
from feed.wire.frames import FLAG_REPLAYED
from feed.wire.records import BY_WORD

SHARED = Path("/dev/shm")
SMALL = Options(
    rounds=1,
    log_bytes=8 << 20,
    join=Join(symbols=40, rate=2000),
    fill=Fill(ticks=1000, rate=5000, symbols=10),
    stalled=Stalled(bots=4, rate=2000, symbols=20, window_s=0.3, before=200, hwm=50),
    append=Append(ticks=200_000),
    catchup=Catchup(ticks=200_000, tcp_ticks=50_000),
    restart=Restart(rate=1000, symbols=10, steady_s=1.5),
)
ALWAYS = {
    "bench",
    "measure",
    "what",
    "engine",
    "peer",
    "bots",
    "rounds",
    "ticks",
    "lost",
    "cores",
    "bounds",
    "holds",
    "detail",
}
LATE = {"p50_us", "p99_us", "ratio_p50", "ratio_p99"}
EXPECTED = {
    "join": [("shm", {"ms", "rate_hz"}), ("tcp", {"ms", "rate_hz"})],
    "fill": [("tcp", {"ms", "rate_hz", *LATE})],
    "stalled": [("mixed", {"rate_hz", *LATE})],
    "append": [("", {"ticks_per_s", "ratio_ticks_per_s"}), ("", {"ticks_per_s"}), ("", {"ticks_per_s"})],
    "catchup": [("shm", {"ticks_per_s"}), ("tcp", {"ticks_per_s"}), ("shm", {"ticks_per_s"})],
    "restart": [("shm", {"ms", "rate_hz"}), *[("tcp", {"ms", "rate_hz"})] * 3],
}  # fmt: skip


def mine() -> set[Path]:
    """What a benchmark of this process has in shared memory."""
    return set(SHARED.glob(f"tickcast-bench-{os.getpid()}-*"))


@pytest.mark.parametrize("measure", MEASUREMENTS)
def test_each_gives_its_rows_and_loses_nothing(measure: str, tmp_path: Path) -> None:
    told: list[str] = []
    before = mine()
    rows = run(msgspec.structs.replace(SMALL, only=(measure,), folder=tmp_path), told.append)
    assert mine() == before
    assert not any(tmp_path.iterdir())
    assert all(each.startswith(measure) for each in told)
    assert told
    written = msgspec.json.decode(msgspec.json.encode(rows))
    for said, (transport, figures) in zip(written, EXPECTED[measure], strict=True):
        assert set(said) == ALWAYS | figures | ({"transport"} if transport else set()), said
        assert (said["bench"], said["measure"], said.get("transport", "")) == ("recovery", measure, transport)
        assert said["lost"] == 0, said
        assert said["ticks"] > 0
        assert all(said[figure] > 0 for figure in figures)
        assert set(said["bounds"]) <= figures
        assert said["cores"] == len(os.sched_getaffinity(0))
    shown = text(rows)
    assert all(word in shown for word in (measure, "lost", rows[0].what.split()[0]))
    if measure == "fill":
        assert rows[0].detail["filled"] >= SMALL.fill.ticks
    if measure == "append":
        assert rows[1].peer == "dd"


def text(rows: list[Row]) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(show(rows))
    return console.export_text()


def of_run(pid: int) -> list[int]:
    """Processes that a benchmark started, or their children: their log's root is below its directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes()
        except OSError:
            continue
        if f"TICKCAST_LOG_ROOT=/dev/shm/tickcast-bench-{pid}-".encode() in environ:
            found.append(int(process.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_ends_all_that_it_started(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "feed", "bench", "recovery", "--only", "restart", "--dir", str(tmp_path)]
    bench = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert bench.stderr is not None
    try:
        assert bench.stderr.readline() == "restart, 1 of 3: kill -9 of ingest\n"
        assert len(of_run(bench.pid)) >= 5  # the feed, its agents, two bots
        if number == signal.SIGINT:
            os.killpg(bench.pid, number)  # as a terminal does
        else:
            bench.kill()
        bench.wait(60)
        while of_run(bench.pid):
            time.sleep(0.05)
        if number == signal.SIGINT:
            assert not list(SHARED.glob(f"tickcast-bench-{bench.pid}-*"))
        with Children(1 << 20) as children:  # the next one clears away what is left
            children.folder(tmp_path)
            assert not list(SHARED.glob(f"tickcast-bench-{bench.pid}-*"))
    finally:
        bench.kill()
        bench.wait()
        bench.stderr.close()


# --- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (Options(only=("join", "jump")), "--only"),
        (Options(rounds=0), "--rounds"),
        (Options(folder=Path("/nowhere")), "--dir"),
    ],
)
def test_options_that_are_none_are_named(options: Options, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        run(options)
    assert refused.value.where == where


# --- figures ----------------------------------------------------------------------------------------------------------


def taken(*ticks: tuple[int, int, int, int], repeated: tuple[int, ...] = ()) -> Taken:
    """(topic, topic_seq, ts_in, ts_bot) each; `repeated` by index."""
    topic, topic_seq, ts_in, ts_bot = np.array(ticks, np.uint64).reshape(-1, 4).T
    flags = np.isin(np.arange(len(topic)), repeated)
    return Taken(("quote.A", "trade.A"), topic, flags, topic_seq, ts_in, ts_in + np.uint64(1000), ts_bot)


def test_lost_is_what_the_numbers_say() -> None:
    assert taken((0, 5, 1, 2), (1, 1, 1, 2), (0, 6, 1, 2), (1, 2, 1, 2)).lost() == 0
    assert taken((0, 5, 1, 2), (1, 1, 1, 2), (0, 8, 1, 2)).lost() == 2
    assert taken((0, 5, 1, 2), (0, 5, 1, 2)).lost() == 1
    assert taken((0, 5, 1, 2), (0, 7, 1, 2), (0, 6, 1, 2)).lost() == 2
    assert taken().lost() == 0


def test_late_is_of_what_came_in_the_time_and_is_not_repeated() -> None:
    heard = taken((0, 1, 0, 5000), (1, 1, 2000, 6000), (0, 2, 0, 9000), (0, 3, 8000, 20_000), repeated=(2,))
    assert heard.late_us(5000, 20_000).tolist() == [5.0, 4.0]
    assert heard.late_us(5000, 20_001, without="quote.A").tolist() == [4.0]
    assert heard.late_us(0, 6000, since="ts_sent").tolist() == [4.0]
    assert quantiles(heard.late_us(0, 1)) == {"ticks": 0}
    assert quantiles(np.arange(101) / 1.0) == {"ticks": 101, "p50_us": 50.0, "p99_us": 99.0}


def test_a_pause_ends_with_the_first_tick_behind_it() -> None:
    times = [0, 10, 20, 400, 410, 900]
    heard = taken(*((0, i + 1, 0, ms * 1_000_000) for i, ms in enumerate(times)))
    assert heard.resumed_ns(25_000_000, 500_000_000) == 400_000_000
    with pytest.raises(HostError, match="nothing after a restart"):
        heard.resumed_ns(1_000_000_000, 2_000_000_000)


def test_pairs_are_compared_one_by_one() -> None:
    pairs = [({"p50_us": 2.0}, {"p50_us": 1.0}), ({"p50_us": 9.0}, {"p50_us": 3.0}), ({"p50_us": 1.0}, {"p50_us": 4.0})]
    assert ratio(pairs, "p50_us") == 2.0
    assert middle([first for first, _ in pairs], "p50_us") == 2.0
    assert ratio([*pairs, ({"ticks": 0}, {"p50_us": 4.0})], "p50_us") is msgspec.UNSET


@pytest.mark.parametrize(
    ("figures", "bounds", "holds"),
    [
        ({"ms": 249.0}, {"ms": 250.0}, True),
        ({"ms": 251.0}, {"ms": 250.0}, False),
        ({"ticks_per_s": 5e6}, {"ticks_per_s": 4e6}, True),
        ({"ticks_per_s": 3e6}, {"ticks_per_s": 4e6}, False),
        ({"ms": 1.0, "lost": 1}, {"ms": 250.0}, False),
        ({}, {"ratio_p50": 1.1}, False),
    ],
    ids=str,
)
def test_a_row_holds_if_all_its_bounds_do(figures: dict[str, float], bounds: dict[str, float], holds: bool) -> None:
    common = {"measure": "m", "what": "w", "engine": "log", "bots": 1, "rounds": 1, "ticks": 1, "lost": 0}
    row = msgspec.convert({**common, "bounds": bounds, **figures}, Row)
    assert row.holds is holds
    assert "w" in text([row])


def test_what_is_noted_is_read_back(tmp_path: Path) -> None:
    record = bytes(BY_WORD["quote"].record_bytes)
    given = [
        ticks.make("quote", "A", record, topic_seq=7, flags=FLAG_REPLAYED),
        ticks.make("quote", "A", record, topic_seq=8),
    ]
    left = iter([*given, *given])
    notes = Taking()
    assert notes.take(lambda: next(left), 0) is given[0], "the first of its topic"
    assert notes.take(lambda: next(left), 0) is None, "time is over"
    notes.watched = "quote.A"
    assert notes.take(lambda: next(left), 4) is given[1], "of the topic that is watched, and not repeated"
    notes.write(tmp_path / "notes")
    heard = Taken.read(tmp_path / "notes", list(notes.topics))
    assert heard.names == ["quote.A"]
    assert heard.repeated.tolist() == [True, False, True, False]
    assert heard.topic_seq.tolist() == [7, 8, 7, 8]
    assert (heard.topic[0], heard.ts_in[0], heard.ts_sent[0], heard.ts_bot[0]) == (0, 0, 0, 0)
