"""The four claims of Pawlowski et al. (2019): how each is tested, with what power, and how it came out.

What is tested, on how many pairs and with what power is settled by the settings alone, before anything is
trained. Cells are paired: they differ in one thing and share the rest, images and seed among it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from histonic.core.documents import Part
from histonic.stages.study.needles.cells import Cell, CellResult, cells_of
from histonic.stages.study.needles.settings import NeedleStudySettings

ALPHA = 0.05
LEAST_EFFECT = 0.05
"""Difference of accuracies that matters; a claim whose effect is surely smaller is not reproduced."""
LARGE_EFFECT = 0.10
ASSUMED_SD = 0.10
"""Of a difference between two cells, for the power: 0.035 from 400 test images, the rest from trainings."""
MOST_FLIPS, FLIPS = 14, 20_000
Outcome = Literal["reproduced", "not reproduced", "undecided"]
Floats = npt.NDArray[np.float64]
Pair = tuple[Cell, Cell]


class PlannedTest(Part):
    """One comparison, as it stands before the study.

    Attributes:
        claim: Number of the claim, 1 to 4.
        says: What the paper says.
        compares: Which cells are compared.
        sides: ``greater``: the claim says that the first of a pair is better; ``any``: that they differ;
            ``none``: that they do not.
        pairs: How many.
        power_least: Chance to find a difference of 0.05, if its standard deviation over pairs is 0.10.
        power_large: The same for 0.10.
    """

    claim: int
    says: str
    compares: str
    sides: Literal["greater", "any", "none"]
    pairs: int
    power_least: float
    power_large: float


class TestedClaim(Part):
    """One comparison, as it came out.

    Attributes:
        planned: As it stood before.
        difference: Mean over pairs, in accuracy.
        low: Lower end of the 95 % interval, by Student's t.
        high: Upper end.
        p: Of the exact or sampled sign-flip test.
        outcome: Reproduced, not reproduced or undecided.
    """

    planned: PlannedTest
    difference: float
    low: float
    high: float
    p: float
    outcome: Outcome


@dataclass(frozen=True)
class Comparison:
    """A planned test and its pairs of cells."""

    planned: PlannedTest
    pairs: tuple[Pair, ...]


def comparisons(settings: NeedleStudySettings) -> list[Comparison]:
    """All tests that the cells of a study allow.

    Example:
        >>> [each.planned.pairs for each in comparisons(NeedleStudySettings(out="study"))]
        [12, 24, 12, 12, 6, 18]
    """
    cells = cells_of(settings)
    first, last = settings.canvases[0], settings.canvases[-1]
    few, many = settings.sizes[0], settings.sizes[-1]
    usual_field, usual_width = settings.receptive[0], settings.widths[0]
    one, other = settings.poolings[:2]
    grid = [cell for cell in cells if cell.stages == usual_field and cell.width == usual_width]
    found = [
        _made(1, "Below some object-to-image ratio a network fails to generalise.",
              "the largest object against the smallest, pair by pair of size, pooling and seed", "greater",
              _pairs(grid, lambda cell: cell.canvas, first, last)),
        _made(1, "More training images lower that limit.",
              f"{many} training images against {few}, pair by pair of ratio, pooling and seed", "greater",
              _pairs(grid, lambda cell: cell.size, many, few)),
    ]  # fmt: skip
    if len(settings.widths) > 1:
        wide, narrow = max(settings.widths), min(settings.widths)
        found.append(
            _made(2, "Networks of higher capacity generalise better.",
                  f"width {wide} against {narrow}, pair by pair of ratio and seed", "greater",
                  _pairs([cell for cell in cells if cell.stages == usual_field], lambda cell: cell.width,
                         wide, narrow))
        )  # fmt: skip
    if len(settings.receptive) > 1:
        near = nearest_field(settings)
        away = next(each for each in settings.receptive if each != near)
        found.append(
            _made(3, "A receptive field of about the object's size generalises better than another.",
                  f"3x3 convolutions in {near} stages, the field nearest to a digit, against {away}, pair by "
                  "pair of ratio and seed", "greater",
                  _pairs([cell for cell in cells if cell.width == usual_width], lambda cell: cell.stages,
                         near, away))
        )  # fmt: skip
    small = [cell for cell in grid if cell.canvas == last]
    others = [cell for cell in grid if cell.canvas != last]
    found += [
        _made(4, "At very small object-to-image ratios the pooling matters.",
              f"{one} against {other} at the smallest ratio, pair by pair of size and seed", "any",
              _pairs(small, lambda cell: cell.pooling, one, other)),
        _made(4, "At larger ratios poolings tie.",
              f"{one} against {other} at all larger ratios, pair by pair of ratio, size and seed", "none",
              _pairs(others, lambda cell: cell.pooling, one, other)),
    ]  # fmt: skip
    return [each for each in found if each.pairs]


def nearest_field(settings: NeedleStudySettings) -> int:
    """Of the receptive fields that are compared, the one nearest to a digit's side, by their ratio."""
    from histonic.stages.study.needles.network import receptive_px, spatial_blocks

    def away(stages: int) -> float:
        field = receptive_px(settings.blocks, spatial_blocks(settings.blocks, stages))
        return abs(float(np.log(field / settings.digit_px)))

    return min(settings.receptive, key=away)


