"""deploy/*.yml by promtool: well-formed; each alert fires in its scene, and in no scene is there another one."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from feed.metrics.table import BY_NAME
from tests.deploy.needs import needed

DEPLOY = Path(__file__).parents[2] / "deploy"
STEP_S = 5
"""Between two scrapes and two evaluations in a scene."""
LONG = 900
"""Steps of the longest scene, somewhat more than an hour."""

FEED = 'job="tickcast", instance="feed:9464"'


def flat(*parts: tuple[float, int], then: float) -> str:
    """Values in promtool's notation: each value for so many steps, then one to the end."""
    return " ".join(f"{value}+0x{steps - 1}" for value, steps in parts) + f" {then}+0x{LONG}"


def rising(a_step: float, start: float = 0) -> str:
    return f"{start:.0f}{a_step:+.0f}x{LONG}"


NOW = rising(STEP_S)
HEALTHY: dict[str, str] = {
    "up": flat(then=1),
    'tickcast_agent_up{agent="ingest"}': flat(then=1),
    'tickcast_agent_heartbeat_timestamp_seconds{agent="ingest"}': NOW,
    'tickcast_source_tick_timestamp_seconds{source="sim"}': NOW,
    'tickcast_dropped_total{publisher="tcp",cause="overrun"}': flat(then=70),
    "tickcast_metrics_refused_total": flat(then=0),
    'tickcast_latency_seconds_count{stage="total",transport="shm"}': rising(50_000),
    'tickcast_latency_within_target_ratio{quantile="0.5",window="10s"}': flat(then=0.8),
    'tickcast_latency_burn_ratio{quantile="0.5",window="10s"}': flat(then=0.4),
    'tickcast_latency_within_target_ratio{quantile="0.99",window="10s"}': flat(then=0.995),
    'tickcast_latency_burn_ratio{quantile="0.99",window="10s"}': flat(then=0.5),
    **{f'tickcast_bot_lag_seconds{{bot="{bot}"}}': flat(then=0.05) for bot in "abc"},
    **{
        f'tickcast_bot_latency_quantile_seconds{{bot="{bot}",transport="tcp",window="10s",quantile="0.5"}}': flat(
            then=5e-4
        )
        for bot in "abc"
    },
    **{f'tickcast_bot_report_timestamp_seconds{{bot="{bot}"}}': NOW for bot in "abc"},
    **{f'tickcast_bot_ticks_total{{bot="{bot}"}}': rising(250_000) for bot in "abc"},
    **{f'tickcast_bot_filled_ticks_total{{bot="{bot}"}}': rising(100) for bot in "abc"},
    'tickcast_gaps_total{bot="a",cause="slow"}': flat(then=3),
    'tickcast_clock_offset_seconds{bot="a"}': flat(then=-1e-4),
    'tickcast_clock_uncertainty_seconds{bot="a"}': flat(then=2e-4),
    "tickcast_host_clock_error_seconds": flat(then=0.01),
    "tickcast_host_clock_synchronised": flat(then=1),
    "tickcast_log_bytes": flat(then=2**28),
    'tickcast_reader_lag_bytes{reader="archive"}': flat(then=2**20),
    'tickcast_reader_lag_bytes{reader="a"}': flat(then=2**27),
    "tickcast_archive_stopped": flat(then=0),
    "tickcast_archive_free_bytes": rising(-1e5, start=500e9),
    "tickcast_log_free_bytes": flat(then=2**30),
}


@dataclass
class Scene:
    """A healthy feed but for `series`; `seen` is every alert that is there at a time (in s), and its state."""

    what: str
    series: dict[str, str] = field(default_factory=dict)
    seen: dict[int, dict[str, str]] = field(default_factory=dict)
    evaluated_s: int = STEP_S
    """Rarely in a long scene, for the sake of the test's time."""


P, F = "pending", "firing"
QUIET: dict[str, str] = {}

