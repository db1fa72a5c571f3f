"""A study in one file: done once, gone on with after a kill, and redone where something has changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
import yaml
from PIL import Image

from fixtures.command_line import typed
from histonic.core.claims import sole_owner
from histonic.core.errors import SettingsError, TableError
from histonic.core.files import hash_of
from histonic.core.progress import Silent
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.store import Store, map_folder
from histonic.simulate.render import render_tissue
from histonic.simulate.slides import Latents
from histonic.simulate.stains import SITE_STAINS, Stain
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.report import content, report
from histonic.stages.report.document.sections import ExplanationsSection
from histonic.stages.report.maps import METHOD
from histonic.stages.study import examining, planning, run
from histonic.stages.study.examining import FILE, examine_study, look_for_doctor
from histonic.stages.study.file.commands import steps_of
from histonic.stages.study.file.reading import Study, read_study
from histonic.stages.study.file.settings import RunStudySettings
from histonic.stages.study.planning import plan_study
from histonic.stages.study.run import _drop_unasked, run_study
from histonic.stages.study.steps.inputs import table_hash
from histonic.stages.study.steps.maps import find_maps, keep_aside
from histonic.stages.study.steps.records import StepRecord, keep_record, read_record
from histonic.stages.study.steps.running import EARLIER, StepState, forget, look_at
from histonic.stages.study.steps.step import Step

PATIENTS = 10
NO_EXPLANATIONS = ExplanationsSection(problem="not looked at here", method=METHOD, targets={})
FEW = {"initialisations": 1, "max_epochs": 1, "test_crops": 1}
SMALL: dict[str, Any] = {
    "out": "study",
    "compress": {"slides": ["slides"], "encoder": "colour"},
    "train": {"labels": "labels.xlsx", "target": ["score:regression"], "folds": 3, **FEW},
    "audit": {"permutations": 200},
    "explain": False,
    "report": {"resamples": 100},
}


def write_slide(path: Path, shade: float, side: int = 420) -> None:
    rng = np.random.default_rng(int(shade * 1000))
    image = np.full((side, side, 3), 244, np.uint8)
    inside = image[40:-40, 40:-40]
    inside[...] = np.clip(np.array([205, 130, 180]) - 80 * shade + rng.normal(0, 14, inside.shape), 0, 255)
    write_pyramid(path, image, mpp=0.5)


def write_labels(path: Path, scores: dict[str, float], remark: str = "") -> None:
    """As people keep it: a workbook with a column that says nothing."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["patient_id", "slide_id", "score", "group", "remarks"])
    for number, (name, score) in enumerate(scores.items()):
        sheet.append([name, f"s-{name}", score, "ab"[number % 2], remark])
    book.save(path)


def write_study(folder: Path, study: dict[str, Any]) -> Path:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


def changed(study: dict[str, Any], part: str, **values: Any) -> dict[str, Any]:
    return {**study, part: {**study[part], **values}}


def scores(count: int = PATIENTS) -> dict[str, float]:
    return {f"P{number:02d}": 10.0 + 7 * number for number in range(count)}


def prepare(folder: Path) -> Path:
    (folder / "slides").mkdir(parents=True)
    for number, name in enumerate(scores()):
        write_slide(folder / "slides" / f"s-{name}.tif", number / PATIENTS)
    write_labels(folder / "labels.xlsx", scores())
    return write_study(folder, SMALL)


