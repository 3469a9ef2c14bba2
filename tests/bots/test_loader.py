"""bots.loader: which class of a file is the bot, and whose lines a traceback shows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from bots.loader import load, own_traceback, split
from feed.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ONE = "from bots import Bot\nclass One(Bot): ...\n"
TWO = ONE + "class Two(One): ...\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Makes a file of this text; the interpreter forgets it afterwards."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    known = set(sys.modules)

    def one(text: str) -> Path:
        path = tmp_path / f"file{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text)
        return path

    yield one
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_the_only_bot_is_found_and_imported_ones_do_not_count(write: Callable[[str], Path]) -> None:
    first = write(ONE)
    assert load(first).__name__ == "One"
    second = write(f"from {first.stem} import One\nclass Mine(One): ...\nclass Other: ...\n")
    assert load(second).__name__ == "Mine"


def test_of_several_one_must_be_named(write: Callable[[str], Path]) -> None:
    path = write(TWO)
    with pytest.raises(CallerError, match=rf"several bots.*One, Two.*bots run {path.name}:One"):
        load(path)
    assert load(path, "Two").__name__ == "Two"
    with pytest.raises(CallerError, match="no such bot: expected One, Two, found 'Three'"):
        load(path, "Three")


def test_what_is_no_bot_is_refused(write: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"no bot.*Derive a class"):
        load(write("from bots import Bot\n"))
    with pytest.raises(CallerError, match="no such file"):
        load(tmp_path / "missing.py")
    other = tmp_path / "bot.txt"
    other.write_text(ONE)
    with pytest.raises(CallerError, match=r"ends in \.py"):
        load(other)


def test_the_target_is_split_at_the_class_but_not_inside_a_name(tmp_path: Path) -> None:
    odd = tmp_path / "a:b.py"
    odd.write_text(ONE)
    assert split(str(odd)) == (odd, "")
    assert split(f"{odd}:One") == (odd, "One")
    assert [str(part) for part in split("mean.py")] == ["mean.py", ""]


def test_a_traceback_begins_in_the_users_file(write: Callable[[str], Path]) -> None:
    path = write(
        "import json\nfrom bots import Bot\nclass Bad(Bot):\n    def on_start(self):\n        json.loads('{')\n"
    )
    bot = load(path)()
    with pytest.raises(ValueError, match="Expecting") as caught:
        bot.on_start()
    shown = own_traceback(caught.value, path)
    assert shown.splitlines()[1] == f'  File "{path}", line 5, in on_start'
    assert __file__ not in shown
    with pytest.raises(ValueError, match="invalid") as caught:
        int("x")
    assert own_traceback(caught.value, path) == ""


def test_a_syntax_error_is_shown_as_python_shows_it(write: Callable[[str], Path]) -> None:
    path = write("def :\n")
    with pytest.raises(SyntaxError) as caught:
        load(path)
    shown = own_traceback(caught.value, path)
    assert f'File "{path}", line 1' in shown
    assert "importlib" not in shown
