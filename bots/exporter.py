"""A bot's own figures for Prometheus, at a port of its own: for those that no monitor sees or has room for.

The names are those of feed/metrics/table.py. It is served by a thread that only wakes when it is asked.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from feed.errors import ConfigError, HostError
from feed.metrics.table import BY_NAME, edges_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from bots.delivery import Delivery
    from bots.gap import Losses

__all__ = ["Exporter"]

F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily)

EDGES_NS = edges_ns()
EDGE_NAMES = [f"{edge / 1e9:g}" for edge in EDGES_NS] + ["+Inf"]


class Exporter(Collector):
    """Serves the figures of bot `name` at `where`: a port on this machine alone, or "HOST:PORT".

    :ivar address: "HOST:PORT" as others reach it; with port 0 the kernel chose.
    :raises ConfigError, HostError: there is no such address, or it is taken.
    """

    def __init__(self, where: int | str, name: str, delivery: Delivery, losses: Losses) -> None:
        address, _, port = str(where).rpartition(":")
        if not port.isdecimal() or int(port) > 65535:
            raise ConfigError("not a port", expected="9465 or 0.0.0.0:9465", found=repr(where), where="metrics_port")
        self._name = name
        self._delivery = delivery
        self._losses = losses
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(int(port), address or "127.0.0.1", registry)
        except OSError as error:
            raise HostError(
                "the metrics port can't be had", found=error.strerror or str(error), where=f"metrics_port {where}"
            ) from error
        at = "127.0.0.1" if address in {"", "127.0.0.1", "localhost"} else address
        self.address = f"{socket.gethostname() if at in {'0.0.0.0', '::'} else at}:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterator[Metric]:
        """What the bot has measured since it began."""
        delivery, name = self._delivery, self._name
        latency = _family("tickcast_bot_latency_seconds", HistogramMetricFamily)
        total = delivery.total.copy()
        buckets = list(zip(EDGE_NAMES, total.cumulative(EDGES_NS), strict=True))
        latency.add_metric([name, delivery.transport], buckets, total.sum_ns / 1e9)
        yield latency
        ticks = _family("tickcast_bot_ticks_total", CounterMetricFamily)
        ticks.add_metric([name], delivery.ticks)
        yield ticks
        for metric, causes in (
            ("tickcast_gaps_total", self._losses.gaps),
            ("tickcast_lost_ticks_total", self._losses.ticks),
        ):
            family = _family(metric, CounterMetricFamily)
            for cause, n in dict(causes).items():
                family.add_metric([name, cause], n)
            yield family
        lag = _family("tickcast_bot_lag_seconds", GaugeMetricFamily)
        lag.add_metric([name], delivery.last_lag_ns / 1e9)
        yield lag


def _family(name: str, kind: Callable[..., F]) -> F:
    metric = BY_NAME[name]
    return kind(name, metric.help, labels=metric.labels)
