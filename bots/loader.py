"""A user's file → the bot in it, and what a user wants to see of an exception: their own lines, not ours."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from bots.bot import Bot
from feed.errors import CallerError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["load", "own_traceback", "split"]


def split(target: str) -> tuple[Path, str]:
    """``mean.py:Mean`` → the path and the class name; without one the name is empty."""
    if Path(target).is_file():  # a path may have a colon too
        return Path(target), ""
    path, colon, name = target.rpartition(":")
    return (Path(path), name) if colon and path else (Path(target), "")


def load(path: Path, name: str = "") -> type[Bot]:
    """The Bot class in a file; `name` says which where there are several. What the file raises comes through.

    Modules beside the file can be imported by it, as if it were run by Python itself.

    :raises CallerError: there is no such file, no such class, or no single one.
    """
    if not path.is_file():
        raise CallerError("there is no such file", found=str(path), remedy="Name a Python file: bots run mean.py")
    path = path.resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CallerError("not a Python file", expected="a name that ends in .py", found=path.name)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Bot) and value.__module__ == path.stem
    }
    if name:
        if name not in found:
            raise CallerError("the file has no such bot", expected=_either(found), found=repr(name), where=str(path))
        return found[name]
    if len(found) != 1:
        what = "the file has no bot" if not found else "the file has several bots"
        remedy = f"Name one: bots run {path.name}:{next(iter(found))}" if found else "Derive a class from bots.Bot"
        raise CallerError(what, expected="one class derived from bots.Bot", found=_either(found), where=str(path),
                          remedy=remedy)  # fmt: skip
    return next(iter(found.values()))


def own_traceback(error: BaseException, path: Path) -> str:
    """What Python prints of `error`, from the first line in the user's file at `path` on; "" where that has no part."""
    own = str(path.resolve())
    if isinstance(error, SyntaxError) and error.filename == own:
        return "".join(traceback.format_exception_only(error))
    at: TracebackType | None = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename != own:
        at = at.tb_next
    return "".join(traceback.format_exception(type(error), error, at)) if at is not None else ""


def _either(found: dict[str, type[Bot]]) -> str:
    return ", ".join(found) or "none"
