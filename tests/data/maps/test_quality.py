"""The quality of cells is kept beside the codes, cells are taken out again, and older maps have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from histonic.core.compressed import (
    EncoderDescription,
    EncoderSpec,
    MapSettings,
    ReaderDescription,
    SlideDescription,
)
from histonic.core.errors import StoreError
from histonic.core.grid import TileGrid
from histonic.data.maps.facts import MapFacts, StoredQuality
from histonic.data.maps.quality import CellQuality, read_quality
from histonic.data.maps.store import read_map
from histonic.data.maps.writer import MapWriter

SHAPE = (70, 130)
GRID = TileGrid.over((130 * 128, 70 * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
FLAWS = StoredQuality(pen_of_area=0.01, folds_of_cells=0, blurred_of_cells=None, left_out={"blur": 2})


def facts(quality: StoredQuality | None) -> MapFacts:
    encoder = EncoderDescription(name="e", fingerprint="f", spec=EncoderSpec("e", "colour", 128, 0.5, 3))
    return MapFacts(
        slide_id="a",
        grid=GRID,
        slide=SlideDescription(),
        reader=ReaderDescription(),
        quality=quality,
        encoder=encoder,
        settings=MapSettings(),
        versions={},
    )


@pytest.mark.parametrize("orientations", [1, 8])
def test_cells_taken_out_are_empty_and_the_others_stay(tmp_path: Path, orientations: int) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random(SHAPE) < 0.5
    codes = rng.normal(size=(int(mask.sum()), orientations, 3)).astype(np.float32)
    gone = mask & (rng.random(SHAPE) < 0.3)
    gone[:, 64:] &= rng.random((70, 66)) < 0.01
    writer = MapWriter(tmp_path / "a", mask, 3, orientations)
    with pytest.raises(StoreError, match="without tissue would be taken out"):
        writer.drop(~mask)
    writer.put(np.argwhere(mask), codes)
    writer.drop(gone)
    values = rng.normal(size=(3, *SHAPE)).astype(np.float32)
    writer.put_quality(values)
    writer.finish(facts(FLAWS))
    slide = read_map(tmp_path / "a")
    assert (slide.mask == mask & ~gone).all()
    for turn in range(orientations):
        expected = np.zeros((3, *SHAPE), np.float16)
        expected[:, mask] = codes[:, turn].T
        expected[:, gone] = 0
        stored = slide.features[:] if orientations == 1 else slide.orientations[turn]
        assert (stored == expected).all()
    quality = read_quality(tmp_path / "a")
    assert quality is not None and (quality.stacked() == values.astype(np.float16)).all()


def test_a_map_without_quality_has_none_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    for name, stored in (("a", None), ("b", FLAWS)):
        writer = MapWriter(tmp_path / name, np.zeros(SHAPE, bool), 3)
        if stored is not None:
            writer.put_quality(np.zeros((3, 2, 2)))
        writer.finish(facts(stored))
    assert read_quality(tmp_path / "a") is None
    with pytest.raises(StoreError, match="differ"):
        read_quality(tmp_path / "b")
    group = zarr.open_group(store=str(tmp_path / "b"), mode="a")
    group["quality"][:] = 1  # type: ignore[index]
    with pytest.raises(StoreError, match="exchanged"):
        read_quality(tmp_path / "b")


def test_cells_are_spoilt_from_their_limits_on() -> None:
    shares = np.array([[0.25, 0.26, 0.0, np.nan]], np.float32)
    focus = np.array([[-0.74, -0.76, 0.0, np.nan]], np.float32)
    quality = CellQuality(shares, shares, np.concatenate([focus, np.zeros((1, 5), np.float32)], axis=1))
    assert quality.is_spoilt("pen").tolist() == quality.is_spoilt("folds").tolist()
    assert quality.is_spoilt("pen").tolist() == [[False, True, False, False]]
    assert np.argwhere(quality.is_spoilt("blur")).tolist() == [[0, 1]]
    assert not CellQuality(shares, shares, shares * np.nan).is_spoilt("blur").any()
