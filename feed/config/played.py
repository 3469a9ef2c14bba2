"""What `feed replay` is told, as the source that plays it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feed.config.sources import CAPTURE_SUFFIX
from feed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["no_archive", "played"]


def played(paths: Sequence[Path], own: Path | None, part: Mapping[str, Any]) -> dict[str, Any]:
    """The source that plays `paths`: DBN files, captures, or the one folder of an archive; none stands for `own`, this
    feed's.

    `part`: which part of an archive (keys of its table; those at their defaults change nothing). Raises ConfigError.
    """
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise ConfigError("either DBN files or one archive", expected="files, or a single folder", found=len(paths))
    if paths and not folders:
        if set_here := [key for key, value in part.items() if value]:
            raise ConfigError(
                f"--{set_here[0]} is for archives",
                expected="the folder of an archive",
                found=str(paths[0]),
                remedy="DBN files are played whole",
            )
        kept = [path for path in paths if path.name.endswith(CAPTURE_SUFFIX)]
        if kept and len(kept) < len(paths):
            raise ConfigError(
                "either recordings or captures", expected=f"all or none *{CAPTURE_SUFFIX}", found=len(kept)
            )
        return {"kind": "capture" if kept else "replay", "files": [str(path) for path in paths]}
    folder = folders[0] if folders else own
    if folder is None:
        raise no_archive()
    if own is not None and folder.resolve() in {own.resolve(), own.parent.resolve()}:
        folder = own
    return {"kind": "archive", "path": str(folder), **{key: value for key, value in part.items() if value}}


def no_archive() -> ConfigError:
    """Nothing says which archive is meant."""
    return ConfigError(
        "no archive is configured",
        expected="archive.path, or the folder of an archive",
        found="none",
        remedy="Name one, or the configuration with --config",
    )
