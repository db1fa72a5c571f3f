"""The lowest version that every bound of pyproject.toml allows, installed together, and the tests on it.

    python benchmarks/lowest_versions.py SCRATCH [--extra parquet --extra dicom ...] [--tests tests/core ...]

Makes the environment SCRATCH/lowest with pip: each direct dependency at the version that its bound names,
what these need as pip chooses, test tools in their newest versions. Then runs the tests with it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("pytest", "pytest-xdist", "hypothesis", "statsmodels")
CORE = (
    *("tests/core", "tests/data", "tests/slides", "tests/nn", "tests/metrics", "tests/aggregators"),
    *("tests/models", "tests/runs", "tests/training", "tests/testing", "tests/stages/train"),
    *("tests/stages/report", "tests/stages/explain", "tests/stages/exchange"),
    *("tests/test_end_to_end.py", "tests/test_face.py"),
)


def lowest(bounds: Sequence[str]) -> list[str]:
    """``name>=1.2`` as ``name==1.2``; what has no lower bound stays open.

    >>> lowest(["numpy>=2.0", "types-PyYAML", "lib>=1.2,<3"])
    ['numpy==2.0', 'types-PyYAML', 'lib==1.2,<3']
    """
    return [bound.replace(">=", "==", 1) for bound in bounds]


def main() -> int:
    """Install and test; the exit code of the tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--tests", nargs="*", default=list(CORE))
    parser.add_argument("--python", default=sys.executable, help="of which version")
    parser.add_argument("--only-install", action="store_true")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = lowest(project["dependencies"])
    for extra in options.extra:
        wanted += lowest(project["optional-dependencies"][extra])
    place = options.scratch / "lowest"
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([options.python, "-m", "venv", place], check=True)
    # What lifelines needs of autograd-gamma is pure Python, but no wheel.
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--only-binary",
        ":all:",
        "--no-binary",
        "autograd-gamma",
    ]
    subprocess.run([*pip, *sorted(set(wanted)), *TOOLS], check=True)
    # Itself as well: commands ask the installed package for its version.
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", ROOT], check=True)
    listed = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True)
    direct = {re.split(r"[=<>\[]", each)[0].lower().replace("_", "-") for each in wanted}
    for line in listed.stdout.splitlines():
        if line.partition("==")[0].lower().replace("_", "-") in direct:
            print(line)
    if options.only_install:
        return 0
    command = [python, "-m", "pytest", "-q", "-m", "not long", "-p", "no:cacheprovider", *options.tests]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
