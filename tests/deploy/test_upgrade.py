"""The upgrade of deploy/README.md, its very commands, on a feed and bots that run: which ticks come through."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from feed.log.reader import LogReader
from feed.store.reader import StoreReader
from tests.deploy import confined
from tests.e2e import processes
from tests.e2e.processes import COLLECTOR, REPOSITORY, Collected, wait_for

if TYPE_CHECKING:
    from tests.e2e.processes import Stage

README = (REPOSITORY / "deploy" / "README.md").read_text()
UNITS = REPOSITORY / "deploy" / "systemd"
RATE = 1000
EPOCH = b"gap * 0 0 epoch\n"
"""What a collector writes between two epochs."""

VENV = """#!{python}
import subprocess, sys
from pathlib import Path
at = Path(sys.argv[-1])
subprocess.run([{python!r}, "-m", "venv", "--without-pip", str(at)], check=True)
pip = at / "bin" / "pip"
pip.write_text(f"#!{{at}}/bin/python\\n" + {pip!r})
pip.chmod(0o755)
"""
"""`python3 -m venv` without pip; what stands in for pip puts this checkout in."""

PIP = """
import sys
from pathlib import Path
at = Path(sys.prefix)
site = at / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
(site / "tickcast.pth").write_text("%s\\n%s\\n")
for name in ("feed", "bots"):
    text = f"#!{at}/bin/python\\nimport sys\\nfrom {name}.cli import main\\nsys.exit(main())\\n"
    (at / "bin" / name).write_text(text)
    (at / "bin" / name).chmod(0o755)
