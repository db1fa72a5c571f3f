"""The audit of stores and runs: planted leaks and confounders are raised, clean cohorts pass."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.runs import cohort_document, run_document, write_external
from histonic.core.cohort import Cohort, Patient
from histonic.core.documents import read_document, write_document
from histonic.core.errors import RunError, SettingsError, StoreError, TableError
from histonic.core.task import Task
from histonic.data.maps.shares import TissueShare
from histonic.slides.likeness import SIDE, Appearance
from histonic.stages.audit.audit import audit, audit_cohort
from histonic.stages.audit.copies import OtherCohort
from histonic.stages.audit.facts import SlideFacts, list_confounders, read_slide_facts
from histonic.stages.audit.findings import AuditFile, AuditResult, Finding, turned_words
from histonic.stages.audit.run import audit_run
from histonic.stages.audit.sites import model_order, site_finding, within_sites

EMPTY = np.zeros((SIDE, SIDE))
TASK = Task("y", "binary", ("y",), ("no", "yes"))
SCORE = Task("score", "regression", ("score",))


def facts_of(slide: str, number: int, **changes: object) -> SlideFacts:
    """A slide with a picture of its own."""
    rng = np.random.default_rng(number)
    appearance = Appearance((200.0, 140.0, 180.0), np.ones((SIDE, SIDE)), rng.normal(size=(SIDE, SIDE)))
    values = {
        "slide_id": slide, "fingerprint": f"file {number}", "scanner": "", "storage": "svs", "mpp": 0.25,
        "glass_mm2": 100.0 + number % 7, "tissue_mm2": 20.0 + number % 5, "appearance": appearance,
    }  # fmt: skip
    return SlideFacts(**{**values, **changes})


def cohort_of(n: int, *, site: object = None, truth: object = None) -> tuple[Cohort, dict[str, SlideFacts]]:
    rng = np.random.default_rng(0)
    sites = rng.integers(0, 3, n) if site is None else site
    values = rng.permutation(np.arange(n) % 2) if truth is None else truth
    patients = tuple(
        Patient(f"P{k:03d}", (f"s{k:03d}",), f"site {sites[k]}", {"y": float(values[k])}) for k in range(n)
    )
    return Cohort((TASK,), patients), {f"s{k:03d}": facts_of(f"s{k:03d}", k) for k in range(n)}


def of_code(result: AuditResult, code: str) -> list[Finding]:
    return [finding for finding in result.findings if finding.code == code]


def test_clean_cohort_has_no_finding() -> None:
    result = audit_cohort(*cohort_of(40), permutations=200)
    assert result.findings == ()
    assert result.slides == result.compared == 40


def test_one_slide_under_two_patients_is_an_error_under_one_a_warning() -> None:
    cohort, facts = cohort_of(30)
    turned = Appearance((180.0, 120.0, 170.0), EMPTY + 1, np.rot90(facts["s001"].appearance.texture) * 0.9)
    facts["s007"] = facts_of("s007", 7, appearance=turned)
    facts["s012"] = facts_of("s012", 12, fingerprint="file 3")
    patients = list(cohort.patients)
    patients[20] = Patient("P020", ("s020", "s021"), "site 0", {"y": 1.0})
    del patients[21]
    facts["s021"] = facts_of("s021", 21, appearance=facts["s020"].appearance)
    part = {patient.patient_id: number % 4 for number, patient in enumerate(patients)}
    result = audit_cohort(Cohort(cohort.tasks, tuple(patients)), facts, part=part, permutations=200)
    found = {finding.where: finding for finding in of_code(result, "duplicate")}
    assert found["slides s001 and s007"].level == "error"
    assert "P001 and P007" in found["slides s001 and s007"].what
    assert "turned by" in found["slides s001 and s007"].found
    assert "different parts (1 and 3)" in found["slides s001 and s007"].found
    assert found["slides s003 and s012"].found.startswith("They are the same file.")
    assert found["slides s020 and s021"].level == "warning"
    assert len(found) == 3
    assert [copy.same_file for copy in result.copies] == [False, True, False]
    assert result.findings[0].level == "error" and result.findings[-1].level == "warning"


def test_one_patient_under_two_identifiers() -> None:
    cohort, facts = cohort_of(30)
    renamed = [
        Patient(name, patient.slide_ids, patient.site, patient.targets)
        for name, patient in zip(
            ["TCGA-3C-AALI", "tcga-3c-aali-01Z", "Case 7", "case_7"], cohort.patients, strict=False
        )
    ]
    result = audit_cohort(Cohort(cohort.tasks, (*renamed, *cohort.patients[4:])), facts, permutations=200)
    assert [finding.what for finding in of_code(result, "patient")] == [
        "One patient under several identifiers: Case 7, case_7",
        "One patient under several identifiers: TCGA-3C-AALI, tcga-3c-aali-01Z",
    ]


def test_one_patient_whose_zeros_a_spreadsheet_took() -> None:
    cohort, facts = cohort_of(30)
    renamed = [
        Patient(name, patient.slide_ids, patient.site, patient.targets)
        for name, patient in zip(["0012", "12", "P-7", "P07"], cohort.patients, strict=False)
    ]
    part = {"0012": 0, "12": 1}
    result = audit_cohort(
        Cohort(cohort.tasks, (*renamed, *cohort.patients[4:])), facts, part=part, permutations=200
    )
    found = of_code(result, "patient")
    assert [(finding.level, finding.what.partition(": ")[2]) for finding in found[:2]] == [
        ("warning", "0012, 12"),
        ("warning", "P-7, P007, P07"),
    ]
    assert "in leading zeros, which a spreadsheet takes away." in found[0].found
    assert found[1].found == "They differ only in hyphens, leading zeros."
    assert "parts 0, 1" in found[0].found


def test_other_cohorts_share_neither_patients_nor_slides() -> None:
    cohort, facts = cohort_of(30)
    tcga = Patient("TCGA-AA-0001", ("s000",), "site 0", {"y": 1.0})
    mixed = Cohort(cohort.tasks, (tcga, *cohort.patients[1:]))
    other = OtherCohort(
        "Oslo",
        ("tcga-aa-0001-01A", "p005", "X1"),
        {"x": facts_of("x", 99, appearance=facts["s009"].appearance), "z": facts_of("z", 98)},
        {"x": "X1"},
    )
    found = of_code(audit_cohort(mixed, facts, others=[other], permutations=200), "cohort")
    assert [finding.level for finding in found] == ["error", "error", "warning"]
    assert "slide s009 here (patient P009), slide x there (patient X1)" in found[0].where
    assert found[1].where == "TCGA-AA-0001 (tcga-aa-0001-01A)"
    assert found[2].where == "P005 (p005)" and "may" in found[2].found


def test_many_slides_of_two_cohorts_are_one_finding() -> None:
    cohort, facts = cohort_of(30)
    for shared, findings in ((5, 5), (6, 1)):
        other = OtherCohort("Oslo", (), {f"x{k}": facts[f"s{k:03d}"] for k in range(shared)})
        found = of_code(audit_cohort(cohort, facts, others=[other], permutations=200), "cohort")
        assert len(found) == findings and {each.level for each in found} == {"error"}
    assert found[0].what == "6 slides both in this cohort and in Oslo"
    assert found[0].found.startswith("6 of them are the same file")


@pytest.mark.parametrize("planted", ["site", "scanner", "mpp", "colour", "tissue", "share", "batch"])
def test_each_planted_confounder_is_named(planted: str) -> None:
    rng = np.random.default_rng(3)
    truth = rng.permutation(np.arange(80) % 2)
    hint = np.where(rng.random(80) < 0.9, truth, 1 - truth)
    cohort, facts = cohort_of(80, site=hint if planted == "site" else rng.integers(0, 3, 80), truth=truth)
    for k, (name, one) in enumerate(list(facts.items())):
        shade = (
            one.appearance.rgb if planted != "colour" else (200.0 - 15 * hint[k], 140.0, 180.0 + rng.normal())
        )
        changes: dict[str, object] = {
            "appearance": Appearance(shade, one.appearance.cover, one.appearance.texture)
        }
        if planted == "scanner":
            changes["scanner"] = ("aperio", "leica")[hint[k]]
        if planted == "mpp":
            changes["mpp"] = (0.25, 0.23)[hint[k]]
        if planted == "tissue":
            changes["tissue_mm2"] = float(np.exp(2 * hint[k] + rng.normal()))
        if planted == "share":
            odds = float(np.exp(2 * hint[k] - 3 + rng.normal()))
            changes["share"] = TissueShare(name, 50, odds / (1 + odds), 0.5)
        facts[name] = facts_of(name, k, **changes)
    batch = {f"P{k:03d}": str(hint[k] if planted == "batch" else k % 3) for k in range(80)}
    result = audit_cohort(cohort, facts, columns={"batch": batch}, permutations=300)
    assert {each.confounder for each in result.confounders if each.alarm} == {planted}
    (finding,) = of_code(result, "confounder")
    assert finding.level == "warning" and "alone predicts y" in finding.what and finding.todo
    (told,) = [each for each in result.confounders if each.alarm]
    assert told.low > 0.6 and told.value < 1 and told.measure == "AUROC"


def test_what_cannot_be_tested_says_why() -> None:
    cohort, facts = cohort_of(12)
    result = audit_cohort(cohort, facts, permutations=200)
    assert all(each.value is None and "12 patients" in each.note for each in result.confounders)
    cohort, facts = cohort_of(30)
    told = {each.confounder: each for each in audit_cohort(cohort, facts, permutations=200).confounders}
    assert told["scanner"].note == "It is the same for all patients: not known."
    assert told["site"].value is not None


def test_a_rare_class_does_not_switch_the_test_off() -> None:
    """Patients of a class that three have are left out, and a planted site is found among the others."""
    n = 60
    truth = np.arange(n) % 2
    cohort, facts = cohort_of(n, site=np.where(np.arange(n) % 10 == 0, 1 - truth, truth), truth=truth)
    task = Task("y", "multiclass", ("y",), ("a", "b", "rare"))
    changed = [replace(each, targets={"y": 2.0}) if k < 3 else each for k, each in enumerate(cohort.patients)]
    result = audit_cohort(Cohort((task,), tuple(changed)), facts, permutations=200)
    assert [finding.what for finding in of_code(result, "confounder")] == ["The site alone predicts y"]
    sites = next(told for told in result.confounders if told.confounder == "site")
    assert (sites.n, sites.note) == (57, "Without rare, which fewer than 5 patients are.")
    lone = [replace(each, targets={"y": float(k < 3)}) for k, each in enumerate(cohort.patients)]
    finding = of_code(audit_cohort(Cohort((TASK,), tuple(lone)), facts, permutations=200), "unchecked")[0]
    assert finding.what == "No confounder was tested for y" and "No two classes have 5" in finding.found


def test_slides_without_facts_are_said_to_be_unchecked() -> None:
    cohort, facts = cohort_of(30)
    del facts["s004"]
    facts["s005"] = facts_of("s005", 5, appearance=None)
    found = of_code(audit_cohort(cohort, facts, permutations=200), "unchecked")
    assert [finding.where for finding in found] == ["s004", "s005"]
    assert all(finding.level == "note" for finding in found)


def test_events_that_look_censored_are_raised() -> None:
    rng = np.random.default_rng(1)
    death, end = rng.exponential(60, 100), rng.uniform(20, 60, 100)
    time, event = np.minimum(death, end), death <= end
    task = Task("os", "survival", ("months", "status"))

    def levels(events: np.ndarray) -> list[str]:
        patients = tuple(
            Patient(f"P{k}", (f"s{k}",), "", {"os": (time[k], float(events[k]))}) for k in range(100)
        )
        return [
            each.where
            for each in of_code(audit_cohort(Cohort((task,), patients), {}, permutations=200), "coding")
        ]

    assert levels(event) == []
    assert levels(~event) == ["target os, column 'status'"]


def test_turns_in_words() -> None:
    assert [turned_words(number) for number in (0, 1, 4, 7)] == [
        "", ", turned by 90 degrees", ", mirrored", ", mirrored and turned by 270 degrees",
    ]  # fmt: skip


# ------------------------------------------------------------------------ within sites


def predictions(seed: int, *, knows: str, n: int = 200) -> pd.DataFrame:
    """Sites differ in their truth; the prediction knows the site, the tissue, or both."""
    rng = np.random.default_rng(seed)
    site = rng.integers(0, 4, n)
    tissue = rng.normal(size=n)
    truth = 2.0 * (site - 1.5) / 1.5 + tissue
    predicted = {"site": site + 0.3 * rng.normal(size=n), "tissue": tissue, "both": truth}[knows]
    predicted = predicted + (0.4 * rng.normal(size=n) if knows != "site" else 0)
    return pd.DataFrame(
        {
            "patient_id": [f"P{k}" for k in range(n)], "site": [f"h{each}" for each in site],
            "fold": np.arange(n) % 4, "truth": truth, "predicted": predicted,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("knows", "conclusion", "level"),
    [("site", "chance", "error"), ("both", "falls", "warning"), ("tissue", "holds", "note")],
)
def test_site_knowledge_is_told_from_tissue(knows: str, conclusion: str, level: str) -> None:
    found = within_sites(SCORE, predictions(2, knows=knows))
    assert found.conclusion == conclusion and found.sites == 4 and found.n == 200
    assert site_finding(found).level == level


def test_site_folds_are_not_told_to_split_by_site() -> None:
    """Each fold's level is that of the other sites, which orders all pairs the wrong way round."""
    table = predictions(2, knows="tissue")
    site = table["site"].str[1:].astype(int)
    table = table.assign(fold=site, predicted=table["predicted"] - 9.0 * site)
    found = within_sites(SCORE, table)
    assert found.conclusion == "one" and found.by_site and found.within[1] > 0.5
    assert found.pooled == found.within
    finding = site_finding(found)
    assert finding.level == "note" and "--split site" not in finding.todo
    # Two sites in a fold: what is known may be the site, but the split is right already.
    pairs = predictions(2, knows="site").assign(fold=site % 2)
    found = within_sites(SCORE, pairs)
    assert found.conclusion == "chance" and found.by_site
    assert site_finding(found).todo.endswith("Test on a site that the model has not seen.")


