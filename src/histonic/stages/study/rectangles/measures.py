"""What is measured of a run on rectangles: accuracy by lesion size, and whether Grad-CAM finds the lesion."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.documents import Part
from histonic.core.progress import Silent
from histonic.data.maps.memory import Maps
from histonic.data.maps.store import Store
from histonic.metrics.inference.shares import wilson
from histonic.models.bundle import read_bundle
from histonic.runs.run import read_run
from histonic.stages.explain.attribution.methods import METHODS
from histonic.stages.explain.attribution.output import choose_output
from histonic.stages.explain.attribution.views import explain_map, networks_of
from histonic.stages.explain.choice import unseen_networks
from histonic.stages.explain.lesion import lesion_shares

SIZE_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Long side of the lesion by the side of the image."""
HALF = 0.5
"""Of the greatest value: cells from there on are what an explanation points at."""
LESION_SHARE = 0.5


class Accuracy(Part):
    """Share of test images whose class is right, with Wilson's 95 % interval.

    Attributes:
        least: Of the lesion's long side, by the image.
        greatest: Of it.
        right: How many.
        images: Of how many.
        low: Lower end.
        high: Upper end.
    """

    least: float
    greatest: float
    right: int
    images: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """Accuracy."""
        return self.right / self.images


class Localisation(Part):
    """How well Grad-CAM's cells meet the lesion's.

    Attributes:
        images: How many were looked at.
        jaccard: Mean of intersection by union, of cells of half the greatest value or more.
        sd: Its standard deviation over images.
        best: Mean of the best that any threshold reaches.
    """

    images: int
    jaccard: float
    sd: float
    best: float


def accuracies(
    right: npt.NDArray[np.bool_], sizes: npt.NDArray[np.float64], edges: Sequence[float] = SIZE_EDGES
) -> list[Accuracy]:
    """Accuracy of all images, then of those of each size that occurs.

    Args:
        right: ``(n,)`` whether the class is right.
        sizes: ``(n,)`` long side of the lesion by the image.
        edges: Of the sizes.

    Example:
        >>> found = accuracies(np.array([True, False, True]), np.array([0.05, 0.15, 0.15]))
        >>> [(each.least, each.right, each.images) for each in found]
        [(0.0, 2, 3), (0.0, 1, 1), (0.1, 1, 2)]
    """
    parts = [(edges[0], edges[-1], np.ones(len(right), bool))]
    for low, high in pairwise(edges):
        inside = (sizes >= low) & ((sizes < high) | (high == edges[-1]))
        parts.append((low, high, inside))
    found = []
    for low, high, inside in parts:
        hits, count = int(right[inside].sum()), int(inside.sum())
        if count:
            bottom, top = wilson(hits, count) or (0.0, 1.0)
            found.append(
                Accuracy(
                    least=low,
                    greatest=high,
                    right=hits,
                    images=count,
                    low=float(bottom),
                    high=float(top),
                )
            )
    return found


def jaccard(values: npt.NDArray[np.float64], lesion: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Intersection by union of lesion and cells of half the greatest value, and of the best threshold.

    Example:
        >>> jaccard(np.array([[4.0, 3.0, 1.0, 0.0]]), np.array([[True, True, True, False]]))
        (0.6666666666666666, 1.0)
    """

    def meets(chosen: npt.NDArray[np.bool_]) -> float:
        union = int((chosen | lesion).sum())
        return float((chosen & lesion).sum() / union) if union else 0.0

    most = float(values.max(initial=0.0))
    if most <= 0:
        return 0.0, 0.0
    thresholds = np.unique(values[values > 0])
    few = thresholds[:: max(1, len(thresholds) // 100)]
    return meets(values >= HALF * most), max(meets(values >= each) for each in few)


def localise(run: Path, store: Path, masks: Path, slides: Sequence[str]) -> Localisation:
    """Grad-CAM of the right class on slides, by the networks that have not seen them, against their masks.

    Args:
        run: Folder of the training.
        store: Of the maps.
        masks: Folder with a GeoJSON file for each slide.
        slides: Their names.
    """
    opened, trained = Store.open(store), read_run(run)
    maps = Maps({name: opened.map(name) for name in slides}, Silent())
    networks = networks_of(read_bundle(run / "bundle"))
    task = trained.tasks[0]
    truth = trained.tables[task.name].frame.set_index("patient_id")["truth"]
    found: list[tuple[float, float]] = []
    for name in slides:
        asked = choose_output(task, None, str(truth[name]))
        own = unseen_networks(trained, networks, task, name)
        values: Any = explain_map(own, maps, name, asked, METHODS["grad-cam"])
        lesion = lesion_shares(masks / f"{name}.geojson", opened.map(name))[0] >= LESION_SHARE
        found.append(jaccard(np.nan_to_num(values), lesion))
    each = np.array(found)
    return Localisation(
        images=len(each),
        jaccard=float(each[:, 0].mean()),
        sd=float(each[:, 0].std(ddof=1)) if len(each) > 1 else 0.0,
        best=float(each[:, 1].mean()),
    )
