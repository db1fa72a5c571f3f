"""What is remembered of a step tells what has changed since."""

from __future__ import annotations

from pathlib import Path

from histonic.core.files import hash_of
from histonic.stages.study.steps.records import (
    MadeOf,
    StepRecord,
    keep_record,
    read_record,
    reason_words,
    record_path,
)
from histonic.stages.study.steps.step import Step

MADE_OF = MadeOf({"folds": 4, "target": ["msi"]}, {"maps": "0a", "labels": "1b"})


def test_a_record_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    assert read_record(tmp_path, "train") is None
    keep_record(tmp_path, "train", StepRecord.begun(MADE_OF))
    found = read_record(tmp_path, "train")
    assert found is not None and not found.is_finished and found.changes(MADE_OF) == []


def test_changes_are_named() -> None:
    before = StepRecord.begun(MADE_OF)
    assert before.changes(MadeOf({**MADE_OF.settings, "folds": 5}, MADE_OF.inputs)) == ["folds was 4, is 5"]
    assert before.changes(MadeOf(MADE_OF.settings, {"maps": "0a", "labels": "2c"})) == ["labels changed"]
    # What came or went is a change, too.
    assert before.changes(MadeOf({"folds": 4}, MADE_OF.inputs)) == ["target was ['msi'], is not set"]
    more = MadeOf(MADE_OF.settings, {**MADE_OF.inputs, "explanations": "3d"})
    assert before.changes(more) == ["explanations changed"]
    assert reason_words(["a", "b"]) == "a, b"


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    keep_record(tmp_path, "train", StepRecord.begun(MADE_OF))
    record_path(tmp_path, "train").write_text("{")
    assert read_record(tmp_path, "train") is None


def test_files_are_held_against_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n")
    (tmp_path / "b.csv").write_text("2\n")
    outputs = {"a.csv": hash_of(tmp_path / "a.csv"), "b.csv": ""}
    record = StepRecord.begun(MADE_OF).model_copy(update={"outputs": outputs})
    assert record.damaged(tmp_path) == []
    (tmp_path / "a.csv").write_text("3\n")
    (tmp_path / "b.csv").write_text("4\n")  # may be written anew by others
    assert record.damaged(tmp_path) == ["a.csv is not what was written"]
    (tmp_path / "b.csv").unlink()
    assert "b.csv is gone" in record.damaged(tmp_path)


def test_a_step_names_its_files(tmp_path: Path) -> None:
    step = Step("other/one", "compress", {})
    assert step.name == "compress-other-one" and Step("", "train", {}).name == "train"
    assert step.file(tmp_path, 2) == tmp_path / "settings" / "2-compress-other-one.yaml"
    assert step.command(tmp_path, 2).startswith("histonic compress --config ")
