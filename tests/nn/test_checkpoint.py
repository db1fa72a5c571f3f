"""States survive the file bit by bit; damaged files are refused; nothing is half-written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from histonic.core.errors import OutputError, TrainingError
from histonic.nn.checkpoint import load_state, save_state


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and bool(torch.equal(one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, weight_decay=1e-5)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(torch.randn(5, 3)).pow(2).mean()
        loss.backward()
        optimizer.step()
        scheduler.step(loss.item())
    return model, optimizer, scheduler


def test_model_optimizer_and_scheduler_survive_exactly(tmp_path: Path) -> None:
    model, optimizer, scheduler = trained()
    plateau = {k: v for k, v in scheduler.state_dict().items() if not callable(v)}
    state = {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict(), "plateau": plateau}
    save_state(tmp_path / "s.safetensors", state)
    back = load_state(tmp_path / "s.safetensors")
    assert same(back, state)
    fresh = torch.optim.Adam(model.parameters(), 1.0)
    fresh.load_state_dict(back["optimizer"])
    assert same(fresh.state_dict(), optimizer.state_dict())


def test_every_kind_of_value_survives(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    state = {
        "none": None,
        "yes": True,
        "whole": 2**53 + 1,
        "float": 0.1 + 0.2,
        "infinite": float("inf"),
        3: ("tuple", [1, (2.5,)], {}),
        "turned": shared.T,
        "shared": [shared, shared[0]],
        "scalar": torch.tensor(7),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "empty": torch.zeros(0, 3),
    }
    save_state(tmp_path / "s", state)
    assert same(load_state(tmp_path / "s"), state)
    plain = load_state(tmp_path / "s", tensors=False)
    assert plain["shared"] == [None, None] and plain["scalar"] is None
    assert plain["float"] == state["float"] and plain[3] == state[3]


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    model, optimizer, _ = trained()
    for name in "ab":
        save_state(tmp_path / name, {"m": dict(model.state_dict()), "o": optimizer.state_dict()})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Path"):
        save_state(tmp_path / "s", {"path": tmp_path})
    with pytest.raises(TypeError, match="key"):
        save_state(tmp_path / "s", {1.5: 1})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x08" + b"\0" * 7 + b'{"a":1} '])
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(TrainingError, match="Delete it"):
        load_state(tmp_path / "s")


def test_other_safetensors_files_are_refused(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3)}, tmp_path / "s")
    with pytest.raises(TrainingError, match="no state"):
        load_state(tmp_path / "s")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        save_state(tmp_path / "file" / "s", {})


@pytest.mark.parametrize("part", ["a number", "a tensor"])
def test_any_change_is_noticed(part: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, {"epoch": 3, "weights": torch.arange(8.0)})
    content = path.read_bytes()
    if part == "a number":
        content = content.replace(b'epoch\\", 3', b'epoch\\", 4')
        with pytest.raises(TrainingError, match="changed since it was written"):
            path.write_bytes(content)
            load_state(path, tensors=False)
    else:
        path.write_bytes(content[:-1] + b"\x41")
        assert load_state(path, tensors=False) == {"epoch": 3, "weights": None}
    with pytest.raises(TrainingError, match="changed since it was written"):
        load_state(path)
