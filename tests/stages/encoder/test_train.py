"""Training of encoders on tile files: every objective, resumption, what is left behind, what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from histonic.core.claims import sole_owner
from histonic.core.errors import EncoderError, RunError, SettingsError, TileSetError, TrainingError
from histonic.core.progress import Silent
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.lite import LiteAppearanceEncoder
from histonic.encoders.objectives.multitask import MultitaskObjective
from histonic.encoders.tile_heads import load_heads
from histonic.nn.losses import ValidationResult
from histonic.runs.files import settings_text
from histonic.stages.encoder import run_files
from histonic.stages.encoder import train as stage
from histonic.stages.encoder.imported import import_encoder
from histonic.stages.encoder.run_files import saved_settings, with_precision
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from histonic.stages.encoder.training_data import TileTrainingData
from histonic.training import loop
from histonic.training.executors.sending import sendable

COLOURS = {"pale": (220, 180, 210), "dark": (120, 60, 130), "red": (200, 80, 90)}
QUICK = {
    "tile_px": 64,
    "mpp": 1.0,
    "code_size": 8,
    "batch": 8,
    "steps": 2,
    "max_epochs": 2,
    "device": "cpu",
    "precision": "32",
}


def write_tiles(
    folder: Path, classes: tuple[str, ...], count: int = 16, side: int = 64, seed: int = 0
) -> Path:
    rng = np.random.default_rng([seed, *folder.name.encode()])
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(-25, 25, (side, side, 1))
            pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of tiles; not to be changed."""
    folder = tmp_path_factory.mktemp("painted")
    write_tiles(folder / "tint", ("pale", "dark"))
    write_tiles(folder / "colour", ("pale", "dark", "red"), side=128)
    return folder


@pytest.fixture
def sets(painted: Path, tmp_path: Path) -> list[dict[str, Any]]:
    tint, colour = (shutil.copytree(painted / name, tmp_path / name) for name in ("tint", "colour"))
    return [
        {"name": "tint", "path": tint, "mpp": 1.0, "licence": "CC0"},
        {"name": "colour", "path": colour, "assumed_mpp": 0.5},
    ]


def run(tmp_path: Path, sets: list[dict[str, Any]], folder: str = "run", **values: Any) -> Path:
    return train_encoder(
        **{**QUICK, "sets": sets, "out": tmp_path / folder, "cache": tmp_path / "cache", **values}
    )


@pytest.mark.parametrize("objective", ["multitask", "vae", "contrastive", "ntxent", "bigan"])
def test_every_objective_leaves_an_encoder_that_encodes(
    objective: str, tmp_path: Path, sets: list[dict[str, Any]]
) -> None:
    out = run(tmp_path, sets, objective=objective, trunk="nic", steps=1, max_epochs=1)
    encoder = load_encoder(out / "encoder.safetensors")
    codes = encoder.encode(np.full((3, 64, 64, 3), 200, np.uint8))
    assert codes.shape == (3, 8) and np.isfinite(codes).all()
    assert (out / "picture.png").is_file() == (objective != "multitask")
    assert (out / "heads.safetensors").is_file() == (objective == "multitask")
    assert not (out / "checkpoints").exists()


def test_components_of_a_trunk_with_statistics_are_those_of_its_tiles(
    tmp_path: Path, sets: list[dict[str, Any]]
) -> None:
    torch.manual_seed(0)
    spec = EncoderSpec("given", "lite-appearance:64:80", 64, 1.0, 8)
    LiteAppearanceEncoder(spec, LiteAppearanceEncoder.build(spec)).save(tmp_path / "given.safetensors")
    known: dict[str, Any] = {"trunk": "lite-appearance:64:80", "steps": 1, "max_epochs": 1}
    with pytest.raises(SettingsError, match="photographs"):
        run(tmp_path, sets, "none", **known)
    out = run(tmp_path, sets, weights=tmp_path / "given.safetensors", learning_rate=1e-5, **known)
    encoder = load_encoder(out / "encoder.safetensors")
    assert encoder.spec.architecture == "lite-appearance:64:80"
    looks = encoder.network.looks  # type: ignore[attr-defined]
    assert float(looks.mean.abs().max()) > 0.1 and float((looks.spread - 1).abs().max()) > 0.1