def test_what_is_known_within_sites_alone_is_not_called_nothing() -> None:
    table = predictions(2, knows="tissue")
    site = table["site"].str[1:].astype(int)
    found = within_sites(SCORE, table.assign(predicted=table["predicted"] - 3.0 * site))
    assert found.pooled[2] < 0.5 < found.within[1] and found.conclusion == "within"
    assert site_finding(found).level == "note"


def test_a_wide_interval_within_sites_is_no_proof_of_nothing() -> None:
    """Two sites of 12 patients: the order within them is right in 70 of 100 pairs, interval 49 to 84."""
    rng = np.random.default_rng(18)
    site = np.repeat(["a", "b"], 12)
    tissue = rng.normal(size=24)
    base = np.where(site == "a", -9.0, 9.0)
    table = pd.DataFrame(
        {
            "patient_id": [f"P{k}" for k in range(24)], "site": site, "fold": 0,
            "truth": base + tissue, "predicted": base + tissue + 1.6 * rng.normal(size=24),
        }
    )  # fmt: skip
    found = within_sites(SCORE, table)
    assert found.within[0] == pytest.approx(0.697, abs=1e-3)
    assert found.within[1] <= 0.5 and found.within[2] > 0.6, "too wide to deny anything"
    assert found.conclusion == "unclear" and found.difference[1] > 0
    finding = site_finding(found)
    assert finding.level == "warning" and "too few pairs" in finding.what


