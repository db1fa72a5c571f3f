"""Compiled encoders: made once for a kind of machine, kept in a cache, loaded in a moment."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock

from histonic.core.errors import OutputError
from histonic.core.places.cache import kept_in
from histonic.encoders.base import Encoder, EncoderSpec
from histonic.encoders.engines.machine import machine_kind
from histonic.encoders.engines.pool import Codes, Encode, Tiles
from histonic.encoders.engines.program import BrokenProgram, Program

MOST_COMPILE_S = 600
FORM = 1
"""Counts changes to what is compiled; older libraries are then not used."""


class CannotCompile(Exception):
    """There is no compiler here, or it cannot compile this network; the message says why."""


def cache_folder() -> Path:
    """Where compiled encoders are kept: ``HISTONIC_CACHE``, or the user's cache folder."""
    return kept_in("compiled")


def library_path(fingerprint: str, batch: int) -> Path:
    """Where the library of a compiled encoder lies, for this kind of machine.

    Raises:
        CannotCompile: There is no place for it.
    """
    facts = f"{FORM} {fingerprint} {batch} {machine_kind('cpu')}"
    try:
        folder = cache_folder()
    except RuntimeError as error:
        raise CannotCompile(
            "the home folder of the user is not known; HISTONIC_CACHE can name a folder for it"
        ) from error
    return folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.so"


def is_kept(path: Path) -> bool:
    """Whether a library was made already.

    Raises:
        CannotCompile: Its folder may not be looked into.
    """
    try:
        return path.exists()
    except OSError as error:
        raise CannotCompile(f"the cache {path.parent} cannot be read: {error}") from error


def compile_encoder(encoder: Encoder, precision: str, batch: int) -> Path:
    """Compile an encoder in another process and keep the library; one that is there is kept as it is.

    Args:
        encoder: Any with a network.
        precision: ``32`` or ``bf16``.
        batch: Tiles at a time.

    Raises:
        CannotCompile: There is no compiler, it fails or takes too long, or the cache cannot be written.
    """
    path = library_path(encoder.fingerprint, batch)
    if is_kept(path):
        return path
    # Of several runs that need the same library one compiles it.
    lock = FileLock(path.with_suffix(".lock"))
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        if not is_kept(path):
            _compile(encoder, precision, batch, path)
    finally:
        lock.release()
    with suppress(OSError):
        path.with_suffix(".lock").unlink()
    return path


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    # Some file systems know no locks.
    except (OSError, OutputError, NotImplementedError) as error:
        told = error.reason if isinstance(error, OutputError) else error
        raise CannotCompile(f"the cache {folder} cannot be written: {told}") from error


def _compile(encoder: Encoder, precision: str, batch: int, path: Path) -> None:
    with _writing(path.parent):
        made = tempfile.TemporaryDirectory(dir=path.parent, ignore_cleanup_errors=True)
    with made as scratch:
        file, library = Path(scratch) / "encoder.safetensors", Path(scratch) / "library.so"
        with _writing(path.parent):
            encoder.save(file)
        command = [sys.executable, "-m", "histonic.encoders.engines.compiling"]
        command += [str(file), precision, str(batch), str(library)]
        # The compiler's own caches and scratch files go with the folder.
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(Path(scratch) / "inductor")}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=MOST_COMPILE_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CannotCompile(f"the compiler took more than {MOST_COMPILE_S} s") from error
        except OSError as error:
            raise CannotCompile(f"the compiler cannot be started: {error}") from error
        if done.returncode or not library.exists():
            told = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise CannotCompile(f"the compiler failed: {told[-1][:300]}")
        with _writing(path.parent):
            os.replace(library, path)


def load_compiled(path: Path, spec: EncoderSpec, batch: int, workers: int) -> Encode:
    """A compiled encoder; several threads may call it at once.

    Args:
        path: Of the library.
        spec: Of the encoder.
        batch: Tiles that it was compiled for; fewer are filled up.
        workers: Threads that will call it.

    Raises:
        CannotCompile: It cannot be loaded here.
    """
    try:
        program = Program(path, batch, spec.code_size, workers)
    except BrokenProgram as error:
        raise CannotCompile(str(error)) from error

    def encode(tiles: Tiles) -> Codes:
        if len(tiles) == batch:
            return program(tiles)
        filled = np.zeros((batch, *tiles.shape[1:]), np.uint8)
        filled[: len(tiles)] = tiles
        return program(filled)[: len(tiles)]

    return encode
