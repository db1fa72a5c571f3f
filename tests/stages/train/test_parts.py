"""Several stains of one patient: joined they do as well as the right one alone, also where some lack it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fixtures.stores import fake_slide, made_by
from histonic.core.errors import BundleError, SettingsError, StoreError
from histonic.core.progress import Silent
from histonic.data.maps.store import Store, map_folder, stores_in
from histonic.data.maps.writer import write_map
from histonic.metrics.discrimination.labels import auroc
from histonic.models.bundle import read_bundle
from histonic.runs.run import read_run
from histonic.stages.compress.compress import compress
from histonic.stages.explain.explain import explain
from histonic.stages.open.dataset import MapDataset
from histonic.stages.predict.external import external_test
from histonic.stages.predict.parts import masks_of_part, patients_by_name
from histonic.stages.predict.predict import predict
from histonic.stages.report.report import write_report
from histonic.stages.train.train import train_slides
from histonic.stages.verify.verify import verify

SIZES = {"he": 6, "ki67": 9}
SHORT = {"folds": 3, "max_epochs": 12, "batch": 8, "initialisations": 1, "device": "cpu"}


def write_parts(
    folder: Path, patients: int, signal: str, missing: float = 0.0, seed: int = 0, shift: float = 1.0
) -> Path:
    """Stores of two stains, codes of other sizes and scales; one of them tells the target."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        name, yes = f"P{number:03d}", number % 2
        lacks = rng.choice(list(SIZES)) if rng.random() < missing else ""
        for part, size in SIZES.items():
            if part == lacks:
                continue
            mask = rng.random((7, 5)) < 0.8
            mask[0, 0] = True
            codes = rng.normal(size=(size, 7, 5)) + 0.3 * rng.normal(size=(size, 1, 1))
            codes[0] += shift * (yes - 0.5) * (part == signal)
            # Another scale and origin, as every encoder has its own.
            codes = codes * (1 if part == "he" else 20) + (0 if part == "he" else 50)
            slide = fake_slide(f"{name}-{part}", codes, mask, made_by(part, size))
            write_map(map_folder(folder / "maps" / part, slide.slide_id), slide)
            rows.append({"patient_id": name, "slide_id": slide.slide_id, "target": "ny"[yes]})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


def run(folder: Path, out: str, store: Path | None = None, **values: Any) -> Path:
    given = {**SHORT, **values}
    return train_slides(
        store=store or folder / "maps",
        labels=folder / "labels.csv",
        target=["target"],
        out=folder / out,
        **given,
    )


def auc(run_folder: Path) -> float:
    table = pd.read_csv(run_folder / "predictions" / "target.csv")
    return auroc((table["truth"] == "y").to_numpy(), table["p_y"].to_numpy())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients of whom a third lacks one of two stains; the second tells the target."""
    return write_parts(tmp_path_factory.mktemp("two"), 48, "ki67", missing=0.3)


@pytest.fixture(scope="module")
def joint(two: Path) -> Path:
    return run(two, "joint", aggregator="mean")


@pytest.mark.long
def test_joined_is_as_good_as_the_right_part_and_better_than_the_wrong_one(tmp_path: Path) -> None:
    """By the closed form of linear heads on mean codes, so that many patients cost little."""
    whole = write_parts(tmp_path, 48, "ki67", seed=1, shift=1.6)
    alone = {part: auc(run(whole, part, whole / "maps" / part, aggregator="mean")) for part in SIZES}
    both = auc(run(whole, "both", aggregator="mean"))
    assert alone["he"] < 0.65, alone
    assert alone["ki67"] > 0.85, alone
    assert both > alone["ki67"] - 0.05, (both, alone)


def test_patients_who_lack_a_part_are_kept_and_predicted_the_same_again(two: Path, joint: Path) -> None:
    said: list[str] = []

    class Heard(Silent):
        def say(self, message: str) -> None:
            said.append(message)

    again = run(two, "again", aggregator="mean", progress=Heard())
    for name in ("predictions/target.csv", "bundle/weights.safetensors", "cohort.json"):
        assert (again / name).read_bytes() == (joint / name).read_bytes()
    known = {patient.patient_id: patient.slide_ids for patient in read_run(joint).cohort.patients}
    without = [name for name, slides in known.items() if not any(each.startswith("ki67/") for each in slides)]
    assert len(known) == 48
    assert 3 < len(without) < 16
    assert any(f"{len(without)} of 48 patients have no slide of the part 'ki67'" in each for each in said)
    table = pd.read_csv(joint / "predictions" / "target.csv").set_index("patient_id")
    assert len(table) == 48
    # What tells the target is there for the others, and they are told apart.
    have = table.drop(without)
    assert auroc((have["truth"] == "y").to_numpy(), have["p_y"].to_numpy()) > 0.8
    # Of those without it the network knows nothing: they lie between the others.
    assert table.loc[without, "p_y"].std() < 0.7 * have["p_y"].std()


@pytest.mark.long
def test_a_network_with_weights_learns_from_both(two: Path) -> None:
    table = pd.read_csv(run(two, "abmil", aggregator="abmil", max_epochs=15) / "predictions" / "target.csv")
    assert auroc((table["truth"] == "y").to_numpy(), table["p_y"].to_numpy()) > 0.65


def test_each_part_has_a_scale_of_its_training_patients_alone(two: Path, joint: Path) -> None:
    bundle = read_bundle(joint / "bundle")
    store = Store.open(two / "maps")
    cohort = read_run(joint).cohort
    for member, model in zip(bundle.members, bundle.models, strict=True):
        place = (member.repeat, member.fold)
        train = [
            slide_id
            for each in cohort.patients
            if place not in [*each.tested_in, *each.validates_in, *each.unused_in]
            for slide_id in each.slide_ids
        ]
        for number, (part, size) in enumerate(SIZES.items()):
            codes = [
                np.asarray(made.features)[:, made.mask].astype(float)
                for made in (store.map(name) for name in train if name.startswith(f"{part}/"))
            ]
            together = np.concatenate(codes, axis=1)
            found = model.scale.mean[number, :size].numpy()
            assert found == pytest.approx(together.mean(axis=1), abs=1e-3)
            assert model.scale.std[number, :size].numpy() == pytest.approx(together.std(axis=1), rel=1e-3)


def test_predictions_of_the_bundle_are_those_of_its_networks(two: Path, joint: Path, tmp_path: Path) -> None:
    """Maps given as a folder of parts; and by a table, which knows that two slides are one patient's."""
    predict(
        bundle=joint, slides=[two / "maps"], out=tmp_path / "p.csv", patients=two / "labels.csv", device="cpu"
    )
    found = pd.read_csv(tmp_path / "p.csv").set_index("patient_id")
    assert len(found) == 48
    assert found["target.p_y"].between(0, 1).all()
    with pytest.raises(BundleError, match="holds one with such a name"):
        predict(bundle=joint, slides=[two / "maps" / "he"], out=tmp_path / "x.csv", device="cpu")