"""


def block(name: str) -> list[str]:
    """The commands of an example in the README."""
    text = README.split(f"<!-- example {name} -->\n```sh\n")[1].split("```\n<!-- end -->")[0]
    return [line.partition("  #")[0].rstrip() for line in text.splitlines()]


@dataclass
class Host:
    """A host with folders of its own, and what the README's commands need of systemd."""

    stage: Stage
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    starts: int = 0

    def __post_init__(self) -> None:
        tools = self.stage.temporary / "tools"
        tools.mkdir()
        pip = PIP % (REPOSITORY, sysconfig.get_path("purelib"))
        (tools / "python3").write_text(VENV.format(python=sys.executable, pip=pip))
        (tools / "python3").chmod(0o755)
        (self.at("/opt/tickcast")).mkdir(parents=True)
        (self.at("/etc/tickcast/bots")).mkdir(parents=True)
        self.environment = {**os.environ, **self.stage.env, "PATH": f"{tools}:{os.environ['PATH']}"}

    def at(self, path: str) -> Path:
        return self.stage.temporary / "host" / path.lstrip("/")

    def moved(self, text: str) -> str:
        """`text` with this host's folders in place of /opt and /etc."""
        return re.sub(r"/(opt|etc)/tickcast", lambda found: str(self.at(found[0])), text)

    def do(self, lines: list[str]) -> None:
        """Each command as the README has it: systemctl here, everything else by a shell."""
        said = []
        for line in lines:
            if line.startswith("systemctl "):
                self.systemctl(shlex.split(line)[1:])
            else:
                said.append(line)
                script = "\n".join(each for each in said if "=" in each.split()[0] or each is line)
                subprocess.run(["bash", "-euc", self.moved(script)], env=self.environment, cwd=REPOSITORY, check=True)

    def systemctl(self, words: list[str]) -> None:
        command, *options, unit = words
        for name in [each for each in self.running if re.fullmatch(unit.replace("*", ".*"), each)]:
            process = self.running[name]
            if command == "kill":
                assert options == ["--signal=KILL", "--kill-whom=main"]
                process.kill()
            else:
                assert command == "restart"
                process.terminate()
            process.wait(processes.WAIT_S)
            self.start(name)

    def start(self, unit: str) -> None:
        """ExecStart of the unit, with its variables."""
        kind, _, instance = unit.partition("@")
        settings = confined.settings(UNITS / f"{kind}@.service")
        variables = {"%i": instance, "${BOT}": "", "${SYMBOLS}": "", "$OPTIONS": ""}
        if kind == "tickcast-bot":
            given = dict(
                line.split("=", 1) for line in self.at(f"/etc/tickcast/bots/{instance}.env").read_text().splitlines()
            )
            variables |= {"${BOT}": given["BOT"], "${SYMBOLS}": shlex.quote(given["SYMBOLS"])}
            variables["$OPTIONS"] = given["OPTIONS"]
        line = self.moved(settings["ExecStart"][0])
        for name, value in variables.items():
            line = line.replace(name, value)
        collected = {"COLLECT_TO": str(self.file(instance))} if kind == "tickcast-bot" else {}
        output = self.stage.temporary / f"{unit}.{self.starts}.output"
        self.starts += 1
        with output.open("wb") as out:
            self.running[unit] = subprocess.Popen(
                shlex.split(line), env={**self.environment, **collected}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        if kind == "tickcast":  # Type=notify
            wait_for(lambda: "bots: --feed" in output.read_text(), output.read_text)
            self.stage.agents.update(agent["pid"] for agent in self.stage.stat()["agents"])

    def file(self, bot: str) -> Path:
        return self.stage.temporary / f"{bot}.collected"

    def bot(self, name: str, options: str) -> None:
        self.at(f"/etc/tickcast/bots/{name}.env").write_text(
            f"BOT={COLLECTOR}\nSYMBOLS=*\nOPTIONS=--feed {self.stage.address} --slow fill {options}\n"
        )
        self.start(f"tickcast-bot@{name}")

    def collected(self, name: str) -> list[Collected]:
        """What a bot was told, an entry for each epoch."""
        text = self.file(name).read_text() if self.file(name).exists() else ""
        found = []
        for n, part in enumerate(text[: text.rfind("\n") + 1].split(EPOCH.decode())):
            file = self.stage.temporary / f"{name}.{n}.part"
            file.write_text(part)
            found.append(Collected.read(file))
        return found

    def reaches(self, name: str, epochs: int, ticks: int) -> None:
        def there() -> bool:
            parts = (self.file(name).read_bytes() if self.file(name).exists() else b"").split(EPOCH)
            return len(parts) >= epochs and parts[-1].count(b"\ntick ") >= ticks

        wait_for(there, lambda: f"{name} to have {ticks} ticks of epoch {epochs}: {self.said()}")

    def without_hole(self, name: str, until: int) -> bool:
        """Has the bot been given every tick of the last epoch, from its first there to seq `until`?"""
        told = self.collected(name)[-1]
        seqs = set(once(told.seqs, told.replayed))
        return bool(seqs) and seqs.issuperset(range(min(seqs), until + 1))

    def said(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.stage.temporary.glob("*.output")))

    def end(self) -> None:
        for unit in sorted(self.running, reverse=True):  # bots first
            self.running[unit].terminate()
        for process in self.running.values():
            process.wait(processes.WAIT_S)


def once(seqs: list[int], replayed: list[bool]) -> list[int]:
    """Without those that came again and said so."""
    found: list[int] = []
    seen: set[int] = set()
    for seq, again in zip(seqs, replayed, strict=True):
        assert seq not in seen or again, f"{seq} came twice"
        if seq not in seen:
            found.append(seq)
        seen.add(seq)
    return found


