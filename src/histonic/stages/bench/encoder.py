"""An encoder alone, on simulated tiles in memory: its speed by precision and batch, and what bf16 changes."""

from __future__ import annotations

import os
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from histonic.core.processes.cores import usable_cores
from histonic.core.processes.footprint import Footprint
from histonic.core.processes.memory import keep_memory
from histonic.core.progress import Progress, Silent, heard
from histonic.core.settings import Precision, resolve
from histonic.encoders.base import Encoder, encoder_spec, load_encoder
from histonic.encoders.engines.choice import choose_precision, least_cosine, start_encoding
from histonic.simulate.textures import smooth_noise
from histonic.stages.bench.figures import (
    BenchResult,
    Rate,
    StageFigure,
    repeated,
    told_others,
    told_precision,
)
from histonic.stages.bench.settings import BenchCompressSettings, BenchEncoderSettings
from histonic.training.devices import pick_device

SMALL_BATCH = 32
SIMULATED_PX = 512
HAEMATOXYLIN, EOSIN = np.array([1.2, 1.3, 0.5]), np.array([0.1, 1.0, 0.3])
"""Optical densities of both stains in red, green and blue."""
UInt8Tiles = npt.NDArray[np.uint8]


def bench_encoder(
    settings: BenchEncoderSettings | None = None, /, *, progress: Progress | None = None, **values: Any
) -> BenchResult:
    """Measure how many tiles a second an encoder encodes.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``encoder="colour"``.

    Raises:
        EncoderError: The encoder cannot be loaded.
        SettingsError: A setting is wrong, or the device does not exist.
    """
    resolved = resolve(BenchEncoderSettings, settings, values)
    listener = heard(progress)
    keep_memory()
    device = pick_device(resolved.device)
    precision = choose_precision(resolved.precision, encoder_spec(resolved.encoder), device)
    others = [name for name in get_args(Precision) if name != precision]
    sizes = sorted({resolved.batch, min(SMALL_BATCH, resolved.batch)}, reverse=True)
    listener.stage("bench", len(sizes) + len(others))
    stages: list[StageFigure] = []
    rates: dict[str, Rate] = {}
    with Footprint() as footprint:
        encoder = load_encoder(resolved.encoder, device=device, precision=precision)
        tiles = simulated_tiles(encoder.spec.tile_px, resolved.batch)
        for size in sizes:
            rate = encoding_rate(encoder, tiles[:size], resolved, precision, device)
            rates.setdefault(precision, rate)
            stages.append(_stage(precision, size, rate))
            listener.advance(1, f"batches of {size}")
        codes = encoder.encode(tiles)
        for name in others:
            other = load_encoder(resolved.encoder, device=device, precision=name)
            rates[name] = encoding_rate(other, tiles, resolved, name, device)
            agreement = least_cosine(codes, other.encode(tiles))
            stages.append(
                _stage(name, resolved.batch, rates[name], f"; cosine of codes at least {agreement:.5f}")
            )
            listener.advance(1, f"precision {name}")
    return BenchResult(
        what="encoder",
        subject=os.fspath(resolved.encoder),
        encoder=encoder.spec.name,
        unit="tiles",
        device=device,
        precision=precision,
        cores=usable_cores(),
        seconds=resolved.seconds,
        stages=tuple(stages),
        achieved=rates[precision].per_second,
        floor=None,
        of_floor=None,
        start_s=0.0,
        peak_bytes=footprint.peak_bytes,
        other_cores=round(footprint.other_cores, 2),
        pace="the encoder is alone here; 'histonic bench compress SLIDE' puts it beside reading and writing",
        advice=(
            *told_precision(precision, rates),
            *told_others(footprint.other_cores, usable_cores()),
        ),
    )


def encoding_rate(
    encoder: Encoder,
    tiles: UInt8Tiles,
    settings: BenchEncoderSettings | BenchCompressSettings,
    precision: Precision,
    device: str,
) -> Rate:
    """How fast a loaded encoder encodes the same batch again and again, on the engine of a compression."""
    with start_encoding(
        encoder,
        device=device,
        precision=precision,
        engine=None if settings.engine == "auto" else settings.engine,
        tiles=0,
        batch=settings.batch,
        first=tiles,
        progress=Silent(),
    ) as pool:
        return repeated(lambda: len(pool.encode(tiles)), settings.seconds)


def simulated_tiles(tile_px: int, count: int) -> UInt8Tiles:
    """Tiles ``(count, tile_px, tile_px, 3)`` with the colours and the grain of tissue; some come again."""
    rng = np.random.default_rng(0)
    side = max(tile_px, SIMULATED_PX // tile_px * tile_px)
    nuclei = 1.5 * np.clip(smooth_noise(rng, side, 4.0) + 0.5 * smooth_noise(rng, side, 40.0) - 0.5, 0, 1)
    ground = np.clip(0.3 + 0.15 * smooth_noise(rng, side, 12.0), 0, None)
    density = nuclei[..., None] * HAEMATOXYLIN + ground[..., None] * EOSIN
    tissue = (243 * np.exp(-density)).astype(np.uint8)
    per_side = side // tile_px
    cut = tissue.reshape(per_side, tile_px, per_side, tile_px, 3).swapaxes(1, 2)
    return np.ascontiguousarray(np.resize(cut, (count, tile_px, tile_px, 3)))


def _stage(precision: str, batch: int, rate: Rate, more: str = "") -> StageFigure:
    return StageFigure(
        name=f"{precision}, batches of {batch}",
        per_second=rate.per_second,
        share=None,
        how=f"{rate.count} simulated tiles in memory, encoded in {rate.seconds:.1f} s{more}",
    )
