"""A full disk is the same error whoever writes: nothing is half-written, and the number is the system's."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from histonic.core.errors import OutputError
from histonic.encoders.base import load_encoder
from histonic.nn.weights_files import hash_of_weights, misfit, system_errors


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may grow over 100 KiB, which stands for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    "said",
    [
        "I/O error: No space left (os error 28)",
        'IoError(Os { code: 28, kind: StorageFull, message: "No space left" })',
    ],
)
def test_the_number_is_the_systems(said: str) -> None:
    with pytest.raises(OSError) as raised, system_errors():
        raise SafetensorError(f"Error while serializing: {said}")
    assert raised.value.errno == errno.ENOSPC


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(SafetensorError, match="shared"), system_errors():
        raise SafetensorError("tensors are shared")


def test_an_encoder_is_written_whole_or_not_at_all(tmp_path: Path, little_room: None) -> None:
    with pytest.raises(OutputError) as raised:
        load_encoder("histonic-mtl").save(tmp_path / "e.safetensors")
    assert "File too large" in raised.value.found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, None),
        ({"bias": None}, "bias is absent"),
        ({"more": torch.ones(1)}, "more is of another network"),
        ({"bias": torch.zeros(1, dtype=torch.float16)}, "bias is torch.float16, not torch.float32"),
        ({"bias": torch.zeros(2)}, r"bias has the shape (2,), not (1,)"),
        ({"bias": torch.tensor([torch.inf])}, "bias holds NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], found: str | None) -> None:
    layer = torch.nn.Linear(2, 1)
    state = {key: value for key, value in {**layer.state_dict(), **change}.items() if value is not None}
    assert misfit(layer, state) == found


def test_the_hash_is_of_names_types_shapes_and_numbers() -> None:
    one = {"a": torch.arange(6.0), "b": torch.tensor(1)}
    others = [
        {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)},
        {"a": torch.arange(6), "b": torch.tensor(1)},
        {"a": torch.arange(6.0), "c": torch.tensor(1)},
        {"a": torch.arange(6.0), "b": torch.tensor(2)},
        {"a": torch.arange(6.0).bfloat16(), "b": torch.tensor(1)},
    ]
    assert hash_of_weights({"b": torch.tensor(1), "a": torch.arange(12.0)[::2] / 2}) == hash_of_weights(one)
    assert len({hash_of_weights(each) for each in (one, *others)}) == 6
