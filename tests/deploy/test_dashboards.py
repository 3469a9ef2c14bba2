"""grafana/: what the dashboards are made of, and every expression of panels, alerts and rules on a real Prometheus."""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from feed.metrics.counters import Counters
from feed.metrics.table import BY_NAME, METRICS, STAGES
from grafana.generate import TO, files
from tests.deploy.needs import needed
from tests.e2e.processes import Stage, free_port, wait_for
from tests.e2e.processes import stage as feed_stage

DEPLOY = Path(__file__).parents[2] / "deploy"
GRAFANA = TO.parent

NOT_IN_HEALTH: tuple[tuple[str, dict[str, str]], ...] = (
    ("tickcast_agent_restarts_total", {"agent": "ingest"}),  # nobody died
    ("tickcast_gaps_total", {"bot": "near", "cause": "slow"}),  # nothing was lost
    ("tickcast_lost_ticks_total", {"bot": "near", "cause": "slow"}),
    ("tickcast_rejected_total", {"source": "sim", "reason": "order"}),  # nothing was refused
    ("tickcast_archive_errors_total", {"cause": "full"}),  # the disk is well
    ("tickcast_archive_missing_total", {"cause": "disk full"}),
    ("tickcast_latency_seconds", {"stage": "venue", "transport": "log"}),  # no live source
)
"""What a healthy feed on the simulator has no series of: the test puts it into the feed's counters."""

SERIES = {"up"} | {
    name + suffix
    for name, metric in BY_NAME.items()
    for suffix in (("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",))
}
RECORDED = set(re.findall(r"- record: (\S+)", (DEPLOY / "rules.yml").read_text()))
SELECTOR = re.compile(r"(?<![\w:$])(up|[a-z_]*:?tickcast_[a-z0-9_]+(?::\w+)?)(\{[^}]*\})?")


