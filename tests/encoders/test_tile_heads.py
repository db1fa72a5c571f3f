"""Heads of an encoder: found beside it, exact in their file, and never taken for another encoder's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from histonic.core.task import Task
from histonic.encoders.base import EncoderSpec, load_encoder, save_encoder
from histonic.encoders.networks.nic import NicNetwork
from histonic.encoders.tile_heads import HEADS_FILE, heads_beside, load_heads, save_heads
from histonic.nn.heads import Heads

TASK = Task("mitosis", "binary", ("m",), ("no", "yes"))


def write_encoder(path: Path) -> str:
    torch.manual_seed(0)
    tensors = {name: np.asarray(value) for name, value in NicNetwork(8, 64).state_dict().items()}
    save_encoder(path, EncoderSpec("mine", "nic", 64, 0.5, 8), tensors)
    return load_encoder(path).fingerprint


def test_saved_heads_come_back(tmp_path: Path) -> None:
    heads = Heads([TASK], 8)
    torch.nn.init.normal_(heads["mitosis"].linear.weight)
    heads["mitosis"].trust.fill_(0.3)
    save_heads(tmp_path / HEADS_FILE, heads.tasks, 8, heads.state_dict())
    again = load_heads(tmp_path / HEADS_FILE)
    assert again.tasks == heads.tasks
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.state_dict().values(), heads.state_dict().values(), strict=True)
    )
    assert not any(weight.requires_grad for weight in again.parameters())


def test_heads_lie_beside_their_encoder(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    fingerprint = write_encoder(path)
    assert heads_beside(path) is None
    heads = Heads([TASK], 8)
    save_heads(tmp_path / HEADS_FILE, heads.tasks, 8, heads.state_dict(), fingerprint)
    assert heads_beside(path) == tmp_path / HEADS_FILE
    save_heads(tmp_path / HEADS_FILE, heads.tasks, 8, heads.state_dict(), "of another")
    assert heads_beside(path) is None
    save_heads(tmp_path / HEADS_FILE, heads.tasks, 8, heads.state_dict())
    assert heads_beside(str(path)) == tmp_path / HEADS_FILE


def test_the_shipped_heads_fit_the_shipped_encoder() -> None:
    path = heads_beside("histonic-mtl")
    assert path is not None
    heads = load_heads(path)
    codes = load_encoder("histonic-mtl").encode(np.full((1, 128, 128, 3), 200, np.uint8))
    found = heads.predict(heads(torch.from_numpy(codes)))
    assert {name: values.shape[1] for name, values in found.items()}["breast_mitosis"] == 2
    assert heads_beside("colour") is None
