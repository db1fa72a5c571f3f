"""Writing is all or nothing, and a failure is an OutputError that leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.core.errors import OutputError
from histonic.core.files import (
    guard_cell,
    output_error,
    replacing_file,
    replacing_folder,
    require_writable_folder,
    restore_cell,
    write_csv,
    write_json,
    write_text,
)


def fail_replace(monkeypatch, number: int) -> None:
    def replace(source, target):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", replace)


def test_file_appears_whole_and_replaces_the_old(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    write_text(target, "old")
    with replacing_file(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == ["a.txt"]


def test_failing_writer_keeps_the_old_file_and_leaves_nothing(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(ValueError, match="half way"), replacing_file(target) as partial:
        partial.write_text("half")
        raise ValueError("half way")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "Free some disk space"), (errno.EROFS, "read-only"), (errno.EIO, "Check")],
)
def test_failed_rename_is_an_output_error(tmp_path, monkeypatch, number, advice):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    fail_replace(monkeypatch, number)
    with pytest.raises(OutputError, match=advice) as caught:
        write_text(target, "new")
    assert str(target) in caught.value.asked
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_folder_appears_whole_and_replaces_the_old(tmp_path):
    target = tmp_path / "map"
    for text in ("old", "new"):
        with replacing_folder(target) as partial:
            (partial / f"{text}.txt").write_text(text)
    assert os.listdir(target) == ["new.txt"]
    assert os.listdir(tmp_path) == ["map"]


def test_failing_folder_writer_keeps_the_old_folder(tmp_path):
    target = tmp_path / "map"
    with replacing_folder(target) as partial:
        (partial / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), replacing_folder(target) as partial:
        (partial / "half.txt").write_text("half")
        raise RuntimeError
    assert os.listdir(target) == ["old.txt"]
    assert os.listdir(tmp_path) == ["map"]


def test_failed_folder_rename_leaves_no_partial(tmp_path, monkeypatch):
    fail_replace(monkeypatch, errno.ENOSPC)
    with pytest.raises(OutputError, match="disk space"), replacing_folder(tmp_path / "map") as partial:
        (partial / "a.txt").write_text("a")
    assert os.listdir(tmp_path) == []


def test_stale_partial_of_a_killed_run_does_not_leak_into_the_result(tmp_path):
    stale = tmp_path / ".partial-map"
    stale.mkdir()
    (stale / "stale.txt").write_text("stale")
    with replacing_folder(tmp_path / "map") as partial:
        (partial / "a.txt").write_text("a")
    assert os.listdir(tmp_path / "map") == ["a.txt"]


def test_a_file_in_the_way_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="choose another folder"):
        write_text(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(OutputError, match="choose another folder"):
        require_writable_folder(tmp_path / "file" / "out")
    with pytest.raises(OutputError), replacing_folder(tmp_path / "file" / "map"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full stands for a full disk; absent here")
def test_full_disk_is_an_output_error(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(OutputError, match="disk space"), replacing_file(target) as partial:
        partial.symlink_to("/dev/full")
        partial.write_bytes(b"x" * 100_000)
    assert os.listdir(tmp_path) == []


def test_read_only_folder_is_refused_before_any_compute(tmp_path, monkeypatch):
    def write_bytes(self, data):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OutputError, match="You may not write there"):
        require_writable_folder(tmp_path / "out")


def test_writable_folder_is_made_and_left_empty(tmp_path):
    assert require_writable_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert os.listdir(tmp_path / "a" / "b") == []


def test_json_is_sorted_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, "ü"]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"')
    assert "ü" in text
    assert json.loads(text) == {"a": [1.5, "ü"], "b": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", {"a": float("nan")})
    assert sorted(os.listdir(tmp_path)) == ["a.json"]


def test_output_error_names_path_and_number():
    error = output_error(Path("x/y"), OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert error.asked == "Write x/y."
    assert str(errno.EDQUOT) in error.found
    assert "quota" in error.todo


@given(st.text(st.sampled_from("'=+-@\t\r1ae.\n"), max_size=5))
def test_guarded_text_is_restored_and_no_formula(text: str) -> None:
    guarded = guard_cell(text)
    assert restore_cell(guarded) == text
    assert guarded[:1] not in tuple("=+-@\t\r") or float(guarded) is not None


@pytest.mark.parametrize("value", ["-1.5", "+3", "-1e-05", "-inf", -2.5, 3, None, "P-1", "a=b", ""])
def test_numbers_and_other_texts_are_written_as_they_are(value: object) -> None:
    assert guard_cell(value) is value


def test_csv_holds_no_formula(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["@id", "n"], [{"@id": "=1+1", "n": -0.5}, {"@id": "-", "n": None}])
    assert (tmp_path / "a.csv").read_text() == "'@id,n\n'=1+1,-0.5\n'-,\n"
