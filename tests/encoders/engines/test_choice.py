"""Precision by encoder and machine, an engine by the work; what cannot be compiled runs as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from histonic.core.progress import Silent
from histonic.encoders.base import Encoder, load_encoder
from histonic.encoders.engines import choice
from histonic.encoders.engines.choice import choose_precision, least_cosine, start_encoding
from histonic.encoders.engines.compiled import CannotCompile
from histonic.encoders.engines.program import BrokenProgram

SPEC = load_encoder("histonic-mtl").spec
TILES = np.random.default_rng(0).integers(0, 256, (70, 128, 128, 3), dtype=np.uint8)


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize(
    ("cosine", "fast", "precision"),
    [(0.9999, True, "bf16"), (0.9999, False, "32"), (0.9994, True, "32"), (None, True, "32")],
)
def test_half_precision_is_the_default_where_it_is_fast_and_keeps_the_codes(
    monkeypatch: pytest.MonkeyPatch, cosine: float | None, fast: bool, precision: str
) -> None:
    monkeypatch.setattr(choice, "is_half_fast", lambda device: fast)
    spec = replace(SPEC, half_cosine=cosine)
    assert choose_precision("auto", spec, "cpu") == precision
    assert choose_precision("32", spec, "cpu") == "32"
    assert choose_precision("bf16", spec, "cpu") == "bf16"


def started(encoder: Encoder, notes: Notes | None = None, **values: Any) -> Any:
    given: dict[str, Any] = {
        "device": "cpu",
        "precision": "32",
        "engine": None,
        "tiles": len(TILES),
        "batch": 256,
        "first": TILES,
    }
    return start_encoding(encoder, **{**given, **values}, progress=notes or Notes())


def test_little_work_is_not_worth_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path))
    encoder = load_encoder("colour")
    with started(encoder) as pool:
        assert pool.description.engine == "eager"
        np.testing.assert_array_equal(pool.encode(TILES), encoder.encode(TILES))


@pytest.fixture
def compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As if there were a compiler; the batches that were compiled for."""
    asked: list[int] = []

    def compile_encoder(encoder: Encoder, precision: str, batch: int) -> Path:
        asked.append(batch)
        return tmp_path / "library.so"

    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "compile_encoder", compile_encoder)
    return asked