def prepared(stage: Stage, archive: str) -> Host:
    """A host on which version 0.1.0 runs, with a durable bot on each transport."""
    host = Host(stage)
    host.at("/etc/tickcast/main.toml").write_text(
        f'[source.sim]\nkind = "sim"\nrate = {RATE}.0\nhalts_per_million = 0.0\n'
        f'[log]\nbytes = "32MiB"\n[control]\nendpoint = "{stage.address}"\n'
        f'[publish.tcp]\nkind = "zmq"\nendpoint = "tcp://127.0.0.1:{stage.tcp_port}"\n'
        f'[monitor]\nendpoint = "127.0.0.1:{stage.monitor_port}"\n[archive]\npath = "{archive}"\n'
    )
    install = [line for line in block("upgrade") if "systemctl" not in line]
    host.do([install[0].replace("0.2.0", "0.1.0"), *install[1:]])
    host.start("tickcast@main")
    return host


def test_the_upgrade_of_the_readme_loses_no_tick_of_a_durable_bot() -> None:
    with processes.stage() as stage:
        archive = stage.temporary / "archive"
        host = prepared(stage, str(archive))
        try:
            for transport in ("shm", "tcp"):
                host.bot(transport, f"--transport {transport}")
            for bot in ("shm", "tcp"):
                host.reaches(bot, 1, 500)
            *install, restart_feed, restart_bots = block("upgrade")
            host.do(install)
            stage.kill_agent("publish.tcp")  # between installing and restarting: it comes back as what it was
            old = Path(f"/proc/{stage.agent('publish.tcp')['pid']}/cmdline").read_bytes()
            assert f"{host.at('/opt/tickcast/0.1.0')}/bin/python".encode() in old
            with LogReader.open(stage.directory, name="test") as log:  # it outlives the feed
                host.do([restart_feed])
                taken = [log.next_seq - 1]
            new = Path(f"/proc/{stage.agent('publish.tcp')['pid']}/cmdline").read_bytes()
            assert f"{host.at('/opt/tickcast/0.2.0')}/bin/python".encode() in new
            for bot in ("shm", "tcp"):
                host.reaches(bot, 2, 500)
            host.do([restart_bots])
            until = stage.stat()["log"]["next_seq"] + 500
            for bot in ("shm", "tcp"):
                wait_for(lambda bot=bot: host.without_hole(bot, until), lambda: f"no hole: {host.said()}")  # type: ignore[misc]
            with LogReader.open(stage.directory, name="test") as log:
                host.end()
                taken.append(log.next_seq - 1)
        finally:
            host.end()
        with StoreReader(archive / "main") as reader:
            first, second = reader.epochs()
            while (part := reader.read_block()) is not None:
                assert not part.missing
        assert [first.last_seq, second.last_seq] == taken
        assert first.first_seq == second.first_seq == 1
        for bot in ("shm", "tcp"):
            old_epoch, new_epoch = host.collected(bot)
            seqs = once(old_epoch.seqs, old_epoch.replayed)
            assert sorted(seqs) == list(range(min(seqs), first.last_seq + 1)), bot
            assert min(new_epoch.seqs) == 1, bot
            assert old_epoch.gaps == new_epoch.gaps == [], bot


def test_a_feed_that_is_killed_for_its_upgrade_keeps_log_and_numbers() -> None:
    with processes.stage() as stage:
        host = prepared(stage, "")
        try:
            for transport in ("shm", "tcp"):
                host.bot(transport, f"--transport {transport}")
                host.reaches(transport, 1, 500)
            epoch = stage.stat()["log"]["epoch"]
            host.do([line for line in block("upgrade") if "systemctl" not in line])
            host.do(block("keep"))
            assert stage.stat()["log"]["epoch"] == epoch
            new = Path(f"/proc/{stage.agent('ingest')['pid']}/cmdline").read_bytes()
            assert f"{host.at('/opt/tickcast/0.2.0')}/bin/python".encode() in new
            until = stage.stat()["log"]["next_seq"] + 500
            for bot in ("shm", "tcp"):
                wait_for(lambda bot=bot: host.without_hole(bot, until), lambda: f"no hole: {host.said()}")  # type: ignore[misc]
        finally:
            host.end()
        for bot in ("shm", "tcp"):
            (told,) = host.collected(bot)
            assert told.gaps == [], bot
