"""Both designs of trainings go on where they stopped, and leave the same files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from histonic.stages.transfer.tasks import study_tasks
from histonic.stages.transfer.transfer import transfer

SETS = [{"name": name, "path": name, "mpp": 0.5} for name in ("nodes", "colon", "breast")]


def files(out: Path) -> dict[str, bytes]:
    found = [path for path in out.rglob("*") if path.is_file() and path.name != "settings.yaml"]
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    ("study", "more", "names"),
    [
        (
            transfer,
            {"grid": {"learning_rate": [0.001, 0.1]}},
            {f"transfer.{end}" for end in ("csv", "json", "md", "png")},
        ),
        (study_tasks, {}, {"trials.csv", *(f"tasks.{end}" for end in ("csv", "json", "md", "png"))}),
    ],
    ids=["transfer", "tasks"],
)
def test_an_interrupted_command_goes_on_where_it_stopped(
    fake_world: Any, tmp_path: Path, study: Callable[..., Path], more: dict[str, Any], names: set[str]
) -> None:
    def run(name: str) -> Path:
        return study(out=tmp_path / name, sets=SETS, seeds=2, resamples=100, **more)

    whole = files(run("whole"))
    assert names <= set(whole)
    steps, fake_world.steps = fake_world.steps, 0
    for stop_at in (2, steps // 2, steps - 1):
        fake_world.stop_at = stop_at
        with pytest.raises(KeyboardInterrupt):
            run("interrupted")
        assert fake_world.steps == stop_at and not names & set(files(tmp_path / "interrupted"))
    fake_world.stop_at = None
    assert files(run("interrupted")) == whole
    # Nothing was done twice, nor is it when all is finished.
    assert fake_world.steps == steps
    assert files(run("interrupted")) == whole and fake_world.steps == steps
