"""The whole of training: results in place, exact resumption, the same numbers again, bad input refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from scipy.stats import spearmanr

from histonic.core.claims import sole_owner
from histonic.core.errors import (
    CohortError,
    EncoderError,
    HistonicError,
    OutputError,
    RunError,
    SettingsError,
    StoreError,
    TableError,
    TrainingError,
)
from histonic.core.progress import Silent
from histonic.core.task import Task
from histonic.data.maps.failures import Failure, write_failure
from histonic.data.maps.store import Store
from histonic.data.maps.writer import write_map
from histonic.encoders.tile_heads import HEADS_FILE, save_heads
from histonic.models.bundle import read_bundle
from histonic.nn.heads import Heads
from histonic.runs.documents import FIRST_LOOK
from histonic.runs.run import read_run
from histonic.stages.evaluate.evaluate import evaluate_run
from histonic.stages.predict.predict import predict
from histonic.stages.train import linear_heads
from histonic.stages.train.train import train_slides
from histonic.training import loop

TARGETS = ["grade:ordinal", "score:regression", "os:survival:os_months,os_event"]
QUICK = {"folds": 3, "max_epochs": 3, "batch": 8}
ONE = {"folds": 3, "max_epochs": 1, "batch": 8, "initialisations": 1}


def run_in(folder: Path, cohort: Path, progress: Any = None, **values: Any) -> Path:
    """Train with ``folder`` as the place of the run; short, and on all kinds of target."""
    given = {"store": cohort / "store", "labels": cohort / "labels.csv", "target": TARGETS, **QUICK, **values}
    return train_slides(out=folder, progress=progress, **given)


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    place = tmp_path_factory.mktemp("whole")
    before = Path.cwd()
    os.chdir(place)
    try:
        return place / run_in(Path("run"), cohort_folder)
    finally:
        os.chdir(before)


def test_a_run_has_everything(whole: Path, cohort_folder: Path) -> None:
    found = set(digest(whole))
    assert found == {
        "settings.yaml",
        "run.json",
        "cohort.json",
        "history.csv",
        "failures.json",
        "networks/grade.csv",
        "networks/score.csv",
        "networks/os.csv",
        "predictions/grade.csv",
        "predictions/score.csv",
        "predictions/os.csv",
        "bundle/bundle.json",
        "bundle/weights.safetensors",
        "bundle/encoder.safetensors",
        "bundle/familiar.safetensors",
    }
    run = json.loads((whole / "run.json").read_text())
    assert run["encoder"] == Store.open(cohort_folder / "store").encoder.to_dict()
    assert run["crop_cells"] == 14 and run["code_size"] == 18
    assert run["slides_given"] == {"default_mpp": [], "names": ["file"], "masked": False}
    assert run["bundle_fingerprint"] == digest(whole)["bundle/bundle.json"]


def test_run_and_bundle_say_how_labels_were_taken(whole: Path) -> None:
    found = json.loads((whole / "run.json").read_text())["codings"]
    assert found == json.loads((whole / "bundle/bundle.json").read_text())["codings"]
    assert {name: coding["text"] for name, coding in found.items()} == {
        "grade": "order, lowest first: low < mid < high (by their words)",
        "score": "a number, in the unit of the column 'score'",
        "os": "event: 1 in the column 'os_event'; censored: 0; time in months, by the name of 'os_months'",
    }
    assert {coding["doubt"] for coding in found.values()} == {""}


def test_every_patient_is_predicted_once_out_of_fold(whole: Path) -> None:
    parts = {
        patient["patient_id"]: patient["tested_in"][0][1]
        for patient in json.loads((whole / "cohort.json").read_text())["patients"]
    }
    assert len(parts) == 20
    for name in ("grade", "score", "os"):
        frame = pd.read_csv(whole / "predictions" / f"{name}.csv")
        assert frame.patient_id.tolist() == sorted(parts)
        assert frame.fold.tolist() == [parts[patient] for patient in frame.patient_id]


def test_columns_are_those_promised(whole: Path) -> None:
    grade = pd.read_csv(whole / "predictions/grade.csv")
    shares = grade[[f"p_{name}" for name in ("high", "low", "mid") if f"p_{name}" in grade]]
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert "score" in grade and set(grade.decided_by) == {"median"}
    reached = grade[["p_low", "p_mid", "p_high"]].cumsum(axis=1).to_numpy() >= 0.5 - 1e-8
    assert grade.predicted.tolist() == np.array(["low", "mid", "high"])[reached.argmax(axis=1)].tolist()
    survival = pd.read_csv(whole / "predictions/os.csv")
    assert survival.columns.tolist()[4:] == ["time", "event", "risk", "high_risk"]
    assert set(survival.high_risk) <= {0, 1}
    assert {result.task.name for result in evaluate_run(whole, resamples=100)} == {"grade", "score", "os"}


def test_another_rule_is_asked_for_and_told(cohort_folder: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", cohort_folder, target=["grade:multiclass"], calls="balanced", **ONE)
    assert set(pd.read_csv(run / "predictions/grade.csv").decided_by) == {"balanced"}
    for name in ("run.json", "bundle/bundle.json"):
        assert json.loads((run / name).read_text())["calls"] == "balanced"
    predict(bundle=run / "bundle", slides=[cohort_folder / "store"], out=tmp_path / "out.csv")
    assert set(pd.read_csv(tmp_path / "out.csv")["grade.decided_by"]) == {"balanced"}


def test_the_history_begins_with_the_untrained_network(whole: Path) -> None:
    history = pd.read_csv(whole / "history.csv")
    assert history.groupby(["fold", "initialisation"]).size().tolist() == [4] * 6
    assert history.train_loss.isna().tolist() == (history.epoch == 0).tolist()


class Bomb(Silent):
    """A progress that breaks the run at the n-th advance."""

    def __init__(self, fuse: int) -> None:
        self.fuse = fuse

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.fuse -= 1
        if self.fuse < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "fuses",
    [
        pytest.param([21], marks=pytest.mark.long),  # at the first epoch, as the last of the next
        [24, 23, 22],
        [30],
    ],
)
def test_an_interrupted_run_ends_with_the_same_bytes(
    fuses: list[int], whole: Path, cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    for fuse in fuses:
        with pytest.raises(KeyboardInterrupt):
            run_in(Path("run"), cohort_folder, Bomb(fuse))
        assert list((tmp_path / "run/checkpoints").glob("repeat-0-fold-0*"))
    run_in(Path("run"), cohort_folder)
    assert digest(tmp_path / "run") == digest(whole)


def test_a_killed_run_ends_with_the_same_bytes(
    whole: Path, cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-m", "histonic", "train", str(cohort_folder / "store"), "--out", "run"]
    words += ["--labels", str(cohort_folder / "labels.csv"), "--folds", "3", "--max-epochs", "3"]
    words += ["--batch", "8", *(word for target in TARGETS for word in ("--target", target))]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("run/checkpoints/repeat-0-fold-0*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run/run.json").exists()
    monkeypatch.chdir(tmp_path)
    run_in(Path("run"), cohort_folder)
    assert digest(tmp_path / "run") == digest(whole)


def test_a_finished_run_is_left_as_it_is(
    whole: Path, cohort_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole.parent)
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    said: list[str] = []

    class Ear(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    run_in(Path("run"), cohort_folder, Ear())
    assert "finished already" in said[0]
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_another_run_in_the_same_folder_is_refused(
    whole: Path, cohort_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole.parent)
    with pytest.raises(TrainingError, match="seed was 0, now 1"):
        run_in(Path("run"), cohort_folder, seed=1)
    with pytest.raises(TrainingError, match="It is a store of maps"):
        run_in(cohort_folder / "store", cohort_folder)


def test_changed_labels_are_noticed(cohort_folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_bytes((cohort_folder / "labels.csv").read_bytes())
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path / "run", cohort_folder, Bomb(22), labels=labels)
    table = pd.read_csv(labels)
    table.loc[0, "score"] += 1
    table.to_csv(labels, index=False)
    with pytest.raises(TrainingError, match="other patients, labels or maps"):
        run_in(tmp_path / "run", cohort_folder, labels=labels)


def test_changed_maps_are_noticed(store_maker: Callable[..., Path], tmp_path: Path) -> None:
    cohort = store_maker(tmp_path, patients=12, side=8)
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path / "run", cohort, Bomb(14), target=["score"])
    found = Store.open(cohort / "store").map("s03a")
    write_map(
        cohort / "store/s03a.zarr", replace(found, features=np.asarray(found.features[:]) + np.float16(1))
    )
    with pytest.raises(TrainingError, match="slides"):
        run_in(tmp_path / "run", cohort, target=["score"])


def test_an_interrupted_run_goes_on_where_store_and_table_were_moved(
    store_maker: Callable[..., Path], tmp_path: Path
) -> None:
    cohort = store_maker(tmp_path / "a", patients=12, side=8)
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path / "run", cohort, Bomb(14), target=["score"])
    moved = cohort.rename(tmp_path / "b")
    run_in(tmp_path / "run", moved, target=["score"])
    facts = json.loads((tmp_path / "run/run.json").read_text())
    assert facts["store"] == str(moved / "store")


def test_a_second_process_is_told_who_trains_into_the_folder(cohort_folder: Path, tmp_path: Path) -> None:
    with sole_owner(tmp_path / "run", "Train."):
        with pytest.raises(RunError, match=rf"Train into .*run.*\n.*process {os.getpid()} on "):
            run_in(tmp_path / "run", cohort_folder, target=["score"])
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["claims"]


def test_the_seed_decides(cohort_folder: Path, tmp_path: Path) -> None:
    given = {**ONE, "target": ["score:regression"]}
    one, same, other = (
        pd.read_csv(run_in(tmp_path / name, cohort_folder, seed=seed, **given) / "predictions/score.csv")
        for name, seed in (("one", 0), ("same", 0), ("other", 5))
    )
    assert one.predicted.tolist() == same.predicted.tolist() != other.predicted.tolist()


def test_a_clear_signal_is_learned(cohort_folder: Path, tmp_path: Path) -> None:
    run = run_in(
        tmp_path / "run", cohort_folder, target=["score"], max_epochs=8, learning_rate=1e-3, initialisations=1
    )
    frame = pd.read_csv(run / "predictions/score.csv")
    assert spearmanr(frame.truth, frame.predicted)[0] > 0.7


def test_several_slides_and_initialisations_and_missing_targets(
    store_maker: Callable[..., Path], tmp_path: Path
) -> None:
    cohort = store_maker(tmp_path, patients=12, side=8, slides_each=2)
    table = pd.read_csv(cohort / "labels.csv")
    table.loc[table.patient_id.isin(["P00", "P01"]), "msi"] = None
    table.to_csv(cohort / "labels.csv", index=False)
    run = run_in(
        tmp_path / "run", cohort, target=["msi", "score"], initialisations=2, max_epochs=1, test_crops=1
    )
    msi = pd.read_csv(run / "predictions/msi.csv")
    assert len(msi) == 12 and msi.truth.isna().sum() == 2 and msi.p_yes.notna().all()
    assert len(json.loads((run / "bundle/bundle.json").read_text())["networks"]) == 6
    assert json.loads((run / "cohort.json").read_text())["counts"]["slides_used"] == 24


@pytest.mark.parametrize("values", [{"crop_cells": 8, "test_crops": 3}, {"precision": "bf16"}])
def test_crops_smaller_than_maps_and_half_precision(
    values: dict[str, Any], cohort_folder: Path, tmp_path: Path
) -> None:
    run = run_in(tmp_path / "run", cohort_folder, target=["score"], max_epochs=1, **values)
    assert json.loads((run / "run.json").read_text())["crop_cells"] == values.get("crop_cells", 14)
    assert np.isfinite(pd.read_csv(run / "predictions/score.csv").predicted).all()


def test_failures_and_pictures_come_along(store_maker: Callable[..., Path], tmp_path: Path) -> None:
    cohort = store_maker(tmp_path, patients=12, side=8)
    write_failure(cohort / "store", Failure("bad", "slides/bad.svs", "open", "It is no slide."))
    (cohort / "store/thumbnails").mkdir()
    (cohort / "store/thumbnails/s00a.jpg").write_bytes(b"picture")
    run = run_in(tmp_path / "run", cohort, target=["score"], max_epochs=1)
    assert json.loads((run / "failures.json").read_text())[0]["slide_id"] == "bad"
    assert (run / "thumbnails/s00a.jpg").read_bytes() == b"picture"
    assert json.loads((run / "cohort.json").read_text())["counts"]["slides_failed"] == 1


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"target": ["absent"]}, TableError, "absent"),
        ({"target": ["site:regression"]}, TableError, "site"),
        ({"target": ["score", "score"]}, SettingsError, "named twice"),
        ({"folds": 21}, CohortError, "Fewer patients than folds"),
        ({"store": Path("nowhere")}, StoreError, "nowhere"),
        ({"aggregator": "convnt"}, SettingsError, "convnet"),
        ({"device": "tpu"}, SettingsError, "tpu"),
        ({"learning_rate": 1e30}, TrainingError, "fold 1 .*\n.*loss of epoch 1"),
    ],
)
def test_bad_input_is_refused(
    values: dict[str, Any], error: type[HistonicError], words: str, cohort_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        run_in(tmp_path / "run", cohort_folder, **values)
    assert not list(tmp_path.rglob("*.safetensors"))
    if error is not TrainingError:
        assert not (tmp_path / "run").exists()


def test_a_class_that_a_fold_cannot_learn_is_named(cohort_folder: Path, tmp_path: Path) -> None:
    """Its one patient is tested by networks that have never seen it."""
    table = pd.read_csv(cohort_folder / "labels.csv", dtype=str)
    first = table.patient_id.iloc[0]
    table.loc[table.patient_id == first, "grade"] = "rare"
    table.to_csv(tmp_path / "labels.csv", index=False)
    said: list[str] = []

    class Listener(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    run = run_in(
        tmp_path / "run",
        cohort_folder,
        Listener(),
        labels=tmp_path / "labels.csv",
        target=["grade:multiclass"],
        max_epochs=1,
    )
    found = pd.read_csv(run / "predictions" / "grade.csv", dtype=str).set_index("patient_id")
    # It also validates in another fold, which cannot learn it either.
    assert len([line for line in said if "no training patient" in line]) == 2
    assert "grade: classes without an order: high, low, mid, rare" in said
    assert any(f"no training patient of fold {int(found.fold[first]) + 1} is rare" in line for line in said)
    assert "rare" not in set(found.predicted[found.fold == found.fold[first]])


def test_a_fixed_split_has_no_folds(cohort_folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(cohort_folder / "labels.csv", dtype=str)
    names = table.patient_id.unique()
    role = {name: "test" if number % 3 == 0 else "train" for number, name in enumerate(names)}
    table.assign(split=table.patient_id.map(role)).to_csv(tmp_path / "labels.csv", index=False)
    said: list[str] = []

    class Listener(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    asked = {"labels": tmp_path / "labels.csv", "target": ["score:regression"], "max_epochs": 1}
    run_in(tmp_path / "run", cohort_folder, Listener(), **asked, folds=7)
    assert [line for line in said if "folds" in line] == [
        "the table's own split has one test part: --folds 7 is not used"
    ]


def test_official_folds_train_and_test_whom_they_name(cohort_folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(cohort_folder / "labels.csv", dtype=str)
    names = sorted(table.patient_id.unique())
    parts = {
        "fold_0": ["test"] * 5 + ["val"] * 3 + ["train"] * 10 + [""] * 2,
        "fold_1": ["train"] * 5 + ["test"] * 5 + ["val"] * 2 + ["train"] * 7 + [""],
    }
    for column, roles in parts.items():
        table[column] = table.patient_id.map(dict(zip(names, roles, strict=True)))
    table.to_csv(tmp_path / "labels.csv", index=False)
    asked = {"labels": tmp_path / "labels.csv", "target": ["score:regression"], "max_epochs": 1}
    out = run_in(tmp_path / "run", cohort_folder, **asked)
    found = json.loads((out / "cohort.json").read_text(encoding="utf-8"))
    assert found["split"] == "given folds"
    assert [each["name"] for each in found["exclusions"] if each["what"] == "patient"] == [names[19]]
    by_name = {each["patient_id"]: each for each in found["patients"]}
    for number, roles in enumerate(parts.values()):
        for name, role in zip(names[:19], roles, strict=False):
            where = [
                key for key in ("tested_in", "validates_in", "unused_in") if [0, number] in by_name[name][key]
            ]
            assert where == {"test": ["tested_in"], "val": ["validates_in"], "": ["unused_in"]}.get(role, [])
    predicted = pd.read_csv(out / "predictions" / "score.csv")
    assert sorted(predicted.patient_id) == names[:10]


def test_a_split_is_given_once(cohort_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Only one can be"):
        run_in(tmp_path / "run", cohort_folder, splits=tmp_path / "splits_0.csv", split="random")


def test_one_class_only(cohort_folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(cohort_folder / "labels.csv").assign(msi="no")
    table.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(CohortError):
        run_in(tmp_path / "run", cohort_folder, labels=tmp_path / "labels.csv", target=["msi:binary"])


def test_a_nan_in_a_map_names_the_slide(store_maker: Callable[..., Path], tmp_path: Path) -> None:
    cohort = store_maker(tmp_path, patients=12, side=8)
    found = Store.open(cohort / "store").map("s05a")
    codes = np.asarray(found.features[:])
    codes[3, 4, 4] = np.nan
    write_map(cohort / "store/s05a.zarr", replace(found, features=codes))
    with pytest.raises(StoreError, match="'s05a'"):
        run_in(tmp_path / "run", cohort, target=["score"])
    assert not digest(tmp_path / "run")


def test_an_empty_store(tmp_path: Path, cohort_folder: Path) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises(StoreError, match="no map"):
        run_in(tmp_path / "run", cohort_folder, store=tmp_path / "store")


def test_a_folder_that_cannot_be_written(cohort_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        run_in(tmp_path / "file" / "run", cohort_folder)


def test_a_bad_map_leaves_no_run_behind(store_maker: Callable[..., Path], tmp_path: Path) -> None:
    folder = store_maker(tmp_path)
    group = zarr.open_group(store=str(folder / "store" / "s03a.zarr"), mode="r+")
    codes = group["features"][:]
    codes[0, 5, 5] = np.nan
    group["features"][:] = codes
    with pytest.raises(StoreError, match="s03a"):
        train_slides(
            store=folder / "store", labels=folder / "labels.csv", target=["grade"], out=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_survival_by_hazards_trains_and_predicts(cohort_folder: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", cohort_folder, hazard_intervals=4, initialisations=1)
    frame = pd.read_csv(run / "predictions" / "os.csv")
    assert np.isfinite(frame.risk).all() and frame.risk.nunique() > 10
    assert json.loads((run / "run.json").read_text())["tasks"][2]["intervals"] == 4
    assert read_bundle(run / "bundle").models[0].heads["os"].linear.out_features == 4
    with pytest.raises(SettingsError, match="One interval tells no time"):
        run_in(tmp_path / "one", cohort_folder, hazard_intervals=1)


def test_risk_sets_of_a_batch_are_another_training(cohort_folder: Path, tmp_path: Path) -> None:
    """Complete risk sets see all patients at each step, which shows in the losses."""
    target = {**ONE, "target": ["os:survival:os_months,os_event"]}
    losses = [
        pd.read_csv(run_in(tmp_path / kind, cohort_folder, risk_sets=kind, **target) / "history.csv")
        for kind in ("cohort", "batch")
    ]
    assert not np.allclose(losses[0].train_loss.dropna(), losses[1].train_loss.dropna())


@pytest.mark.long
def test_an_aggregator_with_a_loss_of_its_own_trains_on_two_processes(
    cohort_folder: Path, tmp_path: Path
) -> None:
    # The batch is even, so that both ways draw the same patients.
    given = {**ONE, "batch": 4, "aggregator": "clam", "device": "cpu"}
    run = run_in(tmp_path / "run", cohort_folder, **given, devices=2)
    history = pd.read_csv(run / "history.csv")
    assert len(history) == 6 and np.isfinite(history["train_loss"].dropna()).all()
    assert np.isfinite(pd.read_csv(run / "predictions/score.csv").predicted).all()
    assert not (run / "checkpoints").exists()
    alone = run_in(tmp_path / "alone", cohort_folder, **given)
    other = pd.read_csv(alone / "history.csv")
    # The clues of both processes are joined as their outputs are: the loss is that of the whole batch.
    assert np.allclose(history["train_loss"].dropna(), other["train_loss"].dropna(), rtol=1e-3)


def test_the_learning_rate_is_the_aggregators_own(cohort_folder: Path, tmp_path: Path) -> None:
    for name, given, used in (("clam", {}, 1e-3), ("abmil", {"learning_rate": 0.02}, 0.02)):
        run = run_in(tmp_path / f"{used}", cohort_folder, **ONE, aggregator=name, **given)
        assert set(pd.read_csv(run / "history.csv")["learning_rate"]) == {used}
        assert json.loads((run / "run.json").read_text())["learning_rate"] == used


@pytest.fixture(scope="module")
def voting_cohort(cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cohort, with heads for its encoder of which one sees the severity."""
    folder = tmp_path_factory.mktemp("voting")
    shutil.copytree(cohort_folder, folder, dirs_exist_ok=True)
    heads = Heads([Task("dense", "binary", ("d",), ("no", "yes")), Task("other", "regression", ("o",))], 18)
    heads["dense"].linear.weight.data[:, :2] = 1.0
    torch.nn.init.normal_(heads["other"].linear.weight, generator=torch.Generator().manual_seed(0))
    save_heads(folder / "store" / HEADS_FILE, heads.tasks, 18, heads.state_dict())
    return folder


