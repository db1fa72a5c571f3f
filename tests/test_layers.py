"""The house stands: imports run downwards only, nothing goes in circles, no folder or file is too large."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "histonic"
FLOORS = [
    {"core"},
    {"slides", "nn", "metrics"},
    {"encoders", "aggregators", "data", "simulate"},
    {"training"},
    {"models", "runs", "testing"},
    {"stages"},
    {"app"},
]
"""Rooms by floor, from the ground; rooms side by side do not know each other."""
INNER_FLOORS = {
    "core": [{"processes", "places", "notebooks", "hints"}, {""}, {"objects"}],
    "slides": [{"sources"}, {""}, {"formats", "tissue"}],
    "slides/formats": [{""}, {"dicom"}],
    "nn": [{""}, {"augmentation", "streaming", "normalisation"}],
    "metrics": [{""}, {"inference"}, {"survival"}, {"discrimination", "calibration"}, {"challenges"}],
    "encoders": [{""}, {"networks"}, {"foreign", "engines", "objectives"}],
    "data": [
        {""},
        {"tables"},
        {"classes"},
        {"targets", "annotations", "maps", "tilesets"},
        {"exchange"},
    ],
    "data/maps": [{""}, {"remote"}],
    "data/tables": [{"formats"}, {""}],
    "data/exchange": [{""}, {"tools"}],
    "stages": [
        {"compress", "convert", "train", "evaluate", "audit", "explain", "project"},
        {"tiles", "predict", "compare", "exchange", "doctor"},
        {"encoder", "simulate"},
        {"transfer"},
        {"report", "verify", "bench"},
        {"open"},
        {"study"},
    ],
    "simulate": [{""}, {"low_signal", "challenges"}],
    "stages/study": [{"steps"}, {"file"}, {"frame"}, {"recipes", "needles", "rectangles"}, {""}],
    "stages/explain": [{"attribution"}, {""}],
    "stages/train": [{"splitting"}, {""}],
    "stages/transfer": [{"tiles"}, {""}],
    "stages/evaluate": [{""}, {"clinical", "outcome", "networks", "calibration"}],
    "stages/report": [{"cases"}, {"document"}, {"wording"}, {"figures", "checklists"}, {""}],
    "training": [{""}, {"listeners", "executors"}],
    "app": [{"terminal"}, {"view"}, {""}],
}
"""The same within a room; "" stands for the files that lie in it beside its folders."""
MOST_MODULES, MOST_LINES = 14, 450
NO_TORCH = ("core", "slides", "data", "simulate", "metrics", "runs")
SETTINGS_MAY_IMPORT = ("histonic.core.", "histonic.data.tables.settings", "histonic.data.tilesets.plan")
PATHS = sorted(path for path in SOURCE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))
MODULES = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in PATHS}


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Every import of a file with its line: late ones and those for type checking too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            names = [f"{node.module}.{alias.name}".removeprefix("histonic.") for alias in node.names]
            modules = [f"histonic.{name}" for name in names if name in MODULES]
            found += [(node.lineno, module) for module in modules or [node.module or ""]]
    return found


def room_of(module: str) -> str:
    """The folder of a module, parts joined by slashes; of a module at the top its own name."""
    return "/".join(module.split(".")[:-1]) or module


EDGES = {
    module: [
        (line, name.removeprefix("histonic."))
        for line, name in imports_of(path)
        if name.startswith("histonic.")
    ]
    for module, path in MODULES.items()
}


def levels(room: str) -> Iterator[tuple[str, str]]:
    """For ``stages/explain/attribution``: ("", "stages"), ("stages", "explain") and so on, then "" itself."""
    parts = room.split("/")
    for depth, part in enumerate(parts):
        yield "/".join(parts[:depth]), part
    yield room, ""


def floor_of(parent: str, name: str) -> int:
    floors = INNER_FLOORS.get(parent, [{""}]) if parent else FLOORS
    return next((number for number, rooms in enumerate(floors) if name in rooms), -1)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Paths that come back to where they began; empty if there are none."""
    state: dict[str, int] = {}
    found: list[list[str]] = []

    def visit(node: str, path: list[str]) -> None:
        state[node] = 1
        for other in sorted(graph.get(node, ())):
            if state.get(other) == 1:
                found.append([*path[path.index(other) :], other])
            elif other not in state:
                visit(other, [*path, other])
        state[node] = 2

    for node in sorted(graph):
        if node not in state:
            visit(node, [node])
    return found


