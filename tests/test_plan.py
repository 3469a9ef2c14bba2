"""The picture that `feed check` draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed import config, plan

if TYPE_CHECKING:
    from pathlib import Path


def test_the_plan_names_everything_that_was_set() -> None:
    sets = [
        "publish.tcp.endpoint=tcp://0.0.0.0:7001",
        "publish.tcp.cpu=3",
        "log.gating=rec",
        "publish.ipc.firehose=tcp://127.0.0.1:7002",
    ]
    text = plan.picture(config.load(None, {}, sets))
    for word in (
        "source.sim",
        "publish.tcp",
        "tcp://0.0.0.0:7001 (open to the network)",
        "processor 3",
        "rec",
        "tcp://127.0.0.1:7002",
        "p50 ≤ 13.4us",
        "http://127.0.0.1:9464/metrics",
    ):
        assert word in text
    assert "(open to the network)" not in plan.picture(config.load())


def test_the_plan_of_a_replay(tmp_path: Path) -> None:
    file = tmp_path / "a.dbn"
    file.touch()
    base = {"source": {"replay": {"files": [str(file)], "speed": "max", "loop": True, "schemas": ["trade"]}}}
    text = plan.picture(config.load(base=base, sets=["monitor.endpoint=", "feed.processes=one"]))
    assert f"replay: {file} (trade), as fast as possible, again and again" in text
    assert "threads of one process" in text
    assert "monitor" not in text


def test_the_plan_of_an_archive_and_of_playing_one(tmp_path: Path) -> None:
    sets = ["archive.path=/data", "feed.roll=17:00 America/Chicago", "archive.keep_bytes=1TB", "archive.keep_for=30d"]
    source = {"kind": "archive", "path": str(tmp_path), "from": "5", "symbols": ["ES*"]}
    text = plan.picture(config.load(base={"source": {"archive": source}}, sets=sets))
    assert f"archive: {tmp_path} from 5 to its end (ES*, all schemas), 1 times as recorded" in text
    assert (
        "archive      /data/main, durable every 100ms, segments of 256MiB, compressed, "
        "sealed at 17:00 America/Chicago, kept up to 1TB and 30d" in text
    )


def test_a_feed_without_sources_says_so(tmp_path: Path) -> None:
    file = tmp_path / "feed.toml"
    file.write_text("[source]\n[latency.targets]\n")
    text = plan.picture(config.load(file))
    assert "no source" in text
    assert text.endswith("none")


def test_the_plan_says_what_is_done_with_what_comes_in(tmp_path: Path) -> None:
    sets = [
        "source.sim.validate.crossed=flag",
        "source.sim.validate.duplicate=drop",
        "source.push.kind=push",
        f"source.push.capture={tmp_path}",
        "best.symbols=BTC-USD",
        "source.defs.kind=symbology",
        f"source.defs.files={tmp_path / 'x.toml'}",
    ]
    (tmp_path / "x.toml").touch()
    text = plan.picture(config.load(None, {}, sets))
    assert "rules: crossed flag, duplicate drop" in text
    assert f"kept in {tmp_path}" in text
    assert "best             bid and offer across venues of BTC-USD" in text
    assert f"instruments of {tmp_path / 'x.toml'}, looked at every 5s" in text
    kept = tmp_path / "a.capture.zst"
    kept.touch()
    source = {"kept": {"kind": "capture", "files": [str(kept)], "speed": "max"}}
    assert f"captures: {kept}, as fast as possible" in plan.picture(config.load(base={"source": source}))
