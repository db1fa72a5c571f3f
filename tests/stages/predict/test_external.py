"""Another cohort tested by a finished run: the numbers of all networks together, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from histonic.core.documents import sealed, write_document
from histonic.core.errors import (
    BundleError,
    CohortError,
    OutputError,
    RunError,
    SettingsError,
    TableError,
)
from histonic.core.progress import Silent
from histonic.core.task import Coding, EventCoding
from histonic.data.maps.store import Store
from histonic.runs.run import read_facts
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.predict.external import external_test
from histonic.stages.predict.predict import predict
from histonic.stages.train.train import train_slides

TARGETS = ["grade:ordinal", "score:regression", "os:survival:os_months,os_event"]


@pytest.fixture(scope="module", params=["late", "early"])
def run(request: pytest.FixtureRequest, store_maker: Callable[..., Path], tmp_path_factory: Any) -> Path:
    folder = store_maker(tmp_path_factory.mktemp("several"), patients=14, slides_each=2)
    return train_slides(
        store=folder / "store",
        labels=folder / "labels.csv",
        target=TARGETS,
        out=folder / "run",
        folds=3,
        max_epochs=2,
        batch=8,
        initialisations=1,
        fusion=request.param,
    )


@pytest.fixture(scope="module")
def elsewhere(store_maker: Callable[..., Path], tmp_path_factory: Any) -> Path:
    """Another hospital: other column names, and only two of the three grades."""
    folder = store_maker(tmp_path_factory.mktemp("elsewhere"), patients=8, slides_each=2, strength=1.0)
    table = pd.read_csv(folder / "labels.csv").rename(columns={"score": "ki67", "patient_id": "case"})
    table.loc[table.grade == "high", "grade"] = "mid"
    table.to_csv(folder / "labels.csv", index=False)
    return folder


def try_out(run: Path, elsewhere: Path, **values: Any) -> Path:
    given = {
        "name": "Oslo",
        "labels": elsewhere / "labels.csv",
        "columns": {"patient_id": "case"},
        "target": ["score:regression:ki67"],
        **values,
    }
    return external_test(run=run, store=elsewhere / "store", **given)


class Listener(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def say(self, line: str) -> None:
        self.notes.append(line)


def test_patients_are_predicted_by_all_networks_together(run: Path, elsewhere: Path, tmp_path: Path) -> None:
    out = try_out(run, elsewhere)
    assert out == run / "external" / "Oslo"
    grade = pd.read_csv(out / "predictions/grade.csv")
    own = pd.read_csv(run / "predictions/grade.csv")
    assert grade.columns.tolist() == own.columns.tolist()
    assert set(grade.fold) == {-1} and set(grade["repeat"]) == {0} and len(grade) == 8
    labels = pd.read_csv(elsewhere / "labels.csv").drop_duplicates("case").set_index("case")
    assert grade.truth.tolist() == labels.grade[grade.patient_id].tolist()
    # The same as predicting by patient with the bundle, which knows no labels.
    (tmp_path / "patients.csv").write_text(
        "patient_id,slide_id\n"
        + "".join(f"P{number:02d},s{number:02d}{part}\n" for number in range(8) for part in "ab")
    )
    predict(
        bundle=run / "bundle",
        slides=[elsewhere / "store"],
        patients=tmp_path / "patients.csv",
        out=tmp_path / "predictions.csv",
    )
    again = pd.read_csv(tmp_path / "predictions.csv")
    assert again.patient_id.tolist() == grade.patient_id.tolist()
    np.testing.assert_allclose(again["grade.p_mid"], grade.p_mid, atol=1e-7)
    facts = json.loads((out / "external.json").read_text())
    assert facts["counts"]["patients_used"] == 8 and facts["counts"]["slides_used"] == 16


def test_a_table_of_patients_with_names_of_its_own_is_read(
    run: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"P{number},s{number:02d}{part}\n" for number in range(8) for part in "ab")
    (tmp_path / "patients.csv").write_text("Fall,Schnitt\n" + rows)
    given = {"bundle": run, "slides": [elsewhere / "store"], "out": tmp_path / "predictions.csv"}
    given["patients"] = tmp_path / "patients.csv"
    predict(**given, columns={"patient_id": "Fall", "slide_id": "Schnitt"})
    assert pd.read_csv(tmp_path / "predictions.csv").patient_id.tolist() == [f"P{n}" for n in range(8)]
    with pytest.raises(CohortError, match=r"--columns slide_id=Schnitt"):
        predict(**given, columns={"patient_id": "Fall"})
    # What follows is refused before any slide is looked at.
    monkeypatch.setattr("histonic.stages.predict.predict._sort_out", pytest.fail)
    with pytest.raises(TableError, match="--columns patient_id=Fall"):
        predict(**given)
    with pytest.raises(SettingsError, match="'slide' is not a name"):
        predict(**given, columns={"slide": "Schnitt"})
    with pytest.raises(OutputError, match="give the name of a file"):
        predict(**{**given, "out": tmp_path}, columns={"patient_id": "Fall"})
    with pytest.raises(SettingsError, match="Give it with --patients"):
        predict(**{**given, "patients": None}, columns={"patient_id": "Fall"})


def test_unknown_classes_are_named_and_nothing_is_written(run: Path, elsewhere: Path, tmp_path: Path) -> None:
    table = pd.read_csv(elsewhere / "labels.csv")
    table.loc[0:1, "grade"] = "G4"
    table.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(TableError, match="does not know 'G4'; it knows"):
        external_test(
            run=run,
            store=elsewhere / "store",
            labels=tmp_path / "labels.csv",
            name="Bergen",
            columns={"patient_id": "case"},
            target=["score:regression:ki67"],
        )
    assert not (run / "external" / "Bergen").exists()


def test_spellings_that_the_run_joined_are_joined_here_too(
    run: Path, elsewhere: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(elsewhere / "labels.csv")
    table["grade"] = table["grade"].replace({"mid": "Mittel", "low": "tief"})
    table.to_csv(tmp_path / "labels.csv", index=False)
    shutil.copytree(run, tmp_path / "run")
    kept = (tmp_path / "run" / "settings.yaml").read_text()
    assert "classes: {}" in kept
    (tmp_path / "run" / "settings.yaml").write_text(
        kept.replace("classes: {}", "classes: {Mittel: mid, cll: CLL}")
    )
    out = try_out(tmp_path / "run", elsewhere, labels=tmp_path / "labels.csv", classes={"tief": "low"})
    assert set(pd.read_csv(out / "predictions" / "grade.csv")["truth"]) == {"low", "mid"}


def test_events_are_read_as_the_run_read_them(run: Path, elsewhere: Path, tmp_path: Path) -> None:
    """A run trained with --event-coding censored, tested without the option: nobody is turned round."""
    shutil.copytree(run, tmp_path / "run")
    facts = read_facts(run)
    coding = Coding("censored: 1", event=EventCoding("censored", "months"))
    facts = facts.model_copy(update={"codings": {**facts.codings, "os": coding}})
    write_document(tmp_path / "run" / "run.json", facts)
    heard = Listener()
    out = try_out(tmp_path / "run", elsewhere, progress=heard)
    labels = pd.read_csv(elsewhere / "labels.csv").drop_duplicates("case").set_index("case")
    found = pd.read_csv(out / "predictions/os.csv").set_index("patient_id")
    assert found.event.tolist() == (1 - labels.os_event[found.index]).tolist()
    said = next(note for note in heard.notes if note.startswith("os: "))
    assert "in the column 'os_event'; censored: 1; time in months" in said
    assert json.loads((out / "external.json").read_text())["codings"]["os"]["event"]["codes"] == "censored"
    with pytest.raises(SettingsError, match="trained with --event-coding censored"):
        try_out(tmp_path / "run", elsewhere, event_coding="event")
    days = pd.read_csv(elsewhere / "labels.csv").rename(columns={"os_months": "os_days"})
    days.to_csv(tmp_path / "days.csv", index=False)
    with pytest.raises(TableError, match="in days, by the name of 'os_days'"):
        try_out(
            run, elsewhere, labels=tmp_path / "days.csv",
            target=["score:regression:ki67", "os:survival:os_days,os_event"],
        )  # fmt: skip


def test_targets_that_the_other_cohort_lacks_are_left_out(run: Path, elsewhere: Path, tmp_path: Path) -> None:
    """A cohort of one class still has predictions, and no score."""
    table = pd.read_csv(elsewhere / "labels.csv").drop(columns="ki67").assign(grade="mid")
    table.to_csv(tmp_path / "few.csv", index=False)
    heard = Listener()
    out = try_out(run, elsewhere, name="few", labels=tmp_path / "few.csv", target=[], progress=heard)
    assert sorted(path.stem for path in (out / "predictions").iterdir()) == ["grade", "os"]
    assert "score is not tested: few.csv has no such column" in heard.notes
    assert set(pd.read_csv(out / "predictions/grade.csv").truth) == {"mid"}
    with pytest.raises(TableError, match="no such column"):
        try_out(run, elsewhere, name="few", labels=tmp_path / "few.csv")
    shutil.rmtree(out)


def test_what_cannot_be_tested_is_refused(run: Path, elsewhere: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has the targets grade, score, os"):
        try_out(run, elsewhere, target=["msi"])
    with pytest.raises(SettingsError, match="the order is low < mid < high"):
        try_out(run, elsewhere, target=["score:regression:ki67", "grade:ordinal:grade:high<mid<low"])
    with pytest.raises(RunError, match="It is an empty folder"):
        try_out(tmp_path, elsewhere)
    shutil.copytree(elsewhere / "store", tmp_path / "store")
    for slide_id in Store.open(tmp_path / "store").slide_ids:
        path = tmp_path / "store" / f"{slide_id}.zarr" / "zarr.json"
        path.write_text(path.read_text().replace('"min_cell_share": 0.25', '"min_cell_share": 0.5'))
    with pytest.raises(BundleError, match="another setting of tissue"):
        external_test(run=run, store=tmp_path / "store", labels=elsewhere / "labels.csv")


def test_masks_of_another_program_are_told(run: Path, elsewhere: Path, tmp_path: Path) -> None:
    shutil.copytree(elsewhere / "store", tmp_path / "store")
    for slide_id in Store.open(tmp_path / "store").slide_ids:
        path = tmp_path / "store" / f"{slide_id}.zarr" / "zarr.json"
        facts = json.loads(path.read_text())
        facts["attributes"]["settings"]["mask"] = {"values": ["1"], "classes": []}
        facts["attributes"] = sealed(facts["attributes"])
        path.write_text(json.dumps(facts))
    heard = Listener()
    given = {"columns": {"patient_id": "case"}, "target": ["score:regression:ki67"], "name": "masked"}
    external_test(run=run, store=tmp_path / "store", labels=elsewhere / "labels.csv", progress=heard, **given)
    assert any("other values or classes of masks are tissue" in note for note in heard.notes)
    shutil.rmtree(run / "external" / "masked")


def test_a_bundle_reads_slides_as_its_training_did(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[CompressSettings] = []

    def stop(settings: CompressSettings, **_: object) -> None:
        caught.append(settings)
        raise SettingsError("Stop here.", "Enough is known.", "Nothing.")

    monkeypatch.setattr("histonic.stages.predict.predict.compress", stop)
    bundle = Path(shutil.copytree(run / "bundle", tmp_path / "bundle"))
    facts = json.loads((bundle / "bundle.json").read_text())
    facts["compress_settings"]["mask"] = {"values": ["1", "6"], "classes": []}
    facts["compress_settings"] |= {"leave_out": ["pen"], "exact_averaging": False, "stride_px": 64}
    (bundle / "bundle.json").write_text(json.dumps(sealed(facts)))
    write_pyramid(tmp_path / "a.tif", np.full((300, 300, 3), 150, np.uint8), mpp=0.5)
    given = {"bundle": bundle, "slides": [tmp_path / "a.tif"], "out": tmp_path / "p.csv"}
    for more in ({"masks": tmp_path}, {}):
        with pytest.raises(SettingsError, match="Enough"):
            predict(**given, **more)
    assert caught[0].masks == tmp_path and caught[0].mask.values == ("1", "6")
    assert caught[0].leave_out == ("pen",) and caught[0].exact_averaging is False
    assert caught[0].stride_px == 64
    assert caught[1].masks is None and caught[1].mask.values == (), "there is nothing to choose from"


def test_causes_go_from_the_table_to_run_and_external_cohort(
    store_maker: Callable[..., Path], tmp_path: Path
) -> None:
    folder = store_maker(tmp_path, patients=14)
    table = pd.read_csv(folder / "labels.csv")
    status = np.where(table.os_event == 1, np.where(np.arange(14) % 3 == 0, 2, 1), 0)
    table.assign(status=status).to_csv(folder / "labels.csv", index=False)
    given = {"store": folder / "store", "labels": folder / "labels.csv", "out": folder / "run"}
    given |= {"target": ["css:survival:os_months,status"], "folds": 3, "max_epochs": 1, "initialisations": 1}
    with pytest.raises(TableError, match="--event-of-interest 1"):
        train_slides(**given)
    run = train_slides(**given, event_of_interest="1")
    found = pd.read_csv(run / "predictions/css.csv", dtype=str, keep_default_na=False).set_index("patient_id")
    wanted = pd.Series(status, index=table.patient_id)[found.index]
    assert found.cause.tolist() == ["" if code == 0 else str(code) for code in wanted]
    assert found.event.astype(int).tolist() == (wanted == 1).astype(int).tolist()
    patients = json.loads((run / "cohort.json").read_text())["patients"]
    assert [each.get("causes") for each in patients] == [{"css": str(c)} if c else None for c in status]
    assert read_facts(run).codings["css"].event == EventCoding("event", "months", "1")
    # The same command finds the run finished; another cohort needs no option.
    assert train_slides(**given, event_of_interest="1") == run
    out = external_test(run=run, store=folder / "store", labels=folder / "labels.csv", name="again")
    again = pd.read_csv(out / "predictions/css.csv", dtype=str, keep_default_na=False)
    assert again.cause.tolist() == found.cause[again.patient_id].tolist()
    with pytest.raises(SettingsError, match="trained with --event-of-interest 1"):
        external_test(run=run, store=folder / "store", labels=folder / "labels.csv", event_of_interest=["2"])