def test_every_room_stands_on_a_floor() -> None:
    assert {module.split(".")[0] for module in MODULES} == set().union(*FLOORS)
    for room in {room_of(module) for module in MODULES}:
        for parent, name in levels(room):
            assert floor_of(parent, name) >= 0, f"{parent or 'histonic'}: {name or 'its files'} has no floor"


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module: str) -> None:
    for line, other in EDGES[module]:
        here, there = levels(room_of(module)), levels(room_of(other))
        for (parent, mine), (_, its) in zip(here, there, strict=False):
            if mine == its:
                continue
            known = floor_of(parent, its) < floor_of(parent, mine)
            assert known, f"{MODULES[module]}:{line}: {mine or parent} imports {its or parent}"
            break


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nobody_imports_the_face_from_inside(path: Path) -> None:
    assert not [line for line, module in imports_of(path) if module == "histonic"]


def test_no_circles_of_files() -> None:
    assert circles({module: {other for _, other in edges} for module, edges in EDGES.items()}) == []


def test_no_circles_of_folders() -> None:
    graph: dict[str, set[str]] = {}
    for module, edges in EDGES.items():
        here = room_of(module)
        graph.setdefault(here, set()).update(room_of(other) for _, other in edges if room_of(other) != here)
    assert circles(graph) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"]]


def test_no_folder_and_no_file_is_too_large() -> None:
    for folder in {path.parent for path in PATHS}:
        count = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        assert count <= MOST_MODULES, f"{folder} holds {count} modules"
    for path in PATHS:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= MOST_LINES, f"{path} has {lines} lines"
    assert [path.name for path in (SOURCE / "stages").glob("*.py")] == ["__init__.py"]


def test_packages_are_empty() -> None:
    for path in SOURCE.rglob("__init__.py"):
        if path.parent not in (SOURCE, SOURCE / "testing"):  # the faces
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1 and isinstance(body[0], ast.Expr), f"{path} holds more than a sentence"


@pytest.mark.parametrize("module", MODULES)
def test_names_do_not_repeat_their_folder(module: str) -> None:
    *folders, name = module.split(".")
    if folders and name.startswith(f"{folders[-1]}_"):
        raise AssertionError(f"{module}: the folder says {folders[-1]!r} already")


@pytest.mark.parametrize("module", MODULES)
def test_lower_rooms_know_no_torch(module: str) -> None:
    if module.split(".")[0] in NO_TORCH or module.endswith("settings"):
        names = [name for _, name in imports_of(MODULES[module])]
        heavy = [name for name in names if name.split(".")[0] in ("torch", "lightning_fabric")]
        assert not heavy, f"{module} imports {heavy}"


@pytest.mark.parametrize("module", [module for module in MODULES if module.endswith(".settings")])
def test_settings_know_settings_only(module: str) -> None:
    for line, name in imports_of(MODULES[module]):
        if name.startswith("histonic."):
            known = name.startswith(SETTINGS_MAY_IMPORT) or name.endswith(".settings")
            assert known, f"{MODULES[module]}:{line} imports {name}"
        else:
            known = name.split(".")[0] in {"pydantic", *sys.stdlib_module_names}
            assert known, f"{MODULES[module]}:{line} imports {name}"


def test_the_names_in_the_registries_exist() -> None:
    from histonic.aggregators.registry import AGGREGATORS
    from histonic.encoders.base import ENCODERS
    from histonic.slides.base import READERS

    for registry in (READERS, ENCODERS, AGGREGATORS):
        names = list(registry.entries())
        assert names
        for name in names:
            assert registry.get(name) is not None


def test_explaining_loads_no_fabric() -> None:
    code = "import sys, histonic.stages.explain.explain; print('lightning_fabric' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
