"""Compiled libraries by their C interface: what cannot be loaded, and threads that run side by side."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from histonic.encoders.base import load_encoder
from histonic.encoders.engines import program as module
from histonic.encoders.engines.compiled import compile_encoder
from histonic.encoders.engines.program import BrokenProgram, Program


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(b"no library")
    with pytest.raises(BrokenProgram, match="cannot be loaded"):
        Program(tmp_path / "x.so", 4, 3, 1)


def test_a_library_of_something_else_is_refused() -> None:
    torch_library = Path(module.torch.__file__).parent / "lib"
    other = next(torch_library / name for name in module.TORCH_NAMES if (torch_library / name).exists())
    with pytest.raises(BrokenProgram, match="cannot be loaded"):
        Program(other, 4, 3, 1)


def test_without_the_library_of_torch_nothing_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TORCH_NAMES", ("absent.so",))
    with pytest.raises(BrokenProgram, match=r"absent\.so"):
        Program(tmp_path / "x.so", 4, 3, 1)


@pytest.mark.long
def test_python_runs_on_while_a_program_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path))
    encoder = load_encoder("histonic-mtl")
    run = Program(compile_encoder(encoder, "32", 64), 64, encoder.spec.code_size, 2)
    tiles = np.zeros((64, 128, 128, 3), np.uint8)
    with pytest.raises(BrokenProgram, match="64 tiles, not 3"):
        run(tiles[:3])
    run(tiles)
    began = time.perf_counter()
    run(tiles)
    alone_s = time.perf_counter() - began
    thread = threading.Thread(target=lambda: [run(tiles) for _ in range(5)])
    looks = []
    thread.start()
    while thread.is_alive():
        looks.append(time.perf_counter())
    assert len(looks) > 1000
    # Held meanwhile, Python's lock would let this thread look only between two calls.
    assert np.sort(np.diff(looks))[-20:].min() < alone_s / 2
