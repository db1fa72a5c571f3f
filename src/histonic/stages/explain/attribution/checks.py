"""Is an explanation to be believed: deletion and insertion, randomised weights, and a mask of the lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from histonic.data.maps.memory import Maps
from histonic.metrics.discrimination.labels import auroc
from histonic.slides.outlines import BoolGrid
from histonic.stages.explain.attribution.methods import Method
from histonic.stages.explain.attribution.output import ExplainedOutput
from histonic.stages.explain.attribution.results import DeletionCurves, RandomisedMaps
from histonic.stages.explain.attribution.views import (
    ExplainedNetwork,
    FloatGrid,
    explain_map,
    predict_with,
    randomised,
)

STEPS = 20
RANDOM_ORDERS = 8
DRAWS = 4
LARGE_CELLS = 20_000
"""Windows with more cells are checked in fewer steps, so that checking does not take minutes."""
LARGE_STEPS, LARGE_ORDERS, LARGE_DRAWS = 8, 4, 2
LESION_SHARE = 0.5
"""Share of a cell that a lesion must cover to count as lesion."""


def deletion_insertion(
    networks: Sequence[ExplainedNetwork],
    maps: Maps,
    slide_id: str,
    output: ExplainedOutput,
    values: FloatGrid,
    rng: np.random.Generator,
) -> DeletionCurves:
    """Curves of Petsiuk, Das and Saenko (BMVC 2018) over cells.

    Args:
        networks: That were explained.
        maps: That hold the slide.
        slide_id: The slide.
        output: The output.
        values: ``(R, K)`` the explanation, NaN outside the tissue.
        rng: For random orders, and among equal values.
    """
    large = networks[0].crop_cells ** 2 > LARGE_CELLS
    steps, orders = (LARGE_STEPS, LARGE_ORDERS) if large else (STEPS, RANDOM_ORDERS)
    mask = maps.mask(slide_id)
    cells = np.flatnonzero(mask)
    chance = rng.permutation(len(cells))
    ranked = cells[chance[np.argsort(-values.ravel()[cells][chance], kind="stable")]]
    counts = np.round(np.linspace(0, len(cells), steps + 1)).astype(int)
    shuffled = [rng.permutation(cells) for _ in range(orders)]
    kept = [_without(mask, ranked[:count]) for count in counts]
    kept += [_without(mask, ranked[count:]) for count in counts]
    kept += [_without(mask, order[:count]) for order in shuffled for count in counts]
    found = predict_with(networks, maps, slide_id, output, kept).reshape(-1, len(counts))
    return DeletionCurves.drawn(
        (counts / len(cells)).tolist(),
        [float(np.trapezoid(each, counts / len(cells))) for each in found[2:]],
        deletion=found[0].tolist(),
        insertion=found[1].tolist(),
        random=found[2:].mean(axis=0).tolist(),
    )


def _without(mask: BoolGrid, cells: npt.NDArray[np.int64]) -> BoolGrid:
    kept = mask.copy()
    kept.ravel()[cells] = False
    return kept


@dataclass(frozen=True)
class Randomisation:
    """How much of an explanation survives when the weights lose what they learned.

    Attributes:
        correlations: Spearman correlation over cells of the map with one by randomised networks, per draw;
            near 0 is wanted, on average.
        values: The maps of the randomised networks, ``(R, K)`` each.
    """

    correlations: list[float]
    values: list[FloatGrid]

    def noted(self) -> RandomisedMaps:
        """What is kept of it."""
        mean = float(np.mean(self.correlations))
        size = float(np.mean(np.abs(self.correlations)))
        return RandomisedMaps(correlations=self.correlations, mean=mean, mean_size=size)


def randomise_weights(
    networks: Sequence[ExplainedNetwork],
    maps: Maps,
    slide_id: str,
    output: ExplainedOutput,
    method: Method,
    values: FloatGrid,
    seed: int,
) -> Randomisation:
    """Explain by networks with randomised weights (Adebayo et al., NeurIPS 2018), upright only.

    Args:
        networks: That were explained.
        maps: That hold the slide.
        slide_id: The slide.
        output: The output.
        method: By which it was explained.
        values: ``(R, K)`` the explanation.
        seed: Of the randomised weights.
    """
    large = networks[0].crop_cells ** 2 > LARGE_CELLS
    mask = maps.mask(slide_id)
    found = []
    for draw in range(LARGE_DRAWS if large else DRAWS):
        drawn = [randomised(network, seed + 1000 * draw + number) for number, network in enumerate(networks)]
        found.append(explain_map(drawn, maps, slide_id, output, method, upright=True))
    return Randomisation([rank_correlation(values[mask], each[mask]) for each in found], found)


def rank_correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Spearman correlation; 0 where one of the two is constant.

    Example:
        >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
        1.0
    """
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return round(float(spearmanr(one, other).statistic), 12)


def cell_auc(values: FloatGrid, lesion: FloatGrid, mask: BoolGrid) -> float | None:
    """AUC over tissue cells of the value against lesion, a cell that is covered by half or more.

    Args:
        values: ``(R, K)``.
        lesion: ``(R, K)`` covered share of each cell.
        mask: ``(R, K)``.

    Returns:
        None if all tissue cells are lesion, or none is.

    Example:
        >>> cell_auc(np.array([[0.1, 0.9, 0.5]]), np.array([[0.0, 1.0, 0.2]]), np.ones((1, 3), bool))
        1.0
    """
    positive = lesion[mask] >= LESION_SHARE
    if positive.all() or not positive.any():
        return None
    return float(auroc(positive, values[mask]))
