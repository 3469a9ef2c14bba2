"""The benchmarks run for real, but briefly: what they report, that nothing is lost, never how fast."""

from __future__ import annotations

import io
import os
import shutil
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from feed.bench import Options, Result, peers, plan, show
from feed.bench.children import Children
from feed.bench.result import Figures, latency_us, result, saturated, skew_us
from feed.bench.run import run
from feed.errors import ConfigError, HostError

KEYS = {
    "bench", "transport", "engine", "peer", "bots", "rate_hz", "payload_bytes", "ticks", "lost", "p50_us", "p90_us",
    "p99_us", "p999_us", "max_us", "ticks_per_s", "skew_p50_us", "cores", "detail",
}  # fmt: skip
RATIOS = {"ratio_p50", "ratio_p99", "ratio_ticks_per_s"}
LOG_BYTES = 4 << 20


def measure(**options: object) -> list[Result]:
    """A tiny run; its directory is gone afterwards."""
    before = set(Path("/dev/shm").glob(f"tickcast-bench-{os.getpid()}-*"))
    results = run(msgspec.convert({"log_bytes": LOG_BYTES, **options}, Options))
    assert set(Path("/dev/shm").glob(f"tickcast-bench-{os.getpid()}-*")) == before
    return results


def check(one: Result, **expected: object) -> None:
    """Its keys, that nothing was lost, and figures that can be true."""
    said = msgspec.json.decode(msgspec.json.encode(one))
    assert set(said) - RATIOS == KEYS
    for key, value in expected.items():
        assert said[key] == value, key
    assert said["lost"] == 0
    assert said["ticks_per_s"] > 0
    assert said["cores"] == len(os.sched_getaffinity(0))
    quantiles = [said[key] for key in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")]
    if said["rate_hz"] and not said["detail"].get("saturated"):
        assert all(a <= b for a, b in pairwise(quantiles))
    else:
        assert quantiles == [None] * 5
    assert "tickcast" in text([one]) or one.peer


def text(results: list[Result]) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(show(results))
    return console.export_text()


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "shm", "idle": "spin"},
        {"transport": "shm", "idle": "park", "api": "batch"},
        {"transport": "shm", "api": "native", "bots": 2},
        {"transport": "tcp", "processes": "one"},
        {"transport": "ipc", "api": "native"},
        {"transport": "tcp", "api": "batch", "symbols": 5},
        {"transport": "mold", "symbols": 3},
    ],
    ids=str,
)
def test_latency(options: dict[str, object]) -> None:
    (one,) = measure(bench="latency", rate=5000, ticks=1000, **options)
    bots = options.get("bots", 1)
    assert isinstance(bots, int)
    check(one, bench="latency", transport=options["transport"], peer=None, bots=bots, rate_hz=5000, ticks=1000 * bots)
    assert (one.skew_p50_us is None) == (bots == 1)


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "shm", "api": "callback"},
        {"transport": "shm", "api": "batch"},
        {"transport": "shm", "api": "native"},
        {"transport": "tcp", "api": "batch"},
        {"transport": "tcp", "api": "native", "batch": 1, "processes": "one"},
        {"transport": "ipc", "api": "callback"},
    ],
    ids=str,
)
def test_throughput_loses_nothing_and_values_arrive(options: dict[str, object]) -> None:
    """100,000 ticks are three times what the log holds: the writer has to wait for its reader."""
    (one,) = measure(bench="throughput", ticks=100_000, **options)
    check(one, bench="throughput", transport=options["transport"], ticks=100_000, rate_hz=0)
    assert one.detail["checksums_equal"] is True


def test_fanout_gives_each_bot_all_of_its_symbols() -> None:
    mixed, shm, tcp = measure(bench="fanout", rate=2000, ticks=1000, bots=4)
    check(mixed, transport="mixed", bots=4)
    check(shm, transport="shm", bots=2, engine="log")
    check(tcp, transport="tcp", bots=2, engine="libzmq")
    assert mixed.ticks == shm.ticks + tcp.ticks
    assert mixed.skew_p50_us is not None
    assert all(bot["got"] == bot["expected"] for bot in mixed.detail["per_bot"])
    assert set(mixed.detail["cpu_s"]) == {"writer", "publisher", "bots shm", "bots tcp"}


def test_flat_out_fanout_compares_the_writers_cost() -> None:
    one, two = measure(bench="fanout", transport="shm", rate=0, ticks=20_000, bots=2, alternations=1)
    check(one, bots=1)
    check(two, bots=2)
    assert one.detail["writer_cpu_ratio_to_1_bot"] == 1
    assert two.detail["writer_cpu_ratio_to_1_bot"] > 0
    assert two.detail["writer_wakes_per_batch"] <= 1


@pytest.mark.parametrize(
    ("bench", "options"),
    [
        ("latency", {"vs": "libzmq-c", "rate": 5000, "ticks": 500, "transport": "tcp"}),
        ("latency", {"vs": "pyzmq", "rate": 5000, "ticks": 500, "transport": "ipc", "idle": "spin"}),
        ("throughput", {"vs": "libzmq-c", "ticks": 20_000, "transport": "ipc", "batch": 1}),
        ("throughput", {"vs": "pyzmq", "ticks": 20_000, "transport": "tcp"}),
        ("latency", {"vs": "udp-c", "rate": 5000, "ticks": 500, "transport": "mold", "processes": "one"}),
        ("throughput", {"vs": "udp-c", "ticks": 20_000, "transport": "mold", "api": "batch"}),
    ],
)
def test_beside_a_peer(bench: str, options: dict[str, object]) -> None:
    ours, theirs = measure(bench=bench, alternations=1, **options)
    assert isinstance(options["ticks"], int)
    check(ours, peer=None, ticks=options["ticks"])
    check(theirs, peer=options["vs"], ticks=options["ticks"])
    assert set(msgspec.to_builtins(ours)) >= RATIOS
    assert not RATIOS & set(msgspec.to_builtins(theirs))
    assert isinstance(ours.ratio_ticks_per_s, float)
    assert ours.detail["ratios"]["ticks_per_s"] == [ours.ratio_ticks_per_s]
    if bench == "throughput":
        assert ours.ratio_p50 is None
        assert ours.detail["checksums_equal"]
        assert theirs.detail["checksums_equal"]


