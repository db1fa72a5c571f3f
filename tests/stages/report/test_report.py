"""The report of made-up runs: what it says, that it holds together, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.runs import run_document, write_external
from histonic.app.cli import histonic
from histonic.core.documents import read_document, sealed
from histonic.core.errors import CohortError, OutputError, RunError, SettingsError, TableError
from histonic.core.progress import Silent
from histonic.core.task import TASK_KINDS, Task
from histonic.data.maps.shares import NO_CELL
from histonic.data.maps.store import map_folder, thumbnail_path
from histonic.data.maps.writer import write_map
from histonic.metrics.inference.scores import Score
from histonic.runs.documents import FIRST_LOOK
from histonic.stages.evaluate.chance import judge
from histonic.stages.evaluate.clinical.fits import AddedByImage, ClinicalColumn
from histonic.stages.evaluate.clinical.models import Clinical, NamedScore
from histonic.stages.evaluate.curves import ClassCurves, ClassLine, FollowUp, RestrictedMeanRow
from histonic.stages.evaluate.groups import Grouping
from histonic.stages.report.document.report import Report
from histonic.stages.report.document.sections import ChosenSettings, NetworkHistory
from histonic.stages.report.figures.classes import calibration_picture
from histonic.stages.report.figures.targets import PICTURES
from histonic.stages.report.figures.training import training_picture
from histonic.stages.report.report import interval_drawing, write_report
from histonic.stages.report.settings import ReportSettings
from histonic.stages.report.slides import SLIDES_SHOWN
from histonic.stages.report.wording import cohort, groups, outcome, words

MSI = Task("msi", "binary", ("msi",), ("stable", "instable"))
GRADE = Task("grade", "ordinal", ("grade",), ("low", "intermediate", "high"))
SCORE = Task("proliferation_score", "regression", ("ki67_percent",))
SURVIVAL = Task("overall_survival", "survival", ("os_months", "os_event"))
MakeRun = Callable[..., Path]
Facts = Callable[[Sequence[Task]], dict[str, Any]]


# ------------------------------------------------------------------------- reading it


class Page(HTMLParser):
    """The parts of a page that the tests ask for."""

    VOID = frozenset({"meta", "img", "br", "line", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag
        if tag in ("td", "th", "p", "li", "h1", "h2", "h3"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def report_on(run: Path, resamples: int = 100) -> tuple[Page, dict[str, Any], str]:
    path = write_report(ReportSettings(run=run, resamples=resamples), progress=Silent())
    text = path.read_text(encoding="utf-8")
    values = json.loads((run / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return Page(text), values, text


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun
) -> tuple[Page, dict[str, Any], str, Path]:
    run = make_run(tmp_path_factory.mktemp("whole") / "run", missing=0.15)
    return (*report_on(run), run)


def tell_cohort(run: Path) -> None:
    """Copy the truth of the predictions into cohort.json, as a training does; MSI goes with the site."""
    cohort = json.loads((run / "cohort.json").read_text(encoding="utf-8"))
    with (run / "predictions" / "msi.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for patient, row in zip(cohort["patients"], rows, strict=True):
        assert patient["patient_id"] == row["patient_id"]
        patient["targets"] = {"msi": row["truth"]}
        patient["site"] = row["site"] = "Oslo" if row["truth"] == "stable" else "Bergen"
    (run / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    with (run / "predictions" / "msi.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# ------------------------------------------------------------------------------- tests


def test_a_planted_site_stands_in_the_head_and_in_the_audit(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", [MSI], skill=0.0)
    tell_cohort(run)
    page, values, _ = report_on(run, resamples=200)
    assert [each["confounder"] for each in values["audit"]["confounders"] if each["alarm"]] == ["site"]
    assert "Look at this before you believe a result: The site alone predicts msi." in page.text
    assert "Can anything but the tissue explain the labels?" in page.text
    assert "Train with --split site" in page.text
    assert "60 of 60 slides could not be looked at" in page.text
    described = [attrs["alt"] or "" for attrs in page.all("img")]
    assert any("AUROC for msi: the model itself" in alt and "; site 1.00" in alt for alt in described)
    for name in ("audit.json", "audit.csv", "confounders.csv"):
        assert (run / name).is_file()


def test_few_resamples_do_not_disarm_the_audit(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", [MSI])
    report_on(run, resamples=100)
    assert json.loads((run / "audit.json").read_text())["settings"]["permutations"] == 2000


def test_a_run_without_confounding_says_so(tmp_path: Path, make_run: MakeRun) -> None:
    page, values, _ = report_on(make_run(tmp_path / "run", [SCORE]), resamples=200)
    assert values["audit"]["headline"] == ""
    assert "No error and no warning." in page.text
    assert "predicted within sites as across them" in page.text


def test_the_head_says_that_a_run_is_a_first_look(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", (SCORE,))
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(sealed({**facts, "quick": True})), encoding="utf-8")
    page, values, _ = report_on(run)
    head = page.text[: page.text.index("Patients and slides")]
    assert FIRST_LOOK in head and values["run"]["quick"]


def test_the_head_says_how_labels_were_taken(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", (MSI, GRADE))
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    doubt = "If it is the other way round: --target msi:binary:msi:positive=stable."
    facts["codings"] = {
        "msi": {"text": "positive class: instable; the other: stable", "doubt": doubt},
        "grade": {"text": "order, lowest first: low < intermediate < high (by their words)", "doubt": ""},
    }
    (run / "run.json").write_text(json.dumps(sealed(facts)), encoding="utf-8")
    page, values, _ = report_on(run)
    head = page.text[: page.text.index("Patients and slides")]
    assert f"Labels: positive class: instable; the other: stable. {doubt}" in head
    assert "Labels: order, lowest first: low < intermediate < high (by their words)." in head
    assert [target["doubt"] for target in values["targets"]] == [doubt, ""]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("median", "is the median of the predicted distribution"),
        ("balanced", "most probable after all classes were given equal weight"),
        ("sensitivity=0.95", "its probability reaches the threshold of sensitivity=0.95"),
        ("", "most probable after all classes were given equal weight"),
    ],
)
def test_the_rule_that_called_the_classes_is_told(
    tmp_path: Path, make_run: MakeRun, rule: str, words: str
) -> None:
    """Tables of earlier versions, which knew but one rule, do not name it."""
    run = make_run(tmp_path / "run", (GRADE,), pictures=False)
    table = pd.read_csv(run / "predictions/grade.csv", dtype=str)
    if rule:
        table.assign(decided_by=rule).to_csv(run / "predictions/grade.csv", index=False)
    page, values, _ = report_on(run)
    assert words in page.text and values["targets"][0].get("decided_by", "") == rule


def test_page_is_one_whole_file(whole: tuple[Page, dict[str, Any], str, Path]) -> None:
    page, _, text, _ = whole
    assert page.open == []
    assert len(text.encode()) < 10e6
    assert page.all("script") == [{}] and not page.all("link") and not page.all("iframe")
    sources = [attrs.get("src") or "" for _, attrs in page.tags if "src" in attrs]
    assert sources and all(source.startswith("data:image/") for source in sources)
    links = [attrs["href"] or "" for attrs in page.all("a")]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert len(ids) == len(set(ids))
    assert "@import" not in text and "url(" not in text and "://" not in text


def test_page_can_be_read_without_eyes(whole: tuple[Page, dict[str, Any], str, Path]) -> None:
    page = whole[0]
    assert page.all("html")[0]["lang"] == "en"
    assert all(image.get("alt") for image in page.all("img"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_report_json_is_read_by_its_model(whole: tuple[Page, dict[str, Any], str, Path]) -> None:
    path = whole[3] / "report.json"
    read = read_document(Report, path, TableError, "Write the report again.")
    assert read.to_dict() == whole[1] and whole[1]["format"] == "histonic-report-1"
    kinds = {target.task.kind: type(target.curves).__name__ for target in read.targets}
    assert kinds["regression"] == "ValueCurves" and kinds["survival"] == "SurvivalCurves"


@pytest.mark.parametrize(
    ("field", "value"),
    [("targets", [{}]), ("tested", "60"), ("audit", {"findings": []}), ("format", "histonic-report-0")],
)
def test_a_damaged_report_json_is_refused_by_its_field(
    whole: tuple[Page, dict[str, Any], str, Path], field: str, value: Any, tmp_path: Path
) -> None:
    (tmp_path / "report.json").write_text(json.dumps({**whole[1], field: value}), encoding="utf-8")
    with pytest.raises(TableError, match=rf"(?s)report\.json.*{field}.*Write the report again"):
        read_document(Report, tmp_path / "report.json", TableError, "Write the report again.")


def test_page_says_what_went_in_and_what_came_out(whole: tuple[Page, dict[str, Any], str, Path]) -> None:
    page, values, _, _ = whole
    for target in values["targets"]:
        assert words.score_words(Score(**target["scores"][0])).replace(words.NBSP, " ") in page.text
        assert target["summary"].replace(words.NBSP, " ") in page.text
        assert cohort.missing_words(60, target["n"]) in page.text
        for score in target["scores"]:
            assert score["name"] in page.text
            assert words.interval_words(Score(**score)) in page.text
    for item in values["exclusions"]:
        assert f"{item['what']} {item['name']} {item['reason']}" in page.text
    for item in values["failures"]:
        assert f"{item['slide_id']} {item['stage']} {item['reason']}" in page.text
    assert values["run"]["encoder"]["fingerprint"] in page.text and "Apache-2.0" in page.text
    assert "63 given" in page.text and "61 compressed, in the store" in page.text
    assert "62 in the label table" in page.text


def test_every_kind_has_its_figures(whole: tuple[Page, dict[str, Any], str, Path]) -> None:
    assert tuple(PICTURES) == TASK_KINDS
    alts = [image["alt"] or "" for image in whole[0].all("img")]
    starts = {
        "ROC curve": 3,
        "Calibration": 2,  # not of 12 to 17 patients a class
        "Confusion": 3,
        "Predicted score": 1,
        "Scatter": 1,
        "Kaplan": 1,
        "Decision curve": 2,
        "Time-dependent AUC": 1,
        "Brier score over time": 1,
        "Predicted and observed share": 0,  # 15 events by then
    }
    assert {start: sum(alt.startswith(start) for alt in alts) for start in starts} == starts
    assert sum(alt.startswith("Training and validation loss") for alt in alts) == 1
    assert "Calibration of “luminal A”, “luminal B”, “HER2” and “basal” is not drawn" in whole[0].text


def test_history_is_kept_whole(whole: tuple[Page, dict[str, Any], str, Path]) -> None:
    _, values, _, run = whole
    with (run / "history.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "1"]
    second = values["history"][1]
    assert second["fold"] == 1 and second["epoch"] == list(range(24))
    for key in ("learning_rate", "train_loss", "validation_loss"):
        assert second[key] == [float(row[key]) for row in rows]


def test_folds_and_sites_add_up(whole: tuple[Page, dict[str, Any], str, Path]) -> None:
    _, values, _, run = whole
    assert [row["name"] for row in values["folds"]] == [0, 1, 2, 3]
    assert [row["name"] for row in values["sites"]] == ["Bergen", "Oslo", "Utrecht"]
    for table in ("folds", "sites"):
        assert sum(row["patients"] for row in values[table]) == 60
        for target in values["targets"]:
            name = target["task"]["name"]
            assert sum(row["targets"][name]["n"] for row in values[table]) == target["n"]
    with (run / "predictions" / "overall_survival.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "2" and row["time"]]
    survival = values["folds"][2]["targets"]["overall_survival"]
    assert survival == {"n": len(rows), "events": sum(row["event"] == "1" for row in rows)}
    with (run / "predictions" / "grade.csv").open() as file:
        high = sum(row["truth"] == "high" for row in csv.DictReader(file) if row["site"] == "Oslo")
    assert values["sites"][1]["targets"]["grade"]["classes"][2] == {"name": "high", "n": high}


def test_same_run_same_bytes(whole: tuple[Page, dict[str, Any], str, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole[3], tmp_path / "run"))
    first = [(run / name).read_bytes() for name in ("report.html", "report.json")]
    os.utime(run / "run.json", (1, 1))
    report_on(run)
    assert [(run / name).read_bytes() for name in ("report.html", "report.json")] == first


def test_no_skill_is_not_told_apart_from_chance(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", tasks=(MSI, SURVIVAL), skill=0, sites=(), seed=3, pictures=False)
    page, values, _ = report_on(run, 500)
    assert [target["against_chance"] for target in values["targets"]] == ["covers", "covers"]
    assert page.text.count("Not told apart from chance:") == 2
    assert "The label table names no sites." in page.text


def test_commands_hold_what_is_not_default(whole: tuple[Page, dict[str, Any], str, Path]) -> None:
    compress, train, report = (" ".join(text.replace("\\\n", "").split()) for text in whole[1]["commands"])
    assert compress == (
        "histonic compress SLIDES --encoder colour --out store --exact-averaging --precision 32 "
        "--tissue-min-speck-um2 30000.0"
    )
    assert train.startswith("histonic train store --labels labels.csv --target msi:binary --target subtype:")
    assert train.endswith("--out run --max-epochs 60 --columns patient_id=case")
    assert report == "histonic report run --resamples 100"


def test_commands_hold_what_was_said_of_the_slides(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", (SCORE,), pictures=False)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts["slides_given"] = {"default_mpp": [0.5], "names": ["path"], "masked": True}
    facts["compress_settings"]["tissue"]["source"] = "masks"
    facts["compress_settings"]["mask"] = {"values": ["1", "2-4"], "classes": ["Tumor", "in situ"]}
    (run / "run.json").write_text(json.dumps(sealed(facts)), encoding="utf-8")
    page, values, _ = report_on(run)
    compress = values["commands"][0].replace("\\\n", "").split("--")
    wanted = ["mpp 0.5", "names path", "masks MASKS", "tissue masks", "mask-values 1", "mask-values 2-4"]
    assert {*wanted, "mask-classes Tumor", "mask-classes 'in situ'"} <= {each.strip() for each in compress}
    assert "MASKS for the folder of masks" in page.text
    assert "--tile-um" not in values["commands"][0]
    words = shlex.split(values["commands"][0].replace("\\\n", " "))
    made = histonic.commands["compress"].make_context("compress", words[2:])
    assert made.params["mpp"] == "0.5" and made.params["tissue_source"] == "masks"
    facts["slides_given"] = {"default_mpp": [0.25, 0.5], "names": ["file"], "masked": False}
    facts["encoder"]["spec"]["mpp"] /= 4
    (run / "run.json").write_text(json.dumps(sealed(facts)), encoding="utf-8")
    page, values, _ = report_on(run)
    assert [" ".join(each.split()[1:2]) for each in values["commands"]] == [
        "compress", "compress", "train", "report",
    ]  # fmt: skip
    assert "--mpp 0.25" in values["commands"][0] and "--mpp 0.5" in values["commands"][1]
    side = facts["encoder"]["spec"]["mpp"] * facts["encoder"]["spec"]["tile_px"]
    assert all(f"--tile-um {side:g}" in each for each in values["commands"][:2])
    assert "MASKS" not in page.text


def test_names_from_tables_cannot_break_the_page(tmp_path: Path, make_run: MakeRun, run_facts: Facts) -> None:
    odd = Task("<b>$x$ &", "binary", ("x",), ("_no <i>", "$yes$ & more"))
    run = make_run(tmp_path / "run", tasks=(SCORE,), patients=24, sites=("<script>alert(1)</script>",))
    (run / "run.json").write_text(json.dumps({**run_facts((SCORE, odd)), "aggregator": "<u>"}))
    rows = {"patient_id": list("abcdefgh"), "site": [""] * 8, "fold": list("01230123")}
    rows |= {"truth": list(odd.classes) * 4, "predicted": list(odd.classes) * 4}
    rows |= {"p__no <i>": [0.7, 0.4] * 4, "p_$yes$ & more": [0.3, 0.6] * 4}
    with (run / "predictions" / f"{odd.name}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(rows), *zip(*rows.values(), strict=True)])
    page, _, _ = report_on(run)
    assert page.all("script") == [{}] and not page.all("i") and not page.all("u") and not page.all("b")
    assert "$yes$ & more" in page.text and "<script>alert(1)</script>" in page.text


def test_one_target_that_cannot_be_scored_costs_nothing_else(
    tmp_path: Path, make_run: MakeRun, run_facts: Facts
) -> None:
    run = make_run(tmp_path / "run", tasks=(MSI, SCORE), patients=24, pictures=False)
    path = run / "predictions" / "msi.csv"
    path.write_text(path.read_text().replace(",instable,", ",stable,"))
    page, values, _ = report_on(run)
    assert "This target could not be evaluated. All 24 patients are 'stable'." in page.text
    assert values["targets"][1]["scores"][0]["value"] > 0
    (run / "run.json").write_text(json.dumps(run_facts((MSI,))))
    with pytest.raises(CohortError, match="All 24 patients are 'stable'"):
        report_on(run)


def test_many_slides_are_thinned_out(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", tasks=(SCORE,), patients=24, slides_each=3)
    os.remove(run / "thumbnails" / "P003-B.jpg")
    (run / "thumbnails" / "P000-A.jpg").write_bytes(b"\xff\xd8 no picture")
    said: list[str] = []

    class Listener(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    path = write_report(ReportSettings(run=run, resamples=100), progress=Listener())
    page, values = Page(path.read_text(encoding="utf-8")), json.loads((run / "report.json").read_text())
    assert values["slides"]["without_picture"] == ["P003-B"]
    assert len(values["slides"]["shown"]) == SLIDES_SHOWN
    assert "60 of 72 slides are shown, spread evenly over the list; 11 more" in page.text
    assert "1 slide without a stored picture: P003-B" in page.text
    # Beside them stands the picture of a slide of each patient in the case list, the damaged one left out.
    shown = SLIDES_SHOWN - 1 + len(values["cases"]["cases"]) - 1
    assert sum("jpeg" in (image["src"] or "") for image in page.all("img")) == shown
    assert len(said) == 1 and "P000-A" in said[0]


@pytest.mark.parametrize("name", ["run.json", "cohort.json", "settings.yaml", "history.csv", "failures.json"])
def test_unfinished_run_is_named(tmp_path: Path, name: str, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", tasks=(SCORE,), patients=12, pictures=False)
    os.remove(run / name)
    found = "has not finished" if name == "run.json" else rf"(?s){re.escape(name)}.*no such file"
    with pytest.raises(RunError, match=found) as caught:
        report_on(run)
    assert "histonic train" in caught.value.todo
    assert not (run / "report.html").exists()


def test_refusals(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(RunError, match="no such folder"):
        report_on(tmp_path / "nowhere")
    run = make_run(tmp_path / "run", tasks=(SCORE, MSI), patients=12, pictures=False)
    (run / "history.csv").write_text("fold,epoch\n0,0\n")
    with pytest.raises(RunError, match="no column repeat, initialisation"):
        report_on(run)
    os.remove(run / "predictions" / "msi.csv")
    with pytest.raises(RunError, match=r"predictions.msi\.csv"):
        report_on(run)
    assert not list(run.glob("*report*"))


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_read_only_run(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", tasks=(SCORE,), patients=12, pictures=False)
    run.chmod(0o500)
    with pytest.raises(OutputError, match="may not write"):
        report_on(run)


def test_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_run: MakeRun
) -> None:
    run = make_run(tmp_path / "run", tasks=(SCORE,), patients=12, pictures=False)

    def full(self: Path, *_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        write_report(ReportSettings(run=run, resamples=100), progress=Silent())
    assert not list(run.glob("*report*"))


def test_training_without_epochs_has_no_figure() -> None:
    losses = {"validation_loss": [None], "train_loss": [1.0], "learning_rate": [None]}
    empty = NetworkHistory(repeat=0, fold=0, initialisation=0, epoch=[0], **losses)
    assert training_picture([]) is None and training_picture([empty]) is None


@pytest.mark.parametrize(
    ("value", "low", "high", "crossed"),
    [
        (0.62, 0.52, 0.70, "near"),
        (0.66, 0.56, 0.74, "better"),
        (0.30, 0.20, 0.38, "worse"),
        (0.55, 0.45, 0.64, "covers"),
    ],
)
def test_words_of_a_verdict(value: float, low: float, high: float, crossed: str) -> None:
    score = Score("AUROC", value, low, high, 0.5, higher_is_better=True)
    verdict, plain = judge([score], [True])[0], judge([score], [False])[0]
    said = words.chance_words(score, verdict, "msi")
    assert ("networks that have learned nothing but noise" in said) == (crossed == "near")
    assert ("taken 1.4 times as wide for cross-validation" in said) == (crossed in ("better", "worse"))
    assert "cross-validation" not in words.chance_words(score, plain, "msi")


def test_the_interval_that_was_used_is_printed() -> None:
    score = Score("AUROC", 0.62, 0.52, 0.70, 0.5, higher_is_better=True)
    said = words.chance_words(score, judge([score], [True])[0], "msi")
    # 0.62 - 1.41 * 0.10 and 0.62 + 1.41 * 0.08.
    assert "Taken so much wider it is 0.48 to 0.73, which contains chance" in said


def test_several_targets_are_said_to_be_several() -> None:
    score = Score("AUROC", 0.62, 0.51, 0.73, 0.5, higher_is_better=True)
    verdict = judge([score, score], [False, False])[0]
    said = words.chance_words(score, verdict, "msi")
    assert "2 targets were tried" in said and "p = 0.065" in said


def test_the_pooled_value_gets_a_sentence_where_it_differs() -> None:
    leading = Score("AUROC", 0.62, 0.51, 0.73, 0.5, higher_is_better=True)
    pooled = Score("AUROC, folds pooled", 0.40, 0.3, 0.5, 0.5, higher_is_better=True)
    assert "the AUROC is 0.40" in words.pooled_words([leading, pooled])
    assert words.pooled_words([leading, replace(pooled, value=0.625)]) == ""
    assert words.pooled_words([leading]) == ""


def test_drawings_stay_on_their_line() -> None:
    score = Score("R²", -3.0, -7.0, 0.5, 0.0, higher_is_better=True)
    assert interval_drawing(score) == {"value": 0, "low": 0, "high": 75, "chance": 50}
    error = Score("Mean absolute error", 5.0, 4.0, 10.0, 8.0, higher_is_better=False)
    assert interval_drawing(error) == {"value": 43.48, "low": 34.78, "high": 86.96, "chance": 69.57}
    assert interval_drawing(replace(error, value=None)) is None


# ------------------------------------------------- groups, clinical columns, other cohorts


def gained(low: float, *, slides: float = 0.7, p: float = 0.01, crossed: bool = True) -> str:
    """What is said of a gain of 0.2 whose interval begins at ``low``."""

    def area(value: float) -> Score:
        return Score("AUROC", value, value - 0.1, value + 0.1, 0.5, higher_is_better=True)

    models = (("clinical", 0.55), ("image", slides), ("both", 0.75))
    gain = replace(area(0.2), low=low, high=0.4 - low)
    return groups.clinical_words(
        Clinical(
            n=40,
            trained=0,
            metric="AUROC",
            columns=[ClinicalColumn(name="age", kind="number", missing=0)],
            models=[NamedScore(name=name, score=area(value)) for name, value in models],
            gains=[NamedScore(name="both − clinical", score=gain)],
            test=AddedByImage(kind="F", statistic=1.0, degrees=1, p=p, crossed=crossed),
        )
    )


def test_slides_are_said_to_add_only_where_all_evidence_agrees() -> None:
    assert gained(0.12).endswith("the slides add to what these columns tell.")
    assert "turned round" in gained(0.12, slides=0.24)
    assert "p = 0.27" in gained(0.12, p=0.27)
    # The lower half of the interval is 0.16: 1.4 times as wide it would reach below 0.
    assert "1.4 times" in gained(0.04)
    assert gained(0.04, crossed=False).endswith("add to what these columns tell.")
    for doubtful in (gained(0.12, slides=0.24), gained(0.12, p=0.27), gained(0.04), gained(-0.02)):
        assert "does not show that the slides add" in doubtful


def label_table(run: Path, **columns: Callable[[int], str]) -> Path:
    """A label table for the patients of a made-up run."""
    patients = [item["patient_id"] for item in json.loads((run / "cohort.json").read_text())["patients"]]
    path = run.parent / "moved.csv"
    rows = [[name, *(make(k) for make in columns.values())] for k, name in enumerate(patients)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["case", *columns], *rows])
    return path


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> tuple[Page, dict[str, Any]]:
    """A run with repeats of one target, an external cohort, subgroups and clinical columns."""
    run = make_run(tmp_path_factory.mktemp("rich") / "run", tasks=(MSI, SURVIVAL), pictures=False)
    path = run / "predictions" / "msi.csv"
    once = pd.read_csv(path)
    pd.concat([once, once.assign(repeat=1)]).to_csv(path, index=False)
    outside = write_external(run, "Tromsø")
    survival = (run / "predictions" / "overall_survival.csv").read_text().splitlines()
    cells = [line.split(",") for line in survival]
    lines = [",".join([*row[:3], "fold" if k == 0 else "-1", *row[4:]]) for k, row in enumerate(cells)]
    (outside / "predictions" / "overall_survival.csv").write_text("\n".join(lines[:41]) + "\n")
    table = label_table(
        run,
        age=lambda k: "" if k == 5 else str(40 + k),
        sex=lambda k: "f" if k % 2 else "m",
        stage=lambda k: "I" * (1 + k % 3),
    )
    report = ReportSettings(
        run=run, resamples=100, subgroups=("sex", "age"), clinical=("age", "stage"), labels=table
    )
    text = write_report(report).read_text(encoding="utf-8")
    return Page(text), json.loads((run / "report.json").read_text(encoding="utf-8"))


def test_groups_are_told_with_a_warning(rich: tuple[Page, dict[str, Any]]) -> None:
    page, values = rich
    for target in values["targets"]:
        names = [(group["name"], [level["name"] for level in group["levels"]]) for group in target["groups"]]
        assert names == [
            ("site", ["Bergen", "Oslo", "Utrecht"]), ("sex", ["f", "m"]), ("age", ["≤ 70", "> 70"])
        ]  # fmt: skip
        assert sum(level["n"] for level in target["groups"][1]["levels"]) == target["n"]
        groupings = [Grouping.model_validate(group) for group in target["groups"]]
        assert groups.spread_words(groupings) in page.text and "corrected for several" in page.text
    assert "sex: f 30" in page.text
    site = values["targets"][0]["groups"][0]["levels"][0]
    assert site["few"] and site["warning"] in page.text


def test_clinical_columns_stand_beside_the_slides(rich: tuple[Page, dict[str, Any]]) -> None:
    page, values = rich
    for target in values["targets"]:
        clinical = target["clinical"]
        assert clinical["summary"].replace(words.NBSP, " ") in page.text
        assert [column["missing"] for column in clinical["columns"]] == [1, 0]
        assert words.p_words(clinical["test"]["p"]) in page.text
        for row in clinical["gains"]:
            assert groups.difference_words(Score(**row["score"])) in page.text


def test_with_a_fixed_split_clinical_columns_learn_from_those_who_trained(
    tmp_path: Path, make_run: MakeRun
) -> None:
    run = make_run(tmp_path / "run", tasks=(MSI, SURVIVAL), patients=80, pictures=False)
    facts, cohort = (json.loads((run / name).read_text()) for name in ("run.json", "cohort.json"))
    frames = {name: pd.read_csv(run / "predictions" / f"{name}.csv") for name in ("msi", "overall_survival")}
    for k, patient in enumerate(cohort["patients"]):
        patient["tested_in"] = [[0, 0]] if k < 40 else []
        months, event = frames["overall_survival"].loc[k, ["time", "event"]]
        patient["targets"] = {
            "msi": frames["msi"].loc[k, "truth"], "overall_survival": [float(months), float(event)]
        }  # fmt: skip
    for name, frame in frames.items():
        frame.iloc[:40].assign(fold=0).to_csv(run / "predictions" / f"{name}.csv", index=False)
    (run / "run.json").write_text(json.dumps({**facts, "split": "fixed", "folds": 1}), encoding="utf-8")
    (run / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    table = label_table(run, age=lambda k: str(40 + k % 37), sex=lambda k: "f" if k % 2 else "m")
    report = ReportSettings(run=run, resamples=100, clinical=("age", "sex"), labels=table)
    page = Page(write_report(report).read_text(encoding="utf-8"))
    values = json.loads((run / "report.json").read_text(encoding="utf-8"))
    for target in values["targets"]:
        assert (target["clinical"]["n"], target["clinical"]["trained"]) == (40, 40)
        assert not target["crossed"] and not target["clinical"]["test"]["crossed"]
    assert "fitted to the 40 patients who trained or validated" in page.text
    assert "surer than they should be" not in page.text


def test_an_external_cohort_has_a_heading_of_its_own(rich: tuple[Page, dict[str, Any]]) -> None:
    page, values = rich
    (cohort,) = values["external"]
    assert cohort["name"] == "Tromsø" and "External cohort: Tromsø" in page.text
    (target,) = cohort["targets"]
    assert target["n"] == 40 and "C-index within folds" not in {score["name"] for score in target["scores"]}
    assert sum((image["alt"] or "").startswith("Kaplan") for image in page.all("img")) == 2


def test_events_that_come_sooner_elsewhere_show_in_the_calibration(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", tasks=(SURVIVAL,), pictures=False)
    outside = write_external(run, "Graz")
    frame = pd.read_csv(run / "predictions" / "overall_survival.csv")
    sooner = frame.assign(fold=-1, time=frame["time"] / 4)
    sooner.to_csv(outside / "predictions" / "overall_survival.csv", index=False)
    page, values, _ = report_on(run)
    scores = values["external"][0]["targets"][0]["scores"]
    assert next(s["value"] for s in scores if s["name"].startswith("Observed / expected")) > 1.5
    assert "nothing was fitted to the patients shown here" in page.text


def test_an_external_cohort_of_the_runs_own_patients_is_called_no_test(
    tmp_path: Path, make_run: MakeRun
) -> None:
    run = make_run(tmp_path / "run", tasks=(MSI,), pictures=False)
    for path in (run / "cohort.json", run / "predictions" / "msi.csv"):
        # Names that are the same patient wherever they stand.
        path.write_text(re.sub(r"\bP(\d{3})\b", r"TCGA-AA-0\1", path.read_text()))
    frame = pd.read_csv(run / "predictions" / "msi.csv")
    strangers = frame.assign(patient_id=[f"stranger{number}" for number in range(len(frame))])
    for name, table in (("Graz", strangers), ("a hospital in Graz", frame)):
        outside = write_external(run, name)
        table.assign(fold=-1).to_csv(outside / "predictions" / "msi.csv", index=False)
    page, values, _ = report_on(run)
    assert {each["name"]: each["overlap"] for each in values["external"]} == {
        "Graz": [],
        "a hospital in Graz": [f"{len(frame)} patient(s) both in this cohort and in a hospital in Graz"],
    }
    assert page.text.count("This is no test on new patients.") == 1
    assert page.text.count("took no part in training") == 1


def test_repeats_are_said(rich: tuple[Page, dict[str, Any]]) -> None:
    page, values = rich
    assert values["targets"][0]["curves"]["repeats"] == 2 and values["targets"][0]["n"] == 60
    assert sum(row["targets"]["msi"]["n"] for row in values["sites"]) == 60
    assert "repeated 2 times" in page.text


def test_hazard_ratios_are_on_the_page(rich: tuple[Page, dict[str, Any]]) -> None:
    page, values = rich
    for row in values["targets"][1]["curves"]["hazard_ratios"]:
        assert row["low"] < row["value"] < row["high"]
        assert f"{row['name']} {words.significant(row['value'])} (" in page.text


def test_patients_events_and_follow_up_stand_in_the_head_of_a_target(
    rich: tuple[Page, dict[str, Any]],
) -> None:
    page, values = rich
    msi, survival = values["targets"]
    for name, row in zip(msi["task"]["classes"], msi["curves"]["confusion"]["counts"], strict=True):
        assert f"{sum(row)} “{name}”" in page.text
    found = survival["curves"]["follow_up"]
    assert found["events"] == sum(group["events"] for group in survival["curves"]["km"]["groups"])
    assert f"{found['events']} events in {found['n']} patients. The median follow-up" in page.text
    row = survival["curves"]["restricted_mean"]
    assert f"Up to {words.compact(row['until'])}, the last round time" in page.text
    assert f"a difference of {words.compact(row['difference'])} (" in page.text


def test_the_smooth_curve_is_drawn_where_there_is_one(rich: tuple[Page, dict[str, Any]]) -> None:
    page, values = rich
    assert "smooth curve" not in page.text and "smooth" not in values["targets"][0]["curves"]
    told = {key: value for key, value in values.items() if key != "format"}
    target = Report.model_validate(told).targets[0]
    curves = target.curves
    assert isinstance(curves, ClassCurves)
    line = ClassLine(name=curves.roc[0].name, x=(0.1, 0.5, 0.9), y=(0.2, 0.4, 0.8))
    plain = calibration_picture(target, curves)
    drawn = calibration_picture(target, curves.model_copy(update={"smooth": line}))
    assert drawn.uri != plain.uri and drawn.caption.startswith(plain.caption)
    assert "smooth curve" in drawn.caption and "smooth curve" not in plain.caption


@pytest.mark.parametrize(
    ("median", "said"),
    [
        ((None, None, None), "is not reached: too few patients were censored."),
        ((48.0, 44.0, None), "is 48 (95 % interval 44 to no upper end), in the unit of “months”."),
        ((48.0, 44.0, 52.5), "is 48 (95 % interval 44 to 52.5), in the unit of “months”."),
    ],
)
def test_words_of_the_follow_up(median: tuple[float | None, ...], said: str) -> None:
    ends = dict(zip(("median", "low", "high"), median, strict=True))
    text = outcome.follow_up_words(FollowUp(n=9, events=1, competing=2, **ends), "months")
    text = text.replace(words.NBSP, " ")
    assert text.startswith("1 event in 9 patients, and another cause in 2. ") and text.endswith(said)


@pytest.mark.parametrize(("crossed", "low"), [(True, 1.0), (False, 1.0), (True, None)])
def test_words_of_the_restricted_means(crossed: bool, low: float | None) -> None:
    high = None if low is None else 9.0
    row = RestrictedMeanRow(until=60, low_risk=45, high_risk=40, difference=5, low=low, high=high)
    text = outcome.restricted_mean_words(row, crossed).replace(words.NBSP, " ")
    assert ("patients of all folds together" in text) == crossed
    assert ("Its variance counts twice" in text) == (crossed and low is not None)
    assert ("95 % interval 1 to 9" in text) == (low is not None)
    assert ("no interval: fewer than five events" in text) == (low is None)


def test_only_cross_validated_predictions_carry_the_caveat(rich: tuple[Page, dict[str, Any]]) -> None:
    page, values = rich
    assert [target["crossed"] for target in values["targets"]] == [True, True]
    assert [target["crossed"] for target in values["external"][0]["targets"]] == [False]
    # Once beside the hazard ratios of the run, not of the external cohort.
    assert page.text.count("the variance counts twice here") == 1


def test_a_label_table_that_moved_is_asked_for(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", tasks=(SCORE,), patients=24, pictures=False)
    with pytest.raises(SettingsError, match="--labels"):
        write_report(run=run, resamples=100, subgroups=["sex"])
    table = label_table(run, sex=lambda k: "")
    write_report(run=run, resamples=100, clinical=["sex"], labels=table)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "The column &#39;sex&#39; is empty for all patients." in text


def test_differences_carry_their_sign() -> None:
    score = Score("AUROC", -0.021, -0.05, None, 0.0, higher_is_better=True)
    assert groups.difference_words(score) == f"{words.MINUS}0.02"
    assert groups.difference_words(replace(score, value=None, low=None)) == "undefined"


def test_a_fixed_split_is_told_as_such(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", tasks=(MSI,), pictures=False)
    table = pd.read_csv(run / "predictions" / "msi.csv")
    tested = table[table.fold == 0].assign(fold=0)
    tested.to_csv(run / "predictions" / "msi.csv", index=False)
    cohort = json.loads((run / "cohort.json").read_text())
    for patient in cohort["patients"]:
        patient["tested_in"] = [place for place in patient["tested_in"] if place[1] == 0]
    (run / "cohort.json").write_text(json.dumps(cohort))
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "split": "fixed", "folds": 1}))
    page = Page(write_report(run=run, resamples=100).read_text(encoding="utf-8"))
    assert "15 patients of 60 were set aside by the label table" in page.text.replace(words.NBSP, " ")
    assert "have no value for this target" not in page.text
    assert "cross-validated model" not in page.text


def test_a_search_and_repeats_are_shown(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", tasks=(MSI,), pictures=False)
    rows = ["repeat,fold,aggregator,learning_rate,validation_loss,chosen"]
    for fold in range(4):
        for number, name in enumerate(("abmil", "convnet")):
            rows.append(f"0,{fold},{name},0.01,{0.5 + number / 10},{int(number == (fold == 3))}")
    (run / "search.csv").write_text("\n".join(rows) + "\n")
    history = pd.read_csv(run / "history.csv")
    pd.concat([history, history.assign(repeat=1)]).to_csv(run / "history.csv", index=False)
    path = write_report(run=run, resamples=100)
    page, values = Page(path.read_text(encoding="utf-8")), json.loads((run / "report.json").read_text())
    assert "Fold 1: aggregator abmil, learning_rate 0.01" in page.text
    assert "Fold 4: aggregator convnet" in page.text
    assert "The folds do not agree: these patients do not settle the choice." in page.text
    assert len(values["history"]) == 8
    assert all(np.diff(network["epoch"]).tolist() == [1] * 23 for network in values["history"])


def test_by_what_a_combination_was_kept_follows_from_its_aggregator() -> None:
    """Heads of aggregators without weights are fitted, and validated in a cross-validation of their own."""
    run = run_document([MSI])

    def said(*names: str) -> str:
        rows = [
            ChosenSettings(
                repeat=0, fold=fold, chosen=f"aggregator {name}", tried=2, differ=len(set(names)) > 1
            )
            for fold, name in enumerate(names)
        ]
        return cohort.search_words(run, rows)

    assert "that its networks reached was kept" in said("convnet", "convnet")
    fitted = said("mean", "mean")
    assert "any penalty of its heads" in fitted and "its networks" not in fitted and "agree" not in fitted
    both = said("mean", "convnet")
    assert "its networks reached (of aggregators without weights" in both and "do not agree" in both


def test_competing_causes_have_cumulative_incidences(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", [SURVIVAL], pictures=False)
    path = run / "predictions" / "overall_survival.csv"
    frame = pd.read_csv(path)
    other = (frame["event"] == 0) & (np.arange(len(frame)) % 2 == 0)
    frame.assign(cause=np.where(frame["event"] == 1, "cancer", np.where(other, "heart", ""))).to_csv(
        path, index=False
    )
    page, values, _ = report_on(run)
    assert (
        "Cumulative incidence by predicted risk" in page.text and "where “heart” may come first" in page.text
    )
    assert "Other causes, after which the event cannot come or does not count: heart." in page.text
    assert "Survival by predicted risk" not in page.text and "Integrated Brier" not in page.text
    assert "Log-rank test of the two hazards" in page.text and "Median time" not in page.text
    curves = values["targets"][0]["curves"]
    assert "restricted_mean" not in curves and curves["follow_up"]["competing"] == int(other.sum())
    assert "km" not in curves and curves["incidence"]["causes"] == ["heart"]
    assert sum(group["competing"] for group in curves["incidence"]["groups"]) == int(other.sum())


def test_folds_of_the_label_table_are_said_to_be_its_own() -> None:
    run = run_document([MSI]).model_copy(update={"split": "given folds", "folds": 5})
    assert "who is tested in each of 5 folds" in cohort.split_words(run)
    said = cohort.folds_words(run, 30, 20, 2)
    assert "10 of 30 are tested in none" in said and "2 patients had no part" in said
    assert "in none" not in cohort.folds_words(run, 30, 30)


# ----------------------------------------------------------------------------- tissue


def store_for(run: Path, folder: Path, slide_maker: Callable[..., Any], share: dict[str, float]) -> Path:
    """A store with a map of 200 cells for each slide of a run, half of them tissue but where told."""
    for patient in json.loads((run / "cohort.json").read_text(encoding="utf-8"))["patients"]:
        for slide_id in patient["slide_ids"]:
            mask = np.zeros((10, 20), bool)
            mask.flat[: round(200 * share.get(slide_id, 0.5))] = True
            write_map(map_folder(folder, slide_id), slide_maker(slide_id, np.ones((18, 10, 20)), mask))
    return folder


def test_slides_whose_tissue_stands_out_are_shown_first(
    tmp_path: Path, make_run: MakeRun, slide_maker: Callable[..., Any]
) -> None:
    run = make_run(tmp_path / "run", [MSI], patients=30)
    failure = {"slide_id": "P901-A", "path": "P901-A.tif", "stage": "tissue", "reason": f"{NO_CELL} Look."}
    (run / "failures.json").write_text(json.dumps([failure]), encoding="utf-8")
    store = store_for(run, tmp_path / "store", slide_maker, {"P007-A": 0.02, "P019-A": 1.0})
    thumbnail_path(store, "P901-A").parent.mkdir()
    shutil.copy(run / "thumbnails" / "P001-A.jpg", thumbnail_path(store, "P901-A"))
    path = write_report(run=run, resamples=100, store=store)
    text = path.read_text(encoding="utf-8")
    page, values = Page(text), json.loads((run / "report.json").read_text(encoding="utf-8"))
    tissue = values["tissue"]
    assert [(each["slide_id"], each["kind"]) for each in tissue["outliers"]] == [
        ("P901-A", "nothing"),
        ("P007-A", "less"),
        ("P019-A", "all"),
    ]
    assert len(tissue["slides"]) == 31 and not tissue["problem"]
    assert [each["slide_id"] for each in tissue["slides"]][:2] == ["P901-A", "P007-A"]
    cohort = text[text.index('<section id="cohort">') : text.index('<section id="reading">')]
    pictures = re.findall('alt="Slide (.+?): (.+?)"', cohort)
    assert [slide for slide, _ in pictures] == ["P901-A", "P007-A", "P019-A"]
    assert pictures[1][1].startswith("far less tissue than its neighbours: 2.0 % of its cells")
    assert "Tissue is 50 % of the cells of the median slide (2.0 % to 100 %, 30 slides)." in page.text
    # Nothing is left out by it: the same patients stand in the table of slides and in the results.
    assert values["counts"]["slides_used"] == 30
    assert "P007-A P007 tissue 2.0 % of its cells (4)" in page.text
    sites = {each["name"]: each for each in values["site_slides"]}
    assert sum(each["slides"] for each in sites.values()) == 30 and set(sites) == {
        "Bergen",
        "Oslo",
        "Utrecht",
    }
    assert all(each["tissue"]["median"] == pytest.approx(0.5) for each in sites.values())
    assert "Slides by site and cohort" in page.text
    (out,) = (each for each in values["left_out"] if each["pictured"])
    assert out["slide_id"] == "P901-A" and out["reason"].startswith("tissue: ")


def test_a_store_that_is_gone_leaves_the_share_unknown(tmp_path: Path, make_run: MakeRun) -> None:
    page, values, _ = report_on(make_run(tmp_path / "run", [MSI], patients=24))
    assert values["tissue"]["slides"] == [] and values["tissue"]["outliers"] == []
    assert "The share of tissue is not known: the store that holds the maps is not there." in page.text
    assert "stands out" not in page.text
