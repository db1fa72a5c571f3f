"""Points in CSVs: the order of columns, headers, what is no point, and rows taken for columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import MaskError
from histonic.data.annotations.points import is_without_class, read_points, require_inside
from histonic.data.annotations.shapes import Point


def points(tmp_path: Path, text: str, order: str | None = None) -> list[tuple[str, float, float]]:
    file = tmp_path / "01.csv"
    file.write_text(text, encoding="utf-8")
    found = read_points(file, "Read 01.csv.", order)  # type: ignore[arg-type]
    return [(point.label, point.xy.x, point.xy.y) for point in found.points]


def test_the_order_of_a_file_without_header_is_what_the_user_says(tmp_path: Path) -> None:
    text = "1208,345\n17,1999\n"
    assert points(tmp_path, text, "row,column") == [
        ("unclassified", 345.0, 1208.0),
        ("unclassified", 1999.0, 17.0),
    ]
    assert points(tmp_path, text, "x,y")[0] == ("unclassified", 1208.0, 345.0)
    with pytest.raises(
        MaskError, match=r"(?s)no header \(its first row is 1208, 345\).*--points-order row,column"
    ):
        points(tmp_path, text)


@pytest.mark.parametrize(
    "header", ["x,y,class", "y,x,class", "Column,Row,Label", "row,col,category", "coord_y,coord_x,class"]
)
@pytest.mark.parametrize("order", [None, "row,column", "x,y"])
def test_a_header_says_it_whatever_the_order(tmp_path: Path, header: str, order: str | None) -> None:
    first_is_x = header.lower().startswith(("x", "col"))
    text = f"{header}\n{'3,8' if first_is_x else '8,3'},MF\n"
    assert points(tmp_path, text, order) == [("MF", 3.0, 8.0)]


def test_a_confidence_and_empty_files(tmp_path: Path) -> None:
    assert points(tmp_path, "8,3,0.9\n", "row,column") == [("unclassified", 3.0, 8.0)]
    assert points(tmp_path, "") == [] and points(tmp_path, "x,y\n") == []
    assert points(tmp_path, "8\t3.5\n", "row,column") == [("unclassified", 3.5, 8.0)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,2,3,4\n", "4 columns"),  # a region of interest: x, y, width, height
        ("7,8\n1,\n", "Row 2 is 1, , which is no point"),
        ("7,8\n-1,4\n", "Row 2 is -1, 4"),
        ("Centroid X µm,Centroid Y µm\n1,2\n", "does not name both coordinates"),
        ("x,y,column\n1,2,3\n", "names several columns"),
        ("x,y\n1,nan\n", "Row 2"),
    ],
)
def test_what_is_no_list_of_points(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(MaskError) as caught:
        points(tmp_path, text, "row,column")
    assert found in str(caught.value)


def test_bytes_that_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04zip")
    with pytest.raises(MaskError, match="Excel"):
        read_points(tmp_path / "a.csv", "Read it.", "x,y")


def test_whether_a_class_is_said(tmp_path: Path) -> None:
    for text, bare in (("1,2\n", True), ("x,y\n1,2\n", True), ("x,y,class\n1,2,MF\n", False), ("", False)):
        (tmp_path / "a.csv").write_text(text, encoding="utf-8")
        assert is_without_class(tmp_path / "a.csv", "Read it.") is bare


def test_points_beside_the_image_betray_an_exchange(tmp_path: Path) -> None:
    found = read_points_of(tmp_path, "100,450\n20,30\n")
    require_inside(found, (500, 200), "Use it.")
    with pytest.raises(MaskError, match=r"(?s)1 of 2 point\(s\) lie beside.*With row and column exchanged"):
        require_inside(found, (200, 500), "Use it.")
    with pytest.raises(MaskError, match="Is it the file of another image"):
        require_inside(found, (200, 200), "Use it.")


def read_points_of(folder: Path, text: str) -> tuple[Point, ...]:
    (folder / "a.csv").write_text(text, encoding="utf-8")
    return read_points(folder / "a.csv", "Read it.", "row,column").points