@dataclass
class Prometheus:
    """A real one, scraping the feed of `stage` as deploy/prometheus.yml says."""

    stage: Stage
    url: str
    process: subprocess.Popen[bytes]

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """What an instant query gives, without values that are not numbers. AssertionError when it is refused."""
        body = urllib.parse.urlencode({"query": expr}).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query", body) as response:
                result = json.load(response)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expr}: {error.read().decode()}") from None
        return [one for one in result if not math.isnan(float(one["value"][1]))]

    def empty(self, exprs: list[str]) -> list[str]:
        """Those of `exprs` that give nothing."""
        return [expr for expr in exprs if not self.ask(expr)]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A feed under load and Prometheus beside it: simulator, archive, a bot in shared memory and one over tcp, which
    serves its figures itself too."""
    program = needed("prometheus")
    with feed_stage() as stage:
        stage.up(stage.feed(archive__path=stage.temporary / "archive", source__sim__rate=5000))
        far = stage.bot("far", "tcp", "*", "", "--metrics-port", str(free_port()))
        for bot in (stage.bot("near", "shm", "*"), far):
            bot.reaches(1000)
        port = free_port()
        with subprocess.Popen([program, *_arguments(stage, tmp_path_factory.mktemp("prometheus"), port)]) as process:
            made = Prometheus(stage, f"http://127.0.0.1:{port}", process)
            try:
                wait_for(lambda: _answers(made), "Prometheus to scrape the feed")
                _bring_about(stage)
                yield made
            finally:
                process.terminate()


def test_the_files_are_what_the_boards_make() -> None:
    assert {file.name: file.read_text() for file in TO.glob("*")} == files(), "python -m grafana.generate"


def test_every_panel_has_words_units_and_a_place() -> None:
    for board in boards():
        places: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & places, panel["title"]
            assert at["x"] + at["w"] <= 24
            places |= cells
            if panel["type"] != "row":
                assert panel["description"].endswith("."), panel["title"]
                assert '"unit"' in json.dumps(panel) or panel["type"] == "state-timeline", panel["title"]


def test_dashboards_are_found_under_stable_names_and_link_to_each_other() -> None:
    uids = {board["uid"] for board in boards()}
    assert uids == {"tickcast-feed", "tickcast-bots", "tickcast-venues", "tickcast-host"}
    for board in boards():
        assert {link["url"].removeprefix("/d/") for link in board["links"]} == uids - {board["uid"]}
        assert board["templating"]["list"][0]["type"] == "datasource"


def test_the_feed_has_a_row_for_each_stage_in_the_order_of_the_data() -> None:
    (board,) = (board for board in boards() if board["uid"] == "tickcast-feed")
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    stages = [title for title in rows if title.startswith("Stage")]
    assert [title.split(", ", 1)[1].split(":")[0] for title in stages] == list(STAGES)
    text = json.dumps(board)
    assert "tickcast_latency_target_seconds" in text
    assert text.count('"heatmap"') >= len(STAGES)


def test_provisioning_is_for_the_places_that_grafana_and_compose_have() -> None:
    provider = (GRAFANA / "provisioning" / "dashboards" / "tickcast.yml").read_text()
    assert "path: /var/lib/grafana/dashboards" in provider
    source = (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    assert "timeInterval: 1s" in source
    compose = (DEPLOY / "compose.yml").read_text()
    for mount in (
        "../grafana/provisioning:/etc/grafana/provisioning:ro",
        "../grafana/dashboards:/var/lib/grafana/dashboards:ro",
    ):
        assert mount in compose


def test_only_metrics_that_exist_are_named() -> None:
    for expr in [*panel_exprs(), *rule_exprs()]:
        for name, _ in SELECTOR.findall(expr):
            assert name in SERIES | RECORDED, expr


def test_every_metric_is_shown_somewhere() -> None:
    """One that is on no dashboard and in no alert is counted for nobody."""
    text = "\n".join([*panel_exprs(), *rule_exprs()])
    unseen = {metric.name for metric in METRICS if not re.search(rf"\b{metric.name}(_\w+)?\b", text)}
    assert unseen <= {"tickcast_agent_pid", "tickcast_log_commit_timestamp_seconds", "tickcast_bot_metrics_port"}


def test_every_panel_shows_something(prometheus: Prometheus) -> None:
    exprs = [in_grafana(expr, prometheus.stage) for expr in panel_exprs()]
    wait_for(lambda: not prometheus.empty(exprs), lambda: "\n".join(["data for", *prometheus.empty(exprs)]))


def test_every_alert_and_rule_is_answered_and_what_it_asks_for_is_there(prometheus: Prometheus) -> None:
    for expr in rule_exprs():
        prometheus.ask(expr)  # mostly nothing: all is well
    selectors = sorted({name + labels for expr in rule_exprs() for name, labels in SELECTOR.findall(expr)})
    assert len(selectors) > 30
    wait_for(lambda: not prometheus.empty(selectors), lambda: "\n".join(["series of", *prometheus.empty(selectors)]))


def test_a_bot_with_a_port_of_its_own_is_discovered(prometheus: Prometheus) -> None:
    wait_for(
        lambda: prometheus.ask('tickcast_bot_ticks_total{job="tickcast-bots", bot="far"}'), "the bot's own figures"
    )


def boards() -> list[dict[str, Any]]:
    return [json.loads(text) for text in files().values()]


def panel_exprs() -> list[str]:
    """Of every panel, and what the variables are chosen from."""
    exprs = [target["expr"] for board in boards() for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(exprs) > 60
    for board in boards():
        for variable in board["templating"]["list"][1:]:
            match = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])
            assert match, variable
            exprs.append(match[1])
    return exprs


def rule_exprs() -> list[str]:
    """Of every recording rule and alert."""
    found = []
    for file in ("rules.yml", "alerts.yml"):
        text = (DEPLOY / file).read_text()
        found += [one.strip() for one in re.findall(r"^        expr: ([^>\n].*)$", text, re.MULTILINE)]
        found += [
            " ".join(one.split()) for one in re.findall(r"^        expr: >-\n((?: {10}.+\n)+)", text, re.MULTILINE)
        ]
        assert len(found) >= text.count("expr:")
    return found


def in_grafana(expr: str, stage: Stage) -> str:
    """With Grafana's variables replaced, as it would."""
    replaced = {
        "$instance": f"127.0.0.1:{stage.monitor_port}",
        "$bot": "near|far",
        "$__rate_interval": "5s",
    }
    for name, value in replaced.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


def _arguments(stage: Stage, directory: Path, port: int) -> list[str]:
    """Prometheus with the repository's files, but for the port of the feed."""
    for name in ("prometheus.yml", "rules.yml", "alerts.yml"):
        text = (DEPLOY / name).read_text().replace("127.0.0.1:9464", f"127.0.0.1:{stage.monitor_port}")
        (directory / name).write_text(text)
    return [
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        "--log.level=warn",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


def _answers(prometheus: Prometheus) -> bool:
    assert prometheus.process.poll() is None, "Prometheus has ended"
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{prometheus.url}/-/ready"):
        return bool(prometheus.ask('up{job="tickcast"} == 1'))
    return False


def _bring_about(stage: Stage) -> None:
    counters = Counters.open(stage.directory)
    for name, labels in NOT_IN_HEALTH:
        if BY_NAME[name].kind == "histogram":
            counters.histogram(name, **labels).record_n(100_000, 10)
        else:
            counters.counter(name, **labels).add(1)
    counters.close()
