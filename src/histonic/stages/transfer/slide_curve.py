"""Slide runs of encoders put together: points of a curve, paired intervals, a verdict, a page, a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from histonic.core.errors import CohortError
from histonic.metrics.inference.intervals import bootstrap
from histonic.metrics.inference.scores import Measure
from histonic.runs.predictions import PredictionTable, read_predictions
from histonic.runs.primary import primary_of
from histonic.runs.repeats import mean_measures, split_repeats
from histonic.runs.run import read_facts
from histonic.stages.evaluate.evaluate import EVALUATORS
from histonic.stages.transfer.results import markdown
from histonic.stages.transfer.tiles.scores import middle

Floats = npt.NDArray[np.float64]
Kind = Literal["given", "curve", "control", "augment"]
FEW_ENCODERS = 3
"""Below this a resample of encoders says little."""


@dataclass(frozen=True)
class Arm:
    """A point: encoders that have the number of tasks, or what else is varied, in common.

    Attributes:
        kind: ``given``: not trained here; ``curve``: the number of tasks; ``control``: with the target's own
            sets; ``augment``: all tasks by another augmentation.
        tasks: How many.
        label: As the table has it.
    """

    kind: Kind
    tasks: int
    label: str


@dataclass(frozen=True)
class Judged:
    """What the slide networks of one encoder say of the cohort, for one target.

    Attributes:
        arm: Where it belongs.
        trained_on: Names of its sets.
        seed: Of its training.
        target: Name.
        patients: Who was predicted and has a truth, sorted.
        measure: The leading metric; its statistic takes counts of these patients.
        by_site: Whether every site was tested by networks that had seen none of its patients.
    """

    arm: Arm
    trained_on: str
    seed: int
    target: str
    patients: tuple[str, ...]
    measure: Measure
    by_site: bool = False

    @property
    def value(self) -> float:
        """The metric of all patients."""
        return float(self.measure.statistic(np.ones((1, len(self.patients))))[0])

    def facts(self) -> dict[str, Any]:
        """A row of ``judged.csv``."""
        return {
            "target": self.target,
            "arm": self.arm.kind,
            "tasks": self.arm.tasks,
            "label": self.arm.label,
            "trained_on": self.trained_on,
            "seed": self.seed,
            "measure": self.measure.name,
            "value": self.value,
            "patients": len(self.patients),
        }


def judge_run(arm: Arm, trained_on: str, seed: int, run: Path) -> Judged:
    """The leading metric of a finished run, for patients in the order of their names.

    Raises:
        RunError: The run is damaged or not finished.
        TableError: Its predictions cannot be used.
    """
    task = read_facts(run).tasks[0]
    tables = [_sorted(each) for each in split_repeats(read_predictions(run, task))]
    measures = mean_measures([EVALUATORS[task.kind](table).measures for table in tables])
    wanted = primary_of(task)
    leading = next((each for each in measures if each.name == wanted), measures[0])
    by_site = all(table.splits_sites() for table in tables)
    return Judged(arm, trained_on, seed, task.name, tuple(tables[0].texts("patient_id")), leading, by_site)


def _sorted(table: PredictionTable) -> PredictionTable:
    """Patients with a truth, by name."""
    known = table.rows(table.has_truth())
    order = np.argsort(np.array(known.texts("patient_id"), dtype=object), kind="stable")
    return PredictionTable(known.task, known.frame.iloc[order].reset_index(drop=True))


@dataclass(frozen=True)
class Point:
    """An arm of the curve.

    Attributes:
        arm: Which.
        values: Of its encoders.
        drawn: ``(B,)`` mean of its encoders, drawn anew, on resamples of the patients.
        gain: ``(B,)`` the same less that of the base; None for the base itself or where there is none.
    """

    arm: Arm
    values: tuple[float, ...]
    drawn: Floats
    gain: Floats | None = None
    gain_value: float | None = None

    @property
    def mean(self) -> float:
        """Over its encoders."""
        return float(np.mean(self.values))


@dataclass(frozen=True)
class Curve:
    """All points of one target.

    Attributes:
        target: Name.
        measure: The leading metric.
        patients: How many.
        points: In the order of the table.
        base: What the gains are against: 0 tasks, or the fewest there are.
        verdict: What the curve says, and what it cannot say.
        by_site: Whether whole sites were tested.
        higher_is_better: Of the metric; errors are better if they fall.
    """

    target: str
    measure: str
    patients: int
    points: tuple[Point, ...]
    base: str
    verdict: str = ""
    by_site: bool = False
    higher_is_better: bool = True
    notes: tuple[str, ...] = field(default=())


def make_curve(target: str, judged: Sequence[Judged], resamples: int) -> Curve:
    """Points, with intervals that draw patients and encoders anew.

    Every encoder is looked at on the same resamples of the patients, so that what is hard about a patient
    cancels in differences; which encoders of an arm are taken is drawn for each resample, with replacement.

    Args:
        target: Name.
        judged: All encoders of that target.
        resamples: Of the patients.

    Raises:
        CohortError: Two encoders were judged on different patients.
    """
    patients = judged[0].patients
    for each in judged:
        if each.patients != patients:
            odd = sorted(set(each.patients) ^ set(patients))[0]
            raise CohortError(
                f"Compare encoders on the target {target!r}.",
                f"The patient {odd} was not predicted with all of them.",
                "Delete 'slide-runs' and give the same command again: a slide failed with one encoder only.",
            )
    names = [each.measure.statistic for each in judged]
    drawn = bootstrap(names, len(patients), resamples, np.random.default_rng([crc32(target.encode()), 17]))
    arms: dict[Arm, list[int]] = {}
    for number, each in enumerate(judged):
        arms.setdefault(each.arm, []).append(number)
    order = sorted(
        arms, key=lambda arm: (("given", "curve", "control", "augment").index(arm.kind), arm.tasks)
    )
    mixed = {arm: _mixed(drawn[arms[arm]], number) for number, arm in enumerate(order)}
    means = {arm: float(np.mean([judged[number].value for number in arms[arm]])) for arm in order}
    fewest = next((arm for arm in order if arm.kind == "curve"), None)
    points = []
    for arm in order:
        # Another augmentation is held against that of base, with the same tasks.
        against = fewest if arm.kind != "augment" else _of_tasks(order, arm.tasks)
        is_own = against is None or arm == against
        points.append(
            Point(
                arm,
                tuple(judged[number].value for number in arms[arm]),
                mixed[arm],
                None if is_own or against is None else mixed[arm] - mixed[against],
                None if is_own or against is None else means[arm] - means[against],
            )
        )
    by_site = all(each.by_site for each in judged)
    base = fewest.label if fewest else ""
    found = Curve(
        target,
        judged[0].measure.name,
        len(patients),
        tuple(points),
        base,
        by_site=by_site,
        higher_is_better=judged[0].measure.higher_is_better,
    )
    return Curve(**{**vars(found), "verdict": verdict(found), "notes": tuple(_notes(found))})


def _of_tasks(arms: Sequence[Arm], tasks: int) -> Arm | None:
    return next((arm for arm in arms if arm.kind == "curve" and arm.tasks == tasks), None)


def _mixed(drawn: Floats, number: int) -> Floats:
    """Mean over as many encoders as there are, drawn with replacement for each resample."""
    count, resamples = drawn.shape
    chosen = np.random.default_rng([number, count, 23]).integers(count, size=(count, resamples))
    return np.asarray(np.take_along_axis(drawn, chosen, axis=0).mean(axis=0))


def verdict(curve: Curve) -> str:
    """What a curve says: whether it rises, and if not, whether it could have.

    A curve that does not rise says something only where a positive control does: encoders that have learned
    the target's own sets must be well above those of 0 tasks, else the cohort could not have shown a gain.
    """
    base = next((each for each in curve.points if each.arm.kind == "curve"), None)
    ends = [each for each in curve.points if each.arm.kind == "curve"]
    control = next((each for each in curve.points if each.arm.kind == "control"), None)
    if base is None or len(ends) < 2:
        return "There is no curve yet: encoders of two numbers of tasks are needed."
    last = ends[-1]
    gain = _gain_words(last)
    low, high = _better_by(curve, last)
    said = f"{last.arm.label} against {base.arm.label}: {gain}."
    if low is not None and low > 0:
        return f"{said} More tasks make a better encoder for {curve.target}."
    if high is not None and high < 0:
        return f"{said} More tasks make a worse encoder for {curve.target}."
    if control is None:
        return (
            f"{said} That is no difference, and no verdict: there is no positive control ('own_sets'), so "
            "that nobody knows whether this cohort could have shown one."
        )
    least, _ = _better_by(curve, control)
    with_own = f"The positive control is {_gain_words(control)} against {base.arm.label}"
    if least is not None and least > 0 and high is not None:
        return (
            f"{said} {with_own}, well better: the cohort can tell encoders apart, and the curve is flat. "
            f"A gain of more than {high:.2f} is excluded."
        )
    return (
        f"{said} {with_own}, not surely better: this cohort, with {curve.patients} patients, cannot tell "
        "even an encoder that has learned the target's own tiles from one of 0 tasks. A flat curve says "
        "nothing here."
    )


def _better_by(curve: Curve, point: Point) -> tuple[float | None, float | None]:
    """Ends of the interval of a gain, above 0 where the point is better."""
    low, high = middle(point.gain)
    if low is None or high is None or curve.higher_is_better:
        return low, high
    return -high, -low


def _gain_words(point: Point) -> str:
    low, high = middle(point.gain)
    if point.gain_value is None or low is None:
        return "of unknown difference"
    return f"{point.gain_value:+.2f} ({low:+.2f} to {high:+.2f})"


def _notes(curve: Curve) -> list[str]:
    """What a reader of the table should know."""
    notes = []
    few = [each for each in curve.points if each.arm.kind != "given" and len(each.values) < FEW_ENCODERS]
    if few:
        least = min(len(each.values) for each in few)
        what = "one encoder" if least == 1 else f"{least} encoders"
        notes.append(
            f"Some points are of {what} only: their intervals hardly know what another seed or choice of "
            "tasks would give."
        )
    if any(each.arm.kind == "augment" for each in curve.points):
        notes.append(
            "Augmentations are compared with that of the other encoders, with the same tasks. "
            + (
                "Whole sites are tested that the slide networks had not seen."
                if curve.by_site
                else "Sites are mixed over the folds, so that stain that differs from site to site was seen "
                "in training: what an augmentation is worth for new laboratories shows with 'split: site'."
            )
        )
    return notes


def curve_facts(curve: Curve) -> list[dict[str, Any]]:
    """Rows of ``slides.csv``."""
    rows = []
    for point in curve.points:
        low, high = middle(point.drawn)
        gain_low, gain_high = middle(point.gain)
        rows.append(
            {
                "target": curve.target,
                "arm": point.arm.kind,
                "tasks": point.arm.tasks,
                "label": point.arm.label,
                "measure": curve.measure,
                "mean": point.mean,
                "low": low,
                "high": high,
                "gain": point.gain_value,
                "gain_low": gain_low,
                "gain_high": gain_high,
                "encoders": len(point.values),
                "patients": curve.patients,
            }
        )
    return rows


def render_curves(curves: Sequence[Curve], absent: Sequence[str] = ()) -> str:
    """The page: a table and a verdict for each target, and what is not yet there."""
    pages = []
    for curve in curves:
        rows = [_cells(fact) for fact in curve_facts(curve)]
        pages.append(
            markdown(
                f"Number of tasks that an encoder was trained on: {curve.target}",
                f"{curve.measure} of {curve.patients} patients, each predicted by slide networks that never "
                "saw them; mean over encoders, 95 % intervals from resampled patients and encoders. Gains "
                f"are paired: against {curve.base or 'nothing'} on the same patients; of other augmentations "
                "against the same tasks.",
                ("trained on", curve.measure, "95 % interval", "gain", "its interval", "encoders"),
                rows,
                f"**{curve.verdict}**",
                *curve.notes,
            )
        )
    if absent:
        pages.append("Not yet there:\n\n" + "\n".join(f"- {each}" for each in absent) + "\n")
    return "\n".join(pages)


def _cells(fact: Mapping[str, Any]) -> tuple[str, ...]:
    def span(low: float | None, high: float | None, sign: str = "") -> str:
        return "" if low is None or high is None else f"{low:{sign}.3f} to {high:{sign}.3f}"

    words = f"({fact['label']})" if fact["arm"] == "given" else fact["label"]
    gain = "" if fact["gain"] is None else f"{fact['gain']:+.3f}"
    return (
        words,
        f"{fact['mean']:.3f}",
        span(fact["low"], fact["high"]),
        gain,
        span(fact["gain_low"], fact["gain_high"], "+"),
        str(fact["encoders"]),
    )


def draw_curves(curves: Sequence[Curve], figure: Figure) -> None:
    """Draw a panel a target: the curve with intervals and single encoders, the control beside it."""
    panels = np.ravel(figure.subplots(1, len(curves), squeeze=False))
    for axis, curve in zip(panels, curves, strict=True):
        points = [each for each in curve.points if each.arm.kind == "curve"]
        counts = [each.arm.tasks for each in points]
        axis.plot(counts, [each.mean for each in points], "o-", color="C0", label="trained here")
        for each in points:
            _draw_interval(axis, each, each.arm.tasks, "C0")
        place: float = max(counts, default=0)
        step = max(1.0, place / 4)  # words beside each other
        ticks: dict[float, str] = {count: str(count) for count in counts}
        for number, each in enumerate(p for p in curve.points if p.arm.kind in ("control", "augment")):
            place += step
            colour = f"C{number + 1}"
            axis.plot([place], [each.mean], "s", color=colour, label=each.arm.label)
            _draw_interval(axis, each, place, colour)
            ticks[place] = "control" if each.arm.kind == "control" else "augment"
        for number, each in enumerate(p for p in curve.points if p.arm.kind == "given"):
            axis.axhline(each.mean, color=f"C{number + 5}", linestyle="--", label=each.arm.label)
        axis.set_xticks(list(ticks), list(ticks.values()))
        axis.set_xlabel("tasks trained on")
        axis.set_ylabel(f"{curve.target}: {curve.measure}")
        axis.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)


def _draw_interval(axis: Any, point: Point, place: float, colour: str) -> None:
    low, high = middle(point.drawn)
    if low is not None and high is not None:
        axis.vlines(place, low, high, color=colour, linewidth=1)
    axis.plot([place] * len(point.values), point.values, ".", color=colour, markersize=3)
