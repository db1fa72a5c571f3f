"""What a step takes away before it is done anew: nothing that the study did not make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from histonic.core.errors import RunError
from histonic.core.files import hash_of
from histonic.core.progress import Silent
from histonic.data.tables.slide_lists import SlideRow
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.study.examining import ToExamine, look_for_doctor
from histonic.stages.study.steps import running
from histonic.stages.study.steps.maps import MapsFound
from histonic.stages.study.steps.records import MadeOf, StepRecord, keep_record
from histonic.stages.study.steps.running import (
    EARLIER,
    VERBS,
    StepState,
    drop_explanations,
    drop_report,
    look_at,
    run_step,
)
from histonic.stages.study.steps.step import Step, Verb

MADE_OF = MadeOf({}, {})


def settings_of(verb: Verb, folder: Path) -> dict[str, Any]:
    tables = {"labels": folder / "labels.csv", "store": folder / "store"}
    return {
        "train": {**tables, "target": ["score:regression"], "out": folder / "run"},
        "audit": {**tables, "target": ["score:regression"], "out": folder / "audit"},
        "external": {**tables, "run": folder / "run", "name": "ulm"},
    }[verb]


def begin(monkeypatch: pytest.MonkeyPatch, folder: Path, verb: Verb, record: StepRecord | None) -> None:
    """Run a step as far as to its verb, which ends it."""

    def stop(*_: Any, **__: Any) -> None:
        raise RunError("Go on.", "It ends here.", "Stop.")

    model = VERBS[verb][0]
    monkeypatch.setitem(running.VERBS, verb, (model, stop))  # type: ignore[arg-type]
    step = Step("", verb, settings_of(verb, folder))
    state = StepState(step, model(**step.settings), "to do", (), record, MADE_OF)
    with pytest.raises(RunError, match="ends here"):
        run_step(folder, step, Silent(), state)


@pytest.mark.parametrize(
    ("verb", "place", "earlier"),
    [("train", "run", "run-1"), ("audit", "audit", "audit-1"), ("external", "run/external/ulm", "ulm-1")],
)
def test_a_folder_of_which_there_is_no_record_is_moved_and_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb, place: str, earlier: str
) -> None:
    mine = tmp_path / place / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("of years")
    begin(monkeypatch, tmp_path, verb, None)
    assert not mine.exists()
    assert (tmp_path / EARLIER / earlier / "mine.txt").read_text() == "of years"
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("half of a step")
    begin(monkeypatch, tmp_path, verb, StepRecord.begun(MADE_OF))
    assert not mine.exists() and len(list((tmp_path / EARLIER).iterdir())) == 1


def test_explanations_of_the_single_command_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summed: list[Path] = []
    monkeypatch.setattr(running, "write_summary", summed.append)
    explain = tmp_path / "run/explain"
    made = [explain / "occlusion/score/a", explain / "hires-cam/score/a"]
    mine = explain / "occlusion/score/b"
    for place in (*made, mine):
        place.mkdir(parents=True)
        (place / "explanation.json").write_text("{}")
    outputs = {(place / "explanation.json").relative_to(tmp_path).as_posix(): "" for place in made}
    drop_explanations(tmp_path, StepRecord.begun(MADE_OF).model_copy(update={"outputs": outputs}))
    assert [path.parent for path in explain.rglob("explanation.json")] == [mine]
    assert summed == [explain / "occlusion"] and not (explain / "hires-cam").exists()


def test_slides_are_examined_again_for_another_resolution(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_id,slide_id,score\nP1,s1,2.0\n")
    row = SlideRow("s1", tmp_path / "s1.svs")
    compress = CompressSettings(slides=(str(row.path),), encoder="colour", out=tmp_path / "store")
    maps = MapsFound(compress, (row,), waiting=(row,))
    values: dict[str, Any] = {
        "slides": [str(row.path)],
        "labels": str(labels),
        "target": ["score:regression"],
    }

    def looked(**more: Any) -> ToExamine:
        return look_for_doctor(tmp_path, Step("", "doctor", {**values, **more}), maps)

    record = StepRecord.begun(looked().made_of).model_copy(update={"is_finished": True})
    keep_record(tmp_path, "doctor", record)
    assert looked().is_done and looked(target=["score:ordinal"]).slides == ()
    assert looked(mpp=0.25).slides == (row,)


def test_all_that_a_report_wrote_goes_with_it_but_not_what_was_filled_in(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    names = ["report.html", "report.pdf", "report-cases-2.html", "checklist-claim.md", "checklist-claim.csv"]
    for name in (*names, "checklist-mine.md"):
        (run / name).write_text(name)
    outputs = {f"run/{name}": hash_of(run / name) for name in names}
    keep_record(tmp_path, "report", StepRecord.begun(MADE_OF).model_copy(update={"outputs": outputs}))
    (run / "checklist-claim.md").write_text("by the authors")
    drop_report(tmp_path, run)
    assert [path.name for path in run.iterdir()] == ["checklist-mine.md"]
    assert (tmp_path / EARLIER / "checklist-claim-1.md").read_text() == "by the authors"


def test_a_setting_that_came_later_redoes_a_step_only_where_it_is_used(tmp_path: Path) -> None:
    for name in ("bundle.json", "slides.csv"):
        (tmp_path / name).write_text("{}")
    given = {"bundle": tmp_path, "slides": [tmp_path / "slides.csv"], "out": tmp_path / "out.csv"}
    step = Step("", "predict", given)
    made_of = look_at(tmp_path, step).made_of
    assert made_of is not None and made_of.settings["columns"] == {}
    before = {key: value for key, value in made_of.settings.items() if key != "columns"}
    record = StepRecord.begun(MadeOf(before, made_of.inputs)).model_copy(update={"is_finished": True})
    keep_record(tmp_path, step.name, record)
    assert look_at(tmp_path, step).kind == "done"
    other = look_at(tmp_path, Step("", "predict", {**given, "columns": {"patient_id": "Fall"}}))
    assert other.kind == "to do" and other.reasons == ("columns was {}, is {'patient_id': 'Fall'}",)