def test_within_sites_by_hand() -> None:
    """Six pairs within sites, of which four are in order; of the nine pairs across all are."""
    table = pd.DataFrame(
        {
            "patient_id": list("abcdef"), "site": list("xxxyyy"), "fold": 0,
            "truth": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "predicted": [2.0, 1.0, 3.0, 4.0, 6.0, 5.0],
        }
    )  # fmt: skip
    assert within_sites(SCORE, table) is None, "too few pairs"
    many = pd.concat([table.assign(repeat=k) for k in range(5)])
    found = within_sites(SCORE, many)
    assert found.n == 6
    assert found.within[0] == pytest.approx(4 / 6) and found.pooled[0] == pytest.approx(13 / 15)


def test_repeats_are_no_more_patients() -> None:
    """The same predictions five times over tell nothing more: the same intervals."""
    table = predictions(3, knows="both", n=80)
    once = within_sites(SCORE, table)
    often = within_sites(SCORE, pd.concat([table.assign(repeat=k) for k in range(5)]))
    assert often.pooled == pytest.approx(once.pooled) and often.within == pytest.approx(once.within)


def test_one_site_cannot_be_compared() -> None:
    table = predictions(4, knows="tissue").assign(site="only")
    assert within_sites(SCORE, table) is None
    assert model_order(SCORE, table).n == 200


