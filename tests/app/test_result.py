"""The commands on finished runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fixtures.command_line import typed
from histonic.core.task import Task

SCORE = Task("proliferation_score", "regression", ("ki67_percent",))


def test_runs_are_compared_from_the_command_line(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    runs = [
        str(make_run(tmp_path / name, (SCORE,), patients=24, pictures=False, skill=k))
        for k, name in ((0.2, "a"), (3, "b"))
    ]
    out = tmp_path / "out"
    words = ["--resamples", "100", "--permutations", "100", "--out", str(out)]
    done = typed("compare", *runs, *words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "24 shared patients" in done.out and "a − b" in done.out
    assert sorted(path.name for path in out.iterdir()) == [
        "comparison.csv",
        "comparison.json",
        "comparison.md",
    ]
    alone = typed("compare", runs[0], cwd=tmp_path)
    assert alone.code == 2 and "Traceback" not in alone.err and "two or more" in alone.err
