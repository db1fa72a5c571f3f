"""A run's files are read by their models, and every verb refuses what is damaged by file and field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from fixtures.runs import MSI, SCORE, SURVIVAL, write_external
from histonic.core.compressed import SlideDescription
from histonic.core.errors import HistonicError, RunError, TrainingError
from histonic.runs.documents import SlidesGiven
from histonic.runs.files import require_same_origin
from histonic.runs.run import read_kept_settings, read_run, read_whole_run
from histonic.stages.audit.audit import audit
from histonic.stages.audit.run import audit_run
from histonic.stages.compare.compare import compare_runs
from histonic.stages.evaluate.evaluate import evaluate_run
from histonic.stages.explain.explain import explain
from histonic.stages.predict.external import external_test
from histonic.stages.report.report import write_report


def audit_against(run: Path) -> object:
    """The audit of a store against the run."""
    folder = run.parent / "audited"
    return audit(store=folder / "store", labels=folder / "labels.csv", target=["msi"], other={"x": str(run)})


VERBS: dict[str, Callable[[Path], object]] = {
    "report": lambda run: write_report(run=run, resamples=100),
    "audit of a run": lambda run: audit_run(run, permutations=100),
    "audit against a run": audit_against,
    "explain": lambda run: explain(run=run),
    "evaluate": lambda run: evaluate_run(run, resamples=100),
    "compare": lambda run: compare_runs(runs=[run, run.parent / "intact"], resamples=100, permutations=100),
    "external": lambda run: external_test(run=run, store=run.parent, labels=run.parent / "none.csv"),
}
READERS = {
    "run.json": tuple(VERBS),
    "cohort.json": ("report", "audit of a run", "audit against a run", "explain"),
    "external/Graz/external.json": ("report", "audit of a run"),
}
FORMATS = {"run.json": "run", "cohort.json": "cohort", "external/Graz/external.json": "external"}
WRONG = {
    "run.json": ("tasks", 3),
    "cohort.json": ("patients", "P001"),
    "external/Graz/external.json": ("store", []),
}


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Path], store_maker: Callable[..., Path]
) -> Path:
    """A folder with two runs, of which one has an external cohort, and a store to be audited."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("run", "intact"):
        make_run(folder / name, (MSI, SCORE, SURVIVAL), patients=16, pictures=False)
    outside = write_external(folder / "run", "Graz")
    shutil.copy(folder / "run" / "predictions" / "msi.csv", outside / "predictions")
    store_maker(folder / "audited", patients=4, side=4)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """One that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "runs")) / "run"


def damages(name: str) -> dict[str, tuple[Callable[[dict[str, Any]], Any], str]]:
    """Of each kind of damage how it is done, and what is to be said of it."""
    field, value = WRONG[name]
    kind = f"histonic-{FORMATS[name]}"
    return {
        "a key is missing": (
            lambda values: {k: v for k, v in values.items() if k != field},
            f"{field} is absent",
        ),
        "a wrong type": (lambda values: {**values, field: value}, f"{field} is {value!r}"),
        "an unknown key": (lambda values: {**values, "colour": "red"}, "colour is 'red'"),
        "older": (lambda values: {**values, "format": f"{kind}-0"}, f"{kind}-0', older than"),
        "newer": (lambda values: {**values, "format": f"{kind}-2"}, f"{kind}-2', newer than"),
        "foreign": (lambda values: {**values, "format": "histonic-bundle-1"}, "no file of the format"),
        "no format": (
            lambda values: {k: v for k, v in values.items() if k != "format"},
            "its format is None",
        ),
        "a list": (lambda values: [values], "its format is None"),
    }


@pytest.mark.parametrize(("name", "verb"), [(name, verb) for name in READERS for verb in READERS[name]])
def test_every_verb_refuses_a_damaged_file(name: str, verb: str, run: Path) -> None:
    intact = (run / name).read_text(encoding="utf-8")
    for kind, (damage, words) in damages(name).items():
        (run / name).write_text(json.dumps(damage(json.loads(intact))), encoding="utf-8")
        with pytest.raises(RunError) as error:
            VERBS[verb](run)
        assert str(run / name) in error.value.asked and words in error.value.found, kind
        todo = (
            "Update" if kind == "newer" else "histonic external" if "external" in name else "histonic train"
        )
        assert todo in error.value.todo, kind
    (run / name).write_text(intact[: len(intact) // 2], encoding="utf-8")
    with pytest.raises(RunError, match=r"(?s)json.*cannot be read: JSONDecodeError"):
        VERBS[verb](run)


@pytest.mark.parametrize("verb", ["report", "audit of a run", "explain", "evaluate", "compare"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00"])
def test_every_verb_refuses_a_damaged_table(content: bytes | None, verb: str, run: Path) -> None:
    path = run / "predictions" / "msi.csv"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(RunError) as error:
        VERBS[verb](run)
    assert str(path) in error.value.asked and "histonic train" in error.value.todo


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("failures.json", '[{"slide_id": "a"}]', "0.path is absent"),
        ("failures.json", '{"slide_id": "a"}', "its content is"),
        ("failures.json", "[", "JSONDecodeError"),
        ("settings.yaml", "store: s\nout: o\n", "labels is absent"),
        ("settings.yaml", "store: s\nout: o\nlabels: [a]\n", "labels is ['a']"),
        ("settings.yaml", "store: s\nout: o\nlabels: l\ntable_style: x\n", "table_style is 'x'"),
        ("settings.yaml", "store: s\nout: o\nlabels: 2024-01-01\n", "cannot be read"),
        ("settings.yaml", "store: &s [*s]\n", "cannot be read"),
        ("settings.yaml", "- store\n", "holds no keys"),
        ("settings.yaml", "store: [", "cannot be read"),
        ("history.csv", "fold,epoch\n", "no column repeat"),
        ("search.csv", "", "cannot be read"),
    ],
)
def test_what_only_the_report_reads(name: str, content: str, words: str, run: Path) -> None:
    (run / name).write_text(content, encoding="utf-8")
    with pytest.raises(RunError) as error:
        write_report(run=run, resamples=100)
    assert str(run / name) in error.value.asked and words in error.value.found
    assert not list(run.glob("*report*"))


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        ({"msi": "green"}, "'green'"),
        ({"msi": 1.0}, "1.0"),
        ({"proliferation_score": "high"}, "'high'"),
        ({"overall_survival": 3}, "3.0"),
        ({"proliferation_score": [1, 2]}, "(1.0, 2.0)"),
    ],
)
def test_targets_have_to_fit_their_kind(targets: dict[str, Any], found: str, run: Path) -> None:
    values = json.loads((run / "cohort.json").read_text())
    values["patients"][2]["targets"] = targets
    (run / "cohort.json").write_text(json.dumps(values))
    with pytest.raises(RunError, match="P002") as error:
        read_run(run)
    assert found in error.value.found


def test_what_is_there_is_read(run: Path) -> None:
    read = read_whole_run(run)
    assert read.tasks == (MSI, SCORE, SURVIVAL) and read.facts.store == Path("store")
    assert read.cohort.patients[3].slide_ids == ("P003-A",) and read.cohort.patients[3].tested_in == ((0, 3),)
    patient = read.cohort.patient_of("P003-A")
    assert patient is not None and patient.patient_id == "P003"
    assert read.cohort.patient_of("elsewhere") is None
    assert [failure.stage for failure in read.failures] == ["open", "tissue"]
    assert read.settings.labels == Path("labels.csv") and read.search is None
    assert list(read.externals[0].tables) == ["msi"] and read.externals[0].facts.name == "Graz"
    kept = yaml.safe_load((run / "settings.yaml").read_text())
    assert read_kept_settings(run) == kept == read.settings.model_dump(mode="json")


def test_what_is_known_of_those_who_trained(run: Path) -> None:
    assert read_run(run).training(MSI) is None
    values = json.loads((run / "cohort.json").read_text())
    for number, patient in enumerate(values["patients"]):
        patient["tested_in"] = [[0, 0]] if number > 1 else []
        patient["targets"] = {"msi": "stable", "overall_survival": [number, 1.0]}
    (run / "cohort.json").write_text(json.dumps(values))
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "split": "fixed"}))
    read = read_run(run)
    expected = pd.DataFrame({"patient_id": ["P000", "P001"], "time": [0.0, 1.0], "event": [1.0, 1.0]})
    pd.testing.assert_frame_equal(read.training(SURVIVAL), expected)
    assert read.training(MSI)["truth"].tolist() == ["stable", "stable"] and read.training(SCORE).empty


def test_a_foreign_folder_is_no_run(tmp_path: Path) -> None:
    for verb in ("report", "audit of a run", "explain", "evaluate", "external"):
        for folder in (tmp_path / "nowhere", tmp_path):
            with pytest.raises(HistonicError, match=r"no such folder|an empty folder") as error:
                VERBS[verb](folder)
            assert isinstance(error.value, RunError)


def test_an_origin_that_changed_or_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "origin.json"
    require_same_origin(path, {"versions": "1"})
    require_same_origin(path, {"versions": "1"})
    with pytest.raises(TrainingError, match="these have changed: versions"):
        require_same_origin(path, {"versions": "2"})
    for content in (b"{", b"\xff", b"[]", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(TrainingError):
            require_same_origin(path, {"versions": "1"})


def test_what_was_said_of_slides_is_gathered_from_their_maps() -> None:
    slides = [
        SlideDescription(mpp=0.25, names="path"),
        SlideDescription(mpp=0.5, default_mpp=0.5, mask="a" * 64, names="path"),
        SlideDescription(mpp=0.5, default_mpp=0.5, names="path"),
    ]
    assert SlidesGiven.of(slides) == SlidesGiven(default_mpp=(0.5,), names=("path",), masked=True)
    assert SlidesGiven.of([]) == SlidesGiven()
