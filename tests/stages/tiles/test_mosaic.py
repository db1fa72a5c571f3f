"""Mosaics from a tile set to slides, masks and labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from histonic.core.errors import SettingsError
from histonic.core.progress import Silent
from histonic.core.units import XY
from histonic.slides.base import Slide, open_slide
from histonic.slides.tissue.masks import read_tissue_mask
from histonic.stages.tiles.mosaic import simulate_mosaic

PATIENTS, TEST_PATIENTS, PX = 6, 4, 32


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles that say what they are: red for lesion, blue for the rest, green for the group."""
    folder = tmp_path_factory.mktemp("tiles")
    rows = []
    for number in range(48):
        label, split = ("rest", "lesion")[number % 2], ("train", "test")[number >= 32]
        red, blue = (200, 60) if label == "lesion" else (60, 200)
        path = folder / f"{number}.png"
        Image.new("RGB", (PX, PX), (red, 9 * (number // 2) + 8, blue)).save(path)
        rows.append({"path": path.name, "label": label, "split": split, "group": f"g{number // 2}"})
    pd.DataFrame(rows).to_csv(folder / "tiles.csv", index=False)
    return folder


def made(where: Path, out: Path, **values: object) -> Path:
    given: dict[str, object] = {
        "tiles": where,
        "mpp_of_tiles": 0.5,
        "lesion": ("lesion",),
        "out": out,
        "patients": PATIENTS,
        "test_patients": TEST_PATIENTS,
        "cells": 8,
        "tile_px": PX,
        "stain_variation": 0.0,
        "seam_px": 0,
    }
    return simulate_mosaic(**{**given, **values})


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def cells_of(slide: Slide) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour of each cell ``(8, 8, 3)``, and where a cell is wholly of one tile."""
    picture = slide.read(XY(0, 0), slide.size_wh, slide.mpp).astype(float)
    cells = picture.reshape(8, PX, 8, PX, 3).transpose(0, 2, 1, 3, 4)[:, :, 4:-4, 4:-4]
    cells = cells.reshape(8, 8, -1, 3)
    colour = cells.mean(axis=2)
    return colour, (cells.std(axis=2).max(axis=-1) < 4) & (np.abs(colour[..., 0] - colour[..., 2]) > 70)


def test_tiles_of_a_group_or_of_the_test_split_never_cross(tiles: Path, tmp_path: Path) -> None:
    out = made(tiles, tmp_path / "m", kind="fraction", most_slides=2)
    labels = pd.read_csv(out / "labels.csv")
    groups: dict[str, set[int]] = {}
    for row in labels.itertuples():
        with open_slide(out / "slides" / f"{row.slide_id}.tif") as slide:
            colour, whole = cells_of(slide)
        numbers = {round((green - 8) / 9) for green in colour[whole][:, 1]}
        assert numbers
        assert all((number >= 16) == (row.split == "test") for number in numbers)
        groups.setdefault(row.patient_id, set()).update(numbers)
    assert len(groups) == PATIENTS + TEST_PATIENTS
    everyone = [number for found in groups.values() for number in found]
    assert len(everyone) == len(set(everyone))
    assert not (out / "cache").exists()


def test_a_training_copy_of_a_test_tile_is_dropped(tiles: Path, tmp_path: Path) -> None:
    """The copy, turned, is of group g99, whose green no other training tile has."""
    where = shutil.copytree(tiles, tmp_path / "tiles")
    noise = np.random.default_rng(0).integers(0, 256, (PX, PX, 3)).astype(np.uint8)
    Image.fromarray(noise).save(where / "47.png")
    Image.fromarray(np.rot90(noise).copy()).save(where / "copy.png")
    with (where / "tiles.csv").open("a") as table:
        table.write("copy.png,lesion,train,g99\n")
    heard = Listener()
    made(where, tmp_path / "m", kind="fraction", progress=heard)
    assert any(line.startswith("tiles: 1 tiles dropped as copies") for line in heard.said)


def test_masks_and_labels_tell_what_is_painted(tiles: Path, tmp_path: Path) -> None:
    out = made(tiles, tmp_path / "m", kind="fraction", most_slides=2)
    labels, truth = pd.read_csv(out / "labels.csv"), pd.read_csv(out / "truth.csv")
    for row in truth.itertuples():
        with open_slide(out / "slides" / f"{row.slide_id}.tif") as slide:
            colour, whole = cells_of(slide)
            drawn = read_tissue_mask(out / "masks" / f"{row.slide_id}.geojson", slide).mask
            assert slide.mpp == pytest.approx(0.5)
        content = json.loads((out / "masks" / f"{row.slide_id}.geojson").read_text())
        assert {each["properties"]["classification"]["name"] for each in content["features"]} == {"lesion"}
        lesion = _at_cells(drawn, 8)
        assert int(lesion.sum()) == row.lesion_cells and whole.sum() > 5
        assert np.array_equal(lesion[whole], colour[whole][:, 0] > colour[whole][:, 2])
    shares = truth.groupby("patient_id")[["lesion_cells", "tissue_cells"]].sum()
    for row in labels.itertuples():
        expected = shares.loc[row.patient_id, "lesion_cells"] / shares.loc[row.patient_id, "tissue_cells"]
        assert row.fraction == pytest.approx(expected, abs=1e-4)


def _at_cells(mask: np.ndarray, cells: int) -> np.ndarray:
    rows = ((np.arange(cells) + 0.5) * mask.shape[0] / cells).astype(int)
    return np.asarray(mask)[np.ix_(rows, rows)] > 0


def test_the_same_command_resumes_to_the_same_bytes(tiles: Path, tmp_path: Path) -> None:
    one = made(tiles, tmp_path / "one", kind="survival", stain_variation=1.0, seam_px=4)
    again = made(tiles, tmp_path / "again", kind="survival", stain_variation=1.0, seam_px=4)
    victim = sorted((again / "slides").iterdir())[2]
    victim.unlink()
    made(tiles, again, kind="survival", stain_variation=1.0, seam_px=4)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((one / path).read_bytes() == (again / path).read_bytes() for path in files)
    with pytest.raises(SettingsError, match="slides of another one; different: seed"):
        made(tiles, again, kind="survival", stain_variation=1.0, seam_px=4, seed=1)


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "no file of the format 'histonic-mosaic-1'"),
        ('{"format": "histonic-mosaic-2"}', "newer than 'histonic-mosaic-1'"),
        ('{"format": "histonic-mosaic-1", "settings": {}, "tiles": 3}', "tiles is 3.*set is absent"),
    ],
)
def test_a_damaged_note_is_refused(note: str, message: str, tiles: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mosaic.json").write_text(note)
    with pytest.raises(SettingsError, match=rf"(?s)mosaic\.json.*{message}"):
        made(tiles, tmp_path / "m", kind="needle")
    assert not (tmp_path / "m" / "slides").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lesion": ("tumour",)}, "There is no class 'tumour'.\n.*rest"),
        ({"background": ("lesion",)}, "'lesion' is to be lesion and background"),
        ({"lesion": ("lesion", "rest")}, "No class is left as background"),
        ({"patients": 30}, "Make 30 train patients .*\n.*16 groups of tiles show the lesion"),
        ({"tiles": None}, "Neither 'tiles' nor 'set' is given"),
    ],
)
def test_what_cannot_be_made(changes: dict[str, object], message: str, tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        made(tiles, tmp_path / "m", kind="needle", **changes)
    assert not (tmp_path / "m" / "slides").exists() and not (tmp_path / "m" / "mosaic.json").exists()


def test_small_objects_keep_their_size(tiles: Path, tmp_path: Path) -> None:
    """Crops of 32 px at 0.25 µm/px are 16 px of cells of 32 px at 0.5; all else is the background's class."""
    given: dict[str, object] = {"mpp_of_tiles": 0.25, "scale_of_tiles": "compose", "kind": "needle"}
    few: dict[str, object] = {"patients": 2, "test_patients": 2, "lesion_share": 0.3}
    out = made(tiles, tmp_path / "out", background=("rest",), **given, **few)
    slides = sorted((out / "slides").glob("*.tif"))
    most = []
    for path in slides:
        with open_slide(path) as slide:
            picture = slide.read(XY(0, 0), slide.size_wh, slide.mpp).astype(float)
        red = picture[..., 0] - picture[..., 2] > 70
        most.append(red.reshape(8, PX, 8, PX).sum((1, 3)).max())
    assert len(slides) == 4 and 0 < max(most) <= 16 * 16
    with pytest.raises(SettingsError, match="--background CLASS"):
        made(tiles, tmp_path / "other", **given)
