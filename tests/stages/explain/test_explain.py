"""Explaining a trained run: honest networks, whole folders, and clear words where something is amiss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fixtures.stores import made_by
from histonic.core.compressed import CompressedSlide
from histonic.core.errors import BundleError, RunError, SettingsError, StoreError
from histonic.data.maps.cell_maps import read_cell_map
from histonic.data.maps.store import read_map
from histonic.data.maps.writer import write_map
from histonic.models.bundle import read_bundle
from histonic.runs.run import read_run
from histonic.stages.explain.choice import chosen_patients
from histonic.stages.explain.explain import explain
from histonic.stages.explain.record import read_explanation
from histonic.stages.train.train import train_slides

ASKED = {"target": ("msi",), "slide": ("s03a",), "checks": False}
TARGETS = ("msi:binary", "grade:ordinal", "score:regression", "os:survival:os_months,os_event")


@pytest.fixture(scope="session")
def trained(cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on all kinds of target but one; not to be changed."""
    return train_slides(
        store=cohort_folder / "store",
        labels=cohort_folder / "labels.csv",
        target=TARGETS,
        out=tmp_path_factory.mktemp("explained") / "run",
        aggregator="abmil",
        folds=3,
        initialisations=1,
        max_epochs=12,
        learning_rate=1e-2,
    )


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may write into."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="session")
def once(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with one explanation, that of :data:`ASKED`; not to be changed."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("once") / "run"))
    explain(run=run, **ASKED)
    return run


@pytest.fixture
def explained(once: Path, tmp_path: Path) -> Path:
    """A copy of the run with one explanation that a test may write into."""
    return Path(shutil.copytree(once, tmp_path / "run"))


def test_everything_is_written_for_the_patients_of_each_target(run: Path) -> None:
    checked = explain(run=run, patients=1, target=("msi", "os"))
    result = explain(run=run, patients=1, target=("grade", "score"), checks=False)
    assert result.folder == run / "explain" / "integrated-gradients"
    assert not checked.failures and not result.failures
    records = [*checked.records, *result.records]
    assert [record.target for record in records] == ["msi"] * 2 + ["os"] * 2 + ["grade"] * 2 + ["score"] * 2
    for record in records:
        folder = result.folder / record.target / record.slide_id
        names = {path.name for path in folder.iterdir()}
        pictures = {"overlay.png", "tiles.png", *(["curves.png"] if record.curves else [])}
        assert names == {*pictures, "cells.geojson", "tiles.geojson", "values.zarr", "explanation.json"}
        assert (record.curves is not None) == (record.target in ("msi", "os"))
        for name in pictures:
            assert Image.open(folder / name).size[0] > 300
        cells = read_cell_map(folder / "values.zarr")
        assert np.isfinite(cells.values).sum() == record.cells and cells.slide_id == record.slide_id
        assert "there is no picture" in record.picture_note
    table = pd.read_csv(result.folder / "summary.csv")
    assert sorted(table["why"].unique()) == ["least certain", "most certain"] and table["unseen"].all()
    summary = json.loads((result.folder / "summary.json").read_text())
    assert set(summary["targets"]) == {"msi", "grade", "score", "os"}


def test_explaining_again_gives_the_same_bytes(run: Path) -> None:
    folder = run / "explain"
    asked = {"run": run, "target": ("msi",), "slide": ("s03a",)}

    def content() -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }

    explain(**asked)
    first = content()
    shutil.rmtree(folder)
    explain(**asked)
    assert first and content() == first


def test_only_networks_are_asked_that_never_saw_the_patient(run: Path) -> None:
    cohort = json.loads((run / "cohort.json").read_text())
    for patient in cohort["patients"][:3]:
        (record,) = explain(
            run=run, target=("score",), slide=tuple(patient["slide_ids"]), checks=False
        ).records
        assert [each.fold for each in record.networks] == [patient["tested_in"][0][1]]
        assert record.unseen
        assert record.patient_id == patient["patient_id"]


def test_the_prediction_is_the_one_of_the_table(run: Path) -> None:
    table = pd.read_csv(run / "predictions" / "score.csv").set_index("patient_id")
    (record,) = explain(run=run, target=("score",), slide=("s03a",), checks=False).records
    assert record.prediction["predicted"] == pytest.approx(table.loc["P03", "predicted"], rel=1e-6)


def test_a_patient_that_all_networks_learned_from_is_refused(run: Path) -> None:
    path = run / "predictions" / "score.csv"
    table = pd.read_csv(path)
    table[table["patient_id"].isin(["P01", "P02", "P04"])].to_csv(path, index=False)
    with pytest.raises(SettingsError, match="training of every network"):
        explain(run=run, target=("score",), slide=("s03a",))
    named = {record.patient_id for record in explain(run=run, target=("score",), all_slides=True,
                                                       checks=False).records}  # fmt: skip
    assert named == {"P01", "P02", "P04"}


