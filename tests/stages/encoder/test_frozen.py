"""A projection learned behind a frozen encoder: features are computed once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.encoders import save_base_encoder
from histonic.core.errors import EncoderError, SettingsError
from histonic.encoders.base import load_encoder
from histonic.encoders.networks.projected import ProjectedEncoder
from histonic.encoders.tile_heads import heads_beside, load_heads
from histonic.stages.encoder import frozen
from histonic.stages.encoder.train import train_encoder

FEATURES = 24


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, and tiles of two tints that its codes tell apart."""
    folder = tmp_path_factory.mktemp("given")
    save_base_encoder(folder, FEATURES)
    rng = np.random.default_rng(0)
    for label, level in (("pale", 180), ("dark", 60)):
        (folder / "set" / label).mkdir(parents=True)
        for number in range(24):
            pixels = rng.integers(level, level + 60, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "set" / label / f"{number}.png")
    return folder


def train(given: Path, out: Path, **values: Any) -> Path:
    known: dict[str, Any] = {
        "sets": [{"name": "tint", "path": given / "set", "mpp": 1.0}],
        "weights": given / "base.safetensors",
        "freeze_trunk": True,
        "code_size": 6,
        "batch": 16,
        "steps": 20,
        "max_epochs": 3,
        "device": "cpu",
    }
    return train_encoder(**{**known, "out": out, **values})


@pytest.mark.parametrize("code", [7e4, -7e4, np.nan])
def test_codes_that_float16_does_not_hold_are_refused(code: float) -> None:
    pool = SimpleNamespace(encode=lambda tiles: np.full((len(tiles), 2), code, np.float32))
    with pytest.raises(EncoderError, match="beyond what float16 holds"):
        frozen._encoded(pool, np.zeros((3, 8, 8, 3), np.uint8), "large")  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{}, {"hidden": 9}, {"multitask": {"contrast": 0.5}}])
def test_the_projection_learns_and_the_trunk_does_not(
    given: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = train(given, tmp_path / "run", **changes)
    encoder = load_encoder(run / "encoder.safetensors")
    assert isinstance(encoder, ProjectedEncoder)
    base = load_encoder(given / "base.safetensors")
    assert encoder.base.fingerprint == base.fingerprint
    assert (encoder.spec.tile_px, encoder.spec.mpp, encoder.spec.code_size) == (64, 1.0, 6)
    assert encoder.spec.licence == "not stated" and "its licence: mine" in encoder.spec.provenance
    path = heads_beside(run / "encoder.safetensors")
    assert path is not None
    heads = load_heads(path)
    tiles = np.stack(
        [
            np.asarray(Image.open(given / "set" / label / f"{number}.png"))
            for label in ("dark", "pale")
            for number in range(24)
        ]
    )
    with torch.inference_mode():
        told = heads["tint"](torch.from_numpy(encoder.encode(tiles))).flatten().numpy()
    assert ((told > 0) == (np.arange(48) >= 24)).mean() > 0.9
    card = (run / "model_card.md").read_text(encoding="utf-8")
    assert "behind base (its licence: mine); the file holds those weights, too." in card
    assert "projected:nic" in card and "## What the codes vary with" in card


def test_features_are_computed_once_and_the_same_seed_gives_the_same_weights(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    real = frozen._encode_set

    def counted(each: Any, *rest: Any) -> None:
        encoded.append(each.plan.name)
        real(each, *rest)

    monkeypatch.setattr(frozen, "_encode_set", counted)
    one = train(given, tmp_path / "one", cache=tmp_path / "cache")
    other = train(given, tmp_path / "two", cache=tmp_path / "cache")
    assert encoded == ["tint"]
    prints = [load_encoder(run / "encoder.safetensors").fingerprint for run in (one, other)]
    assert prints[0] == prints[1]
    train(given, tmp_path / "three", cache=tmp_path / "cache", views=2)
    assert encoded == ["tint", "tint"]


def test_the_plain_view_is_the_encoders_own_code(given: Path, tmp_path: Path) -> None:
    from histonic.stages.encoder.inputs import read_inputs
    from histonic.stages.encoder.settings import TrainEncoderSettings

    settings = TrainEncoderSettings(
        sets=({"name": "tint", "path": given / "set", "mpp": 1.0},),  # type: ignore[arg-type]
        weights=given / "base.safetensors",
        out=tmp_path / "run",
        tile_px=64,
        mpp=1.0,
        views=3,
    )
    from histonic.core.progress import Silent

    sets = read_inputs(settings, Silent())
    (found,) = frozen.feature_sets(settings, sets)
    wanted = load_encoder(given / "base.safetensors").encode(np.asarray(sets[0].tiles))
    assert found.tiles.shape == (48, 3, FEATURES)
    np.testing.assert_allclose(found.tiles[:, 0], wanted, rtol=2e-3, atol=2e-3)
    assert np.abs(found.tiles[:, 1] - found.tiles[:, 0]).max() > 1e-2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": None}, "No encoder is given"),
        ({"objective": "vae"}, "asked for with vae"),
        ({"trunk": "nic"}, "asked for with --trunk"),
        ({"code_size": FEATURES}, "smaller --code-size"),
        ({"tile_px": 96}, "takes 64"),
        ({"multitask": {"warmup_epochs": 1}}, "frozen for good"),
        ({"freeze_trunk": False, "trunk": "nic", "hidden": 3}, "--freeze-trunk is not given"),
    ],
)
def test_what_cannot_be_had_behind_a_frozen_encoder(
    given: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        train(given, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_an_encoder_without_a_network(given: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no network"):
        train(given, tmp_path / "run", weights="colour")
