"""The files of one DICOM series are found by their first bytes, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.slides.sources.series import chief_file, dicom_series, is_dicom, series_files, series_in


def write(path: Path, series: bytes, body: bytes = b"", kind: bytes = b"UI") -> Path:
    uid = series + b"\0" * (len(series) % 2)
    length = len(uid).to_bytes(2, "little") + (b"" if kind else b"\0\0")
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\x20\0\x0e\0" + kind + length + uid + b"\x28\0" + body)
    return path


@pytest.mark.parametrize("kind", [b"UI", b""])
@pytest.mark.parametrize("series", [b"1.2.3", b"1.22"])
def test_the_series_is_read_with_and_without_kinds_of_values(
    tmp_path: Path, series: bytes, kind: bytes
) -> None:
    path = write(tmp_path / "a.dcm", series, b"pixels", kind)
    assert is_dicom(path) and dicom_series(path) == series


def test_other_files_have_no_series(tmp_path: Path) -> None:
    other = tmp_path / "a.txt"
    other.write_text("no")
    assert not is_dicom(other) and dicom_series(other) is None and series_files(other) == [other]
    assert not is_dicom(tmp_path / "absent") and dicom_series(tmp_path / "absent.dcm") is None


def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", b"1.2.3")
    assert dicom_series(path) == b"1.2.3"
    write(path, b"1.2.44", b"longer")
    assert dicom_series(path) == b"1.2.44"


def test_files_of_one_series(tmp_path: Path) -> None:
    first, second = write(tmp_path / "b.dcm", b"1.2.3"), write(tmp_path / "a.dcm", b"1.2.3", b"large")
    other, hidden = write(tmp_path / "c.dcm", b"1.2.4"), write(tmp_path / ".d.dcm", b"1.2.3")
    bare, more = write(tmp_path / "1.9.1", b"1.2.3"), write(tmp_path / "1.9.2", b"1.2.3")
    (tmp_path / "notes").write_text("no slide")
    assert series_files(first) == [second, first] and series_files(other) == [other]
    assert series_files(bare) == [bare, more]
    assert series_in(tmp_path) == {b"1.2.3": [bare, more, second, first], b"1.2.4": [other]}
    assert chief_file([first, second, bare]) == second and hidden not in series_files(first)
    assert series_in(tmp_path / "absent") == {}
