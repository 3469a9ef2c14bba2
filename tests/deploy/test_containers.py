"""The image and the compose file, as far as a machine without a container engine can tell."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

import bots.cli
import feed.cli
from feed import config
from tests.e2e import processes
from tests.e2e.processes import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
UID = "10001"


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load(DEPLOY / "compose.yml")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's lines, continued ones joined: (instruction, the rest)."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def test_the_compose_file_keeps_to_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(DEPLOY / "compose.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_that_is_mounted_or_copied_is_there(compose: Any) -> None:
    volumes = set(compose["volumes"])
    used = set()
    for name, service in compose["services"].items():
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            assert target.startswith("/"), (name, volume)
            if source.startswith("."):
                assert (DEPLOY / source).exists(), (name, volume)
            else:
                used.add(source)
    assert used == volumes
    build = compose["services"]["pod"]["build"]
    assert (DEPLOY / build["context"]).resolve() == REPOSITORY
    assert (REPOSITORY / build["dockerfile"]).is_file()
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for what, rest in instructions():
        if what == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (REPOSITORY / source).exists(), source
                assert source.split("/")[0] in sent, source


def test_grafana_and_prometheus_find_what_is_mounted(compose: Any) -> None:
    services = compose["services"]
    targets = {name: [v.split(":")[1] for v in services[name]["volumes"]] for name in ("grafana", "prometheus")}
    for file in sorted((REPOSITORY / "grafana" / "provisioning" / "dashboards").glob("*.y*ml")):
        for provider in YAML(typ="safe").load(file)["providers"]:
            assert provider["options"]["path"] in targets["grafana"]
    for file in sorted((REPOSITORY / "grafana" / "provisioning" / "datasources").glob("*.y*ml")):
        for source in YAML(typ="safe").load(file)["datasources"]:
            url = re.sub(r"\$\{(\w+)\}", lambda name: services["grafana"]["environment"][name[1]], source["url"])
            assert url == "http://127.0.0.1:9090"
    settings = YAML(typ="safe").load(DEPLOY / "prometheus.yml")
    for rules in settings["rule_files"]:
        assert f"/etc/prometheus/{rules}" in targets["prometheus"]
    # All share one network, so that this file serves here as it does on a host.
    assert "127.0.0.1:9464" in str(settings) or "localhost:9464" in str(settings)
    assert {service.get("network_mode", "") for name, service in services.items() if name != "pod"} == {"service:pod"}


def test_the_settings_are_settings_and_the_commands_parse(compose: Any) -> None:
    services = compose["services"]
    environment = services["feed"]["environment"]
    assert not config.check(REPOSITORY / "config" / "feed.toml", environment)
    made = config.load(REPOSITORY / "config" / "feed.toml", environment)
    assert str(made.directory).startswith("/run/tickcast")
    shared = [volume for volume in services["feed"]["volumes"] if volume.endswith(":/run/tickcast")]
    for name in ("mean", "latency"):
        assert shared[0] in services[name]["volumes"]
        assert services[name]["environment"]["TICKCAST_LOG_ROOT"] == environment["TICKCAST_LOG_ROOT"]
    size = re.search(r"size=(\d+)m,uid=(\d+)", compose["volumes"]["log"]["driver_opts"]["o"])
    assert size is not None
    books = made.control.book_orders * 72
    assert int(size[1]) << 20 > config.size_bytes(made.log.bytes) + made.log.max_topics * 88 + books
    assert size[2] == UID
    for name, service in services.items():
        program, *rest = service.get("command", ["none"])
        if program in {"feed", "bots"}:
            group: Any = typer.main.get_command({"feed": feed.cli.app, "bots": bots.cli.app}[program])
            group.commands[rest[0]].make_context(rest[0], list(rest[1:]))
        for word in rest if name in {"mean", "latency"} else ():
            if word.startswith("/bots/"):
                assert (REPOSITORY / "bots" / "examples" / word.removeprefix("/bots/")).is_file()


def test_the_image_has_no_compiler_and_no_root(compose: Any) -> None:
    build, final = stages()
    assert all(":" in rest.split()[0] for stage in stages() for what, rest in stage if what == "FROM")
    assert any("gcc" in rest for what, rest in build if what == "RUN")
    assert not any("apt-get" in rest or "pip" in rest for what, rest in final if what == "RUN")
    user = [rest for what, rest in final if what == "USER"]
    assert user == ["tickcast"]
    assert any(f"--uid {UID}" in rest and f"--gid {UID}" in rest for what, rest in final if what == "RUN")
    for name, service in compose["services"].items():
        if service["image"] == "tickcast":
            assert service["cap_drop"] == ["ALL"], name
            assert service["read_only"] is True, name


def test_the_health_check_tells_a_well_feed_from_a_dead_one() -> None:
    (check,) = [rest for what, rest in instructions() if what == "HEALTHCHECK"]
    _, _, command = check.partition("CMD ")
    with processes.stage() as stage:
        feed_ = stage.up(stage.feed(source__sim__rate=100, feed__processes="one"))
        words = [word.replace(":9464/", f":{stage.monitor_port}/") for word in YAML(typ="safe").load(command)]
        words[0] = sys.executable
        assert subprocess.run(words, check=False).returncode == 0
        assert feed_.end() == 0
        assert subprocess.run(words, capture_output=True, check=False).returncode == 1
    assert shlex.split(dict(instructions())["STOPSIGNAL"]) == ["SIGTERM"]