SCENES = [
    Scene("health", {}, {30: QUIET, 600: QUIET}),
    Scene(
        "the monitor does not answer",
        {"up": flat((1, 12), then=0)},
        {60: {"TickcastFeedDown": P}, 75: {"TickcastFeedDown": F}},
    ),
    Scene(
        "an agent is down",
        {'tickcast_agent_up{agent="ingest"}': flat((1, 12), then=0)},
        {60: {"TickcastAgentDown": P}, 75: {"TickcastAgentDown": F}},
    ),
    Scene(
        "an agent hangs",
        {'tickcast_agent_heartbeat_timestamp_seconds{agent="ingest"}': f"0+5x12 60+0x{LONG}"},
        {65: QUIET, 75: {"TickcastAgentStuck": P}, 85: {"TickcastAgentStuck": F}},
    ),
    Scene(
        "an agent dies for the first time, and not again",
        {'tickcast_agent_restarts_total{agent="ingest"}': f"_x12 1+0x{LONG}"},
        {55: QUIET, 60: {"TickcastAgentRestarting": P}, 70: {"TickcastAgentRestarting": F}, 190: QUIET},
    ),
    Scene(
        "one bot's network loses one frame in a hundred",
        {'tickcast_bot_filled_ticks_total{bot="b"}': f"0+100x12 3700+2500x{LONG}"},
        {60: QUIET, 75: {"TickcastBotFilling": P}, 110: {"TickcastBotFilling": F}},
    ),
    Scene(
        "a source falls silent, another goes on",
        {
            'tickcast_source_tick_timestamp_seconds{source="sim"}': f"0+5x12 60+0x{LONG}",
            'tickcast_source_tick_timestamp_seconds{source="other"}': NOW,
        },
        {65: QUIET, 70: {"TickcastSourceStale": P}, 90: {"TickcastSourceStale": F}},
    ),
    Scene(
        "a publisher skips ticks, once",
        {'tickcast_dropped_total{publisher="tcp",cause="overrun"}': flat((70, 12), then=90)},
        {65: {"TickcastPublisherDropping": P}, 75: {"TickcastPublisherDropping": F}, 195: QUIET},
    ),
    Scene(
        "series find no room",
        {"tickcast_metrics_refused_total": flat((0, 12), then=2)},
        {60: {"TickcastMetricsRefused": P}, 70: {"TickcastMetricsRefused": F}},
    ),
    Scene(
        "20 in 100 ticks miss the target of p99",
        {'tickcast_latency_burn_ratio{quantile="0.99",window="10s"}': flat(then=20)},
        {
            30: {"TickcastLatencyTargetMissedFast": P, "TickcastLatencyTargetMissedSlow": P},
            90: {"TickcastLatencyTargetMissedFast": F, "TickcastLatencyTargetMissedSlow": P},
            360: {"TickcastLatencyTargetMissedFast": F, "TickcastLatencyTargetMissedSlow": F},
        },
    ),
    Scene(
        "80 in 100 ticks miss the target of p50",
        {'tickcast_latency_burn_ratio{quantile="0.5",window="10s"}': flat(then=1.6)},
        {360: {"TickcastLatencyTargetMissedFast": F, "TickcastLatencyTargetMissedSlow": F}},
    ),
    Scene(
        "a bad five minutes in a good hour",
        {'tickcast_latency_burn_ratio{quantile="0.99",window="10s"}': flat((0.2, 700), (20, 60), then=0.2)},
        {3780: QUIET},
        evaluated_s=60,
    ),
    Scene(
        "8 in 100 ticks miss the target of p99, until half an hour ago",
        {'tickcast_latency_burn_ratio{quantile="0.99",window="10s"}': flat((8, 480), then=0.2)},
        {2400: {"TickcastLatencyTargetMissedSlow": F}, 4200: QUIET},
        evaluated_s=60,
    ),
    Scene(
        "a bot is behind",
        {'tickcast_bot_lag_seconds{bot="a"}': flat((0, 12), then=2.5)},
        {60: {"TickcastBotLagging": P}, 80: {"TickcastBotLagging": F}},
    ),
    Scene(
        "a bot that was behind, and whose clock was off, has ended",
        {
            'tickcast_bot_lag_seconds{bot="a"}': flat(then=2.5),
            'tickcast_clock_offset_seconds{bot="a"}': flat(then=0.1),
            'tickcast_bot_report_timestamp_seconds{bot="a"}': f"0+5x4 20+0x{LONG}",
        },
        {55: {"TickcastBotSilent": F}},
    ),
    Scene(
        "a bot has 2 ms more of a way than the others",
        {
            'tickcast_bot_latency_quantile_seconds{bot="a",transport="tcp",window="10s",quantile="0.5"}': flat(
                (5e-4, 12), then=2.5e-3
            )
        },
        {60: {"TickcastBotSlow": P}, 80: {"TickcastBotSlow": F}},
    ),
    Scene(
        "all bots are slow, as one: no bot's fault",
        {
            f'tickcast_bot_latency_quantile_seconds{{bot="{bot}",transport="tcp",window="10s",quantile="0.5"}}': flat(
                then=5e-3
            )
            for bot in "abc"
        },
        {80: QUIET},
    ),
    Scene(
        "a bot falls silent, and is forgotten after a while",
        {'tickcast_bot_report_timestamp_seconds{bot="a"}': f"0+5x12 60+0x{LONG}"},
        {65: QUIET, 70: {"TickcastBotSilent": P}, 90: {"TickcastBotSilent": F}, 970: QUIET},
    ),
    Scene(
        "a bot's first gap of a cause",
        {'tickcast_gaps_total{bot="a",cause="expired"}': f"_x12 4+0x{LONG}"},
        {65: {"TickcastGapsUnfilled": P}, 75: {"TickcastGapsUnfilled": F}, 195: QUIET},
    ),
    Scene(
        "one gap more of a cause that a bot had before",
        {'tickcast_gaps_total{bot="a",cause="slow"}': flat((3, 60), then=4)},
        {295: QUIET, 305: {"TickcastGapsUnfilled": P}, 315: {"TickcastGapsUnfilled": F}, 435: QUIET},
    ),
    Scene(
        "old gaps when scrapes failed for a while",
        {"up": flat((1, 24), (0, 2), then=1), 'tickcast_gaps_total{bot="a",cause="slow"}': f"3+0x23 _x2 3+0x{LONG}"},
        {135: QUIET, 200: QUIET},
    ),
    Scene(
        "a bot's clock is off",
        {'tickcast_clock_offset_seconds{bot="a"}': flat((0, 12), then=-0.004)},
        {60: {"TickcastBotClockOff": P}, 125: {"TickcastBotClockOff": F}},
    ),
    Scene(
        "nobody knows a bot's clock well",
        {'tickcast_clock_uncertainty_seconds{bot="a"}': flat((0, 12), then=0.004)},
        {60: {"TickcastBotClockOff": P}, 125: {"TickcastBotClockOff": F}},
    ),
    Scene(
        "nothing steers the host's clock",
        {"tickcast_host_clock_synchronised": flat((1, 12), then=0)},
        {60: {"TickcastHostClockOff": P}, 125: {"TickcastHostClockOff": F}},
    ),
    Scene(
        "the host's clock may be 80 ms off",
        {"tickcast_host_clock_error_seconds": flat((0.001, 12), then=0.08)},
        {60: {"TickcastHostClockOff": P}, 125: {"TickcastHostClockOff": F}},
    ),
    Scene(
        "the archive's disk is full: one alert, not four",
        {
            "tickcast_archive_stopped": flat((0, 12), then=1),
            "tickcast_archive_free_bytes": flat((2e9, 12), then=0),
            'tickcast_reader_lag_bytes{reader="archive"}': rising(2**22),
            'tickcast_archive_missing_total{cause="disk full"}': f"_x12 0+9000x{LONG}",
        },
        {60: {"TickcastArchiveStopped": P}, 65: {"TickcastArchiveStopped": F}, 300: {"TickcastArchiveStopped": F}},
    ),
    Scene(
        "the archive is slower than the ticks",
        {'tickcast_reader_lag_bytes{reader="archive"}': flat((0, 12), then=2**27)},
        {60: {"TickcastArchiveBehind": P}, 70: {"TickcastArchiveBehind": F}},
    ),
    Scene(
        "the archive was overtaken",
        {'tickcast_archive_missing_total{cause="overrun"}': f"_x12 9000+0x{LONG}"},
        {65: {"TickcastArchiveIncomplete": P}, 75: {"TickcastArchiveIncomplete": F}, 195: QUIET},
    ),
    Scene(
        "little room for the archive",
        {"tickcast_archive_free_bytes": flat((2e9, 12), then=0.9e9)},
        {60: {"TickcastArchiveDiskLow": P}, 95: {"TickcastArchiveDiskLow": F}},
    ),
    Scene(
        "room for the archive, but not for an hour",
        {"tickcast_archive_free_bytes": rising(-25e6, start=12e9)},
        {60: {"TickcastArchiveDiskLow": F}},
    ),
    Scene(
        "little room in shared memory",
        {"tickcast_log_free_bytes": flat((2**30, 12), then=2**25)},
        {60: {"TickcastSharedMemoryLow": P}, 95: {"TickcastSharedMemoryLow": F}},
    ),
]


