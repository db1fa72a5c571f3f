"""What the checks of an explanation found, as it is kept; read without loading networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from histonic.core.documents import Part


class Areas(Part):
    """Areas under curves, in the unit of the prediction; and what the order gains over chance.

    ``gain`` is the mean of (random - deletion) and (insertion - random turned round): above 0 if cells of
    high value carry more of the prediction than cells at random. ``scatter`` is the standard deviation of the
    areas of random orders: a gain of twice that is no play of chance.
    """

    deletion: float
    insertion: float
    random: float
    gain: float
    scatter: float


class DeletionCurves(Part):
    """Predictions while cells lose or get back their codes, in the order of an explanation and at random.

    Attributes:
        share: Share of the tissue cells changed, from 0 to 1.
        deletion: Prediction after the cells of highest value became average tissue.
        insertion: Prediction when only the cells of highest value are not average tissue.
        random: The same for cells in random order, as deletion; the mean over orders.
        orders: Areas under the curves of the single random orders.
        areas: Under the curves.
    """

    share: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    random: tuple[float, ...]
    orders: tuple[float, ...]
    areas: Areas

    @classmethod
    def drawn(
        cls, share: Sequence[float], orders: Sequence[float], **curves: Sequence[float]
    ) -> DeletionCurves:
        """Curves with their areas.

        Example:
            >>> lines = {"deletion": [1.0, 0.0, 0.0], "insertion": [0.0, 1.0, 1.0], "random": [1.0, 0.5, 0.0]}
            >>> areas = DeletionCurves.drawn([0.0, 0.5, 1.0], orders=[0.4, 0.6], **lines).areas
            >>> areas.deletion, areas.insertion, areas.random, areas.gain, round(areas.scatter, 2)
            (0.25, 0.75, 0.5, 0.25, 0.14)
        """
        area = {name: float(np.trapezoid(line, share)) for name, line in curves.items()}
        # Keeping a random part is deleting the other part: both have the same area.
        gain = (area["insertion"] - area["deletion"]) / 2
        areas = Areas(**area, gain=gain, scatter=float(np.std(orders, ddof=1)))
        return cls(share=share, orders=orders, areas=areas, **curves)

    @property
    def is_better(self) -> bool:
        """Whether the order is better than each random order, both in deletion and in insertion."""
        # Keeping a random part is deleting the other part: both have the same area.
        return self.areas.deletion < min(self.orders) and self.areas.insertion > max(self.orders)


class RandomisedMaps(Part):
    """Correlations with the maps of randomised networks, their mean, and the mean of their sizes."""

    correlations: tuple[float, ...]
    mean: float
    mean_size: float