def leave_out_pictures(patch: pytest.MonkeyPatch) -> None:
    """Of the report: they have their own tests, and take longer than all else here."""
    patch.setattr(content, "report_explanations", lambda *_: NO_EXPLANATIONS)
    patch.setattr(report, "target_pictures", lambda *_: [])
    for name in ("forest_picture", "training_picture"):
        patch.setattr(report, name, lambda *_: None)
    patch.setattr(report, "audit_pictures", lambda *_: [])
    patch.setattr(report, "draw_ordered", lambda *_: None)


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_pictures(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is done; each test leaves it done, by whatever settings."""
    place = tmp_path_factory.mktemp("whole")
    file = prepare(place)
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pictures(patch)
        shown = typed("run", str(file), cwd=place)
    assert shown.code == 0, shown.err
    # What will be done is said before it is begun.
    assert (
        shown.err.index("10 slides have no map")
        < shown.err.index("time: about")
        < shown.err.index("step 1 of 5")
    )
    assert (
        "score: Spearman correlation" in shown.out
        and f"Report: {place / 'study/run/report.html'}" in shown.out
    )
    return place


def times(place: Path, pattern: str) -> dict[str, int]:
    """When files were written, and by which content they are told apart."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(place.glob(pattern)) if path.is_file()}


def stands(file: Path) -> dict[str, str]:
    return {each.name: each.stand for each in run_study(study=file, dry_run=True).plan.steps}


DONE = {name: "done" for name in ("doctor", "compress", "audit", "train", "report")}


def test_a_study_that_is_done_is_left_as_it_is(folder: Path) -> None:
    file = folder / "study.yaml"
    before = times(folder, "study/**/*")
    assert stands(file) == DONE
    result = run_study(study=file)
    assert result.plan.is_done and result.report == folder / "study/run/report.html"
    assert times(folder, "study/**/*") == before
    assert "nothing is to do" in typed("run", "study.yaml", "--dry-run", cwd=folder).out
    assert (folder / "study" / FILE).is_file()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    file = prepare(tmp_path)
    shown = typed("run", str(file), "--dry-run", cwd=tmp_path)
    assert shown.code == 0 and "10 slides have no map" in shown.out and "measured on 3" in shown.out
    why = {line.split()[2]: line for line in shown.out.splitlines() if line.startswith("to do")}
    assert "after compress" in why["train"] and "after train" in why["report"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.xlsx", "slides", "study.yaml"]


def test_a_changed_option_of_the_report_redoes_the_report(folder: Path) -> None:
    before = times(folder, "study/store/**/*") | times(folder, "study/run/bundle/*")
    page = hash_of(folder / "study/run/report.json")
    file = write_study(folder, changed(SMALL, "report", resamples=120))
    plan = run_study(study=file, dry_run=True).plan
    assert {each.name: each.stand for each in plan.steps} == {**DONE, "report": "to do"}
    assert "resamples was 100, is 120; about" in plan.steps[-1].line()
    run_study(study=file)
    assert hash_of(folder / "study/run/report.json") != page and stands(file) == DONE
    assert before == times(folder, "study/store/**/*") | times(folder, "study/run/bundle/*")


def test_corrected_ages_and_figures_for_a_paper_redo_the_report(folder: Path) -> None:
    file = write_study(folder, SMALL)
    run_study(study=file)
    assert stands(file) == DONE
    write_labels(folder / "labels.xlsx", scores(), remark="a column of which the report reads age and sex")
    found = stands(file)
    assert (found["train"], found["report"]) == ("done", "to do")
    file = write_study(folder, changed(SMALL, "report", figures="figs", checklist=["claim"]))
    run_study(study=file)
    assert (folder / "figs/figures.csv").is_file() and stands(file) == DONE
    (folder / "study/run/checklist-claim.csv").unlink()
    assert stands(file) == {**DONE, "report": "to do"}
    run_study(study=file)
    assert stands(file) == DONE


def test_a_changed_target_trains_again_and_compresses_nothing(folder: Path) -> None:
    before = times(folder, "study/store/**/*")
    file = write_study(folder, changed(SMALL, "train", target=["other:regression:score"]))
    assert stands(file) == {
        "doctor": "to do",
        "compress": "done",
        "audit": "to do",
        "train": "to do",
        "report": "to do",
    }
    run_study(study=file)
    assert times(folder, "study/store/**/*") == before and stands(file) == DONE
    # Nothing of the run of before lies in the new one; it is kept whole.
    assert sorted(path.name for path in (folder / "study/run/predictions").iterdir()) == ["other.csv"]
    kept = folder / "study" / EARLIER / "run-1"
    assert (kept / "report.html").is_file() and (kept / "predictions/score.csv").is_file()
    plan = run_study(study=file, dry_run=True, clear_earlier=True).plan
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    assert (plan.earlier, plan.earlier_bytes) == (1, size) and kept.is_dir()
    assert "1 results of before" in plan.lines()[-2]
    run_study(study=file, clear_earlier=True)
    assert not kept.parent.exists() and run_study(study=file, dry_run=True).plan.earlier == 0


def test_only_what_calls_before_have_moved_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    file = write_study(tmp_path, {**SMALL, "out": ".", "doctor": False})
    earlier = tmp_path / EARLIER
    for name in ("store-1", "run-2", "maps/s-P01-1.zarr", "run-of-mine", "slides-2", "maps/notes"):
        (earlier / name).mkdir(parents=True)

    def replaces(study: Study, *_: Any) -> None:
        keep_aside(study.file.parent / "run", earlier)

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(run, "_run", replaces)
    plan = run_study(study=file, clear_earlier=True).plan
    left = sorted(path.relative_to(earlier).as_posix() for path in earlier.rglob("*"))
    assert left == ["maps", "maps/notes", "run-1", "run-of-mine", "slides-2"]
    assert plan.earlier == 3


def test_corrected_labels_train_again_and_remarks_do_not(folder: Path) -> None:
    file = write_study(folder, SMALL)
    run_study(study=file)
    before = table_hash(folder / "labels.xlsx", None)
    write_labels(folder / "labels.xlsx", scores(), remark="seen 3.4.")
    assert table_hash(folder / "labels.xlsx", None) != before
    assert stands(file)["train"] == "done"
    write_labels(folder / "labels.xlsx", {**scores(), "P03": 99.0})
    plan = run_study(study=file, dry_run=True).plan
    found = {each.name: each for each in plan.steps}
    assert found["compress"].stand == "done" and "labels changed" in found["train"].why
    run_study(study=file)
    table = pd.read_csv(folder / "study/run/predictions/score.csv").set_index("patient_id")
    assert table.truth["P03"] == 99.0


def test_slides_that_come_change_and_go(folder: Path) -> None:
    file = write_study(folder, SMALL)
    run_study(study=file)
    facts = {
        name: read_map_facts(map_folder(folder / "study/store", name))
        for name in Store.open(folder / "study/store").slide_ids
    }
    write_slide(folder / "slides/s-P10.tif", 0.55)
    write_slide(folder / "slides/s-P00.tif", 0.95)  # scanned again
    (folder / "slides/s-P01.tif").unlink()
    write_labels(folder / "labels.xlsx", scores(11))
    plan = run_study(study=file, dry_run=True).plan
    why = next(each.why for each in plan.steps if each.name == "compress")
    assert why == (
        "8 slides are done; 1 slides have no map, 1 maps no longer fit (the file has other content now), "
        "1 maps are of slides that are not listed"
    )
    kept = times(folder, "study/store/s-P05.zarr/**/*")
    run_study(study=file)
    assert kept == times(folder, "study/store/s-P05.zarr/**/*")
    store = Store.open(folder / "study/store")
    assert "s-P10" in store and "s-P01" not in store
    assert read_map_facts(map_folder(store.path, "s-P00")).content != facts["s-P00"].content
    assert (folder / "study" / EARLIER / "maps" / "s-P01-1.zarr").is_dir()
    patients = pd.read_csv(folder / "study/run/predictions/score.csv").patient_id
    assert "P10" in set(patients) and "P01" not in set(patients)
    assert stands(file) == DONE
    # What the doctor said of slides that he did not look at again stays.
    said = (folder / "study" / FILE).read_text().splitlines()
    names = [Path(line.split()[1]).name for line in said if ".tif" in line]
    assert names == sorted(path.name for path in (folder / "slides").iterdir())
    assert not any("not examined" in line for line in said)


def test_what_the_doctor_said_and_is_gone_is_said_so(folder: Path) -> None:
    file = write_study(folder, SMALL)
    run_study(study=file)
    (folder / "study" / FILE).unlink()
    assert stands(file)["doctor"] == "to do"
    run_study(study=file)
    said = (folder / "study" / FILE).read_text().splitlines()
    count = sum("has its map, and was not examined" in line for line in said)
    assert count == len(list((folder / "slides").iterdir())) and stands(file) == DONE


def test_the_doctor_looks_at_stains_as_the_compression_will(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examining, "examine_table", lambda *_: [])  # two patients are too few
    (tmp_path / "slides").mkdir()
    brown = Stain((0.86, 1.18, 0.54), (0.40, 0.86, 1.18), (243.0, 242.0, 244.0))
    pink, other, ours = (
        render_tissue(Latents(0.5, 0.5, 0.5), stain, 640, np.random.default_rng(seed), glass=True)
        for seed, stain in enumerate((SITE_STAINS["north"], brown, SITE_STAINS["south"]))
    )
    write_pyramid(tmp_path / "slides/s-P00.tif", pink, mpp=0.5)
    write_pyramid(tmp_path / "slides/s-P01.tif", other, mpp=0.5)
    Image.fromarray(ours).save(tmp_path / "ours.png")
    write_labels(tmp_path / "labels.xlsx", scores(2))
    stain = {"method": "macenko", "reference": "ours.png"}
    file = write_study(tmp_path, changed(SMALL, "compress", stain=stain))
    study = read_study(file)
    doctor, compress = steps_of(study)[:2]
    found = look_for_doctor(study.out, doctor, look_at(study.out, compress).maps)
    lines = {Path(line.where).stem: line for line in examine_study(study.out, doctor, found, Silent())}
    assert lines["s-P00"].severity == "ok" and "stains can be normalised" in lines["s-P00"].text
    assert lines["s-P01"].severity == "error" and "stain" in lines["s-P01"].text
    # What the reference came to is kept, and no path.
    kept = read_record(study.out, doctor.name)
    assert kept.settings["stain"]["method"] == "macenko" and str(tmp_path) not in json.dumps(kept.settings)
    maps = look_at(study.out, compress).maps
    assert look_for_doctor(study.out, doctor, maps).is_done


def test_a_training_by_the_single_command_is_taken(folder: Path) -> None:
    file = write_study(folder, SMALL)
    run_study(study=file)
    forget(folder / "study", "train")
    before = times(folder, "study/run/predictions/*")
    assert stands(file)["train"] == "goes on"
    run_study(study=file)
    assert stands(file) == DONE and times(folder, "study/run/predictions/*") == before
    # Unless its maps may be others: they are younger than the run.
    forget(folder / "study", "train")
    os.utime(folder / "study/store/s-P05.zarr/zarr.json")
    assert stands(file)["train"] == "to do"


@pytest.mark.long
def test_another_encoder_makes_all_maps_anew(folder: Path) -> None:
    file = write_study(folder, changed(SMALL, "compress", tissue={"min_cell_share": 0.5}))
    plan = run_study(study=file, dry_run=True).plan
    why = next(each.why for each in plan.steps if each.name == "compress")
    assert "tissue was" in why and f"kept in {EARLIER}" in why
    run_study(study=file)
    store = Store.open(folder / "study/store")
    assert store.settings.tissue.min_cell_share == 0.5
    assert Store.open(folder / "study" / EARLIER / "store-1").settings.tissue.min_cell_share == 0.25
    # The reader stands in no setting of a map, and yet changes it.
    file = write_study(folder, changed(SMALL, "compress", tissue={"min_cell_share": 0.5}, reader="tiff"))
    assert "reader was None, is 'tiff'" in run_study(study=file, dry_run=True).plan.steps[1].why
    write_study(folder, changed(SMALL, "compress", tissue={"min_cell_share": 0.5}))


@pytest.mark.long
def test_results_that_were_touched_are_made_again(folder: Path) -> None:
    file = folder / "study.yaml"
    table = folder / "study/run/predictions/score.csv"
    table.write_text(table.read_text().replace("P05", "P55"))
    plan = run_study(study=file, dry_run=True).plan
    assert "predictions/score.csv is not what was written" in next(
        e.why for e in plan.steps if e.name == "train"
    )
    (chunk, *_) = sorted(
        (folder / "study/store/s-P05.zarr").glob("features/c/**/*"), key=lambda path: -len(path.parts)
    )
    chunk.write_bytes(b"")
    assert next(
        e.why for e in run_study(study=file, dry_run=True).plan.steps if e.name == "compress"
    ).startswith("9 slides are done; 1 maps no longer fit (damaged")
    run_study(study=file)
    assert stands(file) == DONE and "P05" in table.read_text()


def test_a_second_run_is_refused_clearly(folder: Path) -> None:
    with sole_owner(folder / "study", "Work."):
        shown = typed("run", str(folder / "study.yaml"), cwd=folder)
        told = typed("run", str(folder / "study.yaml"), "--dry-run", cwd=folder)
    assert shown.code == 2 and f"Another run works there: process {os.getpid()}" in shown.err
    assert "Wait until it has ended" in shown.err and told.code == 0


class Stopping(Silent):
    """Interrupts the work at a stage, after some steps of it."""

    def __init__(self, stage: str, steps: int) -> None:
        self._at, self._stage, self._left = stage, "", steps

    def stage(self, name: str, total: int | None = None) -> None:
        self._stage = name

    def advance(self, steps: int = 1, note: str = "") -> None:
        if self._stage == self._at:
            self._left -= steps
            if self._left < 0:
                raise KeyboardInterrupt


def results(place: Path) -> dict[str, str]:
    """What must not depend on whether a study was interrupted."""
    store = Store.open(place / "study/store")
    found = {name: read_map_facts(map_folder(store.path, name)).content for name in store.slide_ids}
    for name in ("predictions/score.csv", "history.csv", "bundle/bundle.json", "cohort.json"):
        found[name] = hash_of(place / "study/run" / name)
    return found


NETWORKS = changed(SMALL, "train", max_epochs=2)


@pytest.mark.long
def test_an_interrupted_study_goes_on_to_the_same_results(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    prepare(tmp_path / "a")
    file = write_study(tmp_path / "a", NETWORKS)
    for stage, steps in (("compress", 350), ("train", 3)):
        with pytest.raises(KeyboardInterrupt):
            run_study(study=file, progress=Stopping(stage, steps))
    assert stands(file)["train"] == "goes on"
    run_study(study=file)
    whole = tmp_path / "b"
    whole.mkdir()
    prepare(whole)
    run_study(study=write_study(whole, NETWORKS))
    assert results(tmp_path / "a") == results(whole)


@pytest.mark.long
def test_what_was_begun_by_other_settings_begins_anew(tmp_path: Path) -> None:
    prepare(tmp_path)
    file = write_study(tmp_path, NETWORKS)
    with pytest.raises(KeyboardInterrupt):
        run_study(study=file, progress=Stopping("train", 3))
    file = write_study(tmp_path, changed(NETWORKS, "train", max_epochs=1))
    plan = run_study(study=file, dry_run=True).plan
    assert "max_epochs was 2, is 1" in next(each.why for each in plan.steps if each.name == "train")
    run_study(study=file)
    assert pd.read_csv(tmp_path / "study/run/history.csv").epoch.max() == 1
    assert not (tmp_path / "study" / EARLIER).exists()  # it was never finished


@pytest.mark.long
def test_another_cohort_is_tested_and_leaves_with_its_line(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "other").mkdir()
    for number, name in enumerate(("Q1", "Q2", "Q3", "Q4")):
        write_slide(tmp_path / "other" / f"s-{name}.tif", number / 4)
    write_labels(
        tmp_path / "other.xlsx", {name: 20.0 + 9 * n for n, name in enumerate(("Q1", "Q2", "Q3", "Q4"))}
    )
    other = {"name": "Ulm hospital", "compress": {"slides": ["other"]}, "labels": "other.xlsx"}
    file = write_study(tmp_path, {**SMALL, "external": [other]})
    run_study(study=file)
    scored = tmp_path / "study/run/external/Ulm hospital/predictions/score.csv"
    assert (
        len(pd.read_csv(scored)) == 4 and "Ulm hospital" in (tmp_path / "study/run/report.html").read_text()
    )
    assert stands(file) == {**DONE, "compress Ulm hospital": "done", "external Ulm hospital": "done"}
    trained = times(tmp_path, "study/run/bundle/*")
    write_labels(tmp_path / "other.xlsx", {"Q1": 1.0, "Q2": 2.0, "Q3": 3.0, "Q4": 2.5})
    now = stands(file)
    assert (now["train"], now["external Ulm hospital"], now["report"]) == ("done", "to do", "to do")
    run_study(study=write_study(tmp_path, SMALL))
    assert not scored.exists() and "Ulm hospital" not in (tmp_path / "study/run/report.html").read_text()
    assert times(tmp_path, "study/run/bundle/*") == trained


def test_cohorts_that_the_study_never_had_stay_in_the_run(tmp_path: Path) -> None:
    study = read_study(prepare(tmp_path))
    external = tmp_path / "study/run/external"
    for name in ("left", "mine"):
        (external / name).mkdir(parents=True)
    record = StepRecord(settings={"name": "left"}, inputs={}, versions={})
    keep_record(study.out, "external-left", record)
    _drop_unasked(study)
    assert [path.name for path in external.iterdir()] == ["mine"]
    assert read_record(study.out, "external-left") is None


def test_labels_with_errors_end_it_before_anything_is_computed(tmp_path: Path) -> None:
    file = prepare(tmp_path)
    write_labels(tmp_path / "labels.xlsx", {name: 5.0 for name in scores()})
    with pytest.raises(TableError, match="One value only"):
        run_study(study=file)
    assert not (tmp_path / "study/store").exists()


def test_what_to_type_is_told_as_a_field_of_the_file(tmp_path: Path) -> None:
    file = prepare(tmp_path)
    table = pd.read_excel(tmp_path / "labels.xlsx")
    table["group"] = ["cll", "CLL", "mcl", "mcl", "mcl"] * 2
    table.to_excel(tmp_path / "labels.xlsx", index=False)
    write_study(tmp_path, changed(SMALL, "train", target=["group"]))
    with pytest.raises(TableError, match=r"In the study's file: classes: \{cll: CLL\} under train"):
        run_study(study=file)
    table.rename(columns={"patient_id": "Fall"}).to_excel(tmp_path / "labels.xlsx", index=False)
    with pytest.raises(TableError, match=r"study's file: columns: \{patient_id: Fall\} or .* under train"):
        run_study(study=file)
    assert not (tmp_path / "study/store").exists()


def test_the_plan_tells_the_fields_of_the_part_whose_table_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    with pd.ExcelWriter(tmp_path / "other.xlsx") as book:
        pd.DataFrame().to_excel(book, sheet_name="Notes", index=False)
        pd.read_excel(tmp_path / "labels.xlsx").to_excel(book, sheet_name="Labels", index=False)
    other = {"name": "ulm", "compress": {"slides": ["slides"]}, "labels": "other.xlsx"}
    file = write_study(tmp_path, {**SMALL, "external": [other]})

    def look(folder: Path, step: Step) -> StepState:
        if step.verb == "external":
            table_hash(Path(step.settings["labels"]), None)
        return StepState(step, RunStudySettings(study=file), "done")

    monkeypatch.setattr(planning, "look_at", look)
    with pytest.raises(TableError) as caught:
        run_study(study=file, dry_run=True)
    assert "In study.yaml: sheet under external 'ulm'." in caught.value.todo


@pytest.mark.long
def test_failed_slides_are_told_and_tried_again(tmp_path: Path) -> None:
    file = prepare(tmp_path)
    good = (tmp_path / "slides/s-P04.tif").read_bytes()
    (tmp_path / "slides/s-P04.tif").write_bytes(good[: len(good) // 3])
    shown = typed("run", str(file), cwd=tmp_path)
    assert shown.code == 1 and "failed" in shown.out and "s-P04.tif" in shown.out
    again = typed("run", str(file), "--dry-run", cwd=tmp_path)
    assert "9 slides are done; 1 slides failed before" in again.out and "done     train" in again.out
    (tmp_path / "slides/s-P04.tif").write_bytes(good)
    assert typed("run", str(file), cwd=tmp_path).code == 0
    assert stands(file) == DONE


def test_a_disk_that_is_not_there_takes_no_map_away(tmp_path: Path) -> None:
    prepare(tmp_path)
    names = "path\n" + "".join(f"slides/s-{name}.tif\n" for name in scores())
    (tmp_path / "list.csv").write_text(names)
    file = write_study(tmp_path, changed(SMALL, "compress", slides=["list.csv"]))
    settings = {**steps_of(read_study(file))[1].settings}
    (tmp_path / "slides").rename(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="Not one of the 10 files is there"):
        run_study(study=file)
    assert settings["replace"] and not (tmp_path / "study/store").exists()


def test_real_fields_from_init_to_the_report(data_dir: Path, tmp_path: Path) -> None:
    fields = pd.read_csv(data_dir / "fields/colon_glands/fields.csv")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "GlaS"
    sheet.append(["Warwick, 2012"])
    sheet.append([])
    sheet.append(["Patient No", "Field", "Malignant"])
    malignant = fields.groupby("patient").label.agg(lambda labels: (labels == "malignant").mean() > 0.6)
    for _, row in fields.groupby("patient").head(2).iterrows():
        sheet.append([row.patient, Path(row.file).name, "yes" if malignant[row.patient] else "no"])
    book.save(tmp_path / "Patients GlaS.xlsx")
    (tmp_path / "img").mkdir()
    for name in fields.groupby("patient").head(2).file:
        (tmp_path / "img" / Path(name).name).symlink_to(data_dir / "fields/colon_glands" / name)
    shown = typed("init", "--encoder", "colour", "--mpp", "0.62", cwd=tmp_path)
    assert shown.code == 0 and "16 patients, 16 with a slide" in shown.out
    text = (tmp_path / "study.yaml").read_text()
    assert "most_enlargement: 1.24" in text and "1.24 times" in shown.out
    assert "- Malignant" in text and "# - Malignant" not in text
    study = yaml.safe_load(text)
    study["train"] |= {"folds": 3, "workers": 1, **FEW}
    study |= {"explain": False, "report": {"resamples": 100}, "audit": {"permutations": 200}}
    shown = typed("run", str(write_study(tmp_path, study)), cwd=tmp_path)
    assert shown.code in (0, 1), shown.err  # the audit may find sections that are alike
    assert "Malignant: AUROC" in shown.out and (tmp_path / "study/run/report.html").is_file()
    assert stands(tmp_path / "study.yaml") == DONE


def killed(file: Path, is_time: Callable[[], bool]) -> None:
    """Start a run in a process of its own, and end it by SIGKILL at some point."""
    with subprocess.Popen(
        [sys.executable, "-m", "histonic", "run", str(file)], stderr=subprocess.DEVNULL
    ) as run:
        deadline = time.monotonic() + 600
        while not is_time() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert run.poll() is None, "it ended before it could be killed"
        run.send_signal(signal.SIGKILL)


@pytest.mark.long
def test_a_killed_study_goes_on_to_the_same_results(tmp_path: Path) -> None:
    slow = changed(NETWORKS, "train", max_epochs=40)
    folders = tmp_path / "a", tmp_path / "b"
    for place in folders:
        prepare(place)
        write_study(place, slow)
    file = folders[0] / "study.yaml"
    killed(file, lambda: len(list(folders[0].glob("study/store/s-*.zarr"))) >= 3)
    assert 3 <= len(list(folders[0].glob("study/store/s-*.zarr"))) < PATIENTS
    killed(
        file,
        lambda: (
            any(folders[0].glob("study/run/checkpoints/*/*"))
            or any(folders[0].glob("study/run/checkpoints/*.safetensors"))
        ),
    )
    assert not (folders[0] / "study/run/run.json").exists()
    run_study(study=file)
    run_study(study=folders[1] / "study.yaml")
    assert results(folders[0]) == results(folders[1])
    assert stands(file) == DONE


@pytest.mark.long
def test_explanations_and_their_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    prepare(tmp_path)
    explained = {**NETWORKS, "explain": {"patients": 1, "tiles": 2, "checks": False}}
    file = write_study(tmp_path, explained)
    run_study(study=file)
    done = {**DONE, "explain": "done"}
    assert stands(file) == done  # though the report has made more of them
    trained = times(tmp_path, "study/run/bundle/*")
    file = write_study(
        tmp_path, {**explained, "explain": {"patients": 1, "method": "occlusion", "checks": False}}
    )
    assert stands(file) == {**done, "explain": "to do", "report": "to do"}
    run_study(study=file)
    assert (tmp_path / "study/run/explain/occlusion/summary.csv").is_file() and stands(file) == done
    assert times(tmp_path, "study/run/bundle/*") == trained
    assert plan_study(read_study(file)).is_done
    assert read_record(tmp_path / "study", "explain") is not None
    steps = {step.verb: step for step in steps_of(read_study(file))}
    assert look_at(tmp_path / "study", steps["explain"]).kind == "done"
    state = look_at(tmp_path / "study", steps["compress"])
    assert state.maps is not None and find_maps(state.maps.settings, None).is_done
