"""TorchScript files as encoders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec, load_encoder, save_encoder
from histonic.encoders.foreign.importing import is_torchscript
from histonic.encoders.foreign.presets import PRESETS
from histonic.encoders.foreign.stated import Said
from histonic.encoders.foreign.torchscript import ScriptEncoder, read_script
from histonic.stages.encoder.imported import import_encoder
from histonic.testing import EncoderContract

COLOURS = ((0.7, 0.5, 0.6), (0.2, 0.25, 0.1))
SAID = Said(colours=COLOURS, tile_px=32, mpp=0.5)


class Patches(nn.Module):
    """Tokens of a class and of four patches, as a transformer gives them."""

    def __init__(self, tokens: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 16, 16)
        self.tokens = tokens

    def forward(self, tiles: Tensor) -> Tensor:
        patches = self.convolution(tiles).flatten(2).mT
        if self.tokens:
            return torch.cat((patches.amax(1, keepdim=True), patches), 1)
        return patches.mean(1)


def script(path: Path, tokens: bool = False) -> nn.Module:
    torch.manual_seed(0)
    model = Patches(tokens).eval()
    torch.jit.trace(model, torch.zeros(1, 3, 32, 32)).save(str(path))
    return model


def tiles() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def test_codes_are_those_of_the_script(tmp_path: Path) -> None:
    model = script(tmp_path / "m.pt")
    assert is_torchscript(tmp_path / "m.pt")
    made = import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", colours=COLOURS, mpp=0.5, tile_px=32)
    seen = torch.tensor(((tiles() / 255 - COLOURS[0]) / COLOURS[1]).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        wanted = model(seen).numpy()
    again = load_encoder(tmp_path / "e.safetensors")
    np.testing.assert_allclose(again.encode(tiles()), wanted, rtol=1e-5, atol=1e-5)
    assert again.fingerprint == made.fingerprint and again.spec == made.spec
    halved = load_encoder(tmp_path / "e.safetensors", precision="bf16").encode(tiles())
    np.testing.assert_allclose(halved, wanted, atol=0.05 * np.abs(wanted).max())


def test_tokens_are_pooled_as_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = script(tmp_path / "m.pt", tokens=True)
    with pytest.raises(EncoderError, match="--pooling cls"):
        import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", colours=COLOURS, mpp=0.5, tile_px=32)
    known: dict[str, Any] = {"colours": COLOURS, "mpp": 0.5, "tile_px": 32}
    first = import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", pooling="cls", **known)
    assert first.spec.code_size == 6
    with pytest.raises(EncoderError, match="how many of its tokens come before"):
        import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", pooling="cls+mean", **known)
    monkeypatch.setitem(PRESETS, "virchow2", replace(PRESETS["virchow2"], code_size=12))
    # Virchow2 has five before its patches.
    both = import_encoder(
        tmp_path / "m.pt", tmp_path / "v.safetensors", preset="virchow2", **{**known, "tile_px": 64}
    )
    assert both.spec.code_size == 12
    assert both.spec.trunk is not None and both.spec.trunk.pooling == "cls+mean"
    tile = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    seen = torch.tensor(((tile / 255 - COLOURS[0]) / COLOURS[1]).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        tokens = model(seen)
    wanted = torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1).numpy()
    again = load_encoder(tmp_path / "v.safetensors")
    np.testing.assert_allclose(again.encode(tile), wanted, rtol=1e-4, atol=1e-5)


def test_a_script_with_constants_of_its_own_stays_in_single_precision(tmp_path: Path) -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 6, 16, 16)

        def forward(self, tiles: Tensor) -> Tensor:
            centred = tiles - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
            return torch.as_tensor(self.convolution(centred).mean((2, 3)))

    torch.jit.trace(Centred().eval(), torch.zeros(1, 3, 32, 32)).save(str(tmp_path / "m.pt"))
    made = import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", colours=COLOURS, mpp=0.5, tile_px=32)
    assert made.spec.half_cosine is None and made.encode(tiles()).shape == (3, 6)


class Head(nn.Module):
    """Patches and a layer after them, which may depend on more than its tile."""

    def __init__(self, layer: nn.Module, scale: float = 1.0, at_once: int = -1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 16, 16)
        self.layer = layer
        self.scale = scale
        self.at_once = at_once

    def forward(self, tiles: Tensor) -> Tensor:
        found = self.layer(self.convolution(tiles)).reshape(self.at_once, 24)
        return found * self.scale


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (Head(nn.Dropout(0.5)), "a second time"),
        (Head(nn.BatchNorm2d(6)), "a tile alone"),
        (Head(nn.Identity(), at_once=2), "no 4 tiles"),
        (Head(nn.Identity(), torch.nan), "NaN"),
        (Head(nn.Identity(), 0), "the same code for 4 tiles"),
    ],
    ids=["dropout", "batch", "two", "nan", "constant"],
)
def test_codes_that_hang_on_more_than_their_tile_are_refused(
    model: nn.Module, found: str, tmp_path: Path
) -> None:
    torch.jit.trace(model.train(), torch.rand(2, 3, 32, 32), check_trace=False).save(str(tmp_path / "m.pt"))
    with pytest.raises(EncoderError, match=found):
        import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", colours=COLOURS, mpp=0.5, tile_px=32)
    assert not list(tmp_path.glob("e.*"))


def test_a_script_in_half_precision_is_computed_in_single(tmp_path: Path) -> None:
    model = Patches(False).eval().half()
    torch.jit.trace(model, torch.zeros(1, 3, 32, 32).half()).save(str(tmp_path / "m.pt"))
    made = import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", colours=COLOURS, mpp=0.5, tile_px=32)
    seen = torch.tensor(((tiles() / 255 - COLOURS[0]) / COLOURS[1]).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        wanted = model.float()(seen).numpy()
    assert made.spec.trunk is not None and made.spec.trunk.arguments == {"single": 1}
    made = load_encoder(tmp_path / "e.safetensors")
    np.testing.assert_allclose(made.encode(tiles()), wanted, rtol=1e-5, atol=1e-5)


class Casting(nn.Module):
    """Casts tiles to the precision of its weights, as packages export their models."""

    def __init__(self, kind: torch.dtype, back: bool = True) -> None:
        super().__init__()
        self.patches = Patches(False).to(kind)
        self.kind = kind
        self.back = back

    def forward(self, tiles: Tensor) -> Tensor:
        found: Tensor = self.patches(tiles.to(self.kind))
        return found.float() if self.back else found


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("kind", [torch.half, torch.bfloat16, torch.double])
def test_a_script_that_casts_by_itself_is_computed_as_it_is(
    kind: torch.dtype, back: bool, tmp_path: Path
) -> None:
    model = Casting(kind, back).eval()
    torch.jit.trace(model, torch.zeros(1, 3, 32, 32)).save(str(tmp_path / "m.pt"))
    read_script(tmp_path / "m.pt", None, SAID, "Import it.").save(tmp_path / "e.safetensors")
    seen = torch.tensor(((tiles() / 255 - COLOURS[0]) / COLOURS[1]).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        wanted = model(seen).float().numpy()
    found = load_encoder(tmp_path / "e.safetensors")
    assert found.spec.trunk is not None and found.spec.trunk.arguments == {}
    # Of scaled tiles, which differ in their last bits.
    np.testing.assert_allclose(found.encode(tiles()), wanted, rtol=0, atol=0.02)


class Mixed(nn.Module):
    """Of two precisions that meet nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = Patches(False)

    def forward(self, tiles: Tensor) -> Tensor:
        return torch.mm(self.patches(tiles), torch.ones(6, 2).to(torch.double))


