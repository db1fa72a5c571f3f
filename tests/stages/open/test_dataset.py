"""A run's maps as a data set: the patients of its folds, maps of several sizes in a batch."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch.utils.data import DataLoader

from histonic.core.errors import RunError, SettingsError, TableError, TrainingError
from histonic.core.objects.objects import Objects
from histonic.core.places.urls import Url
from histonic.core.task import Task
from histonic.data.maps.remote.published import publish_map
from histonic.data.maps.store import Store, map_folder
from histonic.runs.documents import CohortPatient
from histonic.stages.audit.audit import audit
from histonic.stages.open.dataset import MapDataset, collate_maps, target_tensor
from histonic.stages.open.run import Run
from histonic.stages.predict.external import external_test
from histonic.stages.train.train import train_slides

TARGET = "proliferation_score"


def test_parts_of_a_fold_are_those_of_the_run(trained: Path) -> None:
    run = Run.open(trained)
    tested = run.predictions(TARGET)
    for repeat, fold in run.folds():
        parts = [
            {each.patient_id for each in MapDataset(run, fold, part, repeat=repeat).patients}
            for part in ("train", "validation", "test")
        ]
        assert parts[2] == set(tested.loc[tested["fold"] == fold, "patient_id"])
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(run.cohort.patients)
    assert len(MapDataset(trained, part="all")) == run.cohort.counts.slides_used


def test_an_item_is_the_tissue_of_a_slide(trained: Path) -> None:
    data = MapDataset(Run.open(trained), 0, "train")
    item = data[0]
    slide = Store.open(trained.parent / "store")[item.slide_id]
    assert item.features.dtype == torch.float32 and item.features.shape[0] == data.code_size
    np.testing.assert_array_equal(
        item.features[:, item.mask].numpy(), slide.features[:, slide.mask].astype(np.float32)
    )
    assert item.mask[0].any() and item.mask[-1].any() and item.mask[:, 0].any() and item.mask[:, -1].any()
    assert MapDataset(trained, 0, "train", whole=True)[0].mask.shape == slide.mask.shape
    truth = Run.open(trained).cohort.patient_of(item.slide_id)
    assert truth is not None and float(item.targets[TARGET]) == pytest.approx(truth.targets[TARGET])
    assert repr(data).startswith("MapDataset (") and repr(data).endswith(f"targets: {TARGET})")


def test_maps_in_an_object_store_can_be_loaded_by_other_processes(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path / "home"))
    here, url = MapDataset(trained, 0, "test"), f"memory://{uuid4().hex}/store"
    for name in {here[index].slide_id for index in range(len(here))}:
        publish_map(Objects(Url(url)), map_folder(trained.parent / "store", name))
    there = pickle.loads(pickle.dumps(MapDataset(trained, 0, "test", store=url)))
    assert torch.equal(there[0].features, here[0].features) and there[0].slide_id == here[0].slide_id


def test_a_batch_keeps_what_each_item_had(trained: Path) -> None:
    data = MapDataset(trained, 0, "train")
    (batch,) = DataLoader(data, batch_size=len(data), collate_fn=collate_maps)
    assert batch.features.shape[:2] == (len(data), data.code_size) and len(batch.patient_id) == len(data)
    for place, item in enumerate(data[index] for index in range(len(data))):
        assert torch.equal(batch.features[place][:, batch.mask[place]], item.features[:, item.mask])
        assert not batch.features[place][:, ~batch.mask[place]].any()


@pytest.mark.parametrize(
    ("task", "value", "wanted"),
    [
        (Task("msi", "binary", ("msi",), ("no", "yes")), "yes", 1.0),
        (Task("ki67", "regression", ("ki67",)), 12.5, 12.5),
        (Task("os", "survival", ("t", "e")), (7.0, 1.0), [7.0, 1.0]),
    ],
)
def test_targets_are_numbers_and_missing_is_nan(task: Task, value: object, wanted: object) -> None:
    given = {"patient_id": "a", "site": "", "slide_ids": ("s",), "tested_in": (), "validates_in": ()}
    known = CohortPatient(**given, targets={task.name: value})
    assert target_tensor(task, known).tolist() == wanted
    missing = target_tensor(task, CohortPatient(**given, targets={}))
    assert torch.isnan(missing).all() and missing.shape == target_tensor(task, known).shape


def test_what_is_not_there_is_named(trained: Path) -> None:
    with pytest.raises(RunError, match=r"folds 0, 1, 2, 3 in 1 repeat"):
        MapDataset(trained, 7)
    with pytest.raises(SettingsError, match="train, validation, test or all"):
        MapDataset(trained, 0, "val")  # type: ignore[arg-type]


def test_a_run_of_a_dataframe_keeps_the_table(trained: Path, labels: pd.DataFrame) -> None:
    kept = yaml.safe_load((trained / "settings.yaml").read_text())
    assert kept["labels"] == (trained / "labels.csv").as_posix()
    assert "labels.csv" in Run.open(trained).facts.files
    stored = pd.read_csv(trained / "labels.csv", dtype={"patient_id": str}).set_index("patient_id")
    pd.testing.assert_frame_equal(stored, labels)
    other = labels.assign(proliferation_score=labels["proliferation_score"] + 1)
    with pytest.raises(TrainingError, match="other patients, labels or maps"):
        train_slides(**{**kept, "labels": other})


@pytest.mark.long
def test_a_run_of_a_dataframe_can_be_made_again(trained: Path, tmp_path: Path) -> None:
    kept = yaml.safe_load((trained / "settings.yaml").read_text())
    again = train_slides(**{**kept, "out": tmp_path / "again"})
    name = f"predictions/{TARGET}.csv"
    assert (again / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.long
def test_a_private_run_keeps_no_table(trained: Path, labels: pd.DataFrame, tmp_path: Path) -> None:
    store, target = trained.parent / "store", f"{TARGET}:regression"
    run = train_slides(
        store=store, labels=labels, target=target, out=tmp_path / "run", quick=True, private=True
    )
    assert not list(run.rglob("labels.csv")) and yaml.safe_load((run / "settings.yaml").read_text())


def test_errors_of_a_dataframe_name_column_and_row_label(trained: Path, labels: pd.DataFrame) -> None:
    row = labels.index[2]
    wrong = labels.assign(
        proliferation_score=labels["proliferation_score"].where(labels.index != row, "high")
    )
    with pytest.raises(TableError, match=f"(?s)DataFrame.*'proliferation_score'.*{row}|{row}.*'high'"):
        train_slides(
            store=trained.parent / "store",
            labels=wrong,
            target=f"{TARGET}:regression",
            out=trained.parent / "wrong",
            quick=True,
        )
    assert not (trained.parent / "wrong").exists()


def test_tables_of_other_verbs_are_kept_beside_their_results(
    trained: Path, labels: pd.DataFrame, tmp_path: Path
) -> None:
    values = {"store": trained.parent / "store", "labels": labels}
    out = external_test(run=trained, name="again", **values)
    told = json.loads((out / "external.json").read_text())
    assert told["labels"] == told["settings"]["labels"] == (out / "labels.csv").as_posix()
    assert list(pd.read_csv(out / "labels.csv", dtype=str)["patient_id"]) == list(labels.index)
    audit(target=f"{TARGET}:regression", out=tmp_path / "audit", permutations=200, **values)
    told = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert told["settings"]["labels"] == (tmp_path / "audit" / "labels.csv").as_posix()