# ------------------------------------------------------------------- stores and runs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, store_maker: Callable[..., Path]) -> Path:
    return store_maker(tmp_path_factory.mktemp("audited"), patients=24, slides_each=2)


def test_audit_of_a_store_writes_its_tables(store: Path, tmp_path: Path) -> None:
    result = audit(
        store=store / "store",
        labels=store / "labels.csv",
        target=["msi", "os:survival"],
        confounder=["grade"],
        out=tmp_path / "out",
        permutations=200,
    )
    # The made-up table alternates both site and class from patient to patient; grade and survival follow
    # from one severity.
    alarms = {(each.target, each.confounder) for each in result.confounders if each.alarm}
    assert alarms == {("msi", "site"), ("os", "grade")}
    values = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert values["findings"][0]["code"] == "confounder"
    read = read_document(AuditFile, tmp_path / "out" / "audit.json", TableError, "Audit again.")
    assert read.findings == result.findings and read.to_dict() == values
    (tmp_path / "audit.json").write_text(json.dumps({**values, "findings": [{"level": "alarm"}]}))
    with pytest.raises(TableError, match=r"findings\.0\.level is 'alarm'"):
        read_document(AuditFile, tmp_path / "audit.json", TableError, "Audit again.")
    told = pd.read_csv(tmp_path / "out" / "confounders.csv")
    assert set(told["confounder"]) >= {"site", "grade", "scanner", "colour", "slides"}
    assert pd.read_csv(tmp_path / "out" / "audit.csv")["level"][0] == "warning"


