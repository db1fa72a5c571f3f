"""Tiles from slides and annotations: the right pixels, labels and files, and every mistake in words."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from histonic.core.errors import HistonicError, SettingsError, TileSetError, UnreadableSlideError
from histonic.core.progress import Silent
from histonic.data.tilesets.plan import declare
from histonic.data.tilesets.tile_set import read_tile_set
from histonic.slides.base import open_slide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.tiles import extract as stage
from histonic.stages.tiles.extract import ExtractResult, extract_tiles

ASAP = """<ASAP_Annotations><Annotations><Annotation Name="A" Type="Polygon" PartOfGroup="_0"><Coordinates>
<Coordinate Order="0" X="100" Y="100"/><Coordinate Order="1" X="500" Y="100"/>
<Coordinate Order="2" X="500" Y="500"/><Coordinate Order="3" X="100" Y="500"/>
</Coordinates></Annotation></Annotations></ASAP_Annotations>"""


def tissue_image(seed: int, wh: tuple[int, int] = (900, 700)) -> np.ndarray:
    """Pink, noisy tissue with a white rim to the right."""
    rng = np.random.default_rng(seed)
    image = np.full((wh[1], wh[0], 3), 245, np.uint8)
    noise = rng.integers(-30, 30, (wh[1], wh[0] - 200, 1))
    image[:, : wh[0] - 200] = np.clip(np.array([190, 110, 170]) + noise, 0, 255)
    return image


def square(label: str | None, left: float, top: float, side: float) -> dict[str, Any]:
    ring = [[left, top], [left + side, top], [left + side, top + side], [left, top + side], [left, top]]
    properties = {"classification": {"name": label}} if label else {}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def point(label: str, x: float, y: float) -> dict[str, Any]:
    geometry = {"type": "Point", "coordinates": [x, y]}
    return {"type": "Feature", "properties": {"classification": {"name": label}}, "geometry": geometry}


def draw(folder: Path, name: str, *features: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    content = {"type": "FeatureCollection", "features": features}
    (folder / f"{name}.geojson").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for number in range(3):
        write_pyramid(folder / f"s{number}.tif", tissue_image(number), mpp=0.25)
    return folder


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    for number in range(3):
        shapes = [square("Tumor", 64, 64, 256), square("Stroma", 384, 0, 200), point("MF", 300.2, 500.4)]
        draw(tmp_path / "drawn", f"s{number}", *shapes)
    return tmp_path / "drawn"


def extract(slides: Path, drawn: Path | None, out: Path, **values: Any) -> ExtractResult:
    return extract_tiles(slides=[slides], annotations=drawn, out=out, **{"tile_px": 32, **values})


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "tiles.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_tiles_are_those_of_the_slide(slides: Path, drawn: Path, tmp_path: Path) -> None:
    result = extract(slides, drawn, tmp_path / "set", labels={"MF": "mitosis"})
    assert result.done == ["s0", "s1", "s2"] and not result.failures
    # 256 level-0 pixels are four tiles of 64; of the 200 from 384 on, three and an eighth, four down.
    assert result.tiles == {"Stroma": 3 * 9, "Tumor": 3 * 16, "mitosis": 3}
    rows = rows_of(tmp_path / "set")
    assert len(rows) == sum(result.tiles.values())
    for row in rows:
        with open_slide(slides / f"{row['slide']}.tif") as slide:
            wanted = slide.read((float(row["x"]), float(row["y"])), (32, 32), float(row["mpp"]))
        with Image.open(tmp_path / "set" / row["path"]) as tile:
            assert np.array_equal(np.asarray(tile), wanted)
        assert Path(row["path"]).parts[0] == row["label"]
    mitosis = next(row for row in rows if row["label"] == "mitosis")
    assert (mitosis["x"], mitosis["y"], mitosis["share"]) == ("268", "468", "")
    tumour = [row for row in rows if row["label"] == "Tumor" and row["slide"] == "s1"]
    assert {(int(row["x"]), int(row["y"])) for row in tumour} == {
        (x, y) for x in range(64, 320, 64) for y in range(64, 320, 64)
    }
    assert {row["share"] for row in tumour} == {"1.0"} and {row["group"] for row in tumour} == {"s1"}


def test_the_declaration(slides: Path, drawn: Path, tmp_path: Path) -> None:
    extract(slides, drawn, tmp_path / "set", licence="CC0", skip=["MF"])
    declared = yaml.safe_load((tmp_path / "set" / "set.yaml").read_text(encoding="utf-8"))
    assert declared["kind"] == "binary" and declared["classes"] == ["Stroma", "Tumor"]
    assert (declared["mpp"], declared["tile_px"], declared["licence"]) == (0.5, 32, "CC0")
    assert declared["tiles"] == {"Stroma": 27, "Tumor": 48} and declared["slides"] == 3
    assert declared["settings"]["min_share"] == 0.75


def test_all_three_kinds_of_files_agree(slides: Path, tmp_path: Path) -> None:
    folder = draw(tmp_path / "drawn", "s0", square("tumour", 100, 100, 400))
    (folder / "s1.xml").write_text(ASAP, encoding="utf-8")
    codes = np.zeros((350, 450), np.uint8)
    codes[50:250, 50:250] = 7
    Image.fromarray(codes).save(folder / "s2_mask.png")
    extract(slides, folder, tmp_path / "set", labels={"7": "tumour"}, min_share=0.5)
    places: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows_of(tmp_path / "set"):
        places.setdefault(row["slide"], {})[row["x"], row["y"]] = float(row["share"])
        assert row["label"] == "tumour"
    assert places["s0"] == places["s1"] and len(places["s0"]) == 36
    assert places["s2"].keys() == places["s0"].keys()
    assert list(places["s2"].values()) == pytest.approx(list(places["s0"].values()), abs=1e-3)


def test_background_and_slides_that_are_all_background(slides: Path, tmp_path: Path) -> None:
    folder = draw(tmp_path / "drawn", "s0", square("Tumor", 64, 64, 256))
    draw(folder, "s1", square("Tumor", 64, 64, 256))
    result = extract(slides, folder, tmp_path / "a", background_label="normal")
    assert [(each.slide_id, each.stage) for each in result.failures] == [("s2", "annotations")]
    assert "no annotation file named s2" in result.failures[0].reason
    result = extract(slides, folder, tmp_path / "b", background_label="normal", unannotated="background")
    assert not result.failures
    counts = [sum(row["slide"] == name for row in rows_of(tmp_path / "b")) for name in ("s0", "s1", "s2")]
    # All 110 tiles of tissue in each: 700 pixels, eleven tiles to its right border, of ten rows.
    assert counts == [110, 110, 110] and result.tiles == {"Tumor": 32, "normal": 330 - 32}


def test_without_annotations_there_is_no_label(slides: Path, tmp_path: Path) -> None:
    result = extract(slides, None, tmp_path / "set", max_per_class_per_slide=20)
    rows = rows_of(tmp_path / "set")
    columns = ["path", "split", "group", "slide", "x", "y", "side", "mpp"]
    assert result.tiles == {"": 60} and list(rows[0]) == columns
    assert len({row["side"] for row in rows}) == 1 and float(rows[0]["side"]) > 0
    assert all(row["path"].startswith("tissue/") and int(row["x"]) < 700 for row in rows)
    declared = yaml.safe_load((tmp_path / "set" / "set.yaml").read_text(encoding="utf-8"))
    assert declared["tiles"] == 60 and "kind" not in declared and "classes" not in declared


def test_a_tissue_mask_of_the_slide_table_is_used(slides: Path, tmp_path: Path) -> None:
    mask = np.zeros((70, 90), np.uint8)
    mask[:32, :64] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "slides.csv").write_text(f"path,mask\n{slides / 's0.tif'},mask.png\n", encoding="utf-8")
    result = extract(tmp_path / "slides.csv", None, tmp_path / "set")
    assert result.tiles == {"": 50}


def test_tiles_are_cut_by_masks_alone_and_by_chosen_values(slides: Path, tmp_path: Path) -> None:
    mask = np.full((70, 90), 7, np.uint8)
    mask[:32, :64], mask[:32, 64:] = 1, 2
    Image.fromarray(mask).save(tmp_path / "mask.png")
    rows = f"path,mask\n{slides / 's0.tif'},mask.png\n{slides / 's1.tif'},\n"
    (tmp_path / "slides.csv").write_text(rows, encoding="utf-8")
    given = {"tissue": "masks", "mask": {"values": "1"}}
    result = extract(tmp_path / "slides.csv", None, tmp_path / "set", **given)
    assert result.tiles == {"": 50}
    assert [each.slide_id for each in result.failures] == ["s1"]
    assert "--tissue masks needs one" in result.failures[0].reason
    with pytest.raises(SettingsError, match="were cut with mask"):
        extract(tmp_path / "slides.csv", None, tmp_path / "set", tissue="masks", mask={"values": "1,2"})
    with pytest.raises(SettingsError, match="--tissue all"):
        extract(tmp_path / "slides.csv", None, tmp_path / "other", tissue="all")


def test_splits_by_patient(slides: Path, drawn: Path, tmp_path: Path) -> None:
    extract(slides, drawn, tmp_path / "set", group_pattern="(s[01]|s2)", val_share=0.3, test_share=0.3)
    split = {row["slide"]: row["split"] for row in rows_of(tmp_path / "set")}
    assert sorted(split.values()) == ["test", "train", "val"]
    # Other shares need no new tiles.
    again = extract(slides, drawn, tmp_path / "set", group_pattern="(s[01]|s2)", val_share=0.3)
    assert again.skipped == ["s0", "s1", "s2"]
    assert sorted({row["slide"]: row["split"] for row in rows_of(tmp_path / "set")}.values()) == [
        "train",
        "train",
        "val",
    ]


def test_a_label_that_a_split_lacks_is_told(slides: Path, drawn: Path, tmp_path: Path) -> None:
    draw(drawn, "s1", square("Stroma", 384, 0, 200))
    draw(drawn, "s2", square("Stroma", 384, 0, 200))
    notes = [
        extract(slides, drawn, tmp_path / f"set{seed}", val_share=0.3, seed=seed).notes for seed in range(6)
    ]
    assert any("no tile of 'Tumor' in the split val" in line for lines in notes for line in lines)


class Killed(BaseException):
    """Stands for a signal in the middle of a slide."""


def test_an_interrupted_run_ends_as_an_undisturbed_one(
    slides: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(slides, drawn, tmp_path / "whole")
    written: list[str] = []
    original = stage.TileFolder.write_tile

    def killing(folder: stage.TileFolder, path: str, tile: np.ndarray) -> None:
        if len(written) == 40:
            raise Killed
        written.append(path)
        original(folder, path, tile)

    with monkeypatch.context() as patch:
        patch.setattr(stage.TileFolder, "write_tile", killing)
        with pytest.raises(Killed):
            extract(slides, drawn, tmp_path / "set")
    assert not (tmp_path / "set" / "tiles.csv").exists()
    # Meanwhile the annotation of the broken slide shrinks: none of its old tiles may stay.
    before = (drawn / "s1.geojson").read_text(encoding="utf-8")
    draw(drawn, "s1", square("Tumor", 64, 64, 64))
    assert extract(slides, drawn, tmp_path / "set").skipped == ["s0"]
    assert len(list((tmp_path / "set").rglob("*.png"))) == len(rows_of(tmp_path / "set")) == 2 * 26 + 1
    (drawn / "s1.geojson").write_text(before, encoding="utf-8")
    result = extract(slides, drawn, tmp_path / "set")
    assert result.skipped == ["s0", "s2"] and result.done == ["s1"]
    assert digest(tmp_path / "set") == digest(tmp_path / "whole")


def test_a_second_run_changes_nothing(slides: Path, drawn: Path, tmp_path: Path) -> None:
    extract(slides, drawn, tmp_path / "set")
    before = digest(tmp_path / "set")
    result = extract(slides, drawn, tmp_path / "set")
    assert not result.done and result.tiles["Tumor"] == 48 and digest(tmp_path / "set") == before


def test_slides_are_added_to_a_set(slides: Path, drawn: Path, tmp_path: Path) -> None:
    extract(slides / "s0.tif", drawn, tmp_path / "set")
    result = extract(slides / "s1.tif", drawn, tmp_path / "set")
    assert result.tiles["Tumor"] == 32 and {row["slide"] for row in rows_of(tmp_path / "set")} == {"s0", "s1"}
    assert "2 annotation file(s) without a slide: s0.geojson, s2.geojson" in result.notes


def test_other_settings_need_another_folder(slides: Path, drawn: Path, tmp_path: Path) -> None:
    extract(slides, drawn, tmp_path / "set")
    with pytest.raises(SettingsError, match=r"min_share = 0.75, not 0.5"):
        extract(slides, drawn, tmp_path / "set", min_share=0.5)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tiles.csv").write_text("path,label\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="not made by this command"):
        extract(slides, drawn, tmp_path / "other")


def test_bad_slides_and_files_are_listed_and_the_others_done(
    slides: Path, drawn: Path, tmp_path: Path
) -> None:
    (tmp_path / "cohort").mkdir()
    for number in range(3):
        (tmp_path / "cohort" / f"s{number}.tif").write_bytes((slides / f"s{number}.tif").read_bytes())
    (tmp_path / "cohort" / "s3.tif").write_bytes(b"no slide")
    write_pyramid(tmp_path / "cohort" / "s4.tif", tissue_image(4), mpp=2.0)
    (drawn / "s1.geojson").write_text('{"type": "Feature', encoding="utf-8")
    draw(drawn, "s2", square("Tumor", 5000, 5000, 100))
    draw(drawn, "s3", square("Tumor", 0, 0, 100))
    draw(drawn, "s4", square("Tumor", 0, 0, 100))
    result = extract(tmp_path / "cohort", drawn, tmp_path / "set")
    assert result.done == ["s0"]
    stages = {each.slide_id: each.stage for each in result.failures}
    assert stages == {"s1": "annotations", "s2": "annotations", "s3": "open", "s4": "open"}
    reasons = " ".join(each.reason for each in result.failures)
    for part in ("no GeoJSON", "lies outside the slide", "No reader", "has only 2 µm/px"):
        assert part in reasons
    declared = yaml.safe_load((tmp_path / "set" / "set.yaml").read_text(encoding="utf-8"))
    assert [each["slide"] for each in declared["failed"]] == ["s1", "s2", "s3", "s4"]


def test_tiles_stay_while_their_slide_cannot_be_reached(slides: Path, drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    slide = tmp_path / "disk" / "s0.tif"
    slide.write_bytes((slides / "s0.tif").read_bytes())
    (tmp_path / "slides.csv").write_text("path\ndisk/s0.tif\n", encoding="utf-8")
    extract(tmp_path / "slides.csv", drawn, tmp_path / "set")
    before = digest(tmp_path / "set")
    slide.rename(tmp_path / "away.tif")
    result = extract(tmp_path / "slides.csv", drawn, tmp_path / "set")
    assert "no such file" in result.failures[0].reason and result.tiles["Tumor"] == 16
    after = digest(tmp_path / "set")
    assert {name for name in before if before[name] != after[name]} == {"set.yaml"}


def test_pixels_that_break_off_leave_nothing_of_their_slide(
    slides: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = stage.TileFolder.write_tile

    def breaking(folder: stage.TileFolder, path: str, tile: np.ndarray) -> None:
        if "s1_128" in path:
            raise UnreadableSlideError("Read s1.", "Its pixels are damaged.", "Copy it again.")
        original(folder, path, tile)

    monkeypatch.setattr(stage.TileFolder, "write_tile", breaking)
    result = extract(slides, drawn, tmp_path / "set")
    assert [(each.slide_id, each.stage) for each in result.failures] == [("s1", "tiles")]
    assert {row["slide"] for row in rows_of(tmp_path / "set")} == {"s0", "s2"}
    assert not [file for file in (tmp_path / "set").rglob("*s1*")]


def test_the_set_is_read_as_a_tile_set(slides: Path, drawn: Path, tmp_path: Path) -> None:
    extract(slides, drawn, tmp_path / "set", labels={"MF": "mitosis"}, val_share=0.3, test_share=0.3)
    declared = declare(tmp_path / "set", None)
    assert declared.mpp == 0.5 and declared.classes == ("Stroma", "Tumor", "mitosis")
    plan = declared.model_copy(update={"duplicates": "drop"})
    read = read_tile_set(plan, tile_px=32, mpp=0.5, cache=tmp_path / "cache", seed=0, progress=Silent())
    rows = rows_of(tmp_path / "set")
    assert len(read.tiles) == len(rows) and not read.failures
    labels = [declared.classes[int(index)] for index in next(iter(read.targets.values()))]
    assert labels == [row["label"] for row in rows]
    assert read.split.tolist() == [row["split"] for row in rows]


def test_a_real_slide(data_dir: Path, tmp_path: Path) -> None:
    slide = data_dir / "slides" / "CMU-1-Small-Region.svs"
    folder = draw(tmp_path / "drawn", slide.stem, square("dermis", 100, 100, 1500), point("MF", 900, 1100.5))
    result = extract_tiles(slides=[slide], annotations=folder, out=tmp_path / "set", background_label="other")
    # Tiles begin at multiples of 128: the second to the twelfth lie in 100 to 1600, the next by half.
    assert result.tiles["dermis"] == 11 * 11 and result.tiles["MF"] == 1 and result.tiles["other"] > 20
    with open_slide(slide) as opened:
        for row in rows_of(tmp_path / "set")[::20]:
            wanted = opened.read((float(row["x"]), float(row["y"])), (128, 128), float(row["mpp"]))
            with Image.open(tmp_path / "set" / row["path"]) as tile:
                assert np.array_equal(np.asarray(tile), wanted)


def test_broken_xml_names_the_file(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "s0.xml").write_text(ASAP[:200], encoding="utf-8")
    result = extract(slides / "s0.tif", tmp_path / "s0.xml", tmp_path / "set")
    assert "no XML" in result.failures[0].reason and not result.done


def test_no_tile_at_all_tells_the_largest_share(slides: Path, tmp_path: Path) -> None:
    folder = draw(tmp_path / "drawn", "s0", square("Tumor", 64, 64, 32))
    with pytest.raises(TileSetError, match=r"largest share of 'Tumor' in a tile is 0\.250, min_share 0\.75"):
        extract(slides / "s0.tif", folder, tmp_path / "set")


def test_a_label_without_tiles_is_told(slides: Path, drawn: Path, tmp_path: Path) -> None:
    draw(drawn, "s0", square("Tumor", 64, 64, 256), square("Nerve", 640, 64, 16))
    notes = extract(slides / "s0.tif", drawn, tmp_path / "set").notes
    assert any("largest share of 'Nerve' in a tile is 0.062" in line for line in notes)


def test_a_code_that_no_mask_has_is_told(slides: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((70, 90), 2, np.uint8)).save(tmp_path / "s0.png")
    labels = {"2": "tumour", "3": "stroma"}
    result = extract(slides / "s0.tif", tmp_path / "s0.png", tmp_path / "set", labels=labels)
    assert "no mask has the code 3 (stroma)" in result.notes and result.tiles == {"tumour": 14 * 10}


def test_shapes_passed_over_are_told(slides: Path, tmp_path: Path) -> None:
    folder = draw(tmp_path / "drawn", "s0", square("Tumor", 64, 64, 256), square(None, 0, 0, 9))
    assert (
        "s0.geojson: passed over 1 x shape without a class"
        in extract(slides / "s0.tif", folder, tmp_path / "set").notes
    )


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"labels": {"Tumour": "x"}}, "the classes found are MF, Stroma, Tumor"),
        ({"skip": ["mf"]}, "the classes found are MF, Stroma, Tumor"),
        ({"labels": {"Tumor": "x"}, "skip": ["Tumor"]}, "named twice"),
        ({"unannotated": "background"}, "background has no label"),
        ({"val_share": 0.5, "test_share": 0.5}, "No group would be left"),
    ],
)
def test_settings_that_cannot_be(
    slides: Path, drawn: Path, tmp_path: Path, values: dict[str, Any], found: str
) -> None:
    with pytest.raises(HistonicError) as caught:
        extract(slides, drawn, tmp_path / "set", **values)
    assert found in str(caught.value) and not (tmp_path / "set").exists()


def test_settings_without_annotations(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no annotations"):
        extract(slides, None, tmp_path / "set", labels={"a": "b"})
    with pytest.raises(SettingsError, match="No slide was given"):
        extract_tiles(out=tmp_path / "set")


def test_labels_that_would_share_a_folder(slides: Path, drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Its folder would be that of 'Tumor'"):
        extract(slides, drawn, tmp_path / "set", labels={"Stroma": "tumor"})


def test_a_slide_without_resolution_needs_slide_mpp(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", tissue_image(0), photometric="rgb", tile=(256, 256))
    result = extract(tmp_path / "a.tif", None, tmp_path / "set")
    assert "--slide-mpp" in result.failures[0].reason
    assert extract(tmp_path / "a.tif", None, tmp_path / "set", slide_mpp=0.25).tiles == {"": 110}


def test_coarser_slides_are_enlarged_as_far_as_allowed(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.full((300, 400, 3), (200, 120, 180), np.uint8), mpp=0.62)
    given = {"slides": [tmp_path / "a.tif"], "out": tmp_path / "set"}
    (refused,) = extract_tiles(**given).failures
    assert refused.reason.endswith("cut coarser tiles with --mpp, or allow it: --most-enlargement 1.24.")
    # 372 x 496 px at 0.5 µm/px hold 2 x 3 whole tiles of 128 px.
    assert extract_tiles(**{**given, "out": tmp_path / "larger"}, most_enlargement=1.3).tiles == {"": 6}


def test_glass_alone_is_a_failure(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "glass.tif", np.full((600, 600, 3), 244, np.uint8), mpp=0.25)
    result = extract(tmp_path / "glass.tif", None, tmp_path / "set")
    assert "No whole tile holds enough tissue" in result.failures[0].reason