def _pairs(cells: Sequence[Cell], of: Callable[[Cell], object], first: object, second: object) -> list[Pair]:
    """Cells that differ in one thing only."""
    values = {
        (cell.canvas, cell.size, cell.pooling, cell.stages, cell.width, cell.seed): cell for cell in cells
    }
    found = []
    for key, cell in values.items():
        if of(cell) != first:
            continue
        for place in range(len(key) - 1):
            twin = values.get((*key[:place], second, *key[place + 1 :]))  # type: ignore[arg-type]
            if twin is not None and of(twin) == second and twin is not cell:
                found.append((cell, twin))
                break
    return found


def _made(
    claim: int, says: str, compares: str, sides: Literal["greater", "any", "none"], pairs: list[Pair]
) -> Comparison:
    power = [power_of(len(pairs), effect, sides) for effect in (LEAST_EFFECT, LARGE_EFFECT)]
    planned = PlannedTest(
        claim=claim, says=says, compares=compares, sides=sides, pairs=len(pairs),
        power_least=power[0], power_large=power[1],
    )  # fmt: skip
    return Comparison(planned, tuple(pairs))


def power_of(pairs: int, effect: float, sides: str, sd: float = ASSUMED_SD) -> float:
    """Chance that Student's paired test finds an effect; of ties, that the interval lies within it.

    Args:
        pairs: How many.
        effect: Mean difference; of ties the difference that no longer is one.
        sides: ``greater``, ``any`` or ``none``.
        sd: Standard deviation of the differences.

    Example:
        >>> power_of(12, 0.10, "greater"), power_of(12, 0.05, "greater")
        (0.94, 0.49)
    """
    if pairs < 2:
        return 0.0
    shift, free = effect / (sd / pairs**0.5), pairs - 1
    if sides == "none":
        # Two one-sided tests at no difference at all: both ends within the effect.
        reach = shift - stats.t.ppf(1 - ALPHA, free)
        return round(float(max(0.0, 2 * stats.t.cdf(reach, free) - 1)), 2)
    limit = stats.t.ppf(1 - (ALPHA if sides == "greater" else ALPHA / 2), free)
    return round(float(stats.nct.sf(limit, free, shift)), 2)


def judge(comparison: Comparison, results: Sequence[CellResult], seed: int) -> TestedClaim:
    """Test one comparison.

    Args:
        comparison: As planned.
        results: Of all cells.
        seed: Of sampled flips.

    Returns:
        ``reproduced``: of ``greater`` and ``any`` the sign-flip test has p < 0.05 (in the direction that is
        claimed); of ``none`` the 90 % interval lies within 0.05. ``not reproduced``: the 95 % interval lies
        wholly below the least effect (``none``: wholly beyond it). Else ``undecided``.
    """
    accuracy = {(r.canvas, r.size, r.pooling, r.stages, r.width, r.seed): r.accuracy for r in results}
    differences = np.array([accuracy[_key(one)] - accuracy[_key(other)] for one, other in comparison.pairs])
    sides, mean = comparison.planned.sides, float(differences.mean())
    low, high = _interval(differences, 0.95)
    p = sign_flip_p(differences, one_sided=sides == "greater", seed=seed)
    outcome: Outcome = "undecided"
    if sides == "none":
        inner = _interval(differences, 0.90)
        if inner[0] > -LEAST_EFFECT and inner[1] < LEAST_EFFECT:
            outcome = "reproduced"
        elif low > LEAST_EFFECT or high < -LEAST_EFFECT:
            outcome = "not reproduced"
    elif p < ALPHA:
        outcome = "reproduced"
    elif high < LEAST_EFFECT and (sides == "greater" or low > -LEAST_EFFECT):
        outcome = "not reproduced"
    return TestedClaim(planned=comparison.planned, difference=mean, low=low, high=high, p=p, outcome=outcome)


def _key(cell: Cell) -> tuple[int, int, str, int, int, int]:
    return cell.canvas, cell.size, cell.pooling, cell.stages, cell.width, cell.seed


def _interval(values: Floats, level: float) -> tuple[float, float]:
    reach = (
        float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * float(values.std(ddof=1)) / len(values) ** 0.5
    )
    return float(values.mean()) - reach, float(values.mean()) + reach


def sign_flip_p(differences: Floats, *, one_sided: bool, seed: int = 0) -> float:
    """P that differences whose signs are chance have as great a mean; exact for up to 14 pairs.

    Example:
        >>> sign_flip_p(np.array([1.0, 2.0, 3.0]), one_sided=True)
        0.125
        >>> sign_flip_p(np.array([1.0, 2.0, 3.0]), one_sided=False)
        0.25
    """
    count = len(differences)
    if count <= MOST_FLIPS:
        bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        signs = 1.0 - 2 * bits
    else:
        rng = np.random.default_rng([seed, 79])
        # The signs that were found are one of the draws.
        signs = np.vstack([np.ones(count), rng.choice([-1.0, 1.0], (FLIPS - 1, count))])
    sums, found = signs @ differences, float(differences.sum())
    if not one_sided:
        sums, found = np.abs(sums), abs(found)
    return float((sums >= found - 1e-12).mean())