def test_command_ends_with_one_if_a_result_cannot_stand(store: Path) -> None:
    from click.testing import CliRunner

    from histonic.app.cli import histonic

    call = ["audit", str(store / "store"), "--labels", str(store / "labels.csv"), "--target", "msi"]
    call += ["--permutations", "200"]
    clean = CliRunner().invoke(histonic, call)
    assert clean.exit_code == 0 and "warning  The site alone predicts msi" in clean.output
    assert "48 slides" in clean.output and "0 error(s), 1 warning(s)" in clean.output
    leaking = CliRunner().invoke(histonic, [*call, "--other", f"itself={store / 'store'}"])
    assert leaking.exit_code == 1 and "error    48 slides both in this cohort and in itself" in leaking.output


def test_audit_of_two_stores(store: Path, tmp_path: Path) -> None:
    labels = tmp_path / "other.csv"
    labels.write_text("patient_id,slide_id\np01,elsewhere\nQ1,q\n")
    result = audit(
        store=store / "store",
        labels=store / "labels.csv",
        target=["msi"],
        other={"table": str(labels), "itself": str(store / "store")},
        permutations=200,
    )
    found = of_code(result, "cohort")
    assert any("p01" in finding.where for finding in found)
    # The same maps: every slide is in both, by its fingerprint.
    assert "48 slides both in this cohort and in itself" in [finding.what for finding in found]


