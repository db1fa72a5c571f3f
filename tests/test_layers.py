"""Imports run downwards only, and rooms side by side do not know each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "histonic"
FLOORS = [
    {"core"},
    {"slides", "nn", "metrics"},
    {"encoders", "aggregators", "data", "simulate"},
    {"stages", "testing"},
    {"app"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NO_TORCH = ("core", "slides", "data", "simulate", "metrics")


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            found.append((node.lineno, node.module or ""))
    return found


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if room_of(path) in FLOOR_OF]


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room_of(path) for path in SOURCE.rglob("*.py")} - {"__init__", "__main__"}
    assert rooms == set(FLOOR_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downwards(path: Path) -> None:
    room = room_of(path)
    for line, module in imports_of(path):
        if not module.startswith("histonic."):
            assert module != "histonic", f"{path}:{line} imports the face from inside"
            continue
        other = module.split(".")[1]
        allowed = other == room or FLOOR_OF[other] < FLOOR_OF[room]
        assert allowed, f"{path}:{line}: {room} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_lower_rooms_know_no_torch(path: Path) -> None:
    if room_of(path) in NO_TORCH:
        heavy = [
            module for _, module in imports_of(path) if module.split(".")[0] in ("torch", "lightning_fabric")
        ]
        assert not heavy, f"{path} imports {heavy}"


def test_the_names_in_the_registries_exist() -> None:
    from histonic.aggregators.base import AGGREGATORS
    from histonic.encoders.base import ENCODERS
    from histonic.slides.base import READERS

    for registry in (READERS, ENCODERS, AGGREGATORS):
        names = list(registry.entries())
        assert names
        for name in names:
            assert registry.get(name) is not None


def test_importing_the_face_loads_nothing_heavy() -> None:
    code = (
        "import sys, histonic; print([m for m in ('torch','pandas','openslide','zarr') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom histonic.app import cli\n"
        "print([m for m in ('torch','pandas','openslide','zarr','matplotlib','rich') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_explaining_loads_no_fabric() -> None:
    code = "import sys, histonic.stages.explain; print('lightning_fabric' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
