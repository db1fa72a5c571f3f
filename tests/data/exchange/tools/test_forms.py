"""Files of each tool, written without the code under test, to the map that they were made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fixtures.tools import (
    Tiles,
    cohort,
    write_arrays,
    write_atlaspatch,
    write_clam,
    write_slide2vec,
    write_stamp,
    write_trident,
    write_wsidata,
)
from histonic.core.errors import SettingsError, SlideError
from histonic.data.exchange.placing import place_tiles
from histonic.data.exchange.tile_features import Request, half_rows
from histonic.data.exchange.tools.forms import FORMS, find_slides
from histonic.stages.exchange.tensors import TorchFiles

WRITERS: dict[str, tuple[Callable[[Path, list[Tiles]], Path], str, dict[str, Any]]] = {
    "trident": (write_trident, "trident", {}),
    "clam": (write_clam, "clam", {"features": "resnet50"}),
    "clam, tensors alone": (lambda f, s: write_clam(f, s, h5=False), "clam", {"features": "resnet50"}),
    "stamp": (write_stamp, "stamp", {}),
    "stamp 2.0": (lambda f, s: write_stamp(f, s, "2.0.0"), "stamp", {"tile_px": 224}),
    "slide2vec": (write_slide2vec, "slide2vec", {}),
    "slide2vec, npz": (lambda f, s: write_slide2vec(f, s, ".npz"), "slide2vec", {}),
    "atlaspatch": (write_atlaspatch, "atlaspatch", {"features": "uni_v2"}),
    "wsidata": (write_wsidata, "spatialdata", {}),
    "arrays": (write_arrays, "arrays", {"features": "x", "tile_px": 224}),
    "arrays, tensors": (
        lambda f, s: write_arrays(f, s, ".pt"), "arrays", {"features": "x", "tile_px": 224},
    ),
}  # fmt: skip


def request(folder: Path, **values: Any) -> Request:
    return Request(folder, TorchFiles(), **values)


@pytest.mark.parametrize("name", WRITERS)
def test_a_form_gives_the_map_that_its_files_were_made_from(name: str, tmp_path: Path) -> None:
    write, form_name, more = WRITERS[name]
    if form_name == "spatialdata":
        pytest.importorskip("pyarrow")
    slides = cohort(2)
    asked = request(write(tmp_path / "in", slides), **more)
    form, found = find_slides(asked)
    assert form.name == form_name and [each.slide_id for each in found] == ["s0", "s1"]
    for each, slide in zip(found, slides, strict=True):
        features = form.read(each, asked)
        placed = place_tiles(features, slide.slide_mpp, features.slide_wh)
        assert (placed.grid.tile_px, placed.grid.mpp, placed.grid.slide_mpp) == (224, 0.5, 0.25)
        assert tuple(placed.grid.origin_xy) == (0, 0) and tuple(placed.grid.slide_wh) == slide.wh
        np.testing.assert_array_equal(placed.mask, slide.mask)
        made = np.zeros_like(slide.features)
        made[:, placed.cells[:, 0], placed.cells[:, 1]] = half_rows(features).T
        np.testing.assert_array_equal(made, slide.features)


def test_positions_of_old_stamp_are_in_pixels_of_its_tiles(tmp_path: Path) -> None:
    asked = request(write_stamp(tmp_path, cohort(1), "historic"))
    form, (found,) = find_slides(asked)
    features = form.read(found, asked)
    assert (features.side, features.tile_px, features.encoder) == (256, 224, "ward")
    assert features.tile_mpp == pytest.approx(256 / 224)


def test_of_several_encoders_one_is_chosen_by_name(tmp_path: Path) -> None:
    slides = cohort(1)
    write_trident(tmp_path, slides)
    write_trident(tmp_path, slides, encoder="conch_v15")
    with pytest.raises(SettingsError, match=r"conch_v15, uni_v1"):
        find_slides(request(tmp_path))
    with pytest.raises(SettingsError, match="'virchow'"):
        find_slides(request(tmp_path, features="virchow"))
    form, (found,) = find_slides(request(tmp_path, features="conch_v15"))
    assert form.read(found, request(tmp_path)).encoder == "conch_v15"
    asked = request(write_atlaspatch(tmp_path / "atlas", slides))
    form, (found,) = find_slides(asked)
    with pytest.raises(SettingsError, match=r"resnet50, uni_v2"):
        form.read(found, asked)


def test_trident_keeps_tensors_without_positions(tmp_path: Path) -> None:
    import torch

    (slide,) = cohort(1)
    folder = write_trident(tmp_path, [slide]) / "20x_224px_0px_overlap" / "features_uni_v1"
    (folder / "s0.h5").unlink()
    torch.save(torch.from_numpy(slide.matrix), folder / "s0.pt")
    form, (found,) = find_slides(request(folder))
    features = form.read(found, request(folder))
    np.testing.assert_array_equal(features.xy, slide.xy)
    np.testing.assert_array_equal(half_rows(features), slide.matrix.astype(np.float16))


def test_tensors_that_would_run_code_are_not_read(tmp_path: Path) -> None:
    import torch

    folder = write_arrays(tmp_path, cohort(1), ".pt")
    torch.save({"features": Path("a")}, folder / "features" / "s0.pt")
    asked = request(folder, features="x", tile_px=224)
    form, (found,) = find_slides(asked)
    with pytest.raises(SlideError, match="more than plain tensors"):
        form.read(found, asked)


@pytest.mark.parametrize(
    ("name", "path", "key"),
    [
        ("trident", "20x_224px_0px_overlap/features_uni_v1/s0.h5", "features"),
        ("clam", "h5_files/s0.h5", "features"),
        ("stamp", "uni2-1a2b3c4d/ward/s0.h5", "feats"),
        ("atlaspatch", "patches/s0.h5", "features/uni_v2"),
    ],
)
def test_rows_unlike_positions_and_vectors_of_slides_are_refused(
    name: str, path: str, key: str, tmp_path: Path
) -> None:
    write, _, more = WRITERS[name]
    asked = request(write(tmp_path, cohort(1)), **more)
    form, (found,) = find_slides(asked)
    for values, words in (
        (np.ones((3, 4), np.float32), "3 rows of features"),
        (np.ones(4), "shape \\(4,\\)"),
    ):
        with h5py.File(tmp_path / path, "a") as file:
            del file[key]
            file[key] = values
        with pytest.raises(SlideError, match=words) as raised:
            form.read(found, asked)
        assert "'s0'" in raised.value.asked


def test_clam_features_of_other_patches_are_refused(tmp_path: Path) -> None:
    asked = request(write_clam(tmp_path, cohort(1)), features="x")
    with h5py.File(tmp_path / "patches" / "s0.h5", "a") as file:
        file["coords"][0, 0] += 1
    form, (found,) = find_slides(asked)
    with pytest.raises(SlideError, match="positions are not the"):
        form.read(found, asked)


def test_tensors_stand_in_where_a_file_with_positions_is_absent(tmp_path: Path) -> None:
    write_clam(tmp_path, cohort(2))
    (tmp_path / "h5_files" / "s1.h5").unlink()
    _, found = find_slides(request(tmp_path, features="x"))
    assert [each.path.name for each in found] == ["s0.h5", "s1.pt"]


def test_vectors_of_patients_are_refused(tmp_path: Path) -> None:
    write_stamp(tmp_path, cohort(1))
    with h5py.File(tmp_path / "uni2-1a2b3c4d" / "ward" / "s0.h5", "a") as file:
        file.attrs["feat_type"] = "patient"
    form, (found,) = find_slides(request(tmp_path))
    with pytest.raises(SlideError, match="whole patient"):
        form.read(found, request(tmp_path))


@pytest.mark.parametrize("name", ["clam", "arrays"])
def test_a_tool_that_names_no_encoder_is_asked_for_it(name: str, tmp_path: Path) -> None:
    folder = WRITERS[name][0](tmp_path, cohort(1))
    with pytest.raises(SettingsError, match="--features NAME"):
        find_slides(request(folder))


def test_a_folder_of_nothing_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SettingsError, match="nothing that looks like"):
        find_slides(request(tmp_path))
    with pytest.raises(SettingsError, match="no such folder"):
        find_slides(request(tmp_path / "none"))
    assert len({form.name for form in FORMS}) == len(FORMS)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = write_trident(tmp_path, cohort(1))
    path = folder / "20x_224px_0px_overlap" / "features_uni_v1" / "s0.h5"
    path.write_bytes(path.read_bytes()[:900])
    form, (found,) = find_slides(request(folder))
    with pytest.raises(SlideError, match="cannot be read") as raised:
        form.read(found, request(folder))
    assert "'s0'" in raised.value.asked


@pytest.mark.parametrize("name", ["trident", "stamp", "stamp 2.0", "atlaspatch"])
def test_a_damaged_first_file_does_not_hide_the_folder(name: str, tmp_path: Path) -> None:
    write, form_name, more = WRITERS[name]
    folder = write(tmp_path, cohort(2))
    (path,) = folder.rglob("s0.h5") if name != "trident" else folder.glob("*/features_uni_v1/s0.h5")
    path.write_bytes(b"cut off")
    if name == "trident":
        folder = path.parent.rename(tmp_path / "renamed")
    form, found = find_slides(request(folder, **more))
    assert form.name == form_name and [each.slide_id for each in found] == ["s0", "s1"]
    with pytest.raises(SlideError, match="cannot be read"):
        form.read(found[0], request(folder, **more))


def test_the_extractor_of_stamp_is_the_one_that_is_named(tmp_path: Path) -> None:
    folder = write_stamp(tmp_path, cohort(1))
    assert find_slides(request(folder, features="uni2"))[0].name == "stamp"
    with pytest.raises(SettingsError, match="There are those of uni2"):
        find_slides(request(folder, features="virchow2"))


@pytest.mark.parametrize("target", [20, 15])
def test_trident_without_the_side_at_level_0_is_read_by_its_magnifications(
    target: int, tmp_path: Path
) -> None:
    slides = cohort()
    folder = write_trident(tmp_path, slides)
    for path in folder.rglob("*.h5"):
        with h5py.File(path, "a") as opened:
            del opened["coords"].attrs["patch_size_level0"]
            opened["coords"].attrs["target_magnification"] = target
    side = {20: 448.0, 15: 597.0}[target]  # 224 * 40 / 15 is 597.3, and a tile has whole pixels
    renamed = (folder / "20x_224px_0px_overlap" / "features_uni_v1").rename(tmp_path / "by_hand")
    asked = request(renamed)
    form, found = find_slides(asked)
    assert form.name == "trident" and len(found) == len(slides)
    assert {form.read(each, asked).side for each in found} == {side}


def attributes(folder: Path, **values: Any) -> None:
    """Change attributes of the positions in all files of a folder; None takes one away."""
    for path in folder.rglob("*.h5"):
        with h5py.File(path, "a") as opened:
            for name, value in values.items():
                if value is None:
                    opened["coords"].attrs.pop(name, None)
                else:
                    opened["coords"].attrs[name] = value


LEVELS = [
    ({"downsample": None}, "level 1, and it does not say how much smaller that is"),
    ({"downsample": (1.0, 1.0)}, r"'patch_level' is 1, 'downsample' is \[1.0, 1.0\]"),
    ({"patch_level": 0}, "'patch_level' is 0, 'downsample' is"),
    ({"downsample": (2.0, 4.0)}, "contradict each other"),
    ({"downsample": (2.0, 0.0)}, "'downsample' is 0.0"),
    ({"downsample": "x"}, "'downsample' is 'x'"),
    ({"patch_level": "x"}, "'patch_level' is 'x'"),
    ({"patch_level": 0.5}, "'patch_level' is 0.5"),
]


@pytest.mark.parametrize(("values", "words"), LEVELS)
def test_clam_patches_of_a_level_nobody_can_place_are_refused(
    values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = write_clam(tmp_path, cohort(1))
    attributes(folder / "patches", **values)
    form, (found,) = find_slides(request(folder, features="x"))
    with pytest.raises(SlideError, match=words) as raised:
        form.read(found, request(folder, features="x"))
    assert "'s0'" in raised.value.asked


@pytest.mark.parametrize(
    "values",
    [
        {"downsample": 2.0},
        {"downsample": (2.0, 2.01)},
        {"patch_level": None},
        {"patch_level": np.array([1]), "downsample": np.array([[2.0]]), "patch_size": np.array([224])},
    ],
    ids=str,
)
def test_clam_patches_of_a_level_are_as_large_as_on_level_0(values: dict[str, Any], tmp_path: Path) -> None:
    folder = write_clam(tmp_path, cohort(1))
    attributes(folder / "patches", **values)
    form, (found,) = find_slides(request(folder, features="x"))
    features = form.read(found, request(folder, features="x"))
    assert (features.side, features.step, features.tile_px) == (448, 448, 224)


def test_clam_patches_of_a_padded_level_are_placed_with_a_note(tmp_path: Path) -> None:
    folder = write_clam(tmp_path, cohort(1))
    # 17000 x 9000 px at 1/16: 1062 x 562, padded to whole tiles.
    padded = {
        "downsample": (17000 / 1536, 9000 / 1024),
        "level_dim": np.array([1536, 1024]),
        "patch_level": 4,
    }
    for values, most in ((padded, 17000 / 1536), ({"downsample": (3.87, 4.0), "level_dim": None}, 4.0)):
        attributes(folder / "patches", **values)
        form, (found,) = find_slides(request(folder, features="x"))
        features = form.read(found, request(folder, features="x"))
        assert features.side == pytest.approx(224 * most) and "padded to whole tiles" in features.note
        assert features.slide_wh == (None if values["level_dim"] is None else (17000, 9000))
    attributes(folder / "patches", downsample=(2.0, 3.9))
    with pytest.raises(SlideError, match="contradict each other"):
        form.read(found, request(folder, features="x"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"patch_size_level0": 224}, "448 px of level 0 .40x., but its tiles are said to be 224 px"),
        ({"target_magnification": 10}, "224 px at 10x are 896 px"),
        ({"patch_size": 256, "level0_magnification": 80}, "256 px at 20x are 1024 px"),
        (
            {"patch_size_level0": None, "level0_magnification": None, "patch_level": 1},
            "level 1, and it does not say",
        ),
        (
            {"patch_size_level0": None, "patch_level": 2, "downsample": 4.0},
            "448 px of level 0 .40x., but its tiles are said to be 896 px",
        ),
    ],
)
def test_trident_that_contradicts_itself_is_refused(
    values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = write_trident(tmp_path, cohort(1))
    attributes(folder, **values)
    form, (found,) = find_slides(request(folder))
    with pytest.raises(SlideError, match=words) as raised:
        form.read(found, request(folder))
    assert "'s0'" in raised.value.asked


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"patch_size_level0": 224}, "448 px of level 0 .40x., but its tiles are said to be 224 px"),
        ({"target_magnification": 10}, "224 px at 10x are 896 px"),
        ({"patch_size": 256, "level0_magnification": 80}, "256 px at 20x are 1024 px"),
    ],
)
def test_atlaspatch_that_contradicts_itself_is_refused(
    values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = write_atlaspatch(tmp_path, cohort(1), ["uni_v2"])
    form, (found,) = find_slides(request(folder))
    with h5py.File(found.path, "r+") as file:
        file.attrs["patch_size_level0"] = 455  # as of the microns
    assert form.read(found, request(folder)).side == 455
    with h5py.File(found.path, "r+") as file:
        file.attrs.update(values)
    with pytest.raises(SlideError, match=words) as raised:
        form.read(found, request(folder))
    assert "'s0'" in raised.value.asked and "'patch_size_level0'" in raised.value.todo


def test_the_side_that_trident_says_may_be_that_of_the_microns(tmp_path: Path) -> None:
    folder = write_trident(tmp_path, cohort(1))
    attributes(folder, patch_size_level0=455)  # 224 px at 0.5 of a scanner of 0.2462, sold as 40x
    form, (found,) = find_slides(request(folder))
    assert form.read(found, request(folder)).side == 455
