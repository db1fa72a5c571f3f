"""The process that compiles: what it is given, and what has no network."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from histonic.encoders.base import load_encoder
from histonic.encoders.engines import compiling
from histonic.encoders.engines.compiling import compile_to


def test_what_has_no_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(spec=load_encoder("colour").spec)
    monkeypatch.setattr(compiling, "load_encoder", lambda *_, **__: own)
    with pytest.raises(TypeError, match="no network to compile"):
        compile_to("own", "32", 4, tmp_path / "x.pt2")


def test_the_network_that_is_compiled_gives_the_codes_of_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def compile_and_package(program: Any, package_path: str) -> None:
        given.append(program)
        with zipfile.ZipFile(package_path, "w") as package:
            package.writestr("data/model/x.so", b"compiled")
            package.writestr("data/model/x.cpp", b"source")

    def program(library: Path, batch: int, code_size: int, at_once: int) -> Any:
        given.append((library.read_bytes(), batch, code_size))
        return lambda tiles: given.append(tiles.shape)

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", compile_and_package)
    monkeypatch.setattr(compiling, "Program", program)
    threads = torch.get_num_threads()
    compile_to("colour", "32", 4, tmp_path / "x.so")
    torch.set_num_threads(threads)
    exported, loaded, called = given
    assert loaded == (b"compiled", 4, 18) and called == (4, 128, 128, 3)
    tiles = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    codes = exported.module()(torch.from_numpy(tiles)).numpy()
    np.testing.assert_allclose(codes, load_encoder("colour").encode(tiles), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["x.so"]


def test_a_package_without_a_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_and_package(program: Any, package_path: str) -> None:
        zipfile.ZipFile(package_path, "w").close()

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", compile_and_package)
    with pytest.raises(TypeError, match="0 libraries"):
        compile_to("mean-rgb", "32", 4, tmp_path / "x.so")
