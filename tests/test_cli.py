"""The command `feed`: its help teaches and its examples parse; errors are one line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.text import Text
from typer.testing import CliRunner

import feed
from feed import cli, config
from feed.archive.export import Report
from feed.bench.recovery import Row
from feed.bench.result import Result
from feed.errors import ConfigError, HostError
from feed.position import Position

ROOT = Path(__file__).parent.parent
COMMANDS = [
    "run", "demo", "replay", "export", "check", "stat", "doctor",
    "bench latency", "bench throughput", "bench fanout", "bench recovery", "bench ingest", "symbols",
]  # fmt: skip


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """What the commands called, which here does nothing."""
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def does(name: str, answer: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            made.append((name, args, kwargs))
            return answer

        return call

    def measured(peer: str | None, p50_us: float, **detail: Any) -> Result:
        figures = dict.fromkeys(("p90_us", "p99_us", "p999_us", "max_us", "skew_p50_us"))
        same = {"bench": "latency", "transport": "tcp", "engine": "libzmq", "bots": 1, "rate_hz": 5000.0, "cores": 2}
        counts = {"payload_bytes": 80, "ticks": 1000, "lost": 0, "ticks_per_s": 5000.0}
        return Result(peer=peer, p50_us=p50_us, detail=detail, **figures, **same, **counts)

    joined = Row(
        measure="join", what="late", engine="log", bots=1, rounds=1, ticks=5, lost=0, ms=1.5, bounds={"ms": 250}
    )
    decoded = {"messages": 5, "records": 5, "messages_per_cpu_s": 9.5, "memory_mib": 100.0, "version": "0.1.0"}
    stubs: dict[str, dict[str, Any]] = {
        "feed.supervisor": {"run": does("run", 0)},
        "feed.demo": {"run": does("demo", 0)},
        "feed.bench.run": {"run": does("bench", [measured(None, 1.5, idle="spin"), measured("pyzmq", 1234.5)])},
        "feed.bench.ingest.run": {"run": does("ingest", [measured(None, 1.5, **decoded)])},
        "feed.bench.recovery.run": {"run": does("recovery", [joined])},
        "feed.archive.export": {"export": does("export", Report([Path("ticks")], 1234, ["missing: some"]))},
        "feed.doctor": {"Host": does("host", None), "examine": does("examine", []), "fit": lambda _: True, "show": str},
        "feed.store.excerpt": {"Excerpt": does("excerpt", None)},
        "feed.monitor.stat": {"snapshot": does("snapshot", {"x": 1}), "render": does("render", Text("drawn"))},
    }
    for name, attributes in stubs.items():
        stub = types.ModuleType(name)
        vars(stub).update(attributes)
        monkeypatch.setitem(sys.modules, name, stub)
        parent, _, own = name.rpartition(".")
        monkeypatch.setattr(sys.modules.get(parent, feed), own, stub, raising=False)
    return made


def invoke(*args: str) -> Any:
    return CliRunner().invoke(cli.app, list(args))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_and_its_example_works(
    command: str, calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = invoke(*command.split(), "--help")
    assert shown.exit_code == 0
    example = re.search(r"Example: (feed .*(?:\n\s+.+)*)", shown.output)
    assert example is not None, shown.output
    words = shlex.split(example[1])
    assert words[: len(command.split()) + 1] == ["feed", *command.split()]
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "session.dbn.zst").touch()
    monkeypatch.chdir(tmp_path)
    result = invoke(*words[1:], *(["--interval", "0.1"] if command == "stat" else []))
    assert result.exit_code == 0, (result.output, result.exception)
    assert calls or command in {"check", "symbols"}


def test_every_command_is_in_the_help_and_has_help_itself() -> None:
    shown = invoke("--help").output
    for command in {each.split()[0] for each in COMMANDS}:
        assert re.search(rf"^  {command} +\w", shown, re.M)


def test_run_hands_over_the_configuration(calls: list[Any]) -> None:
    spoken = ("--log-level", "error", "--log-format", "json")
    assert invoke("run", "--set", "source.sim.rate=5", "--for", "2", *spoken).exit_code == 0
    ((name, (loaded,), options),) = calls
    assert name == "run"
    assert loaded == config.load(None, {}, ["source.sim.rate=5", "feed.log_level=error", "feed.log_format=json"])
    assert options["duration_s"] == 2


def test_the_environment_counts(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKCAST_FEED__NAME", "other")
    assert invoke("demo").exit_code == 0
    assert calls[0][1][0].feed.name == "other"


def test_replay_makes_a_source_of_its_files(calls: list[Any], tmp_path: Path) -> None:
    files = [tmp_path / "a.dbn", tmp_path / "b.dbn"]
    for file in files:
        file.touch()
    assert invoke("replay", *map(str, files), "--speed", "max", "--loop").exit_code == 0
    loaded = calls[0][1][0]
    assert loaded.source == {"replay": config.ReplayConfig(files=[str(f) for f in files], speed="max", loop=True)}
    assert loaded.feed.linger is False


def test_settings_of_its_source_are_those_of_replay(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.dbn").touch()
    monkeypatch.setenv("TICKCAST_SOURCE__REPLAY__SPEED", "5")
    assert invoke("replay", str(tmp_path / "a.dbn"), "--set", "source.replay.schemas=trade").exit_code == 0
    source = calls[0][1][0].source["replay"]
    assert (source.schemas, source.speed) == (["trade"], "5")


def test_replay_takes_the_rest_from_a_file(calls: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a.dbn").touch()
    assert invoke("replay", str(tmp_path / "a.dbn"), "--config", str(ROOT / "config" / "lab.toml")).exit_code == 0
    assert set(calls[0][1][0].publish) == {"tcp"}
    assert set(calls[0][1][0].source) == {"replay"}


def test_replay_of_a_folder_plays_an_archive(calls: list[Any], tmp_path: Path) -> None:
    part = ("--from", "5", "--to", "2024-07-01", "--symbols", "AAPL,ES*", "--epoch", "7")
    assert invoke("replay", str(tmp_path), *part, "--set", "archive.path=/elsewhere").exit_code == 0
    loaded = calls[0][1][0]
    assert loaded.source == {
        "archive": config.ArchiveReplayConfig(
            path=str(tmp_path), from_="5", to="2024-07-01", symbols=["AAPL", "ES*"], epoch=7
        )
    }
    assert loaded.feed.linger is False
    assert loaded.archive.path == "/elsewhere"


def test_replay_of_nothing_plays_the_own_archive_which_is_not_written(calls: list[Any], tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    for named in ([], [str(tmp_path / "main")], [str(tmp_path)]):
        assert invoke("replay", *named, "--set", f"archive.path={tmp_path}").exit_code == 0
        loaded = calls[-1][1][0]
        assert loaded.source == {"archive": config.ArchiveReplayConfig(path=str(tmp_path / "main"))}
        assert loaded.archive.path == ""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "no archive is configured: expected archive.path, or the folder of an archive"),
        (("config/feed.toml", "--from", "5"), "--from is for archives"),
        (("config", "tests"), "either DBN files or one archive"),
        (("config", "config/feed.toml"), "either DBN files or one archive"),
        (("none",), "no such file"),
        (("config", "--from", "now"), r"source\.archive\.from: not a place"),
    ],
)
def test_what_replay_can_not_play(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=message):
        raise invoke("replay", *args).exception
    assert calls == []


def test_export_says_what_it_wrote_and_what_is_missing(calls: list[Any]) -> None:
    shown = invoke("export", "out", "--format", "csv", "--archive", "a", "--symbols", "A,B*", "--schemas", "quote")
    assert shown.exit_code == 0, shown.exception
    assert shown.stdout == "1,234 records: ticks\n"
    assert "warning: missing: some" in shown.stderr
    (_, (folder,), part), (_, (_, kind, out), options) = calls
    assert (folder, kind, out, options["asked"]) == (Path("a"), "csv", Path("out"), ["A"])
    assert part == {"first": Position(), "last": Position(), "epoch": 0, "symbols": ["A", "B*"], "schemas": ["quote"]}


def test_check_draws_the_plan() -> None:
    shown = invoke("check", str(ROOT / "config" / "feed.toml"))
    assert shown.exit_code == 0
    assert "publish.tcp" in shown.output
    assert "tcp://127.0.0.1:5551" in shown.output


def test_check_says_every_fault(tmp_path: Path) -> None:
    (tmp_path / "feed.toml").write_text("[feed]\nnam = 1\n[log]\nbytes = 2\n")
    shown = invoke("check", str(tmp_path / "feed.toml"), "--set", "x")
    assert shown.exit_code == 2
    assert shown.stderr.count("error: ") == 3
    assert shown.stdout == ""


def test_stat_is_drawn_once_or_is_json(calls: list[Any]) -> None:
    assert "drawn" in invoke("stat", "--interval", "0.1").output
    assert [name for name, _, _ in calls] == ["snapshot", "snapshot", "render"]
    assert orjson.loads(invoke("stat", "--json", "--interval", "0.1").output) == {"x": 1}


def test_bench_recovery_is_told_what_and_where(calls: list[Any], tmp_path: Path) -> None:
    shown = invoke("bench", "recovery", "--only", "join,fill", "--rounds", "3", "--dir", str(tmp_path))
    assert shown.exit_code == 0, shown.output
    assert "≤ 250" in shown.stdout
    ((_, (options, _), _),) = calls
    assert (options.only, options.rounds, options.folder) == (("join", "fill"), 3, tmp_path)
    (row,) = orjson.loads(invoke("bench", "recovery", "--json").stdout)
    assert (row["measure"], row["ms"], row["holds"]) == ("join", 1.5, True)
    assert len(calls[-1][1][0].only) == 6


def test_bench_prints_a_table_or_one_json_array(calls: list[Any]) -> None:
    shown = invoke("bench", "latency", "--transport", "tcp", "--vs", "pyzmq")
    assert shown.exit_code == 0, shown.exception
    assert "tickcast" in shown.output
    assert "pyzmq" in shown.output
    options = calls[0][1][0]
    assert (options.bench, options.transport, options.vs, options.rate) == ("latency", "tcp", "pyzmq", None)
    assert len(orjson.loads(invoke("bench", "fanout", "--json").stdout)) == 2


def test_an_option_that_is_none_is_refused() -> None:
    for args in (("bench", "latency", "--transport", "pigeon"), ("run", "--for", "-1"), ("export", "x"), ("fly",)):
        assert invoke(*args).exit_code == 2


def feed_command(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "feed", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ}, check=False)


def test_an_error_of_the_caller_is_one_line_and_status_2() -> None:
    done = feed_command("check", "/no/such.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: /no/such.toml: can't be read: No such file or directory\n"


def test_an_error_of_the_machine_is_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise HostError("no memory", remedy="Buy some")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: no memory. Buy some\n"


def test_a_wrong_setting_of_run_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["feed", "run", "--set", "log.bytes=3"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
