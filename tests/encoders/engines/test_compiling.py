"""The process that compiles: what it is given, and what has no network."""

from __future__ import annotations

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


def test_the_program_that_is_compiled_gives_the_codes_of_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        "torch._inductor.aoti_compile_and_package",
        lambda program, package_path: given.append((program, package_path)),
    )
    threads = torch.get_num_threads()
    compile_to("colour", "32", 4, tmp_path / "x.pt2")
    torch.set_num_threads(threads)
    ((program, path),) = given
    tiles = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    codes = program.module()(torch.from_numpy(tiles)).numpy()
    np.testing.assert_allclose(codes, load_encoder("colour").encode(tiles), atol=1e-5)
    assert path == str(tmp_path / "x.pt2")
