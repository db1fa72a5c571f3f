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
    PARTIAL_PREFIX,
    SIGN,
    files_below,
    guard_cell,
    hash_of,
    new_folder,
    output_error,
    publish_folder,
    remove,
    replacing_file,
    replacing_folder,
    require_writable_folder,
    restore_cell,
    set_aside,
    write_csv,
    write_json,
    write_text,
)
from histonic.core.processes.owners import Owner


def fail_replace(monkeypatch, number: int) -> None:
    def replace(source, target):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", replace)


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


def abandoned(folder: Path, name: str) -> Path:
    """What a process left that has ended, and whose number another process was given since."""
    mine = Owner.this()
    gone = Owner(mine.host, mine.pid, mine.started + 1)
    return folder / f"{PARTIAL_PREFIX}{gone.token()}-{name}"


def test_what_killed_writers_left_is_removed_and_does_not_leak_into_the_result(tmp_path):
    stale = abandoned(tmp_path, "map")
    stale.mkdir()
    (stale / "stale.txt").write_text("stale")
    abandoned(tmp_path, "b.txt").write_text("half")
    with replacing_folder(tmp_path / "map") as partial:
        (partial / "a.txt").write_text("a")
    assert os.listdir(tmp_path / "map") == ["a.txt"]
    assert os.listdir(tmp_path) == ["map"]


def test_what_living_writers_and_other_hosts_have_in_hand_stays(tmp_path):
    mine = tmp_path / f"{PARTIAL_PREFIX}{Owner.this().token()}-a.txt"
    theirs = tmp_path / f"{PARTIAL_PREFIX}{Owner('0' * 8, 1, 1).token()}-a.txt"
    old = tmp_path / f"{PARTIAL_PREFIX}{Owner('0' * 8, 1, 1).token()}-b.txt"
    sign = tmp_path / f"{PARTIAL_PREFIX}{Owner('0' * 8, 1, 1).token()}{SIGN}"
    for path in (mine, theirs, old, sign):
        path.write_text("half")
    for path in (old, sign):
        os.utime(path, (0, 0))
    write_text(tmp_path / "a.txt", "whole")
    assert sorted(os.listdir(tmp_path)) == sorted([mine.name, theirs.name, sign.name, "a.txt"])


def test_two_writers_of_one_file_never_meet(tmp_path):
    target = tmp_path / "a.txt"
    with replacing_file(target) as one, replacing_file(target) as two:
        one.write_text("first")
        two.write_text("second, longer")
    assert target.read_text() == "first", "the inner one is renamed first, the outer one last"


def test_a_folder_is_published_once(tmp_path):
    final = tmp_path / "map"
    with new_folder(final) as one, new_folder(final) as two:
        (one / "1").write_text("1")
        (two / "2").write_text("2")
        assert publish_folder(one, final)
        assert not publish_folder(two, final)
    assert os.listdir(final) == ["1"]
    set_aside(final)
    set_aside(final)
    assert os.listdir(tmp_path) == []


def test_names_of_255_bytes_can_be_written(tmp_path):
    name = "ü" * 125 + ".text"
    write_text(tmp_path / name, "x")
    assert os.listdir(tmp_path) == [name]


def test_a_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # the first example of FIPS 180-2
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_of(tmp_path / "a") == wanted


def test_removing_a_link_spares_what_it_leads_to(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    remove(tmp_path / "link")
    assert os.listdir(tmp_path) == ["data"] and os.listdir(tmp_path / "data") == ["a"]


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


def test_files_below_links_and_circles(tmp_path: Path) -> None:
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "disk" / "deep" / "a.txt").write_text("a")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "one").symlink_to(tmp_path / "disk")
    (tmp_path / "root" / "two").symlink_to(tmp_path / "disk" / "deep")
    (tmp_path / "root" / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "disk" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "disk" / "deep" / "self").symlink_to(tmp_path / "disk" / "deep")
    found = [path.relative_to(tmp_path / "root").as_posix() for path in files_below(tmp_path / "root")]
    assert found == ["gone.txt", "one/deep/a.txt", "two/a.txt"]
