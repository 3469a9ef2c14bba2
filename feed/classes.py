"""Classes of a user's own, named "package.module:Class": found, and their constructor's settings looked at.

The constructor's parameters are the keys that the table may have: one without a default is required, and one with a
type is given a value of that type or none at all. Text is read as that type: the environment and --set know no other.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

import msgspec

from feed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find", "settings_of"]

_BASE = ("feed.sources.base", "Source")


def find(target: str, where: str) -> type:
    """The class that `target` names, looked for from the directory where the feed was started and among what is
    installed.

    :raises ConfigError: naming `target`, what is missing of it, and `where`, the key that chose it.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), name]):
        raise ConfigError("does not name a class", expected='"python:package.module:Class"',
                          found=repr(f"python:{target}"), where=where)  # fmt: skip
    here = str(os.getcwd())  # noqa: PTH109 - an entry of sys.path
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and module_name.startswith(error.name or "?")
        raise ConfigError(
            "there is no such module" if missing else "the module can't be imported",
            expected=f"{module_name}, from {here} or installed",
            found=f"{type(error).__name__}: {error}",
            where=where,
        ) from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise ConfigError(f"module {module_name} has no such class", expected=name, found=_classes(module), where=where)
    if not any((each.__module__, each.__name__) == _BASE for each in found.__mro__[1:]):
        raise ConfigError(
            f"{module_name}:{name} is not a source",
            expected="a class derived from feed.sources.Source",
            found=", ".join(each.__name__ for each in found.__bases__),
            where=where,
        )
    return found


def settings_of(cls: type, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`given`, ready for the constructor of `cls`. Raises ConfigError naming the key below `where`, the class and what
    it takes."""
    known = {name: each for name, each in inspect.signature(cls).parameters.items() if name != "self"}
    label = f"{cls.__module__}:{cls.__qualname__}"
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes = {name: each for name, each in known.items() if each.kind in named}
    any_name = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values())
    try:
        hints = get_type_hints(cls.__init__)  # type: ignore[misc]
    except Exception as error:
        raise ConfigError(
            f"the types of {label} can't be read",
            expected="types that can be looked up when it runs",
            found=str(error),
            where=where,
        ) from error
    for name, each in takes.items():
        if name not in given and each.default is inspect.Parameter.empty:
            raise ConfigError(
                f"is missing, and {label} needs it", expected=_type(hints.get(name)), where=f"{where}.{name}"
            )
    made = {}
    for name, value in given.items():
        if name not in takes and not any_name:
            expected = ", ".join(takes) or "no settings"
            raise ConfigError(
                f"{label} has no such setting", expected=expected, found=repr(name), where=f"{where}.{name}"
            )
        kind = hints.get(name, Any)
        text = isinstance(value, str)
        if text and get_origin(kind) is list:
            value = [part.strip() for part in value.split(",") if part.strip()]  # noqa: PLW2901
        try:
            made[name] = msgspec.convert(value, kind, strict=not text)
        except (msgspec.ValidationError, TypeError) as error:
            raise ConfigError(
                f"not allowed for {label}",
                expected=_type(kind),
                found=f"{value!r} ({error})" if isinstance(error, TypeError) else repr(value),
                where=f"{where}.{name}",
            ) from None
    return made


def _type(kind: Any) -> str:
    return "a value" if kind in {None, Any} else kind.__name__ if isinstance(kind, type) else str(kind)


def _classes(module: Any) -> str:
    own = [name for name, each in vars(module).items() if isinstance(each, type) and each.__module__ == module.__name__]
    return ", ".join(own) or "no class"