def test_a_run_holds_settings_curves_heads_and_a_card_that_repeats_what_was_assumed(
    tmp_path: Path, sets: list[dict[str, Any]]
) -> None:
    (tmp_path / "tint" / "dark" / "3.png").write_bytes(b"no image")
    out = run(tmp_path, sets, steps=10, max_epochs=3)
    facts = json.loads((out / "run.json").read_text())
    history = (out / "history.csv").read_text().splitlines()
    assert history[0] == "epoch,learning_rate,train_loss,validation_loss,tint loss,colour loss"
    assert len(history) == 5 and facts["epochs"] == 3
    assert yaml.safe_load((out / "settings.yaml").read_text())["seed"] == 0
    card = (out / "model_card.md").read_text()
    assert "0.5 µm/px is assumed" in card and "CC0" in card and "1 tiles could not be read" in card
    # The classes differ in colour by far more than tiles of one class do; patients are not known.
    shares = facts["codes_vary_with"]["tint"]
    assert shares["classes"] > 0.5 and shares["sources"] is None
    assert f"| tint | {shares['classes']:.0%} | unknown |" in card
    failures = json.loads((out / "failures.json").read_text())
    assert len(failures) == 1 and failures[0]["path"].endswith("3.png")
    heads = load_heads(out / "heads.safetensors")
    pale = np.full((2, 64, 64, 3), COLOURS["pale"], np.uint8)
    dark = np.full((2, 64, 64, 3), COLOURS["dark"], np.uint8)
    codes = load_encoder(out / "encoder.safetensors").encode(np.concatenate([pale, dark]))
    found = heads.predict(heads(torch.from_numpy(codes)))["tint"].argmax(1)
    assert found.tolist() == [1, 1, 0, 0]  # classes in alphabetical order: dark, pale


def test_codes_agree_between_memory_disk_and_bfloat16(tmp_path: Path, sets: list[dict[str, Any]]) -> None:
    path = run(tmp_path, sets, steps=10) / "encoder.safetensors"
    tiles = np.random.default_rng(0).integers(0, 255, (16, 64, 64, 3)).astype(np.uint8)
    exact = load_encoder(path).encode(tiles)
    load_encoder(path).save(tmp_path / "again.safetensors")
    assert np.array_equal(load_encoder(tmp_path / "again.safetensors").encode(tiles), exact)
    short = load_encoder(path, precision="bf16").encode(tiles)
    cosine = (exact * short).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(short, axis=1)
    assert cosine.min() > 0.999


class Stop(Silent):
    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.left -= bool(note)
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("objective", ["multitask", "bigan"])
def test_an_interrupted_training_ends_with_the_same_weights(
    objective: str, tmp_path: Path, sets: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    values = {"objective": objective, "max_epochs": 3, "steps": 1, "augment": "hed-light", "name": "same"}
    values["trunk"] = "nic"
    sets = sets[:1] if objective == "bigan" else sets  # of which it takes the tiles alone
    whole = run(tmp_path, sets, "whole", **values)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, sets, "parts", progress=Stop(1), **values)
    parts = run(tmp_path, sets, "parts", **values)
    assert (whole / "encoder.safetensors").read_bytes() == (parts / "encoder.safetensors").read_bytes()
    assert (whole / "history.csv").read_bytes() == (parts / "history.csv").read_bytes()


def test_a_second_process_is_told_who_trains_into_the_folder(
    tmp_path: Path, sets: list[dict[str, Any]]
) -> None:
    with (
        sole_owner(tmp_path / "held", "Train."),
        pytest.raises(RunError, match=rf"held.*\n.*process {os.getpid()} on "),
    ):
        run(tmp_path, sets, "held", name="e")