def give(monkeypatch: pytest.MonkeyPatch, change: float) -> None:
    """A library that gives the encoder's codes, some of them changed."""

    def load_compiled(path: Path, spec: Any, batch: int, workers: int) -> Any:
        def run(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            codes = load_encoder("colour").encode(tiles)
            codes[:, 0] += change
            return codes

        return run

    monkeypatch.setattr(choice, "load_compiled", load_compiled)


def test_much_work_is_compiled_for_and_the_codes_are_compared(
    compiling: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, 0.0)
    notes = Notes()
    with started(load_encoder("colour"), notes, tiles=10**9) as pool:
        assert pool.description.engine == "compiled"
        np.testing.assert_array_equal(pool.encode(TILES), load_encoder("colour").encode(TILES))
    assert compiling == [8]
    assert "compiling colour" in notes.lines[0]


def test_a_compiled_encoder_that_differs_is_not_used(
    compiling: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, 0.5)
    notes = Notes()
    with started(load_encoder("colour"), notes, engine="compiled") as pool:
        assert pool.description.engine == "eager"
        np.testing.assert_array_equal(pool.encode(TILES), load_encoder("colour").encode(TILES))
    assert "would differ" in notes.lines[-1]


def test_without_a_compiler_the_encoder_runs_all_the_same(
    compiling: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> None:
        raise CannotCompile("the compiler failed: no g++")

    monkeypatch.setattr(choice, "compile_encoder", refuse)
    notes = Notes()
    with started(load_encoder("colour"), notes, engine="compiled") as pool:
        assert pool.description.engine == "eager"
    assert "no g++" in notes.lines[-1]


def unknown_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def no_entry(path: Path, **more: Any) -> bool:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize(
    ("owner", "name", "fault", "said"),
    [
        (Path, "home", unknown_home, "the home folder of the user is not known; HISTONIC_CACHE"),
        (Path, "exists", no_entry, "cannot be read: .*Permission denied"),
        (Path, "mkdir", no_entry, "cannot be written: .*Permission denied"),
    ],
)
@pytest.mark.parametrize("engine", [None, "compiled"])
def test_a_home_that_is_not_to_be_had_costs_the_compiled_engine_and_a_line(
    owner: type, name: str, fault: Any, said: str, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder("colour")
    for variable in ("HISTONIC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    notes = Notes()
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fault)
        with started(encoder, notes, engine=engine, tiles=10**9) as pool:
            assert pool.description.engine == "eager"
    assert re.search(f"runs without being compiled: .*{said}", notes.lines[-1])


def test_a_compiled_encoder_that_fails_at_its_first_call_is_not_used(
    compiling: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> Any:
        def run(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            raise BrokenProgram("it failed while it ran")

        return run

    monkeypatch.setattr(choice, "load_compiled", broken)
    notes = Notes()
    with started(load_encoder("colour"), notes, engine="compiled") as pool:
        assert pool.description.engine == "eager"
    assert notes.lines[-1].endswith("compiled: it failed while it ran")


def test_an_engine_that_is_asked_for_is_used(compiling: list[int]) -> None:
    with started(load_encoder("colour"), tiles=10**9, engine="eager") as pool:
        assert pool.description.engine == "eager"
    assert not compiling


def test_an_encoder_with_an_arithmetic_of_its_own_is_called_by_one_thread_with_whole_batches() -> None:
    sizes: list[int] = []

    class Own:
        spec = replace(SPEC, code_size=2)
        fingerprint = "own"

        def encode(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            sizes.append(len(tiles))
            return np.zeros((len(tiles), 2), np.float32)

    with started(Own(), batch=50, tiles=10**9) as pool:  # type: ignore[arg-type]
        pool.encode(TILES)
        assert (pool.workers, pool.description.batch) == (1, 50)
    assert sizes == [50, 20]


def test_the_least_cosine_is_that_of_the_tile_that_differs_most() -> None:
    codes = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    others = np.array([[2, 0], [1, 0], [0, 0]], np.float32)
    assert least_cosine(codes, others) == pytest.approx(0.5**0.5)
    assert least_cosine(codes[2:], codes[:1]) == 0.0
    assert least_cosine(codes[:0], codes[:0]) == 1.0


@pytest.fixture
def as_if_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU in the place of a GPU: what is chosen, filled up and compared does not hang on the device."""

    def encode_on_gpu(network: Any, device: Any, batch: int) -> Any:
        def run(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            with torch.inference_mode():
                codes: npt.NDArray[np.float32] = network(torch.from_numpy(np.array(tiles))).numpy()
            return codes

        return run

    monkeypatch.setattr(choice, "encode_on_gpu", encode_on_gpu)
    monkeypatch.setattr(choice, "machine_kind", lambda device: "a GPU")


@pytest.mark.usefixtures("as_if_gpu")
@pytest.mark.parametrize(
    ("values", "engine"),
    [({}, "eager"), ({"tiles": 10**7}, "compiled"), ({"tiles": 10**7, "engine": "eager"}, "eager")],
)
def test_on_a_gpu_much_work_is_compiled_for(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], engine: str
) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    with started(load_encoder("colour"), device="cuda:0", **values) as pool:
        assert (pool.description.engine, pool.description.batch) == (engine, 256)
        np.testing.assert_allclose(pool.encode(TILES), load_encoder("colour").encode(TILES), atol=1e-6)


@pytest.mark.usefixtures("as_if_gpu")
@pytest.mark.parametrize(("fails", "words"), [(True, "no triton"), (False, "would differ")])
def test_on_a_gpu_a_compiler_that_fails_or_errs_is_left(
    monkeypatch: pytest.MonkeyPatch, fails: bool, words: str
) -> None:
    def compiled(network: Any, **_: Any) -> Any:
        def run(tiles: torch.Tensor) -> torch.Tensor:
            if fails:
                raise RuntimeError("no triton")
            return -network(tiles)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    notes = Notes()
    with started(load_encoder("colour"), notes, device="cuda", engine="compiled") as pool:
        assert pool.description.engine == "eager"
    assert words in notes.lines[-1]
