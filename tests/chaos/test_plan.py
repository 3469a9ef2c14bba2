from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.plan import CUT_S, Blow, plan

AGENTS = ["ingest", "publish.tcp", "publish.ipc", "control", "archive"]
BOTS = ["a", "b", "c"]
LINES = ["b", "c"]


def make(seed: int, seconds: float = 600.0) -> list[Blow]:
    return plan(seed, seconds, every_s=5.0, agents=AGENTS, bots=BOTS, lines=LINES)


@given(st.integers(0, 2**32), st.integers(0, 1000))
def test_one_blow_every_so_often_at_targets_that_there_are(seed: int, seconds: int) -> None:
    blows = make(seed, seconds)
    assert [blow.at_s for blow in blows] == [5.0 * (i + 1) for i in range(seconds // 5)]
    for blow in blows:
        if blow.what == "cut":
            assert blow.target in LINES
            assert CUT_S[0] <= blow.seconds <= CUT_S[1]
        else:
            assert blow.target in [*AGENTS, *BOTS]
    assert make(seed, seconds) == blows


def test_every_kind_of_blow_is_struck_about_as_often() -> None:
    struck = Counter(
        "bot" if blow.target in BOTS and blow.what == "kill" else blow.what if blow.what == "cut" else blow.target
        for seed in range(20)
        for blow in make(seed)
    )
    publishers = struck.pop("publish.tcp") + struck.pop("publish.ipc")
    assert set(struck) == {"ingest", "control", "archive", "bot", "cut"}
    assert all(250 < n < 550 for n in [publishers, *struck.values()])


def test_other_seeds_make_other_plans() -> None:
    assert len({tuple(make(seed, 60)) for seed in range(50)}) == 50


def test_a_blow_in_words() -> None:
    assert str(Blow(5, "cut", "b", 1.5)) == "cut b off for 1.5 s"
    assert str(Blow(5, "kill", "publish.tcp")) == "kill publish.tcp"
