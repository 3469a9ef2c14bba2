"""Settings in layers: nested documents go in, typed tables or errors with the key's path come out.

Nothing here knows a key of tickcast; feed.config has the tables. A document is nested dicts, its leaves are `Given`.
Tables are msgspec structs; a field is a struct, a dict of named tables (a struct, or a union of structs told apart by
``kind``), a dict of values, or a value. A string among a field's ``Annotated`` arguments is shown as what is allowed.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from feed.errors import ConfigError

__all__ = ["Document", "Given", "allowed_text", "build", "overlays", "plain", "put", "where", "wrap"]

Document = dict[str, Any]
T = TypeVar("T", bound=msgspec.Struct)

_TABLE_NAME = re.compile(r"[a-z](?:_?[a-z0-9])*")


@dataclass(frozen=True, slots=True)
class Given:
    """One value as the user gave it. `origin` goes before its key in errors; `text`: it came as a string."""

    value: Any
    origin: str
    text: bool = False


def wrap(document: Mapping[str, Any], origin: str) -> Document:
    """A plain document with every leaf made a Given of `origin`."""
    return {
        key: wrap(value, origin) if isinstance(value, Mapping) else Given(value, origin)
        for key, value in document.items()
    }


def overlays(
    environ: Mapping[str, str], sets: Sequence[str], prefix: str
) -> tuple[list[tuple[tuple[str, ...], Given]], list[ConfigError]]:
    """What the environment (PREFIX_A__B=, any variable with ``__``) and ``--set a.b=`` say, in the order they apply."""
    found: list[tuple[tuple[str, ...], Given]] = []
    errors: list[ConfigError] = []
    for variable in sorted(environ):
        name = variable.removeprefix(f"{prefix}_")
        if name != variable and "__" in name:
            found.append((tuple(name.lower().split("__")), Given(environ[variable], f"{variable}: ", text=True)))
    for assignment in sets:
        key, equals, value = assignment.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or "" in path:
            errors.append(
                ConfigError(
                    "not a setting", expected="KEY=VALUE, such as publish.tcp.hwm=5000", found=assignment, where="--set"
                )
            )
        else:
            found.append((path, Given(value, "--set ", text=True)))
    return found, errors


def put(document: Document, path: Sequence[str], given: Given) -> ConfigError | None:
    """Put one value over a document; tables on its way are made."""
    at = document
    for depth, part in enumerate(path[:-1], 1):
        at = at.setdefault(part, _Added())
        if not isinstance(at, dict):
            return ConfigError("is a value, not a table", where=f"{given.origin}{'.'.join(path[:depth])}")
    if isinstance(at.get(path[-1]), dict):
        return ConfigError(
            "is a table; set one of its keys", found=given.value, where=f"{given.origin}{'.'.join(path)}"
        )
    at[path[-1]] = given
    return None


def plain(document: Document) -> dict[str, Any]:
    """The values without where they came from."""
    return {key: plain(item) if isinstance(item, dict) else item.value for key, item in document.items()}


def where(document: Document, key: str) -> str:
    """The key, with the place its value came from in front of it if somebody gave one."""
    at: Any = document
    for part in key.split("."):
        at = at.get(part) if isinstance(at, dict) else None
    return f"{at.origin}{key}" if isinstance(at, Given) else key


def build(table: type[T], document: Document, path: str, errors: list[ConfigError]) -> T | None:
    """Make the struct; every fault below it is appended to `errors`, and then there is no struct."""
    before = len(errors)
    hints = get_type_hints(table, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(table)}
    tag = table.__struct_config__.tag_field
    values: dict[str, Any] = {}
    for key, given in document.items():
        if key == tag:
            continue
        if key not in fields:
            errors.append(_unknown(key, given, path, fields))
            continue
        value = _field(hints[fields[key].name], given, _join(path, key), errors)
        values[fields[key].name] = value
    for key, field in fields.items():
        if field.required and key not in document:
            errors.append(ConfigError("is missing", expected=allowed_text(hints[field.name]), where=_join(path, key)))
    return table(**values) if len(errors) == before else None


def allowed_text(kind: Any) -> str:
    """A field's type in words."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        for note in notes:
            if isinstance(note, str):
                return note
        bounds = [note for note in notes if isinstance(note, msgspec.Meta)]
        low = next((b.ge for b in bounds if b.ge is not None), None)
        high = next((b.le for b in bounds if b.le is not None), None)
        limits = f" from {low} to {high}" if high is not None else f" of at least {low}" if low is not None else ""
        return allowed_text(inner) + limits
    if get_origin(kind) is Literal:
        return _either(f'"{word}"' if isinstance(word, str) else str(word) for word in get_args(kind))
    if get_origin(kind) is list:
        return f"a list, each {allowed_text(get_args(kind)[0])}"
    words: dict[Any, str] = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    return words.get(kind, "another type")


class _Added(Document):
    """A table that nothing but a setting mentions."""


# --- one field --------------------


def _field(kind: Any, given: Any, path: str, errors: list[ConfigError]) -> Any:
    structs = _structs(kind)
    if structs:
        if isinstance(given, Given):
            errors.append(_refused(given, path, f"a table [{path}]"))
            return None
        return build(structs[0], given, path, errors)
    if get_origin(kind) is dict:
        return _named(get_args(kind)[1], given, path, errors)
    if isinstance(given, dict):
        errors.append(
            ConfigError("is a value, not a table", expected=allowed_text(kind), where=f"{_origin(given)}{path}")
        )
        return None
    return _value(kind, given, path, errors)


