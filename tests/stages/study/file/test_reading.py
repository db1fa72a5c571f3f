"""The file of a study is read part by part; what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import SettingsError
from histonic.stages.study.file.lines import line_of
from histonic.stages.study.file.reading import read_study

GOOD = """\
# a study
out: results
compress:
  slides: [slides]
  encoder: colour
  tissue: {mpp: 4}
train:
  labels: labels.csv
  target:
  - msi
  folds: 3
audit:
explain: no
report:
  resamples: 500
external:
- name: Utrecht
  compress: {slides: [slides]}
  labels: labels.csv
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slides").mkdir()
    (tmp_path / "labels.csv").write_text("patient_id,msi\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    file = folder / "study.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_parts_are_read_and_paths_start_at_the_file(folder: Path) -> None:
    study = read_study(write(folder, GOOD))
    assert study.out == folder / "results"
    assert study.compress["slides"] == [str(folder / "slides")] and study.compress["tissue"] == {"mpp": 4}
    assert study.train["labels"] == str(folder / "labels.csv") and study.train["folds"] == 3
    # A part without anything below it has its defaults; 'no' leaves it out.
    assert study.audit == {} and study.explain is None and study.report == {"resamples": 500}
    (other,) = study.externals
    assert other.name == "Utrecht" and other.compress == {"slides": [str(folder / "slides")]}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("encoder: colour", "encodr: colour", 5, "Did you mean 'encoder'?"),
        ("train:", "trian:", 7, "Did you mean 'train'?"),
        ("{mpp: 4}", "{mp: 4}", 6, "Did you mean 'mpp'?"),
        ("folds: 3", "folds: two", 11, "train.folds is 'two'"),
        ("folds: 3", "folds: 1", 11, "train.folds is 1"),
        ("slides: [slides]", "slides: [slides, gone]", 4, "compress.slides.2"),
        ("labels.csv\n  target", "none.csv\n  target", 8, "there is no file or folder"),
        ("encoder: colour", "out: elsewhere", 5, "compress.out is not to be said here"),
        ("  resamples: 500", "  store: store", 15, "report.store is not to be said here"),
        ("- msi", "# - msi", 9, "train.target says nothing"),
        ("audit:", "audit: {target: [msi]}", 12, "audit.target is not to be said here"),
        ("audit:", "audit: {permutations: 1}", 12, "audit.permutations is 1"),
        ("- name: Utrecht", "- name: a/b", 17, "external.1.name"),
        ("  compress: {slides: [slides]}\n  l", "  l", 17, "does not name the slides"),
        ("explain: no", "explain: {methods: occlusion}", 13, "Did you mean 'method'?"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    old: str, new: str, line: int, words: str, folder: Path
) -> None:
    assert old in GOOD
    file = write(folder, GOOD.replace(old, new, 1))
    with pytest.raises(SettingsError) as caught:
        read_study(file)
    assert caught.value.asked == f"Read {file}, line {line}."
    assert words in f"{caught.value.found} {caught.value.todo}"


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "out: x\n", "compress: 3\ntrain: {}\n", "folds: 3\n"])
def test_what_is_no_study_is_refused(text: str, folder: Path) -> None:
    with pytest.raises(SettingsError):
        read_study(write(folder, text))


def test_two_cohorts_of_one_name_are_refused(folder: Path) -> None:
    twice = GOOD + "- name: Utrecht\n  compress: {slides: [slides]}\n  labels: labels.csv\n"
    with pytest.raises(SettingsError, match="line 20") as caught:
        read_study(write(folder, twice))
    assert "Two cohorts are called 'Utrecht'" in caught.value.found


def test_lines_count_from_one(folder: Path) -> None:
    file = write(folder, GOOD)
    assert line_of(file, ["compress", "slides"]) == 4 and line_of(file, ["external", 0, "labels"]) == 19


def test_cohorts_whose_records_would_be_one_file_are_refused(folder: Path) -> None:
    second = GOOD[GOOD.index("- name") :].replace("Utrecht", "Ulm-A")
    with pytest.raises(SettingsError, match=r"'Ulm A' and 'Ulm-A'"):
        read_study(write(folder, GOOD.replace("Utrecht", "Ulm A") + second))


def test_a_picture_of_stains_lies_beside_the_file(folder: Path) -> None:
    for reference, read in (("he.png", str(folder / "he.png")), ("histonic-he", "histonic-he")):
        stain = f"  stain: {{method: macenko, reference: {reference}}}\n"
        study = read_study(write(folder, GOOD.replace("  encoder: colour\n", f"  encoder: colour\n{stain}")))
        assert study.compress["stain"]["reference"] == read