@pytest.mark.parametrize("file", ["rules.yml", "alerts.yml"])
def test_well_formed(file: str) -> None:
    promtool("check", "rules", "--lint-fatal", DEPLOY / file)


def test_prometheus_takes_the_configuration() -> None:
    promtool("check", "config", "--lint-fatal", DEPLOY / "prometheus.yml")


@pytest.mark.parametrize("evaluated_s", [STEP_S, 60])
def test_each_scene_has_its_alerts_and_no_other(tmp_path: Path, evaluated_s: int) -> None:
    tests = [
        {
            "interval": f"{STEP_S}s",
            "input_series": [
                {"series": _of_feed(name), "values": values.replace(f"x{LONG}", f"x{max(scene.seen) // STEP_S}")}
                for name, values in series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": "count by (alertname, alertstate) (ALERTS)",
                    "eval_time": f"{at}s",
                    "exp_samples": [
                        {"labels": f'{{alertname="{name}", alertstate="{state}"}}', "value": 1}
                        for name, state in seen.items()
                    ],
                }
                for at, seen in scene.seen.items()
            ],
        }
        for scene in SCENES
        if scene.evaluated_s == evaluated_s
        for series in [HEALTHY | scene.series]
    ]
    promtool_test(tmp_path, tests, evaluated_s)


