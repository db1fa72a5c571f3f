"""Maps to the files of other tools: by their layout, and back as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fixtures.stores import make_map
from fixtures.tools import cohort, write_stamp
from histonic.core.errors import SettingsError, StoreError
from histonic.core.grid import TileGrid
from histonic.data.maps.store import Store
from histonic.data.maps.writer import write_map
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.exchange.exporting import export_features
from histonic.stages.exchange.importing import import_features

FORMS = ("trident", "stamp", "clam", "parquet", "anndata", "spatialdata")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of an encoder of histonic's own, on lattices with broken steps, one with turned codes too."""
    from dataclasses import replace

    folder = tmp_path_factory.mktemp("given") / "store"
    for name in ("a", "b"):
        slide = make_map(name, rows=7, cols=9, turned=True)
        grid = TileGrid.over((2500, 2000), slide_mpp=0.2431, tile_px=128, mpp=0.5)
        rows, cols = grid.shape
        whole = np.zeros((rows, cols), bool)
        whole[:7, :9] = slide.mask
        codes = np.zeros((8, 3, rows, cols), np.float16)
        codes[..., :7, :9] = slide.orientations
        made = replace(slide, mask=whole, features=codes[0], orientations=codes, grid=grid)
        write_map(folder / f"{name}.zarr", made)
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_an_export_comes_back_as_it_was(form: str, store: Path, tmp_path: Path) -> None:
    if form in ("anndata", "spatialdata"):
        pytest.importorskip("anndata")
    if form in ("parquet", "spatialdata"):
        pytest.importorskip("pyarrow")
    assert export_features(store=store, to=form, out=tmp_path / "files").done == ["a", "b"]
    more: dict[str, Any] = {"features": "example"} if form == "clam" else {}
    result = import_features(folder=tmp_path / "files", out=tmp_path / "back", **more)
    assert result.done == ["a", "b"], result.failures
    one, other = Store.open(store), Store.open(tmp_path / "back")
    assert one.encoder == other.encoder
    for name in one.slide_ids:
        given, back = one.map(name), other.map(name)
        np.testing.assert_array_equal(given.features[:], back.features[:])
        np.testing.assert_array_equal(given.mask, back.mask)
        assert given.grid == back.grid and given.slide == back.slide and given.reader == back.reader
    # And once more, from what was imported.
    export_features(store=tmp_path / "back", to=form, out=tmp_path / "again")
    import_features(folder=tmp_path / "again", out=tmp_path / "twice", **more)
    np.testing.assert_array_equal(
        Store.open(tmp_path / "twice").map("a").features[:], one.map("a").features[:]
    )


def test_the_files_are_laid_out_as_the_tools_write_them(store: Path, tmp_path: Path) -> None:
    slide = Store.open(store).map("a")
    count = int(slide.mask.sum())
    export_features(store=store, to="trident", out=tmp_path / "t")
    job = tmp_path / "t" / "20x_128px_0px_overlap"
    with h5py.File(job / "features_example" / "a.h5") as file:
        assert file["features"].shape == (count, 3) and file["features"].chunks == (1, 3)
        assert file["coords"].dtype == np.int64 and file["coords"].maxshape == (None, 2)
        told = dict(file["coords"].attrs)
        assert told["patch_size"] == 128 and told["patch_size_level0"] == 263 and told["overlap"] == 0
        assert told["level0_width"] == 2500 and file["features"].attrs["encoder"] == "example"
        np.testing.assert_array_equal(
            file["coords"][:], np.rint(np.argwhere(slide.mask)[:, ::-1] * 128 * 0.5 / 0.2431)
        )
    assert (job / "patches" / "a_patches.h5").is_file()
    export_features(store=store, to="stamp", out=tmp_path / "s")
    (path,) = (tmp_path / "s").glob("example-*/a.h5")
    with h5py.File(path) as file:
        assert file["feats"].dtype == np.float16 and file["coords"].dtype == np.float32
        told = dict(file.attrs)
        assert told["stamp_version"] == "2.5.0" and told["unit"] == "um" and told["feat_type"] == "tile"
        assert told["tile_size_um"] == 64 and told["tile_size_px"] == 128
        np.testing.assert_allclose(file["coords"][:], np.argwhere(slide.mask)[:, ::-1] * 64, rtol=1e-6)
    export_features(store=store, to="clam", out=tmp_path / "c")
    tensor = torch.load(tmp_path / "c" / "pt_files" / "a.pt", weights_only=True)
    with h5py.File(tmp_path / "c" / "h5_files" / "a.h5") as file:
        np.testing.assert_array_equal(tensor.numpy(), file["features"][:])
        assert file["coords"].dtype == np.int32 and not dict(file["coords"].attrs)


