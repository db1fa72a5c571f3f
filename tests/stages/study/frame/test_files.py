"""Files by the organisers' names, wherever they lie, and tables with and without header."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import SettingsError, TableError
from histonic.stages.study.frame import files as frame_files
from histonic.stages.study.frame.files import (
    all_files,
    by_name,
    extra_files,
    gaps,
    headless_rows,
    table_with,
    the_file,
)


def test_hidden_files_and_loops_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x.tif").write_bytes(b"1")
    (tmp_path / "a" / "b" / "._x.tif").write_bytes(b"1")
    (tmp_path / "a" / "b" / "loop").symlink_to(tmp_path / "a")
    assert [path.name for path in all_files(tmp_path)] == ["x.tif"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="no file"):
        all_files(tmp_path / "empty")


def test_names_are_told_apart_without_their_case(tmp_path: Path) -> None:
    for name, content in (("T_001.TIF", b"1"), ("t_002.tif", b"2"), ("u_001.tif", b"3")):
        (tmp_path / name).write_bytes(content)
    files = all_files(tmp_path)
    found, findings = by_name(files, r"t_(\d{3})\.tiff?", "slide")
    assert sorted(found) == [("001",), ("002",)] and findings == []
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "t_001.tif").write_bytes(b"4")
    _, (finding,) = by_name(all_files(tmp_path), r"t_(\d{3})\.tiff?", "slide")
    assert finding.severity == "error" and "T_001.TIF" in finding.what
    assert the_file(files, r"none\.csv") == (None, [])
    assert "u_001.tif" in extra_files(files, list(found.values()), (".tif",))[0].what
    assert gaps([]) == []


def test_a_slide_and_a_link_to_it_are_told_without_reading_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(frame_files, "hash_of", read)
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "t_001.tif").write_bytes(b"1")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "t_001.tif").symlink_to("../training/t_001.tif")
    _, (finding,) = by_name(all_files(tmp_path), r"t_(\d{3})\.tif", "slide")
    assert finding.severity == "warning" and finding.what.endswith("t_001.tif, the same file.")


@pytest.mark.parametrize("place", ["nowhere", "start", "middle", "end"])
def test_large_files_are_compared_by_samples(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_files, "SAMPLE", 16)
    monkeypatch.setattr(frame_files, "READ_WHOLE", 1000)
    size = 1001
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "t_001.tif").open("wb") as file:
            file.truncate(size)
            if name == "b" and place != "nowhere":
                file.seek({"start": 15, "middle": size // 2, "end": size - 1}[place])
                file.write(b"1")
    _, (finding,) = by_name(all_files(tmp_path), r"t_(\d{3})\.tif", "slide")
    assert finding.severity == ("warning" if place == "nowhere" else "error")
    assert ("the same size and samples" in finding.what) == (place == "nowhere")


def test_rows_without_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeff1, x\n\n2,y\n".encode())
    assert headless_rows(path, ("n", "name")) == [(1, ["1", "x"]), (3, ["2", "y"])]
    path.write_text("1,2,3\n")
    with pytest.raises(TableError, match="Row 1 has 3 cells, not 2"):
        headless_rows(path, ("n", "name"))
    assert headless_rows(path, ("n", "name"), more=True) == [(1, ["1", "2"])]
    for text in ("", "\n\n"):
        path.write_text(text)
        with pytest.raises(TableError, match="empty"):
            headless_rows(path, ("n", "name"))


def test_columns_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ID,Grade\n1,2\n")
    assert table_with(path, ("id", "grade"))[1] == {"id": "ID", "grade": "Grade"}
    assert table_with(path, ("case",), {"case": "id"})[1] == {"case": "ID"}
    with pytest.raises(TableError, match="'site'"):
        table_with(path, ("site",))
