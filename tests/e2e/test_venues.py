"""Sources of several kinds in one daemon: each in its thread, all to every bot, and each with its own figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakevenue.together import SIM_PER_S, together

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.processes import Stage


def test_itch_a_venue_and_the_simulator_reach_every_bot(stage: Stage, data_dir: Path) -> None:
    itch = data_dir / "runk-itch" / "test" / "locate-13-10k.bin"
    sources = together(stage, itch, 2.0, 2)["sources"]
    assert sum(sources["sim"]["ticks"].values()) == 2 * SIM_PER_S
    assert sources["nasdaq"]["ticks"]["quote"] > 2000
    assert sources["binance"]["ticks"]["definition"] == 2
    assert sources["binance"]["ticks"]["book"] > 100
    assert (sources["binance"]["connections"], sources["binance"]["resyncs"]) == (1, {})
    assert sources["sim"]["connections"] is None
