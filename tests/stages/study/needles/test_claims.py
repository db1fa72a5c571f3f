"""Planned tests: pairs that differ in one thing, power before, and outcomes that can come out either way."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from histonic.stages.study.needles.cells import Cell, CellResult, cells_of
from histonic.stages.study.needles.claims import comparisons, judge, nearest_field, power_of, sign_flip_p
from histonic.stages.study.needles.settings import NeedleStudySettings

SETTINGS = NeedleStudySettings(out="study")
CELLS = cells_of(SETTINGS)


def results(accuracy, noise: float = 0.02) -> list[CellResult]:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    return [
        CellResult(
            **asdict(cell), ratio=0.1, field_px=9, weights=1, train_accuracy=1.0, val_accuracy=0.5, auroc=0.5,
            updates=1, accuracy=float(accuracy(cell) + rng.normal(0, noise)),
        )
        for cell in CELLS
    ]  # fmt: skip


def test_the_cells_are_the_grid_and_what_differs_in_one_more_thing() -> None:
    assert len(CELLS) == len(set(CELLS)) == 72
    grid = [cell for cell in CELLS if cell.stages == 3 and cell.width == 8]
    assert len(grid) == 4 * 2 * 2 * 3
    assert {cell.size for cell in CELLS if cell not in grid} == {4000}
    assert {cell.pooling for cell in CELLS if cell not in grid} == {"max"}
    assert [cell.seed for cell in CELLS] == sorted(cell.seed for cell in CELLS)


def test_pairs_differ_in_what_is_compared_alone() -> None:
    tests = comparisons(SETTINGS)
    assert [each.planned.claim for each in tests] == [1, 1, 2, 3, 4, 4]
    for each, name in zip(tests, ("canvas", "size", "width", "stages", "pooling", "pooling"), strict=True):
        assert len(each.pairs) == each.planned.pairs == len(set(each.pairs))
        for one, other in each.pairs:
            differ = [key for key in asdict(one) if asdict(one)[key] != asdict(other)[key]]
            assert differ == [name]
    assert tests[0].pairs[0][0].canvas == 56 and tests[0].pairs[0][1].canvas == 160
    assert all(one.size == 4000 and other.size == 500 for one, other in tests[1].pairs)
    assert all(one.width == 8 for one, _ in tests[2].pairs) and nearest_field(SETTINGS) == 2
    assert {one.canvas for one, _ in tests[4].pairs} == {160}
    assert {one.canvas for one, _ in tests[5].pairs} == {56, 80, 112}


def test_values_that_occur_on_two_axes_are_not_mixed_up() -> None:
    mixed = NeedleStudySettings(out="x", canvases=(56, 500), sizes=(56, 500), widths=(8, 3), receptive=(3, 2))
    for each in comparisons(mixed):
        for one, other in each.pairs:
            assert sum(a != b for a, b in zip(asdict(one).values(), asdict(other).values(), strict=True)) == 1


@pytest.mark.parametrize(("sides", "effect"), [("greater", 0.08), ("any", 0.08), ("none", 0.09)])
def test_power_is_what_simulation_gives(sides: str, effect: float) -> None:
    rng = np.random.default_rng(1)
    drawn = rng.normal(0 if sides == "none" else effect, 0.1, (20_000, 12))
    mean, error = drawn.mean(1), drawn.std(1, ddof=1) / 12**0.5
    if sides == "none":
        reach = stats.t.ppf(0.95, 11) * error
        found = ((mean - reach > -effect) & (mean + reach < effect)).mean()
    else:
        limit = stats.t.ppf(0.95 if sides == "greater" else 0.975, 11)
        found = (mean / error > limit).mean()
    assert power_of(12, effect, sides) == pytest.approx(found, abs=0.03)
    assert power_of(1, effect, sides) == 0


def test_sign_flips_are_exact_and_sampled_alike() -> None:
    rng = np.random.default_rng(2)
    assert sign_flip_p(np.ones(6), one_sided=True) == 1 / 64
    assert sign_flip_p(np.ones(6), one_sided=False) == 2 / 64
    values = rng.normal(0.3, 1, 24)
    assert sign_flip_p(values, one_sided=True) == pytest.approx(
        stats.ttest_1samp(values, 0, alternative="greater").pvalue, abs=0.02
    )
    # Under no effect p is uniform: a twentieth of them lies below 0.05.
    chance = [sign_flip_p(rng.normal(size=8), one_sided=True) for _ in range(1000)]
    assert np.mean(np.array(chance) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_outcomes_follow_the_numbers() -> None:
    def as_in_the_paper(cell: Cell) -> float:
        size, small = (cell.size == 4000) * 0.1, cell.canvas == 160
        worse = 0.1 * (cell.width == 4) + 0.1 * (cell.stages == 3) + 0.15 * (small and cell.pooling == "mean")
        return 0.85 - 0.001 * cell.canvas + size - worse

    tests = comparisons(SETTINGS)
    found = results(as_in_the_paper)
    assert [judge(each, found, 0).outcome for each in tests] == ["reproduced"] * 6
    # All alike: none of the effects is there, and poolings tie.
    alike = results(lambda cell: 0.7)
    outcomes = [judge(each, alike, 0).outcome for each in tests]
    assert outcomes == ["not reproduced"] * 5 + ["reproduced"]
    opposite = [judge(each, results(lambda cell: -as_in_the_paper(cell)), 0).outcome for each in tests[:4]]
    assert opposite == ["not reproduced"] * 4
    loud = [judge(each, results(lambda cell: 0.7, noise=0.4), 0) for each in tests]
    assert {each.outcome for each in loud[2:]} == {"undecided"}
    poolings = results(lambda cell: 0.7 + 0.2 * (cell.pooling == "max"))
    assert judge(tests[5], poolings, 0).outcome == "not reproduced"
