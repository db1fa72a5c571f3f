"""Import from folders, state dicts and scripts: what is known is taken, what is not is asked for."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from histonic.core.errors import EncoderError
from histonic.encoders.base import fingerprint_of, load_encoder
from histonic.encoders.foreign import presets
from histonic.encoders.foreign.importing import timm_name
from histonic.encoders.foreign.presets import Preset
from histonic.stages.encoder.imported import import_encoder

MODEL = "vit_small_patch16_224"
TINY: dict[str, Any] = {"embed_dim": 48, "depth": 1, "num_heads": 2}
OTHER = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


@pytest.fixture
def state(timm: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    made: dict[str, torch.Tensor] = timm.create_model(MODEL, num_classes=0, img_size=32, **TINY).state_dict()
    return made


def hub_folder(folder: Path, state: dict[str, torch.Tensor], **facts: Any) -> Path:
    """As it is downloaded: config.json and model.safetensors."""
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "model.safetensors")
    config: dict[str, Any] = {
        "architecture": MODEL,
        "num_classes": 0,
        "global_pool": "token",
        "model_args": {"img_size": 32, "num_classes": 0, **TINY},
        "pretrained_cfg": {"mean": OTHER[0], "std": OTHER[1], "input_size": [3, 32, 32]},
    }
    (folder / "config.json").write_text(json.dumps({**config, **facts}), encoding="utf-8")
    return folder


def tiles(side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)


def test_a_folder_says_all_but_the_resolution(
    timm: Any, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = hub_folder(tmp_path / "hub", state)
    with pytest.raises(EncoderError, match="--mpp"):
        import_encoder(folder, tmp_path / "e.safetensors")
    assert not (tmp_path / "e.safetensors").exists() and not (tmp_path / "e.md").exists()
    made = import_encoder(folder, tmp_path / "e.safetensors", mpp=0.25, name="mine")
    assert made.spec.trunk is not None
    assert (made.spec.trunk.mean, made.spec.trunk.std, made.spec.trunk.pooling) == (*OTHER, "cls")
    assert (made.spec.tile_px, made.spec.mpp, made.spec.licence) == (32, 0.25, "not stated")
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.spec == made.spec and again.fingerprint == made.fingerprint
    model = timm.create_model(MODEL, num_classes=0, img_size=32, **TINY).eval()
    model.load_state_dict(state)
    seen = torch.tensor(((tiles() / 255 - OTHER[0]) / OTHER[1]).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        np.testing.assert_allclose(again.encode(tiles()), model(seen).numpy(), rtol=1e-4, atol=1e-5)
    assert "not stated" in (tmp_path / "e.md").read_text(encoding="utf-8")


def test_without_colours_in_the_folder_they_are_asked_for(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = hub_folder(tmp_path / "hub", state, pretrained_cfg={"input_size": [3, 32, 32]})
    with pytest.raises(EncoderError, match="Nothing says which colours"):
        import_encoder(folder, tmp_path / "e.safetensors", mpp=0.5)
    made = import_encoder(folder, tmp_path / "e.safetensors", mpp=0.5, colours=OTHER)
    assert made.spec.trunk is not None and made.spec.trunk.mean == OTHER[0]


def test_a_folder_that_leaves_the_pooling_open(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub", state, global_pool="")
    with pytest.raises(EncoderError, match="--pooling cls"):
        import_encoder(folder, tmp_path / "e.safetensors", mpp=0.5)
    both = import_encoder(folder, tmp_path / "e.safetensors", mpp=0.5, pooling="cls+mean")
    first = import_encoder(folder, tmp_path / "f.safetensors", mpp=0.5, pooling="cls")
    assert (both.spec.code_size, first.spec.code_size) == (96, 48)
    np.testing.assert_allclose(both.encode(tiles())[:, :48], first.encode(tiles()), rtol=1e-5, atol=1e-6)


@pytest.fixture
def own_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three small presets: two of one build, as two of the true ones are."""
    made = {
        name: Preset(name, f"timm:{MODEL}", {"img_size": 32, **more}, colours, "cls", 48, "open", tile_px=32)
        for name, more, colours in (
            ("a", TINY, OTHER),
            ("b", TINY, ((0.5,) * 3, (0.5,) * 3)),
            ("c", {**TINY, "reg_tokens": 2}, OTHER),
        )
    }
    made["c"] = replace(made["c"], own_shapes=True)
    made["d"] = replace(made["a"], name="d", arguments={**made["a"].arguments, "depth": 2})
    for name in list(presets.PRESETS):
        monkeypatch.delitem(presets.PRESETS, name)
    for name, preset in made.items():
        monkeypatch.setitem(presets.PRESETS, name, preset)


