"""Weights of timm models from files: names fitted, damage and strangers refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from histonic.core.errors import EncoderError
from histonic.encoders.foreign.timm import TimmNetwork
from histonic.encoders.foreign.timm_weights import by_own_names, misfit_of
from histonic.stages.encoder.imported import import_encoder

SMALL = "test_resnet"  # 0.5 M parameters, in timm for tests

VIT = "test_vit"  # of a fixed input size, 160 px


def noise(count: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_from_a_file(timm, tmp_path: Path, suffix: str, wrapped: bool) -> None:  # type: ignore[no-untyped-def]
    """The file holds the whole model, with its classifier."""
    torch.manual_seed(1)
    whole = timm.create_model(SMALL)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(whole.state_dict(), path)
    else:
        torch.save({"state_dict": whole.state_dict(), "epoch": 3} if wrapped else whole.state_dict(), path)
    encoder = import_encoder(
        path,
        tmp_path / "e.safetensors",
        architecture=f"timm:{SMALL}",
        colours="timm",
        licence="CC-BY-4.0",
        tile_px=64,
        mpp=0.5,
    )
    assert encoder.spec.architecture == f"timm:{SMALL}" and encoder.spec.licence == "CC-BY-4.0"
    assert path.name in encoder.spec.provenance
    again = encoder.network.trunk.state_dict()
    assert set(whole.state_dict()) - set(again) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(again[name], whole.state_dict()[name]) for name in again)
    with torch.no_grad():
        codes = torch.tensor(encoder.encode(noise(3)))
        tiles = torch.tensor(noise(3)).permute(0, 3, 1, 2) / 127.5 - 1
        # test_resnet was trained with mean and deviation 0.5
        whole.reset_classifier(0)
        torch.testing.assert_close(codes, whole.eval()(tiles), rtol=1e-3, atol=1e-4)


def test_a_file_of_another_model_names_the_first_keys(timm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    torch.save(timm.create_model(VIT).state_dict(), tmp_path / "w.pth")
    with pytest.raises(EncoderError) as caught:
        TimmNetwork(SMALL, None, 64, tmp_path / "w.pth")
    assert "first 'conv1.weight'" in str(caught.value) or "first 'conv1.0.weight'" in str(caught.value)
    assert "not in the model, first 'cls_token'" in str(caught.value)


def test_a_classifier_of_several_layers_is_left_out(timm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """levit's classifiers are head.l and head_dist.l, with a norm before each."""
    whole = timm.create_model("levit_128s").state_dict()
    torch.save(whole, tmp_path / "w.pth")
    own = TimmNetwork("levit_128s", None, 224, tmp_path / "w.pth").trunk.state_dict()
    assert "head.bn.weight" in whole and "head.bn.weight" not in own
    assert all(torch.equal(tensor, whole[name]) for name, tensor in own.items())


def test_weights_of_another_tile_size(timm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    torch.save(timm.create_model(VIT).state_dict(), tmp_path / "w.pth")
    TimmNetwork(VIT, None, 160, tmp_path / "w.pth")
    with pytest.raises(EncoderError, match=r"pos_embed is \(1, 101, 64\) in the file, \(1, 17, 64\)"):
        TimmNetwork(VIT, None, 64, tmp_path / "w.pth")


def test_weights_with_nan(timm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    state = timm.create_model(SMALL).state_dict()
    state["bn1.weight"][2] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(EncoderError, match=r"bn1\.weight holds NaN"):
        TimmNetwork(SMALL, None, 64, tmp_path / "w.pth")


def test_a_model_within_others_is_found_by_its_names() -> None:
    """As saved by training scripts; of two copies none is chosen."""
    own = {name: torch.zeros(2) for name in ("cls_token", "norm.weight")}
    given = {name: torch.full((2,), float(place)) for place, name in enumerate(own)}
    for words in ("module.", "teacher.backbone."):
        held = {
            **{f"{words}{name}": value for name, value in given.items()},
            "teacher.head.weight": own["cls_token"],
        }
        assert by_own_names(own, held) == given
    assert by_own_names(own, given) == given
    two = {f"{words}.{name}": value for words in ("student", "teacher") for name, value in given.items()}
    assert by_own_names(own, two) == two and misfit_of(own, two) is not None
    short = {"module.cls_token": own["cls_token"]}
    assert by_own_names(own, short) == short


def test_a_model_within_a_checkpoint_of_its_training(timm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """As DINO saves them: mappings within mappings, and what is no tensor beside them."""
    whole = {f"backbone.{name}": value for name, value in timm.create_model(SMALL).state_dict().items()}
    more = {"optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{}]}, "epoch": 3}
    torch.save({"teacher": {**whole, "head.last": torch.ones(2)}, **more}, tmp_path / "w.pth")
    own = TimmNetwork(SMALL, None, 64, tmp_path / "w.pth").trunk.state_dict()
    assert all(torch.equal(tensor, whole[f"backbone.{name}"]) for name, tensor in own.items())
    torch.save({"teacher": whole, "student": whole, **more}, tmp_path / "two.pth")
    with pytest.raises(EncoderError, match="not in the file"):
        TimmNetwork(SMALL, None, 64, tmp_path / "two.pth")


def test_whole_numbers_are_no_weights() -> None:
    own = {"norm.weight": torch.zeros(2), "norm.count": torch.tensor(3)}
    whole = {"norm.weight": torch.ones(2, dtype=torch.int8), "norm.count": torch.tensor(3)}
    assert "norm.weight holds whole numbers (int8)" in str(misfit_of(own, whole))
    assert misfit_of(own, {**whole, "norm.weight": torch.ones(2).half()}) is None


class Unsafe:
    """Anything but tensors in plain containers."""


@pytest.mark.parametrize(
    ("name", "held", "found"),
    [
        ("w.pth", Unsafe(), "cannot be read as plain tensors: it holds an object of Python, .*Unsafe"),
        *(
            ("w.pth", text, r"plain tensors: it is no file of torch, or damaged\.")
            for text in (b"hello", b"<html>\n<body>\n", b"<!DOCTYPE html>\n<html>", b"version 3", b"\x80" * 9)
        ),
        *(
            (
                name,
                b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
                "(?s)pointer.*git lfs pull",
            )
            for name in ("w.pth", "w.safetensors")
        ),
        ("w.pth", {"epoch": 3}, "holds no state dict"),
        ("w.pth", b"", "cannot be read as plain tensors"),
        ("w.safetensors", b"\xff" * 40, "cannot be read as plain tensors"),
        ("w.h5", b"", "ends in '.h5'"),
        ("w.pth", None, "no such file"),
    ],
)
def test_files_that_are_no_weights(timm, tmp_path: Path, name: str, held: object, found: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / name
    if isinstance(held, bytes):
        path.write_bytes(held)
    elif held is not None:
        torch.save(held, path)
    with pytest.raises(EncoderError, match=found) as caught:
        TimmNetwork(SMALL, None, 64, path)
    assert "weights_only" not in str(caught.value)