def test_the_seed_decides(tmp_path: Path, sets: list[dict[str, Any]]) -> None:
    one, same, other = (
        (run(tmp_path, sets, name, name="e", seed=seed) / "encoder.safetensors").read_bytes()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == same != other


def test_tiles_without_labels_serve_objectives_that_need_none(tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    for number in range(20):
        Image.new("RGB", (64, 64), (number * 5, 90, 120)).save(folder / f"{number}.png")
    values = {"tiles": (folder,), "mpp_of_tiles": 1.0, "trunk": "nic"}
    out = run(tmp_path, [], objective="vae", **values)
    assert json.loads((out / "run.json").read_text())["tasks"] == []
    with pytest.raises(TileSetError, match="bare"):
        run(tmp_path, [], "other", **values)


def test_training_begins_with_given_weights(tmp_path: Path, sets: list[dict[str, Any]]) -> None:
    first = run(tmp_path, sets[:1], "first") / "encoder.safetensors"
    frozen = run(tmp_path, sets[1:], "second", weights=first, multitask={"warmup_epochs": 2}, max_epochs=2)
    tiles = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)
    # The whole training was warm-up: the trunk, with its batch normalisation, is as it was given.
    assert np.allclose(
        load_encoder(frozen / "encoder.safetensors").encode(tiles), load_encoder(first).encode(tiles)
    )
    with pytest.raises(EncoderError, match="codes of 8 numbers, not 16"):
        run(tmp_path, sets, "third", weights=first, code_size=16)
    with pytest.raises(EncoderError, match="colour"):
        run(tmp_path, sets, "fourth", weights=Path("colour"))


def test_a_trunk_of_timm_sees_the_colours_of_the_weights_it_begins_with(
    timm: Any, tmp_path: Path, sets: list[dict[str, Any]]
) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    known: dict[str, Any] = {"trunk": "timm:test_resnet", "steps": 1, "max_epochs": 1}
    with pytest.raises(EncoderError, match="Import it first"):
        run(tmp_path, sets, "none", weights=tmp_path / "w.pth", **known)
    given = import_encoder(
        tmp_path / "w.pth",
        tmp_path / "given.safetensors",
        architecture="timm:test_resnet",
        colours=((0.7, 0.5, 0.6), (0.2, 0.25, 0.1)),
        tile_px=64,
        mpp=1.0,
    )
    first = run(tmp_path, sets, "first", weights=tmp_path / "given.safetensors", **known)
    trained = load_encoder(first / "encoder.safetensors")
    assert trained.spec.trunk == given.spec.trunk
    assert torch.equal(trained.network.shift, given.network.shift)  # type: ignore[attr-defined]
    # Begun again at its own code size, the code layer goes on too.
    again = run(tmp_path, sets, "again", weights=first / "encoder.safetensors", learning_rate=1e-9, **known)
    codes = [load_encoder(each / "encoder.safetensors").network.code.weight for each in (first, again)]  # type: ignore[attr-defined]
    torch.testing.assert_close(*codes, rtol=1e-3, atol=1e-5)
    with pytest.raises(EncoderError, match="of 'timm:test_resnet'"):
        run(
            tmp_path,
            sets,
            "other",
            weights=first / "encoder.safetensors",
            **{**known, "trunk": "timm:resnet18"},
        )


def test_given_norms_are_fitted_to_the_tiles(
    tmp_path: Path, sets: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, sets[:1], "first") / "encoder.safetensors"
    seen: list[nn.Module] = []
    real = stage.refit_norms
    monkeypatch.setattr(
        stage, "refit_norms", lambda trunk, batches: (seen.append(trunk), real(trunk, batches))
    )
    run(tmp_path, sets[1:], "second", weights=first, multitask={"norm_fix": True})
    assert len(seen) == 1


def test_a_loss_that_is_not_finite_ends_training_with_task_and_file_named(
    tmp_path: Path, sets: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(self: MultitaskObjective, *tiles: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = self.heads(self.encoder(tiles[0]))
        return {name: value * (float("nan") if name == "tint" else 1) for name, value in outputs.items()}

    monkeypatch.setattr(MultitaskObjective, "forward", spoiled)
    monkeypatch.setattr(TileTrainingData, "validate", lambda *_: ValidationResult(1.0))
    with pytest.raises(
        TrainingError, match=r"loss of epoch 1 is nan. Not finite: tint; first at tint: .*\.png"
    ):
        run(tmp_path, sets)
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    assert not (tmp_path / "run" / "checkpoints" / "trained.safetensors").exists()


Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"augment": "hed-strongest"}, SettingsError, r"hed-strongest.*\n.*\n.*hed-strong"),
        ({"trunk": "colour"}, SettingsError, "no weights to train"),
        ({"trunk": "nice"}, SettingsError, "nic"),
        ({"sets": []}, SettingsError, "No tile set was given"),
        ({"steps": 0}, SettingsError, "steps"),
        ({"tile_px": 48}, EncoderError, "multiple of 64"),
        ({"device": "cuda:7"}, SettingsError, "cuda:7"),
    ],
)
def test_bad_settings_are_refused(
    values: dict[str, Any], error: type[Exception], message: str, tmp_path: Path, sets: list[dict[str, Any]]
) -> None:
    with pytest.raises(error, match=message):
        train_encoder(**{**QUICK, "sets": sets, "out": tmp_path / "run", **values})
    assert not (tmp_path / "run" / "encoder.safetensors").exists()


