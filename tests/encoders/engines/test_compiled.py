"""Compiled encoders: kept by encoder, batch and machine; what cannot be compiled is said; equal codes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from histonic.encoders.base import load_encoder
from histonic.encoders.engines import compiled
from histonic.encoders.engines.choice import least_cosine
from histonic.encoders.engines.compiled import (
    CannotCompile,
    cache_folder,
    compile_encoder,
    library_path,
    load_compiled,
)

TILES = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path))
    return tmp_path / "compiled"


def test_the_cache_lies_where_the_user_says(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("HISTONIC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert cache_folder() == Path("/some/where/histonic/compiled")


def test_another_encoder_batch_or_machine_is_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [library_path("a", 32), library_path("b", 32), library_path("a", 16)]
    monkeypatch.setattr(compiled, "machine_kind", lambda device: "another machine")
    assert len({*paths, library_path("a", 32)}) == 4


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "precision"), [("histonic-mtl", "32"), ("histonic-mtl", "bf16"), ("colour", "32")]
)
def test_a_compiled_encoder_gives_the_codes_of_the_eager_one(cache: Path, name: str, precision: str) -> None:
    encoder = load_encoder(name, precision=precision)
    run = load_compiled(compile_encoder(encoder, precision, 4), encoder.spec, 4, workers=1)
    codes = np.concatenate([run(TILES[:4]), run(TILES[4:])])
    assert least_cosine(codes, encoder.encode(TILES)) > 0.9999
    assert [path.suffix for path in cache.iterdir()] == [".so"]
    assert np.array_equal(run(TILES[:4]), codes[:4])


@pytest.mark.long
def test_a_small_encoder_is_compiled_loaded_and_kept(cache: Path) -> None:
    encoder = load_encoder("mean-rgb")
    path = compile_encoder(encoder, "32", 4)
    made = path.stat().st_mtime_ns
    run = load_compiled(compile_encoder(encoder, "32", 4), encoder.spec, 4, workers=1)
    assert path.stat().st_mtime_ns == made
    codes = np.concatenate([run(TILES[:4]), run(TILES[4:])])  # the second part is filled up
    np.testing.assert_allclose(codes, encoder.encode(TILES), atol=1e-5)


@pytest.mark.parametrize(
    ("told", "words"), [("", "exit code 1"), ("lines\nInvalidCxxCompiler: none\n", "InvalidCxxCompiler")]
)
def test_a_machine_without_a_compiler_says_so_and_keeps_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, told: str, words: str
) -> None:
    def fail(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", told)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(CannotCompile, match=words):
        compile_encoder(load_encoder("mean-rgb"), "32", 4)
    assert not list(cache.glob("*.so"))


def test_a_compiler_that_does_not_end_is_given_up(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **more: Any) -> None:
        raise subprocess.TimeoutExpired(command, more["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(CannotCompile, match="more than"):
        compile_encoder(load_encoder("mean-rgb"), "32", 4)


def test_a_compiler_that_cannot_be_started_is_no_matter_of_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(command: list[str], **more: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(CannotCompile, match=r"cannot be started: .*allocate memory"):
        compile_encoder(load_encoder("mean-rgb"), "32", 4)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_a_cache_that_is_full_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled_well(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        Path(command[-1]).write_bytes(b"library")
        return subprocess.CompletedProcess(command, 0, "", "")

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(subprocess, "run", compiled_well)
    with monkeypatch.context() as patch:
        patch.setattr(compiled.os, "replace", full)
        with pytest.raises(CannotCompile, match=r"cannot be written: .*No space"):
            compile_encoder(load_encoder("mean-rgb"), "32", 4)
    assert compile_encoder(load_encoder("mean-rgb"), "32", 4).read_bytes() == b"library"
    assert [path.suffix for path in cache.iterdir()] == [".so"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path / "file"))
    with pytest.raises(CannotCompile, match="cannot be written"):
        compile_encoder(load_encoder("mean-rgb"), "32", 4)


def test_a_file_system_without_locks_is_no_place_for_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*given: Any) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(compiled.FileLock, "acquire", no_locks)
    with pytest.raises(CannotCompile, match="cannot be written: FileSystem"):
        compile_encoder(load_encoder("mean-rgb"), "32", 4)


def test_a_damaged_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged.so").write_bytes(b"no library")
    with pytest.raises(CannotCompile, match="cannot be loaded"):
        load_compiled(tmp_path / "damaged.so", load_encoder("mean-rgb").spec, 4, 1)


def test_few_tiles_are_filled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    def program(*values: Any) -> Any:
        def run(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            given.append(len(tiles))
            return tiles[:, 0, 0].astype(np.float32)

        return run

    monkeypatch.setattr(compiled, "Program", program)
    run = load_compiled(Path("x.so"), load_encoder("mean-rgb").spec, 4, 1)
    np.testing.assert_array_equal(run(TILES[:4]), TILES[:4, 0, 0])
    np.testing.assert_array_equal(run(TILES[4:]), TILES[4:, 0, 0])
    assert given == [4, 4]
