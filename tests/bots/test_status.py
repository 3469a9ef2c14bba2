"""Trading status: DBN's own enumerations are the oracle for the codes."""

from __future__ import annotations

import databento_dbn
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.status import StatusAction, StatusReason, Trading

A, R = StatusAction, StatusReason


@pytest.mark.parametrize("codes", [StatusAction, StatusReason])
def test_codes_are_those_of_dbn(codes: type[StatusAction] | type[StatusReason]) -> None:
    oracle = {each.name: int(each.value) for each in getattr(databento_dbn, codes.__name__).variants()}
    assert {code.name: code.value for code in codes} == oracle


@pytest.mark.parametrize(
    ("records", "halted", "why"),
    [
        ([], False, ""),
        ([(A.TRADING, R.SCHEDULED, "Y")], False, "trading: scheduled"),
        ([(A.TRADING, R.SCHEDULED, "Y"), (A.HALT, R.NEWS_PENDING, "N")], True, "halt: news pending"),
        ([(A.PAUSE, R.LULD_PAUSE, "N")], True, "pause: luld pause"),
        ([(A.SUSPEND, R.NONE, "~")], True, "suspend"),
        ([(A.NOT_AVAILABLE_FOR_TRADING, R.NONE, "N")], True, "not available for trading"),
        ([(A.HALT, R.NEWS_PENDING, "N"), (A.QUOTING, R.NEWS_RELEASED, "N")], True, "quoting: news released"),
        ([(A.HALT, R.NEWS_PENDING, "N"), (A.CROSS, R.NONE, "Y")], False, "cross"),
        ([(A.HALT, R.NEWS_PENDING, "N"), (A.TRADING, R.NEWS_RELEASED, "Y")], False, "trading: news released"),
        ([(A.HALT, R.NEWS_PENDING, "N"), (A.SSR_CHANGE, R.NONE, "~")], True, "halt: news pending"),
        ([(A.HALT, R.NEWS_PENDING, "N"), (A.NONE, R.NONE, "Y")], False, "none"),
        ([(A.SSR_CHANGE, R.NONE, "N")], True, "ssr change"),
        ([(A.PRE_OPEN, R.SCHEDULED, "N")], False, "pre open: scheduled"),
        ([(A.HALT, R.NONE, "N"), (A.PRE_CLOSE, R.SCHEDULED, "N")], True, "pre close: scheduled"),
        ([(A.HALT, R.NONE, "N"), (A.CLOSE, R.SCHEDULED, "N")], False, "close: scheduled"),
        ([(A.CLOSE, R.SCHEDULED, "N"), (A.SSR_CHANGE, R.NONE, "N")], False, "close: scheduled"),
        ([(A.HALT, R.NONE, "N"), (77, 177, "N")], True, "action 77: reason 177"),
        ([(77, 177, "Y")], False, "action 77: reason 177"),
    ],
)
def test_what_records_say(records: list[tuple[int, int, str]], halted: bool, why: str) -> None:
    trading = Trading()
    for at, (action, reason, is_trading) in enumerate(records):
        trading.take(action, reason, is_trading, 1000 + at)
    assert (trading.halted, trading.why) == (halted, why)


def test_since_when() -> None:
    trading = Trading()
    trading.take(A.HALT, R.NEWS_PENDING, "N", 5)
    trading.take(A.SSR_CHANGE, R.NONE, "~", 6)
    assert trading.since_ns == 5
    trading.take(A.TRADING, R.NEWS_RELEASED, "Y", 9)
    assert trading.since_ns == 9


RECORDS = st.lists(
    st.tuples(st.integers(0, 17), st.sampled_from([0, 1, 30, 65535]), st.sampled_from("YN~"), st.integers(0, 2**64 - 1))
)


@given(RECORDS, st.sampled_from("YN~"))
def test_any_records_then_a_halt_then_trading(records: list[tuple[int, int, str, int]], flag: str) -> None:
    trading = Trading()
    for record in records:
        trading.take(*record)
    for action in (A.HALT, A.PAUSE, A.SUSPEND):
        trading.take(action, R.NONE, flag, 1)
        assert trading.halted
        assert not trading.closed
    trading.take(A.TRADING, R.NONE, flag, 2)
    assert (trading.halted, trading.closed, trading.why, trading.since_ns) == (False, False, "trading", 2)
