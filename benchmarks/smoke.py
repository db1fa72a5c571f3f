"""Short runs of the benchmarks that compare us with a plain script: none below 70 % of the committed ratio.

    make bench-smoke
    python benchmarks/smoke.py [--only NAME] [--write]

A benchmark takes part if it has a function ``ratios() -> dict[str, float]`` that needs no argument: what it
measures in about a minute, ours over the script's, both in one run on the same cores. The ratio that a
change is held against lies beside its table, in ``NAME.json``: ``{"name of the ratio": 3.5}``, or those in
groups ``{"nic": {"name": 3.5}}``, which are called ``"nic, name"``. Ratios travel from machine to machine
where tiles a second do not, but not to the last digit, hence 70 %. ``--write`` measures and writes the
files anew.

The exit code is 1 if a ratio fell below its limit, or is committed and was not measured.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LEAST_SHARE = 0.7


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, float]:
    """Numbers of a mapping of mappings, their names joined by commas."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{before}{name}, "))
        else:
            found[f"{before}{name}"] = float(value)
    return found


def judge(committed: Mapping[str, float], measured: Mapping[str, float]) -> tuple[list[str], bool]:
    """A line a committed ratio, and whether all of them hold."""
    lines, holds = [], True
    for name, wanted in committed.items():
        found = measured.get(name)
        good = found is not None and found >= LEAST_SHARE * wanted
        holds &= good
        said = "not measured" if found is None else f"{found:.2f}, {found / wanted:.0%} of it"
        lines.append(f"{'ok' if good else 'FELL':<5} {name}: committed {wanted:.2f}, now {said}")
    return lines, holds


def taking_part(folder: Path = HERE) -> list[str]:
    """The benchmarks with a function ``ratios`` without arguments, by their text: none is imported."""
    return sorted(path.stem for path in folder.glob("*.py") if "\ndef ratios() ->" in path.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], help="run this benchmark only")
    parser.add_argument("--write", action="store_true", help="commit what is measured now")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    all_hold = True
    for name in options.only or taking_part():
        module = importlib.import_module(name)
        if inspect.signature(module.ratios).parameters:
            raise SystemExit(
                f"{name}.ratios needs arguments: give it none, or defaults in a function of its own"
            )
        print(f"{name} ...", flush=True)
        measured = flat(module.ratios())
        path = HERE / f"{name}.json"
        if options.write:
            rounded = {key: round(value, 2) for key, value in measured.items()}
            path.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
            print("\n".join(f"wrote {key}: {value}" for key, value in rounded.items()))
            continue
        committed = flat(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
        lines, holds = judge(committed, measured)
        print("\n".join(lines or [f"{name}: nothing is committed in {path.name} (--write)"]), flush=True)
        all_hold &= holds
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
