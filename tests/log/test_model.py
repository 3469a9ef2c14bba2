"""The log's protocols hold on every weak-memory execution, each of their orders is needed, and the checker is right."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import feed.log
from tests.log.model import axioms, litmus
from tests.log.model.close import Close
from tests.log.model.commit import Commit
from tests.log.model.explore import explore
from tests.log.model.fences import Fences
from tests.log.model.gate import Gate
from tests.log.model.join import Join
from tests.log.model.overrun import Overrun, Rejoin
from tests.log.model.park import Futex, Park
from tests.log.model.program import RLX
from tests.log.model.protocol import Protocol
from tests.log.model.resume import SLIPS, Broken, kill_everywhere

# --- the checker ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", litmus.TESTS, ids=lambda test: test.name)
def test_litmus(test: litmus.Litmus) -> None:
    executions = explore(litmus.parse(test.text))
    assert any(litmus.shows(x, test.outcome) for x in executions) is test.verdict


def agree(text: str) -> None:
    program = litmus.parse(text)
    built = [(tuple(x.results.values()), tuple(x.memory.values())) for x in explore(program)]
    assert set(built) == axioms.outcomes(program)


@pytest.mark.parametrize("test", litmus.TESTS, ids=lambda test: test.name)
def test_building_and_axioms_agree_on_litmus(test: litmus.Litmus) -> None:
    agree(test.text)


OPERATIONS = st.one_of(
    st.builds("R{}.{}".format, st.sampled_from("xy"), st.sampled_from(["rlx", "acq", "sc"])),
    st.builds("W{}{}.{}".format, st.sampled_from("xy"), st.integers(1, 2), st.sampled_from(["rlx", "rel", "sc"])),
    st.builds("X{}{}.{}".format, st.sampled_from("xy"), st.integers(1, 2), st.sampled_from(["rlx", "acq_rel", "sc"])),
    st.builds("F.{}".format, st.sampled_from(["acq", "rel", "acq_rel", "sc"])),
)
THREADS = st.lists(OPERATIONS, min_size=1, max_size=3).map(" ; ".join)


def is_small(text: str) -> bool:
    """The axioms try every value in every read, and every order of the writes."""
    return len(re.findall("[WXR]", text)) < 6 and text.count("X") < 3


PROGRAMS = st.lists(THREADS, min_size=2, max_size=3).map(" | ".join).filter(is_small)


@settings(max_examples=100, deadline=None)
@given(PROGRAMS)
def test_building_and_axioms_agree_on_any_program(text: str) -> None:
    agree(text)


# --- the protocols --------------------------------------------------------------------------------------------------

PROTOCOLS: list[Protocol] = [
    Commit(),
    Overrun(over=0),
    Overrun(over=8),
    Overrun(over=7),
    Rejoin(),
    Join(),
    Gate(),
    Futex(),
    Park(readers=1, commits=2),
    Park(readers=2, commits=1),
    Park(readers=2, commits=2, kernel=False),
    Park(readers=1, commits=1, thread=True),
    Close(),
]
WHOLE = [Commit(), Overrun(over=8), Rejoin(), Join(), Gate(), Futex(), Park(kernel=False), Close()]


def name(protocol: Protocol) -> str:
    return re.sub(r"fences=.*slip='[^']*'(, )?", "", repr(protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=name)
def test_holds(protocol: Protocol) -> None:
    assert protocol.flaw() is None


@pytest.mark.parametrize("dead_after", range(1, 10))
def test_killed_sleeper_costs_a_ring_at_most(dead_after: int) -> None:
    assert Park(readers=1, commits=1, dead_after=dead_after).flaw() is None


MISTAKES = [
    pytest.param(mistaken, id=f"{type(protocol).__name__}, {mistake}")
    for protocol in WHOLE
    for mistake, mistaken, _ in protocol.mistakes()
]


@pytest.mark.parametrize("mistaken", MISTAKES)
def test_mistake_is_found(mistaken: Protocol) -> None:
    flaw = mistaken.flaw()
    print(flaw)
    assert flaw is not None


SPARES = [
    pytest.param(protocol, spare, id=f"{name(protocol)}, {spare}")
    for protocol in (
        Overrun(over=0),
        Overrun(over=8),
        Rejoin(),
        Close(),
        Park(readers=1, commits=2),
        Park(readers=2, commits=1),
    )
    for spare in protocol.spares
]


@pytest.mark.parametrize(("protocol", "spare"), SPARES)
def test_spare_order_is_spare(protocol: Protocol, spare: str) -> None:
    assert protocol.weakened(spare).flaw() is None


def test_every_order_is_needed_by_some_protocol() -> None:
    stronger_than_relaxed = {field for field, order in asdict(Fences()).items() if order is not RLX}
    needed = {field for protocol in WHOLE for field in protocol.needs}
    assert stronger_than_relaxed - needed == {"ring_exchange"}


def test_orders_are_those_of_the_header() -> None:
    text = re.sub(r"/\*.*?\*/", "", (Path(feed.log.__file__).parent / "fences.h").read_text(), flags=re.S)
    found = {}
    for function, body in re.findall(r"static inline [\w ]+?\*?tc_(\w+)\([^)]*\) \{(.*?)\}\n", text, flags=re.S):
        for access, order in re.findall(r"__atomic_(?:thread_)?([a-z]+).*?__ATOMIC_(\w+)", body):
            suffix = {"fence": "_fence", "exchange": "_exchange"}.get(access, "")
            found[function + suffix] = (
                order.replace("RELAXED", "RLX").replace("ACQUIRE", "ACQ").replace("RELEASE", "REL")
            )
    orders_nothing = {"note32", "noted32"}
    of_32_bits = {name for name in found if name.endswith("32")} - orders_nothing
    assert {found.pop(name) for name in orders_nothing} == {"RLX"}
    assert {name: found.pop(name) for name in of_32_bits} == {name: found[name[:-2]] for name in of_32_bits}
    modelled = {field: order.name.replace("SC", "SEQ_CST") for field, order in asdict(Fences()).items()}
    assert found == modelled, "feed/log/fences.h (left) has another order than tests/log/model/fences.py (right) proves"


# --- after a kill ---------------------------------------------------------------------------------------------------


def test_successor_knows_what_was_committed() -> None:
    assert kill_everywhere() > 2000


@pytest.mark.parametrize("slip", SLIPS)
def test_mistake_before_a_kill_is_found(slip: str) -> None:
    with pytest.raises(Broken):
        kill_everywhere(slip)