def test_sets_of_one_name_or_unknown_resolution_are_refused(
    tmp_path: Path, sets: list[dict[str, Any]]
) -> None:
    with pytest.raises(SettingsError, match="named 'tint'"):
        run(tmp_path, [sets[0], sets[0]])
    with pytest.raises(TileSetError, match=r"'tint'.*\n.*not known"):
        run(tmp_path, [{"name": "tint", "path": sets[0]["path"]}])
    with pytest.raises(SettingsError, match=r"sets\.0\.license"):
        run(tmp_path, [{**sets[0], "license": "x"}])


def test_another_run_in_the_folder_is_refused_and_a_finished_one_left(
    tmp_path: Path, sets: list[dict[str, Any]]
) -> None:
    out = run(tmp_path, sets)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(tmp_path, sets) == out
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    with pytest.raises(TrainingError, match="seed was 0, now 3"):
        run(tmp_path, sets, seed=3)


def test_what_a_worker_with_a_gpu_trained_by_absolute_paths_is_found_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"sets": [{"name": "tint", "path": "tint", "mpp": 1.0}], "out": "run", "device": "cpu"}
    here = TrainEncoderSettings(**given)
    sent = sendable(here, "Train.")
    (tmp_path / "run").mkdir()
    for kept, again in ((sent, here), (here, sent), (here, here)):
        worker = kept.model_copy(update={"precision": "bf16"})
        (tmp_path / "run" / "settings.yaml").write_text(settings_text(saved_settings(worker)))
        run_files.require_same(with_precision(again), "Again.")
        with pytest.raises(TrainingError, match=r"other settings \(seed\)"):
            run_files.require_same(with_precision(again.model_copy(update={"seed": 1})), "Again.")


@pytest.mark.long
def test_two_processes_learn_as_one_does(tmp_path: Path, sets: list[dict[str, Any]]) -> None:
    run(tmp_path, sets, "two", devices=2, steps=2, max_epochs=1, trunk="nic")
    facts = json.loads((tmp_path / "two" / "run.json").read_text())
    assert np.isfinite(facts["validation"]["loss"])
    assert load_encoder(tmp_path / "two" / "encoder.safetensors").spec.code_size == 8


def test_heads_with_a_dense_layer_and_random_squares(tmp_path: Path, sets: list[dict[str, Any]]) -> None:
    sets[1] |= {"assumed_mpp": 1.0}  # 128 px of which the encoder sees 64
    out = run(tmp_path, sets, random_crop=2, multitask={"head_hidden": 12})
    heads = load_heads(out / "heads.safetensors")
    assert heads.hidden == 12 and heads["colour"].linear.in_features == 12
    card = (out / "model_card.md").read_text()
    assert "random squares of 64 px, at true scale, of areas of 128 px" in card
    assert "no random squares can be drawn" in card  # of the set of 64 px
    with pytest.raises(SettingsError, match="computed once"):
        weights = out / "encoder.safetensors"
        run(tmp_path, sets, "frozen", weights=weights, freeze_trunk=True, code_size=4, random_crop=2)


def test_the_card_says_how_many_pairs_touch(tmp_path: Path, sets: list[dict[str, Any]]) -> None:
    rows = ["path,x,y,side,slide"]
    for number in range(16):
        shutil.copy(tmp_path / "tint" / "dark" / f"{number}.png", tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{64 * (number % 4)},{64 * (number // 4)},64,s{number % 2}")
    (tmp_path / "tiles.csv").write_text("\n".join(rows))
    placed = {"name": "placed", "path": tmp_path / "tiles.csv", "mpp": 1.0}
    out = run(tmp_path, [placed, sets[1]], objective="contrastive", trunk="nic")
    pairs = json.loads((out / "run.json").read_text())["pairs"]
    # Columns alternate between two slides, so that tiles touch above and below only.
    assert pairs["placed"]["touching"] > 0 and pairs["placed"]["touching_share"] == 0.75
    assert pairs["colour"]["of_known_place"] == 0 == pairs["colour"]["touching_share"]
    card = (out / "model_card.md").read_text()
    assert "touch another; 75% of the pairs" in card and "colour: where its" in card
