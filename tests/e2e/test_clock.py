"""A bot on a host whose clock is wrong: it finds out by how much, and its latencies are right all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.processes import COLLECTOR, Stage, wait_for

if TYPE_CHECKING:
    from pathlib import Path

AHEAD_S = {"ahead": 5.0, "behind": -3.0}

ELSEWHERE = """mount --bind "$1" /proc/sys/kernel/random/boot_id &&
exec env LD_PRELOAD=/usr/\\$LIB/faketime/libfaketime.so.1 FAKETIME="$2" "${@:3}" """
"""Another boot id, so that it is another host's; and another clock."""


def bot(stage: Stage, name: str, tmp_path: Path) -> None:
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("00000000-0000-0000-0000-000000000000\n")
    within = (
        *("unshare", "-m", "--propagation", "private"),
        *("bash", "-c", ELSEWHERE, "bash", str(boot_id), f"{AHEAD_S[name]:+}s"),
    )
    command = ["bots", "run", COLLECTOR, "--symbols", "*", "--name", name, "--feed", stage.address]
    stage.within(
        within, *command, FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_DISABLE_SHM="1", COLLECT_TO=str(tmp_path / name)
    )


def reported(stage: Stage, name: str) -> dict[str, Any]:
    """What `feed stat` shows of a bot, once its clock is known."""

    def look() -> dict[str, Any] | None:
        for each in stage.stat()["bots"]:
            if each["bot"] == name and each["clock_offset_ns"] is not None and each["ticks"] > 1000:
                found: dict[str, Any] = each
                return found
        return None

    return wait_for(look, lambda: f"{name} to report: {json.dumps(stage.stat()['bots'])}") or {}


@pytest.mark.parametrize("name", AHEAD_S)
def test_a_bot_with_a_wrong_clock_measures_by_the_feeds(stage: Stage, tmp_path: Path, name: str) -> None:
    stage.up(stage.feed(source__sim__rate=5000, source__sim__symbols=1))
    bot(stage, name, tmp_path)
    figures = reported(stage, name)
    assert 0 < figures["clock_uncertainty_ns"] < 1e9
    assert abs(figures["clock_offset_ns"] - AHEAD_S[name] * 1e9) <= figures["clock_uncertainty_ns"]
    (latency,) = figures["latency"]
    assert latency["transport"] == "tcp"
    assert latency["p50_ns"] < 1e9
    assert latency["negative"] < latency["count"] / 10
