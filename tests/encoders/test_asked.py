"""Encoders by names and paths from elsewhere: refused with the line that imports them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import typed
from histonic.core.errors import EncoderError
from histonic.encoders.asked import FOUNDATION, asked_elsewhere
from histonic.encoders.base import ENCODERS, load_encoder
from histonic.encoders.foreign.presets import PRESETS


def test_all_presets_are_known_by_name() -> None:
    assert set(FOUNDATION) == set(PRESETS)
    for name in PRESETS:
        found = asked_elsewhere(name.upper())
        assert found is not None and f"--preset {name} --out {name}.safetensors" in found[1]


@pytest.mark.parametrize("name", ENCODERS.entries())
def test_names_of_its_own_are_not_from_elsewhere(name: str) -> None:
    assert asked_elsewhere(name) is None


@pytest.mark.parametrize(
    ("text", "todo"),
    [
        ("timm:resnet18", "--architecture timm:resnet18 --colours timm --mpp MPP --out resnet18.safetensors"),
        ("hf-hub:MahmoodLab/UNI2-h", "--preset uni2-h"),
        ("hf_hub:bioptimus/H-optimus-0", "--preset h-optimus-0"),
        ("MahmoodLab/uni", "--preset uni"),
        ("uni2", "--preset uni2-h"),
        ("phikon_v2", "--preset phikon-v2"),
        ("resnet50", "--architecture timm:resnet50"),
        ("vit_small_patch16_224", "--architecture timm:vit_small_patch16_224"),
        ("CONCH", "Export it as TorchScript"),
    ],
)
def test_names_from_elsewhere(text: str, todo: str) -> None:
    with pytest.raises(EncoderError) as refused:
        load_encoder(text)
    assert todo in refused.value.todo and "fetches no weights" in refused.value.found


def test_files_and_folders_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "config.json").write_text("{}")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "encoder.safetensors").touch()
    (tmp_path / "plain").mkdir()
    for name in ("w.pth", "w.onnx", "w.h5"):
        (tmp_path / name).touch()
    for name, todo in {
        "hub": f"histonic encoder import {tmp_path / 'hub'} --out hub.safetensors",
        "store": f"Give {tmp_path / 'store' / 'encoder.safetensors'}.",
        "plain": "Give an encoder file",
        "w.pth": f"histonic encoder import {tmp_path / 'w.pth'} --out w.safetensors",
        "w.h5": f"histonic encoder import {tmp_path / 'w.h5'} --out w.safetensors",
        "w.onnx": "Import the weights that it was made of",
    }.items():
        with pytest.raises(EncoderError) as refused:
            load_encoder(tmp_path / name)
        assert todo in refused.value.todo


@pytest.mark.parametrize("command", ["compress a.svs --out s", "doctor a.svs"])
def test_commands_say_so(command: str, tmp_path: Path) -> None:
    (tmp_path / "a.svs").touch()
    shown = typed(*command.split(), "--encoder", "timm:resnet18", cwd=tmp_path)
    assert shown.code == 2 and "histonic encoder import FILE" in shown.err
