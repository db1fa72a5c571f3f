"""A detector of small objects on dense maps of codes: a tile head, slid over whole images, and its peaks.

Whoever is tested is never learned from: neither by the head, nor by the choice of the threshold.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.spatial import KDTree
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from histonic.core.compressed import CellMap, CompressedSlide
from histonic.core.errors import RunError
from histonic.core.progress import Progress
from histonic.data.maps.peaks import Points, cell_middles, pick_points
from histonic.data.maps.store import Store
from histonic.metrics.challenges.points import Hits, f1_score, match_points, pooled

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.float32]
NEAR_UM = 4.0
"""A tile whose middle is so near to an object shows it; of each object the nearest tile does anyway."""
APART_UM = 16.0
"""Tiles farther than this from whatever is annotated show the background."""
BACKGROUND = 200
"""Tiles of the background of an image, drawn at random."""
MINED = 50
"""False detections of an image, at most, that the head learns from in addition; in each round."""
ROUNDS = 2
"""Of mining."""
C = 0.01
"""Inverse strength of the penalty of the head."""
ITERATIONS = 300
LEAST_LOG_ODDS = -3.0
"""Lower peaks are none; it is far below any threshold that is worth choosing."""
THRESHOLDS = 200
"""Thresholds that are tried, at most."""
INNER_FOLDS = 3
"""Parts of the images learned from, each seen by a head of the others when the threshold is chosen."""
Fold = frozenset[str]
"""The images that a head learns from."""


@dataclass(frozen=True)
class Annotated:
    """What is known of an image.

    Attributes:
        slide_id: Its map in the store.
        domain: Scanner or tumour; images without are learned from, and never left out.
        objects: ``(n, 2)`` level-0 pixels.
        lookalikes: ``(m, 2)``, no objects.
    """

    slide_id: str
    domain: str
    objects: FloatArray
    lookalikes: FloatArray


class Head(NamedTuple):
    """A linear head: log odds that a tile shows an object."""

    weights: FloatArray
    bias: float

    def __call__(self, codes: Codes) -> FloatArray:
        """Codes ``(N, D)`` to log odds ``(N,)``."""
        return np.asarray(codes @ self.weights + self.bias, np.float64)


class Sample(NamedTuple):
    """Codes ``(n, D)`` and whether the tiles show an object ``(n,)``."""

    codes: Codes
    shows: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Detected:
    """What was found in images that the head never saw.

    Attributes:
        domain: Left out; empty: of images without labels, by a head of all others.
        points: By image, all peaks; their values are log odds.
        threshold: Of the log odds, at which F1 was highest on images of the others, each seen by a head that
            did not learn from it.
        chosen: What that threshold gave there.
        learned_from: Images.
        mpps: Microns per level-0 pixel, by image.
    """

    domain: str
    points: Mapping[str, Points]
    threshold: float
    chosen: Hits
    learned_from: int
    mpps: Mapping[str, float]

    @property
    def probability(self) -> float:
        """The threshold as a probability among tiles of which half show an object."""
        return float(special.expit(self.threshold))


class Plan(NamedTuple):
    """Who is learned from, and who is then looked at.

    Attributes:
        domain: As of :class:`Detected`.
        train: Learned from.
        test: Looked at in the end.
        inner: Parts of the training images, each looked at by a head of the other parts.
    """

    domain: str
    train: Fold
    test: tuple[str, ...]
    inner: tuple[Fold, ...]


def plans_of(images: Sequence[Annotated], unlabelled: Sequence[str]) -> list[Plan]:
    """One plan for each domain that is left out, and one for the images without labels.

    Args:
        images: With labels.
        unlabelled: Names of the others.
    """
    domains = sorted({image.domain for image in images} - {""})
    left_out = [(name, [image.slide_id for image in images if image.domain == name]) for name in domains]
    found = []
    for name, test in [*left_out, *([("", list(unlabelled))] if unlabelled else [])]:
        train = [image for image in images if not name or image.domain != name]
        found.append(Plan(name, frozenset(each.slide_id for each in train), tuple(test), _inner(train)))
    return found


def learnable(plans: Sequence[Plan], images: Sequence[Annotated]) -> list[Plan]:
    """The plans that leave enough to learn from: an object for every head, those of two thirds too.

    Args:
        plans: Of :func:`plans_of`.
        images: With labels.
    """
    shown = {image.slide_id for image in images if len(image.objects)}
    return [plan for plan in plans if all(shown & fold for fold in (plan.train, *_learned(plan)))]


def _inner(train: Sequence[Annotated]) -> tuple[Fold, ...]:
    """The images dealt out, those with objects first, so that each part has about as many of them."""
    order = sorted(train, key=lambda image: (len(image.objects) == 0, image.domain, image.slide_id))
    parts = [frozenset(image.slide_id for image in order[start::INNER_FOLDS]) for start in range(INNER_FOLDS)]
    return tuple(part for part in parts if part)


def detect(
    store: Store,
    images: Sequence[Annotated],
    unlabelled: Sequence[str],
    *,
    radius_um: float,
    seed: int,
    progress: Progress,
) -> list[Detected]:
    """Find objects in each domain by a head of the others, and in images without labels by a head of all.

    A head is a logistic regression of the codes of tiles, which are standardised image by image: those on
    objects against those on look-alikes, on background drawn at random, and on what the head itself took for
    an object in the images that it learns from (hard negatives are mined in two rounds). Slid over an image
    it gives a map, whose local maxima, none nearer to another than the radius, are the points found. The
    threshold is that of the highest F1 on the images learned from, each seen by a head of the same kind that
    learned from two thirds of them and not from that one. Domains are passed over where the others are too
    little to learn from.

    Args:
        store: Dense maps of the images.
        images: With labels.
        unlabelled: Names of others in the store.
        radius_um: Detections hit within so many microns.
        seed: Of the background.
        progress: Is told of the images.

    Raises:
        RunError: There is nothing to learn, or to choose the threshold by.
        StoreError: A map is damaged.
    """
    plans = learnable(plans_of(images, unlabelled), images)
    by_name = {image.slide_id: image for image in images}
    if not plans:
        raise RunError(
            "Learn to detect.",
            "Whichever domain is left out, fewer than two images with an annotated object are there to learn "
            "from and to choose a threshold by.",
            "Download more images of other domains.",
        )
    folds = list(dict.fromkeys(fold for plan in plans for fold in (plan.train, *_learned(plan))))
    progress.stage("learn to detect", (1 + ROUNDS) * len(images) + len(images) + len(unlabelled))
    samples: dict[str, list[Sample]] = {}
    for image, dense, codes in _codes_of(store, images, progress):
        samples[image.slide_id] = [first_sample(image, dense, codes, seed)]
    heads = {fold: fit_head([samples[name][0] for name in sorted(fold)], C) for fold in folds}
    mined: dict[tuple[Fold, str], list[Sample]] = {}
    for _ in range(ROUNDS):
        for image, dense, codes in _codes_of(store, images, progress):
            for fold in folds:
                if image.slide_id in fold:
                    more = mine(image, dense, codes, heads[fold], radius_um)
                    mined.setdefault((fold, image.slide_id), []).append(more)
        for fold in folds:
            parts = [each for name in sorted(fold) for each in (*samples[name], *mined.get((fold, name), []))]
            heads[fold] = fit_head(parts, C)
    found: dict[tuple[Fold, str], Points] = {}
    mpps: dict[str, float] = {}
    everyone = [*images, *(Annotated(name, "", np.zeros((0, 2)), np.zeros((0, 2))) for name in unlabelled)]
    for image, dense, codes in _codes_of(store, everyone, progress):
        mpps[image.slide_id] = float(dense.grid.slide_mpp)
        for fold in folds:
            if image.slide_id not in fold:
                found[fold, image.slide_id] = points_of(dense, codes, heads[fold], radius_um)
    detected = []
    for plan in plans:
        seen = {name: found[plan.train - part, name] for part in plan.inner for name in part}
        truth = {name: by_name[name].objects for name in seen}
        threshold, chosen = best_threshold(seen, truth, mpps, radius_um)
        points = {name: found[plan.train, name] for name in plan.test}
        own = {name: mpps[name] for name in plan.test}
        detected.append(Detected(plan.domain, points, threshold, chosen, len(plan.train), own))
    return detected


def _learned(plan: Plan) -> Iterator[Fold]:
    return (plan.train - part for part in plan.inner)


def _codes_of(
    store: Store, images: Sequence[Annotated], progress: Progress
) -> Iterator[tuple[Annotated, CompressedSlide, Codes]]:
    for image in images:
        dense = store.map(image.slide_id)
        # Cells of the mask, row by row.
        codes = np.ascontiguousarray(dense.features[:, dense.mask].T, np.float32)
        yield image, dense, own_scale(codes)
        progress.advance(1, image.slide_id)


def own_scale(codes: Codes) -> Codes:
    """Codes ``(N, D)`` of an image by their own mean and standard deviation there.

    Scanners and stains shift the codes of all tiles of an image alike; what stands out in it stays.
    """
    spread = codes.std(axis=0)
    return np.asarray((codes - codes.mean(axis=0)) / np.where(spread > 0, spread, 1), np.float32)


def distances_um(dense: CompressedSlide, xy: FloatArray) -> FloatArray:
    """From the middle of each kept cell's tile to the nearest point, in microns; infinite without points."""
    middles = cell_middles(dense.grid, np.argwhere(dense.mask))
    if not len(xy):
        return np.full(len(middles), np.inf)
    far, _ = KDTree(xy).query(middles)
    return np.asarray(far * float(dense.grid.slide_mpp), np.float64)