def test_votes_are_fitted_and_travel_in_the_bundle(
    voting_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    penalties = linear_heads.PENALTIES[::3]
    monkeypatch.setattr(linear_heads, "PENALTIES", penalties)  # the fits are what takes long here
    given = {**ONE, "target": TARGETS[1:], "aggregator": "votes"}
    run = run_in(tmp_path / "run", voting_cohort, **given)
    found = {
        task.task.name: {s.name: s.value for s in task.scores} for task in evaluate_run(run, resamples=100)
    }
    assert found["score"]["Spearman correlation"] > 0.7 and found["os"]["C-index"] > 0.6
    history = pd.read_csv(run / "history.csv")
    assert history["train_loss"].isna().sum() == 3 and set(history["epoch"]) == set(range(len(penalties) + 1))
    bundle = shutil.copytree(run / "bundle", tmp_path / "elsewhere")
    assert (bundle / HEADS_FILE).is_file()
    table = predict(bundle=bundle, slides=[voting_cohort / "store"], out=tmp_path / "p.csv").out
    frame = pd.read_csv(table)
    labels = pd.read_csv(voting_cohort / "labels.csv").merge(frame, on="slide_id")
    assert spearmanr(labels["score"], labels["score.predicted"])[0] > 0.8
    again = run_in(tmp_path / "again", voting_cohort, **given)
    assert digest(run / "predictions") == digest(again / "predictions")


def test_votes_need_heads(cohort_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="'colour' has none that belong to it"):
        run_in(tmp_path / "run", cohort_folder, aggregator="votes")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("search", "networks"),
    [
        ({}, 3),
        pytest.param({"batch": "4,8"}, 9, marks=pytest.mark.long),  # starts both processes twice
    ],
)
def test_folds_side_by_side_are_those_one_after_the_other(
    search: dict[str, str], networks: int, cohort_folder: Path, tmp_path: Path
) -> None:
    class Counting(Silent):
        total, done = 0, 0

        def stage(self, name: str, total: int | None = None) -> None:
            self.total = (total or 0) if name == "train" else self.total
            self.done = 0

        def advance(self, steps: int = 1, note: str = "") -> None:
            self.done += steps

    progress = Counting()
    target = {"target": ["score:regression"], "aggregator": "abmil"}
    given = {**ONE, **target, "device": "cpu", "search": search}
    beside = run_in(tmp_path / "beside", cohort_folder, progress, workers=2, **given)
    assert progress.done == progress.total == networks
    alone = run_in(tmp_path / "alone", cohort_folder, **given)
    left, right = (pd.read_csv(run / "predictions/score.csv") for run in (beside, alone))
    assert left.patient_id.tolist() == right.patient_id.tolist()
    assert np.allclose(left.predicted, right.predicted, atol=1e-3)


