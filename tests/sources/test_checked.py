"""feed.sources.checked: a source held against rules is the same source; what it lost by them is counted by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feed import config, supervisor
from feed.config import SimConfig
from feed.config.validation import ValidateTable
from feed.errors import ConfigError
from feed.sources.checked import Checked
from feed.sources.sim import Sim

if TYPE_CHECKING:
    from pathlib import Path

    from feed.metrics.counters import Counters
    from tests.sources.tape import Tape

CROSSED = SimConfig(symbols=5, rate=0, ticks=3000, crossed=True)


def counted(counters: Counters, name: str) -> dict[str, int]:
    rows = [row for row in counters.rows() if row.name == name]
    return {row.labels.get("reason", row.labels.get("schema", "")): row.value for row in rows}


def played(tape: Tape, counters: Counters, rules: ValidateTable) -> int:
    source = Checked(lambda sink: Sim("sim", CROSSED, sink, counters), rules, tape.sink, counters)
    assert source.name == "sim"
    put = 0
    while not source.finished:
        put += source.poll(500)
    assert source.error is None
    source.close()
    return put


def test_what_is_left_out_is_rejected_and_no_tick_of_the_source(tape: Tape, counters: Counters) -> None:
    put = played(tape, counters, ValidateTable(crossed="drop", locked="drop"))
    taken = tape.take()
    rejected = counted(counters, "tickcast_rejected_total")
    assert rejected["crossed"] > 0
    assert set(rejected) <= {"crossed", "locked"}
    assert put == len(taken) + sum(rejected.values())
    assert sum(counted(counters, "tickcast_ticks_total").values()) == len(taken)
    assert counted(counters, "tickcast_flagged_total") == {}


def test_what_is_flagged_is_in_and_counted(tape: Tape, counters: Counters) -> None:
    put = played(tape, counters, ValidateTable(crossed="flag", size_absurd="flag"))
    flagged = counted(counters, "tickcast_flagged_total")
    assert list(flagged) == ["crossed"]
    assert len(tape.take()) == put == sum(counted(counters, "tickcast_ticks_total").values())


def test_only_sources_with_rules_are_held_against_them(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    def made(*sets: str) -> object:
        settings = config.load(None, {}, sets)
        (make,) = supervisor._sources(settings, counters)
        source = make(tape.sink)
        source.close()
        return source

    assert isinstance(made(), Sim)
    assert isinstance(made("source.sim.validate.crossed=flag"), Checked)
    own = tmp_path / "own.toml"
    own.write_text(
        '[source.mine]\nkind = "python:feed.sources.examples.walk:Walk"\nsymbols = ["A"]\nevery_ms = 1\n'
        '[source.mine.validate]\noff_band = "drop"\nband = 0.5\n'
    )
    settings = config.load(own)
    assert settings.source["mine"].validate == ValidateTable(off_band="drop", band=0.5)


def test_a_rule_that_is_none_is_said_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"source\.sim\.validate\.crosed.*crossed"):
        config.load(None, {}, ["source.sim.validate.crosed=drop"])
    with pytest.raises(ConfigError, match=r"source\.sim\.validate\.crossed.*drop"):
        config.load(None, {}, ["source.sim.validate.crossed=dorp"])