def test_repeats_are_told_apart(run: Path) -> None:
    path = run / "predictions" / "score.csv"
    table = pd.read_csv(path)
    pd.concat([table.assign(repeat=0), table.assign(repeat=1, fold=(table["fold"] + 1) % 3)]).to_csv(
        path, index=False
    )
    # The bundle has networks of repeat 0 alone: the second row must not let in another fold.
    (record,) = explain(run=run, target=("score",), slide=("s03a",), checks=False).records
    assert len(record.networks) == 1
    wide = table.assign(predicted=table["predicted"] + 2.0, repeat=1, fold=(table["fold"] + 1) % 3)
    pd.concat([table.assign(repeat=0), wide]).to_csv(path, index=False)
    (record,) = explain(run=run, target=("score",), slide=("s03a",), checks=False, seed=9).records
    mine = table.loc[table["patient_id"] == record.patient_id, "predicted"].item()
    assert record.patient_prediction["predicted"] == pytest.approx(mine + 1.0)
    assert len(chosen_patients(read_run(run).tables["score"], 3)) == 6


def test_a_map_from_elsewhere_is_explained_by_all(
    run: Path, slide_maker: Callable[..., CompressedSlide], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    slide = slide_maker("new", rng.normal(size=(18, 8, 9)), np.ones((8, 9), bool))
    write_map(tmp_path / "new.zarr", slide)
    (record,) = explain(
        run=run, target=("msi",), slide=(str(tmp_path / "new.zarr"),), method="occlusion"
    ).records
    assert len(record.networks) == 3 and not record.unseen and record.patient_id == ""
    other = slide_maker("odd", rng.normal(size=(18, 8, 9)), np.ones((8, 9), bool), made_by("y", 18))
    write_map(tmp_path / "odd.zarr", other)
    with pytest.raises(BundleError, match="made by 'example'"):
        explain(run=run, target=("msi",), slide=(str(tmp_path / "odd.zarr"),))


def test_what_is_there_is_kept_and_what_changed_is_made_anew(explained: Path) -> None:
    run, asked = explained, {"run": explained, **ASKED}
    picture = run / "explain" / "integrated-gradients" / "msi" / "s03a" / "overlay.png"
    before = (picture.stat().st_mtime_ns, picture.read_bytes())
    explain(**asked)
    assert picture.stat().st_mtime_ns == before[0]
    explain(**asked, seed=1)
    assert picture.stat().st_mtime_ns != before[0] and picture.read_bytes() == before[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: "{",
        lambda values: "[]",
        lambda values: json.dumps({**values, "format": "histonic-explanation-2"}),
        lambda values: json.dumps({**values, "curves": {"share": "x"}}),
        lambda values: json.dumps({key: value for key, value in values.items() if key != "why"}),
    ],
)
def test_a_damaged_explanation_is_made_anew(explained: Path, damage: Callable[[dict], str]) -> None:
    path = explained / "explain" / "integrated-gradients" / "msi" / "s03a" / "explanation.json"
    first = read_explanation(path)
    path.write_text(damage(json.loads(path.read_text())), encoding="utf-8")
    (again,) = explain(run=explained, **ASKED).records
    assert again == first == read_explanation(path)


def test_another_map_of_the_slide_is_explained_anew(run: Path, cohort_folder: Path, tmp_path: Path) -> None:
    store = shutil.copytree(cohort_folder / "store", tmp_path / "store")
    asked = {"run": run, "target": ("msi",), "slide": ("s03a",), "store": store, "checks": False}
    (first,) = explain(**asked).records
    slide = read_map(store / "s03a.zarr")
    mask = np.asarray(slide.mask).copy()
    row, col = np.argwhere(mask)[0]
    mask[row, col] = False
    other = replace(slide, features=np.asarray(slide.features[:]), mask=mask)
    shutil.rmtree(store / "s03a.zarr")
    write_map(store / "s03a.zarr", other)
    (second,) = explain(**asked).records
    assert second.cells == first.cells - 1


def test_other_questions_lie_beside_the_usual_one(explained: Path, cohort_folder: Path) -> None:
    run = explained
    asked = {"run": run, "target": ("msi",), "checks": False}
    usual = read_explanation(run / "explain/integrated-gradients/msi/s03a/explanation.json")
    explain(**asked, slide=("s03a",), output="no")
    explain(**asked, slide=(str(cohort_folder / "store" / "s03a.zarr") + "/",))
    folder = run / "explain" / "integrated-gradients" / "msi"
    assert sorted(path.name for path in folder.iterdir()) == ["s03a", "s03a--by-path", "s03a--no"]
    assert read_explanation(folder / "s03a" / "explanation.json") == usual
    summary = json.loads((folder.parent / "summary.json").read_text())
    assert summary["targets"]["msi"]["slides"] == 1


