"""Heads of an encoder: found beside it, exact in their file, and never taken for another encoder's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.damage import ABSENT, NO_DOCUMENTS, with_value
from histonic.core.errors import EncoderError, TrainingError
from histonic.core.task import Task
from histonic.encoders.base import EncoderSpec, load_encoder, save_encoder
from histonic.encoders.networks.nic import NicNetwork
from histonic.encoders.shipped import SHIPPED
from histonic.encoders.tile_heads import (
    HEADS_FILE,
    HeadsFacts,
    heads_beside,
    load_heads,
    load_slide_heads,
    save_heads,
)
from histonic.nn.checkpoint import save_state
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
    heads["mitosis"].shrinkage.fill_(0.3)
    save_heads(tmp_path / HEADS_FILE, heads.tasks, 8, heads.state_dict())
    again = load_heads(tmp_path / HEADS_FILE)
    assert again.tasks == heads.tasks
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.state_dict().values(), heads.state_dict().values(), strict=True)
    )
    assert not any(weight.requires_grad for weight in again.parameters())


def test_heads_that_learned_from_enlarged_objects_are_left_out_on_slides(tmp_path: Path) -> None:
    other = Task("tumour", "binary", ("t",), ("no", "yes"))
    heads = Heads([TASK, other], 8)
    for head in heads.heads:
        torch.nn.init.normal_(head.linear.weight)
    path = tmp_path / HEADS_FILE
    save_heads(path, heads.tasks, 8, heads.state_dict(), enlarged={"mitosis": 5.3, "tumour": 1.2})
    kept, left_out = load_slide_heads(path)
    assert kept.tasks == (other,) and left_out == {"mitosis": 5.3}
    assert torch.equal(kept["tumour"].linear.weight, heads["tumour"].linear.weight)
    assert load_heads(path).tasks == heads.tasks
    save_heads(path, heads.tasks, 8, heads.state_dict(), enlarged={"mitosis": 5.3, "tumour": 2.0})
    with pytest.raises(EncoderError, match=r"mitosis 5\.3 times, tumour 2\.0 times"):
        load_slide_heads(path)
    save_heads(path, heads.tasks, 8, heads.state_dict())
    assert load_slide_heads(path)[0].tasks == heads.tasks


def test_the_shipped_head_for_mitoses_is_not_used_on_slides() -> None:
    path = heads_beside("histonic-mtl")
    assert path is not None
    kept, left_out = load_slide_heads(path)
    assert list(left_out) == ["breast_mitosis"] and left_out["breast_mitosis"] > 5
    assert "breast_mitosis" not in [task.name for task in kept.tasks] and len(kept.tasks) == 4


def test_all_shipped_heads_of_the_lite_encoder_hold_on_slides() -> None:
    path = heads_beside("histonic-lite")
    assert path is not None
    kept, left_out = load_slide_heads(path)
    assert not left_out and len(kept.tasks) == 8


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


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_heads_fit_the_shipped_encoder(name: str) -> None:
    path = heads_beside(name)
    assert path is not None
    heads = load_heads(path)
    codes = load_encoder(name).encode(np.full((1, 128, 128, 3), 200, np.uint8))
    found = heads.predict(heads(torch.from_numpy(codes)))
    assert {name: values.shape[1] for name, values in found.items()}["breast_mitosis"] == 2
    assert heads_beside("colour") is None


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("tasks", ABSENT, "tasks is absent"),
        ("tasks.0.kind", "guess", r"tasks\.0\.kind is 'guess'"),
        ("tasks.0.columns", ABSENT, r"tasks\.0\.columns is absent"),
        ("tasks.0.classes", [], "'mitosis' has 0 classes"),
        ("code_size", "8", "code_size is '8'"),
        ("code_size", 9, "do not fit"),
        ("encoder", None, "encoder is None"),
        ("taste", 1, "taste is 1"),
    ],
)
def test_damaged_heads_are_refused_by_their_field(place: str, value: Any, words: str, tmp_path: Path) -> None:
    heads, path = Heads([TASK], 8), tmp_path / HEADS_FILE
    facts = with_value(HeadsFacts(tasks=heads.tasks, code_size=8).to_dict(), place, value)
    save_state(path, {**facts, "weights": dict(heads.state_dict())})
    with pytest.raises(TrainingError, match=words) as error:
        load_heads(path)
    assert str(path) in error.value.asked


@pytest.mark.parametrize("weights", [None, {}, {"heads.0.linear.weight": torch.zeros(3)}, 5])
def test_heads_without_their_weights_are_refused(weights: Any, tmp_path: Path) -> None:
    facts = HeadsFacts(tasks=(TASK,), code_size=8).to_dict()
    save_state(tmp_path / HEADS_FILE, {**facts, "weights": weights})
    with pytest.raises(TrainingError, match="do not fit"):
        load_heads(tmp_path / HEADS_FILE)


@pytest.mark.parametrize("content", NO_DOCUMENTS)
def test_what_are_no_heads_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / HEADS_FILE).write_bytes(content)
    with pytest.raises(TrainingError, match=HEADS_FILE):
        load_heads(tmp_path / HEADS_FILE)
    save_state(tmp_path / HEADS_FILE, [1, 2])
    with pytest.raises(TrainingError, match=HEADS_FILE):
        load_heads(tmp_path / HEADS_FILE)


def test_heads_with_a_dense_layer_come_back_and_are_left_out_alike(tmp_path: Path) -> None:
    other = Task("tumour", "binary", ("t",), ("no", "yes"))
    heads = Heads([TASK, other], 8, 5).eval()
    for head in heads.heads:
        torch.nn.init.normal_(head.linear.weight)
    path = tmp_path / HEADS_FILE
    save_heads(path, heads.tasks, 8, heads.state_dict(), enlarged={"mitosis": 5.3}, hidden=5)
    codes = torch.randn(4, 8)
    assert torch.equal(load_heads(path)(codes)["tumour"], heads(codes)["tumour"])
    kept, _ = load_slide_heads(path)
    assert kept.hidden == 5 and torch.equal(kept(codes)["tumour"], heads(codes)["tumour"])
