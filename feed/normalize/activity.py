"""Who trades how often in the synthetic market: names, Zipf weights, and a table to draw from them in constant time.

Integers and decimals only: the same on every processor, whatever its mathematics library.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TICKERS", "alias_table", "symbol_names", "zipf_weights"]

_TICKERS = (
    "AAPL MSFT NVDA AMZN GOOGL META TSLA AVGO LLY JPM V XOM UNH MA COST HD PG NFLX JNJ WMT ABBV CRM BAC ORCL MRK CVX "
    "KO AMD PEP ADBE TMO LIN ACN MCD CSCO ABT QCOM GE IBM TXN NOW INTU PM CAT ISRG DHR AMGN VZ DIS GS RTX PFE SPGI "
    "NEE CMCSA UBER T LOW UNP HON BKNG AXP BLK ELV SYK PGR LMT COP TJX MS BSX VRTX C REGN MDT SCHW PLD CB ADP MMC BA "
    "DE PANW KLAC GILD ADI FI SBUX BX MDLZ CI LRCX TMUS BMY SO AMT NKE MU INTC DUK"
)

TICKERS: tuple[str, ...] = tuple(_TICKERS.split())
_WEIGHT_ONE = 1 << 40


def symbol_names(n: int) -> list[str]:
    """`n` symbols: real tickers first, most active first, then S00101, S00102, ..."""
    return [TICKERS[i] if i < len(TICKERS) else f"S{i + 1:05d}" for i in range(n)]


def zipf_weights(n: int, exponent: float) -> list[int]:
    """Relative activity of the ranks 1 to `n`: rank to the power of minus `exponent`, as integers; 0 is all alike."""
    with localcontext() as context:
        context.prec = 24
        power = Decimal(repr(exponent))
        return [max(1, int(_WEIGHT_ONE / Decimal(rank) ** power)) for rank in range(1, n + 1)]


def alias_table(weights: Sequence[int]) -> tuple[list[int], list[int]]:
    """Walker's alias table as (thresholds, aliases), after Vose.

    Draw a place evenly and 32 bits; if they are below the place's threshold take the place, else its alias.
    """
    n, total = len(weights), sum(weights)
    scaled = [weight * n for weight in weights]  # in units where the mean is `total`
    thresholds, aliases = [1 << 32] * n, list(range(n))
    small = [i for i in range(n) if scaled[i] < total]
    large = [i for i in range(n) if scaled[i] >= total]
    while small and large:
        i, j = small.pop(), large[-1]
        thresholds[i], aliases[i] = (scaled[i] << 32) // total, j
        scaled[j] -= total - scaled[i]
        if scaled[j] < total:
            small.append(large.pop())
    return thresholds, aliases
