"""Points, paired intervals and the verdict, on predictions whose right answer is known."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.discrimination import regression
from histonic.metrics.inference.scores import Measure
from histonic.stages.transfer.slide_curve import (
    Arm,
    Judged,
    curve_facts,
    draw_curves,
    judge_run,
    make_curve,
    render_curves,
    verdict,
)

TRUTH = np.random.default_rng(0).normal(size=120)
NAMES = tuple(f"p{number:03d}" for number in range(120))


def judged(arm: Arm, skill: float, seed: int = 0, names: tuple[str, ...] = NAMES) -> Judged:
    """An encoder whose slide networks predict a value with some noise, the same for every encoder."""
    noise = np.random.default_rng(7).normal(size=120) + 0.1 * np.random.default_rng(seed).normal(size=120)
    measure = Measure("Spearman correlation", partial(regression.spearman, TRUTH, skill * TRUTH + noise), 0.0)
    return Judged(arm, "a,b", seed, "ki67", names, measure)


def arms(skills: dict[int, float], control: float | None = None, seeds: int = 3) -> list[Judged]:
    found = [
        judged(Arm("curve", tasks, f"{tasks} tasks"), skill, seed)
        for tasks, skill in skills.items()
        for seed in range(seeds)
    ]
    if control is not None:
        found += [judged(Arm("control", 9, "with its own"), control, seed) for seed in range(seeds)]
    return found


def test_gains_are_paired_over_patients() -> None:
    """Two encoders with the same noise: each is uncertain, their difference is not."""
    curve = make_curve("ki67", arms({0: 0.5, 4: 0.7}, 1.5), 1000)
    first, second, control = curve_facts(curve)
    assert first["gain"] is None and second["gain"] == pytest.approx(second["mean"] - first["mean"])
    assert first["mean"] == pytest.approx(np.mean([each.value for each in arms({0: 0.5})]))
    wide, narrow = first["high"] - first["low"], second["gain_high"] - second["gain_low"]
    assert narrow < 0.5 * wide and second["gain_low"] > 0 and control["gain_low"] > second["gain_low"]
    assert "More tasks make a better encoder" in curve.verdict


def test_intervals_know_that_another_encoder_might_be_another() -> None:
    even = make_curve("ki67", arms({0: 0.5, 4: 0.7}), 500)
    odd = [*arms({0: 0.5}), *(judged(Arm("curve", 4, "4 tasks"), skill, 0) for skill in (0.0, 0.7, 1.4))]
    uneven = make_curve("ki67", odd, 500)
    spans = [
        curve_facts(curve)[1]["gain_high"] - curve_facts(curve)[1]["gain_low"] for curve in (even, uneven)
    ]
    assert spans[1] > 2 * spans[0]


@pytest.mark.parametrize(
    ("skills", "control", "words"),
    [
        ({0: 0.5, 4: 1.0}, None, "More tasks make a better encoder"),
        ({0: 1.0, 4: 0.4}, 2.0, "More tasks make a worse encoder"),
        ({0: 0.5, 4: 0.5}, None, "no positive control"),
        ({0: 0.5, 4: 0.5}, 1.5, "the curve is flat. A gain of more than"),
        ({0: 0.5, 4: 0.5}, 0.5, "A flat curve says nothing here"),
        ({0: 0.5}, 1.0, "no curve yet"),
    ],
)
def test_a_flat_curve_counts_beside_a_control_only(
    skills: dict[int, float], control: float | None, words: str
) -> None:
    curve = make_curve("ki67", arms(skills, control), 500)
    assert words in curve.verdict == verdict(curve)
    assert (("is flat" in curve.verdict) or ("says nothing" in curve.verdict)) == (
        len(skills) > 1 and control is not None and len(set(skills.values())) == 1
    )


@pytest.mark.parametrize(("skills", "word"), [({0: 0.5, 4: 1.0}, "better"), ({0: 1.0, 4: 0.4}, "worse")])
def test_an_error_is_better_if_it_falls(skills: dict[int, float], word: str) -> None:
    def error(each: Judged) -> Judged:
        statistic = each.measure.statistic
        measure = Measure("MAE", lambda counts: 1 - statistic(counts), 0.0, higher_is_better=False)
        return dataclasses.replace(each, measure=measure)

    curve = make_curve("ki67", [error(each) for each in arms(skills)], 500)
    assert f"More tasks make a {word} encoder" in curve.verdict


def test_another_augmentation_is_held_against_the_same_tasks() -> None:
    every = [*arms({0: 0.2, 4: 0.8}), judged(Arm("augment", 4, "all tasks, augment none"), 0.6)]
    facts = curve_facts(make_curve("ki67", every, 500))
    assert facts[2]["gain"] == pytest.approx(facts[2]["mean"] - facts[1]["mean"]) and facts[2]["gain"] < 0
    page = render_curves([make_curve("ki67", every, 500)], ["4 tasks, seed 3"])
    assert "Sites are mixed" in page and "- 4 tasks, seed 3" in page and "one encoder only" in page


def test_other_patients_are_refused() -> None:
    two = [judged(Arm("curve", 0, "0"), 1.0), judged(Arm("curve", 1, "1"), 1.0, names=(*NAMES[:-1], "x"))]
    with pytest.raises(CohortError, match=r"patient (p119|x) "):
        make_curve("ki67", two, 200)


def test_the_same_numbers_give_the_same_curve_and_a_picture() -> None:
    every = [*arms({0: 0.2, 4: 0.8}, 1.0), judged(Arm("given", 0, "colour"), 0.1)]
    curve, again = make_curve("ki67", every, 200), make_curve("ki67", every, 200)
    assert curve_facts(curve) == curve_facts(again)
    figure = Figure()
    draw_curves([curve], figure)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "4", "control"]


def test_a_run_is_read_in_the_order_of_its_patients(make_run: Any, tmp_path: Path) -> None:
    """The same run with its rows turned round gives the same measure patient by patient."""
    run = make_run(tmp_path / "run", [Task("msi", "binary", ("msi",), ("no", "yes"))])
    one = judge_run(Arm("curve", 0, "0"), "", 0, run)
    file = next((run / "predictions").glob("*.csv"))
    head, *rows = file.read_text().splitlines()
    file.write_text("\n".join([head, *reversed(rows)]) + "\n")
    other = judge_run(Arm("curve", 0, "0"), "", 0, run)
    assert one.patients == other.patients == tuple(sorted(one.patients)) and one.measure.name == "AUROC"
    counts = np.random.default_rng(0).integers(0, 3, (5, len(one.patients))).astype(float)
    assert np.allclose(one.measure.statistic(counts), other.measure.statistic(counts))
