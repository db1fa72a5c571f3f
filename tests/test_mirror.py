"""Tests mirror the tree: every module has its test file, or CONTRIBUTING.md says whose tests reach it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TESTS = ROOT / "src" / "histonic", ROOT / "tests"
MODULES = sorted(
    path.relative_to(SOURCE).with_suffix("")
    for path in SOURCE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)
FILES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = {
    Path(file): [
        Path(name) if "/" in name else Path(file).parent / name for name in re.findall(r"`(.+?)`", names)
    ]
    for file, names in re.findall(r"^\| `(\S+\.py)` \| (.+) \|$", PAGE, re.MULTILINE)
}
"""Modules by the test file that tests them beside its own."""
OTHERS = {Path(name) for name in re.findall(r"^- `(\S+\.py)`: ", PAGE, re.MULTILINE)}
"""Test files of no module in particular."""


def own_test(module: Path) -> Path:
    return module.with_name(f"test_{module.name}.py")


@cache
def imports_of(path: Path) -> set[Path]:
    """Modules of this package that a file imports, late ones too; none of a file that is not there."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else ():
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return {Path(*name.split(".")[1:]) for name in found if name.startswith("histonic.")}


@cache
def reached(file: Path) -> set[Path]:
    """Modules that a test file imports, by way of the module that it mirrors and of those in its row too."""
    steps = [file.with_name(file.stem.removeprefix("test_")), *ROWS.get(file, ())]
    found = imports_of(TESTS / file) | set(steps[:1])
    for _ in steps:
        found = found.union(*(imports_of(SOURCE / f"{step}.py") for step in steps if step in found))
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_is_tested(module: Path) -> None:
    if own_test(module) in FILES:
        return
    if module.name == "settings":
        files = [file for file in FILES if file.parent == module.parent]
    else:
        files = [file for file, modules in ROWS.items() if module in modules]
        assert files, f"{module} has neither {own_test(module)} nor a row in CONTRIBUTING.md"
    assert any(module in reached(file) for file in files), f"no test imports {module}: {files}"


def test_the_table_names_what_is_there() -> None:
    for file, modules in ROWS.items():
        assert file in FILES, f"CONTRIBUTING.md: there is no tests/{file}"
        for module in modules:
            assert module in MODULES, f"CONTRIBUTING.md: there is no {module}"
            assert own_test(module) not in FILES, f"CONTRIBUTING.md: {module} has a test file of its own"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_test_file_mirrors_a_module(file: Path) -> None:
    known = file in ROWS or file in OTHERS or file in {own_test(module) for module in MODULES}
    assert known, f"tests/{file} mirrors no module and is not named in CONTRIBUTING.md"
