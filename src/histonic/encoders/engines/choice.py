"""Which precision and which engine an encoder runs with, and the check that the engines agree."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from histonic.core.compressed import EncodingDescription
from histonic.core.processes.cores import usable_cores
from histonic.core.progress import Progress
from histonic.core.settings import Engine, Precision
from histonic.encoders.base import Encoder, EncoderSpec, batch_of
from histonic.encoders.engines.compiled import (
    CannotCompile,
    compile_encoder,
    is_kept,
    library_path,
    load_compiled,
)
from histonic.encoders.engines.gpu import AHEAD, encode_on_gpu
from histonic.encoders.engines.machine import is_half_fast, machine_kind
from histonic.encoders.engines.pool import Codes, Encode, EncodingPool, Tiles
from histonic.encoders.engines.program import BrokenProgram
from histonic.nn.pixels import tensor_of

LEAST_HALF_COSINE = 0.9995
"""Codes in bfloat16 must lie so near those in float32 for bfloat16 to be the default."""
LEAST_COSINE: dict[str, float] = {"32": 0.999999, "bf16": 0.9998}
"""So near to each other lie the codes of two engines, tile by tile, at each precision."""
COMPILE_S = 50.0
"""What compiling costs, about."""
WORTH = 3.0
"""Compiling saves a third of the time or more, and so pays for work of this many times its cost."""
PROBE_TILES = 2
GPU_TILES = 200_000
"""From so many tiles on a GPU the minute of compiling pays."""


def choose_precision(asked: Literal["auto", "32", "bf16"], spec: EncoderSpec, device: str) -> Precision:
    """Precision of an encoder's arithmetic.

    ``auto`` is ``bf16`` where the machine has instructions for it and the encoder's file says that its codes
    hardly change by it, else ``32``.

    Args:
        asked: As in the settings.
        spec: Of the encoder.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Example:
        >>> choose_precision("auto", EncoderSpec("unmeasured", "nic", 128, 0.5, 128), "cpu")
        '32'
    """
    if asked != "auto":
        return asked
    kept = spec.half_cosine is not None and spec.half_cosine >= LEAST_HALF_COSINE
    return "bf16" if kept and is_half_fast(device) else "32"


def start_encoding(
    encoder: Encoder,
    *,
    device: str,
    precision: Precision,
    engine: Engine | None,
    tiles: int,
    batch: int,
    first: Tiles,
    progress: Progress,
) -> EncodingPool:
    """An encoder at work, on the engine that fits the work.

    A compiled engine is checked against the eager one on the first tiles, and left if it differs.

    Args:
        encoder: Loaded for that device and precision.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Of its arithmetic.
        engine: The one to use if it can be; None: compiled if that is made already or pays for so many tiles.
        tiles: How many will be encoded, about.
        batch: Tiles at a time on a GPU, and for encoders that do their own arithmetic.
        first: Some of the tiles, uint8 ``(N, H, W, 3)``.
        progress: Is told if an engine cannot be used.
    """
    network = getattr(encoder, "tile_network", None)
    size = encoder.spec.code_size

    def described(engine: Engine, batch: int) -> EncodingDescription:
        return EncodingDescription(engine=engine, batch=batch, machine=machine_kind(device))

    if not isinstance(network, nn.Module):
        return EncodingPool(encoder.encode, described("eager", batch), size, workers=1, threads=None)
    if device.startswith("cuda"):
        used: Engine = "eager"
        run = encode_on_gpu(network, torch.device(device), batch)
        if engine == "compiled" or (engine is None and tiles >= GPU_TILES):
            found = _compiled_on_gpu(network, torch.device(device), batch, run, first, progress)
            used, run = ("compiled", found) if found is not None else ("eager", run)
        return EncodingPool(run, described(used, batch), size, workers=AHEAD, threads=None)
    part, workers = batch_of(encoder.spec), usable_cores()
    eager = EncodingPool(_eagerly(network), described("eager", part), size, workers=workers)
    if engine == "eager" or not len(first):
        return eager
    try:
        if engine is None and not _pays(encoder, part, eager, tiles, first):
            return eager
        path = library_path(encoder.fingerprint, part)
        if not is_kept(path):
            progress.say(
                f"compiling {encoder.spec.name} for this machine, about {COMPILE_S:.0f} s, once; kept in "
                f"{path.parent}"
            )
        compiled = load_compiled(compile_encoder(encoder, precision, part), encoder.spec, part, workers)
        few = first[:part]
        cosine = least_cosine(eager.encode(few), compiled(few))
    except (BrokenProgram, CannotCompile) as error:
        progress.say(f"the encoder runs without being compiled: {error}")
        return eager
    if cosine < LEAST_COSINE[precision]:
        progress.say(f"the encoder runs without being compiled: its codes would differ (cosine {cosine:.6f})")
        return eager
    eager.close()
    return EncodingPool(compiled, described("compiled", part), size, workers=workers)


def _compiled_on_gpu(
    network: nn.Module, device: torch.device, batch: int, eager: Encode, first: Tiles, progress: Progress
) -> Encode | None:
    """The network compiled for a GPU, None if that fails or gives other codes."""
    run = encode_on_gpu(torch.compile(network, dynamic=False), device, batch)
    few = first[:batch]
    try:
        found = least_cosine(eager(few), run(few))
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and the eager engine serves
        told = " ".join(str(error).split())[:300]
        progress.say(f"the encoder runs without being compiled: {type(error).__name__}: {told}")
        return None
    if found < LEAST_COSINE["bf16"]:  # single precision on a GPU is rounded to fewer digits, too
        progress.say(f"the encoder runs without being compiled: its codes would differ (cosine {found:.6f})")
        return None
    return run


def _eagerly(network: nn.Module) -> Callable[[Tiles], Codes]:
    def encode(tiles: Tiles) -> Codes:
        with torch.inference_mode():
            codes: Codes = network(tensor_of(tiles)).numpy()
            return codes

    return encode


def _pays(encoder: Encoder, part: int, eager: EncodingPool, tiles: int, first: Tiles) -> bool:
    """Whether compiling is done already, or saves more time than it takes."""
    with suppress(CannotCompile):  # said once it would be worth it
        if is_kept(library_path(encoder.fingerprint, part)):
            return True
    few = first[: part * eager.workers]
    eager.encode(few[:PROBE_TILES])
    began = time.perf_counter()
    eager.encode(few)
    return (time.perf_counter() - began) / len(few) * tiles > WORTH * COMPILE_S


def least_cosine(codes: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> float:
    """Least cosine between codes of the same tiles, ``(N, D)`` each; 1 where both are zero.

    Example:
        >>> least_cosine(np.float32([[1, 0], [0, 0]]), np.float32([[2, 0], [0, 0]]))
        1.0
    """
    first, second = codes.astype(np.float64), others.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    both_zero = ~first.any(axis=1) & ~second.any(axis=1)
    cosines = np.divide((first * second).sum(axis=1), lengths, out=np.zeros(len(first)), where=lengths > 0)
    return float(np.where(both_zero, 1.0, cosines).min(initial=1.0))