def first_sample(image: Annotated, dense: CompressedSlide, codes: Codes, seed: int) -> Sample:
    """Tiles on objects, on look-alikes, and on the background of one image."""
    to_object, to_lookalike = (distances_um(dense, xy) for xy in (image.objects, image.lookalikes))
    shows = _on(dense, image.objects, to_object)
    alike = _on(dense, image.lookalikes, to_lookalike) & ~shows & (to_object > NEAR_UM)
    far = np.minimum(to_object, to_lookalike) > APART_UM
    rng = np.random.default_rng([seed, zlib.crc32(image.slide_id.encode())])
    empty = rng.permutation(np.flatnonzero(far))[:BACKGROUND]
    rows = np.concatenate([np.flatnonzero(shows), np.flatnonzero(alike), np.sort(empty)])
    return Sample(codes[rows], shows[rows])


def _on(dense: CompressedSlide, xy: FloatArray, distances: FloatArray) -> npt.NDArray[np.bool_]:
    """Cells whose tile has one of some points near its middle, and the nearest cell of each point."""
    near: npt.NDArray[np.bool_] = distances <= NEAR_UM
    if len(xy) and len(near):
        _, nearest = KDTree(cell_middles(dense.grid, np.argwhere(dense.mask))).query(xy)
        near[nearest] = True
    return near