def _named(kind: Any, given: Any, path: str, errors: list[ConfigError]) -> dict[str, Any]:
    if isinstance(given, Given):
        errors.append(_refused(given, path, f"tables [{path}.NAME]" if _structs(kind) else f"a table [{path}]"))
        return {}
    made: dict[str, Any] = {}
    for name, item in given.items():
        key = _join(path, name)
        if not _TABLE_NAME.fullmatch(name):
            found = f"{_origin(item)}{key}"
            errors.append(
                ConfigError("not a name", expected="small letters, digits and single _", found=repr(name), where=found)
            )
            continue
        structs = _structs(kind)
        if not structs:
            made[name] = _field(kind, item, key, errors)
        elif isinstance(item, Given):
            errors.append(_refused(item, key, f"a table [{key}]"))
        else:
            table = _table_of_kind(structs, key, given, errors)
            if table is not None:
                made[name] = build(table, item, key, errors)
    return made


def _table_of_kind(
    structs: Sequence[type[msgspec.Struct]], key: str, siblings: Document, errors: list[ConfigError]
) -> type[msgspec.Struct] | None:
    name = key.rpartition(".")[2]
    item = siblings[name]
    tag_field = structs[0].__struct_config__.tag_field
    assert tag_field is not None
    kinds = {str(struct.__struct_config__.tag): struct for struct in structs}
    chosen = item.get(tag_field)
    if isinstance(chosen, Given):
        if isinstance(chosen.value, str) and chosen.value in kinds:
            return kinds[chosen.value]
        hint = _nearest(str(chosen.value), kinds)
        errors.append(_refused(chosen, f"{key}.{tag_field}", _either(f'"{k}"' for k in kinds), hint))
        return None
    if isinstance(item, _Added):  # a slip of the pen must not make a new table
        others = [other for other, table in siblings.items() if not isinstance(table, _Added)]
        errors.append(
            ConfigError(
                "there is no such table",
                expected=_either(others) if others else "one that the file has",
                found=repr(name),
                where=f"{_origin(item)}{key}",
                remedy=_nearest(name, others) or f"To add it, set {key}.{tag_field} too",
            )
        )
        return None
    if name in kinds:
        return kinds[name]
    usual = structs if len(kinds) == 1 else [each for each in structs if getattr(each, "usual", False)]
    if usual:
        return usual[0]
    errors.append(
        ConfigError("is missing", expected=_either(f'"{k}"' for k in kinds), where=f"{_origin(item)}{key}.{tag_field}")
    )
    return None


def _value(kind: Any, given: Given, path: str, errors: list[ConfigError]) -> Any:
    try:
        value = _from_text(given.value, kind) if given.text else given.value
        made = msgspec.convert(value, kind, strict=not given.text)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError):
        words = [word for word in get_args(kind) if isinstance(word, str)] if get_origin(kind) is Literal else []
        errors.append(_refused(given, path, allowed_text(kind), _nearest(str(given.value), words)))
        return None
    if isinstance(made, float) and not math.isfinite(made):
        errors.append(_refused(given, path, allowed_text(kind)))
        return None
    return made


def _from_text(text: str, kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    text = text.strip()
    if get_origin(kind) is list:
        if text.startswith("["):
            return tomllib.loads(f"value = {text}")["value"]
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind in (int, float):  # TOML allows 100_000
        return re.sub(r"(?<=\d)_(?=\d)", "", text)
    return text


# --- words --------------------


def _unknown(key: str, given: Any, path: str, allowed: Iterable[str]) -> ConfigError:
    names = list(allowed)
    return ConfigError(
        "unknown key" if path else "unknown table",
        expected=_either(names),
        found=repr(key),
        where=f"{_origin(given)}{_join(path, key)}",
        remedy=_nearest(key, names),
    )


def _refused(given: Given, path: str, allowed: str, remedy: str | None = None) -> ConfigError:
    value = given.value
    text = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
    kinds = {bool: "true or false", str: "a string", int: "a whole number", float: "a number", list: "a list"}
    if isinstance(value, bool):
        text = text.lower()
    found = text if given.text else f"{text} ({kinds.get(type(value), type(value).__name__)})"
    return ConfigError("not allowed", expected=allowed, found=found, where=f"{given.origin}{path}", remedy=remedy)


def _nearest(word: str, words: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(word.lower(), list(words), 1)
    return f'Did you mean "{near[0]}"?' if near else None


def _either(words: Iterable[str]) -> str:
    *some, last = words
    return f"{', '.join(some)} or {last}" if some else last


def _origin(given: Any) -> str:
    leaf = given if isinstance(given, Given) else next(_leaves(given), None)
    return leaf.origin if leaf is not None else ""


def _leaves(document: Any) -> Iterator[Given]:
    if isinstance(document, Given):
        yield document
    else:
        for value in document.values():
            yield from _leaves(value)


def _structs(kind: Any) -> list[type[msgspec.Struct]]:
    members = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return [member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct)]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