def test_what_is_said_of_types_and_of_sides(tmp_path: Path) -> None:
    torch.jit.script(Mixed().eval()).save(str(tmp_path / "m.pt"))
    with pytest.raises(EncoderError, match="in single precision") as caught:
        read_script(tmp_path / "m.pt", None, SAID, "Import it.")
    assert "--tile-px" not in str(caught.value) and "Export it again" in str(caught.value)
    small = replace(SAID, tile_px=8)
    for model, kind in ((Casting(torch.half), torch.float), (Patches(False).half(), torch.half)):
        torch.jit.trace(model.eval(), torch.zeros(1, 3, 32, 32).to(kind)).save(str(tmp_path / "m.pt"))
        with pytest.raises(EncoderError, match=r"(?s)tiles of 8 px.*--tile-px"):
            read_script(tmp_path / "m.pt", None, small, "Import it.")


def test_an_encoder_without_its_script_is_none(tmp_path: Path) -> None:
    """It could be saved as a file that holds no network."""
    script(tmp_path / "m.pt")
    made = read_script(tmp_path / "m.pt", None, SAID, "Import it.")
    with pytest.raises(TypeError, match="script"):
        ScriptEncoder(made.spec, made.network)  # type: ignore[call-arg]


def test_what_is_not_known_or_does_not_fit(tmp_path: Path) -> None:
    script(tmp_path / "m.pt")
    with pytest.raises(EncoderError, match="which colours"):
        import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", mpp=0.5, tile_px=32)
    with pytest.raises(EncoderError, match="--mpp"):
        import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", colours=COLOURS, tile_px=32)
    with pytest.raises(EncoderError, match=r"does not take tiles of 16 px|not one vector"):
        torch.jit.trace(nn.Conv2d(3, 2, 20), torch.zeros(1, 3, 32, 32)).save(str(tmp_path / "c.pt"))
        import_encoder(tmp_path / "c.pt", tmp_path / "e.safetensors", colours=COLOURS, mpp=0.5, tile_px=16)
    assert not (tmp_path / "e.safetensors").exists()


def test_a_state_dict_is_no_script_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "s.pt")
    assert not is_torchscript(tmp_path / "s.pt")
    script(tmp_path / "m.pt")
    made = import_encoder(tmp_path / "m.pt", tmp_path / "e.safetensors", colours=COLOURS, mpp=0.5, tile_px=32)
    damaged = np.frombuffer((tmp_path / "m.pt").read_bytes()[:400], np.uint8)
    save_encoder(tmp_path / "d.safetensors", made.spec, {"script": damaged})
    with pytest.raises(EncoderError, match="cannot be read"):
        load_encoder(tmp_path / "d.safetensors")
    save_encoder(tmp_path / "n.safetensors", EncoderSpec("n", "torchscript", 32, 0.5, 6), {"a": damaged})
    with pytest.raises(EncoderError, match="holds no script"):
        load_encoder(tmp_path / "n.safetensors")
    with pytest.raises(EncoderError, match="kind of file"):
        load_encoder("torchscript")


class TestContract(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        import tempfile

        folder = Path(tempfile.mkdtemp())
        script(folder / "m.pt")
        return import_encoder(folder / "m.pt", folder / "e.safetensors", colours=COLOURS, mpp=0.5, tile_px=32)
