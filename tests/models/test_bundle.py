"""Bundles: what is written is what is read, the same bytes each time, and damage is found."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from fixtures.damage import ABSENT, NO_DOCUMENTS, damage
from fixtures.stores import made_by, make_map
from histonic.core.errors import BundleError, SettingsError, TrainingError
from histonic.core.progress import Silent
from histonic.data.maps.store import Store, encoder_path
from histonic.encoders.base import load_encoder
from histonic.models.bundle import Bundle, read_bundle
from histonic.models.members import Member
from histonic.models.own_maps import require_own_maps
from histonic.models.trained import read_network
from histonic.nn.checkpoint import save_state
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.predict.predict import predict
from histonic.stages.train.train import find_encoder, train_slides

TARGETS = ["grade", "score", "os:survival:os_months,os_event"]


@pytest.fixture(scope="module")
def run(cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_slides(
        store=cohort_folder / "store",
        labels=cohort_folder / "labels.csv",
        target=TARGETS,
        out=tmp_path_factory.mktemp("run") / "run",
        folds=3,
        max_epochs=2,
        batch=8,
        learning_rate=1e-3,
    )


def test_networks_are_read_back_ready_to_use(run: Path) -> None:
    bundle = read_bundle(run / "bundle")
    members = [(each.fold, each.initialisation) for each in bundle.members]
    assert members == [(fold, network) for fold in range(3) for network in range(2)]
    assert [task.name for task in bundle.tasks] == ["grade", "score", "os"]
    assert bundle.test_crops == 10
    assert {(each.aggregator, each.crop_cells, each.repeat) for each in bundle.members} == {
        ("convnet", 14, 0)
    }
    assert not any(model.training for model in bundle.models)
    assert load_encoder(bundle.encoder_path).fingerprint == bundle.encoder.fingerprint


def test_no_file_is_a_pickle(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file():
            # Protocols 2 to 5; a safetensors file may begin with 0x80, a length.
            assert not path.read_bytes().startswith((b"PK", *(bytes([0x80, each]) for each in range(2, 6))))


def test_damage_is_found(run: Path, tmp_path: Path) -> None:
    for name in ("weights.safetensors", "encoder.safetensors"):
        bundle = tmp_path / name
        shutil.copytree(run / "bundle", bundle)
        content = bytearray((bundle / name).read_bytes())
        content[-1] ^= 1
        (bundle / name).write_bytes(bytes(content))
        with pytest.raises(BundleError, match=f"{name} has changed"):
            read_bundle(bundle)
        (bundle / name).unlink()
        with pytest.raises(BundleError, match=f"{name} is absent"):
            read_bundle(bundle)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}'])
def test_what_is_no_bundle_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="It is an empty folder"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(tmp_path)


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run / "bundle", tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("format", "histonic-bundle-0", "older than"),
        ("format", "histonic-bundle-2", "newer than"),
        ("format", "histonic-run-1", "no file of the format"),
        ("tasks", [], r"tasks is \[\]"),
        ("tasks.0.kind", "guess", r"tasks\.0\.kind is 'guess'"),
        ("tasks.0.classes", ["low"], "'grade' has 1 classes"),
        ("networks", [], r"networks is \[\]"),
        ("networks.1.fold", ABSENT, r"networks\.1\.fold is absent"),
        ("networks.1.aggregator", 3, r"networks\.1\.aggregator is 3"),
        ("networks.1.aggregator", "other", "has changed since"),
        ("networks.1.prevalence", {}, r"networks\.1\.prevalence has not one share a class of 'grade'"),
        ("networks.1.risks", {}, r"networks\.1\.risks has nothing of 'os'"),
        ("networks.1.risks.os.cut", ABSENT, r"networks\.1\.risks\.os\.cut is absent"),
        ("networks.1.fold", 7, "does not hold the network repeat-0-fold-7"),
        ("networks.1.thresholds", {"msi": {"youden": "0.5"}}, r"thresholds\.msi\.youden is '0\.5'"),
        ("operating_points", ["best"], r"operating_points\.0 is 'best'"),
        ("calls", "best", "calls is 'best'"),
        ("code_size", 17, "has changed since"),
        ("code_size", -1, "code_size is -1"),
        ("fusion", "sometimes", "fusion is 'sometimes'"),
        ("test_crops", "10", "test_crops is '10'"),
        ("encoder.fingerprint", ABSENT, r"encoder\.fingerprint is absent"),
        ("compress_settings.precision", "16", r"compress_settings\.precision is '16'"),
        ("files", ["weights.safetensors"], "files is"),
        ("files.absent", "0", "absent is absent"),
        ("taste", 1, "taste is 1"),
    ],
)
def test_damaged_content_is_refused_by_its_field(copied: Path, place: str, value: Any, words: str) -> None:
    damage(copied / "bundle.json", place, value)
    with pytest.raises(BundleError, match=words) as error:
        read_bundle(copied)
    assert str(copied) in error.value.asked


@pytest.mark.parametrize("content", NO_DOCUMENTS)
@pytest.mark.parametrize("name", ["bundle.json", "weights.safetensors"])
def test_files_that_are_something_else_are_refused(copied: Path, name: str, content: bytes) -> None:
    (copied / name).write_bytes(content)
    if name != "bundle.json":
        without_hashes(copied)
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        read_bundle(copied)


@pytest.mark.parametrize("change", ["lacks a network", "lacks a layer", "other shapes", "gone"])
def test_weights_of_other_networks_are_refused(copied: Path, change: str) -> None:
    path = copied / "weights.safetensors"
    weights = load_file(path)
    if change == "lacks a network":
        weights = {key: value for key, value in weights.items() if "fold-1-init-0" not in key}
    elif change == "lacks a layer":
        del weights[next(key for key in weights if "fold-1-init-0" in key and key.endswith("linear.weight"))]
    elif change == "other shapes":
        weights = {key: value[None].clone() for key, value in weights.items()}
    save_file(weights, path)
    without_hashes(copied)
    if change == "gone":
        path.unlink()
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        read_bundle(copied)


def without_hashes(bundle: Path) -> None:
    """Make a bundle tell of its files as they are now, like one of a version that kept no other hash."""
    values = json.loads((bundle / "bundle.json").read_text())
    for name in values["files"]:
        values["files"][name] = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    for key in ("sha256", "weights", "calls", "codings"):
        del values[key]
    (bundle / "bundle.json").write_text(json.dumps(values))


def test_a_bundle_of_a_version_without_hashes_is_read(copied: Path, run: Path) -> None:
    without_hashes(copied)
    found, new = read_bundle(copied), read_bundle(run / "bundle")
    assert found.members == new.members
    # It was trained when the shares of the classes decided what is called.
    assert (found.calls, new.calls) == ("balanced", "probable")


@pytest.mark.parametrize("hashes", [False, True])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("nan", r"linear.weight of the network repeat-0-fold-1-init-0 holds NaN or infinity"),
        ("infinity", r"linear.weight of the network repeat-0-fold-1-init-0 holds NaN or infinity"),
        (
            "half",
            r"linear.weight is torch.float16, not torch.float32|repeat-0-fold-1-init-0 has other weights",
        ),
        ("more", r"holds other/x, of a network that bundle.json does not list"),
        ("swapped", r"repeat-0-fold-\d-init-0 has other weights"),
    ],
)
def test_weights_that_cannot_be_right_are_refused_by_their_network(
    copied: Path, change: str, words: str, hashes: bool
) -> None:
    path = copied / "weights.safetensors"
    weights = load_file(path)
    key = next(key for key in weights if "fold-1-init-0" in key and key.endswith("linear.weight"))
    if change == "half":
        weights[key] = weights[key].half()
    elif change == "more":
        weights["other/x"] = torch.zeros(1)
    elif change == "swapped":
        if not hashes:
            pytest.skip("nothing else could tell")
        names = {"fold-0": "fold-1", "fold-1": "fold-0"}
        weights = {
            key.replace(key[9:15], names.get(key[9:15], key[9:15])): value for key, value in weights.items()
        }
    else:
        weights[key][0, 0] = float(change)
    save_file(weights, path)
    if hashes:  # of the file alone, as who edits it would do
        damage(copied / "bundle.json", "files", {path.name: hashlib.sha256(path.read_bytes()).hexdigest()})
    else:
        without_hashes(copied)
    with pytest.raises(BundleError, match=words):
        read_bundle(copied)


@pytest.mark.parametrize(
    ("place", "value"),
    [("test_crops", 11), ("networks.0.crop_cells", 15), ("networks.1.risks.os.mean", 0.5), ("histonic", "9")],
)
def test_any_change_of_the_content_is_noticed(copied: Path, place: str, value: Any) -> None:
    damage(copied / "bundle.json", place, value)
    with pytest.raises(BundleError, match=r"bundle\.json has changed since it was written"):
        read_bundle(copied)


@pytest.mark.parametrize("name", ["../labels.csv", "/etc/hostname", "a\\b", "..", ""])
def test_no_name_leads_outside(copied: Path, name: str) -> None:
    damage(copied / "bundle.json", "files", {"weights.safetensors": "0", name: "0"})
    with pytest.raises(BundleError, match="no file in the bundle's folder"):
        read_bundle(copied)


def test_maps_are_predicted_as_the_networks_would(run: Path, cohort_folder: Path, tmp_path: Path) -> None:
    store = cohort_folder / "store"
    result = predict(bundle=run / "bundle", slides=[store], out=tmp_path / "p.csv")
    frame = pd.read_csv(tmp_path / "p.csv")
    assert result.rows == len(frame) == 20 and not result.failures
    assert frame.slide_id.tolist() == Store.open(store).slide_ids
    bundle = read_bundle(run / "bundle")
    slide = Store.open(store).map("s04a")
    side = bundle.members[0].crop_cells
    codes, mask = np.zeros((8, 18, side, side), np.float16), np.zeros((8, side, side), np.float32)
    features, tissue = (centred(each, slide.mask, side) for each in (slide.features[:], slide.mask))
    for turn in range(8):
        codes[turn] = np.rot90(np.flip(features, 2) if turn > 3 else features, turn, (1, 2))
        mask[turn] = np.rot90(np.flip(tissue, 1) if turn > 3 else tissue, turn)
    values, risks = [], []
    for model, member in zip(bundle.models, bundle.members, strict=True):
        with torch.no_grad():
            found = model.heads.predict(model(torch.from_numpy(codes), torch.from_numpy(mask)))
        values.append(found["score"].mean().item())
        scale = member.risks["os"]
        risks.append((found["os"].mean().item() - scale.mean) / scale.std)
    row = frame[frame.slide_id == "s04a"].iloc[0]
    assert row["score.predicted"] == pytest.approx(np.mean(values), abs=1e-3)
    assert row["os.risk"] == pytest.approx(np.mean(risks), abs=1e-3)
    assert row[["grade.p_high", "grade.p_low", "grade.p_mid"]].sum() == pytest.approx(1)


def centred(array: np.ndarray, mask: np.ndarray, side: int) -> np.ndarray:
    """The box around the tissue in the middle of a window."""
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = array[..., rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    free = [side - extent for extent in box.shape[-2:]]
    return np.pad(box, [(0, 0)] * (box.ndim - 2) + [(each // 2, each - each // 2) for each in free])


def test_one_map_or_all_give_the_same_row(run: Path, cohort_folder: Path, tmp_path: Path) -> None:
    store = cohort_folder / "store"
    predict(bundle=run / "bundle", slides=[store], out=tmp_path / "all.csv")
    predict(bundle=run / "bundle", slides=[store / "s07a.zarr"], out=tmp_path / "one.csv")
    every, one = ((tmp_path / f"{name}.csv").read_text().splitlines() for name in ("all", "one"))
    assert one[0] == every[0] and one[1] in every


def test_maps_of_another_encoder_are_refused(
    run: Path, slide_maker: Callable[..., object], tmp_path: Path
) -> None:
    from histonic.data.maps.writer import write_map

    slide = slide_maker("x", np.ones((18, 9, 9)), np.ones((9, 9), bool), made_by("f", 18))
    write_map(tmp_path / "x.zarr", slide)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"'x'.*\n.*'example'.*'colour'"):
        predict(bundle=run / "bundle", slides=[tmp_path / "x.zarr"], out=tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


def test_slides_become_the_same_predictions_as_their_maps(run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = np.full((1400, 1400, 3), 245, np.uint8)
    image[200:1200, 200:1200] = np.array([190, 110, 170]) + rng.integers(-30, 30, (1000, 1000, 1))
    write_pyramid(tmp_path / "a.tif", image, mpp=0.5)
    (tmp_path / "b.svs").write_text("no slide")
    slides = [tmp_path / "a.tif", tmp_path / "b.svs"]
    result = predict(bundle=run / "bundle", slides=slides, out=tmp_path / "by_slide.csv")
    assert result.rows == 1
    assert [(each.path, each.stage) for each in result.failures] == [(str(slides[1]), "open")]
    compress(slides=[slides[0]], encoder="colour", out=tmp_path / "store")
    predict(bundle=run / "bundle", slides=[tmp_path / "store"], out=tmp_path / "by_map.csv")
    assert (tmp_path / "by_slide.csv").read_bytes() == (tmp_path / "by_map.csv").read_bytes()


def test_slides_unlike_those_of_the_training_are_named(
    run: Path, cohort_folder: Path, tmp_path: Path
) -> None:
    class Notes(Silent):
        lines: ClassVar[list[str]] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

    assert read_bundle(run / "bundle").familiar is not None
    predict(bundle=run / "bundle", slides=[cohort_folder / "store"], out=tmp_path / "own.csv")
    own = pd.read_csv(tmp_path / "own.csv")
    assert (own["unlike_training"] == "yes").sum() <= 1 and own["distance_from_training"].median() < 1
    image = np.full((1400, 1400, 3), 245, np.uint8)
    image[200:1200, 200:1200] = np.array([90, 40, 130]) + np.random.default_rng(0).integers(
        -35, 35, (1000, 1000, 1)
    )
    write_pyramid(tmp_path / "dark.tif", image, mpp=0.5)
    predict(bundle=run / "bundle", slides=[tmp_path / "dark.tif"], out=tmp_path / "p.csv", progress=Notes())
    table = pd.read_csv(tmp_path / "p.csv")
    assert table["unlike_training"].tolist() == ["yes"] and table["distance_from_training"][0] > 1
    assert any("1 of 1 look unlike" in line and "dark" in line for line in Notes.lines)


def test_without_its_encoder_only_maps_can_be_predicted(
    run: Path, cohort_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(run / "bundle", tmp_path / "bundle")
    (tmp_path / "bundle/encoder.safetensors").unlink()
    content = json.loads((tmp_path / "bundle/bundle.json").read_text())
    del content["files"]["encoder.safetensors"]
    (tmp_path / "bundle/bundle.json").write_text(json.dumps(content))
    without_hashes(tmp_path / "bundle")
    store = cohort_folder / "store"
    assert predict(bundle=tmp_path / "bundle", slides=[store], out=tmp_path / "p.csv").rows == 20
    with pytest.raises(BundleError, match="holds no encoder"):
        predict(bundle=tmp_path / "bundle", slides=[tmp_path / "a.svs"], out=tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fold": 2}, "It is that of repeat-0-fold-2-init-0"),
        ({"crop_cells": -9}, "crop_cells is -9"),
        ({"crop_cells": "14"}, "crop_cells is '14'"),
    ],
)
def test_a_network_of_another_name_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    member = Member(0, 1, 0, "convnet", 14, {}, {}).to_dict()
    path = tmp_path / "repeat-0-fold-1-init-0.safetensors"
    state = {"code_size": 18, "weights": {"w": torch.ones(1)}, "history": [], "predictions": {}, "unseen": {}}
    save_state(path, {**state, "member": member})
    assert read_network(path).member.fold == 1
    save_state(path, {**state, "member": {**member, **change}})
    with pytest.raises(TrainingError, match=words):
        read_network(path)
    save_state(path, {"finished": False, "network": {}})
    with pytest.raises(TrainingError, match="file of something else"):
        read_network(path)


def test_a_prediction_that_is_no_number_is_refused(
    run: Path, cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*given: Any, **more: Any) -> dict[str, np.ndarray]:
        risks = np.zeros((20, 1))
        risks[4] = np.inf
        return {"grade": np.full((20, 3), 1 / 3), "score": np.zeros((20, 1)), "os": risks}

    monkeypatch.setattr("histonic.stages.predict.predict.predict_patients", found)
    with pytest.raises(BundleError, match=r"Predict 'os' of s04a .*\n.*fold 1 gives no finite number"):
        predict(bundle=run / "bundle", slides=[cohort_folder / "store"], out=tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


def test_no_slides_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No slide"):
        predict(bundle=run / "bundle", out=tmp_path / "p.csv")


def test_the_encoder_of_a_store_is_found_beside_its_maps(cohort_folder: Path, tmp_path: Path) -> None:
    encoder = find_encoder(Store.open(cohort_folder / "store"))
    assert encoder is not None and encoder.spec.name == "colour"
    shutil.copytree(cohort_folder / "store", tmp_path / "store")
    load_encoder("mean-rgb").save(encoder_path(tmp_path / "store"))
    assert find_encoder(Store.open(tmp_path / "store")) is None


def test_maps_of_another_stride_are_refused() -> None:
    own = make_map("a")
    made = SimpleNamespace(folder=Path("bundle"), encoder=own.encoder, compress_settings=own.settings)
    made.of_part, made.how_to_make_maps = lambda part: made, lambda ours="": ours
    require_own_maps(cast(Bundle, made), [own])
    other = dataclasses.replace(own, settings=own.settings.model_copy(update={"stride_px": 64}))
    with pytest.raises(BundleError, match="Its stride is 64 px, that of the training maps as wide as a tile"):
        require_own_maps(cast(Bundle, made), [other])
