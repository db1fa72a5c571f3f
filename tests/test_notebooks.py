"""The tutorials' notebooks were run as they stand, hold no path of a machine, and name what exists."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest

import histonic

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """``docs/execute_notebooks.py``."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", ROOT / "docs" / "execute_notebooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def code_of(path: Path) -> ast.Module:
    cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    return ast.parse("\n".join("".join(cell["source"]) for cell in cells))


def test_there_are_three() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["1-", "2-", "3-"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_run_from_top_to_bottom_and_nothing_failed(path: Path, script: ModuleType) -> None:
    notebook = read(path)
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert script.problems(notebook, path.stat().st_size) == []
    kinds = {
        kind
        for cell in notebook["cells"]
        for each in cell.get("outputs", ())
        for kind in each.get("data", ())
    }
    assert {"image/png", "text/html", "text/plain"} <= kinds


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_names_and_keywords_exist(path: Path) -> None:
    called = 0
    for node in ast.walk(code_of(path)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "histonic"
        ):
            assert node.attr in histonic.__all__, node.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            verb = getattr(histonic, node.func.attr, None)
            if getattr(node.func.value, "id", "") != "histonic" or not hasattr(verb, "__annotations__"):
                continue
            hints = get_type_hints(verb)
            if "settings" in hints:
                known = {*get_type_hints(get_args(hints["values"])[0]), "progress"}
                assert {keyword.arg for keyword in node.keywords} <= known, ast.unparse(node)
                called += 1
    assert called >= 3


def test_what_may_not_be_kept_is_found(script: ModuleType) -> None:
    def outputs(*found: dict[str, Any]) -> list[str]:
        told: list[str] = script.problems({"cells": [{"cell_type": "code", "outputs": list(found)}]}, 10)
        return told

    path = {"output_type": "stream", "name": "stdout", "text": ["saved to /home/me/run\n"]}
    assert outputs(path) == ["cell 0 names /home/me"]
    html = {"output_type": "display_data", "data": {"text/html": ["<td>/tmp/abc/store</td>"]}}
    assert outputs(html) == ["cell 0 names /tmp/abc"]
    assert "ValueError: x" in outputs({"output_type": "error", "ename": "ValueError", "evalue": "x"})[0]
    assert "warns" in outputs({"output_type": "stream", "name": "stderr", "text": "careful"})[0]
    plain = {"output_type": "execute_result", "data": {"text/plain": "first-model/run/report.html"}}
    assert outputs(plain) == []
    assert script.problems({"cells": []}, script.MOST_BYTES)


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, script: ModuleType) -> None:
    for package in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(package, reason=f"{package} is part of the extra long")
    found = script.execute(path)
    assert script.problems(found, 0) == []
    assert [cell["source"] for cell in found["cells"]] == ["".join(c["source"]) for c in read(path)["cells"]]
