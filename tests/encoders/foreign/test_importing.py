"""What a path is before anything is read of it; the whole import: tests/stages/encoder/test_imported.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from histonic.core.errors import EncoderError
from histonic.encoders.foreign.importing import is_torchscript, read_encoder, side_of, timm_name
from histonic.encoders.foreign.stated import Said


def test_an_architecture_names_a_model_of_timm() -> None:
    assert timm_name("timm:resnet50", "Import it.") == "resnet50"
    for other in ("timm:", "resnet50", "transformers:vit"):
        with pytest.raises(EncoderError, match="timm:MODEL"):
            timm_name(other, "Import it.")


def test_state_dicts_and_other_files_are_no_torchscript(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "s.pt")
    (tmp_path / "t.pt").write_text("no archive")
    assert not is_torchscript(tmp_path / "s.pt") and not is_torchscript(tmp_path / "t.pt")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no such file or folder"):
        read_encoder(tmp_path / "absent.pth", Said())
    (tmp_path / "w.pth").write_bytes(b"x")
    with pytest.raises(EncoderError, match="no preset"):
        read_encoder(tmp_path / "w.pth", Said(), "unii")


@pytest.mark.parametrize("size", [[3, 224, 256], "224", [224, 192]])
def test_tiles_that_are_no_squares_are_asked_for(size: object) -> None:
    with pytest.raises(EncoderError, match="no squares"):
        side_of({"input_size": size}, {}, "Import it.")
    assert side_of({"input_size": [3, 96, 96]}, {}, "x") == 96
    assert side_of({"input_size": size}, {"img_size": 64}, "x") == 64
    assert side_of({}, {}, "x") == 224
