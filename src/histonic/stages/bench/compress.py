"""A slide compressed for some seconds, beside its reading alone and its encoding alone."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np

from histonic.core.errors import SettingsError
from histonic.core.processes.cores import usable_cores
from histonic.core.processes.footprint import Footprint
from histonic.core.processes.memory import keep_memory
from histonic.core.progress import Progress, Silent, heard
from histonic.core.settings import Precision, resolve
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.encoders.base import EncoderSpec, encoder_spec, load_encoder
from histonic.encoders.engines.choice import choose_precision
from histonic.stages.bench.encoder import UInt8Tiles, encoding_rate
from histonic.stages.bench.figures import (
    FAR_BELOW,
    BenchResult,
    Rate,
    StageFigure,
    rate_of,
    told_others,
    told_precision,
)
from histonic.stages.bench.settings import BenchCompressSettings
from histonic.stages.compress.compress import HEAPS, compress
from histonic.stages.compress.reading import Failed, Opened, Tiles, read_slides
from histonic.stages.compress.settings import CompressSettings
from histonic.training.devices import pick_device

_SEEN = re.compile(r" (\d+)/\d+ tiles$")
"""Of what a compression says as it goes on."""


def bench_compress(
    settings: BenchCompressSettings | None = None, /, *, progress: Progress | None = None, **values: Any
) -> BenchResult:
    """Measure a compression of one slide, and what its parts could do alone.

    The slide is read without encoding, a batch of its tiles is encoded again and again, and then it is
    compressed as ever, into a folder that is removed; each for about ``seconds``, or to the slide's end. The
    floor is the time that the cores need to read and to encode, and nothing else; with a GPU, the slower of
    the two.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``slide="a.svs"``, ``encoder="colour"``.

    Raises:
        SettingsError: A setting is wrong, or several slides were given.
        EncoderError: The encoder cannot be loaded.
        SlideError: The slide cannot be read, or has no tissue.
    """
    resolved = resolve(BenchCompressSettings, settings, values)
    listener = heard(progress)
    keep_memory(heaps=HEAPS)
    row = _row(resolved)
    device, cores = pick_device(resolved.device), usable_cores()
    precision = choose_precision(resolved.precision, encoder_spec(resolved.encoder), device)
    encoder = load_encoder(resolved.encoder, device=device, precision=precision)
    listener.stage("bench", 4)
    with tempfile.TemporaryDirectory(prefix="histonic-bench-") as folder, Footprint() as footprint:
        job = _as_compress(resolved, precision, device, Path(folder))
        start_s, reading, storage, tiles = _read_alone(row, job, encoder.spec, resolved.seconds)
        listener.advance(1, "read alone")
        rates: dict[str, Rate] = {precision: encoding_rate(encoder, tiles, resolved, precision, device)}
        listener.advance(1, "encoded alone")
        for name in get_args(Precision):
            if name not in rates:
                other = load_encoder(resolved.encoder, device=device, precision=name)
                rates[name] = encoding_rate(other, tiles, resolved, name, device)
        listener.advance(1, "encoded by other arithmetic")
        whole = _compress_for(job, resolved.seconds)
        listener.advance(1, "compressed")
    return _result(resolved, precision, device, cores, start_s, reading, storage, rates, whole, footprint)


def _result(
    settings: BenchCompressSettings,
    precision: Precision,
    device: str,
    cores: int,
    start_s: float,
    reading: Rate,
    storage: str,
    rates: dict[str, Rate],
    whole: Rate,
    footprint: Footprint,
) -> BenchResult:
    encoding = rates[precision]
    read_s, encode_s = reading.core_s_each / cores, 1 / encoding.per_second
    on_cpu = device == "cpu"
    floor = 1 / (read_s + encode_s if on_cpu else max(read_s, encode_s))
    achieved = whole.per_second
    shares = {"read": achieved * read_s, "encode": achieved * encode_s}
    pace, advice = _told(shares, achieved / floor, precision, rates, storage)
    stages = (
        StageFigure(
            name="read",
            per_second=reading.per_second,
            share=shares["read"],
            how=f"{reading.count} tiles decoded and judged without encoding, in {reading.seconds:.1f} s and "
            f"{reading.core_s:.1f} s of cores; stored as {storage or 'not known'}",
        ),
        StageFigure(
            name="encode",
            per_second=encoding.per_second,
            share=shares["encode"],
            how=f"{encoding.count} tiles of one batch in memory, encoded in {encoding.seconds:.1f} s",
        ),
        StageFigure(
            name="the rest",
            per_second=None,
            share=max(0.0, 1 - sum(shares.values())) if on_cpu else None,
            how="what reading and encoding alone do not explain: hand-over, writing, waiting",
        ),
    )
    return BenchResult(
        what="compress",
        subject=str(settings.slide),
        encoder=str(settings.encoder),
        unit="tiles",
        device=device,
        precision=precision,
        cores=cores,
        seconds=settings.seconds,
        stages=stages,
        achieved=achieved,
        floor=floor,
        of_floor=achieved / floor,
        start_s=start_s,
        peak_bytes=footprint.peak_bytes,
        other_cores=round(footprint.other_cores, 2),
        pace=pace,
        advice=(*advice, *told_others(footprint.other_cores, cores)),
    )


def _told(
    shares: dict[str, float], of_floor: float, precision: str, rates: dict[str, Rate], storage: str
) -> tuple[str, list[str]]:
    """What sets the pace, and what would help."""
    first = max(shares, key=lambda name: shares[name])
    if of_floor < FAR_BELOW:
        pace = f"neither reading nor encoding sets the pace: {1 - of_floor:.0%} of the time goes to neither"
    elif first == "encode":
        pace = f"encoding sets the pace: {shares['encode']:.0%} of the time"
    else:
        pace = f"reading sets the pace: {shares['read']:.0%} of the time"
    if first == "encode":
        return pace, [
            *told_precision(precision, rates),
            "a smaller encoder ('histonic bench encoder' measures one), more cores, or a GPU",
        ]
    return pace, [f"more cores, or slides that are stored as JPEG tiles (this one: {storage or 'not known'})"]


def _row(settings: BenchCompressSettings) -> SlideRow:
    rows = read_slide_list((settings.slide,))
    if len(rows) != 1:
        raise SettingsError(
            f"Measure the compression of {settings.slide}.",
            f"It holds {len(rows)} slides.",
            "Give one slide, a large one: short runs measure the start.",
        )
    return rows[0]


def _as_compress(
    settings: BenchCompressSettings, precision: Precision, device: str, folder: Path
) -> CompressSettings:
    return CompressSettings(
        slides=(settings.slide,),
        encoder=settings.encoder,
        out=folder / "store",
        mpp=settings.mpp,
        reader=settings.reader,
        batch=settings.batch,
        precision=precision,
        engine=settings.engine,
        device=device,
    )


def _read_alone(
    row: SlideRow, job: CompressSettings, spec: EncoderSpec, seconds: float
) -> tuple[float, Rate, str, UInt8Tiles]:
    """Seconds to the first tile, how fast tiles are read, how they are stored, and a batch of them.

    Raises:
        SlideError: The slide cannot be read, or has no tissue.
    """
    kept: list[UInt8Tiles] = []
    storage: list[str] = []
    start: list[float] = []
    began = time.perf_counter()

    def steps() -> Iterator[int]:
        for event in read_slides([row], job, spec):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Opened):
                start.append(time.perf_counter() - began)
                storage.append(event.slide.storage)
                yield 0  # what follows is timed from here on
            elif isinstance(event, Tiles):
                if sum(map(len, kept)) < job.batch:
                    kept.append(event.tiles)
                yield len(event.tiles)

    rate = rate_of(steps(), seconds, warm_up=1)
    return start[0], rate, storage[0], np.concatenate(kept)[: job.batch]


def _compress_for(job: CompressSettings, seconds: float) -> Rate:
    """How fast the slide is compressed, from its first batch on; of a slide of few batches all of it."""
    watch = _Stopwatch(seconds)
    try:
        done = compress(job, progress=watch)
    except _Enough:
        return watch.rate()
    if done.failures:
        raise SettingsError(
            f"Compress {job.slides[0]}.", f"It failed: {done.failures[0].reason}.", "See 'histonic doctor'."
        )
    return watch.rate() if len(watch.marks) > 2 else Rate(done.tiles, done.seconds)


class _Enough(BaseException):  # what is an Exception in a listener would end nothing
    """The time that was asked for is over."""


class _Stopwatch(Silent):
    """Listens to a compression, notes when how many tiles were encoded, and ends it after some seconds."""

    def __init__(self, seconds: float) -> None:
        self.marks: list[tuple[int, float]] = []
        self._seconds = seconds

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Note a batch."""
        found = _SEEN.search(note)
        if found is None:
            return
        self.marks.append((int(found[1]), time.perf_counter()))
        if len(self.marks) > 2 and self.marks[-1][1] - self.marks[0][1] >= self._seconds:
            raise _Enough

    def rate(self) -> Rate:
        """Between the first batch and the last."""
        (first, began), (last, ended) = self.marks[0], self.marks[-1]
        return Rate(last - first, ended - began)
