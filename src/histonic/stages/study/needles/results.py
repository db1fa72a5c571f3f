"""What the study leaves: the plan before it, and tables, figure and page after it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from histonic.core.documents import Document, Part
from histonic.core.files import replacing_file, write_csv, write_text
from histonic.stages.study.needles.cells import CellResult
from histonic.stages.study.needles.claims import (
    ALPHA,
    ASSUMED_SD,
    LEAST_EFFECT,
    PlannedTest,
    TestedClaim,
)
from histonic.stages.study.needles.settings import NeedleStudySettings

HALFWAY = 0.75
"""Accuracy halfway between chance and all right; the ratio at which a curve crosses it is its limit."""
CELL_COLUMNS = (
    "canvas", "ratio", "size", "pooling", "stages", "field_px", "width", "weights", "seed", "train_accuracy",
    "val_accuracy", "accuracy", "auroc", "updates",
)  # fmt: skip
CURVE_COLUMNS = ("size", "pooling", "field_px", "width", "ratio", "runs", "accuracy", "low", "high", "auroc")


class Plan(Document):
    """``plan.json``, written before the first cell: what will be compared, and with what power.

    Attributes:
        settings: Those that decide about cells and tests.
        cells: How many trainings.
        tests: Of the claims.
        source: Whose digits.
    """

    FORMAT = "histonic-needle-plan-1"

    settings: dict[str, Any]
    cells: int
    tests: tuple[PlannedTest, ...]
    source: str


class CurvePoint(Part):
    """Mean over seeds at one ratio of one curve."""

    size: int
    pooling: str
    field_px: int
    width: int
    ratio: float
    runs: int
    accuracy: float
    low: float
    high: float
    auroc: float

    @property
    def curve(self) -> tuple[int, str, int, int]:
        """Which curve it is of."""
        return self.size, self.pooling, self.field_px, self.width


class Limit(Part):
    """Ratio at which a curve crosses 0.75; None where it does not, and on which side it stays."""

    size: int
    pooling: str
    field_px: int
    width: int
    ratio: float | None
    says: str


class Findings(Document):
    """``needles.json``.

    Attributes:
        settings: Of the study.
        source: Of the digits.
        points: Of all curves.
        limits: Of all curves.
        claims: As they came out.
    """

    FORMAT = "histonic-needle-study-1"

    settings: dict[str, Any]
    source: str
    points: tuple[CurvePoint, ...]
    limits: tuple[Limit, ...]
    claims: tuple[TestedClaim, ...]


def make_points(results: Sequence[CellResult]) -> list[CurvePoint]:
    """Mean accuracy of each combination over its seeds, with a 95 % interval by Student's t.

    The interval is that of another seed: other images of the same digits, and other weights.
    """
    together: dict[tuple[Any, ...], list[CellResult]] = {}
    for each in results:
        key = (each.size, each.pooling, each.field_px, each.width, each.ratio)
        together.setdefault(key, []).append(each)
    points = []
    for (size, pooling, field, width, ratio), cells in together.items():
        values = np.array([cell.accuracy for cell in cells])
        reach = 0.0
        if len(values) > 1:
            reach = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
        mean = float(values.mean())
        points.append(
            CurvePoint(
                size=size, pooling=pooling, field_px=field, width=width, ratio=ratio, runs=len(values),
                accuracy=mean, low=max(0.0, mean - reach), high=min(1.0, mean + reach),
                auroc=float(np.mean([cell.auroc for cell in cells])),
            )
        )  # fmt: skip
    return sorted(points, key=lambda point: (*point.curve, -point.ratio))


def limits_of(points: Sequence[CurvePoint]) -> list[Limit]:
    """Where each curve crosses 0.75, between two ratios by a straight line over their logarithm."""
    curves: dict[tuple[int, str, int, int], list[CurvePoint]] = {}
    for point in points:
        curves.setdefault(point.curve, []).append(point)
    found = []
    for (size, pooling, field, width), curve in curves.items():
        ratio, says = _crossing(sorted(curve, key=lambda point: -point.ratio))
        found.append(Limit(size=size, pooling=pooling, field_px=field, width=width, ratio=ratio, says=says))
    return found


def _crossing(curve: Sequence[CurvePoint]) -> tuple[float | None, str]:
    if all(point.accuracy >= HALFWAY for point in curve):
        return None, f"below {100 * curve[-1].ratio:.3g} %"
    if curve[0].accuracy < HALFWAY:
        return None, f"above {100 * curve[0].ratio:.3g} %"
    for above, below in pairwise(curve):
        if above.accuracy >= HALFWAY > below.accuracy:
            share = (above.accuracy - HALFWAY) / (above.accuracy - below.accuracy)
            ratio = float(np.exp(np.log(above.ratio) + share * np.log(below.ratio / above.ratio)))
            return ratio, f"{100 * ratio:.2g} %"
    raise ValueError("a curve that begins above and ends below crosses")


def plan_page(plan: Plan) -> str:
    """The plan as Markdown."""
    rows = [
        (
            str(test.claim),
            test.says,
            test.compares,
            str(test.pairs),
            f"{test.power_least:.2f}",
            f"{test.power_large:.2f}",
        )
        for test in plan.tests
    ]
    return (
        "\n\n".join(
            [
                "# Plan of the needle study",
                f"{plan.cells} trainings. Written before the first. Power: chance to find a difference in"
                f" accuracy of {LEAST_EFFECT:g} and of 0.1 at p < {ALPHA:g}, if it varies with a standard"
                f" deviation of {ASSUMED_SD:g} from pair to pair; of ties, that its 90 % interval is within.",
                _table(("claim", "the paper says", "compared", "pairs", "power, 0.05", "power, 0.1"), rows),
            ]
        )
        + "\n"
    )


def page_of(findings: Findings) -> str:
    """The findings as Markdown."""
    curves = [
        (
            str(point.size), point.pooling, f"{point.field_px} px", str(point.width),
            f"{100 * point.ratio:.2g} %", f"{point.accuracy:.3f} [{point.low:.3f}, {point.high:.3f}]",
            f"{point.auroc:.3f}", str(point.runs),
        )
        for point in findings.points
    ]  # fmt: skip
    limits = [
        (str(each.size), each.pooling, f"{each.field_px} px", str(each.width), each.says)
        for each in findings.limits
    ]
    claims = [
        (
            str(each.planned.claim), each.planned.says, each.planned.compares,
            f"{each.difference:+.3f} [{each.low:+.3f}, {each.high:+.3f}]", f"{each.p:.4f}",
            f"{each.planned.power_least:.2f}; {each.planned.power_large:.2f}", f"**{each.outcome}**",
        )
        for each in findings.claims
    ]  # fmt: skip
    return "\n\n".join(
        [
            "# Needles in haystacks",
            f"Digits of {findings.source}. Mean test accuracy over seeds, [95 % interval of another seed].",
            "## The claims of Pawlowski et al. (2019)",
            _table(
                ("claim", "the paper says", "compared", "difference of accuracies", "p",
                 "power at 0.05; at 0.1", "outcome"), claims),
            "Not reproduced: the effect is surely below 0.05 (of ties: surely beyond it). Undecided: neither."
            " Pairs share images and seeds, so that they are not wholly independent.",
            "## Where learning breaks down",
            f"Object-to-image ratio at which a curve crosses an accuracy of {HALFWAY:g}.",
            _table(("training images", "pooling", "field", "width", "limit"), limits),
            "## All curves",
            _table(
                ("training images", "pooling", "field", "width", "object to image", "accuracy", "AUROC",
                 "seeds"), curves),
        ]
    ) + "\n"  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def write_findings(out: Path, findings: Findings, results: Sequence[CellResult]) -> None:
    """Tables, page and figure; the JSON comes last, by its caller."""
    rows = [{key: getattr(each, key) for key in CELL_COLUMNS} for each in results]
    write_csv(out / "cells.csv", CELL_COLUMNS, rows)
    points = [{key: getattr(each, key) for key in CURVE_COLUMNS} for each in findings.points]
    write_csv(out / "needles.csv", CURVE_COLUMNS, points)
    write_text(out / "needles.md", page_of(findings))
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.6, 3.2), layout="constrained")
        draw_curves(figure, findings.points)
        with replacing_file(out / "needles.png") as partial:
            # Without the library's version in it, the same numbers give the same bytes.
            figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def draw_curves(figure: Figure, points: Sequence[CurvePoint]) -> None:
    """Three panels: training size and pooling, receptive field, width."""
    usual = max({point.curve for point in points}, key=lambda curve: sum(p.curve == curve for p in points))
    counts: dict[tuple[int, int], int] = {}
    for point in points:
        counts[point.field_px, point.width] = counts.get((point.field_px, point.width), 0) + 1
    field, width = max(counts, key=lambda key: counts[key])
    axes = figure.subplots(1, 3, sharey=True)
    most = max(point.size for point in points)
    _draw(axes[0], [p for p in points if (p.field_px, p.width) == (field, width)],
          lambda p: f"{p.size} images, {p.pooling}", "training images and pooling")  # fmt: skip
    alike = [p for p in points if p.size == most]
    fields = {p.field_px for p in alike}
    poolings = {p.pooling for p in alike if p.field_px != field or p.width != width} or {usual[1]}
    _draw(axes[1], [p for p in alike if p.width == width and p.pooling in poolings],
          lambda p: f"{p.field_px} px", "receptive field" if len(fields) > 1 else "")  # fmt: skip
    _draw(axes[2], [p for p in alike if p.field_px == field and p.pooling in poolings],
          lambda p: f"width {p.width}", "width")  # fmt: skip
    axes[0].set_ylabel("test accuracy")


def _draw(axis: Any, points: Sequence[CurvePoint], name: Any, title: str) -> None:
    curves: dict[str, list[CurvePoint]] = {}
    for point in points:
        curves.setdefault(name(point), []).append(point)
    for number, (label, curve) in enumerate(curves.items()):
        curve = sorted(curve, key=lambda point: point.ratio)
        ratios = [100 * point.ratio for point in curve]
        axis.plot(ratios, [point.accuracy for point in curve], "o-", color=f"C{number}", label=label)
        axis.fill_between(
            ratios,
            [p.low for p in curve],
            [p.high for p in curve],
            color=f"C{number}",
            alpha=0.15,
            linewidth=0,
        )
    axis.axhline(0.5, color="0.6", linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    # The logarithmic axis's own labels, 3 x 10^0 and the like, run into each other.
    ratios = sorted({100 * point.ratio for point in points})
    axis.set_xticks(ratios, [f"{ratio:.2g}" for ratio in ratios])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("object to image, %")
    axis.set_title(title, fontsize=9)
    axis.set_ylim(0.4, 1.02)
    axis.legend(frameon=False, fontsize=8)


def deciding(settings: NeedleStudySettings) -> dict[str, Any]:
    """Settings that decide about results, as plain values."""
    apart = {"out", "digits", "processes", "device", "cells_at_most", "cluster"}
    return settings.model_dump(mode="json", exclude=apart)
