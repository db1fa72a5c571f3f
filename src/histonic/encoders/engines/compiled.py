"""Compiled encoders: made once for a kind of machine, kept in a cache, loaded in a moment."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock

from histonic.encoders.base import Encoder
from histonic.encoders.engines.machine import machine_kind

MOST_COMPILE_S = 600
FORM = 1
"""Counts changes to what is compiled; older packages are then not used."""
Codes = npt.NDArray[np.float32]


class CannotCompile(Exception):
    """There is no compiler here, or it cannot compile this network; the message says why."""


class _Package(Protocol):
    def run(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """The codes of one full batch of tiles, in a list."""


def cache_folder() -> Path:
    """Where compiled encoders are kept: ``HISTONIC_CACHE``, or the user's cache folder."""
    given = os.environ.get("HISTONIC_CACHE")
    if given:
        return Path(given) / "compiled"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "histonic" / "compiled"


def package_path(fingerprint: str, batch: int) -> Path:
    """Where the package of an encoder lies, for this kind of machine."""
    facts = f"{FORM} {fingerprint} {batch} {machine_kind('cpu')}"
    return cache_folder() / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.pt2"


def compile_encoder(encoder: Encoder, precision: str, batch: int) -> Path:
    """Compile an encoder in another process and keep the package; one that is there is kept as it is.

    Args:
        encoder: Any with a network.
        precision: ``32`` or ``bf16``.
        batch: Tiles at a time.

    Raises:
        CannotCompile: There is no compiler, it fails or takes too long, or the cache cannot be written.
    """
    path = package_path(encoder.fingerprint, batch)
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of several runs that need the same package one compiles it.
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _compile(encoder, precision, batch, path)
        path.with_suffix(".lock").unlink(missing_ok=True)
    except OSError as error:
        raise CannotCompile(f"the cache {path.parent} cannot be written: {error}") from error
    return path


def _compile(encoder: Encoder, precision: str, batch: int, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        file, package = Path(scratch) / "encoder.safetensors", Path(scratch) / "package.pt2"
        encoder.save(file)
        command = [sys.executable, "-m", "histonic.encoders.engines.compiling"]
        command += [str(file), precision, str(batch), str(package)]
        # The compiler's own caches and scratch files go with the folder.
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(Path(scratch) / "inductor")}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=MOST_COMPILE_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CannotCompile(f"the compiler took more than {MOST_COMPILE_S} s") from error
        if done.returncode or not package.exists():
            told = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise CannotCompile(f"the compiler failed: {told[-1][:300]}")
        os.replace(package, path)


def load_package(path: Path, batch: int, workers: int) -> Callable[[npt.NDArray[np.uint8]], Codes]:
    """A compiled encoder; several threads may call it at once.

    Args:
        path: Of the package.
        batch: Tiles that it was compiled for; fewer are filled up.
        workers: Threads that will call it.

    Raises:
        CannotCompile: This version of torch does not load it.
    """
    try:
        loader: Any = torch._C._aoti.AOTIModelPackageLoader
        package: _Package = loader(str(path), "model", False, workers, -1)
    except (AttributeError, TypeError, RuntimeError) as error:
        raise CannotCompile(f"the package cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    filled = threading.local()

    def encode(tiles: npt.NDArray[np.uint8]) -> Codes:
        given = tiles
        if len(tiles) < batch:
            if not hasattr(filled, "tiles"):
                filled.tiles = np.zeros((batch, *tiles.shape[1:]), np.uint8)
            given = filled.tiles
            given[: len(tiles)] = tiles
            given[len(tiles) :] = 0
        with torch.inference_mode():
            (codes,) = package.run([torch.from_numpy(np.ascontiguousarray(given))])
        found: Codes = codes.numpy()[: len(tiles)]
        return found

    return encode
