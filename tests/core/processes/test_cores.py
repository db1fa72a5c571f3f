import os
from pathlib import Path

import pytest

from histonic.core.processes.cores import usable_cores


@pytest.fixture
def four_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 4, 6}, raising=False)


@pytest.mark.usefixtures("four_allowed")
@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", 4), ("150000 100000", 2), ("50000 100000", 1), ("900000 100000", 4), ("odd", 4)],
)
def test_the_quota_of_a_container_bounds_the_affinity(tmp_path: Path, text: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert usable_cores(tmp_path) == cores


@pytest.mark.usefixtures("four_allowed")
@pytest.mark.parametrize(("limit", "cores"), [("-1", 4), ("200000", 2)])
def test_the_first_version_of_control_groups_is_read(tmp_path: Path, limit: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(limit)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert usable_cores(tmp_path) == cores


@pytest.mark.usefixtures("four_allowed")
def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 4