def test_lesions_are_scored_over_cells(run: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    square = [[0, 128], [512, 128], [512, 640], [0, 640], [0, 128]]
    drawn = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [square]}}
    (masks / "s03a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [drawn]}))
    (masks / "s04a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    result = explain(run=run, target=("msi",), slide=("s03a", "s04a"), masks=masks)
    lesion, none = (record.lesion for record in result.records)
    assert lesion.cells == 16 and 0 <= lesion.auc <= 1 and 0 <= lesion.auc_randomised <= 1
    assert (none.cells, none.auc, none.auc_randomised) == (0, None, None)
    assert json.loads((result.folder / "summary.json").read_text())["targets"]["msi"]["slides_with_auc"] == 1


def test_no_trust_is_said(run: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from histonic.stages.explain import explain as module

    real = module.networks_of

    def without(bundle):
        found = real(bundle)
        for each in found:
            each.model.heads["msi"].shrinkage.fill_(0)
        return found

    lines: list[str] = []

    class Listener:
        def stage(self, name: str, total: int | None = None) -> None: ...
        def advance(self, steps: int = 1, note: str = "") -> None: ...
        def say(self, line: str) -> None:
            lines.append(line)

    monkeypatch.setattr(module, "networks_of", without)
    (record,) = explain(run=run, target=("msi",), slide=("s03a",), progress=Listener()).records
    assert record.shrinkage == 0 and any("shrank" in line for line in lines)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slide": ("nobody",)}, "none of that name"),
        ({"target": ("grades",)}, "Its targets are msi, grade, score, os"),
        ({"output": "yes"}, "There are 4 targets"),
        ({"target": ("msi",), "output": "maybe"}, "Its classes are no, yes"),
        ({"slide": ("s03a",), "all_slides": True}, "Both"),
        ({"masks": Path("nowhere")}, "no such file or folder"),
    ],
)
def test_what_cannot_be_done_is_said(run: Path, values: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        explain(run=run, **values)
    assert not list(run.glob("explain/*/*/*/explanation.json"))


def test_a_store_that_is_gone_and_one_that_moved(run: Path, cohort_folder: Path, tmp_path: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "store": "gone"}))
    with pytest.raises(StoreError, match="--store"):
        explain(run=run, target=("msi",), slide=("s03a",))
    moved = explain(run=run, target=("msi",), slide=("s03a",), store=cohort_folder / "store", checks=False)
    assert len(moved.records) == 1 and moved.records[0].curves is None


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        explain(run=tmp_path / "absent")
    with pytest.raises(RunError, match="It is an empty folder"):
        explain(run=tmp_path)


def test_the_most_certain_come_from_all_classes_and_both_ends(run: Path) -> None:
    known = read_run(run).tables
    for name, column in (("score", "predicted"), ("os", "risk")):
        roles = chosen_patients(known[name], 2)
        table = pd.read_csv(run / "predictions" / f"{name}.csv").set_index("patient_id")[column]
        most = [table[patient] for patient, role in roles.items() if role == "most certain"]
        least = [table[patient] for patient, role in roles.items() if role == "least certain"]
        assert len(most) == len(least) == 2 and min(most) < table.median() < max(most)
        assert max(abs(np.array(least) - table.median())) < min(abs(np.array(most) - table.median()))
    assert len(chosen_patients(known["msi"], 99)) == 20


def test_slides_that_were_seen_together_are_explained_together(
    store_maker: Callable[..., Path], tmp_path: Path
) -> None:
    """Early fusion: a slide's values are its part of the patient's map, the prediction is the patient's."""
    folder = store_maker(tmp_path, patients=14, slides_each=2)
    run = train_slides(
        store=folder / "store",
        labels=folder / "labels.csv",
        target=("score:regression",),
        out=tmp_path / "run",
        aggregator="mean",
        folds=3,
        fusion="early",
    )
    first, second = explain(run=run, slide=("s03a", "s03b"), checks=False).records
    table = pd.read_csv(run / "predictions/score.csv").set_index("patient_id")
    for record in (first, second):
        assert record.joined and record.patient_id == "P03"
        assert record.prediction["predicted"] == pytest.approx(table.predicted["P03"], rel=1e-5)
        assert record.patient_prediction["predicted"] == pytest.approx(table.predicted["P03"], rel=1e-5)
    cells = [
        read_cell_map(run / f"explain/integrated-gradients/score/{slide}/values.zarr").values
        for slide in ("s03a", "s03b")
    ]
    masks = [read_map(folder / "store" / f"{slide}.zarr").mask for slide in ("s03a", "s03b")]
    assert all(np.array_equal(np.isfinite(values), mask) for values, mask in zip(cells, masks, strict=True))
    # A linear model: the cells of both slides together make up the prediction, less that of average tissue.
    bundle = read_bundle(run / "bundle")
    fold = json.loads((run / "cohort.json").read_text())["patients"][3]["tested_in"][0][1]
    (head,) = [
        model.heads["score"]
        for model, member in zip(bundle.models, bundle.members, strict=True)
        if member.fold == fold
    ]
    average = float(head.predict(head(head.linear.weight.new_zeros(1, 18)))[0, 0])
    total = sum(float(np.nansum(values)) for values in cells)
    assert total == pytest.approx(table.predicted["P03"] - average, rel=1e-3, abs=1e-3)