def test_every_alert_fires_in_a_scene_and_is_away_in_another() -> None:
    fired = {name for scene in SCENES for seen in scene.seen.values() for name, state in seen.items() if state == F}
    assert fired == {alert["alert"] for alert in alerts()}
    assert [scene for scene in SCENES if scene.what == "health"]


def test_a_window_is_weighted_with_its_ticks(tmp_path: Path) -> None:
    """Half the time 1,000 ticks/s of which all are late, half the time 9,000 ticks/s of which none is."""
    late = f'{FEED}, quantile="0.99", window="10s"'
    series = {
        f'tickcast_latency_seconds_count{{{FEED}, stage="total", transport="shm"}}': "0+5000x60 345000+45000x60",
        f"tickcast_latency_within_target_ratio{{{late}}}": "0+0x60 1+0x60",
        f"tickcast_latency_burn_ratio{{{late}}}": "100+0x60 0+0x60",
    }
    expected = {"within_target": 0.9, "burn": 10.0}
    tests = [
        {
            "interval": "5s",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'round(quantile:tickcast_latency_{what}:ratio_rate1h{{quantile="0.99"}}, 0.1)',
                    "eval_time": "10m",
                    "exp_samples": [{"labels": f'{{{FEED}, quantile="0.99"}}', "value": value}],
                }
                for what, value in expected.items()
            ],
        }
    ]
    promtool_test(tmp_path, tests)


