"""Folds are found and plain tissue is not taken for them; focus tells blurred tiles whatever the stain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from histonic.slides.formats.array import ArraySlide
from histonic.slides.tissue.finder import FINDERS, find_tissue, look_for_tissue
from histonic.slides.tissue.quality import find_folds, focus_of
from histonic.slides.tissue.rule import TissueRule

HE = np.array([0.5, 0.8, 0.35], np.float32)[:, None, None]


def tissue_density(side: int = 200) -> np.ndarray:
    """Uneven tissue amid glass, float32 ``(3, side, side)``, as at 16 µm/px."""
    rng = np.random.default_rng(0)
    even = np.zeros((side, side), np.float32)
    even[20:-20, 20:-20] = rng.uniform(0.6, 1.4, (side - 40, side - 40))
    return HE * even


@pytest.mark.parametrize("strength", [0.7, 1.5])
@pytest.mark.parametrize("mpp", [16.0, 8.0, 20.0])
def test_a_band_of_doubled_tissue_is_a_fold(strength: float, mpp: float) -> None:
    density = strength * tissue_density()
    y, x = np.mgrid[:200, :200]
    band = (np.abs(y - 60 - 0.3 * x) < 8 * 8 / mpp) & (density[0] > 0)
    density[:, band] *= 2.2
    found = find_folds(density, np.zeros((200, 200), bool), mpp)
    step = round(found.mpp / mpp)
    mask = np.kron(found.mask, np.ones((step, step), bool))[:200, :200]
    assert mask[band].mean() > 0.85 and mask[~band].mean() < 0.01


def test_what_is_denser_but_no_fold_is_none() -> None:
    plain = tissue_density()
    nothing = np.zeros((200, 200), bool)
    assert not find_folds(plain, nothing, 16.0).mask.any()
    lymphocytes = plain.copy()
    lymphocytes[:2, 60:68, 40:160] *= 3  # a band denser where haematoxylin is, not in blue
    assert not find_folds(lymphocytes, nothing, 16.0).mask.any()
    wide = plain.copy()
    wide[:, 40:100, 40:100] *= 2.2  # 1 mm of denser tissue
    assert find_folds(wide, nothing, 16.0).mask.mean() < 0.01
    inked = plain.copy()
    inked[:, 60:68] *= 4
    ink = nothing.copy()
    ink[58:70] = True
    assert not find_folds(inked, ink, 16.0).mask.any()
    assert not find_folds(np.zeros((3, 5, 7), np.float16), np.zeros((5, 7), bool), 2.0).mask.any()


def test_a_dark_spot_of_any_shape_is_found() -> None:
    density = tissue_density()
    density[:, 90:100, 90:100] = 2.5
    found = find_folds(density, np.zeros((200, 200), bool), 16.0).mask
    assert found[91:99, 91:99].all() and found.sum() < 200


@pytest.mark.parametrize("stain", [0.4, 1.0, 1.5])
def test_a_blurred_tile_has_less_focus_whatever_its_stain(stain: float) -> None:
    rng = np.random.default_rng(1)
    density = ndimage.gaussian_filter(rng.uniform(0, 8, (6, 64, 64)), (0, 1.2, 1.2)) / 4
    tiles = {}
    for name, sigma in (("sharp", 0.0), ("dim", 2.5)):
        blurred = ndimage.gaussian_filter(np.exp(-stain * density) * 240, (0, sigma, sigma))
        noisy = blurred + rng.normal(0, 1, blurred.shape)
        tiles[name] = np.clip(np.repeat(noisy[..., None], 3, -1), 0, 255).astype(np.uint8)
    sharp, dim = focus_of(tiles["sharp"]), focus_of(tiles["dim"])
    assert dim.max() < np.median(sharp) - 0.75 < sharp.min()


def test_focus_is_that_of_each_tile_alone_and_by_hand() -> None:
    columns = np.tile(np.array([50, 50, 200, 200] * 4, np.uint8), (16, 1))
    coarser = np.tile(np.array([50, 50, 50, 50, 200, 200, 200, 200] * 2, np.uint8), (16, 1))
    tiles = np.stack([columns, coarser, np.full_like(columns, 120)])[..., None].repeat(3, -1)
    both = np.maximum(focus_of(tiles), -100)
    # Squared density that pairs keep and fours lose, or the reverse; what is absent counts as 1e-6.
    energy = np.log((4 * 50 + 32) / (4 * 200 + 32)) ** 2 / 4
    assert np.allclose(both[:2], [np.log2(energy / 1e-6), -np.log2(energy / 1e-6)], atol=1e-3)
    assert np.isnan(both[2])
    assert (focus_of(tiles[:1]) == both[:1]).all()
    assert np.isnan(focus_of(tiles[:, :4])).all() and focus_of(tiles[:0]).shape == (0,)


def test_the_edge_of_a_sharp_piece_is_no_blur() -> None:
    rng = np.random.default_rng(2)
    density = np.clip(0.6 + 3 * ndimage.gaussian_filter(rng.uniform(-1, 1, (8, 128, 128)), (0, 1, 1)), 0.1, 2)
    whole = density.copy()
    for at in range(8):
        density[at, :, 32 + 11 * at :] = 0  # a quarter of a cell has to be tissue
    focus = []
    for each in (whole, density):
        pixels = 243 * np.exp(-each[..., None].repeat(3, -1)) + rng.normal(0, 1, (8, 128, 128, 3))
        focus.append(focus_of(np.clip(pixels, 0, 255).astype(np.uint8)))
    assert (focus[1] > np.median(focus[0]) - 0.6).all()


def test_tissue_is_the_same_beside_its_quality_and_the_picture_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = np.full((700, 900, 3), 243, np.uint8)
    noise = np.random.default_rng(0).integers(-25, 25, (400, 500, 1))
    pixels[150:550, 200:700] = np.clip(np.array([190, 110, 170]) + noise, 0, 255)
    pixels[40:70, 100:800] = (30, 130, 80)
    slide = ArraySlide(pixels, mpp=8.0)
    reads = []
    read = ArraySlide.read
    monkeypatch.setattr(ArraySlide, "read", lambda *given: reads.append(given[1]) or read(*given))
    found = look_for_tissue(slide)
    assert len(reads) == len(set(reads)) == 2  # two bands of rows
    assert (found.tissue.mask == find_tissue(slide).mask).all()
    assert found.density.shape == (3, *found.ink.shape) and found.density.dtype == np.float16
    assert found.ink[50:60, 150:750].mean() > 0.95 and not (found.ink & found.tissue.mask).any()
    everything = look_for_tissue(slide, TissueRule(everything=True))
    assert everything.tissue.mask.all() and (everything.ink == found.ink).all()
    # Of a finder from elsewhere the quality is known as well.
    monkeypatch.setattr(type(FINDERS), "get", lambda self, name: lambda pixels, mpp: pixels[..., 0] < 20)
    other = look_for_tissue(slide, TissueRule(finder="other"))
    assert not other.tissue.mask.any() and (other.ink == found.ink).all()
