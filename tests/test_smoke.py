"""The ratios that a change is held against: what counts as fallen, and which benchmarks take part."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def smoke(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import smoke

    yield smoke
    sys.modules.pop("smoke")


def test_below_seventy_hundredths_falls(smoke) -> None:
    lines, holds = smoke.judge({"a": 2.0, "b": 3.0}, {"a": 1.4, "b": 9.0})
    assert holds and lines[0] == "ok    a: committed 2.00, now 1.40, 70% of it"
    lines, holds = smoke.judge({"a": 2.0}, {"a": 1.39})
    assert not holds and lines[0].startswith("FELL")
    assert smoke.judge({"a": 2.0}, {}) == (["FELL  a: committed 2.00, now not measured"], False)


def test_groups_are_joined(smoke) -> None:
    found = smoke.flat({"nic": {"script": 3, "floor": 0.9}, "a": 1})
    assert found == {"nic, script": 3, "nic, floor": 0.9, "a": 1}


def test_benchmarks_with_committed_ratios_take_part(smoke) -> None:
    assert "feed_speed" in smoke.taking_part()
    committed = {path.stem for path in BENCHMARKS.glob("*.json")}
    assert {"feed_speed"} <= committed
