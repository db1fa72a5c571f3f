"""Slides from files, folders and tables."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from histonic.core.errors import SettingsError, TableError
from histonic.core.places.images import HeldSlide
from histonic.core.places.urls import Url
from histonic.data.tables.slide_lists import SlideRow, read_slide_list


def touch(folder: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def ids(rows: list[SlideRow]) -> list[str]:
    return [row.slide_id for row in rows]


def test_folder_is_searched_for_slides_only(tmp_path):
    touch(
        tmp_path,
        *(
            "b.svs",
            "a.NDPI",
            "deep/er/c.ome.tif",
            "d.mrxs",
            "d/Data0000.dat",
            "d/overview.tif",
            "e.vms",
            "e.jpg",
        ),
        *("notes.txt", "labels.csv", ".hidden.svs", "._b.svs", ".partial-z.svs", ".cache/y.svs", "~$f.tif"),
    )
    assert ids(read_slide_list([tmp_path])) == ["a", "b", "c", "d", "e"]


def test_explicit_files_need_no_known_extension(tmp_path):
    touch(tmp_path, "scan.qptiff")
    assert read_slide_list([tmp_path / "scan.qptiff"]) == [SlideRow("scan.qptiff", tmp_path / "scan.qptiff")]


def test_table_paths_start_at_its_folder_and_absent_files_are_listed(tmp_path):
    (tmp_path / "x").mkdir()
    absolute = tmp_path / "abs.svs"
    (tmp_path / "x" / "s.tsv").write_text(
        f"slide_id\tpath\tmpp\tmask\n0012\ty/a.svs\t0.5\tm/a.png\n\t{absolute}\tNA\t\n"
    )
    assert read_slide_list([tmp_path / "x" / "s.tsv"]) == [
        SlideRow("0012", tmp_path / "x" / "y" / "a.svs", 0.5, tmp_path / "x" / "m" / "a.png"),
        SlideRow("abs", absolute),
    ]


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("wsi,mpp", "a.svs,0.25", ("a", 0.25, None)),
        ("sample_id,image_path,mask_path,spacing_at_level_0", "S1,a.svs,a.png,0.25", ("S1", 0.25, "a.png")),
        ("PATH;MPP", "a.svs;0,25", None),
    ],
)
def test_tables_of_other_tools(tmp_path, header, cells, expected):
    (tmp_path / "s.csv").write_text(f"{header}\n{cells}\n")
    (row,) = read_slide_list([tmp_path / "s.csv"])
    name, mpp, mask = expected or ("a", 0.25, None)
    assert row == SlideRow(name, tmp_path / "a.svs", mpp, tmp_path / mask if mask else None)


def test_same_name_twice_is_refused_with_both_paths(tmp_path):
    touch(tmp_path, "x/a.svs", "y/a.tif")
    with pytest.raises(TableError) as caught:
        read_slide_list([tmp_path])
    assert str(tmp_path / "x" / "a.svs") in caught.value.found
    assert str(tmp_path / "y" / "a.tif") in caught.value.found


def test_equal_names_in_several_folders_are_told_apart_by_their_paths(tmp_path):
    touch(tmp_path, "viable/1.jpg", "necrotic/case 4/1.jpg", "2.jpg")
    with pytest.raises(TableError, match="--names path"):
        read_slide_list([tmp_path])
    rows = read_slide_list([tmp_path], names="path")
    assert ids(rows) == ["2", "necrotic__case 4__1", "viable__1"]
    assert [row.place for row in rows] == ["2.jpg", "necrotic/case 4/1.jpg", "viable/1.jpg"]
    # A table's paths begin at its folder; what it names itself keeps that name.
    (tmp_path / "s.csv").write_text(
        f"path,slide_id\nviable/1.jpg,\n{tmp_path / 'necrotic/case 4/1.jpg'},\n2.jpg,two\n"
    )
    assert ids(read_slide_list([tmp_path / "s.csv"], names="path")) == [
        "necrotic__case 4__1", "two", "viable__1",
    ]  # fmt: skip
    # Both together: the table's own name wins, and every file is listed once.
    assert ids(read_slide_list([tmp_path / "s.csv", tmp_path], names="path")) == [
        "necrotic__case 4__1", "two", "viable__1",
    ]  # fmt: skip


def test_paths_that_make_one_name_are_refused(tmp_path):
    touch(tmp_path, "a/b__1.svs", "a__b/1.svs")
    with pytest.raises(TableError, match="Two files have this name") as caught:
        read_slide_list([tmp_path], names="path")
    assert "--names" not in caught.value.todo


def test_a_name_that_a_table_gives_is_no_other_file_s(tmp_path):
    touch(tmp_path, "a.svs", "b.svs")
    (tmp_path / "s.csv").write_text("path,slide_id\na.svs,b\n")
    with pytest.raises(TableError, match="Two files have this name"):
        read_slide_list([tmp_path, tmp_path / "s.csv"])


def test_same_file_twice_is_one_slide_with_what_the_table_knows(tmp_path):
    touch(tmp_path, "a.svs")
    (tmp_path / "s.csv").write_text("path,slide_id,mpp\na.svs,S1,0.25\n")
    for order in ([tmp_path, tmp_path / "s.csv"], [tmp_path / "s.csv", tmp_path / "a.svs"]):
        (row,) = read_slide_list(order)
        assert row == SlideRow("S1", tmp_path / "a.svs", 0.25) and row.is_named


def dicom(series: str) -> bytes:
    uid = series.encode() + b"\0" * (len(series) % 2)
    return b"\0" * 128 + b"DICM" + b"\x20\x00\x0e\x00UI" + len(uid).to_bytes(2, "little") + uid


def test_dicom_files_of_one_series_are_one_slide(tmp_path):
    touch(tmp_path, "d/level1.dcm", "d/label.dcm", content=dicom("1.2.3"))
    touch(tmp_path, "d/level0.dcm", content=dicom("1.2.3") + b"pixels" * 10)
    touch(tmp_path, "d/other.dcm", content=dicom("1.2.34"))
    touch(tmp_path, "d/damaged.dcm", content=b"no tags")
    assert ids(read_slide_list([tmp_path])) == ["damaged", "level0", "other"]


def test_a_folder_of_one_dicom_series_gives_the_slide_its_name(tmp_path):
    touch(tmp_path, "case.1/a.dcm", "alone/1.dcm", "mixed/c.svs", content=dicom("1.2.3"))
    touch(tmp_path, "case.1/b.dcm", "mixed/d.dcm", "mixed/e.dcm", content=dicom("1.2.3") + b"pixels" * 10)
    assert ids(read_slide_list([tmp_path])) == ["1", "c", "case.1", "d"]
    assert read_slide_list([tmp_path / "case.1"]) == [SlideRow("case.1", tmp_path / "case.1" / "b.dcm")]
    # A file that is named keeps its own name; of both the folder's wins.
    assert ids(read_slide_list([tmp_path / "case.1" / "b.dcm"])) == ["b"]
    assert ids(read_slide_list([tmp_path / "case.1" / "b.dcm", tmp_path / "case.1"])) == ["case.1"]


def test_a_table_may_name_the_folder_of_a_dicom_series(tmp_path):
    touch(tmp_path, "case/a.dcm", content=dicom("1.2.3"))
    touch(tmp_path, "case/b.dcm", content=dicom("1.2.3") + b"pixels" * 10)
    (tmp_path / "s.csv").write_text("path\ncase\n")
    (row,) = read_slide_list([tmp_path / "s.csv"])
    assert (row.slide_id, row.path) == ("case", tmp_path / "case" / "b.dcm")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links on this system")
def test_linked_folders_are_walked_once(tmp_path):
    touch(tmp_path, "real/a.svs")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert ids(read_slide_list([tmp_path / "set"])) == ["a"]


def test_what_is_nothing_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="No slide is named"):
        read_slide_list([])
    with pytest.raises(SettingsError, match="no such file or folder"):
        read_slide_list([tmp_path / "absent.svs"])
    with pytest.raises(SettingsError, match="no file with a slide's extension"):
        read_slide_list([tmp_path])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("path,mpp\na.svs,fast\n", "Row 2, column 'mpp' is 'fast'"),
        ("path,mpp\na.svs,0.5\nb.svs,-1\n", "Row 3"),
        ("path,mpp\n,0.5\n", "Row 2 names no file"),
        ("name,mpp\na.svs,0.5\n", "no column path"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, word):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(TableError, match=word):
        read_slide_list([tmp_path / "s.csv"])


def test_real_slides_are_found(data_dir):
    assert set(ids(read_slide_list([data_dir / "slides"]))) >= {
        "CMU-1-Small-Region",
        "kidney-48-5",
        "small_wsi",
    }


def test_a_file_is_found_whatever_the_form_of_its_letters(tmp_path):
    on_disk, in_table = (unicodedata.normalize(form, "Müller.svs") for form in ("NFD", "NFC"))
    (tmp_path / on_disk).write_bytes(b"x")
    (tmp_path / "s.csv").write_text(f"path,mpp\n{in_table},0.252\nother.svs,0.25\n", encoding="utf-8")
    rows = read_slide_list([tmp_path / "s.csv"])
    assert {row.path.name: row.path.exists() for row in rows} == {on_disk: True, "other.svs": False}


@pytest.mark.parametrize(
    ("cell", "mpp"), [("0,252", 0.252), ("0.252", 0.252), ("1,012", 1.012), ("1.012", 1.012)]
)
def test_resolutions_have_no_thousands(tmp_path, cell, mpp):
    (tmp_path / "s.csv").write_text(f"path;mpp\na.svs;{cell}\n")
    assert read_slide_list([tmp_path / "s.csv"])[0].mpp == mpp


def test_rows_without_a_path_are_counted(tmp_path):
    (tmp_path / "s.csv").write_text("path,slide_id\na.svs,a\n" + ",b\n" * 5)
    with pytest.raises(TableError, match="5 of them: row 3: Row 3 names no file"):
        read_slide_list([tmp_path / "s.csv"])


def test_slides_in_a_sheet(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["Registry"])
    book.create_sheet("Scans").append(["path", "slide_id"])
    book["Scans"].append(["a.svs", "A"])
    book.save(tmp_path / "s.xlsx")
    assert ids(read_slide_list([tmp_path / "s.xlsx"], "Scans")) == ["A"]
    with pytest.raises(TableError, match="--sheet"):
        read_slide_list([tmp_path / "s.xlsx"])


def test_pictures_count_where_there_are_no_slides(tmp_path):
    touch(tmp_path, "fields/case 1/a.JPG", "fields/b.png", "fields/notes.txt", "fields/.hidden.png")
    rows = read_slide_list([tmp_path / "fields"])
    assert ids(rows) == ["a", "b"]
    # Beside slides they are labels, masks and previews.
    touch(tmp_path, "both/s.svs", "both/s_label.png", "both/thumbnails/s.jpg")
    assert ids(read_slide_list([tmp_path / "both"])) == ["s"]
    assert ids(read_slide_list([tmp_path / "both" / "s_label.png"])) == ["s_label"]


def test_urls_are_slides_wherever_a_path_may_stand(tmp_path):
    touch(tmp_path, "a.svs")
    (tmp_path / "s.csv").write_text(
        "path,slide_id,mpp\na.svs,,\nhttps://h.org/x/b%20c.ome.tif?sig=K/e.svs,,0.5\ns3://bucket/d.svs,D,\n"
    )
    rows = read_slide_list(["https://h.org/e.svs?sig=K", tmp_path / "s.csv"])
    assert ids(rows) == ["D", "a", "b c", "e"]
    assert [str(row.path) for row in rows][2:] == ["https://h.org/x/b%20c.ome.tif", "https://h.org/e.svs"]
    assert rows[2].path.reveal().endswith("?sig=K/e.svs") and rows[2].mpp == 0.5
    assert "sig" not in repr(rows)


def test_urls_of_one_name_are_told_without_their_queries(tmp_path):
    with pytest.raises(TableError, match="Two files have this name") as caught:
        read_slide_list([Url("https://h.org/get?id=KEY1"), Url("https://h.org/get?id=KEY2")])
    assert "KEY" not in str(caught.value)
    assert ids(read_slide_list(["https://h.org/get?id=1"] * 2)) == ["get"]


@pytest.mark.parametrize("url", ["https://h.org", "https://h.org/?K", "https://h.org/list.csv?K"])
def test_folders_and_tables_at_urls_are_refused(url):
    with pytest.raises(SettingsError, match=r"https://h\.org") as caught:
        read_slide_list([url])
    assert "?K" not in str(caught.value)


def test_all_files_of_a_dicom_series_named_one_by_one_are_one_slide(tmp_path):
    touch(tmp_path, "x/label.dcm", "x/a.dcm", content=dicom("1.2.3"))
    touch(tmp_path, "x/b.dcm", content=dicom("1.2.3") + b"pixels" * 10)
    touch(tmp_path, "y/c.dcm", content=dicom("1.2.3"))
    files = [tmp_path / name for name in ("x/a.dcm", "x/b.dcm", "x/label.dcm", "y/c.dcm")]
    assert read_slide_list(files) == [SlideRow("b", files[1]), SlideRow("c", files[3])]
    (tmp_path / "one.csv").write_text("path,slide_id,mpp\nx/a.dcm,S,0.5\nx/label.dcm,,\n")
    assert read_slide_list([tmp_path / "x", tmp_path / "one.csv"]) == [SlideRow("S", files[1], 0.5)]
    (tmp_path / "two.csv").write_text("path,slide_id\nx/a.dcm,S\nx/label.dcm,T\n")
    with pytest.raises(TableError, match="are one slide"):
        read_slide_list([tmp_path / "two.csv"])


def test_two_images_of_one_name_are_refused_and_the_same_one_is_listed_once() -> None:
    one, other = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 3), np.uint8)
    held = [HeldSlide(one, 0.5), HeldSlide(one.copy(), 0.5), HeldSlide(other, 0.5)]
    rows = read_slide_list(held)
    assert len(rows) == 2 and all(row.mpp == 0.5 and not row.is_named for row in rows)
    with pytest.raises(TableError, match="Two files have this name"):
        read_slide_list([HeldSlide(one, 0.5, "a"), HeldSlide(other, 0.5, "a")])