@pytest.mark.usefixtures("own_presets")
def test_bare_weights_that_fit_one_preset_or_two_or_none(
    timm: Any, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("histonic.encoders.foreign.importing.USUAL_PX", 32)
    torch.save(state, tmp_path / "two.bin")
    with pytest.raises(EncoderError, match="of the preset a, b, and of others"):
        import_encoder(tmp_path / "two.bin", tmp_path / "e.safetensors")
    chosen = import_encoder(tmp_path / "two.bin", tmp_path / "e.safetensors", preset="b")
    assert chosen.spec.trunk is not None and chosen.spec.trunk.mean == (0.5, 0.5, 0.5)
    model = timm.create_model(MODEL, num_classes=0, img_size=32, reg_tokens=2, **TINY)
    # What serves pre-training alone may be in the file.
    torch.save({"model": {**model.state_dict(), "mask_token": torch.zeros(1, 48)}}, tmp_path / "one.pth")
    assert import_encoder(tmp_path / "one.pth", tmp_path / "e.safetensors").spec.name == "c"
    # Of an architecture that others have, too, nothing tells whose weights they are.
    common = timm.create_model(MODEL, num_classes=0, img_size=32, **{**TINY, "depth": 2})
    torch.save(common.state_dict(), tmp_path / "common.pth")
    with pytest.raises(EncoderError, match="of the preset d, and of others"):
        import_encoder(tmp_path / "common.pth", tmp_path / "e.safetensors")
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "none.pth")
    with pytest.raises(EncoderError, match="fit none of the presets"):
        import_encoder(tmp_path / "none.pth", tmp_path / "e.safetensors")
    with pytest.raises(EncoderError, match="reg_token"):
        import_encoder(tmp_path / "one.pth", tmp_path / "e.safetensors", preset="a")