def mine(image: Annotated, dense: CompressedSlide, codes: Codes, head: Head, radius_um: float) -> Sample:
    """The highest peaks of a head where no object is annotated."""
    scores = head(codes)
    # A tile that shows the rim of an object is neither.
    scores[distances_um(dense, image.objects) <= 2 * radius_um] = -np.inf
    cells = np.argwhere(dense.mask)
    points = pick_points(_map(dense, scores), above=LEAST_LOG_ODDS, radius_um=radius_um)
    if not len(points.xy):
        return Sample(codes[:0], np.zeros(0, bool))
    _, rows = KDTree(cell_middles(dense.grid, cells)).query(points.xy[:MINED])
    return Sample(codes[rows], np.zeros(len(rows), bool))


def points_of(dense: CompressedSlide, codes: Codes, head: Head, radius_um: float) -> Points:
    """The peaks of a head over a whole image."""
    return pick_points(_map(dense, head(codes)), above=LEAST_LOG_ODDS, radius_um=radius_um)


def _map(dense: CompressedSlide, scores: FloatArray) -> CellMap:
    values = np.full(dense.mask.shape, np.nan, np.float32)
    values[dense.mask] = scores
    return CellMap(dense.slide_id, values, dense.grid, "log odds that the tile shows an object")


def fit_head(samples: Sequence[Sample], c: float) -> Head:
    """A logistic regression of standardised codes; objects weigh as much as all else.

    Args:
        samples: Of all images, with objects and others among them.
        c: Inverse strength of the penalty.

    Raises:
        RunError: All tiles show an object, or none does.
    """
    codes = np.concatenate([each.codes for each in samples]).astype(np.float64)
    shows = np.concatenate([each.shows for each in samples])
    if shows.all() or not shows.any():
        raise RunError(
            "Learn to detect.",
            f"{'All' if shows.all() else 'None'} of {len(shows)} tiles to learn from show an object.",
            "Give whole images, with room around what is annotated.",
        )
    scaler = StandardScaler().fit(codes)
    model = LogisticRegression(C=c, class_weight="balanced", max_iter=ITERATIONS)
    with warnings.catch_warnings():
        # The last iterations change digits that no score sees.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(codes), shows)
    weights = model.coef_[0] / scaler.scale_
    return Head(weights, float(model.intercept_[0] - weights @ scaler.mean_))


def hits_of(points: Points, truth: FloatArray, mpp: float, radius_um: float) -> Hits:
    """Of one image."""
    return match_points(np.asarray(truth, np.float64).reshape(-1, 2) * mpp, points.xy * mpp, radius_um)


def best_threshold(
    points: Mapping[str, Points], truth: Mapping[str, FloatArray], mpps: Mapping[str, float], radius_um: float
) -> tuple[float, Hits]:
    """The threshold of the highest F1 over some images, the higher one of equals, and what it gives.

    F1 only rises where a true point comes in, so that the values of points near to an object are tried; of
    many of them, some spread over their ranks.

    Args:
        points: Found, by image.
        truth: Objects, by image.
        mpps: Microns per level-0 pixel, by image.
        radius_um: Detections hit within so many microns.
    """
    near = []
    for name, each in points.items():
        if len(truth[name]) and len(each.xy):
            far, _ = KDTree(truth[name]).query(each.xy)
            near.append(each.values[far * mpps[name] <= radius_um])
    values = np.unique(np.concatenate(near)) if near else np.zeros(0)

    def at(threshold: float) -> Hits:
        return pooled(
            hits_of(each.above(threshold), truth[name], mpps[name], radius_um)
            for name, each in points.items()
        )

    if not len(values):
        return np.inf, at(np.inf)
    tried = values[np.unique(np.linspace(0, len(values) - 1, THRESHOLDS).round().astype(int))]
    scored = [(f1_score(hits) or 0.0, float(value), hits) for value, hits in ((v, at(v)) for v in tried)]
    _, threshold, hits = max(scored, key=lambda each: each[:2])
    return threshold, hits
