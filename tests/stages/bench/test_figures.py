"""Rates by hand, and the words that follow from them."""

from __future__ import annotations

import pytest

from histonic.stages.bench import figures
from histonic.stages.bench.figures import Rate, rate_of, repeated, told_others, told_precision


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1
        return self.now

    def process_time(self) -> float:
        return self.now * 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(figures, "time", made)
    return made


def test_the_first_items_are_not_counted(clock: Clock) -> None:
    rate = rate_of([100, 100, 4, 5, 6], seconds=60)
    assert (rate.count, rate.seconds, rate.core_s) == (15, 3.0, 6.0)
    assert rate.per_second == 5.0 and rate.core_s_each == 0.4


def test_few_items_are_all_counted(clock: Clock) -> None:
    assert rate_of([3, 4], seconds=60) == Rate(7, 2.0, 4.0)


def test_it_ends_after_its_time(clock: Clock) -> None:
    taken = []

    def step() -> int:
        taken.append(1)
        return 10

    assert repeated(step, seconds=3).count == 30
    assert len(taken) == 5


def test_nothing_has_no_rate() -> None:
    with pytest.raises(ValueError, match="nothing"):
        rate_of([], seconds=1)


def test_only_what_was_measured_to_help_is_advised() -> None:
    rates = {"32": Rate(100, 1.0), "bf16": Rate(180, 1.0)}
    assert told_precision("32", rates) == ["--precision bf16: 1.8 times as fast, measured now"]
    assert told_precision("bf16", rates) == []
    assert told_precision("32", {"32": Rate(100, 1.0), "bf16": Rate(105, 1.0)}) == []


def test_other_programs_are_told_if_noticed() -> None:
    assert told_others(0.05, 2) == []
    assert "other programs kept 1.1 cores busy" in told_others(1.1, 2)[0]
