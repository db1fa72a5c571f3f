"""What journals ask for beside the metrics, on the page of a made-up run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.calibration.details import CalibrationDetails, CalibrationRow, SmoothRow
from histonic.stages.evaluate.clinical.cox import CoxModel, CoxTerm
from histonic.stages.evaluate.networks.spread import PartValue, TrainingSpread
from histonic.stages.evaluate.outcome.missing import MissingColumn, MissingLabels
from histonic.stages.evaluate.outcome.times import Censoring, ShareAt
from histonic.stages.report import details as report_details
from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.smooth import smooth_picture
from histonic.stages.report.report import write_report
from histonic.stages.report.settings import ReportSettings
from histonic.stages.report.wording import details

MSI = Task("msi", "binary", ("msi",), ("stable", "instable"))
SURVIVAL = Task("overall_survival", "survival", ("os_months", "os_event"))
MakeRun = Callable[..., Path]


def with_labels(run: Path, patients: int) -> None:
    """A label table with sex, age and stage beside the run, and what single networks predicted."""
    rng = np.random.default_rng(0)
    names = [f"P{number:03d}" for number in range(patients)] + ["P902"]
    frame = pd.DataFrame({"case": names, "Sex": rng.choice(["f", "m"], len(names))})
    frame["ageAtDiagnosis"] = rng.normal(62, 11, len(names)).round()
    frame["tumour_stage"] = rng.choice(["I", "II"], len(names))
    frame.to_csv(run.parent / "labels.csv", index=False)
    settings = yaml.safe_load((run / "settings.yaml").read_text())
    settings["labels"] = str(run.parent / "labels.csv")
    (run / "settings.yaml").write_text(yaml.safe_dump(settings))
    (run / "networks").mkdir()
    for path in (run / "predictions").glob("*.csv"):
        test = pd.read_csv(path, dtype=str, keep_default_na=False).assign(initialisation="0")
        after = test.assign(fold=[str((int(fold) - 1) % 4) for fold in test["fold"]], part="validation")
        rest = test.assign(fold=[str((int(fold) - 2) % 4) for fold in test["fold"]], part="train")
        pd.concat([test.assign(part="test"), after, rest]).to_csv(run / "networks" / path.name, index=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> tuple[str, dict[str, Any]]:
    run = make_run(tmp_path_factory.mktemp("details") / "run", [MSI, SURVIVAL], patients=120, missing=0.15)
    with_labels(run, 120)
    settings = ReportSettings(run=run, resamples=100, clinical=("ageAtDiagnosis", "tumour_stage"))
    page = write_report(settings).read_text(encoding="utf-8")
    page = " ".join(re.sub(r"<[^>]+>", " ", page.split("</style>")[1]).split())
    return page, json.loads((run / "report.json").read_text(encoding="utf-8"))


def test_sex_and_age_are_found_by_their_names(written: tuple[str, dict[str, Any]]) -> None:
    page, values = written
    groups = {grouping["name"] for grouping in values["targets"][0]["groups"]}
    assert groups == {"site", "Sex", "ageAtDiagnosis"}
    assert "Calibration and missed cases by group" in page and "Sex: f" in page


def test_every_number_of_the_new_tables_stands_on_the_page(written: tuple[str, dict[str, Any]]) -> None:
    page, values = written
    msi, survival = values["targets"]
    for level in (row for each in msi["fairness"]["groupings"] for row in each["levels"] if not row["few"]):
        assert f"{level['ratio']:#.3g} (" in page
    for group in survival["times"]["groups"]:
        for share in group["at"]:
            assert f"{share['at_risk']} at risk" in page
    for term in survival["cox"]["terms"]:
        assert f"{term['value']:#.3g} ({term['low']:#.3g} to {term['high']:#.3g})" in page
    for part in msi["training"]["parts"]:
        assert f"{part['value']:.2f}" in page
    assert survival["cox"]["terms"][0]["p"] is None


def test_the_patient_without_any_label_is_compared_too(written: tuple[str, dict[str, Any]]) -> None:
    page, values = written
    missing = values["targets"][0]["missing"]
    assert missing["unused"] == 1 and missing["present"] == values["targets"][0]["n"]
    assert {row["name"] for row in missing["columns"]} == {"site", "Sex", "ageAtDiagnosis", "tumour_stage"}
    assert f"{missing['missing']} patients without a label" in page.replace("\xa0", " ")


def test_of_few_patients_and_an_earlier_version_less_is_said(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", [MSI], patients=36, sites=())
    page = write_report(ReportSettings(run=run, resamples=100)).read_text()
    assert "What hangs on the training" not in page
    assert "Calibration of “instable” is not drawn" in page and "<h3>Calibration</h3>" not in page


# -------------------------------------------------------------------------- sentences


def spread(test: float, train: float, by_network: tuple[float, ...], repeats: tuple[float, ...] = ()) -> str:
    parts = [
        PartValue(part="train", patients=40, value=train, by_network=by_network),
        PartValue(part="test", patients=20, value=test, by_network=by_network),
    ]
    found = TrainingSpread(
        metric="AUROC",
        higher_is_better=True,
        initialisations=len(by_network),
        fitted=False,
        parts=tuple(parts),
        by_repeat=repeats,
        optimism=train - test,
    )
    return details.training_words(found)


def test_training_says_what_is_known() -> None:
    assert "not known" in spread(0.7, 0.9, (0.7,))
    said = spread(0.7, 0.9, (0.65, 0.75))
    assert "between 0.65 and 0.75" in said and "better by 0.20" in said and "not known" not in said
    assert "hardly any different" in spread(0.7, 0.705, (0.7,))
    assert "worse by 0.20" in spread(0.7, 0.5, (0.7,))
    assert "In the 2 repeats it lies between 0.60 and 0.80" in spread(0.7, 0.9, (0.7,), (0.6, 0.8))


def test_censoring_that_differs_warns() -> None:
    alike = Censoring(time=12.0, low_risk=0.8, high_risk=0.78, p=0.6, crossed=True)
    said = details.censoring_words(alike)
    assert "is not shown" in said and "within folds" in said and "variance" not in said
    apart = alike.model_copy(update={"p": 0.001, "crossed": False})
    assert "read them with care" in details.censoring_words(apart)
    assert "variance" not in details.censoring_words(apart)


def test_missing_labels_claim_no_more_than_was_found() -> None:
    row = MissingColumn(name="age", kind="number", present=50, missing=9, difference=0.4, p=0.01)
    found = MissingLabels(present=50, missing=9, unused=2, columns=(row,))
    assert "not missing at random" in details.missing_text(found)
    vague = found.model_copy(update={"columns": (row.model_copy(update={"p": 0.3}),)})
    assert "does not prove" in details.missing_text(vague)
    none = found.model_copy(update={"columns": (row.model_copy(update={"p": None}),)})
    assert "too few for a test" in details.missing_text(none)
    assert "nothing that they could be compared by" in details.missing_text(
        found.model_copy(update={"columns": ()})
    )


def test_a_cox_model_of_few_events_is_told() -> None:
    term = CoxTerm(name="age", per="SD", value=1.2, low=1.0, high=1.5, p=0.04, alone=1.1, p_proportional=0.01)
    found = CoxModel(n=40, events=12, crossed=False, terms=(term,) * 2, events_a_parameter=6.0, filled=1)
    said = details.cox_words(found)
    assert "fewer than 10" in said and "changes with time" in said and "1 empty cell" in said
    assert "cross-validation" not in said


def test_shares_are_as_short_as_they_can_be() -> None:
    share = ShareAt(at_risk=3, share=0.5, low=0.25, high=0.75)
    assert details.share_words(share).replace("\xa0", " ") == "50 % (25 % to 75 %)"
    assert details.share_words(share.model_copy(update={"share": None})) == "–"
    assert details.share_words(share.model_copy(update={"low": None})).replace("\xa0", " ") == "50 %"


def test_smooth_curves_are_drawn_where_there_are_some(written: tuple[str, dict[str, Any]]) -> None:
    target = Target.model_validate(written[1]["targets"][1])
    smooth = SmoothRow(ici=0.02, e50=0.01, e90=0.04, noise=0.03, noise_most=0.06, x=(0.1, 0.9), y=(0.2, 0.8))
    row = CalibrationRow(name="20", n=200, events=120, slope=1.0, low=0.8, high=1.2, floor=100, smooth=smooth)
    curve = CalibrationDetails(rows=(row,), recalibrated=None, crossed=True)
    drawn = smooth_picture(target.model_copy(update={"calibration": curve}), None)
    assert drawn is not None and "ICI 0.020" in drawn.alt
    none = curve.model_copy(update={"rows": (row.model_copy(update={"smooth": None}),)})
    assert smooth_picture(target.model_copy(update={"calibration": none}), None) is None
    assert details.floor_words(none, "survival") == ""  # events enough, but no curve fits


@pytest.mark.parametrize(
    ("kind", "events", "words"),
    [
        ("survival", 60, "from 100 events by the time"),
        ("survival", 120, ""),
        ("multiclass", 120, "from 100 patients with and as many without"),
    ],
)
def test_the_floor_of_smooth_curves_is_that_of_the_kind(kind: str, events: int, words: str) -> None:
    row = CalibrationRow(
        name="20", n=190, events=events, slope=1.0, low=0.8, high=1.2, floor=100, smooth=None
    )
    said = details.floor_words(CalibrationDetails(rows=(row,), recalibrated=None, crossed=True), kind)
    assert words in said and bool(said) == bool(words)


def test_a_patient_who_only_trains_may_lack_a_label() -> None:
    """Of a fixed split the predictions tell of tested patients alone."""
    shown = PredictionTable(MSI, pd.DataFrame({"patient_id": ["A", "B"], "truth": ["stable", "instable"]}))
    known = {"msi": "stable"}
    patients = [
        SimpleNamespace(patient_id=name, targets=targets)
        for name, targets in (("A", known), ("B", known), ("C", known), ("D", {}))
    ]
    run = SimpleNamespace(cohort=SimpleNamespace(patients=patients, exclusions=()))
    found = report_details._missing(shown, SimpleNamespace(compared={}), run, 0)  # type: ignore[arg-type]
    assert found is not None and (found.present, found.missing, found.unused) == (3, 1, 0)


@pytest.mark.long
def test_intervals_by_sites_stand_beside_those_by_patients(tmp_path: Path, make_run: MakeRun) -> None:
    sites = ("Bergen", "Graz", "Lyon", "Oslo", "Turin", "Utrecht")
    run = make_run(tmp_path / "run", [MSI, SURVIVAL], patients=120, sites=sites)
    with_labels(run, 120)
    plain = write_report(run=run, resamples=100).read_text(encoding="utf-8")
    assert "by sites" not in plain
    page = write_report(run=run, resamples=100, site_intervals=True, checklist=["tripod-ai"]).read_text(
        encoding="utf-8"
    )
    values = json.loads((run / "report.json").read_text())
    for target in values["targets"]:
        found = target["by_sites"]
        assert (found["sites"], found["problem"]) == (6, "")
        assert [each["name"] for each in found["intervals"]] == [each["name"] for each in target["scores"]]
        leading = found["intervals"][0]
        assert f'data-name="by sites">{leading["low"]:.2f} to {leading["high"]:.2f}</td>' in page
    assert "By sites: the 6 sites" in page and "take the interval as a rough one" in page
    listed = (run / "checklist-tripod-ai.md").read_text(encoding="utf-8")
    assert "intervals by resampling the 6 sites" in listed


def test_too_few_sites_are_told(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", [MSI], patients=60)
    with_labels(run, 60)
    page = write_report(run=run, resamples=100, site_intervals=True).read_text(encoding="utf-8")
    assert "No intervals by resampling sites: 3 sites are too few, 5 are needed." in page
    assert 'data-name="by sites"' not in page
