"""Compression: maps of the right codes, bad slides listed, and the same bytes after any interruption."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from fixtures.ranges import serving
from histonic.core.claims import Claims
from histonic.core.compressed import MapSettings
from histonic.core.errors import EncoderError, OutputError, SettingsError, SlideError, StoreError, TableError
from histonic.core.progress import Silent
from histonic.data.maps.facts import MapFacts
from histonic.data.maps.store import Store, read_map, thumbnail_path
from histonic.data.maps.writer import MapWriter
from histonic.encoders.base import HEADS_FILE, EncoderSpec, load_encoder
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.encoders.scale import load_encoder_at
from histonic.slides.base import open_slide
from histonic.slides.formats.array import ArraySlide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.compress.reading import lay_grid
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.train.own_encoder import find_tile_heads


def tissue_image(seed: int, side: int = 900) -> np.ndarray:
    """Pink, noisy tissue in the middle of white glass."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side + 100, 3), 245, np.uint8)
    inner = slice(side // 5, side - side // 5)
    noise = rng.integers(-30, 30, (*image[inner, inner].shape[:2], 1))
    image[inner, inner] = np.clip(np.array([190, 110, 170]) + noise, 0, 255)
    return image


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for seed in range(3):
        write_pyramid(folder / f"s{seed}.tif", tissue_image(seed), mpp=0.5)
    return folder


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_codes_are_those_of_the_tiles(slides: Path, tmp_path: Path) -> None:
    result = compress(slides=[slides], encoder="colour", out=tmp_path / "store")
    assert result.done == ["s0", "s1", "s2"] and not result.failures
    slide = Store.open(tmp_path / "store").map("s1")
    assert result.tiles == 3 * int(slide.mask.sum())
    encoder = load_encoder("colour")
    with open_slide(slides / "s1.tif") as opened:
        for rc in np.argwhere(slide.mask):
            tile = opened.read(slide.grid.cell_xy(tuple(rc)), (128, 128), slide.grid.mpp)
            code = slide.features[:, rc[0], rc[1]]
            assert np.allclose(code, encoder.encode(tile[None])[0], atol=2e-3)
    assert not slide.features[:][:, ~slide.mask].any()
    assert slide.slide.mpp == pytest.approx(0.5, rel=1e-3)
    assert slide.slide.size_wh == (1000, 900)
    assert Store.open(tmp_path / "store").thumbnail("s1") is not None


def test_the_same_command_skips_what_is_done(slides: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    compress(slides=[slides / "s0.tif"], encoder="colour", out=store)
    before = digest(store)
    again = compress(slides=[slides / "s0.tif"], encoder="colour", out=store)
    assert again.skipped == ["s0"] and not again.done
    assert digest(store) == before


def test_another_file_of_the_same_name_is_refused_and_replaced_if_asked(tmp_path: Path) -> None:
    for ward in (0, 1):
        write_pyramid(tmp_path / f"{ward}" / "a.tif", tissue_image(ward), mpp=0.5)
    store = tmp_path / "store"
    compress(slides=[tmp_path / "0"], encoder="colour", out=store)
    before = digest(store / "a.zarr")
    again = compress(slides=[tmp_path / "1"], encoder="colour", out=store)
    assert [failure.slide_id for failure in again.failures] == ["a"] and not again.done
    assert "another file" in again.failures[0].reason and "--replace" in again.failures[0].reason
    assert digest(store / "a.zarr") == before
    assert compress(slides=[tmp_path / "1"], encoder="colour", out=store, replace=True).done == ["a"]
    assert digest(store / "a.zarr") != before and not Store.open(store).failures()


def test_a_moved_slide_and_a_moved_store_are_known_again(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", tissue_image(0), mpp=0.5)
    compress(slides=[tmp_path / "a.tif"], encoder="colour", out=tmp_path / "store")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "a.tif", tmp_path / "elsewhere")
    (tmp_path / "store").rename(tmp_path / "moved")
    again = compress(slides=[tmp_path / "elsewhere"], encoder="colour", out=tmp_path / "moved")
    assert again.skipped == ["a"] and not again.done


def test_a_map_whose_chunk_is_gone_is_made_anew(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", tissue_image(0), mpp=0.5)
    given = {"slides": [tmp_path / "a.tif"], "encoder": "colour", "out": tmp_path / "store"}
    compress(**given)
    before = digest(tmp_path / "store")
    (tmp_path / "store/a.zarr/features/c/0/0/0").unlink()
    assert compress(**given).done == ["a"]
    assert digest(tmp_path / "store") == before


def test_one_slides_fault_does_not_end_the_run_for_the_others(slides: Path, tmp_path: Path) -> None:
    names = ["x" * 300, "ü" * 150, "s1", "s2", "good"]
    table = tmp_path / "slides.csv"
    rows = [f"{slides / 's0.tif'},{names[0]}"]
    for number, name in enumerate(names[1:]):
        shutil.copy(slides / "s0.tif", tmp_path / f"{number}.tif")
        rows.append(f"{tmp_path / f'{number}.tif'},{name}")
    table.write_text("path,slide_id\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "store/thumbnails/s1.jpg").mkdir(parents=True)  # this picture cannot be written
    (tmp_path / "store/failures/s2.json").mkdir(parents=True)
    (tmp_path / "2.tif").write_bytes(b"no slide")  # and this failure not be recorded
    result = compress(slides=[table], encoder="mean-rgb", out=tmp_path / "store")
    assert result.done == ["good"]
    assert sorted(failure.slide_id for failure in result.failures) == sorted(names[:-1])
    reasons = {failure.slide_id: failure.reason for failure in result.failures}
    assert "300 characters" in reasons["x" * 300] and "s1.jpg" not in reasons["s2"]


@pytest.mark.long
def test_three_runs_share_a_store_and_one_is_killed(slides: Path, tmp_path: Path) -> None:
    many = tmp_path / "slides"
    many.mkdir()
    for number in range(9):
        write_pyramid(many / f"s{number}.tif", tissue_image(number), mpp=0.5)
    compress(slides=[many], encoder="colour", out=tmp_path / "whole", batch=4)
    words = ["compress", str(many), "--encoder", "colour", "--out", str(tmp_path / "store"), "--batch", "4"]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "histonic", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    deadline = time.monotonic() + 60
    while not list((tmp_path / "store").glob("claims/slide-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    runs[0].kill()
    said = [run.communicate(timeout=100)[0] for run in runs]
    assert [run.returncode for run in runs[1:]] == [0, 0], said
    assert "Traceback" not in "".join(said)
    # What the killed one left in hand goes with the next run.
    assert compress(slides=[many], encoder="colour", out=tmp_path / "store", batch=4).done == []
    torn, whole = digest(tmp_path / "store"), digest(tmp_path / "whole")
    torn.pop("settings.yaml"), whole.pop("settings.yaml")
    assert torn == whole


def test_a_run_with_other_settings_is_refused_before_any_map_is_there(slides: Path, tmp_path: Path) -> None:
    given = {"slides": [slides / "s0.tif"], "encoder": "mean-rgb", "out": tmp_path / "store"}

    class Meddler(Silent):
        def stage(self, name: str, total: int | None = None) -> None:
            assert not Store.open(tmp_path / "store").slide_ids
            with pytest.raises(StoreError, match="or with other settings"):
                compress(**given, orientations=8)

    assert compress(**given, progress=Meddler()).done == ["s0"]


def test_a_run_of_another_encoder_is_refused_before_any_map_is_there(slides: Path, tmp_path: Path) -> None:
    with Claims(tmp_path / "store") as other:
        (tmp_path / "store").mkdir()
        assert other.take("run-0123456789abcdef-x")
        with pytest.raises(StoreError, match=r"process \d+ on .* another encoder"):
            compress(slides=[slides], encoder="colour", out=tmp_path / "store")


def test_bad_slides_are_listed_and_the_run_goes_on(slides: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    (folder / "good.tif").write_bytes((slides / "s0.tif").read_bytes())
    (folder / "text.svs").write_text("no slide")
    whole = (slides / "s1.tif").read_bytes()
    (folder / "torn.tif").write_bytes(whole[: len(whole) // 2])
    write_pyramid(folder / "white.tif", np.full((600, 600, 3), 250, np.uint8), mpp=0.5)
    write_pyramid(folder / "coarse.tif", tissue_image(2), mpp=2.0)
    result = compress(slides=[folder], encoder="colour", out=tmp_path / "store")
    assert result.done == ["good"]
    stages = {failure.slide_id: failure.stage for failure in result.failures}
    assert stages == {"text": "open", "torn": "open", "white": "tissue", "coarse": "open"}
    store = Store.open(tmp_path / "store")
    assert store.slide_ids == ["good"]
    assert {failure.slide_id for failure in store.failures()} == set(stages)
    assert store.thumbnail("white") is not None


def test_a_mended_slide_leaves_the_failure_list(slides: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_text("no slide")
    assert compress(slides=[path], encoder="colour", out=tmp_path / "store").failures
    path.write_bytes((slides / "s0.tif").read_bytes())
    assert compress(slides=[path], encoder="colour", out=tmp_path / "store").done == ["a"]
    assert Store.open(tmp_path / "store").failures() == []


def test_shards_make_the_whole(slides: Path, tmp_path: Path) -> None:
    for part in (1, 2):
        compress(slides=[slides], encoder="colour", out=tmp_path / "parts", shard=f"{part}/2")
    compress(slides=[slides], encoder="colour", out=tmp_path / "whole")
    parts, whole = digest(tmp_path / "parts"), digest(tmp_path / "whole")
    del parts["settings.yaml"], whole["settings.yaml"]  # names the folder
    assert parts == whole


def test_another_encoder_or_other_settings_are_refused(slides: Path, tmp_path: Path) -> None:
    compress(slides=[slides / "s0.tif"], encoder="colour", out=tmp_path / "store")
    with pytest.raises(StoreError, match="another encoder"):
        compress(slides=[slides / "s0.tif"], encoder="mean-rgb", out=tmp_path / "store")
    with pytest.raises(StoreError, match="other settings"):
        compress(slides=[slides / "s0.tif"], encoder="colour", out=tmp_path / "store", orientations=8)


def test_eight_orientations_turn_tiles_and_grid(slides: Path, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    NicEncoder(EncoderSpec("r", "nic", 128, 0.5, 8), NicNetwork(8)).save(tmp_path / "e.safetensors")
    encoder = load_encoder(tmp_path / "e.safetensors")
    for turn in range(4):
        # A slide of whole tiles, so that a turned slide has the same cells.
        image = np.rot90(np.pad(tissue_image(5)[:896, :896], ((0, 0), (0, 128), (0, 0)), mode="edge"), turn)
        write_pyramid(tmp_path / f"t{turn}.tif", np.ascontiguousarray(image), mpp=0.5, quality=100)
    mask_png = _full_mask(tmp_path)
    table = tmp_path / "slides.csv"
    table.write_text("path,mask\n" + "".join(f"t{turn}.tif,{mask_png.name}\n" for turn in (0, 2)))
    compress(slides=[table], encoder=str(tmp_path / "e.safetensors"), out=tmp_path / "store", orientations=8)
    store = Store.open(tmp_path / "store")
    turned, mask = store.map("t0").oriented(2)
    wanted = store.map("t2")
    # JPEG is not the same after a turn, hence the loose bound; codes differ by far more between cells.
    difference = np.abs(turned.astype(float) - wanted.features[:].astype(float))[:, mask]
    spread = wanted.features[:].astype(float)[:, mask].std()
    assert np.array_equal(mask, wanted.mask)
    assert difference.mean() < 0.1 * spread
    assert store.map("t0").orientations.shape == (8, 8, 7, 8)  # type: ignore[union-attr]
    assert encoder.fingerprint == store.encoder.fingerprint


def _full_mask(folder: Path) -> Path:
    from PIL import Image

    path = folder / "mask.png"
    Image.fromarray(np.full((70, 80), 255, np.uint8)).save(path)
    return path


def test_wrong_settings_and_absent_slides(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No slide"):
        compress(out=tmp_path / "s")
    with pytest.raises(SettingsError, match="no such part"):
        compress(slides=[tmp_path], out=tmp_path / "s", shard="3/2")
    with pytest.raises(SettingsError, match="no file with a slide"):
        compress(slides=[tmp_path], out=tmp_path / "s")
    with pytest.raises(SettingsError, match="'encoder'"):
        compress(slides=[tmp_path], out=tmp_path / "s", encode="colour")


def test_an_output_that_cannot_be_written(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        compress(slides=[slides], encoder="colour", out=tmp_path / "file" / "store")


def test_a_full_disk_stops_the_run_without_half_maps(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from histonic.data.maps import writer as store_module

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.MapWriter, "put", full)
    with pytest.raises(OutputError, match="No space left"):
        compress(slides=[slides], encoder="colour", out=tmp_path / "store")
    assert not [path for path in (tmp_path / "store").iterdir() if "zarr" in path.name]


def test_codes_that_are_not_finite_are_refused(slides: Path, tmp_path: Path) -> None:
    network = NicNetwork(4)
    network.code.bias.data[0] = 1e9
    NicEncoder(EncoderSpec("wild", "nic", 128, 0.5, 4), network).save(tmp_path / "e.safetensors")
    with pytest.raises(EncoderError, match="float16"):
        compress(slides=[slides], encoder=str(tmp_path / "e.safetensors"), out=tmp_path / "store")


def test_settings_are_saved_beside_the_maps(slides: Path, tmp_path: Path) -> None:
    compress(slides=[slides / "s0.tif"], encoder="colour", out=tmp_path / "store", batch=7)
    saved = yaml.safe_load((tmp_path / "store" / "settings.yaml").read_text())
    assert saved["batch"] == 7 and saved["encoder"] == "colour"


@pytest.mark.parametrize("delay_s", [pytest.param(0.05, marks=pytest.mark.long), 0.3])  # one more process
def test_a_killed_run_ends_with_the_same_bytes(slides: Path, tmp_path: Path, delay_s: float) -> None:
    compress(slides=[slides], encoder="colour", out=tmp_path / "whole", batch=4)
    words = ["compress", str(slides), "--encoder", "colour", "--out", str(tmp_path / "torn"), "--batch", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "histonic", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "torn" / "settings.yaml").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay_s)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    compress(slides=[slides], encoder="colour", out=tmp_path / "torn", batch=4)
    torn, whole = digest(tmp_path / "torn"), digest(tmp_path / "whole")
    for name in ("settings.yaml",):  # holds the path of the store itself
        torn.pop(name), whole.pop(name)
    assert torn == whole


def test_facts_name_everything_the_map_depends_on(slides: Path, tmp_path: Path) -> None:
    compress(slides=[slides / "s0.tif"], encoder="colour", out=tmp_path / "store")
    facts = json.loads((tmp_path / "store" / "s0.zarr" / "zarr.json").read_text())["attributes"]
    assert facts["encoder"]["fingerprint"] == load_encoder("colour").fingerprint
    assert len(facts["slide"]["fingerprint"]) == 64
    assert facts["reader"]["name"] == "tiff" and facts["reader"]["version"]
    assert facts["grid"]["mpp"] == pytest.approx(0.5, rel=1e-3)
    assert set(facts["versions"]) == {"histonic", "numpy", "torch", "zarr"}


@pytest.mark.parametrize(("mpp", "wanted"), [(0.5, 0.5), (0.25, 0.5), (0.2525, 0.505), (0.3, 0.5)])
def test_tiles_are_read_by_whole_numbers_where_that_is_close(mpp: float, wanted: float) -> None:
    from histonic.slides.formats.array import ArraySlide

    slide = ArraySlide(np.zeros((600, 600, 3), np.uint8), mpp=mpp)
    grid = lay_grid(slide, load_encoder("colour").spec, CompressSettings(out=Path("store")))
    assert grid.mpp == pytest.approx(wanted)


def test_coarser_slides_are_enlarged_as_far_as_allowed(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", tissue_image(0), mpp=0.62)
    given = {"slides": [tmp_path / "a.tif"], "encoder": "colour", "out": tmp_path / "store"}
    (refused,) = compress(**given).failures
    assert refused.reason.startswith("The slide has only 0.62 µm/px (header: TIFF resolution)")
    assert "enlarged 1.24 times, allowed are 1.1" in refused.reason
    assert refused.reason.endswith("--most-enlargement 1.24.")
    result = compress(**given, most_enlargement=1.24)
    assert result.done == ["a"] and result.enlarged == {"a": pytest.approx(1.24, abs=1e-4)}
    store = Store.open(tmp_path / "store")
    slide = store.map("a")
    assert store.settings.most_enlargement == 1.24 and slide.slide.enlarged == 1.24
    # A tile of 128 px at 0.5 µm/px covers 103.2 px of the slide.
    assert slide.grid.tile_side_level0 == pytest.approx(103.226, abs=0.01)
    assert slide.grid.shape == (9, 10) and slide.mask.any()
    with open_slide(tmp_path / "a.tif") as opened:
        rc = tuple(np.argwhere(slide.mask)[3])
        tile = opened.read(slide.grid.cell_xy(rc), (128, 128), 0.5)
    code = load_encoder("colour").encode(tile[None])[0]
    assert np.allclose(slide.features[:, rc[0], rc[1]], code, atol=2e-3)
    # It is one of the settings that all maps of a store share.
    with pytest.raises(StoreError, match=r"other settings: most_enlargement 1\.24\."):
        compress(**given, most_enlargement=1.5)


@pytest.mark.parametrize(("mpp", "named"), [(0.551, "1.11"), (1.0, "2"), (1.01, None)])
def test_no_slide_is_enlarged_more_than_twice(mpp: float, named: str | None) -> None:
    from histonic.slides.formats.array import ArraySlide

    slide = ArraySlide(np.zeros((600, 600, 3), np.uint8), mpp=mpp)
    with pytest.raises(SlideError) as refused:
        lay_grid(slide, load_encoder("colour").spec, CompressSettings(out=Path("store")))
    assert ("--most-enlargement" in refused.value.todo) == (named is not None)
    if named is not None:
        assert refused.value.todo.endswith(f"--most-enlargement {named}.")
        allowed = CompressSettings(out=Path("store"), most_enlargement=float(named))
        assert lay_grid(slide, load_encoder("colour").spec, allowed).enlarged == pytest.approx(mpp / 0.5)
    with pytest.raises(SettingsError, match="most_enlargement"):
        compress(slides=["a"], out="b", most_enlargement=2.1)


def test_maps_of_earlier_versions_allowed_a_tenth(slides: Path, tmp_path: Path) -> None:
    settings = MapSettings.model_validate({"orientations": 1, "precision": "32", "tissue": None})
    assert settings.most_enlargement == 1.1
    compress(slides=[slides / "s0.tif"], encoder="colour", out=tmp_path / "store")
    assert Store.open(tmp_path / "store").map("s0").slide.enlarged == 1


def test_equal_names_in_several_folders(tmp_path: Path) -> None:
    given = {"slides": [tmp_path / "in"], "encoder": "colour", "out": tmp_path / "store"}
    for number, folder in enumerate(("viable", "necrotic")):
        write_pyramid(tmp_path / "in" / folder / "1.tif", tissue_image(number), mpp=0.5)
        (tmp_path / "masks" / folder).mkdir(parents=True)
        mask = np.zeros((9, 10), np.uint8)
        mask[4 + number] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / folder / "1.png")
    with pytest.raises(TableError, match="--names path"):
        compress(**given)
    assert compress(**given, names="path", masks=tmp_path / "masks").done == ["necrotic__1", "viable__1"]
    store = Store.open(tmp_path / "store")
    rows = [np.flatnonzero(store.map(name).mask.any(axis=1)).tolist() for name in store.slide_ids]
    assert rows == [[4], [3]]
    assert compress(**given, names="path", masks=tmp_path / "masks").skipped == ["necrotic__1", "viable__1"]


class TestRealSlides:
    def test_the_small_svs_with_the_released_encoder(self, data_dir: Path, tmp_path: Path) -> None:
        from histonic.stages.encoder.imported import import_encoder

        path = tmp_path / "multitask-4.safetensors"
        import_encoder(data_dir / "encoders" / "encoder_multitask-4.h5", path)
        slide = data_dir / "slides" / "CMU-1-Small-Region.svs"
        result = compress(slides=[slide], encoder=str(path), out=tmp_path / "store")
        assert result.done == ["CMU-1-Small-Region"]
        found = read_map(tmp_path / "store" / "CMU-1-Small-Region.zarr")
        assert found.features.shape == (128, 24, 18)
        assert found.mask.mean() > 0.3

    def test_a_mixed_folder_finishes_and_lists_each_failure(self, data_dir: Path, tmp_path: Path) -> None:
        folder = tmp_path / "slides"
        folder.mkdir()
        for path in sorted((data_dir / "slides").iterdir()):
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "text.svs").write_text("This is no slide.")
        whole = (data_dir / "slides" / "CMU-1-Small-Region.svs").read_bytes()
        (folder / "torn.svs").write_bytes(whole[: len(whole) // 2])
        result = compress(slides=[folder], encoder="colour", out=tmp_path / "store")
        assert result.done == ["CMU-1-Small-Region"]
        reasons = {failure.slide_id: failure.reason for failure in result.failures}
        assert set(reasons) == {"TCGA-CR-7395-01A-01-TS1", "kidney-48-5", "small_wsi", "text", "torn"}
        assert "--mpp" in reasons["TCGA-CR-7395-01A-01-TS1"]
        assert "--mpp" in reasons["kidney-48-5"]
        again = compress(slides=[folder], encoder="colour", out=tmp_path / "store", mpp=0.5)
        assert "TCGA-CR-7395-01A-01-TS1" in again.done
        empty = {failure.slide_id: failure for failure in again.failures}["kidney-48-5"]
        assert empty.stage == "tissue" and "tissue" in empty.reason


def drawn_cells(store: Path, rows: int, cols: int) -> np.ndarray:
    """Which cells of slide a its thumbnail shows as kept, ``(rows, cols)``: all else is paler."""
    with Image.open(thumbnail_path(store, "a")) as opened:
        picture = np.asarray(opened.convert("L"))
    high, wide = picture.shape[0] / rows, picture.shape[1] / cols
    middles = ((np.arange(rows) + 0.5) * high).astype(int), ((np.arange(cols) + 0.5) * wide).astype(int)
    return picture[np.ix_(*middles)] < 215


def masked_slide(folder: Path, cells: np.ndarray) -> Path:
    """Write a grey slide of 5 x 10 cells, and a mask that takes some of them; returns their table."""
    write_pyramid(folder / "a.tif", np.full((640, 1280, 3), 200, np.uint8), mpp=0.5)
    mask = np.kron(cells, np.ones((10, 10), np.uint8)) * np.uint8(255)
    (folder / "masks").mkdir(exist_ok=True)
    Image.fromarray(mask).save(folder / "masks" / "a.png")
    (folder / "slides.csv").write_text("path,mask\na.tif,masks/a.png\n", encoding="utf-8")
    return folder / "slides.csv"


def test_the_thumbnail_shows_the_cells_of_the_map_whatever_told_them(tmp_path: Path) -> None:
    corner = np.zeros((5, 10), bool)
    corner[3:, 6:] = True
    table, slide = masked_slide(tmp_path, corner), tmp_path / "a.tif"
    for number, (given, cells) in enumerate(
        (
            ({"slides": [table]}, corner),
            ({"slides": [slide], "masks": tmp_path / "masks"}, corner),
            ({"slides": [slide], "tissue": {"source": "all"}}, np.ones((5, 10), bool)),
        )
    ):
        store = tmp_path / f"{number}"
        compress(**given, encoder="mean-rgb", out=store)
        assert (drawn_cells(store, 5, 10) == cells).all()
        assert (Store.open(store).map("a").mask == cells).all()


def test_a_run_that_makes_no_map_leaves_the_picture_of_the_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corner, store = np.zeros((5, 10), bool), tmp_path / "store"
    corner[3:, 6:] = True
    given = {"slides": [masked_slide(tmp_path, corner)], "encoder": "mean-rgb", "out": store}
    compress(**given)
    masked_slide(tmp_path, np.zeros((5, 10), bool))  # another mask, without tissue
    assert [failure.stage for failure in compress(**given).failures] == ["tissue"]
    assert (drawn_cells(store, 5, 10) == Store.open(store).map("a").mask).all()
    masked_slide(tmp_path, ~corner)  # and a third, whose run breaks off
    with monkeypatch.context() as patch:
        patch.setattr("histonic.data.maps.writer.MapWriter.put", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            compress(**given)
    assert (drawn_cells(store, 5, 10) == Store.open(store).map("a").mask).all()
    assert compress(**given).done == ["a"]
    assert (drawn_cells(store, 5, 10) == ~corner).all()


def test_a_map_that_cannot_be_published_costs_no_other_slide(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = MapWriter.finish

    def fail_once(self: MapWriter, facts: MapFacts) -> None:
        if facts.slide_id == "s0":
            raise OutputError("Write the map of 's0'.", "The disk has a fault.", "Try again.")
        finish(self, facts)

    monkeypatch.setattr(MapWriter, "finish", fail_once)
    result = compress(slides=[slides], encoder="mean-rgb", out=tmp_path / "store")
    assert result.done == ["s1", "s2"]
    assert [(failure.slide_id, failure.stage) for failure in result.failures] == [("s0", "write")]


def test_slides_at_urls_are_compressed_and_their_queries_stored_nowhere(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("histonic.slides.sources.remote.WAIT_S", 0.0)
    local, store = tmp_path / "local", tmp_path / "store"
    compress(slides=[slides / "s0.tif", slides / "s1.tif"], encoder="colour", out=local)
    with serving(slides) as server:
        urls = [f"{server.url}/{name}?sig=SECRET" for name in ("s0.tif", "absent.tif")]
        table = tmp_path / "list.csv"
        table.write_text(f"path,slide_id\n{server.url}/s1.tif?sig=SECRET,b\n")
        given = {"slides": [*urls, table], "encoder": "colour", "out": store}
        first = compress(**given)
        assert first.done == ["b", "s0"] and [each.slide_id for each in first.failures] == ["absent"]
        assert "There is no such file (404)" in first.failures[0].reason
        assert first.failures[0].path == f"{server.url}/absent.tif"
        again = compress(**given)
        assert again.skipped == ["b", "s0"] and not again.done
        # Another signature, or the file on a disk, is the same slide.
        newer = compress(slides=[urls[0].replace("SECRET", "LATER")], encoder="colour", out=store)
        assert newer.skipped == ["s0"]
        assert compress(slides=[slides / "s0.tif"], encoder="colour", out=store).skipped == ["s0"]
        facts = Store.open(store).map("s0").slide
        assert (facts.path, facts.file) == (f"{server.url}/s0.tif", "s0.tif")
        server.status = 403
        closed = compress(**given)
        assert all("not let it be read (403)" in failure.reason for failure in closed.failures)
        assert len(closed.failures) == 3
    for name, theirs in (("s0", "s0"), ("s1", "b")):
        ours, other = Store.open(local).map(name), Store.open(store).map(theirs)
        assert np.array_equal(ours.features[:], other.features[:])
    written = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert b"SECRET" not in written and "SECRET" not in "".join(capsys.readouterr())


def test_private_stores_do_not_name_the_server(slides: Path, tmp_path: Path) -> None:
    with serving(slides) as server:
        table = tmp_path / "list.csv"
        table.write_text(f"path,slide_id\n{server.url}/s1.tif,b\n{server.url}/absent.tif,c\n")
        compress(slides=[table], encoder="colour", out=tmp_path / "store", private=True)
        host = server.url.removeprefix("http://").encode()
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert not [path for path in files if host in path.read_bytes() or b"absent.tif" in path.read_bytes()]


def test_a_dicom_series_is_compressed(tmp_path: Path) -> None:
    pytest.importorskip("wsidicom")
    from fixtures.dicom import write_series

    write_series(tmp_path / "slides" / "case 1", tissue_image(0), side=256)
    result = compress(slides=[tmp_path / "slides"], encoder="colour", out=tmp_path / "store")
    assert result.done == ["case 1"] and not result.failures
    again = compress(slides=[tmp_path / "slides"], encoder="colour", out=tmp_path / "store")
    assert again.skipped == ["case 1"]
    found = Store.open(tmp_path / "store").map("case 1")
    assert found.slide.storage == "dicom uncompressed" and found.mask.sum() > 10


@pytest.mark.parametrize(
    ("given", "stride"), [({"stride_px": 64}, 64), ({"stride_share": 0.4}, 51), ({"stride_share": 1.5}, 192)]
)
def test_cells_lie_where_the_stride_says(
    slides: Path, tmp_path: Path, given: dict[str, float], stride: int
) -> None:
    settings = {"slides": [slides / "s1.tif"], "encoder": "colour", "out": tmp_path / "store", **given}
    plan = compress(**settings, dry_run=True).plan
    assert plan is not None and not (tmp_path / "store").exists()
    result = compress(**settings)
    assert result.done == ["s1"] and result.tiles == plan.cells
    slide = Store.open(tmp_path / "store").map("s1")
    assert (slide.grid.tile_px, slide.grid.stride_px, slide.settings.stride_px) == (128, stride, stride)
    encoder = load_encoder("colour")
    with open_slide(slides / "s1.tif") as opened:
        for row, col in np.argwhere(slide.mask)[::7]:
            at = (col * stride * slide.grid.mpp / opened.mpp, row * stride * slide.grid.mpp / opened.mpp)
            code = encoder.encode(opened.read(at, (128, 128), slide.grid.mpp)[None])[0]
            assert np.allclose(slide.features[:, row, col], code, atol=2e-3)
    assert compress(**settings).skipped == ["s1"]
    with pytest.raises(StoreError, match=rf"(?s)stride_px {stride}.*instead of stride_px as wide as"):
        compress(**{**settings, **dict.fromkeys(given)})


def test_tiles_of_another_width_in_microns(slides: Path, tmp_path: Path) -> None:
    """As many pixels of less tissue; the store's own encoder says so, and no other maps are mixed in."""
    given = {"slides": [slides / "s1.tif"], "encoder": "colour", "out": tmp_path / "store"}
    wide = compress(**{**given, "out": tmp_path / "wide"})
    result = compress(**given, tile_um=32.0, most_enlargement=2.0)
    assert result.done == ["s1"] and result.tiles > 3 * wide.tiles
    slide = Store.open(tmp_path / "store").map("s1")
    assert slide.encoder.spec.mpp == 0.25 and slide.grid.cell_um == pytest.approx(32, rel=0.02)
    own = load_encoder(tmp_path / "store" / "encoder.safetensors")
    assert own.spec.mpp == 0.25 and own.fingerprint == slide.encoder.fingerprint
    with open_slide(slides / "s1.tif") as opened:
        for row, col in np.argwhere(slide.mask)[::40]:
            tile = opened.read(slide.grid.cell_xy((row, col)), (128, 128), slide.grid.mpp)
            assert np.allclose(slide.features[:, row, col], own.encode(tile[None])[0], atol=2e-3)
    with pytest.raises(StoreError):
        compress(**given)
    with open_slide(slides / "s1.tif") as opened:
        coarse = CompressSettings(**given, tile_um=16.0, most_enlargement=2.0)
        with pytest.raises(SlideError, match=r"give a larger --tile-um, of (\d+)") as small:
            lay_grid(opened, load_encoder_at("colour", 16.0).spec, coarse)
        least = float(str(small.value).partition("--tile-um, of ")[2].partition(" ")[0])
        enough = coarse.model_copy(update={"tile_um": least})
        assert lay_grid(opened, load_encoder_at("colour", least).spec, enough).enlarged <= 2
    with pytest.raises(EncoderError, match=r"(?s)--tile-um 32.*own size alone") as refused:
        find_tile_heads(Store.open(tmp_path / "store"))
    assert "Copy" not in str(refused.value)


def test_no_heads_of_another_scale_stay(slides: Path, tmp_path: Path) -> None:
    """A run at the encoder's own scale failed before its first map, and left its heads."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / HEADS_FILE).write_bytes(b"heads")
    (tmp_path / "broken.tif").write_bytes(b"no slide")
    result = compress(
        slides=[tmp_path / "broken.tif"], encoder="colour", out=tmp_path / "store", tile_um=32.0
    )
    assert result.failures and not (tmp_path / "store" / HEADS_FILE).exists()


def test_a_stride_of_a_whole_tile_is_none(slides: Path, tmp_path: Path) -> None:
    """The same bytes, under the same fingerprints, as if nothing was said."""
    given = {"slides": [slides / "s0.tif"], "encoder": "colour"}
    digests = []
    for name, more in (("a", {}), ("b", {"stride_px": 128}), ("c", {"stride_share": 1.0})):
        compress(**given, **more, out=tmp_path / name)
        digests.append(digest(tmp_path / name / "s0.zarr"))
    assert digests[0] == digests[1] == digests[2]
    facts = json.loads((tmp_path / "a" / "s0.zarr" / "zarr.json").read_text())["attributes"]
    assert "stride_px" not in facts["settings"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"stride_px": 64, "stride_share": 0.5}, "Both stride_px and stride_share"),
        ({"stride_px": 4}, "4 px are 0.0312 sides of the encoder's tile of 128 px"),
        ({"stride_px": 5000}, "16 sides"),
        ({"stride_share": 0.0}, "stride_share is 0.0"),
        ({"stride_px": 0}, "stride_px is 0"),
    ],
)
def test_strides_of_no_use(tmp_path: Path, slides: Path, given: dict[str, float], found: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compress(slides=[slides], encoder="colour", out=tmp_path / "store", **given)
    assert found in str(caught.value) and not (tmp_path / "store").exists()


def test_an_image_in_memory_has_the_codes_of_its_file(tmp_path: Path) -> None:
    """Stored without loss, so that not one bit of a pixel differs."""
    image = tissue_image(3)
    Image.fromarray(image).save(tmp_path / "b.png")
    compress(slides=tmp_path / "b.png", mpp=0.5, encoder="colour", out=tmp_path / "file")
    given = {"a": (image, 0.5), "b": ArraySlide(image[::-1].copy(), mpp=0.5)}
    store = tmp_path / "memory"
    assert compress(slides=given, encoder="colour", out=store).done == ["a", "b"]
    np.testing.assert_array_equal(
        read_map(store / "a.zarr").features.numpy(), read_map(tmp_path / "file" / "b.zarr").features.numpy()
    )
    facts = read_map(store / "a.zarr").slide
    assert (facts.path, facts.mpp, facts.given_mpp) == ("", 0.5, 0.5)
    assert compress(slides=given, encoder="colour", out=store).skipped == ["a", "b"]
    changed = {"a": (255 - image, 0.5)}
    (failure,) = compress(slides=changed, encoder="colour", out=store).failures
    assert "made of another file" in failure.reason
    private = compress(slides={"a": (image, 0.5)}, encoder="colour", out=tmp_path / "private", private=True)
    assert private.done == ["a"]


def test_an_opened_slide_is_its_file(slides: Path, tmp_path: Path) -> None:
    with open_slide(slides / "s0.tif") as plain, open_slide(slides / "s1.tif", mpp=0.25) as finer:
        result = compress(slides=[plain, finer], encoder="colour", out=tmp_path / "store")
        assert result.done == ["s0", "s1"] and plain.read((0, 0), (4, 4), 0.5).shape == (4, 4, 3)
    facts = [read_map(tmp_path / "store" / f"{name}.zarr").slide for name in ("s0", "s1")]
    assert [each.given_mpp for each in facts] == [None, 0.25]
    assert facts[0].path == str(slides / "s0.tif")
    assert compress(slides=[slides / "s0.tif"], encoder="colour", out=tmp_path / "store").skipped == ["s0"]


def test_a_dataframe_of_paths_is_a_slide_table(slides: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"path": [slides / "s0.tif", slides / "s1.tif"], "mpp": [0.5, None]}, index=["x", "y"]
    )
    frame["slide_id"] = ["first", "second"]
    assert compress(slides=frame, encoder="colour", out=tmp_path / "store").done == ["first", "second"]
    with pytest.raises(TableError, match="Row y, column 'mpp' is '-1'"):
        compress(slides=frame.assign(mpp=[0.5, -1]), encoder="colour", out=tmp_path / "store")


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)]
)
def test_what_is_no_image_is_refused(image: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"Give uint8 \(H, W, 3\) in RGB"):
        compress(slides=[image], encoder="colour", out=tmp_path / "store")


def test_an_image_without_mpp_says_so(tmp_path: Path) -> None:
    (failure,) = compress(slides=tissue_image(1), encoder="colour", out=tmp_path / "store").failures
    assert failure.slide_id.startswith("image-") and "no microns per pixel" in failure.reason
