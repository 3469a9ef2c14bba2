"""The configuration: layers, errors that name the key, and an example that tells the truth."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed import config
from feed.config.values import SchemaWord
from feed.errors import ConfigError
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config" / "feed.toml"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "feed.toml"
    path.write_text(text)
    return path


def only_error(text: str, tmp_path: Path, environ: dict[str, str] | None = None, sets: tuple[str, ...] = ()) -> str:
    errors = config.check(write(tmp_path, text), environ or {}, sets)
    assert len(errors) == 1, [str(error) for error in errors]
    return str(errors[0])


# --- the example and the code say the same ---


def test_the_example_is_the_defaults() -> None:
    assert config.load(EXAMPLE) == config.load()


def test_every_key_stands_in_the_example_with_its_default_and_a_comment() -> None:
    document = tomllib.loads(EXAMPLE.read_text())
    commented = EXAMPLE.read_text().replace("\n# ", "\n")
    defaults = msgspec.to_builtins(config.FeedConfig())
    for key, value in _leaves(defaults):
        if key[-1] == "kind":
            continue
        found: Any = document
        for part in key:
            assert part in found, f"config/feed.toml lacks {'.'.join(key)}"
            found = found[part]
        assert found == value, ".".join(key)
    sources = (
        config.ReplayConfig,
        config.ItchConfig,
        config.ItchMoldConfig,
        config.ItchSoupConfig,
        config.ArchiveReplayConfig,
        config.PushConfig,
        config.BinanceConfig,
    )
    for kind in (
        *sources,
        config.CaptureConfig,
        config.SymbologyConfig,
        config.KrakenConfig,
        config.CoinbaseConfig,
        config.PgmConfig,
        config.MoldConfig,
    ):
        for field in msgspec.structs.fields(kind):
            key = field.encode_name
            if key == "validate":  # a table of its own, shown with the simulator
                continue
            assert re.search(rf"^{key} = ", commented, re.M), f"config/feed.toml lacks {key} of {kind.__name__}"
    explained = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(explained):
        if re.match(r"[a-z_0-9]+ = ", line) and not line.startswith("kind"):
            block = explained[max(0, number - 12) : number]
            assert any(each.startswith("# ") for each in block), line


def test_every_shipped_file_is_good() -> None:
    for path in sorted((ROOT / "config").glob("*.toml")):
        if path.name == "venues.toml":  # instruments: tests/normalize/test_instruments.py
            continue
        assert config.check(path) == [], path.name


def _leaves(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def test_the_schemas_are_those_on_the_wire(tmp_path: Path) -> None:
    for word in BY_WORD:
        config.load(None, {}, ["source.r.kind=replay", f"source.r.files={EXAMPLE}", f"source.r.schemas={word}"])
    assert set(BY_WORD) == set(get_args(SchemaWord))


# --- one name everywhere ---

SETTINGS = st.sampled_from(
    [
        ("publish", "tcp", "hwm", st.integers(1, 2**31 - 1)),
        ("publish", "ipc", "slow", st.sampled_from(["drop", "wait"])),
        ("publish", "tcp", "heartbeat", st.sampled_from(["1s", "250ms", "1.5 s"])),
        ("source", "sim", "rate", st.floats(0, 1e9, allow_nan=False) | st.integers(0, 10**9)),
        ("source", "sim", "crossed", st.booleans()),
        (
            "log",
            "gating",
            None,
            st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True), unique=True, max_size=4),
        ),
        ("log", "max_topics", None, st.integers(1, 1 << 24)),
        ("feed", "processes", None, st.sampled_from(["one", "many"])),
        ("latency", "targets", "p99", st.sampled_from(["1ms", "13.4us"])),
    ]
).flatmap(lambda each: st.tuples(st.just(tuple(part for part in each[:3] if part)), each[3]))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _as_text(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)


@given(setting=SETTINGS)
def test_file_environment_and_set_agree(
    tmp_path_factory: pytest.TempPathFactory, setting: tuple[tuple[str, ...], Any]
) -> None:
    key, value = setting
    others = {"publish": "[publish.tcp]\n[publish.ipc]\n", "latency": '[latency.targets]\np50 = "13.4us"\n'}
    text = others.get(key[0], "")
    head = f"[{'.'.join(key[:-1])}]\n"
    text = text.replace(head, "") + head if key[0] == "publish" else text if head in text else text + head
    path = write(tmp_path_factory.mktemp("layers"), f"{text}{key[-1]} = {_toml(value)}\n")
    from_file = config.load(path)
    variable = "TICKCAST_" + "__".join(key).upper()
    assert config.load(None, {variable: _as_text(value)}) == from_file
    assert config.load(None, {}, [f"{'.'.join(key)}={_as_text(value)}"]) == from_file


def test_set_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = write(tmp_path, "[publish.tcp]\nhwm = 1\n")
    environ = {"TICKCAST_PUBLISH__TCP__HWM": "2"}
    assert config.load().publish["tcp"].hwm == 100_000
    assert config.load(path).publish["tcp"].hwm == 1
    assert config.load(path, environ).publish["tcp"].hwm == 2
    assert config.load(path, environ, ["publish.tcp.hwm=3", "publish.tcp.hwm=4"]).publish["tcp"].hwm == 4


def test_text_is_read_as_toml_writes_it() -> None:
    sets = ["log.max_topics=100_000", 'log.gating=["a", "b"]', "feed.linger=False", "source.sim.rate=1e3"]
    loaded = config.load(None, {}, sets)
    assert loaded.log.max_topics == 100_000
    assert loaded.log.gating == ["a", "b"]
    assert loaded.feed.linger is False
    assert loaded.source["sim"] == config.SimConfig(rate=1000.0)


def test_a_file_that_names_one_publisher_names_them_all(tmp_path: Path) -> None:
    assert set(config.load(write(tmp_path, "[publish.tcp]\n")).publish) == {"tcp"}
    assert set(config.load(write(tmp_path, "[publish]\n")).publish) == set()
    assert set(config.load(write(tmp_path, "[feed]\n")).publish) == {"tcp", "ipc"}


def test_a_setting_can_add_a_table_when_it_says_its_kind() -> None:
    loaded = config.load(None, {"TICKCAST_PUBLISH__LAB__KIND": "zmq"}, ["publish.lab.endpoint=tcp://127.0.0.1:6000"])
    assert loaded.publish["lab"].endpoint == "tcp://127.0.0.1:6000"
    assert set(loaded.publish) == {"tcp", "ipc", "lab"}


def test_base_gives_the_sources_and_keeps_the_rest_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[source.sim]\n[feed]\nname = "x"\n')
    base = {"source": {"replay": {"kind": "replay", "files": [str(path)], "speed": 10}}, "feed": {"linger": False}}
    loaded = config.load(path, base=base)
    assert set(loaded.source) == {"replay"}
    assert (loaded.feed.name, loaded.feed.linger) == ("x", False)


def test_variables_of_other_use_are_left_alone() -> None:
    assert config.load(None, {"TICKCAST_TEST_DATA": "/x", "TICKCAST_KEY": "secret", "OTHER__X": "1"}) == config.load()


def test_the_log_root_has_a_name_that_bots_know() -> None:
    assert config.load(None, {"TICKCAST_LOG_ROOT": "/a"}).directory == Path("/a/main")
    assert config.load(None, {"TICKCAST_LOG_ROOT": "/a", "TICKCAST_LOG__ROOT": "/b"}).directory == Path("/b/main")
    assert config.load(None, {"TICKCAST_LOG_ROOT": "/a"}).publish["ipc"].endpoint == "ipc:///a/main/ipc"


def test_json_carries_the_resolved_configuration_to_a_child() -> None:
    loaded = config.load(None, {}, ["source.r.kind=replay", f"source.r.files={EXAMPLE}", "source.r.speed=0.5"])
    assert config.from_json(config.to_json(loaded)) == loaded
    with pytest.raises(ConfigError, match="not a configuration of this version"):
        config.from_json(b'{"feed": {"nam": 1}}')


# --- what is refused, and how it is said ---

WRONG = {
    '[feed]\nnam = "x"': "log_level or log_format, found 'nam'. Did you mean \"name\"?",
    "[fede]\nname = 1": "fede: unknown table: expected feed, source, best, log, archive, publish, control, monitor or",
    '[source.k]\nkind = "kraken"\nsymbols = ["BTC-USD"]\ndepth = 11': "10, 25, 100, 500 or 1000, found 11",
    '[source.k]\nkind = "coinbase"\nsymbols = ["BTC-USD-PERP"]': "of a spot market: expected BTC-USD",
    '[feed]\nprocesses = "mani"': 'expected "many" or "one", found \'mani\' (a string). Did you mean "many"?',
    '[feed]\nname = "a/b"': "feed.name: not allowed: expected a name of 1 to 31 letters",
    "[feed]\nlinger = 1": "feed.linger: not allowed: expected true or false, found 1 (a whole number)",
    "feed = 3": "feed: not allowed: expected a table [feed], found 3",
    "[publish]\ntcp = 3": "publish.tcp: not allowed: expected a table [publish.tcp]",
    "publish = 3": "publish: not allowed: expected tables [publish.NAME]",
    "[latency]\ntargets = 3": "latency.targets: not allowed: expected a table [latency.targets]",
    "[log.bytes]\nx = 1": "log.bytes: is a value, not a table: expected a size",
    "[publish.tcp]\nhwm = 0": "publish.tcp.hwm: not allowed: expected a whole number from 1 to 2147483647, found 0",
    "[publish.tcp]\nhwm = true": "expected a whole number from 1 to 2147483647, found true",
    '[publish.tcp]\nhwm = "5"': "publish.tcp.hwm: not allowed: expected a whole number",
    "[publish.tcp]\nheartbeat = 1": 'publish.tcp.heartbeat: not allowed: expected a duration such as "100ms"',
    '[publish.tcp]\nheartbeat = "1 day"': "publish.tcp.heartbeat: not allowed: expected a duration",
    '[publish.tcp]\nkind = "zmk"': 'tcp.kind: not allowed: expected "zmq", "pgm" or "mold", found \'zmk\'',
    "[publish.TCP]\nhwm = 5": "publish.TCP: not a name: expected small letters, digits and single _, found 'TCP'",
    "[source.mine]\nseed = 1": 'source.mine.kind: is missing: expected "sim", "replay", "archive"',
    '[source.replay]\nspeed = "max"': "source.replay.files: is missing: expected a list of DBN files",
    '[source.replay]\nfiles = "x"': "source.replay.files: not allowed: expected a list of DBN files, found 'x'",
    "[source.replay]\nfiles = []": "source.replay.files: names no file",
    '[source.replay]\nfiles = ["/no/such"]': "source.replay.files: no such file: expected a DBN file, found '/no/such'",
    "[source.sim]\nrate = -1.0": "source.sim.rate: not allowed: expected a number of at least 0, found -1.0",
    "[source.sim]\nrate = nan": "source.sim.rate: not allowed",
    "[source.sim]\nrate = inf": "source.sim.rate: not allowed",
    "[source.sim]\nsymbols = 1.5": "source.sim.symbols: not allowed: expected a whole number",
    '[source.a]\nkind = "sim"\n[source.b]\nkind = "sim"': "source.b: two sources for one topic",
    '[log]\nbytes = "3MiB"': "log.bytes: not a log's size: expected a power of two of at least 1MiB",
    '[log]\nbytes = "512KiB"': "log.bytes: not a log's size: expected a power of two of at least 1MiB",
    '[log]\nroot = "shm"': "log.root: not allowed: expected an absolute path, found 'shm'",
    '[log]\ngating = ["a", "a"]': "log.gating: names a reader twice",
    '[log]\ngating = ["a b"]': "log.gating: not allowed: expected a list, each a name",
    '[log]\nidle = "sleep"': 'log.idle: not allowed: expected "park", "spin" or "yield", found \'sleep\'',
    '[control]\nendpoint = "127.0.0.1:1"': 'control.endpoint: not an endpoint: expected "tcp://HOST:PORT" or "ipc://PATH"',
    '[control]\nendpoint = "tcp://127.0.0.1:70000"': "control.endpoint: port 70000 does not exist",
    '[control]\nendpoint = "tcp://[::zz]:1"': "control.endpoint: not an endpoint",
    '[control]\nendpoint = "ipc://x"': "control.endpoint: the path of a unix socket must be absolute",
    f'[control]\nendpoint = "ipc:///{"x" * 107}"': "control.endpoint: the path of the unix socket is too long",
    '[control]\nendpoint = "tcp://127.0.0.1:5551"': "publish.tcp.endpoint: the same address is given twice",
    '[control]\nendpoint = "tcp://*:9464"': "monitor.endpoint: the same address is given twice",
    '[monitor]\nendpoint = "tcp://127.0.0.1:1"': 'monitor.endpoint: not an endpoint: expected "HOST:PORT"',
    '[publish.a]\nfirehose = "epgm://x"': "publish.a.firehose: not an endpoint",
    '[latency.targets]\np1 = "1us"': "latency.targets.p1: not a quantile: expected p50, p90, p99, p999",
    '[latency.targets]\np00 = "1us"': "latency.targets.p00: not a quantile",
    '[latency.targets]\np50 = "0us"': "latency.targets.p50: not a target: expected at least 1ns",
    '[feed]\nroll = "25:00 America/Chicago"': 'feed.roll: not a time of day: expected "" or a time and a zone',
    '[feed]\nroll = "17:00 Chicago"': "feed.roll: not a time of day",
    '[archive]\nsegment = "1KiB"': "archive.segment: not a segment's size: expected at least 64KiB, found '1KiB'",
    '[archive]\nkeep_bytes = "1MiB"': "archive.keep_bytes: less than a segment, and the one being written",
    '[archive]\nkeep_for = "1 week"': 'archive.keep_for: not allowed: expected "" (for ever) or a duration',
    '[archive]\ninterval = "0s"': "archive.interval: not an interval: expected at least 1ns",
    '[archive]\ndurability = "sync"': 'archive.durability: not allowed: expected "async", "interval" or "every"',
    '[archive]\npath = "/dev/shm/tickcast/old"': "archive.path: lies in the log's shared memory",
    '[source.archive]\npath = "/no/such"': "source.archive.path: no such folder: expected a feed's archive",
    '[source.archive]\npath = "/"\nfrom = "now"': "source.archive.from: not a place in a feed's stream",
    '[source.archive]\npath = "/"\nto = "0"': "source.archive.to: not a place in a feed's stream",
    '[archive]\npath = "/tmp"\n[source.archive]\npath = "/tmp"': "a feed can't play the archive that it writes",
    '[source.a]\nkind = "archive"\npath = "/"\n[source.b]\nkind = "archive"\npath = "/"': "two sources for one topic",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_is_said_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    assert message in only_error(text, tmp_path)
    assert only_error(text, tmp_path).startswith(
        (str(tmp_path / "feed.toml"), "publish.tcp.endpoint", "monitor.endpoint", "s")
    )


WRONG_SETTINGS = {
    "publish.tpc.hwm=5": "there is no such table: expected tcp or ipc, found 'tpc'. Did you mean \"tcp\"?",
    "publish.lab.hwm=5": "To add it, set publish.lab.kind too",
    "publish.tcp=5": "--set publish.tcp: is a table; set one of its keys: found 5",
    "log.bytes.x=5": "--set log.bytes: is a value, not a table",
    "log": "--set: not a setting: expected KEY=VALUE",
    "a..b=1": "--set: not a setting",
    "publish.tcp.hwm=many": "--set publish.tcp.hwm: not allowed: expected a whole number",
    "log.gating=[oops": "--set log.gating: not allowed: expected a list",
    "x=1": "--set x: unknown table",
}


@pytest.mark.parametrize("setting", WRONG_SETTINGS)
def test_wrong_settings_say_where_they_came_from(tmp_path: Path, setting: str) -> None:
    assert WRONG_SETTINGS[setting] in only_error("", tmp_path, sets=(setting,))


def test_a_value_cannot_have_keys(tmp_path: Path) -> None:
    assert "--set log.max_topics: is a value, not a table" in only_error(
        "[log]\nmax_topics = 5", tmp_path, sets=("log.max_topics.x=1",)
    )


def test_an_environment_variable_is_named(tmp_path: Path) -> None:
    message = only_error("", tmp_path, {"TICKCAST_PUBLISH__TCP__IDLE": "spim"})
    assert message.startswith("TICKCAST_PUBLISH__TCP__IDLE: publish.tcp.idle: not allowed")


def test_two_replays_of_one_file_share_topics_unless_their_schemas_differ(tmp_path: Path) -> None:
    replay = f'kind = "replay"\nfiles = ["{EXAMPLE}"]\n'
    text = f'[source.a]\n{replay}schemas = %s\n[source.b]\n{replay}schemas = ["trade"]\n'
    assert "two sources for one topic" in only_error(text % "[]", tmp_path)
    assert config.check(write(tmp_path, text % '["quote"]')) == []


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, '[feed]\nnam = 1\n[log]\nbytes = 5\nwake_us = "x"\n[publish.tcp]\nhwm = 0\n[nope]\n')
    found = [str(error) for error in config.check(path, {}, ["a"])]
    assert len(found) == 6
    with pytest.raises(ConfigError, match=r"5 more: `feed check .*feed.toml` lists them all"):
        config.load(path, {}, ["a"])


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "can't be read: No such file" in str(config.check(tmp_path / "none.toml")[0])
    assert "is not TOML: Expected ']'" in only_error("[feed\n", tmp_path)
    (tmp_path / "feed.toml").write_bytes(b"\xff\xfe")
    assert "is not TOML" in str(config.check(tmp_path / "feed.toml")[0])


KEYS = st.sampled_from(["feed", "log", "publish", "source", "tcp", "sim", "kind", "name", "bytes", "targets", "x"])
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.integers(), max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(base=st.dictionaries(KEYS, TREES, max_size=4), sets=st.lists(st.text(max_size=30), max_size=3))
def test_no_document_does_worse_than_an_error(base: dict[str, Any], sets: list[str]) -> None:
    for error in config.check(None, {}, sets, base=base):
        assert isinstance(error, ConfigError)


# --- units ---


@given(st.integers(0, 10**6), st.sampled_from(["ns", "us", "ms", "s", "min", "h", "d"]))
def test_durations_are_exact(number: int, unit: str) -> None:
    scale = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}[
        unit
    ]
    assert config.duration_ns(f"{number}{unit}") == config.duration_ns(f"{number} {unit}") == number * scale


def test_units() -> None:
    assert config.duration_ns("13.4us") == config.duration_ns("13.4µs") == 13_400
    assert config.size_bytes("256MiB") == 1 << 28
    assert config.size_bytes("1.5GiB") == 3 << 29
    assert config.size_bytes("2GB") == 2 * 10**9
    for wrong in ("", "5", "MiB", "-1s", "1 s s", "1S"):
        with pytest.raises(ConfigError, match="such as"):
            config.duration_ns(wrong)
        with pytest.raises(ConfigError, match="such as"):
            config.size_bytes(wrong)


@pytest.mark.parametrize(
    ("given_speed", "speed", "factor"),
    [(10, "10", 10), ("0.5", "0.5", 0.5), ("max", "max", math.inf), (1e-6, "0.000001", 1e-6)],
)
def test_speed(given_speed: object, speed: str, factor: float) -> None:
    base = {"source": {"replay": {"files": [str(EXAMPLE)], "speed": given_speed}}}
    source = config.load(base=base).source["replay"]
    assert isinstance(source, config.ReplayConfig)
    assert (source.speed, source.factor) == (speed, factor)


@pytest.mark.parametrize("wrong", [0, -1, "0", "fast", "1e3", math.nan])
def test_speeds_that_are_none(wrong: object) -> None:
    errors = config.check(None, base={"source": {"replay": {"files": [str(EXAMPLE)], "speed": wrong}}})
    assert 'expected "max" or a positive number' in str(errors[0])


def test_targets_by_quantile() -> None:
    loaded = config.load(None, {}, ["latency.targets.p999=1ms"])
    assert loaded.latency.targets_ns == {0.5: 13_400, 0.99: 100_000, 0.999: 1_000_000}