@pytest.mark.usefixtures("own_presets")
def test_a_folder_whose_configuration_is_not_enough_takes_the_preset_that_fits(
    timm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with models whose layers JSON cannot name; colours in the folder must agree with the preset."""
    monkeypatch.setattr("histonic.encoders.foreign.importing.USUAL_PX", 32)
    state = timm.create_model(MODEL, num_classes=0, img_size=32, reg_tokens=2, **TINY).state_dict()
    made = import_encoder(hub_folder(tmp_path / "hub", state), tmp_path / "e.safetensors")
    assert made.spec.trunk is not None and made.spec.trunk.preset == "c"
    facts = {"mean": [0.5] * 3, "std": [0.5] * 3}
    with pytest.raises(EncoderError, match="Say which are right"):
        import_encoder(hub_folder(tmp_path / "hub", state, pretrained_cfg=facts), tmp_path / "e.safetensors")


def test_bfloat16_is_compared_as_the_encoder_is_imported(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    made = import_encoder(hub_folder(tmp_path / "hub", state), tmp_path / "e.safetensors", mpp=0.5)
    assert made.spec.half_cosine is not None and 0.99 < made.spec.half_cosine <= 1
    halved = load_encoder(tmp_path / "e.safetensors", precision="bf16").encode(tiles())
    exact = made.encode(tiles())
    cosines = (halved * exact).sum(1) / np.linalg.norm(halved, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosines.min() > made.spec.half_cosine - 0.005


def test_a_folders_own_pooling_is_kept(timm: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=0, global_pool="max").eval()
    folder = hub_folder(
        tmp_path / "hub", model.state_dict(), architecture="test_resnet", global_pool="max", model_args={}
    )
    made = import_encoder(folder, tmp_path / "e.safetensors", mpp=0.5, tile_px=64)
    seen = torch.tensor(((tiles(64) / 255 - OTHER[0]) / OTHER[1]).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        np.testing.assert_allclose(made.encode(tiles(64)), model(seen).numpy(), rtol=1e-3, atol=1e-4)


def test_options_that_would_change_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "e.h5").write_bytes(b"x")
    with pytest.raises(EncoderError, match="it is a Keras file"):
        import_encoder(tmp_path / "e.h5", tmp_path / "e.safetensors", preset="uni")
    torch.jit.trace(torch.nn.Conv2d(3, 2, 4), torch.zeros(1, 3, 32, 32)).save(str(tmp_path / "m.pt"))
    with pytest.raises(EncoderError, match="Leave it out"):
        import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", architecture="timm:resnet18")
    with pytest.raises(EncoderError, match="no model of timm"):
        import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", colours="timm", preset="uni")


def test_a_plain_model_of_timm(timm: Any, tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    named: dict[str, Any] = {"architecture": "timm:test_resnet", "mpp": 0.5, "tile_px": 64}
    with pytest.raises(EncoderError, match="Nothing says which colours"):
        import_encoder(tmp_path / "w.pth", tmp_path / "e.safetensors", **named)
    own = import_encoder(tmp_path / "w.pth", tmp_path / "e.safetensors", colours="timm", **named)
    other = import_encoder(tmp_path / "w.pth", tmp_path / "f.safetensors", colours=OTHER, **named)
    assert own.fingerprint != other.fingerprint
    assert not np.allclose(own.encode(tiles(64)), other.encode(tiles(64)), atol=1e-3)
    with pytest.raises(EncoderError, match="no transformer"):
        import_encoder(tmp_path / "w.pth", tmp_path / "e.safetensors", pooling="cls", colours="timm", **named)


def test_the_fingerprint_covers_what_the_weights_see(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub", state)
    made = [
        import_encoder(folder, tmp_path / "e.safetensors", mpp=0.5, pooling=pooling).spec
        for pooling in ("cls", "mean")
    ]
    assert fingerprint_of(made[0], {}) != fingerprint_of(made[1], {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds no weights"),
        ({"a.pth": b"x", "b.pth": b"x"}, "several files of weights: a.pth, b.pth"),
        ({"model.safetensors.index.json": b"{}"}, "split into several files"),
        ({"config.json": b"[1]", "a.pth": b"x"}, "holds no configuration"),
        ({"config.json": b"{", "a.pth": b"x"}, "cannot be read"),
    ],
)
def test_folders_that_are_none(tmp_path: Path, content: dict[str, bytes], words: str) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    with pytest.raises(EncoderError, match=words):
        import_encoder(folder, tmp_path / "e.safetensors")


def test_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no such file or folder"):
        import_encoder(tmp_path / "absent", tmp_path / "e.safetensors")
    (tmp_path / "w.pth").write_bytes(b"x")
    with pytest.raises(EncoderError, match=r"ends in \.safetensors"):
        import_encoder(tmp_path / "w.pth", tmp_path / "e.pt")
    with pytest.raises(EncoderError, match="no preset 'unii'"):
        import_encoder(tmp_path / "w.pth", tmp_path / "e.safetensors", preset="unii")
    with pytest.raises(EncoderError, match="timm:MODEL"):
        timm_name("transformers:vit", "Import it.")


def test_nothing_is_fetched(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    import_encoder(hub_folder(tmp_path / "hub", state), tmp_path / "e.safetensors", mpp=0.5)