def test_values_are_in_units_for_people(tmp_path: Path) -> None:
    (alert,) = (alert for alert in alerts() if alert["alert"] == "TickcastBotLagging")
    labels = {"job": "tickcast", "instance": "feed:9464", "bot": "a"}
    said = {
        **alert["annotations"],
        "summary": "Bot a is 2.5s behind the feed (feed:9464)",
    }
    tests = [
        {
            "interval": f"{STEP_S}s",
            "input_series": [
                {"series": _of_feed('tickcast_bot_lag_seconds{bot="a"}'), "values": flat(then=2.5)},
                {"series": _of_feed('tickcast_bot_report_timestamp_seconds{bot="a"}'), "values": NOW},
            ],
            "alert_rule_test": [
                {
                    "alertname": alert["alert"],
                    "eval_time": "1m",
                    "exp_alerts": [{"exp_labels": {**labels, **alert["labels"]}, "exp_annotations": said}],
                }
            ],
        }
    ]
    promtool_test(tmp_path, tests)


def test_every_alert_says_what_is_the_matter_and_where_to_read_on() -> None:
    for alert in alerts():
        name = alert["alert"]
        assert alert["labels"]["severity"] in {"critical", "warning"}, name
        assert alert["annotations"]["runbook_url"] == f"deploy/RUNBOOK.md#{name.lower()}"
        assert {"summary", "description"} < alert["annotations"].keys()
        assert "$labels.instance" in alert["annotations"]["summary"]
        assert re.fullmatch(r"\d+[sm]", alert["for"]), name


def test_each_alert_has_its_heading_in_the_runbook_and_each_heading_its_alert() -> None:
    headings = re.findall(r"^## (Tickcast\w+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)
    assert headings == list(dict.fromkeys(headings))
    assert set(headings) == {alert["alert"] for alert in alerts()}


def test_alerts_are_judged_often_enough_to_be_pending_within_15_seconds() -> None:
    for file in ("rules.yml", "alerts.yml"):
        text = (DEPLOY / file).read_text()
        assert text.count("- name: ") == text.count("interval: 5s")


def test_the_alerts_metrics_are_in_the_table() -> None:
    """What has no series in a healthy feed is not there to be asked for: its name is compared with the table."""
    for file in ("rules.yml", "alerts.yml"):
        for name in re.findall(r"(?<![\w:])tickcast_\w+", re.sub(r'"[^"]*"', "", (DEPLOY / file).read_text())):
            family = re.sub(r"_(bucket|count|sum)$", "", name)
            assert name in BY_NAME or (family in BY_NAME and BY_NAME[family].kind == "histogram"), name


def alerts() -> list[dict[str, Any]]:
    """Every alert of alerts.yml, as Prometheus would hand it out."""
    found = []
    for block in (DEPLOY / "alerts.yml").read_text().split("      - alert: ")[1:]:
        lines = dict(re.findall(r"^ +(\w+): (.+)$", block, re.MULTILINE))
        found.append(
            {
                "alert": block.split("\n", 1)[0],
                "for": lines["for"],
                "labels": {"severity": lines["severity"]},
                "annotations": {key: lines[key].strip('"') for key in ("summary", "description", "runbook_url")},
            }
        )
    return found


def promtool(*args: object) -> str:
    done = subprocess.run(
        [needed("promtool"), *map(str, args)], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, re.sub(r"\n\s*\n+", "\n", done.stdout + done.stderr)
    return done.stdout


def promtool_test(directory: Path, tests: list[dict[str, Any]], evaluated_s: int = STEP_S) -> None:
    """Run promtool's rule tests; JSON is YAML.

    Groups go in the files' order: promtool would take any, and an alert that is judged before what it asks for was
    recorded comes one step late.
    """
    file = directory / "scenes.yml"
    rules = [DEPLOY / name for name in ("rules.yml", "alerts.yml")]
    groups = [name for rule in rules for name in re.findall(r"^  - name: (.+)$", rule.read_text(), re.MULTILINE)]
    said = {
        "rule_files": [str(rule) for rule in rules],
        "evaluation_interval": f"{evaluated_s}s",
        "group_eval_order": groups,
        "tests": tests,
    }
    file.write_bytes(orjson.dumps(said))
    promtool("test", "rules", file)


def _of_feed(series: str) -> str:
    """Put the feed's labels beside its own."""
    name, _, labels = series.partition("{")
    return f"{name}{{{FEED}{', ' + labels if labels else '}'}"
