"""Layers into one configuration: the file, the environment, --set; then derived values, then all faults at once."""

from __future__ import annotations

import tomllib
import types
from typing import TYPE_CHECKING, Any

import msgspec

from feed import tables
from feed.config.feed import DEFAULT_ROOT, FeedConfig, faults
from feed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["check", "from_json", "load", "own_archive", "to_json"]


def load(
    path: Path | None = None,
    environ: Mapping[str, str] = types.MappingProxyType({}),
    sets: Sequence[str] = (),
    *,
    base: Mapping[str, Any] | None = None,
) -> FeedConfig:
    """Read `path`, put `base` (a document of the same shape; its sources are all there are), `environ`, `sets` over it.

    A set is "key=value". Raises ConfigError for the first fault; it says how many more there are.
    """
    config, errors = _resolve(path, environ, sets, base)
    if errors:
        first, more = errors[0], len(errors) - 1
        if more:
            hint = f"{more} more: `feed check {path or ''}".rstrip() + "` lists them all"
            first = ConfigError(
                first.what,
                expected=first.expected,
                found=first.found,
                where=first.where,
                remedy=f"{first.remedy}. {hint}" if first.remedy else hint,
            )
        raise first
    assert config is not None
    return config


def check(
    path: Path | None,
    environ: Mapping[str, str] = types.MappingProxyType({}),
    sets: Sequence[str] = (),
    *,
    base: Mapping[str, Any] | None = None,
) -> list[ConfigError]:
    """Every fault of a configuration at once; empty if it is good."""
    return _resolve(path, environ, sets, base)[1]


def own_archive(path: Path | None, environ: Mapping[str, str], sets: Sequence[str]) -> Path | None:
    """Where the archive of a configuration is, whatever is said there of sources; None: it has none. As `load`."""
    elsewhere = {key: value for key, value in environ.items() if not key.startswith("TICKCAST_SOURCE__")}
    others = [each for each in sets if not each.startswith("source.")]
    return load(path, elsewhere, others, base={"source": {}}).archive_directory


def to_json(config: FeedConfig) -> bytes:
    """The resolved configuration, to hand to a child process."""
    return msgspec.json.encode(config)


def from_json(text: bytes | str) -> FeedConfig:
    """What `to_json` wrote. Raises ConfigError."""
    try:
        return msgspec.json.decode(text, type=FeedConfig)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError(f"not a configuration of this version: {error}") from None


_DEFAULT_NAMES: dict[tuple[str, ...], dict[str, Any]] = {
    ("source",): {"sim": {"kind": "sim"}},
    ("publish",): {"tcp": {"kind": "zmq"}, "ipc": {"kind": "zmq"}},
    ("latency", "targets"): {"p50": "13.4us", "p99": "100us"},
}


def _resolve(
    path: Path | None, environ: Mapping[str, str], sets: Sequence[str], base: Mapping[str, Any] | None
) -> tuple[FeedConfig | None, list[ConfigError]]:
    document: tables.Document = {}
    if path is not None:
        try:
            document = tables.wrap(tomllib.loads(path.read_text(encoding="utf-8")), f"{path}: ")
        except OSError as error:
            return None, [ConfigError(f"can't be read: {error.strerror}", where=str(path))]
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            return None, [ConfigError(f"is not TOML: {error}", where=str(path))]
    for key, table in tables.wrap(base or {}, "").items():
        below = document.get(key)
        document[key] = {**below, **table} if isinstance(below, dict) and key != "source" else table
    for (*parents, last), names in _DEFAULT_NAMES.items():
        at: Any = document
        for part in parents:
            at = at.setdefault(part, {}) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at.setdefault(last, tables.wrap(names, ""))
    settings, errors = tables.overlays(environ, sets, "TICKCAST")
    if root := environ.get("TICKCAST_LOG_ROOT"):  # the bots' name for log.root; everything else has two underscores
        settings.insert(0, (("log", "root"), tables.Given(root, "TICKCAST_LOG_ROOT: ", text=True)))
    errors += filter(None, [tables.put(document, key, given) for key, given in settings])
    _fold_python(document)
    config = tables.build(FeedConfig, document, "", errors)
    if config is None:
        return None, errors
    config = _derived(config)
    errors += faults(config, lambda key: tables.where(document, key))
    return config, errors


def _derived(config: FeedConfig) -> FeedConfig:
    log = msgspec.structs.replace(config.log, root=config.log.root or DEFAULT_ROOT)
    config = msgspec.structs.replace(config, log=log)
    publish = {name: each.derived(name, config.directory) for name, each in config.publish.items()}
    source = {name: each.derived(config.directory) for name, each in config.source.items()}
    return msgspec.structs.replace(config, publish=publish, source=source)


def _fold_python(document: tables.Document) -> None:
    """Tables of kind "python:..." as the struct has them: the class, and all other keys as its settings."""
    sources = document.get("source")
    if not isinstance(sources, dict):
        return
    for name, table in sources.items():
        kind = table.get("kind") if isinstance(table, dict) else None
        if not isinstance(kind, tables.Given) or not str(kind.value).startswith("python:"):
            continue
        ours = {key: value for key, value in table.items() if key == "validate" and isinstance(value, dict)}
        settings = tables.plain({key: value for key, value in table.items() if key != "kind" and key not in ours})
        sources[name] = {
            **ours,
            "kind": tables.Given("python", kind.origin),
            "class": tables.Given(kind.value.removeprefix("python:"), kind.origin),
            "settings": tables.Given(settings, kind.origin),
        }