def test_wrong_calls_name_what_is_wrong(store: Path, tmp_path: Path) -> None:
    call = {"store": store / "store", "labels": store / "labels.csv", "target": ["msi"]}
    with pytest.raises(TableError, match="grades"):
        audit(**call, confounder=["grades"])
    with pytest.raises(SettingsError, match="There is no"):
        audit(**call, other={"x": str(tmp_path / "absent")})
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no map"):
        audit(**{**call, "store": tmp_path / "empty"})
    for damaged in ("{", "[]", '{"patients": [{"patient_id": "p"}]}'):
        (tmp_path / "empty" / "cohort.json").write_text(damaged)
        with pytest.raises(RunError, match=r"cohort\.json"):
            audit(**call, other={"x": str(tmp_path / "empty")})


def write_run(folder: Path, store: Path) -> Path:
    """A finished run on the made-up store, as far as the audit reads it."""
    rows = pd.read_csv(store / "labels.csv").groupby("patient_id")
    first, slides = rows.first(), rows["slide_id"].agg(list)
    (folder / "predictions").mkdir(parents=True)
    yes = (first["msi"] == "yes").astype(float)
    table = pd.DataFrame({"patient_id": first.index, "site": first["site"], "fold": 0, "truth": first["msi"]})
    table["predicted"], table["p_no"], table["p_yes"] = first["msi"], 1 - yes, yes
    table.to_csv(folder / "predictions" / "msi.csv", index=False)
    patients = [
        {
            "patient_id": name,
            "site": row["site"],
            "slide_ids": slides[name],
            "tested_in": ((0, k % 4),),
            "targets": {"msi": row["msi"]},
        }
        for k, (name, row) in enumerate(first.iterrows())
    ]
    task = Task("msi", "binary", ("msi",), ("no", "yes"))
    write_document(folder / "cohort.json", cohort_document(patients))
    write_document(folder / "run.json", run_document([task], store / "store"))
    return folder


def test_audit_of_a_run(store: Path, tmp_path: Path, reads: Counter[Path]) -> None:
    run = write_run(tmp_path / "run", store)
    one = pd.read_csv(store / "labels.csv").iloc[0]
    stranger = {"patient_id": "Z9", "site": "x", "slide_ids": (one.slide_id,)}
    outside = write_external(run, "Oslo", [stranger], store / "store")
    (outside / "predictions" / "msi.csv").write_text("patient_id,site\nP01,x\nZ9,x\n")
    reads.clear()
    result = audit_run(run, permutations=200)
    files = [folder / "predictions" / "msi.csv" for folder in (run, outside)]
    files += [run / "run.json", run / "cohort.json", outside / "external.json"]
    assert {path: reads[path] for path in files} == dict.fromkeys(files, 1)
    # The store holds slides of the audited cohort too; those are none of the external one.
    shared = [finding for finding in of_code(result, "cohort") if "One slide" in finding.what]
    assert len(shared) == 1 and "patient Z9" in shared[0].where
    assert [each.confounder for each in result.confounders if each.alarm] == ["site"]
    assert result.models[0].value == 1.0 and result.within_sites == ()
    assert {finding.code for finding in result.findings if finding.level == "error"} == {"cohort"}
    assert (run / "audit.json").is_file() and result.out == run
    first = (run / "audit.json").read_bytes()
    audit_run(run, permutations=200)
    assert (run / "audit.json").read_bytes() == first


