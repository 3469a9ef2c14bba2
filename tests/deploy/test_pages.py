"""deploy/README.md: what it links and names exists, and logrotate does what it says."""

from __future__ import annotations

import gzip
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = REPOSITORY / "deploy"
README = (DEPLOY / "README.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "deploy/README.md", "deploy/MULTICAST.md", "bots/FROM_ZEROMQ.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    at = REPOSITORY / page
    for target in re.findall(r"\]\(([^)#]+?)\)", re.sub(r"```.*?```", "", at.read_text(), flags=re.S)):
        if "://" not in target:
            assert (at.parent / target).exists(), f"{page}: {target}"


def test_every_file_here_is_told_of() -> None:
    told = README + (DEPLOY / "RUNBOOK.md").read_text()
    for path in DEPLOY.iterdir():
        assert path.name in told or path.name == "system-packages.sh", path.name


def test_every_file_that_a_command_installs_is_there() -> None:
    for source in re.findall(r"^install -m \d+ (\S+)", README, re.M):
        assert list(REPOSITORY.glob(source)), source


def test_logrotate_loses_no_line_of_a_file_that_stays_open(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    config = tmp_path / "tickcast"
    config.write_text((DEPLOY / "logrotate" / "tickcast").read_text().replace("/var/log/tickcast", str(folder)))
    config.chmod(0o644)
    command = ["/usr/sbin/logrotate", "--state", str(tmp_path / "state"), "--force", str(config)]
    with (folder / "main.log").open("a", buffering=1) as lines:
        lines.write("first\n")
        subprocess.run(command, check=True)
        lines.write("second\n")
        (turned,) = folder.glob("main.log-*")
        assert turned.read_text() == "first\n"
        assert (folder / "main.log").read_text() == "second\n"
        time.sleep(1.1)  # the second is in the name
        subprocess.run(command, check=True)
    (zipped,) = folder.glob("*.gz")
    assert gzip.decompress(zipped.read_bytes()) == b"first\n"
    assert (folder / "main.log").read_text() == ""
