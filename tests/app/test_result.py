"""The commands on finished runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from histonic.core.task import Task

SCORE = Task("proliferation_score", "regression", ("ki67_percent",))


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "histonic", *words], capture_output=True, text=True, check=False
    )


def test_runs_are_compared_from_the_command_line(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    runs = [
        str(make_run(tmp_path / name, (SCORE,), patients=24, pictures=False, skill=k))
        for k, name in ((0.2, "a"), (3, "b"))
    ]
    out = tmp_path / "out"
    done = run("compare", *runs, "--resamples", "100", "--permutations", "100", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "24 shared patients" in done.stdout and "a − b" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "comparison.csv",
        "comparison.json",
        "comparison.md",
    ]
    alone = run("compare", runs[0])
    assert alone.returncode == 2 and "Traceback" not in alone.stderr and "two or more" in alone.stderr