def test_changed_rows_of_an_export_are_noticed(store: Path, tmp_path: Path) -> None:
    export_features(store=store, to="trident", out=tmp_path)
    with h5py.File(tmp_path / "20x_128px_0px_overlap" / "features_example" / "a.h5", "a") as file:
        file["features"][0] = 7
    result = import_features(folder=tmp_path, out=tmp_path / "back")
    assert result.done == ["b"] and "not those that histonic exported" in result.failures[0].reason


def test_an_exported_file_without_what_is_carried_is_as_any_other(store: Path, tmp_path: Path) -> None:
    export_features(store=store, to="trident", out=tmp_path / "files")
    for path in (tmp_path / "files").rglob("features_example/*.h5"):
        with h5py.File(path, "a") as file:
            del file.attrs["histonic"]
    result = import_features(folder=tmp_path / "files", out=tmp_path / "back", mpp=0.2431)
    assert result.done == ["a", "b"]
    given, back = Store.open(store).map("a"), Store.open(tmp_path / "back").map("a")
    # The broken step is found again from whole pixels.
    rows, cols = given.mask.shape
    np.testing.assert_array_equal(back.mask[:rows, :cols], given.mask)
    np.testing.assert_array_equal(back.features[:, :rows, :cols], given.features[:])
    assert back.encoder.spec.tool == "TRIDENT"


def test_positions_in_microns_alone_are_not_written_as_pixels(tmp_path: Path) -> None:
    import_features(folder=write_stamp(tmp_path / "in", cohort(1)), out=tmp_path / "store")
    with pytest.raises(SettingsError, match="export --to stamp"):
        export_features(store=tmp_path / "store", to="trident", out=tmp_path / "x")
    export_features(store=tmp_path / "store", to="stamp", out=tmp_path / "x")
    import_features(folder=tmp_path / "x", out=tmp_path / "back")
    assert Store.open(tmp_path / "back").encoder == Store.open(tmp_path / "store").encoder


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no map"):
        export_features(store=tmp_path, to="stamp", out=tmp_path / "x")


@pytest.mark.long
def test_spatialdata_reads_what_is_written(store: Path, tmp_path: Path) -> None:
    spatialdata = pytest.importorskip("spatialdata")
    export_features(store=store, to="spatialdata", out=tmp_path)
    read = spatialdata.read_zarr(tmp_path / "a.zarr")
    slide = Store.open(store).map("a")
    table = read.tables["example_tiles"]
    cells = np.argwhere(slide.mask)
    np.testing.assert_array_equal(table.X, slide.features[:][:, cells[:, 0], cells[:, 1]].T)
    assert list(read.shapes["tiles"]["tile_id"]) == list(range(len(cells)))
    np.testing.assert_allclose(read.shapes["tiles"].geometry.bounds["minx"], cells[:, 1] * 64 / 0.2431)
    matched = spatialdata.match_element_to_table(read, "tiles", "example_tiles")
    assert len(matched[1]) == len(cells)


@pytest.mark.long
def test_wsidata_opens_what_is_written_beside_its_slide(tmp_path: Path) -> None:
    wsidata = pytest.importorskip("wsidata", reason="wsidata is part of the extra long")
    image = np.random.default_rng(0).integers(100, 200, (900, 1100, 3)).astype(np.uint8)
    write_pyramid(tmp_path / "slides" / "a.tif", image, mpp=0.5)
    values = {"slides": [tmp_path / "slides"], "encoder": "colour", "tissue": "all"}
    compress(**values, out=tmp_path / "store")
    export_features(store=tmp_path / "store", to="spatialdata", out=tmp_path / "out")
    opened = wsidata.open_wsi(tmp_path / "slides" / "a.tif", store=str(tmp_path / "out" / "a.zarr"))
    slide = Store.open(tmp_path / "store").map("a")
    cells = np.argwhere(slide.mask)
    spec = opened.tile_spec("tiles")
    assert (spec.width, spec.mpp) == (128, 0.5)
    found = opened.fetch.features_anndata("colour")  # what LazySlide's tools begin with
    np.testing.assert_array_equal(found.X, slide.features[:][:, cells[:, 0], cells[:, 1]].T)
    tile = next(iter(opened.iter.tile_images("tiles")))
    assert (tile.x, tile.y) == (cells[0, 1] * 128, cells[0, 0] * 128) and tile.image.shape == (128, 128, 3)
