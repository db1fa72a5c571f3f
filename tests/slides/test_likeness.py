"""The same slide is found turned, mirrored, recompressed and restained; different slides are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from histonic.core.compressed import orient
from histonic.core.grid import TileGrid
from histonic.slides.likeness import DENSITY, Appearance, appearance_of, find_copies, measure_likeness

MPP = 8.0
CELL = 8


def tissue(seed: int, side: int = 320) -> np.ndarray:
    """A round piece of tissue on glass; all seeds have the same stain and nearly the same outline."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    angle = np.arctan2(y, x)
    edge = 0.33 + 0.03 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.02 * np.sin(5 * angle + rng.uniform(0, 6))
    inside = np.hypot(y, x * 1.15) < edge
    fine = ndimage.gaussian_filter(rng.normal(size=(side, side)), 4)
    density = 0.25 + 0.12 * fine / fine.std() * 0.5
    stain = np.array([0.7, 1.3, 0.8])
    picture = 245 * 10 ** (-np.clip(density, 0.05, 0.6)[..., None] * stain)
    picture[~inside] = 245
    return picture.clip(0, 255).astype(np.uint8)


def see(picture: np.ndarray) -> Appearance:
    """The appearance of a picture, as compress makes it."""
    height, width = picture.shape[:2]
    grid = TileGrid.over((width, height), slide_mpp=MPP, tile_px=CELL, mpp=MPP)
    rows, cols = grid.shape
    missing = ((0, rows * CELL - height), (0, cols * CELL - width))
    padded = np.pad(picture.mean(axis=2), missing, constant_values=255)
    mask = (padded < 235).reshape(rows, CELL, cols, CELL).mean(axis=(1, 3)) > 0.25
    return appearance_of(picture, grid, mask)


def recompressed(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def restained(picture: np.ndarray) -> np.ndarray:
    density = -np.log10((picture.astype(float) + 1) / 256) * np.array([1.15, 0.9, 1.05])
    return (256 * 10**-density - 1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(8))
def test_turned_copies_are_found(orientation: int) -> None:
    picture = tissue(0)
    copy = np.ascontiguousarray(orient(picture, orientation, (0, 1)))
    found = measure_likeness(see(picture), see(copy))
    assert found.same and found.texture > 0.95


def test_changed_copies_are_found() -> None:
    picture = tissue(1)
    wider = np.full((400, 361, 3), 245, np.uint8)
    wider[51:371, 17:337] = picture
    small = np.asarray(Image.fromarray(picture).resize((250, 250), Image.Resampling.BOX))
    changed = [recompressed(picture, 30), restained(picture), wider, small]
    changed.append(restained(recompressed(orient(wider, 6, (0, 1)), 50)))
    for number, copy in enumerate(changed):
        assert measure_likeness(see(picture), see(np.ascontiguousarray(copy))).same, number


def test_different_slides_of_one_stain_are_not() -> None:
    appearances = [see(tissue(seed)) for seed in range(30)]
    assert find_copies(appearances) == []
    likeness = [measure_likeness(appearances[0], other).texture for other in appearances[1:]]
    assert max(likeness) < 0.5


def test_pairs_are_named_by_position_and_orientation() -> None:
    appearances = [see(tissue(0)), None, see(tissue(1)), see(np.ascontiguousarray(np.rot90(tissue(0))))]
    ((one, other, likeness),) = find_copies(appearances)
    assert (one, other) == (0, 3)
    # The second is one quarter turn ahead; three more bring it back.
    assert likeness.orientation == 3
    assert [pair[:2] for pair in find_copies(appearances[:1], appearances[2:])] == [(0, 1)]
    assert find_copies([]) == [] and find_copies(appearances, []) == []


def test_almost_empty_slides_do_not_collide() -> None:
    appearances = []
    for seed in range(4):
        picture = np.full((320, 320, 3), 245, np.uint8)
        picture[100:110, 100 + seed : 112 + seed] = tissue(seed)[150:160, 150:162]
        appearances.append(see(picture))
    even = np.full((320, 320, 3), 245, np.uint8)
    even[80:240, 80:240] = (200, 120, 180)
    appearances += [see(even), see(even)]
    assert not any(each.comparable for each in appearances)
    assert find_copies(appearances) == []


def test_an_appearance_survives_its_file() -> None:
    seen = see(tissue(2))
    back = Appearance.from_dict(seen.to_dict())
    assert back.rgb == pytest.approx(seen.rgb, abs=0.01)
    assert measure_likeness(seen, back).texture > 0.99
    assert np.abs(back.cover - seen.cover).max() < 0.01


def test_colour_is_that_of_the_tissue() -> None:
    found = see(tissue(3)).rgb
    assert found[0] > found[1] and max(found) < 235


def test_crops_of_a_real_slide_are_told_apart(data_dir: Path) -> None:
    from histonic.slides.base import open_slide

    with open_slide(data_dir / "slides" / "CMU-1-Small-Region.svs") as slide:
        whole = slide.read((0, 0), (555, 740), slide.mpp * 4)
    # One stain, one laboratory, one patient: neighbouring fields, each as if it were a slide.
    crops = [whole[top : top + 240, left : left + 240] for top in (0, 250, 490) for left in (0, 300)]
    framed = [np.pad(crop, ((40, 40), (40, 40), (0, 0)), constant_values=245) for crop in crops]
    appearances = [see(each) for each in framed]
    assert find_copies(appearances) == []
    turned = [see(np.ascontiguousarray(orient(recompressed(each, 50), 5, (0, 1)))) for each in framed]
    # The first crop is almost glass, and says nothing.
    assert not appearances[0].comparable
    pairs = {(one, other) for one, other, _ in find_copies(appearances, turned)}
    assert {(3, 3), (4, 4), (5, 5)} <= pairs <= {(k, k) for k in range(6)}


def test_densities_by_the_sum_of_channels_are_those_of_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 401, 3), np.uint8)
    pixels[0, :3] = [[0, 0, 0], [255, 255, 255], [0, 1, 0]]
    density = -np.log10((pixels.astype(np.float32).mean(axis=2) + 1) / 256)
    assert np.array_equal(DENSITY[pixels.astype(np.int64).sum(2)], density)
