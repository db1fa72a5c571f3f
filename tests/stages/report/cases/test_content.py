"""The case list of a run and its place in the report: whole, in order, escaped, and small enough."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fixtures.runs import MSI, SCORE, SURVIVAL, write_external
from fixtures.stores import fake_slide, made_by
from histonic.core.compressed import CellMap
from histonic.data.maps.cell_maps import write_cell_map
from histonic.runs.run import read_run
from histonic.stages.explain.values import common_scale, greatest_value
from histonic.stages.report.cases import content, page
from histonic.stages.report.cases.content import explained_files, list_cases
from histonic.stages.report.cases.document import Case, CaseList, CaseTarget, ListedTarget
from histonic.stages.report.cases.page import split_pages
from histonic.stages.report.cases.pictures import case_pictures, pair_picture
from histonic.stages.report.cases.plain import check_words, fold_warning
from histonic.stages.report.report import _environment, write_report

MakeRun = Callable[..., Path]
EVIL = "<script>alert('P')</script>\" onload=\"x"


def names_on(text: str) -> list[str]:
    return re.findall(r'<li data-name="(.*?)"', text)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> Path:
    run = make_run(tmp_path_factory.mktemp("cases") / "run", [MSI, SCORE, SURVIVAL], missing=0.1)
    few = write_external(run, "Graz") / "predictions" / "msi.csv"
    pd.read_csv(run / "predictions" / "msi.csv").head(12).assign(fold=-1).to_csv(few, index=False)
    write_report(run=run, resamples=100)
    return run


def test_everybody_is_listed_the_misclassified_first(reported: Path) -> None:
    text = (reported / "report.html").read_text(encoding="utf-8")
    cases = json.loads((reported / "report.json").read_text(encoding="utf-8"))["cases"]["cases"]
    assert names_on(text) == [case["patient_id"] for case in cases]
    assert sorted(names_on(text)) == [f"P{number:03d}" for number in range(60)]
    verdicts = [case["targets"][0]["verdict"] for case in cases]
    known = [each for each in verdicts if each != "unknown"]
    assert known == sorted(known, key=["wrong", "right"].index) and verdicts[: len(known)] == known
    truth = pd.read_csv(reported / "predictions" / "msi.csv", dtype=str).dropna(subset=["truth"])
    assert known.count("wrong") == int((truth["truth"] != truth["predicted"]).sum())
    assert text.index('id="cases"') < text.index('id="cohort"')


def test_only_the_one_script_of_the_page_may_run(reported: Path) -> None:
    text = (reported / "report.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "unsafe-inline'; script" in text
    assert not re.search(r'\son[a-z]+="', text) and "http" not in script


def test_small_external_cohorts_say_so_before_any_number(reported: Path) -> None:
    text = (reported / "report.html").read_text(encoding="utf-8")
    part = text[text.index("External cohort: ") :]
    said = part.index("Too few to tell: 11 patients")
    assert said < part.index('class="result"')
    assert "Too few to tell" not in text[: text.index("External cohort: ")]


@pytest.mark.parametrize("column", ["patient_id", "site"])
def test_names_are_text(tmp_path: Path, make_run: MakeRun, column: str) -> None:
    run = make_run(tmp_path / "run", [MSI])
    for path in (run / "cohort.json",):
        values = json.loads(path.read_text(encoding="utf-8"))
        values["patients"][0][column] = EVIL
        path.write_text(json.dumps(values), encoding="utf-8")
    table = pd.read_csv(run / "predictions" / "msi.csv", dtype=str, keep_default_na=False)
    table.loc[0, column] = EVIL
    table.to_csv(run / "predictions" / "msi.csv", index=False)
    write_report(run=run, resamples=100)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "alert(&#39;P&#39;)" in text and "alert('P')" not in text
    assert text.count("<script") == 1 and not re.search(r'\sonload="', text)


def test_more_patients_stand_on_pages_beside(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE_PATIENTS", 25)
    run = make_run(tmp_path / "run", [SCORE])
    (run / "report-cases-9.html").write_text("of an earlier report")
    write_report(run=run, resamples=100)
    pages = [run / "report.html", run / "report-cases-2.html", run / "report-cases-3.html"]
    texts = [each.read_text(encoding="utf-8") for each in pages]
    assert [len(names_on(text)) for text in texts] == [25, 25, 10]
    assert len({name for text in texts for name in names_on(text)}) == 60
    assert 'href="report-cases-2.html">patients 26 to 50<' in texts[0]
    assert not (run / "report-cases-9.html").exists()
    monkeypatch.setattr(page, "PAGE_PATIENTS", 300)
    write_report(run=run, resamples=100)
    assert not list(run.glob("report-cases-*"))


def test_pictures_of_300_patients_fit(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=95)
    found = case_pictures({f"s{number}": tmp_path / "a.jpg" for number in range(300)})
    # Noise is the worst that a JPEG can hold; the rest of the page takes less than 3 MB.
    assert len(found) == 300 and sum(map(len, found.values())) < 7_000_000
    assert case_pictures({"gone": tmp_path / "no.jpg"}) == {}


def cell_map(folder: Path, values: list[list[float]]) -> Path:
    slide = fake_slide("s", np.zeros((2, 2, 2), np.float16), np.ones((2, 2), bool), made_by(code_size=2))
    write_cell_map(folder / "values.zarr", CellMap("s", np.array(values, np.float32), slide.grid, "x"), {})
    return folder


def test_maps_of_one_target_have_one_scale(tmp_path: Path) -> None:
    strong = cell_map(tmp_path / "strong", [[0.2, -0.2], [0.1, np.nan]])
    weak = cell_map(tmp_path / "weak", [[0.0018, -0.0018], [0.001, np.nan]])
    scale = common_scale([strong, weak, tmp_path / "absent"])
    assert scale == pytest.approx(0.2, rel=0.02) and greatest_value(weak) == pytest.approx(0.0018, rel=0.02)
    assert common_scale([]) == 1.0

    def colour(folder: Path) -> float:
        uri = pair_picture(folder, None, scale)
        (tmp_path / "pair.jpg").write_bytes(base64.b64decode(uri.split(",")[1]))
        with Image.open(tmp_path / "pair.jpg") as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(float)
        return float(np.ptp(pixels[:, picture.width // 2 + 10 :], axis=2).max())

    assert colour(strong) > 60 and colour(weak) < 25
    assert pair_picture(tmp_path / "absent", None, scale) == ""


def test_shares_of_tissue_and_links_are_of_the_patient(tmp_path: Path, make_run: MakeRun) -> None:
    run = read_run(make_run(tmp_path / "run", [MSI], slides_each=2))
    found = list_cases(run, {"P000-A": 0.5, "P000-B": 0.1}, {("msi", "P000-B"): "#map-1-1"})
    (case,) = [case for case in found.cases if case.patient_id == "P000"]
    assert (case.tissue, case.tissue_words) == (0.1, "tissue 10 % to 50 % of 2 slides")
    assert case.targets[0].explanation == "#map-1-1" and found.explained == 1
    others = [case for case in found.cases if case.patient_id != "P000"]
    assert {case.tissue_words for case in others} == {"share of tissue not known"}


def test_explanations_of_other_networks_are_not_linked() -> None:
    assert explained_files([], "explain/x", "hash", {}) == {}


def test_pages_hold_all_patients_once() -> None:
    target = CaseTarget(
        target="t", verdict="right", verdict_words="right", truth="a", predicted="a", value=1.0,
        value_words="", order=0.0,
    )  # fmt: skip
    cases = tuple(
        Case(
            patient_id=str(number), site="", slide_ids=(str(number),), pictured="", tissue=None,
            tissue_words="", targets=(target,),
        )
        for number in range(content.PAGE_PATIENTS + 1)
    )  # fmt: skip
    pages = split_pages(CaseList(cases=cases))
    assert [len(each.cases) for each in pages] == [content.PAGE_PATIENTS, 1]
    assert pages[1].words == "patients 301 to 301"


def test_links_to_maps_of_the_report_lead_there_from_other_pages() -> None:
    template = _environment().from_string(
        '{% import "cases.html.j2" as lists with context %}{{ lists.list(cases, listed, {}, report) }}'
    )

    def links(explanation: str, report: str) -> list[str]:
        target = CaseTarget(
            target="t", verdict="right", verdict_words="right", truth="a", predicted="a", value=1.0,
            value_words="", order=0.0, explanation=explanation,
        )  # fmt: skip
        case = Case(
            patient_id="P", site="", slide_ids=("P",), pictured="", tissue=None, tissue_words="",
            targets=(target,),
        )  # fmt: skip
        of = ListedTarget(name="t", kind="binary", label="t", classes=(), counted="", order_words="")
        listed = CaseList(cases=(case,), targets=(of,))
        text = template.render(
            cases=listed.cases, listed=listed, report=report, pictures={}, numbers_of=page.numbers_of(listed)
        )
        return re.findall(r'class="look" href="([^"]+)"', text)

    assert links("#map-1-1", "report.html") == ["report.html#map-1-1"]
    assert links("#map-1-1", "") == ["#map-1-1"] and links("a.png", "report.html") == ["a.png"]
    beside = _environment().loader.get_source(_environment(), "cases_page.html.j2")[0]  # type: ignore[union-attr]
    assert 'lists.list(cases, listed, pictures, "report.html")' in beside


def test_a_map_that_ranks_no_better_is_not_praised() -> None:
    assert "as it should" in check_words("yes", 0.1, 0.9, 0.5, better=True)
    assert "as it should" not in check_words("yes", 0.5, 0.5, 0.5, better=False)


@pytest.mark.parametrize("word", ["near", "several", "covers", "worse", "unknown"])
def test_whatever_is_not_better_than_chance_is_folded(word: str) -> None:
    assert fold_warning(word, True) and not fold_warning("better", True)  # type: ignore[arg-type]
