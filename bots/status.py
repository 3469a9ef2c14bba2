"""Trading status in words: the codes of DBN's StatusMsg, and what they say about whether a symbol is halted. Pure."""

from __future__ import annotations

import functools
from enum import IntEnum
from typing import Final

__all__ = ["StatusAction", "StatusReason", "Trading"]


class StatusAction(IntEnum):
    """`action` of a status record: what happens to the instrument (DBN v3)."""

    NONE = 0
    PRE_OPEN = 1
    PRE_CROSS = 2
    QUOTING = 3
    CROSS = 4
    ROTATION = 5
    NEW_PRICE_INDICATION = 6
    TRADING = 7
    HALT = 8
    PAUSE = 9
    SUSPEND = 10
    PRE_CLOSE = 11
    CLOSE = 12
    POST_CLOSE = 13
    SSR_CHANGE = 14
    NOT_AVAILABLE_FOR_TRADING = 15


class StatusReason(IntEnum):
    """`reason` of a status record: why it happens (DBN v3)."""

    NONE = 0
    SCHEDULED = 1
    SURVEILLANCE_INTERVENTION = 2
    MARKET_EVENT = 3
    INSTRUMENT_ACTIVATION = 4
    INSTRUMENT_EXPIRATION = 5
    RECOVERY_IN_PROCESS = 6
    REGULATORY = 10
    ADMINISTRATIVE = 11
    NON_COMPLIANCE = 12
    FILINGS_NOT_CURRENT = 13
    SEC_TRADING_SUSPENSION = 14
    NEW_ISSUE = 15
    ISSUE_AVAILABLE = 16
    ISSUES_REVIEWED = 17
    FILING_REQS_SATISFIED = 18
    NEWS_PENDING = 30
    NEWS_RELEASED = 31
    NEWS_AND_RESUMPTION_TIMES = 32
    NEWS_NOT_FORTHCOMING = 33
    ORDER_IMBALANCE = 40
    LULD_PAUSE = 50
    OPERATIONAL = 60
    ADDITIONAL_INFORMATION_REQUESTED = 70
    MERGER_EFFECTIVE = 80
    ETF = 90
    CORPORATE_ACTION = 100
    NEW_SECURITY_OFFERING = 110
    MARKET_WIDE_HALT_LEVEL1 = 120
    MARKET_WIDE_HALT_LEVEL2 = 121
    MARKET_WIDE_HALT_LEVEL3 = 122
    MARKET_WIDE_HALT_CARRYOVER = 123
    MARKET_WIDE_HALT_RESUMPTION = 124
    QUOTATION_NOT_AVAILABLE = 130


BEGINS_HALT: Final = {
    StatusAction.HALT,
    StatusAction.PAUSE,
    StatusAction.SUSPEND,
    StatusAction.NOT_AVAILABLE_FOR_TRADING,
}
ENDS_HALT: Final = {StatusAction.TRADING, StatusAction.CLOSE, StatusAction.POST_CLOSE}
SAYS_NOTHING: Final = {StatusAction.NONE, StatusAction.SSR_CHANGE}
CLOSES: Final = {StatusAction.CLOSE, StatusAction.POST_CLOSE}


class Trading:
    """One symbol, by its status records in their order.

    ======================================= ====================================================================
    halt, pause, suspend, not available     halted
    trading, close, post close              not halted
    any other, is_trading Y                 not halted
    none, ssr change, is_trading N          halted
    any other                               as before: quoting before a reopening ends no halt, and begins none
    ======================================= ====================================================================

    :ivar why: the last record that said something, in words; "" before the first.
    :ivar since_ns: its ts_event, ns since 1970.
    """

    __slots__ = ("closed", "halted", "since_ns", "why")

    def __init__(self) -> None:
        self.halted = False
        self.closed = False
        self.why = ""
        self.since_ns = 0

    def take(self, action: int, reason: int, is_trading: str, ts_event: int) -> None:
        """A status record: its fields as they are. Codes that are not known count as any other."""
        if action in BEGINS_HALT:
            halted = True
        elif action in ENDS_HALT or is_trading == "Y":
            halted = False
        elif action in SAYS_NOTHING and is_trading == "N":
            halted = not self.closed
        else:
            halted = self.halted
        if action in SAYS_NOTHING and halted == self.halted and self.why:
            return
        self.halted = halted
        self.closed = action in CLOSES
        self.why = (
            f"{_words(StatusAction, action)}: {_words(StatusReason, reason)}"
            if reason
            else _words(StatusAction, action)
        )
        self.since_ns = ts_event


@functools.cache
def _words(codes: type[StatusAction] | type[StatusReason], code: int) -> str:
    try:
        return codes(code).name.lower().replace("_", " ")
    except ValueError:
        return f"{codes.__name__.removeprefix('Status').lower()} {code}"