# --- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"bench": "latency", "rate": 0}, "--rate"),
        ({"bench": "throughput", "rate": 10}, "--rate"),
        ({"bench": "throughput", "bots": 2}, "--bots"),
        ({"bench": "latency", "transport": "mixed"}, "--transport"),
        ({"bench": "latency", "processes": "one"}, "--processes"),
        ({"bench": "latency", "vs": "pyzmq"}, "--vs"),
        ({"bench": "fanout", "transport": "tcp", "vs": "pyzmq"}, "--vs"),
        ({"bench": "fanout", "transport": "tcp", "rate": 0}, "--transport"),
        ({"bench": "fanout", "api": "native"}, "--api"),
        ({"bench": "fanout", "symbols": 0}, "--symbols"),
        ({"bench": "latency", "ticks": 0}, "--ticks"),
    ],
)
def test_options_that_do_not_go_together_are_named(options: dict[str, object], where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        run(msgspec.convert(options, Options))
    assert refused.value.where == where


def test_the_ticks_are_known_beforehand() -> None:
    drawn = plan.draw(100)
    assert np.array_equal(drawn, plan.draw(100))
    total = 3 * len(drawn) + 17
    counts = plan.counts(drawn, total, 100)
    assert counts.sum() == total
    assert counts[0] > counts[9] > counts[99] > 0
    assert np.array_equal(counts, np.bincount(np.resize(drawn, total), minlength=100))


@pytest.mark.parametrize("bot", range(24))
def test_a_bot_of_a_fanout_has_ten_symbols_one_of_them_like_all_others(bot: int) -> None:
    mine = plan.wanted(bot, 100)
    assert len(set(mine)) == 10
    assert 9 in mine
    assert all(0 <= symbol < 100 for symbol in mine)


def test_a_message_is_147_bytes_whatever_the_symbol() -> None:
    assert len(peers.message()) == 147
    assert {len(name) for count in (1, 100) for name in plan.symbols(count)} == {4}


# --- figures ----------------------------------------------------------------------------------------------------------


def test_quantiles_are_exact() -> None:
    late = np.random.default_rng(1).permutation(np.arange(1, 1001, dtype=np.uint64)) * 1000
    assert latency_us(late) == {"p50_us": 501, "p90_us": 901, "p99_us": 991, "p999_us": 1000, "max_us": 1000}
    assert latency_us(late[:0]) == {}


def test_a_queue_that_only_grows_is_not_latency() -> None:
    assert saturated(np.arange(1000, dtype=np.uint64) * 100_000, 1e9)
    assert not saturated(np.full(1000, 100_000, np.uint64), 1e9)


def test_skew_is_first_to_last_for_the_same_tick() -> None:
    stamps = np.array([10, 20, 30, 40], np.uint64)
    late = [np.array(each, np.uint64) for each in ([1000, 1000, 1000, 1000], [3000, 1000, 6000])]
    assert skew_us([stamps, stamps[1:]], late) == pytest.approx(2.0)
    assert skew_us([stamps], late[:1]) is None
    assert skew_us([stamps[:1], stamps[1:]], [late[0][:1], late[1]]) is None


def test_several_runs_are_summed_up_by_their_medians() -> None:
    options = msgspec.convert({"bench": "latency", "transport": "tcp"}, Options).complete()
    runs = [
        Figures(ticks=10, lost=i, ticks_per_s=rate, latency_us=latency_us(np.array([rate], np.uint64)))
        for i, rate in enumerate((5, 1, 3))
    ]
    one = result(options, runs)
    assert (one.ticks, one.lost, one.ticks_per_s, one.p50_us) == (30, 3, 3, 0.003)
    runs.append(Figures(ticks=10, lost=0, ticks_per_s=3))
    assert result(options, runs).p50_us is None


# --- processes and peers ----------------------------------------------------------------------------------------------


def test_a_child_that_dies_is_quoted_and_all_is_cleared() -> None:
    with Children(1 << 20) as children:
        dying = children.start("dying", ["sh", "-c", "echo last words >&2; exit 3"])
        with pytest.raises(HostError, match=r"(?s)status 3.*last words"):
            dying.hear(10)
    assert not children.work.exists()


def test_a_silent_child_is_given_up_and_ended() -> None:
    with Children(1 << 20) as children:
        silent = children.start("silent", ["sh", "-c", "echo $$ >&2; exec sleep 60"])
        with pytest.raises(HostError, match="says nothing"):
            silent.hear(0.3)
        pid = int((children.work / "silent.stderr").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_what_a_killed_benchmark_left_behind_is_removed() -> None:
    left = Path("/dev/shm/tickcast-bench-4194305-dead")  # above the highest pid_max there is
    left.mkdir()
    try:
        with Children(1 << 20):
            assert not left.exists()
    finally:
        shutil.rmtree(left, ignore_errors=True)


def test_without_the_peers_source_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "SOURCES", tmp_path)
    with pytest.raises(HostError, match="checkout"):
        peers.command("pyzmq", tmp_path)


def test_without_a_compiler_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="apt install gcc"):
        peers.command("libzmq-c", tmp_path)
