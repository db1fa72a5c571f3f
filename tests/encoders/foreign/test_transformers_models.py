"""Folders of transformers models as encoders: the package's own models, and no code of others."""

from __future__ import annotations

import importlib
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from histonic.core.errors import EncoderError
from histonic.encoders.base import load_encoder
from histonic.encoders.foreign.presets import PRESETS
from histonic.encoders.foreign.transformers_models import colours_stated
from histonic.stages.encoder.imported import import_encoder

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
COLOURS = ((0.7, 0.5, 0.6), (0.2, 0.25, 0.1))


@pytest.fixture(scope="module")
def transformers(torchvision_imports: None) -> Any:
    return pytest.importorskip("transformers", reason="absent: pip install 'histonic[transformers]'")


def folder_of(transformers: Any, folder: Path, kind: str, colours: bool = True, **more: Any) -> Any:
    """A folder as it is downloaded, and the model that lies in it."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **SIZES, intermediate_size=48, **more)
    model = transformers.AutoModel.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    model.save_pretrained(folder)
    if colours:
        facts = {"image_mean": COLOURS[0], "image_std": COLOURS[1]}
        (folder / "preprocessor_config.json").write_text(json.dumps(facts), encoding="utf-8")
    return model


def tiles() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "dinov2_with_registers"])
def test_codes_are_those_of_the_model(
    transformers: Any, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = folder_of(transformers, tmp_path / "hub", kind)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    made = import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="cls+mean")
    assert made.spec.architecture == f"transformers:{kind}" and made.spec.tile_px == 32
    seen = torch.tensor(((tiles() / 255 - COLOURS[0]) / COLOURS[1]).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        tokens = model(pixel_values=seen).last_hidden_state
    first_patch = {"dinov2_with_registers": 5}.get(kind, 1)
    wanted = torch.cat([tokens[:, 0], tokens[:, first_patch:].mean(1)], 1).numpy()
    again = load_encoder(tmp_path / "e.safetensors")
    np.testing.assert_allclose(again.encode(tiles()), wanted, rtol=1e-4, atol=1e-5)
    assert again.spec == made.spec and again.fingerprint == made.fingerprint


def test_presets_name_pooling_and_licence(
    transformers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(transformers, tmp_path / "hub", "dinov2", colours=False)
    with pytest.raises(EncoderError, match="gives 64 numbers a tile, the preset midnight-12k 3072"):
        import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", preset="midnight-12k", tile_px=32)
    small = replace(PRESETS["midnight-12k"], code_size=64)
    monkeypatch.setitem(PRESETS, "midnight-12k", small)
    made = import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", preset="midnight-12k", tile_px=32)
    assert made.spec.trunk is not None
    assert (made.spec.trunk.pooling, made.spec.licence, made.spec.code_size) == ("cls+mean", "MIT", 64)
    assert made.spec.trunk.mean == (0.5, 0.5, 0.5)
    with pytest.raises(EncoderError, match="the preset 'phikon' is"):
        import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", preset="phikon", tile_px=32)
    with pytest.raises(EncoderError, match="which colours"):
        import_encoder(tmp_path / "hub", tmp_path / "f.safetensors", mpp=0.5, tile_px=32)
    with pytest.raises(EncoderError, match="which of its tokens"):
        import_encoder(tmp_path / "hub", tmp_path / "f.safetensors", mpp=0.5, tile_px=32, colours=COLOURS)


def test_a_pooler_that_the_folder_lacks_is_never_made_up(transformers: Any, tmp_path: Path) -> None:
    folder_of(transformers, tmp_path / "hub", "vit")
    weights = tmp_path / "hub" / "model.safetensors"
    held = {name: value for name, value in load_file(weights).items() if "pooler" not in name}
    save_file(held, weights, metadata={"format": "pt"})
    made = [
        import_encoder(tmp_path / "hub", tmp_path / f"{number}.safetensors", mpp=0.5, pooling="cls")
        for number in range(2)
    ]
    assert made[0].fingerprint == made[1].fingerprint == load_encoder(tmp_path / "0.safetensors").fingerprint
    with pytest.raises(EncoderError, match="pooler"):
        import_encoder(tmp_path / "hub", tmp_path / "m.safetensors", mpp=0.5, pooling="model")


def test_a_model_that_needs_code_of_its_authors_is_refused(transformers: Any, tmp_path: Path) -> None:
    folder_of(transformers, tmp_path / "hub", "vit")
    config = json.loads((tmp_path / "hub" / "config.json").read_text(encoding="utf-8"))
    facts = {**config, "model_type": "hibou", "auto_map": {"AutoModel": "modeling.Hibou"}}
    (tmp_path / "hub" / "config.json").write_text(json.dumps(facts), encoding="utf-8")
    (tmp_path / "hub" / "modeling.py").write_text("raise SystemExit('this ran')", encoding="utf-8")
    with pytest.raises(EncoderError, match="TorchScript"):
        import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="cls")


def change(folder: Path, weights: dict[str, torch.Tensor], **config: Any) -> None:
    """More weights in a folder, and more facts in its configuration."""
    file = folder / "model.safetensors"
    save_file({**load_file(file), **weights}, file, metadata={"format": "pt"})
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**facts, **config}), encoding="utf-8")


OWN_CODE = {"auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
REGISTERS = {"embeddings.register_tokens": torch.ones(1, 4, 32)}


@pytest.mark.parametrize(
    ("weights", "config", "found"),
    [
        (REGISTERS, {**OWN_CODE, "num_register_tokens": 4}, r"code of its authors \(auto_map\)"),
        ({"own.weight": torch.ones(3)}, OWN_CODE, r"code of its authors \(auto_map\)"),
        ({"layernorm.weight": torch.ones(31)}, OWN_CODE, r"code of its authors \(auto_map\)"),
        ({}, {**OWN_CODE, "num_hidden_layers": 2}, r"code of its authors \(auto_map\)"),
        (REGISTERS, {}, "1 weights .* no place in a 'dinov2' .* first 'embeddings.register_tokens'"),
        ({"dinov2.encoder.own": torch.ones(3)}, {}, "1 weights .* first 'encoder.own'"),
    ],
    ids=["registers", "beside", "shapes", "lacking", "registers-no-code", "prefixed"],
)
def test_weights_that_the_package_would_leave_out_are_refused(
    transformers: Any, tmp_path: Path, weights: dict[str, Any], config: dict[str, Any], found: str
) -> None:
    """Hibou is a DINOv2 with registers by its type, and by its own code."""
    folder_of(transformers, tmp_path / "hub", "dinov2")
    change(tmp_path / "hub", weights, **config)
    with pytest.raises(EncoderError, match=found) as caught:
        import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="mean")
    assert "TorchScript" in str(caught.value)


def test_heads_and_registers_that_are_not_there_change_no_codes(transformers: Any, tmp_path: Path) -> None:
    folder_of(transformers, tmp_path / "hub", "dinov2")
    wanted = import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="mean")
    heads = {"classifier.weight": torch.ones(2, 64), "embeddings.mask_token": torch.ones(1, 32)}
    change(tmp_path / "hub", heads, num_register_tokens=4)
    made = import_encoder(tmp_path / "hub", tmp_path / "h.safetensors", mpp=0.5, pooling="mean")
    np.testing.assert_array_equal(made.encode(tiles()), wanted.encode(tiles()))
    folder_of(transformers, tmp_path / "own", "dinov2")
    change(tmp_path / "own", {}, **OWN_CODE)
    made = import_encoder(tmp_path / "own", tmp_path / "o.safetensors", mpp=0.5, pooling="mean")
    np.testing.assert_array_equal(made.encode(tiles()), wanted.encode(tiles()))


@pytest.mark.parametrize("kind", ["vit", "dinov2", "dinov2_with_registers"])
def test_a_classifier_saved_with_its_trunk_is_taken(transformers: Any, tmp_path: Path, kind: str) -> None:
    config = transformers.AutoConfig.for_model(kind, **SIZES, intermediate_size=48)
    model = transformers.AutoModelForImageClassification.from_config(config)
    model.save_pretrained(tmp_path / "hub")
    made = import_encoder(
        tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="cls", colours=COLOURS
    )
    assert made.spec.code_size == 32


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
STATED = {"image_mean": list(IMAGENET[0]), "image_std": list(IMAGENET[1])}


@pytest.mark.parametrize(
    ("facts", "pixels"),
    [
        ({**STATED, "rescale_factor": 1 / 255}, lambda x: (x / 255 - IMAGENET[0]) / IMAGENET[1]),
        ({**STATED, "do_normalize": False}, lambda x: x / 255),
        ({"do_normalize": False, "rescale_factor": 1 / 127.5}, lambda x: x / 127.5),
        ({"do_normalize": False, "do_rescale": False}, lambda x: x),
        (
            {"image_mean": [127.5] * 3, "image_std": [100] * 3, "do_rescale": False},
            lambda x: (x - 127.5) / 100,
        ),
    ],
)
def test_colours_are_those_that_the_preprocessor_makes(facts: dict[str, Any], pixels: Any) -> None:
    found = colours_stated(facts, "Import it.")
    assert found is not None
    tile = np.array([0.0, 17.0, 255.0])
    np.testing.assert_allclose((tile / 255 - found[0]) / found[1], pixels(tile), rtol=1e-6)


def test_an_offset_is_that_of_the_package(transformers: Any) -> None:
    facts = {
        **{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]},
        **{"rescale_factor": 1 / 127.5, "rescale_offset": True, "include_top": False},
    }
    found = colours_stated(facts, "Import it.")
    assert found is not None
    made = transformers.EfficientNetImageProcessor(**facts, do_resize=False)
    wanted = made(tiles()[0], return_tensors="np", input_data_format="channels_last")["pixel_values"][0]
    seen = ((tiles()[0] / 255 - found[0]) / found[1]).transpose(2, 0, 1)
    np.testing.assert_allclose(seen, wanted, atol=1e-5)
    plain = colours_stated({**facts, "do_normalize": False}, "Import it.")
    assert plain == ((0.5,) * 3, (0.5,) * 3)


OPEN = {**STATED, "do_rescale": False}


def test_other_changes_of_colours_are_refused() -> None:
    for other in ("do_flip_channel_order", "include_top"):
        with pytest.raises(EncoderError, match=other):
            colours_stated({**STATED, other: True}, "Import it.")
    assert colours_stated({**STATED, "rescale_factor": None}, "x") is None
    with pytest.raises(EncoderError, match=r"(?s)false with colours of 0\.\.1; whether .*--mean"):
        colours_stated(OPEN, "Import it.")


def test_the_user_has_the_last_word_on_colours(transformers: Any, tmp_path: Path) -> None:
    folder_of(transformers, tmp_path / "hub", "vit", colours=False)
    file = tmp_path / "hub" / "preprocessor_config.json"
    asked: dict[str, Any] = {"mpp": 0.5, "pooling": "cls"}
    file.write_text(json.dumps({**OPEN, "include_top": True}), encoding="utf-8")
    made = import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", colours=COLOURS, **asked)
    assert made.spec.trunk is not None and (made.spec.trunk.mean, made.spec.trunk.std) == COLOURS
    for facts, found in ((OPEN, "do_rescale"), ({**OPEN, "do_flip_channel_order": True}, "channel_order")):
        file.write_text(json.dumps(facts), encoding="utf-8")
        known = {"colours": COLOURS} if facts is not OPEN else {}
        with pytest.raises(EncoderError, match=found):
            import_encoder(tmp_path / "hub", tmp_path / "f.safetensors", **known, **asked)


def test_the_class_token_of_clip_is_none_of_the_patches(transformers: Any, tmp_path: Path) -> None:
    model = transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(**SIZES, intermediate_size=48, num_channels=3)
    ).eval()
    model.save_pretrained(tmp_path / "hub")
    made = import_encoder(
        tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="mean", colours=COLOURS
    )
    seen = torch.tensor(((tiles() / 255 - COLOURS[0]) / COLOURS[1]).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        wanted = model(pixel_values=seen).last_hidden_state[:, 1:].mean(1).numpy()
    np.testing.assert_allclose(made.encode(tiles()), wanted, rtol=1e-4, atol=1e-5)


def test_weights_that_are_damaged_or_of_another_size(
    transformers: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder_of(transformers, tmp_path / "hub", "vit")
    weights = tmp_path / "hub" / "model.safetensors"
    held = load_file(weights)
    last = "layernorm.weight"
    save_file({**held, last: torch.full((32,), torch.nan)}, weights, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match="NaN"):
        import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="cls")
    save_file({**held, last: torch.ones(31)}, weights, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=f"1 weights are of other shapes .* first '{last}'"):
        import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="cls")
    assert "REPORT" not in "".join(capfd.readouterr())


def test_a_folder_without_its_weights(transformers: Any, tmp_path: Path) -> None:
    folder_of(transformers, tmp_path / "hub", "vit")
    (tmp_path / "hub" / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="cannot load it"):
        import_encoder(tmp_path / "hub", tmp_path / "e.safetensors", mpp=0.5, pooling="cls")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}', encoding="utf-8")

    def absent(name: str) -> None:
        raise ImportError("No module named 'transformers'")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(EncoderError, match=r"histonic\[transformers\]"):
        import_encoder(tmp_path, tmp_path / "e.safetensors", mpp=0.5, colours=COLOURS, pooling="cls")


def test_the_name_alone_is_refused(transformers: Any) -> None:
    with pytest.raises(EncoderError, match="family of architectures"):
        load_encoder("transformers")