def test_external_knows_the_parts(two: Path, joint: Path, tmp_path: Path) -> None:
    other = write_parts(tmp_path, 16, "ki67", missing=0.4, seed=5)
    folder = external_test(run=joint, store=other / "maps", labels=other / "labels.csv", device="cpu")
    table = pd.read_csv(folder / "predictions" / "target.csv")
    assert len(table) == 16
    with pytest.raises(BundleError, match="one part alone"):
        external_test(run=joint, store=other / "maps" / "he", labels=other / "labels.csv", device="cpu")
    alone = tmp_path / "alone"
    shutil.copytree(other / "maps" / "he", alone / "he")
    folder = external_test(run=joint, store=alone, labels=other / "labels.csv", device="cpu", name="alone")
    assert 0 < len(pd.read_csv(folder / "predictions" / "target.csv")) < 16
    strange = tmp_path / "strange"
    shutil.copytree(other / "maps" / "he", strange / "he")
    shutil.copytree(other / "maps" / "he", strange / "ki67")
    with pytest.raises(BundleError, match="made by"):
        external_test(run=joint, store=strange, labels=other / "labels.csv", device="cpu")


def test_explanations_are_of_one_part_each(two: Path, joint: Path) -> None:
    patient = next(each for each in read_run(joint).cohort.patients if len(each.slide_ids) == 2)
    result = explain(run=joint, slide=list(patient.slide_ids), method="occlusion", checks=False)
    assert not result.failures
    assert [each.slide_id for each in result.records] == list(patient.slide_ids)
    store = Store.open(two / "maps")
    for record in result.records:
        assert record.joined
        assert record.cells == int(store.map(record.slide_id).mask.sum())


def test_annotations_lie_in_the_folders_of_the_parts(two: Path, joint: Path, tmp_path: Path) -> None:
    patient = next(each for each in read_run(joint).cohort.patients if len(each.slide_ids) == 2)
    he, ki67 = patient.slide_ids
    (tmp_path / "ki67").mkdir()
    ring = [[0, 0], [500, 0], [500, 500], [0, 500], [0, 0]]
    shape = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    text = json.dumps({"type": "FeatureCollection", "features": [shape]})
    (tmp_path / f"{ki67}.geojson").write_text(text)
    result = explain(run=joint, slide=[he, ki67], masks=tmp_path, method="occlusion")
    assert [each.lesion is not None for each in result.records] == [False, True]
    (tmp_path / "ki67").rename(tmp_path / "cd3")
    with pytest.raises(SettingsError, match="is named like one of"):
        explain(run=joint, slide=[he], masks=tmp_path)


