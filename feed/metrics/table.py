"""Every metric there is: name, kind, unit, labels, who writes it, what it means. Nothing else is counted or exported.

Memory holds integers in the smallest unit (`ns`, `bytes`, `ticks`, ...); `Metric.divisor` turns them into what the name
says on the way out. A metric that is `derived` has no row in the counters file: the exporter works it out at each
scrape from the configuration, the log or the histograms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["BY_NAME", "EDGE_LIMIT", "METRICS", "STAGES", "Kind", "Metric", "edges_ns"]

Kind = Literal["counter", "gauge", "histogram"]

STAGES: Final = {
    "venue": "ts_event to ts_in, live sources only",
    "ingest": "ts_in to committed",
    "publish": "committed to ts_sent",
    "wire": "ts_sent to the bot has it",
    "total": "ts_in to the bot's callback starts",
    "handler": "the bot's callback itself",
}
"""The stages of a tick's way, in its order, and what each measures."""

EDGE_LIMIT: Final = 23
"""Finite bucket edges of an exported histogram; with +Inf there are 24 buckets."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. `limit` bounds its rows (cardinality): further ones are refused and counted."""

    name: str
    kind: Kind
    unit: str
    """Of the integers in memory: ns, bytes, ticks, frames, ... ; "wall ns" is a time since 1970."""
    labels: tuple[str, ...]
    writer: str
    help: str
    limit: int = 256
    derived: bool = False

    @property
    def divisor(self) -> int:
        """Exported value = value in memory divided by this (dividing keeps 13400 ns at 1.34e-05)."""
        return 1_000_000_000 if self.unit.endswith("ns") else 1


