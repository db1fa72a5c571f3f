"""A full disk is the same error whoever writes: nothing is half-written, and the number is the system's."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import SafetensorError

from histonic.core.errors import OutputError
from histonic.encoders.base import load_encoder
from histonic.nn.weights_files import system_errors


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may grow over 100 KiB, which stands for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_the_number_is_the_systems() -> None:
    with pytest.raises(OSError) as raised, system_errors():
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")
    assert raised.value.errno == errno.ENOSPC


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(SafetensorError, match="shared"), system_errors():
        raise SafetensorError("tensors are shared")


def test_an_encoder_is_written_whole_or_not_at_all(tmp_path: Path, little_room: None) -> None:
    with pytest.raises(OutputError) as raised:
        load_encoder("histonic-mtl").save(tmp_path / "e.safetensors")
    assert "File too large" in raised.value.found
    assert list(tmp_path.iterdir()) == []