def test_run_without_its_store_says_what_was_not_looked_at(store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", store)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "store": str(tmp_path / "gone")}))
    result = audit_run(run, permutations=200)
    assert "48 of 48 slides could not be looked at" in [finding.what for finding in result.findings]
    (run / "external" / "x").mkdir(parents=True)
    (run / "external" / "x" / "external.json").write_text('{"patients": [{"patient_id": "p"}]}')
    with pytest.raises(RunError, match=r"(?s)external\.json.*histonic external"):
        audit_run(run)
    (run / "run.json").unlink()
    with pytest.raises(RunError, match=r"run\.json"):
        audit_run(run)


def test_a_map_without_a_look_is_compared_with_none(tmp_path: Path) -> None:
    from histonic.core.documents import sealed
    from histonic.core.progress import Silent
    from histonic.data.maps.store import Store, map_folder
    from histonic.slides.formats.pyramid import write_pyramid
    from histonic.stages.compress.compress import compress

    rng = np.random.default_rng(0)
    image = np.full((1600, 1400, 3), 245, np.uint8)
    fine = np.kron(rng.integers(0, 60, (50, 45, 1)), np.ones((20, 20, 3), int))
    image[300:1300, 250:1150] = np.clip(np.array((200, 120, 180)) - fine, 0, 255)
    write_pyramid(tmp_path / "a.tif", image, mpp=0.5)
    compress(slides=[tmp_path / "a.tif"], encoder="colour", out=tmp_path / "store")
    opened = Store.open(tmp_path / "store")
    kept = read_slide_facts(opened, ["a"], Silent())["a"]
    assert (
        kept.storage.startswith("tiff")
        and kept.mpp == 0.5
        and kept.tissue_mm2 > 0.2
        and kept.appearance is not None
    )
    path = map_folder(opened.path, "a") / "zarr.json"
    values = json.loads(path.read_text())
    del values["attributes"]["appearance"]
    values["attributes"] = sealed(values["attributes"])
    path.write_text(json.dumps(values))
    assert read_slide_facts(opened, ["a"], Silent())["a"].appearance is None


def test_confounders_of_patients_without_slides_facts() -> None:
    cohort, _ = cohort_of(25)
    by_name = {each.name: each for each in list_confounders(cohort.patients, {})}
    assert by_name["colour"].features.shape == (25, 0) and by_name["colour"].spread == "not known"
    assert by_name["site"].features.shape == (25, 3)


def test_the_share_of_tissue_is_the_mean_log_odds_of_a_patients_slides() -> None:
    patients = [Patient(f"P{k}", (f"a{k}", f"b{k}"), "", {}) for k in range(4)]
    values = {"a0": 0.2, "b0": 0.8, "a1": 0.5, "b1": 0.5, "a2": 0.5, "b2": 0.9, "a3": 0.1, "b3": 0.5}
    facts = {
        name: facts_of(name, k, share=TissueShare(name, 50, value, 0.4))
        for k, (name, value) in enumerate(values.items())
    }
    share = next(each for each in list_confounders(patients, facts) if each.name == "share")
    # Log odds: of 1/4 and 4 they cancel; of 1 and 9, and of 1/9 and 1, half of log 9 is left.
    half = np.log(9) / 2
    assert share.features[:, 0] == pytest.approx(np.array([0, 0, half, -half]) / (half / np.sqrt(2)))
    assert share.spread == "25 % to 75 %"
    # Where one map does not know its area, cells are compared on all, and they are alike here.
    facts["a0"] = facts_of("a0", 0, share=TissueShare("a0", 50, None, 0.4))
    share = next(each for each in list_confounders(patients, facts) if each.name == "share")
    assert share.features.shape[1] == 0 and share.spread == "40 %"