METRICS: Final = (
    # --- sources
    Metric(
        "tickcast_ticks_total", "counter", "ticks", ("source", "schema"), "source", "Ticks a source put in.", limit=512
    ),
    Metric(
        "tickcast_rejected_total",
        "counter",
        "ticks",
        ("source", "reason"),
        "source",
        "What a source refused to put in, by reason.",
        limit=512,
    ),
    Metric(
        "tickcast_flagged_total",
        "counter",
        "ticks",
        ("source", "reason"),
        "source",
        "Ticks that were put in although they break a rule of validation, flagged as doubtful, by rule.",
        limit=512,
    ),
    Metric(
        "tickcast_capture_bytes_total",
        "counter",
        "bytes",
        ("source",),
        "source",
        "Bytes of what came in from outside that a source has kept in its capture, compressed.",
    ),
    Metric(
        "tickcast_capture_lost_total",
        "counter",
        "messages",
        ("source",),
        "source",
        "Messages that are not in a source's capture: the disk failed, or did not keep up.",
    ),
    Metric(
        "tickcast_source_resyncs_total",
        "counter",
        "resyncs",
        ("source", "cause"),
        "source",
        "How often a source got a book or a connection anew because it may have missed something, by cause.",
        limit=512,
    ),
    Metric("tickcast_source_connections", "gauge", "sockets", ("source",), "source", "Connections that are up."),
    Metric(
        "tickcast_source_read_bytes",
        "gauge",
        "bytes",
        ("source",),
        "ingest",
        "Bytes of its files that a source has read: recordings, captures. With loop it begins at 0 again.",
    ),
    Metric("tickcast_source_file_bytes", "gauge", "bytes", ("source",), "ingest", "Size of a source's files together."),
    Metric(
        "tickcast_source_tick_timestamp_seconds",
        "gauge",
        "wall ns",
        ("source",),
        "exporter",
        "When a source last put a tick in, as the monitor saw it, seconds since 1970.",
        derived=True,
    ),
    # --- latency
    Metric(
        "tickcast_latency_seconds",
        "histogram",
        "ns",
        ("stage", "transport"),
        "sequencer (ingest), source (venue), publisher (publish), control for the bots (wire, total, handler)",
        "Time a tick spends in a stage: venue, ingest, publish, wire, total, handler.",
        limit=128,
    ),
    Metric(
        "tickcast_latency_negative_total",
        "counter",
        "ticks",
        ("stage", "transport"),
        "exporter",
        "Differences below zero (clock skew) that are in no latency histogram.",
        limit=128,
        derived=True,
    ),
    Metric(
        "tickcast_latency_target_seconds",
        "gauge",
        "ns",
        ("quantile",),
        "monitor",
        "What latency.targets asks of a quantile of stage total.",
    ),
    Metric(
        "tickcast_latency_quantile_seconds",
        "gauge",
        "ns",
        ("stage", "transport", "window", "quantile"),
        "exporter",
        "Quantiles of a stage over the last 10 s, 1 min and 15 min, within 0.8 %; quantile 1 is the longest.",
        derived=True,
    ),
    Metric(
        "tickcast_latency_within_target_ratio",
        "gauge",
        "ratio",
        ("quantile", "window"),
        "exporter",
        "Share of ticks whose stage total kept the target of a quantile.",
        derived=True,
    ),
    Metric(
        "tickcast_latency_burn_ratio",
        "gauge",
        "ratio",
        ("quantile", "window"),
        "exporter",
        "How fast the share that may miss a target is used up: at 1 exactly as many miss it as may.",
        derived=True,
    ),
    Metric(
        "tickcast_fanout_skew_seconds",
        "histogram",
        "ns",
        (),
        "control",
        "From the first bot to the last one that has the same tick.",
    ),
    # --- publishers
    Metric("tickcast_sent_total", "counter", "ticks", ("publisher",), "publisher", "Ticks handed to the transport."),
    Metric(
        "tickcast_dropped_total",
        "counter",
        "ticks",
        ("publisher", "cause"),
        "publisher",
        "Ticks a publisher itself skipped, by cause.",
    ),
    # --- bots, as they report themselves
    Metric(
        "tickcast_requests_total",
        "counter",
        "requests",
        ("publisher", "outcome"),
        "publisher",
        "Requests for lost multicast: answered, or gone, limited, foreign, malformed.",
    ),
    Metric(
        "tickcast_resent_total",
        "counter",
        "ticks",
        ("publisher",),
        "publisher",
        "Ticks sent again to who asked for them.",
    ),
    Metric(
        "tickcast_bot_latency_seconds",
        "histogram",
        "ns",
        ("bot", "transport"),
        "control",
        "Stage total as a bot measures it: ts_in to its callback.",
    ),
    Metric(
        "tickcast_bot_latency_negative_total",
        "counter",
        "ticks",
        ("bot", "transport"),
        "exporter",
        "A bot's differences below zero (clock skew), in no histogram.",
        derived=True,
    ),
    Metric(
        "tickcast_bot_latency_quantile_seconds",
        "gauge",
        "ns",
        ("bot", "transport", "window", "quantile"),
        "exporter",
        "Quantiles of a bot's stage total over the last 10 s, 1 min and 15 min; quantile 1 is the longest.",
        derived=True,
    ),
    Metric("tickcast_bot_ticks_total", "counter", "ticks", ("bot",), "control", "Ticks a bot was given."),
    Metric(
        "tickcast_bot_filled_ticks_total",
        "counter",
        "ticks",
        ("bot",),
        "control",
        "Ticks that were missing when their time came, and that a bot was given later.",
    ),
    Metric("tickcast_gaps_total", "counter", "gaps", ("bot", "cause"), "control", "Gaps a bot met.", limit=1024),
    Metric(
        "tickcast_lost_ticks_total",
        "counter",
        "ticks",
        ("bot", "cause"),
        "control",
        "Ticks a bot missed for good, by cause.",
        limit=1024,
    ),
    Metric("tickcast_bot_lag_seconds", "gauge", "ns", ("bot",), "control", "How far behind the feed a bot is."),
    Metric(
        "tickcast_bot_report_timestamp_seconds",
        "gauge",
        "wall ns",
        ("bot",),
        "control",
        "When a bot last reported its figures, seconds since 1970.",
    ),
    Metric(
        "tickcast_bot_skew_seconds",
        "gauge",
        "ns",
        ("bot",),
        "control",
        "How long after the first bot this one had the same ticks: the median of those compared last.",
    ),
    Metric(
        "tickcast_bot_metrics_port",
        "gauge",
        "port",
        ("bot", "host"),
        "control",
        "Port at which a bot serves its own figures.",
    ),
    Metric(
        "tickcast_bot_pause_seconds_total",
        "counter",
        "ns",
        ("bot", "cause"),
        "control",
        "Time a bot was held up: by gc (garbage collection), by gil (awake, waiting for the interpreter lock).",
        limit=512,
    ),
    Metric(
        "tickcast_bot_context_switches_total",
        "counter",
        "switches",
        ("bot", "kind"),
        "control",
        "Context switches of a bot's process: voluntary, involuntary.",
        limit=512,
    ),
    Metric(
        "tickcast_bot_line_first_total",
        "counter",
        "ticks",
        ("bot", "line"),
        "control",
        "Ticks of multicast that a line brought a bot before any other line.",
        limit=512,
    ),
    Metric(
        "tickcast_bot_line_late_total",
        "counter",
        "ticks",
        ("bot", "line"),
        "control",
        "Ticks of multicast that a bot had already when a line brought them.",
        limit=512,
    ),
    Metric(
        "tickcast_bot_line_lost_total",
        "counter",
        "ticks",
        ("bot", "line"),
        "control",
        "Ticks of multicast that a line never brought a bot; another line or a request may have.",
        limit=512,
    ),
    Metric(
        "tickcast_bot_page_faults_total",
        "counter",
        "faults",
        ("bot", "kind"),
        "control",
        "Page faults of a bot's process: major (from disk), minor.",
        limit=512,
    ),
    Metric(
        "tickcast_clock_offset_seconds",
        "gauge",
        "ns",
        ("bot",),
        "control",
        "A bot's clock minus the feed's.",
    ),
    Metric(
        "tickcast_clock_uncertainty_seconds",
        "gauge",
        "ns",
        ("bot",),
        "control",
        "How far the true clock offset of a bot may be from the one that is shown.",
    ),
    # --- the host
    Metric(
        "tickcast_host_clock_error_seconds",
        "gauge",
        "ns",
        (),
        "exporter",
        "The kernel's bound of this host's clock error; grows while nothing steers the clock.",
        derived=True,
    ),
    Metric(
        "tickcast_host_clock_synchronised",
        "gauge",
        "bool",
        (),
        "exporter",
        "1 while something (NTP, PTP) steers this host's clock.",
        derived=True,
    ),
    # --- the log and its readers
    Metric(
        "tickcast_log_bytes", "gauge", "bytes", (), "exporter", "Size of the tick log in shared memory.", derived=True
    ),
    Metric(
        "tickcast_log_ticks_total",
        "counter",
        "ticks",
        (),
        "exporter",
        "Ticks committed in this epoch: the last sequence number.",
        derived=True,
    ),
    Metric(
        "tickcast_log_horizon_seconds",
        "gauge",
        "ns",
        (),
        "exporter",
        "How long the log holds a tick at the present rate.",
        derived=True,
    ),
    Metric(
        "tickcast_log_commit_timestamp_seconds",
        "gauge",
        "wall ns",
        (),
        "exporter",
        "When the last tick was committed, seconds since 1970.",
        derived=True,
    ),
    Metric(
        "tickcast_log_free_bytes",
        "gauge",
        "bytes",
        (),
        "exporter",
        "Room left on the memory file system of the log.",
        derived=True,
    ),
    Metric(
        "tickcast_reader_lag_bytes",
        "gauge",
        "bytes",
        ("reader",),
        "exporter",
        "How far behind the log's end a registered reader is.",
        derived=True,
    ),
    Metric(
        "tickcast_archive_durable_seq",
        "gauge",
        "ticks",
        (),
        "archive",
        "Sequence number up to which the archive is on disk.",
    ),
    Metric(
        "tickcast_archive_stopped",
        "gauge",
        "bool",
        (),
        "archive",
        "1 while the archive cannot write: its disk is full or fails. The feed goes on without it.",
    ),
    Metric(
        "tickcast_archive_errors_total",
        "counter",
        "errors",
        ("cause",),
        "archive",
        "Attempts to write the archive that failed: full (no room on the disk), disk (anything else).",
    ),
    Metric(
        "tickcast_archive_missing_total",
        "counter",
        "ticks",
        ("cause",),
        "archive",
        "Ticks that the archive will never have, recorded in it as missing, by cause.",
    ),
    Metric("tickcast_archive_bytes", "gauge", "bytes", (), "archive", "Size of the archive on disk."),
    Metric(
        "tickcast_archive_free_bytes",
        "gauge",
        "bytes",
        (),
        "exporter",
        "Room left on the disk of the archive.",
        derived=True,
    ),
    # --- agents
    Metric(
        "tickcast_agent_up", "gauge", "bool", ("agent",), "supervisor", "1 while an agent runs, 0 while it is down."
    ),
    Metric("tickcast_agent_pid", "gauge", "pid", ("agent",), "supervisor", "Process an agent runs in."),
    Metric(
        "tickcast_agent_heartbeat_timestamp_seconds",
        "gauge",
        "wall ns",
        ("agent",),
        "the agent's loop",
        "When an agent's loop last said that it turns, seconds since 1970.",
    ),
    Metric(
        "tickcast_agent_restarts_total",
        "counter",
        "restarts",
        ("agent",),
        "supervisor",
        "How often an agent died and was started again.",
    ),
    Metric(
        "tickcast_agent_gc_pause_seconds",
        "histogram",
        "ns",
        ("agent",),
        "the agent's loop",
        "Garbage collections in an agent's process: how long each held it up.",
    ),
    Metric(
        "tickcast_agent_stall_seconds",
        "histogram",
        "ns",
        ("agent",),
        "the agent's loop",
        "Turns of an agent's loop that took 1 ms or longer.",
    ),
    Metric(
        "tickcast_agent_cpu_seconds_total",
        "counter",
        "ns",
        ("agent",),
        "exporter",
        "Processor time of an agent's process.",
        derived=True,
    ),
    Metric(
        "tickcast_agent_resident_bytes",
        "gauge",
        "bytes",
        ("agent",),
        "exporter",
        "Memory of an agent's process, what it maps of the log included.",
        derived=True,
    ),
    Metric(
        "tickcast_agent_context_switches_total",
        "counter",
        "switches",
        ("agent", "kind"),
        "exporter",
        "Context switches of an agent's process: voluntary, involuntary.",
        derived=True,
    ),
    Metric(
        "tickcast_agent_page_faults_total",
        "counter",
        "faults",
        ("agent", "kind"),
        "exporter",
        "Page faults of an agent's process: major (from disk), minor.",
        derived=True,
    ),
    # --- this version, and the counters file itself
    Metric(
        "tickcast_build_info",
        "gauge",
        "info",
        ("version",),
        "exporter",
        "1; the feed's version is the label.",
        derived=True,
    ),
    Metric(
        "tickcast_metrics_refused_total",
        "counter",
        "rows",
        (),
        "exporter",
        "Series that were refused for want of room; their figures are not here.",
        derived=True,
    ),
)

BY_NAME: Final = {metric.name: metric for metric in METRICS}

# Finite edges in ns, the ones that matter most first: where there are many targets the last ones give way.
_EDGES_NS: Final = (
    *(100, 10_000_000_000),
    *(1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000),
    *(5_000, 50_000, 25_000, 2_500, 250_000, 500_000),
    *(250, 500, 5_000_000, 2_500_000, 50_000_000, 25_000_000, 250_000_000),
)


def edges_ns(targets_ns: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The finite bucket edges of an exported histogram in ns, ascending: 100 ns to 10 s, one at every target.

    At most `EDGE_LIMIT`; of more targets than fit, the smallest have one.
    """
    edges = {100, 10_000_000_000, *sorted(set(targets_ns))[: EDGE_LIMIT - 2]}
    for edge in _EDGES_NS:
        if len(edges) == EDGE_LIMIT:
            break
        edges.add(edge)
    return tuple(sorted(edges))
