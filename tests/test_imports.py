"""What import-linter can't see: the imports and cimports of compiled modules obey the same layers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = [[name.strip(" ()") for name in layer.split("|")] for layer in CONTRACTS[0]["layers"]]
HEIGHT = {name: len(LAYERS) - i for i, names in enumerate(LAYERS) for name in names}
NATIVE = sorted(p for package in ("feed", "bots") for p in (ROOT / package).rglob("*.p[yx][xd]"))


def imported(path: Path) -> set[str]:
    """The modules of feed and bots that a .pyx or .pxd names in import and cimport statements."""
    found = re.findall(
        r"^\s*(?:from\s+((?:feed|bots)[\w.]*)\s+c?import|c?import\s+((?:feed|bots)[\w.]*))", path.read_text(), re.M
    )
    names = {a or b for a, b in found}
    for module in re.findall(r"^\s*from\s+feed\s+c?import\s+(.+)$", path.read_text(), re.M):
        names |= {f"feed.{name.strip()}" for name in module.split(",")}
    return names - {"feed"}


@pytest.mark.parametrize("path", NATIVE, ids=lambda p: str(p.relative_to(ROOT)))
def test_compiled_modules_keep_to_the_layers(path: Path) -> None:
    package, own = path.relative_to(ROOT).parts[:2]
    own = own.split(".")[0]
    for name in imported(path):
        there, what = name.split(".")[:2]
        if package == "feed" and there == "bots":
            assert own == "bench", f"{path} imports {name}"
        elif package == "feed":
            assert what == own or HEIGHT[what] < HEIGHT[own], f"{path} imports {name}, which is not below it"
        elif there == "feed":
            assert what in {"store", "log", "metrics", "wire", "clock", "errors"}, f"{path} imports {name}"


def test_every_compiled_module_is_declared_and_typed() -> None:
    """A .pyx that pyproject does not name would be missing from the wheel; one without .pyi would be untyped."""
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    declared = {source for module in modules for source in module["sources"]}
    written = {str(p.relative_to(ROOT)) for p in NATIVE if p.suffix == ".pyx"}
    assert declared == written
    for source in written:
        assert (ROOT / source).with_suffix(".pyi").exists(), source


def test_every_header_a_module_includes_is_among_its_depends() -> None:
    """Else an edited header would leave a stale build."""
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    for module in modules:
        source = ROOT / module["sources"][0]
        depends = set(module.get("depends", []))
        own = source.with_suffix(".pxd")
        if own.exists():
            assert str(own.relative_to(ROOT)) in depends, f"{module['name']} lacks its own .pxd"
        for path in filter(Path.exists, (source, own)):
            for header in re.findall(r'cdef extern from "((?:feed|bots)/[\w/]+\.h)"', path.read_text()):
                assert header in depends, f"{module['name']} lacks {header}"
