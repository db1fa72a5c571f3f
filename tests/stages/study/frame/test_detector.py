"""A detector on maps of planted codes: it finds them, and never sees what it is tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from histonic.core.compressed import CompressedSlide, EncoderDescription, EncoderSpec
from histonic.core.errors import RunError
from histonic.core.grid import TileGrid
from histonic.core.progress import Silent
from histonic.core.units import WH, XY, Shape
from histonic.data.maps.peaks import Points, cell_middles
from histonic.metrics.challenges.points import f1_score, pooled
from histonic.stages.study.frame import detector
from histonic.stages.study.frame.detector import (
    Annotated,
    Detected,
    best_threshold,
    detect,
    first_sample,
    fit_head,
    hits_of,
    own_scale,
    plans_of,
)

RADIUS_UM = 7.5
# Tiles of 16 µm in steps of 6 µm, 24 pixels of the slide.
GRID = TileGrid(XY(0, 0), 64, 24, 0.25, 0.25, WH(24 * 20 + 40, 24 * 20 + 40), Shape(20, 20))
SPEC = EncoderSpec("planted", "colour", 64, 0.25, 6)


@dataclass
class Maps:
    """What a store gives of itself here."""

    maps: dict[str, CompressedSlide]

    def map(self, name: str) -> CompressedSlide:
        return self.maps[name]


def planted(name: str, domain: str, seed: int, shift: float) -> tuple[Annotated, CompressedSlide]:
    """Objects have a high first code, look-alikes a high first and second; a domain shifts all codes."""
    rng = np.random.default_rng(seed)
    places = rng.permutation([(row, col) for row in range(2, 19, 4) for col in range(2, 19, 4)])[:12]
    codes = rng.normal(0, 1, (6, 20, 20)).astype(np.float32)
    for number, (row, col) in enumerate(places.tolist()):
        codes[0, row, col] += 7
        codes[1, row, col] += 7 * (number % 2)
    middles = cell_middles(GRID, np.asarray(places)) + rng.uniform(-8, 8, (12, 2))
    dense = CompressedSlide(
        slide_id=name,
        features=codes + shift,
        mask=np.ones((20, 20), bool),
        grid=GRID,
        encoder=EncoderDescription(name="planted", fingerprint="0", spec=SPEC),
    )
    return Annotated(name, domain, middles[::2], middles[1::2]), dense


@pytest.fixture(scope="module")
def cohort() -> tuple[list[Annotated], Maps]:
    """Three domains of two images, and one image without labels."""
    images, maps = [], {}
    for number in range(7):
        domain = "ABC-"[number // 2]
        image, dense = planted(f"{number}", domain, number, shift=5.0 * (number // 2))
        maps[image.slide_id] = dense
        images.append(image)
    return images[:6], Maps(maps)


def found_by(images: list[Annotated], maps: Maps) -> dict[str, Detected]:
    detected = detect(maps, images, ["6"], radius_um=RADIUS_UM, seed=0, progress=Silent())  # type: ignore[arg-type]
    return {each.domain: each for each in detected}


@pytest.fixture(scope="module")
def found(cohort: tuple[list[Annotated], Maps]) -> dict[str, Detected]:
    return found_by(*cohort)


def test_what_was_planted_is_found_in_domains_left_out(
    found: dict[str, Detected], cohort: tuple[list[Annotated], Maps]
) -> None:
    truth = {image.slide_id: image.objects for image in cohort[0]}
    assert sorted(found) == ["", "A", "B", "C"] and list(found[""].points) == ["6"]
    hits = [
        hits_of(points.above(each.threshold), truth[name], 0.25, RADIUS_UM)
        for each in found.values()
        if each.domain
        for name, points in each.points.items()
    ]
    assert len(hits) == 6 and (f1_score(pooled(hits)) or 0) > 0.9
    hidden, _ = planted("6", "-", 6, 15.0)
    of_hidden = hits_of(found[""].points["6"].above(found[""].threshold), hidden.objects, 0.25, RADIUS_UM)
    assert (f1_score(of_hidden) or 0) > 0.7 and found[""].learned_from == 6


def test_labels_of_a_domain_change_nothing_of_what_is_found_there(
    found: dict[str, Detected], cohort: tuple[list[Annotated], Maps]
) -> None:
    images, maps = cohort
    other = [
        replace(image, objects=image.lookalikes, lookalikes=image.objects) if image.domain == "B" else image
        for image in images
    ]
    again = found_by(other, maps)
    assert again["B"].threshold == found["B"].threshold
    for name, points in again["B"].points.items():
        assert np.array_equal(points.xy, found["B"].points[name].xy)
        assert np.array_equal(points.values, found["B"].points[name].values)
    assert again["A"].threshold != found["A"].threshold


def test_nobody_is_tested_who_was_learned_from(cohort: tuple[list[Annotated], Maps]) -> None:
    images = [*cohort[0], Annotated("x", "", np.ones((1, 2)), np.zeros((0, 2)))]
    plans = plans_of(images, ["6"])
    assert [plan.domain for plan in plans] == ["A", "B", "C", ""]
    domains = {image.slide_id: image.domain for image in images}
    for plan in plans:
        assert not plan.train & set(plan.test) and "x" in plan.train
        assert all(domains[name] != plan.domain or not plan.domain for name in plan.train)
        assert frozenset().union(*plan.inner) == plan.train
        assert sum(map(len, plan.inner)) == len(plan.train)
        for name in plan.test:
            assert plan.domain == domains.get(name, "")


def test_the_sample_is_of_objects_of_lookalikes_and_of_what_is_far_from_both() -> None:
    image, dense = planted("0", "A", 0, 0.0)
    numbers = np.arange(400, dtype=np.float32)[:, None]
    sample = first_sample(image, dense, numbers, seed=0)
    rows = sample.codes[:, 0].astype(int)
    middles = cell_middles(GRID, np.argwhere(dense.mask))[rows]

    def far(xy: np.ndarray) -> np.ndarray:
        return np.hypot(*(middles[:, None] - xy[None]).transpose(2, 0, 1)).min(axis=1) * 0.25

    objects, alike = far(image.objects), far(image.lookalikes)
    # No object lies farther than half a diagonal of a step from the middle of its tile.
    assert (objects[sample.shows] <= 6 / np.sqrt(2) + 1e-9).all() and sample.shows.sum() >= 6
    rest = ~sample.shows
    is_alike = rest & (alike <= 6 / np.sqrt(2) + 1e-9)
    assert is_alike.sum() >= 6 and (np.minimum(objects, alike)[rest & ~is_alike] > detector.APART_UM).all()
    assert (rest & ~is_alike).sum() <= detector.BACKGROUND
    assert np.array_equal(first_sample(image, dense, numbers, seed=0).codes, sample.codes)


def test_a_head_is_the_logistic_regression_of_standardised_codes() -> None:
    rng = np.random.default_rng(0)
    codes = (rng.normal(0, [1, 50, 0.1], (200, 3)) + 7).astype(np.float32)
    shows = codes[:, 0] + rng.normal(0, 0.5, 200) > 7.8
    head = fit_head(
        [detector.Sample(codes[:120], shows[:120]), detector.Sample(codes[120:], shows[120:])], 0.1
    )
    z = (codes - codes.mean(0)) / codes.std(0)
    weights = head.weights * codes.std(0)
    p = 1 / (1 + np.exp(-head(codes)))
    # At the optimum the weighted errors are held by the penalty alone, and the bias is free.
    weight = np.where(shows, 100 / shows.sum(), 100 / (~shows).sum())
    assert np.allclose(0.1 * z.T @ (weight * (shows - p)), weights, atol=2e-3)
    assert abs((weight * (shows - p)).sum()) < 0.05


def test_a_head_needs_tiles_of_both_kinds() -> None:
    codes = np.ones((3, 2), np.float32)
    for shows, found in ((np.ones(3, bool), "All of 3"), (np.zeros(3, bool), "None of 3")):
        with pytest.raises(RunError, match=found):
            fit_head([detector.Sample(codes, shows)], 0.1)


def test_codes_of_an_image_by_their_own_scale() -> None:
    codes = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    assert own_scale(codes).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_the_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    points, truth = {}, {}
    for name in "ab":
        truth[name] = rng.uniform(0, 800, (15, 2))
        xy = np.concatenate([truth[name][:11] + rng.normal(0, 8, (11, 2)), rng.uniform(0, 800, (25, 2))])
        values = np.concatenate([rng.normal(1, 1, 11), rng.normal(0, 1, 25)])
        order = np.argsort(-values)
        points[name] = Points(xy[order], values[order])
    mpps = {"a": 0.25, "b": 0.5}

    def f1(threshold: float) -> float:
        return (
            f1_score(pooled(hits_of(points[n].above(threshold), truth[n], mpps[n], 7.5) for n in "ab")) or 0
        )

    threshold, hits = best_threshold(points, truth, mpps, 7.5)
    every = np.concatenate([each.values for each in points.values()])
    assert f1(threshold) == f1_score(hits) == max(map(f1, every))
    nothing = {"a": Points(np.zeros((0, 2)), np.zeros(0))}
    threshold, hits = best_threshold(nothing, truth, mpps, 7.5)
    assert threshold == np.inf and tuple(hits) == (0, 0, 15)


def test_too_little_to_learn_from(cohort: tuple[list[Annotated], Maps]) -> None:
    images, maps = cohort
    few = [images[0], images[2]]
    # Images without labels are looked at all the same.
    assert list(found_by(few, maps)) == [""]
    with pytest.raises(RunError, match="fewer than two images"):
        found_by(few[:1], maps)