@pytest.mark.long  # two processes that start only to fail
def test_a_worker_that_fails_ends_the_run_with_its_own_words(cohort_folder: Path, tmp_path: Path) -> None:
    given = {**ONE, "device": "cpu", "workers": 2, "learning_rate": 1e30, "max_epochs": 4}
    with pytest.raises(TrainingError, match="Lower --learning-rate"):
        run_in(tmp_path / "run", cohort_folder, **given)
    assert not (tmp_path / "run" / "run.json").exists()


def test_workers_need_the_cpu_to_themselves(cohort_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--workers 1"):
        run_in(tmp_path / "run", cohort_folder, workers=2, devices=2, device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.long  # three processes that start only to be killed
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_a_killed_run(cohort_folder: Path, tmp_path: Path) -> None:
    script = (
        "from histonic import train_slides\n"
        "if __name__ == '__main__':\n"
        f"    train_slides(store={str(cohort_folder / 'store')!r},\n"
        f"        labels={str(cohort_folder / 'labels.csv')!r},\n"
        f"        target=['score:regression'], out={str(tmp_path / 'run')!r}, folds=3, max_epochs=2000,\n"
        "        batch=8, device='cpu', workers=2, aggregator='abmil', learning_rate=1e-9)\n"
    )
    (tmp_path / "work.py").write_text(script)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "work.py")])
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("run/checkpoints/repeat*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert len(children) >= 2
    deadline = time.monotonic() + 30
    while any(_lives(int(child)) for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(_lives(int(child)) for child in children)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_first_look_says_so_everywhere(cohort_folder: Path, tmp_path: Path) -> None:
    class Listening(Silent):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

    progress = Listening()
    target = ["grade:ordinal"]
    run = run_in(tmp_path / "run", cohort_folder, progress, folds=3, target=target, quick=True)
    assert FIRST_LOOK in progress.lines
    facts = read_run(run).facts
    assert facts.quick and facts.aggregator == "mean" and facts.initialisations == 1
    bundle = read_bundle(run / "bundle")
    assert bundle.quick
    # It is what the linear models of the mean code say, which are fitted in one way only.
    plain = run_in(tmp_path / "plain", cohort_folder, folds=3, target=target, aggregator="mean")
    assert not read_bundle(plain / "bundle").quick
    left, right = ((each / "predictions/grade.csv").read_bytes() for each in (run, plain))
    assert left == right
    predicting = Listening()
    predict(
        bundle=run / "bundle",
        slides=[cohort_folder / "store"],
        out=tmp_path / "predictions.csv",
        progress=predicting,
    )
    assert any(FIRST_LOOK in line and str(run / "bundle") in line for line in predicting.lines)


@pytest.mark.parametrize("more", [{"aggregator": "abmil"}, {"search": {"batch": "4,8"}}])
def test_a_first_look_trains_no_networks(more: dict[str, Any], cohort_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="first look"):
        run_in(tmp_path / "run", cohort_folder, quick=True, **more)
