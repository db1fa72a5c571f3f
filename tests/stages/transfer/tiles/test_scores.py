"""Intervals over groups and the paired test."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.task import Task
from histonic.stages.transfer.tiles.scores import (
    Resampled,
    TilePredictions,
    beyond_two_sd,
    compare_resampled,
    group_numbers,
    mean_over_tasks,
    resample_leading,
    score_mean,
    score_tiles,
)

TWO = Task("tumour", "binary", ("label",), ("no", "yes"))


def predictions(wrong: float, seed: int = 0, groups: int = 40, n: int = 400) -> TilePredictions:
    """Calls of which a share is wrong; all tiles of a group are alike."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % groups
    truth = (np.arange(n) // groups % 2).astype(float)
    called = np.where((rng.random(groups) < wrong)[group], 1 - truth, truth)
    return TilePredictions(TWO, truth, np.stack([1 - called, called], axis=1), group)


def test_group_numbers_keep_names_and_tell_the_nameless_apart() -> None:
    numbers = group_numbers(["000000000001", "", "x", "", "x"])
    assert len(set(numbers.tolist())) == 4 and numbers[2] == numbers[4]
    assert sorted(set(numbers.tolist())) == [0, 1, 2, 3]


def test_tiles_of_a_group_are_drawn_together() -> None:
    by_group = predictions(0.3)
    by_tile = TilePredictions(TWO, by_group.truth, by_group.outputs, np.arange(400))
    wide, narrow = score_tiles(by_group)[0], score_tiles(by_tile)[0]
    assert wide.value == narrow.value
    # Ten equal tiles a group are one independent observation: the interval is about sqrt(10) times as wide.
    assert 2.2 < (wide.high - wide.low) / (narrow.high - narrow.low) < 4.5


def test_a_perfect_score_has_an_interval_and_few_groups_are_said() -> None:
    score = score_tiles(predictions(0.0, groups=6, n=60))[0]
    assert score.value == 1 and score.low < 0.7
    assert "6 groups only" in score.note


def test_the_mean_over_seeds_is_scored() -> None:
    models = [predictions(0.3, seed) for seed in range(3)]
    mean = score_mean(models)
    assert mean.value == pytest.approx(np.mean([score_tiles(model)[0].value for model in models]))
    assert mean.low < mean.value < mean.high


def test_identical_models_do_not_differ() -> None:
    same = resample_leading([predictions(0.3)])
    paired = compare_resampled(same, same)
    assert paired.difference == 0 and paired.p == 1 and paired.low == paired.high == 0


def test_a_better_model_is_found_and_the_test_is_antisymmetric() -> None:
    good, bad = resample_leading([predictions(0.05, 1)]), resample_leading([predictions(0.5, 2)])
    paired, turned = compare_resampled(good, bad), compare_resampled(bad, good)
    assert paired.p < 0.01 and paired.low > 0.1
    assert turned.difference == -paired.difference and turned.p == pytest.approx(paired.p)
    assert turned.low == pytest.approx(-paired.high)


def test_pairing_removes_what_is_hard_about_a_group() -> None:
    base = predictions(0.4, 0)
    outputs = base.outputs.copy()
    slips = np.flatnonzero((base.group < 8) & (base.called == base.truth))
    outputs[slips] = outputs[slips][:, ::-1]
    worse = TilePredictions(TWO, base.truth, outputs, base.group)
    one, other = resample_leading([base]), resample_leading([worse])
    paired = compare_resampled(one, other)
    independent = np.std(one.drawn) ** 2 + np.std(other.drawn) ** 2
    assert np.var(one.drawn - other.drawn) < 0.5 * independent
    assert paired.p < 0.05


@pytest.mark.long
def test_false_alarms_are_about_as_rare_as_stated() -> None:
    alarms = 0
    for number in range(100):
        one = resample_leading([predictions(0.3, 2 * number)], resamples=300)
        other = resample_leading([predictions(0.3, 2 * number + 1)], resamples=300)
        alarms += compare_resampled(one, other).p < 0.05
    assert alarms <= 14


def test_one_group_gives_no_test() -> None:
    one = resample_leading([predictions(0.0, groups=1, n=20)])
    assert compare_resampled(one, one).p is None
    assert mean_over_tasks([one, one]).drawn is None


def test_the_mean_over_tasks_keeps_fixed_ones() -> None:
    mean = mean_over_tasks([Resampled(0.5, np.array([0.4, 0.6])), Resampled(0.9, None)])
    assert mean.value == pytest.approx(0.7)
    np.testing.assert_allclose(mean.drawn, [0.65, 0.75])


def test_two_standard_deviations_by_hand() -> None:
    # sd of (0.1, 0.2, 0.3) is 0.1, so means 0.2 apart do not differ, a hair more does.
    assert not beyond_two_sd([0.1, 0.2, 0.3], [0.4, 0.4, 0.399])
    assert beyond_two_sd([0.1, 0.2, 0.3], [0.41, 0.41, 0.41])
    assert not beyond_two_sd([0.1], [0.9])
