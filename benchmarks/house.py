"""Print the size of the house: modules, lines and imports among neighbours, folder by folder.

    python benchmarks/house.py [SRC]

SRC is a checkout's ``src/histonic`` (by default this one's). Neighbours are modules of one folder.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path


def imported(path: Path, modules: set[str]) -> set[str]:
    """Modules of the package that a file imports, late and for type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("histonic"):
            base = node.module.removeprefix("histonic").lstrip(".")
            for name in (base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)):
                if name in modules:
                    found.add(name)
    return found


def main() -> int:
    default = Path(__file__).resolve().parents[1] / "src" / "histonic"
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    paths = [path for path in sorted(source.rglob("*.py")) if path.name != "__init__.py"]
    names = {".".join(path.relative_to(source).with_suffix("").parts): path for path in paths}
    lines, modules, among = defaultdict(int), defaultdict(int), defaultdict(int)
    longest = ("", 0)
    for name, path in names.items():
        folder = name.rpartition(".")[0].replace(".", "/") or "."
        count = len(path.read_text(encoding="utf-8").splitlines())
        longest = max(longest, (name, count), key=lambda each: each[1])
        modules[folder] += 1
        lines[folder] += count
        others = imported(path, set(names)) - {name}
        among[folder] += sum(
            (other.rpartition(".")[0].replace(".", "/") or ".") == folder for other in others
        )
    print("| folder | modules | lines | imports among neighbours |\n| --- | --- | --- | --- |")
    for folder in sorted(modules):
        print(f"| {folder} | {modules[folder]} | {lines[folder]} | {among[folder]} |")
    print(f"| all | {sum(modules.values())} | {sum(lines.values())} | {sum(among.values())} |")
    print(
        f"\nlongest file: {longest[0]}, {longest[1]} lines; largest folder: {max(modules.values())} modules"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
