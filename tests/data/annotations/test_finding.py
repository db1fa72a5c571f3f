"""Annotation files found by the names of slides, and by the folders that both lie in."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from histonic.core.errors import SettingsError
from histonic.data.annotations.finding import find_annotations

DECOMPOSED = unicodedata.normalize("NFD", "Müller")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")


def test_files_are_found_by_the_name_of_the_slide(tmp_path: Path) -> None:
    touch(tmp_path, "a.geojson", "b.svs.geojson", "c_mask.tif", "d.xml", "e.txt", ".f.xml", "other.json")
    found, unused = find_annotations(tmp_path, ["a", "b", "c", "d", "f"])
    assert {name: file.name for name, file in found.items()} == {
        "a": "a.geojson",
        "b": "b.svs.geojson",
        "c": "c_mask.tif",
        "d": "d.xml",
    }
    assert [file.name for file in unused] == ["other.json"]


def test_files_of_slides_named_by_their_paths_lie_in_folders(tmp_path: Path) -> None:
    for name in ("viable/1_mask.tif", "necrotic/1.geojson", "2.xml", "viable__3.xml", "viable/4.xml"):
        touch(tmp_path, name)
    found, unused = find_annotations(tmp_path, ["viable__1", "necrotic__1", "2", "viable__3"])
    assert {name: str(file.relative_to(tmp_path)) for name, file in found.items()} == {
        "viable__1": "viable/1_mask.tif",
        "necrotic__1": "necrotic/1.geojson",
        "2": "2.xml",
        "viable__3": "viable__3.xml",
    }
    assert unused == [tmp_path / "viable" / "4.xml"]


def test_a_name_that_only_begins_alike_is_another_slide(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml", "a1.xml")
    assert find_annotations(tmp_path, ["a"])[1] == [tmp_path / "a1.xml"]


def test_one_file_for_one_slide(tmp_path: Path) -> None:
    touch(tmp_path, "any.xml")
    assert find_annotations(tmp_path / "any.xml", ["a"]) == ({"a": tmp_path / "any.xml"}, [])
    with pytest.raises(SettingsError, match="one file, but there are 2 slides"):
        find_annotations(tmp_path / "any.xml", ["a", "b"])


def test_nothing_or_too_much_is_found(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file or folder"):
        find_annotations(tmp_path / "absent", ["a"])
    touch(tmp_path, "b.xml")
    with pytest.raises(SettingsError, match=r"b\.xml fits neither a nor c"):
        find_annotations(tmp_path, ["a", "c"])
    touch(tmp_path, "a.xml", "a.geojson")
    with pytest.raises(SettingsError, match=r"a\.geojson and a\.xml"):
        find_annotations(tmp_path, ["a"])


def files(found: dict[str, Path], root: Path) -> dict[str, str]:
    return {name: file.relative_to(root).as_posix() for name, file in found.items()}


def test_folders_decide_where_names_repeat(tmp_path: Path) -> None:
    touch(tmp_path, "01/01.csv", "01/02.csv", "02/01.csv", "25/01.csv")
    places = {
        "01__01": "/x/images/01/01.tif",
        "01__02": "/x/images/01/02.tif",
        "02__01": "/x/images/02/01.tif",
        "24__01": "/x/images/24/01.tif",
    }
    found, unused = find_annotations(tmp_path, list(places), places)
    # 25/01.csv is no annotation of 24/01.tif, though both are called 01.
    assert files(found, tmp_path) == {"01__01": "01/01.csv", "01__02": "01/02.csv", "02__01": "02/01.csv"}
    assert unused == [tmp_path / "25" / "01.csv"]


def test_folders_above_those_of_the_annotations_do_not_count(tmp_path: Path) -> None:
    touch(tmp_path, "01/01.csv", "24/01.csv")
    places = {"part_1__01__01": "/x/part_1/01/01.tif", "part_3__24__01": "/x/part_3/24/01.tif"}
    found, _ = find_annotations(tmp_path, list(places), places)
    assert files(found, tmp_path) == {"part_1__01__01": "01/01.csv", "part_3__24__01": "24/01.csv"}


def test_a_folder_of_one_case_alone(tmp_path: Path) -> None:
    touch(tmp_path, "01/01.csv", "24/01.csv")
    found, unused = find_annotations(tmp_path, ["01"], {"01": "/x/images/24/01.tif"})
    assert files(found, tmp_path) == {"01": "24/01.csv"} and len(unused) == 1
    (tmp_path / "24" / "01.csv").unlink()
    with pytest.raises(SettingsError, match=r"01/01\.csv fits neither 01"):
        find_annotations(tmp_path, ["01"], {"01": "/x/images/24/01.tif"})


def test_two_cases_of_one_name_and_two_kinds_of_truth_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/01.geojson", "a/01.xml")
    with pytest.raises(SettingsError, match=r"Two files could be meant: a/01\.geojson and a/01\.xml"):
        find_annotations(tmp_path, ["a__01"], {"a__01": "/x/a/01.tif"})
    # A part whose folders are called alike twice cannot be told apart.
    touch(tmp_path / "b", "01/01.csv")
    twice = {"p1__01__01": "/p1/01/01.tif", "p2__01__01": "/p2/01/01.tif"}
    with pytest.raises(SettingsError, match="is named like one of the 2"):
        find_annotations(tmp_path / "b", list(twice), twice)


def test_a_flat_file_is_not_that_of_a_slide_in_any_folder(tmp_path: Path) -> None:
    touch(tmp_path, "01.csv", "02__02.csv")
    places = {"01__01": "/x/01/01.tif", "02__02": "/x/02/02.tif"}
    found, unused = find_annotations(tmp_path, list(places), places)
    assert files(found, tmp_path) == {"02__02": "02__02.csv"} and unused == [tmp_path / "01.csv"]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "disk", "01/01.csv")
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "01").symlink_to(tmp_path / "disk" / "01", target_is_directory=True)
    (tmp_path / "disk" / "01" / "up").symlink_to(tmp_path / "truth", target_is_directory=True)
    found, _ = find_annotations(tmp_path / "truth", ["01__01"], {"01__01": "/x/01/01.tif"})
    assert files(found, tmp_path / "truth") == {"01__01": "01/01.csv"}


def test_slides_beside_or_below_their_annotations_are_none(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml", "slides/a.tif", "b.tif", "b_mask.tif")
    places = {"a": str(tmp_path / "slides" / "a.tif"), "b": str(tmp_path / "b.tif")}
    found, unused = find_annotations(tmp_path, ["a", "b"], places)
    assert files(found, tmp_path) == {"a": "a.xml", "b": "b_mask.tif"} and not unused


def test_accents_may_be_letters_or_signs_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, f"{DECOMPOSED}/{DECOMPOSED}.xml")
    composed = unicodedata.normalize("NFC", DECOMPOSED)
    found, _ = find_annotations(tmp_path, [composed], {composed: f"/x/{composed}/{composed}.svs"})
    assert found == {composed: tmp_path / DECOMPOSED / f"{DECOMPOSED}.xml"}


@pytest.mark.parametrize("drawn", ["a.geojson", "a.xml"])
def test_a_table_beside_what_is_drawn_is_none(tmp_path: Path, drawn: str) -> None:
    touch(tmp_path, drawn, "a.csv", "b.csv")
    found, unused = find_annotations(tmp_path, ["a", "b"])
    assert files(found, tmp_path) == {"a": drawn, "b": "b.csv"} and unused == [tmp_path / "a.csv"]
    found, unused = find_annotations(tmp_path, ["a", "b"], areas=True)
    assert files(found, tmp_path) == {"a": drawn} and not unused
