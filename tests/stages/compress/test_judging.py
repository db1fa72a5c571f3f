"""Cells are left out for pen, folds and blur only if that is asked for; how many is kept and said."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from histonic.core.errors import SettingsError, StoreError
from histonic.core.settings import make_settings
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.quality import read_quality
from histonic.data.maps.shares import quality_words
from histonic.data.maps.store import Store, map_folder
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import CompressResult, compress
from histonic.stages.compress.settings import CompressSettings

MPP = 0.5


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tissue of 1.2 mm with a fold of 60 µm and a pen across its edge, drawn at 2 µm/px."""
    rng = np.random.default_rng(0)
    fine = rng.uniform(-0.5, 0.5, (600, 600))
    uneven = 1 + 2 * ndimage.gaussian_filter(fine, 0.8)
    density = np.zeros((700, 700, 3))
    density[50:650, 50:650] = np.clip(uneven, 0.2, 3)[..., None] * np.array([0.35, 0.6, 0.3])
    density[50:650, 280:310] *= 2.2
    density[600:640, 380:] += -np.log(np.array([30, 130, 80]) / 243)
    pixels = (243 * np.exp(-density) + rng.normal(0, 1, density.shape)).repeat(4, 0).repeat(4, 1)
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    write_pyramid(path, np.clip(pixels, 0, 255).astype(np.uint8), mpp=MPP)
    return path


def stored(slide: Path, store: Path, **given: object) -> CompressResult:
    return compress(slides=[slide], encoder="colour", out=store, **given)


def test_nothing_is_left_out_unless_asked_for(slide: Path, tmp_path: Path) -> None:
    plain = stored(slide, tmp_path / "plain")
    facts = read_map_facts(map_folder(tmp_path / "plain", "a"))
    assert facts.quality is not None and not facts.quality.left_out
    assert 0.02 < facts.quality.pen_of_area < 0.06 and 0.02 < facts.quality.folds_of_cells < 0.08
    assert facts.settings.leave_out == () and "left out" not in plain.shares[0].words()
    quality = read_quality(map_folder(tmp_path / "plain", "a"))
    mask = Store.open(tmp_path / "plain").map("a").mask
    assert quality is not None
    assert (np.isfinite(quality.pen) == mask).all() and (np.isfinite(quality.folds) == mask).all()
    folded = quality.is_spoilt("folds")
    # The fold runs from 560 to 620 µm, through the columns 8 and 9 of cells of 64 µm.
    assert 14 < folded.sum() <= 40 and not folded[:, :8].any() and not folded[:, 10:].any()
    with pytest.raises(StoreError, match="leave_out"):
        stored(slide, tmp_path / "plain", leave_out="pen")


def test_what_is_left_out_is_counted_by_reason(slide: Path, tmp_path: Path) -> None:
    plain = stored(slide, tmp_path / "plain").shares[0]
    result = stored(slide, tmp_path / "store", leave_out=("blur", "folds,pen"))
    facts = read_map_facts(map_folder(tmp_path / "store", "a"))
    assert facts.settings.leave_out == ("pen", "folds", "blur")
    assert facts.quality is not None
    counts = facts.quality.left_out
    assert counts["folds"] > 10 and counts["pen"] > 0
    assert facts.cells + sum(counts.values()) == plain.cells
    kept = Store.open(tmp_path / "store").map("a")
    quality = read_quality(map_folder(tmp_path / "store", "a"))
    assert quality is not None and not (kept.mask & quality.is_spoilt("folds")).any()
    assert np.isfinite(quality.pen).sum() == plain.cells
    assert (kept.features[:][:, kept.mask] != 0).any() and not kept.features[:][:, ~kept.mask].any()
    words = result.shares[0].words()
    assert f"{counts['folds']} for folds" in words and words in quality_words(result.shares) + words
    with (tmp_path / "store" / "tissue.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert [row[f"left_out_{flaw}"] for flaw in ("pen", "folds", "blur")] == [
        str(counts[flaw]) for flaw in ("pen", "folds", "blur")
    ]
    assert row["folds_of_cells"] == f"{facts.quality.folds_of_cells:.6g}"


def test_blurred_cells_are_left_out_when_all_tiles_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((1200, 1200, 3), 243.0)
    texture = 5 * ndimage.gaussian_filter(rng.uniform(-1, 1, (1024, 1024)), 1.0)
    pixels[64:1088, 64:1088] = 150 * np.exp(-np.clip(texture, -1, 1))[..., None] * np.array([1.2, 0.8, 1.1])
    pixels[640:, 640:] = ndimage.gaussian_filter(pixels[640:, 640:], (5, 5, 0))
    write_pyramid(tmp_path / "a.tif", np.clip(pixels, 0, 255).astype(np.uint8), mpp=0.5)
    plain, store = tmp_path / "plain", tmp_path / "store"
    compress(slides=[tmp_path / "a.tif"], encoder="colour", out=plain, batch=7)
    compress(slides=[tmp_path / "a.tif"], encoder="colour", out=store, leave_out="blur")
    before, after = Store.open(plain).map("a"), Store.open(store).map("a")
    gone = before.mask & ~after.mask
    assert gone[5:8, 5:8].all() and gone.sum() <= 20 and not gone[:4].any() and not gone[:, :4].any()
    assert (before.features[:][:, after.mask] == after.features[:][:, after.mask]).all()
    assert not after.features[:][:, gone].any()
    facts = read_map_facts(map_folder(store, "a"))
    assert facts.quality is not None and facts.quality.left_out == {"blur": int(gone.sum())}
    assert facts.cells == int(after.mask.sum())
    assert facts.tissue is not None and facts.tissue.of_cells == pytest.approx(after.mask.mean(), abs=1e-6)
    one, two = (read_quality(map_folder(place, "a")) for place in (plain, store))
    assert one is not None and two is not None and one.stacked().tobytes() == two.stacked().tobytes()


def test_an_unknown_flaw_is_refused() -> None:
    assert make_settings(CompressSettings, {"out": "s", "leave_out": " blur , pen "}).leave_out == (
        "pen",
        "blur",
    )
    assert make_settings(CompressSettings, {"out": "s", "leave_out": ""}).leave_out == ()
    for wrong in ("fold", ["pen", "dust"], 3, [1]):
        with pytest.raises(SettingsError, match="leave_out"):
            make_settings(CompressSettings, {"out": "s", "leave_out": wrong})