def test_a_map_by_its_path_is_of_the_part_of_its_folder(two: Path, joint: Path, tmp_path: Path) -> None:
    store = Store.open(two / "maps")
    name = next(each for each in store.slide_ids if each.startswith("ki67/"))
    path = map_folder(two / "maps", name)
    (record,) = explain(run=joint, slide=[str(path)], method="occlusion", checks=False).records
    assert record.slide_id == name and not record.patient_id and not record.unseen
    assert record.cells == int(store.map(name).mask.sum())
    moved = shutil.copytree(path, tmp_path / "new" / path.name)
    with pytest.raises(SettingsError, match="parts he, ki67; the folder of the map, 'new', is none"):
        explain(run=joint, slide=[str(moved)])
    he = shutil.copytree(path, tmp_path / "he" / path.name)
    with pytest.raises(BundleError, match="The map was made by"):
        explain(run=joint, slide=[str(he)])


@pytest.mark.long
def test_audit_and_report_say_which_parts_were_there(two: Path, joint: Path) -> None:
    write_report(run=joint, resamples=100)
    text = (joint / "report.html").read_text(encoding="utf-8")
    assert "ki67" in text
    patient = next(each for each in read_run(joint).cohort.patients if len(each.slide_ids) == 2)
    explain(run=joint, slide=list(patient.slide_ids), method="integrated-gradients")
    write_report(run=joint, resamples=100)
    page = (joint / "report.html").read_text(encoding="utf-8")
    known = set(re.findall(r'id="([^"]+)"', page))
    links = re.findall(r'href="(?:#(map[^"]*)|(explain/[^"]+))"', page)
    assert links and all(
        place in known if place else (joint / unquote(file)).is_file() for place, file in links
    )
    values = json.loads((joint / "report.json").read_text(encoding="utf-8"))
    shown = values["explanations"]["targets"]["target"]
    assert shown and all(each["greatest"] > 0 for each in shown)


def test_a_folder_of_stores_is_no_store(two: Path, tmp_path: Path) -> None:
    opened = Store.open(two / "maps")
    assert list(opened.parts) == ["he", "ki67"] == stores_in(two / "maps")
    assert opened[opened.slide_ids[0]].slide_id == opened.slide_ids[0]
    with pytest.raises(StoreError, match="folder of 2 stores"):
        _ = opened.encoder
    assert [(each.path.name, each.kind) for each in verify(paths=[two / "maps"])] == [
        ("he", "store"),
        ("ki67", "store"),
    ]
    Image.new("RGB", (300, 300), (200, 120, 180)).save(tmp_path / "a.png")
    with pytest.raises(StoreError, match="folder of 2 stores"):
        compress(slides=[tmp_path / "a.png"], mpp=0.5, encoder="colour", out=two / "maps", device="cpu")


def test_the_same_slides_at_two_scales_share_their_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        yes = number % 2
        for part, side in (("fine", 8), ("coarse", 2)):
            codes = rng.normal(size=(4, side, side)) + 0.3 * yes
            slide = fake_slide(f"S{number}", codes, np.ones((side, side), bool), made_by(part, 4))
            write_map(map_folder(tmp_path / "maps" / part, slide.slide_id), slide)
        rows.append({"patient_id": f"S{number}", "slide_id": f"S{number}", "target": "ny"[yes]})
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    done = run(tmp_path, "run", aggregator="mean")
    assert {len(each.slide_ids) for each in read_run(done).cohort.patients} == {2}
    predict(bundle=done, slides=[tmp_path / "maps"], out=tmp_path / "p.csv", device="cpu")
    assert len(pd.read_csv(tmp_path / "p.csv")) == 12


def test_slides_of_one_name_are_one_patients() -> None:
    found = patients_by_name(["ki67/b", "he/a", "ki67/a"])
    assert {each.patient_id: each.slide_ids for each in found} == {"a": ("he/a", "ki67/a"), "b": ("ki67/b",)}


def test_several_devices_are_refused(two: Path) -> None:
    with pytest.raises(SettingsError, match="with 2 devices"):
        run(two, "devices", devices=2)


def test_maps_of_parts_are_given_part_by_part(two: Path, joint: Path) -> None:
    with pytest.raises(SettingsError, match="several parts of a patient: he, ki67"):
        MapDataset(joint, 0)


def test_masks_lie_in_folders_of_parts(tmp_path: Path) -> None:
    (tmp_path / "S1.png").touch()
    with pytest.raises(SettingsError, match="no folder for each part"):
        masks_of_part(tmp_path, "he")
    (tmp_path / "he").mkdir()
    assert masks_of_part(tmp_path, "he") == tmp_path / "he" and masks_of_part(tmp_path, "ki67") is None


def test_votes_are_refused(two: Path) -> None:
    with pytest.raises(SettingsError, match="heads of one encoder"):
        run(two, "votes", aggregator="votes")
