"""Every preset against its model's official recipe, at random weights: the same codes from the same tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import load_encoder
from histonic.encoders.foreign import presets
from histonic.encoders.foreign.presets import PRESETS, preset_of
from histonic.stages.encoder.imported import import_encoder

SMALL = {"embed_dim": 96, "depth": 2, "num_heads": 4}
"""In place of a giant's own, for the quick test; all else is as its authors have it."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
BIOPTIMUS = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
LUNIT = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))


def own(model: nn.Module, seen: Tensor) -> Tensor:
    return torch.as_tensor(model(seen))


def class_and_mean_after(prefix: int) -> Callable[[nn.Module, Tensor], Tensor]:
    def of_tokens(model: Any, seen: Tensor) -> Tensor:
        tokens = model.forward_features(seen)
        return torch.cat([tokens[:, 0], tokens[:, prefix:].mean(1)], dim=-1)

    return of_tokens


def official(name: str) -> tuple[str, dict[str, Any], Any, Callable[[Any, Tensor], Tensor]]:
    """Model, arguments, colours and code, as the model's card and public loaders have them."""
    from timm.layers import SwiGLUPacked

    gated = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    scaled = {"img_size": 224, "init_values": 1e-5}
    uni2 = {"depth": 24, "num_heads": 24, "embed_dim": 1536, "mlp_ratio": 2.66667 * 2, "reg_tokens": 8}
    giant, dinov2 = "vit_giant_patch14_reg4_dinov2", "vit_giant_patch14_dinov2"
    return {
        "uni": ("vit_large_patch16_224", {**scaled, "dynamic_img_size": True}, IMAGENET, own),
        "uni2-h": (
            "vit_giant_patch14_224",
            {**scaled, **uni2, **gated, "no_embed_class": True, "dynamic_img_size": True},
            IMAGENET,
            own,
        ),
        "virchow2": (
            "vit_huge_patch14_224",
            {**scaled, **gated, "mlp_ratio": 5.3375, "reg_tokens": 4},
            IMAGENET,
            class_and_mean_after(5),
        ),
        "h-optimus-0": (giant, scaled, BIOPTIMUS, own),
        "h-optimus-1": (giant, scaled, BIOPTIMUS, own),
        "h0-mini": (
            "vit_base_patch14_reg4_dinov2",
            {**scaled, **gated, "mlp_ratio": 5.33334},
            BIOPTIMUS,
            own,
        ),
        "gigapath": (dinov2, {"img_size": 224, "patch_size": 16}, IMAGENET, own),
        "kaiko-vits8": ("vit_small_patch8_224", {}, HALF, own),
        "kaiko-vits16": ("vit_small_patch16_224", {}, HALF, own),
        "kaiko-vitb8": ("vit_base_patch8_224", {}, HALF, own),
        "kaiko-vitb16": ("vit_base_patch16_224", {}, HALF, own),
        "kaiko-vitl14": ("vit_large_patch14_reg4_dinov2", {"img_size": 224}, HALF, own),
        "lunit-vits16": ("vit_small_patch16_224", {}, LUNIT, own),
        "gpfm": ("vit_large_patch14_dinov2", {"img_size": 224}, IMAGENET, own),
    }[name]


OF_TIMM = [name for name, preset in PRESETS.items() if preset.architecture.startswith("timm:")]


def compare(timm: Any, name: str, folder: Path, small: dict[str, Any]) -> int:
    """Codes of the imported encoder against those of the official recipe; returns their size."""
    model_name, arguments, (mean, std), code = official(name)
    torch.manual_seed(0)
    model = timm.create_model(model_name, num_classes=0, **{**arguments, **small}).eval()
    with torch.no_grad():
        for weight in model.parameters():  # scaled layers begin near nothing, and would hide what they hold
            weight.add_(torch.randn_like(weight), alpha=0.1 if weight.ndim < 2 else 0.02)
    torch.save(model.state_dict(), folder / "weights.bin")
    tiles = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    seen = torch.tensor(((tiles / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        wanted = code(model, seen).numpy()
    del model
    import_encoder(folder / "weights.bin", folder / "e.safetensors", preset=name)
    (folder / "weights.bin").unlink()
    encoder = load_encoder(folder / "e.safetensors")
    np.testing.assert_allclose(encoder.encode(tiles), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    assert encoder.spec.trunk is not None and encoder.spec.trunk.preset == name
    assert encoder.spec.licence == PRESETS[name].licence and encoder.spec.mpp == 0.5
    del encoder
    halved = load_encoder(folder / "e.safetensors", precision="bf16").encode(tiles)
    cosines = (halved * wanted).sum(1) / np.linalg.norm(halved, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosines.min() >= 0.999
    (folder / "e.safetensors").unlink()
    return int(wanted.shape[1])


@pytest.mark.parametrize("name", OF_TIMM)
def test_codes_are_those_of_the_official_recipe(
    timm: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_size = SMALL["embed_dim"] * (1 + (PRESETS[name].pooling == "cls+mean"))
    shrunk = replace(PRESETS[name], arguments={**PRESETS[name].arguments, **SMALL}, code_size=code_size)
    monkeypatch.setitem(presets.PRESETS, name, shrunk)
    compare(timm, name, tmp_path, SMALL)


@pytest.mark.long
@pytest.mark.parametrize("name", OF_TIMM)
def test_at_full_size_as_well(timm: Any, name: str, tmp_path: Path) -> None:
    assert compare(timm, name, tmp_path, {}) == PRESETS[name].code_size


def test_a_name_that_is_near() -> None:
    with pytest.raises(EncoderError, match="Did you mean 'virchow2'"):
        preset_of("Virchow-2", "Import it.")
