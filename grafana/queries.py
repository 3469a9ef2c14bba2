"""The PromQL that panels have in common, on the chosen feed's series.

A panel of what should never happen shows 0 and not "no data": its expression ends with ``or on (...) 0 *`` something
that is there.
"""

from __future__ import annotations

from grafana.panels import Expr

__all__ = ["RATE", "TARGETS", "bucket_quantile", "of", "per_s"]

RATE = "[$__rate_interval]"


def of(metric: str, **labels: str) -> str:
    """A selector; a value that begins with ~ is a regular expression."""
    pairs = {"instance": "$instance", **labels}.items()
    return f"{metric}{{{', '.join(_match(*pair) for pair in pairs)}}}"


def per_s(by: str, metric: str, **labels: str) -> str:
    return f"sum by ({by}) (rate({of(metric, **labels)}{RATE}))"


def bucket_quantile(quantile: float, by: str, metric: str) -> str:
    """From the exported buckets, over a minute: for histograms that have no exact quantiles."""
    inside = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({quantile}, sum by ({inside}) (rate({of(metric + '_bucket')}[1m])))"


def _match(label: str, value: str) -> str:
    return f'{label}=~"{value[1:]}"' if value.startswith("~") else f'{label}="{value}"'


TARGETS = Expr(of("tickcast_latency_target_seconds"), "target of quantile {{quantile}}")
"""Drawn as dashed lines."""
